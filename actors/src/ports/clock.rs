//! Time, identities and chance as arguments.

use crate::model::{Moment, Timestamp};
use uuid::Uuid;

/// The one place that asks what time it is.
pub trait Clock: Send + Sync {
    /// Both clocks, read at once.
    fn now(&self) -> Moment;
}

/// The one place that makes identities and rolls dice.
pub trait Ids: Send + Sync {
    /// A fresh UUIDv7 for that time.
    fn uuid(&self, at: Timestamp) -> Uuid;
    /// A number from 0 up to, not including, 1: for jitter.
    fn chance(&self) -> f64;
}
