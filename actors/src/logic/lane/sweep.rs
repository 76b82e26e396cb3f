//! The duplicate sweep: tickets that may exist twice are looked at again (rule G8).
//!
//! A sweep is one walk over the watched tickets of a backend, a page at a time, each looked at by
//! its correlation key when the lane has nothing better to do. A look that is not answered is left
//! to the next sweep.

use crate::model::{Mono, Ticket, Watched};
use std::collections::VecDeque;
use std::time::Duration;

/// Answered looks at each ticket: an hour of sweeps, five minutes apart. Nothing that was sent is
/// done later than that.
pub const WATCH_LOOKS: u32 = 12;
/// Watched tickets that are read at a time.
pub const SWEEP_PAGE: u32 = 64;

/// The sweep of one lane.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    queue: VecDeque<(Watched, Ticket)>,
    queued_at: Mono,
    every: Duration,
    /// None: this backend cannot be searched.
    next_at: Option<Mono>,
    /// The place up to which this sweep has come; none: none is under way.
    after: Option<u64>,
    loading: bool,
}

impl Sweep {
    /// Sweeps from now on, with this pause between two sweeps.
    pub fn begin(&mut self, every: Duration, now: Mono) {
        *self = Self { every, next_at: Some(now.plus(every)), ..Self::default() };
    }

    pub fn stop(&mut self) {
        *self = Self::default();
    }

    /// From after which place a page is to be read now, if one is.
    pub fn wants_load(&mut self, now: Mono) -> Option<u64> {
        if self.after.is_none() && self.next_at.is_some_and(|at| at <= now) {
            self.after = Some(0);
        }
        let after = self.after.filter(|_| !self.loading && self.queue.is_empty())?;
        self.loading = true;
        Some(after)
    }

    /// A page came; none: it could not be read.
    pub fn loaded(&mut self, rows: Option<Vec<(u64, Watched, Ticket)>>, now: Mono) {
        self.loading = false;
        if self.after.is_none() {
            return;
        }
        match rows.as_ref().and_then(|rows| rows.last()).map(|(n, ..)| *n) {
            Some(last) => self.after = Some(last),
            None => {
                self.after = None;
                self.next_at = Some(now.plus(self.every));
            }
        }
        self.queued_at = now;
        self.queue.extend(rows.into_iter().flatten().map(|(_, watched, ticket)| (watched, ticket)));
    }

    /// Since when the first one waits for its look.
    pub fn waits_since(&self) -> Option<Mono> {
        self.queue.front().map(|_| self.queued_at)
    }

    pub fn take(&mut self) -> Option<(Watched, Ticket)> {
        self.queue.pop_front()
    }

    /// When the next sweep begins.
    pub fn next(&self) -> Option<Mono> {
        self.next_at.filter(|_| self.after.is_none())
    }
}
