//! What is over: the history lists, what goes to a file of them, and what goes for good. The part of
//! the store's ports that nothing on the way of an alarm needs.

use super::store::{Answered, Page, TxError};
use crate::logic::offload::Span;
use crate::model::{
    Alarm, CommandId, HistoryList, HistoryRow, OccurrenceRef, Request, RequestId, Ticket,
    TicketKey, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Rows of a list that are on their way to a file. While it stands, nobody knows whether the file
/// holds them: they are in the table, in the file, or in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The last one's number; all before it go too.
    pub upto: u64,
    /// To the file of this span.
    pub span: Span,
}

/// Row access to what is over, inside one atomic transaction. Pages run oldest first.
pub trait PastTx {
    /// Adds a history row and gives its `n`, which grows and is never given again.
    fn add_history(&mut self, row: &HistoryRow) -> Result<u64, TxError>;
    /// How many rows a list has. Told from a count that is kept, not by counting.
    fn history_count(&mut self, list: HistoryList) -> Result<u64, TxError>;
    /// The oldest rows of a list: their numbers and times.
    fn oldest_history(
        &mut self,
        list: HistoryList,
        limit: u32,
    ) -> Result<Vec<(u64, Timestamp)>, TxError>;
    /// Removes the oldest rows of a list up to that number, at most `limit`; says how many.
    fn drop_history(&mut self, list: HistoryList, upto: u64, limit: u32) -> Result<u64, TxError>;
    /// Rows that are on their way to a file.
    fn leaving(&mut self, list: HistoryList) -> Result<Option<Leaving>, TxError>;
    /// Writes that down; none: nothing is on its way.
    fn put_leaving(&mut self, list: HistoryList, it: Option<Leaving>) -> Result<(), TxError>;

    /// Requests in order of acceptance, from after that `n`.
    fn requests_after(&mut self, after: u64, limit: u32) -> Result<Vec<Request>, TxError>;
    /// Tickets with their `n`, from after that one.
    fn tickets_after(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Ticket)>, TxError>;
    /// Occurrences with their `n`, from after that one.
    fn alarms_after(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Alarm)>, TxError>;
    /// Does a ticket have any request?
    fn has_requests(&mut self, ticket: TicketKey) -> Result<bool, TxError>;
    /// Is an event of a ticket not confirmed?
    fn has_unsent(&mut self, ticket: TicketKey) -> Result<bool, TxError>;
    /// Removes a request.
    fn drop_request(&mut self, id: RequestId) -> Result<(), TxError>;
    /// Forgets a command; one that is not there is no error.
    fn drop_command(&mut self, id: CommandId) -> Result<(), TxError>;
    /// Removes the first events of a ticket, at most `limit`; says how many.
    fn drop_events(&mut self, ticket: TicketKey, limit: u32) -> Result<u64, TxError>;
    /// Takes a group's ticket away; a group that has none is no error.
    fn drop_group(&mut self, key: &[u8; 16]) -> Result<(), TxError>;
    /// Removes a ticket.
    fn drop_ticket(&mut self, key: TicketKey) -> Result<(), TxError>;
    /// Removes an occurrence.
    fn drop_alarm(&mut self, at: &OccurrenceRef) -> Result<(), TxError>;
}

/// Committed rows of what is over.
pub trait PastReads {
    /// A list, newest first.
    fn history(&self, list: HistoryList, page: Page) -> Answered<Vec<HistoryRow>>;
    /// Rows of a list, oldest first, from after `after` up to `upto`.
    fn history_between(
        &self,
        list: HistoryList,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Answered<Vec<HistoryRow>>;
    /// How many rows a list has; cheap.
    fn history_count(&self, list: HistoryList) -> Answered<u64>;
    /// The number of the `nth` oldest row of a list, counted from 1.
    fn nth_history(&self, list: HistoryList, nth: u64) -> Answered<Option<u64>>;
    /// Rows that are on their way to a file.
    fn leaving(&self, list: HistoryList) -> Answered<Option<Leaving>>;
}
