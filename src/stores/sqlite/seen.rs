//! What readers must know of rows that are not in their tables yet.
//!
//! Always: it is told after the commit that made it true, and before anybody hears of that. A read that
//! any of it may concern has all written first; only the one that flows make for every page of alarms, and the
//! count of events to come, go by what stands here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use ticketgate_actors::model::{Alarm, AlarmRef, BackendId};

/// Shared by the writer and those who read.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    /// Something is not in its tables.
    pub(super) any: bool,
    /// Alarms whose rows are older than they are: the occurrence, and whether it is due.
    alarms: HashMap<AlarmRef, (u64, bool)>,
    /// How many of them each backend has.
    old: HashMap<BackendId, usize>,
    due: usize,
    /// Events that are not confirmed and have no row.
    pub(super) unsent: u64,
    /// Un-ended requests that have no row.
    open: HashMap<BackendId, i64>,
    /// Something is being written to the tables, and may be there already.
    pub(super) writing: bool,
    /// Grows whenever something was written to the tables.
    pub(super) written: u64,
}

/// The state of the tables that a read went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct As(u64);

/// What is to be thought of an alarm's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowIs {
    /// As the alarm is.
    Right,
    /// Older than the alarm, which is not due.
    Old,
    /// Not to be gone by: all has to be written first.
    Unsure,
}

impl Seen {
    /// Something is not in its tables.
    pub(super) fn any(&self) -> bool {
        self.lock().any
    }

    /// Some alarm is due whose row may not say so.
    pub(super) fn any_due(&self) -> bool {
        self.lock().due > 0
    }

    /// A backend's alarms whose rows are older than they are, and its un-ended requests that have no row. None:
    /// tables are being written to.
    pub(super) fn without_rows(&self, backend: &BackendId) -> Option<(usize, i64, As)> {
        let state = self.lock();
        let old = state.old.get(backend).copied().unwrap_or(0);
        let open = state.open.get(backend).copied().unwrap_or(0);
        Some((old, open, state.tables()?))
    }

    /// Events that are not confirmed and have no row.
    pub(super) fn unsent(&self) -> u64 {
        self.lock().unsent
    }

    /// Judges rows that were read from such tables; none: they have been written to since.
    pub(super) fn judge<'a>(
        &self,
        alarms: impl Iterator<Item = &'a Alarm>,
        tables: As,
    ) -> Option<Vec<RowIs>> {
        let state = self.lock();
        let judge = |alarm: &Alarm| match state.alarms.get(&alarm.at.alarm) {
            None => RowIs::Right,
            Some((occurrence, false)) if *occurrence == alarm.at.occurrence => RowIs::Old,
            Some(_) => RowIs::Unsure,
        };
        (state.tables() == Some(tables)).then(|| alarms.map(judge).collect())
    }

    pub(super) fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tables(&self) -> Option<As> {
        (!self.writing).then_some(As(self.written))
    }

    /// All is in its tables.
    pub(super) fn forget(&mut self) {
        *self = Self { written: self.written, ..Self::default() };
    }

    /// The row of this alarm is older than it, or is not any more.
    pub(super) fn alarm(&mut self, alarm: &Alarm, older: bool) {
        let before = match older {
            true => {
                let now = (alarm.at.occurrence, alarm.due_at.is_some());
                self.due += usize::from(now.1);
                self.alarms.insert(alarm.at.alarm.clone(), now)
            }
            false => self.alarms.remove(&alarm.at.alarm),
        };
        self.due -= usize::from(before.is_some_and(|(_, due)| due));
        let Some(backend) = alarm.backend.as_ref().filter(|_| before.is_some() != older) else {
            return;
        };
        match self.old.get_mut(backend) {
            Some(old) => *old = if older { *old + 1 } else { old.saturating_sub(1) },
            None => drop(self.old.insert(backend.clone(), usize::from(older))),
        }
    }

    pub(super) fn open(&mut self, backend: &BackendId, n: i64) {
        match self.open.get_mut(backend) {
            Some(known) => *known = n,
            None => drop(self.open.insert(backend.clone(), n)),
        }
    }
}
