//! What the calls to a backend came to since the start: counts for trends, and nothing that anybody
//! decides on.
//!
//! What always holds: every call is counted once, when it has ended; a reader takes the longest call
//! and begins a new one, all else only grows.

use super::Exchanged;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one backend.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU64,
    made: AtomicU64,
    failed: AtomicU64,
    took_us: AtomicU64,
    longest_us: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls that have ended.
    pub calls: u64,
    /// Creates among them that the backend took.
    pub made: u64,
    /// Those that were not done, or of which it is not known.
    pub failed: u64,
    /// What they took together, in microseconds.
    pub took_us: u64,
}

impl Tally {
    pub(super) fn count(&self, row: &Exchanged) {
        let took = u64::try_from(row.took.as_micros()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.took_us.fetch_add(took, Ordering::Relaxed);
        self.longest_us.fetch_max(took, Ordering::Relaxed);
        if row.failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if row.what == "create" {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts now.
    pub fn now(&self) -> Counted {
        Counted {
            calls: self.calls.load(Ordering::Relaxed),
            made: self.made.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            took_us: self.took_us.load(Ordering::Relaxed),
        }
    }

    /// The longest call since this was asked last, in microseconds. For one reader.
    pub fn take_longest_us(&self) -> u64 {
        self.longest_us.swap(0, Ordering::Relaxed)
    }
}
