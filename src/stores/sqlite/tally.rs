//! Rows that are counted as they change, because counting a million of them takes too long: admission asks
//! at every decision, metrics at every scrape.
//!
//! Always: what a set of changes counted stands or falls with it, and is written once for a whole group, in
//! the group's own transaction; what is asked within it knows what was counted and not yet written.

use rusqlite::{Connection, params};
use std::collections::HashMap;
use ticketgate_actors::model::{BackendId, HistoryList, State};

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Requests(BackendId, State),
    History(HistoryList),
}

/// A row that falls to nothing stays: there are as many as backends have states.
const ADD_REQUESTS: &str = "INSERT INTO request_counts (backend, state, n) VALUES (?1, ?2, ?3)
    ON CONFLICT (backend, state) DO UPDATE SET n = n + ?3";
const ADD_HISTORY: &str = "INSERT INTO history_counts (list, n) VALUES (?1, ?2)
    ON CONFLICT (list) DO UPDATE SET n = n + ?2";

/// What was counted and is not yet written.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Of the sets of this group that stand.
    group: HashMap<Key, i64>,
    /// Of the set at work.
    set: Vec<(Key, i64)>,
}

impl Tally {
    /// A request has come, gone or moved, by its states before and now.
    pub(super) fn request(
        &mut self,
        backend: &BackendId,
        before: Option<State>,
        now: Option<State>,
    ) {
        if before == now {
            return;
        }
        let mut add = |state: Option<State>, n| {
            self.set.extend(state.map(|state| (Key::Requests(backend.clone(), state), n)));
        };
        add(before, -1);
        add(now, 1);
    }

    /// So many rows more of a history list, or fewer.
    pub(super) fn history(&mut self, list: HistoryList, n: i64) {
        self.set.push((Key::History(list), n));
    }

    /// What is to be added to the stored number of un-ended requests.
    pub(super) fn open_requests(&self, backend: &BackendId) -> i64 {
        self.of(|key| matches!(key, Key::Requests(of, state) if of == backend && !state.ended()))
    }

    /// What is to be added to the stored number of history rows.
    pub(super) fn history_rows(&self, list: HistoryList) -> i64 {
        self.of(|key| matches!(key, Key::History(of) if *of == list))
    }

    fn of(&self, which: impl Fn(&Key) -> bool) -> i64 {
        let group = self.group.iter().filter(|(key, _)| which(key)).map(|(_, n)| *n);
        let set = self.set.iter().filter(|(key, _)| which(key)).map(|(_, n)| *n);
        group.sum::<i64>() + set.sum::<i64>()
    }

    /// The set at work stands.
    pub(super) fn stands(&mut self) {
        for (key, n) in self.set.drain(..) {
            *self.group.entry(key).or_default() += n;
        }
    }

    /// The set at work was undone.
    pub(super) fn undone(&mut self) {
        self.set.clear();
    }

    /// The whole transaction was undone, or a new one begins.
    pub(super) fn begin(&mut self) {
        self.set.clear();
        self.group.clear();
    }

    /// Nothing was counted that does not stand in its table.
    pub(super) fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Writes what the group's sets have counted.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (key, n) in self.group.drain().filter(|(_, n)| *n != 0) {
            match key {
                Key::Requests(backend, state) => connection
                    .prepare_cached(ADD_REQUESTS)?
                    .execute(params![backend.as_str(), state.as_str(), n])?,
                Key::History(list) => {
                    connection.prepare_cached(ADD_HISTORY)?.execute(params![list.as_str(), n])?
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_was_undone_counts_nothing_and_one_that_stands_is_known_before_it_is_written() {
        let (noc, crm) = (BackendId::new("noc"), BackendId::new("crm"));
        let mut tally = Tally::default();
        tally.request(&noc, None, Some(State::Accepted));
        tally.history(HistoryList::Failed, 2);
        tally.undone();
        assert_eq!((tally.open_requests(&noc), tally.history_rows(HistoryList::Failed)), (0, 0));
        tally.request(&noc, None, Some(State::Accepted));
        tally.request(&crm, Some(State::Intent), Some(State::Done));
        assert_eq!((tally.open_requests(&noc), tally.open_requests(&crm)), (1, -1));
        tally.stands();
        tally.request(&noc, Some(State::Accepted), Some(State::Intent));
        tally.history(HistoryList::Status, -1);
        assert_eq!((tally.open_requests(&noc), tally.open_requests(&crm)), (1, -1));
        assert_eq!(tally.history_rows(HistoryList::Status), -1);
        tally.begin();
        assert_eq!((tally.open_requests(&noc), tally.history_rows(HistoryList::Status)), (0, 0));
    }
}
