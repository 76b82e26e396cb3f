//! What readers must know of rows that are not in their tables yet.
//!
//! Always: it is told after the commit that made it true, and before anybody hears of that. A read that
//! any of it may concern has all written first; only the one that flows make for every page of alarms, and the
//! count of events to come, go by what stands here.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ticketgate_actors::model::{Alarm, AlarmRef, BackendId};

/// A commit that writes to the tables takes milliseconds; a read that has waited for so long has all written
/// instead.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// Shared by the writer and those who read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    state: Mutex<State>,
    /// Nothing is being written to the tables any more.
    written: Condvar,
}

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

/// What a read of a backend's rows cannot know.
#[derive(Debug)]
pub(super) struct WithoutRows {
    /// As in [`State`].
    alarms: HashMap<AlarmRef, (u64, bool)>,
    /// Alarms of the backend whose rows are older than they are.
    pub(super) old: usize,
    /// Its un-ended requests that have no row.
    pub(super) open: i64,
}

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

    /// How the tables are, before a read begins. None: they are being written to all the time.
    pub(super) fn tables(&self) -> Option<As> {
        let being_written = |state: &mut State| state.writing;
        let state = self.lock();
        let waited = self.written.wait_timeout_while(state, WRITTEN_WITHIN, being_written);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.tables()
    }

    /// What a read of a backend's rows cannot know, once it sees the tables as they were then. None: they have
    /// been written to since.
    pub(super) fn without_rows(&self, backend: &BackendId, tables: As) -> Option<WithoutRows> {
        let state = self.lock();
        (state.tables() == Some(tables)).then(|| WithoutRows {
            alarms: state.alarms.clone(),
            old: state.old.get(backend).copied().unwrap_or(0),
            open: state.open.get(backend).copied().unwrap_or(0),
        })
    }

    /// Events that are not confirmed and have no row.
    pub(super) fn unsent(&self) -> u64 {
        self.lock().unsent
    }

    /// Judges rows that a read has seen, by what was so when it began, and by what has come since.
    pub(super) fn judge<'a>(
        &self,
        alarms: impl Iterator<Item = &'a Alarm>,
        then: &WithoutRows,
    ) -> Vec<RowIs> {
        let state = self.lock();
        let judge = |alarm: &Alarm| {
            let at = &alarm.at.alarm;
            match state.alarms.get(at).or_else(|| then.alarms.get(at)) {
                None => RowIs::Right,
                Some((occurrence, false)) if *occurrence == alarm.at.occurrence => RowIs::Old,
                Some(_) => RowIs::Unsure,
            }
        };
        alarms.map(judge).collect()
    }

    pub(super) fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        how(&mut state);
        if !state.writing {
            self.written.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
