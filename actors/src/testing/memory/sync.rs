//! What two-way sync keeps, in memory.

use super::MemoryStore;
use super::reads::now;
use super::rows::Rows;
use crate::model::{
    BackendId, Held, HeldBecause, SyncAnswer, SyncRow, Ticket, TicketChange, TicketKey, Timestamp,
    Twin,
};
use crate::ports::{Answered, SyncReads, SyncTx, TxError};
use std::collections::BTreeMap;

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncTables {
    pub(super) syncs: BTreeMap<String, SyncRow>,
    pub(super) twins: BTreeMap<(TicketKey, String), Twin>,
    pub(super) held: BTreeMap<(String, String), Held>,
    pub(super) changes: Vec<TicketChange>,
    pub(super) answers: BTreeMap<(String, String), (Timestamp, SyncAnswer)>,
}

/// What a row was before a write; none: it was not there.
#[derive(Debug)]
pub(super) enum SyncUndo {
    Sync(String, Option<Box<SyncRow>>),
    Twin((TicketKey, String), Option<Box<Twin>>),
    Held((String, String), Option<Box<Held>>),
    /// One was added.
    Change,
    /// All as they were.
    Changes(Vec<TicketChange>),
    Answer((String, String), Option<Box<(Timestamp, SyncAnswer)>>),
}

impl SyncTables {
    pub(super) fn undo(&mut self, step: SyncUndo) {
        fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, before: Option<Box<V>>) {
            match before {
                Some(row) => table.insert(key, *row),
                None => table.remove(&key),
            };
        }
        match step {
            SyncUndo::Sync(key, before) => put(&mut self.syncs, key, before),
            SyncUndo::Twin(key, before) => put(&mut self.twins, key, before),
            SyncUndo::Held(key, before) => put(&mut self.held, key, before),
            SyncUndo::Change => drop(self.changes.pop()),
            SyncUndo::Changes(before) => self.changes = before,
            SyncUndo::Answer(key, before) => put(&mut self.answers, key, before),
        }
    }
}

impl Rows {
    fn set_twin(&mut self, key: (TicketKey, String), twin: Option<Twin>) {
        let before = match twin {
            Some(twin) => self.sync.twins.insert(key.clone(), twin),
            None => self.sync.twins.remove(&key),
        };
        self.log_sync(SyncUndo::Twin(key, before.map(Box::new)));
    }

    fn set_aside(&mut self, key: (String, String), held: Option<Held>) {
        let before = match held {
            Some(held) => self.sync.held.insert(key.clone(), held),
            None => self.sync.held.remove(&key),
        };
        self.log_sync(SyncUndo::Held(key, before.map(Box::new)));
    }

    fn set_answer(&mut self, key: (String, String), answer: Option<(Timestamp, SyncAnswer)>) {
        let before = match answer {
            Some(answer) => self.sync.answers.insert(key.clone(), answer),
            None => self.sync.answers.remove(&key),
        };
        self.log_sync(SyncUndo::Answer(key, before.map(Box::new)));
    }

    /// The twins of a sync by what `by` gives, in that order.
    fn twins_by(&self, sync: &str, by: impl Fn(&Twin) -> Option<u64>) -> Vec<Twin> {
        let of = self.sync.twins.values().filter(|twin| twin.sync == sync);
        let mut of: Vec<_> = of.filter_map(|twin| Some((by(twin)?, twin.clone()))).collect();
        of.sort_by_key(|(place, _)| *place);
        of.into_iter().map(|(_, twin)| twin).collect()
    }

    fn sync_named(&self, name: &str) -> SyncRow {
        let row = self.sync.syncs.get(name).cloned();
        row.unwrap_or_else(|| SyncRow { name: name.to_owned(), ..SyncRow::default() })
    }
}

impl SyncTx for Rows {
    fn sync(&mut self, name: &str) -> Result<SyncRow, TxError> {
        Ok(self.sync_named(name))
    }

    fn put_sync(&mut self, row: &SyncRow) -> Result<(), TxError> {
        let before = self.sync.syncs.insert(row.name.clone(), row.clone());
        self.log_sync(SyncUndo::Sync(row.name.clone(), before.map(Box::new)));
        Ok(())
    }

    fn twin(&mut self, sync: &str, ticket: TicketKey) -> Result<Option<Twin>, TxError> {
        Ok(self.sync.twins.get(&(ticket, sync.to_owned())).cloned())
    }

    fn put_twin(&mut self, twin: &Twin) -> Result<(), TxError> {
        let key = (twin.ticket, twin.sync.clone());
        let known = self.sync.twins.get(&key).map(|twin| twin.n);
        let last = self.sync.twins.values().map(|twin| twin.n).max().unwrap_or(0);
        let n = known.unwrap_or(last + 1);
        self.set_twin(key, Some(Twin { n, ..twin.clone() }));
        Ok(())
    }

    fn twins_of(&mut self, ticket: TicketKey) -> Result<Vec<Twin>, TxError> {
        let of = self.sync.twins.range((ticket, String::new())..);
        Ok(of.take_while(|(key, _)| key.0 == ticket).map(|(_, twin)| twin.clone()).collect())
    }

    fn drop_twins(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        for twin in self.twins_of(ticket)? {
            self.set_twin((ticket, twin.sync), None);
        }
        Ok(())
    }

    fn twins_after(&mut self, sync: &str, after: u64, limit: u32) -> Result<Vec<Twin>, TxError> {
        let mut twins = self.twins_by(sync, |twin| (twin.n > after).then_some(twin.n));
        twins.truncate(limit as usize);
        Ok(twins)
    }

    fn outgoing(
        &mut self,
        sync: &str,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<Twin>, TxError> {
        let place =
            |twin: &Twin| twin.out.map(|out| out.n).filter(|n| (after + 1..=upto).contains(n));
        let mut twins = self.twins_by(sync, place);
        twins.truncate(limit as usize);
        Ok(twins)
    }

    fn outgoing_count(&mut self, sync: &str, most: u32) -> Result<u64, TxError> {
        let waits = self.sync.twins.values().filter(|it| it.sync == sync && it.out.is_some());
        Ok(waits.take(most as usize).count() as u64)
    }

    fn aside(&mut self, sync: &str, id: &str) -> Result<Option<Held>, TxError> {
        Ok(self.sync.held.get(&(sync.to_owned(), id.to_owned())).cloned())
    }

    fn put_aside(&mut self, held: &Held) -> Result<(), TxError> {
        self.set_aside((held.sync.clone(), held.id.clone()), Some(held.clone()));
        Ok(())
    }

    fn drop_aside(&mut self, sync: &str, id: &str) -> Result<(), TxError> {
        let key = (sync.to_owned(), id.to_owned());
        if self.sync.held.contains_key(&key) {
            self.set_aside(key, None);
        }
        Ok(())
    }

    fn aside_under_way(
        &mut self,
        sync: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Held>, TxError> {
        let of = self.sync.held.values().filter(|held| held.sync == sync && *held.id > *after);
        let waits = of.filter(|held| held.because == HeldBecause::UnderWay);
        Ok(waits.take(limit as usize).cloned().collect())
    }

    fn add_ticket_change(&mut self, change: &TicketChange) -> Result<(), TxError> {
        self.sync.changes.push(change.clone());
        self.log_sync(SyncUndo::Change);
        Ok(())
    }

    fn drop_ticket_changes(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        let before = self.sync.changes.clone();
        self.sync.changes.retain(|change| change.ticket != ticket);
        self.log_sync(SyncUndo::Changes(before));
        Ok(())
    }

    fn sync_answer(&mut self, sync: &str, id: &str) -> Result<Option<SyncAnswer>, TxError> {
        let key = (sync.to_owned(), id.to_owned());
        Ok(self.sync.answers.get(&key).map(|(_, answer)| answer.clone()))
    }

    fn put_sync_answer(
        &mut self,
        sync: &str,
        at: Timestamp,
        answer: &SyncAnswer,
    ) -> Result<(), TxError> {
        self.set_answer((sync.to_owned(), answer.id.clone()), Some((at, answer.clone())));
        Ok(())
    }

    fn forget_sync_answers(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError> {
        let old = self.sync.answers.iter().filter(|(_, (at, _))| *at < before);
        let old: Vec<_> = old.map(|(key, _)| key.clone()).take(limit as usize).collect();
        for key in &old {
            self.set_answer(key.clone(), None);
        }
        Ok(old.len() as u64)
    }

    fn tickets_of_after(
        &mut self,
        backend: &BackendId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Ticket)>, TxError> {
        let rows = self.tickets.range(after.saturating_add(1)..);
        let of = rows.filter(|(_, ticket)| ticket.backend == *backend);
        Ok(of.take(limit as usize).map(|(n, ticket)| (*n, (**ticket).clone())).collect())
    }
}

impl SyncReads for MemoryStore {
    fn sync_row(&self, name: String) -> Answered<SyncRow> {
        now(self.rows().sync_named(&name))
    }

    fn sync_waiting(&self, name: String, most: u32) -> Answered<u64> {
        now(self.rows().outgoing_count(&name, most).unwrap_or_default())
    }

    fn held_list(&self, name: String, after: String, limit: u32) -> Answered<Vec<Held>> {
        let rows = self.rows();
        let of = rows.sync.held.values().filter(|held| held.sync == name && held.id > after);
        now(of.take(limit as usize).cloned().collect())
    }

    fn twin_of(&self, name: String, ticket: TicketKey) -> Answered<Option<Twin>> {
        now(self.rows().sync.twins.get(&(ticket, name)).cloned())
    }

    fn twins(&self, ticket: TicketKey) -> Answered<Vec<Twin>> {
        now(self.rows().twins_of(ticket).unwrap_or_default())
    }

    fn ticket_changes(&self, ticket: TicketKey, limit: u32) -> Answered<Vec<TicketChange>> {
        let rows = self.rows();
        let of = rows.sync.changes.iter().filter(|change| change.ticket == ticket);
        now(of.take(limit as usize).cloned().collect())
    }
}

impl Rows {
    /// What all syncs remember of a ticket.
    pub fn clone_twins(&self, ticket: TicketKey) -> Vec<Twin> {
        self.sync.twins.values().filter(|twin| twin.ticket == ticket).cloned().collect()
    }

    /// What was told of this id and not merged.
    pub fn held_of(&self, sync: &str, id: &str) -> Option<&Held> {
        self.sync.held.get(&(sync.to_owned(), id.to_owned()))
    }

    /// The history of all tickets, oldest first.
    pub fn all_ticket_changes(&self) -> impl Iterator<Item = &TicketChange> {
        self.sync.changes.iter()
    }
}
