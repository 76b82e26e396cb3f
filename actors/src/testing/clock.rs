//! A clock that is set by hand, and ids that count.

use crate::model::{Moment, Mono, Timestamp};
use crate::ports::{Clock, Ids};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Starts at an arbitrary day; moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall_millis: AtomicI64,
    mono_millis: AtomicU64,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { wall_millis: AtomicI64::new(1_800_000_000_000), mono_millis: AtomicU64::new(1_000) }
    }
}

impl ManualClock {
    /// Lets time pass on both clocks.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.mono_millis.fetch_add(millis, Ordering::SeqCst);
        self.jump(i64::try_from(millis).unwrap_or(i64::MAX));
    }
    /// Sets the wall clock forth or back; monotonic time does not notice.
    pub fn jump(&self, millis: i64) {
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment {
            wall: Timestamp::from_millis(self.wall_millis.load(Ordering::SeqCst)),
            mono: Mono(self.mono_millis.load(Ordering::SeqCst)),
        }
    }
}

/// 1, 2, 3, …; and always the middle of every chance.
#[derive(Debug, Default)]
pub struct CountedIds(AtomicU64);

impl Ids for CountedIds {
    fn uuid(&self, _: Timestamp) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst)) + 1)
    }
    fn chance(&self) -> f64 {
        0.5
    }
}
