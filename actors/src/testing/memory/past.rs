//! What is over, in memory.

use super::MemoryStore;
use super::reads::now;
use super::rows::{Numbered, Rows};
use crate::model::{
    Alarm, CommandId, HistoryList, HistoryRow, OccurrenceRef, Request, RequestId, Ticket,
    TicketKey, Timestamp,
};
use crate::ports::{Answered, Leaving, Page, PastReads, PastTx, TxError};
use std::collections::BTreeMap;

impl Rows {
    /// A history list, oldest first.
    pub fn history_of(&self, list: HistoryList) -> impl DoubleEndedIterator<Item = &HistoryRow> {
        self.history.values().filter(move |row| row.list == list)
    }
}

/// A page of a table, oldest first.
fn after<T: Clone>(rows: &BTreeMap<u64, Box<T>>, after: u64, limit: u32) -> Vec<(u64, T)> {
    let rows = rows.range(after.saturating_add(1)..).take(limit as usize);
    rows.map(|(n, row)| (*n, (**row).clone())).collect()
}

impl PastTx for Rows {
    fn add_history(&mut self, row: &HistoryRow) -> Result<u64, TxError> {
        let n = self.give(Numbered::History);
        self.set_history(n, Some(HistoryRow { n, ..row.clone() }));
        Ok(n)
    }

    fn history_count(&mut self, list: HistoryList) -> Result<u64, TxError> {
        Ok(self.history_of(list).count() as u64)
    }

    fn oldest_history(
        &mut self,
        list: HistoryList,
        limit: u32,
    ) -> Result<Vec<(u64, Timestamp)>, TxError> {
        Ok(self.history_of(list).take(limit as usize).map(|row| (row.n, row.at)).collect())
    }

    fn drop_history(&mut self, list: HistoryList, upto: u64, limit: u32) -> Result<u64, TxError> {
        let going = self.history_of(list).map(|row| row.n).take_while(|n| *n <= upto);
        let going: Vec<u64> = going.take(limit as usize).collect();
        for n in &going {
            self.set_history(*n, None);
        }
        Ok(going.len() as u64)
    }

    fn leaving(&mut self, list: HistoryList) -> Result<Option<Leaving>, TxError> {
        Ok(self.leaving.get(&list).copied())
    }

    fn put_leaving(&mut self, list: HistoryList, it: Option<Leaving>) -> Result<(), TxError> {
        self.set_leaving(list, it);
        Ok(())
    }

    fn requests_after(&mut self, n: u64, limit: u32) -> Result<Vec<Request>, TxError> {
        Ok(after(&self.requests, n, limit).into_iter().map(|(_, request)| request).collect())
    }

    fn tickets_after(&mut self, n: u64, limit: u32) -> Result<Vec<(u64, Ticket)>, TxError> {
        Ok(after(&self.tickets, n, limit))
    }

    fn alarms_after(&mut self, n: u64, limit: u32) -> Result<Vec<(u64, Alarm)>, TxError> {
        Ok(after(&self.alarms, n, limit))
    }

    fn has_requests(&mut self, ticket: TicketKey) -> Result<bool, TxError> {
        Ok(self.all_requests().any(|request| request.ticket == ticket))
    }

    fn has_unsent(&mut self, ticket: TicketKey) -> Result<bool, TxError> {
        Ok(self.all_events().any(|(event, sent)| event.ticket.key == ticket && sent.is_none()))
    }

    fn drop_request(&mut self, id: RequestId) -> Result<(), TxError> {
        if let Some(n) = self.request_n.get(&id).copied() {
            self.set_request(n, None);
        }
        Ok(())
    }

    fn drop_command(&mut self, id: CommandId) -> Result<(), TxError> {
        self.set_command(id, None);
        Ok(())
    }

    fn drop_events(&mut self, ticket: TicketKey, limit: u32) -> Result<u64, TxError> {
        let of = self.all_events().map(|row| &row.0).filter(|it| it.ticket.key == ticket);
        let mut of: Vec<_> = of.map(|event| (event.sequence, event.n)).collect();
        of.sort_unstable();
        of.truncate(limit as usize);
        for (_, n) in &of {
            self.set_event(*n, None);
        }
        Ok(of.len() as u64)
    }

    fn drop_group(&mut self, key: &[u8; 16]) -> Result<(), TxError> {
        self.set_group(*key, None);
        Ok(())
    }

    fn drop_ticket(&mut self, key: TicketKey) -> Result<(), TxError> {
        if let Some(n) = self.ticket_n.get(&key).copied() {
            self.set_ticket(n, None);
        }
        Ok(())
    }

    fn drop_alarm(&mut self, at: &OccurrenceRef) -> Result<(), TxError> {
        let of = self.occurrences.get(&at.alarm);
        if let Some(n) = of.and_then(|of| of.get(&at.occurrence)).copied() {
            self.set_alarm(n, None);
        }
        Ok(())
    }
}

impl PastReads for MemoryStore {
    fn history(&self, list: HistoryList, page: Page) -> Answered<Vec<HistoryRow>> {
        let rows = self.rows();
        let fits = |row: &&HistoryRow| {
            page.before.is_none_or(|n| row.n < n) && page.after.is_none_or(|n| row.n > n)
        };
        let mut rows: Vec<_> = rows.history_of(list).filter(fits).cloned().collect();
        if page.after.is_none() {
            rows.reverse();
        }
        rows.truncate(page.limit as usize);
        now(rows)
    }

    fn history_between(
        &self,
        list: HistoryList,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Answered<Vec<HistoryRow>> {
        let rows = self.rows();
        let between = rows.history_of(list).filter(|row| row.n > after && row.n <= upto);
        now(between.take(limit as usize).cloned().collect())
    }

    fn history_count(&self, list: HistoryList) -> Answered<u64> {
        now(self.rows().history_of(list).count() as u64)
    }

    fn nth_history(&self, list: HistoryList, nth: u64) -> Answered<Option<u64>> {
        let place = nth.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        now(place.and_then(|place| self.rows().history_of(list).nth(place).map(|row| row.n)))
    }

    fn leaving(&self, list: HistoryList) -> Answered<Option<Leaving>> {
        now(self.rows().leaving.get(&list).copied())
    }
}
