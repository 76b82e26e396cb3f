//! What a store keeps for two-way sync. The part of its ports that nothing on the way of an alarm
//! needs, but for the look whether a changed ticket has twins.

use super::store::{Answered, TxError};
use crate::model::{
    BackendId, EventId, Held, SyncAnswer, SyncRow, Ticket, TicketChange, TicketKey, Timestamp, Twin,
};

/// Row access for sync, inside one atomic transaction. `put_*` inserts or replaces.
pub trait SyncTx {
    /// What is stored of a sync; the default of that name where nothing is.
    fn sync(&mut self, name: &str) -> Result<SyncRow, TxError>;
    /// Writes a sync.
    fn put_sync(&mut self, row: &SyncRow) -> Result<(), TxError>;
    /// What a sync remembers of a ticket.
    fn twin(&mut self, sync: &str, ticket: TicketKey) -> Result<Option<Twin>, TxError>;
    /// Writes what a sync remembers of a ticket.
    fn put_twin(&mut self, twin: &Twin) -> Result<(), TxError>;
    /// What all syncs remember of a ticket, in order of their names.
    fn twins_of(&mut self, ticket: TicketKey) -> Result<Vec<Twin>, TxError>;
    /// Forgets what all syncs remember of a ticket.
    fn drop_twins(&mut self, ticket: TicketKey) -> Result<(), TxError>;
    /// Twins of a sync with their `n` above `after`, in that order, whether a pass named them or not.
    fn twins_after(&mut self, sync: &str, after: u64, limit: u32) -> Result<Vec<Twin>, TxError>;
    /// Twins that wait for their connector, with places above `after` and up to `upto`, in that order.
    fn outgoing(
        &mut self,
        sync: &str,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<Twin>, TxError>;
    /// How many wait for their connector; counted up to `most`.
    fn outgoing_count(&mut self, sync: &str, most: u32) -> Result<u64, TxError>;
    /// What was told of that id and not merged.
    fn aside(&mut self, sync: &str, id: &str) -> Result<Option<Held>, TxError>;
    /// Keeps something that was told.
    fn put_aside(&mut self, held: &Held) -> Result<(), TxError>;
    /// It is not kept any more; nothing there is no error.
    fn drop_aside(&mut self, sync: &str, id: &str) -> Result<(), TxError>;
    /// Kept because a request is under way, by id from after that one.
    fn aside_under_way(
        &mut self,
        sync: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Held>, TxError>;
    /// Adds a line to a ticket's history.
    fn add_ticket_change(&mut self, change: &TicketChange) -> Result<(), TxError>;
    /// Removes a ticket's history.
    fn drop_ticket_changes(&mut self, ticket: TicketKey) -> Result<(), TxError>;
    /// What a message of that id was answered.
    fn sync_answer(&mut self, sync: &str, id: &str) -> Result<Option<SyncAnswer>, TxError>;
    /// Remembers an answer.
    fn put_sync_answer(
        &mut self,
        sync: &str,
        at: Timestamp,
        answer: &SyncAnswer,
    ) -> Result<(), TxError>;
    /// Forgets answers given before that time, at most `limit`; says how many.
    fn forget_sync_answers(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError>;
    /// Tickets of a backend with their `n`, from after that one.
    fn tickets_of_after(
        &mut self,
        backend: &BackendId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Ticket)>, TxError>;
}

/// Committed rows of sync, for the faces.
pub trait SyncReads {
    /// What is stored of a sync.
    fn sync_row(&self, name: String) -> Answered<SyncRow>;
    /// How many wait for its connector, counted up to `most`.
    fn sync_waiting(&self, name: String, most: u32) -> Answered<u64>;
    /// What was told and not merged, by id from after that one.
    fn held_list(&self, name: String, after: String, limit: u32) -> Answered<Vec<Held>>;
    /// What a sync remembers of a ticket.
    fn twin_of(&self, name: String, ticket: TicketKey) -> Answered<Option<Twin>>;
    /// What all syncs remember of a ticket.
    fn twins(&self, ticket: TicketKey) -> Answered<Vec<Twin>>;
    /// A ticket's history, oldest first.
    fn ticket_changes(&self, ticket: TicketKey, limit: u32) -> Answered<Vec<TicketChange>>;
}

/// Ids for what one told ticket may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshIds {
    /// Should it be unknown here.
    pub ticket: TicketKey,
    /// Should it be written.
    pub request: crate::model::RequestId,
    /// Should it be made, and be in another state than new ones are.
    pub second: crate::model::RequestId,
    /// For what is said of it.
    pub events: [EventId; 2],
}
