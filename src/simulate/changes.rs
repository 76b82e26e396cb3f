//! In which order, and when, the tickets of one simulated backend changed: what its feed is read from.
//!
//! What always holds: every change has a number of its own, and a ticket has only its newest one, so that
//! a ticket that changes again comes again, at the end. Times are of the backend's own clock, which may go
//! wrong, and as coarse as the system writes them: several changes may have the same.
//!
//! What it leaves to others: the tickets (`tickets`), reading a clock (`ledger`).

use std::collections::{BTreeMap, BTreeSet};

/// A ticket's newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// Its number, from 1.
    pub number: u64,
    /// When, by the backend's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// When, since the start.
    pub seen_ms: u64,
}

/// The newest change of every ticket. A ticket is named by its place in the list of all.
#[derive(Debug)]
pub(super) struct Changes {
    /// The backend's clock at the start.
    clock_ms: i64,
    precision_ms: i64,
    last: u64,
    of: Vec<Change>,
    by_number: BTreeMap<u64, usize>,
    by_time: BTreeSet<(i64, usize)>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            clock_ms: 0,
            precision_ms: 1,
            last: 0,
            of: Vec::new(),
            by_number: BTreeMap::new(),
            by_time: BTreeSet::new(),
        }
    }
}

impl Changes {
    /// Times are written no finer than this.
    pub fn be_as_coarse_as(&mut self, precision_ms: i64) {
        self.precision_ms = precision_ms.max(1);
    }

    /// The backend's clock says this at the start; what has changed keeps its time.
    pub fn set_clock(&mut self, clock_ms: i64) {
        self.clock_ms = clock_ms;
    }

    /// What the backend's clock says.
    pub fn clock_at(&self, now_ms: u64) -> i64 {
        self.clock_ms.saturating_add(i64::try_from(now_ms).unwrap_or(i64::MAX))
    }

    /// A ticket changes; one that is new is the next one.
    pub fn note(&mut self, ticket: usize, now_ms: u64) -> Change {
        let at_ms = self.coarse(self.clock_at(now_ms));
        self.last += 1;
        let change = Change { number: self.last, at_ms, seen_ms: now_ms };
        match self.of.get_mut(ticket) {
            Some(last) => {
                self.by_number.remove(&last.number);
                self.by_time.remove(&(last.at_ms, ticket));
                *last = change;
            }
            None => self.of.push(change),
        }
        self.by_number.insert(change.number, ticket);
        self.by_time.insert((at_ms, ticket));
        change
    }

    /// A ticket's newest change.
    pub fn of(&self, ticket: usize) -> Change {
        self.of[ticket]
    }

    /// The tickets whose newest change has a number above this, in the order of those.
    pub fn after(&self, number: u64) -> impl Iterator<Item = usize> {
        self.by_number.range(number.saturating_add(1)..).map(|(_, ticket)| *ticket)
    }

    /// The tickets that changed at or after this time, in the order of time; those of the same time in the
    /// order in which they were made.
    pub fn since(&self, at_ms: i64) -> impl Iterator<Item = usize> {
        self.by_time.range((self.coarse(at_ms), 0)..).map(|(_, ticket)| *ticket)
    }

    fn coarse(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.precision_ms).saturating_mul(self.precision_ms)
    }
}

/// A time as most systems write it: RFC 3339 in UTC, with milliseconds.
pub(super) fn written(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| format!("{at:.3}")).unwrap_or_default()
}

/// The same without them.
pub(super) fn written_in_seconds(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| format!("{at:.0}")).unwrap_or_default()
}

/// Reads a time that says its zone.
pub(super) fn read(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_changes_again_moves_to_the_end() {
        let mut changes = Changes::default();
        for (ticket, now_ms) in [(0, 10), (1, 20), (2, 30), (0, 40)] {
            changes.note(ticket, now_ms);
        }
        assert_eq!(changes.after(0).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(changes.after(2).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(changes.since(30).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(changes.of(0), Change { number: 4, at_ms: 40, seen_ms: 40 });
    }

    #[test]
    fn coarse_times_are_equal_and_are_found_by_a_finer_one() {
        let mut changes = Changes::default();
        changes.be_as_coarse_as(1_000);
        changes.set_clock(5_000);
        for (ticket, now_ms) in [(0, 100), (1, 900), (2, 1_000), (0, 990)] {
            changes.note(ticket, now_ms);
        }
        assert_eq!(changes.of(0).at_ms, 5_000);
        assert_eq!(changes.since(5_700).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(changes.since(6_000).collect::<Vec<_>>(), [2]);
        assert_eq!(written(5_000), "1970-01-01T00:00:05.000Z");
        assert_eq!(written_in_seconds(5_000), "1970-01-01T00:00:05Z");
    }
}
