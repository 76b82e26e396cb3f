//! Rows as the writer read or stored them last: a request's next change, which often follows within
//! milliseconds, neither looks them up nor decodes them again, and an update knows which of its columns
//! have moved.
//!
//! Always: what is here is what the transaction at work would read. Whatever is undone, written beside the
//! `put_*` of [`super::tx`], or written by somebody else's connection, empties all of it.

use super::fresh;
use super::tally::Tally;
use super::unwritten::Unwritten;
use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use ticketgate_actors::model::{
    Alarm, BackendId, ClientNumber, Fence, OccurrenceRef, Request, RequestId, ServiceTable,
    Snapshot, Ticket, TicketKey,
};
use ticketgate_actors::ports::LaneRow;

/// Rows of each table that are remembered: of tickets that are not new any more, what is between its intent
/// and its outcome at some hundred lanes. About 2 KiB each.
const KEPT: usize = 512;

/// What is remembered.
#[derive(Default)]
pub(super) struct Lately {
    pub(super) alarms: Rows<OccurrenceRef, Alarm>,
    pub(super) tickets: Rows<TicketKey, Ticket>,
    pub(super) requests: Rows<RequestId, Request>,
    /// Of each source, its newest snapshot, if there was one.
    pub(super) snapshots: Rows<String, Option<Snapshot>>,
    /// There are as many as backends, as of the next two.
    pub(super) lanes: HashMap<BackendId, LaneRow>,
    /// Tables of services, where there is one.
    pub(super) services: HashMap<BackendId, Option<ServiceTable>>,
    /// Un-ended requests, as far as they are written.
    pub(super) open_requests: HashMap<BackendId, i64>,
    /// There are as many as ticket clients.
    pub(super) barriers: HashMap<ClientNumber, Fence>,
    /// What was counted, and is not a row yet: nothing but its own rules forgets it.
    pub(super) tally: Tally,
    /// What the outbox is told of once it is committed, and by the same rules.
    pub(super) news: fresh::Group,
    /// What is not in its tables yet, and by the same rules.
    pub(super) unwritten: Unwritten,
    /// A route was set, or may have been; told once that is committed.
    pub(super) routes_moved: bool,
    /// The database's own number for what others have written.
    others_writes: Option<i64>,
}

impl Lately {
    /// A transaction begins, with that number for what others have written.
    pub(super) fn begin(&mut self, others_writes: Option<i64>) {
        self.tally.begin();
        self.news.begin();
        self.unwritten.begin();
        if others_writes.is_none() || others_writes != self.others_writes {
            self.forget();
            self.news.forget();
            self.unwritten.forget_numbers();
            self.routes_moved = true;
            self.others_writes = others_writes;
        }
    }

    /// Remembers no row any more.
    pub(super) fn forget(&mut self) {
        let (tally, news) = (std::mem::take(&mut self.tally), std::mem::take(&mut self.news));
        let unwritten = std::mem::take(&mut self.unwritten);
        let (others_writes, routes_moved) = (self.others_writes, self.routes_moved);
        *self = Self { others_writes, routes_moved, tally, news, unwritten, ..Self::default() };
    }
}

/// Rows of one table; the one that came first goes first.
pub(super) struct Rows<K, V> {
    rows: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Rows<K, V> {
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }

    pub(super) fn keep(&mut self, key: &K, row: V) {
        if let Some(place) = self.rows.get_mut(key) {
            *place = row;
            return;
        }
        if self.order.len() >= KEPT
            && let Some(first) = self.order.pop_front()
        {
            self.rows.remove(&first);
        }
        self.order.push_back(key.clone());
        self.rows.insert(key.clone(), row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_goes_first_and_what_is_kept_again_is_the_newer() {
        let mut rows = Rows::default();
        for n in 0..KEPT {
            rows.keep(&n, "old");
        }
        rows.keep(&1, "new");
        rows.keep(&KEPT, "one more");
        assert_eq!((rows.get(&0), rows.get(&1)), (None, Some(&"new")));
        assert_eq!(rows.rows.len(), KEPT);
        assert_eq!(rows.order.len(), KEPT);
    }

    #[test]
    fn what_others_have_written_empties_it() {
        let backend = BackendId::new("noc");
        let mut lately = Lately::default();
        for (others_writes, kept) in
            [(Some(1), false), (Some(1), true), (Some(2), false), (None, false), (None, false)]
        {
            lately.begin(others_writes);
            assert_eq!(lately.lanes.contains_key(&backend), kept, "{others_writes:?}");
            lately.lanes.insert(backend.clone(), LaneRow::default());
        }
    }
}
