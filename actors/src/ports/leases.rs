//! Which node runs a lane. One node: always this one, with a new epoch at each take-over. Several
//! nodes (later): a lease on PostgreSQL behind the same port.

use super::{Pause, Soon};
use crate::model::{BackendId, Epoch};
use std::time::Duration;

/// Another node holds the lane, or the store did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the lane of {backend} was not taken: {reason}")]
pub struct LeaseLost {
    /// Whose lane.
    pub backend: BackendId,
    /// Why.
    pub reason: String,
}

/// Grants lanes to nodes.
pub trait Leases: Send + Sync {
    /// Takes a lane; its open intents settle for `settle` before the first look. After it returns, no write under an older epoch of this lane is accepted by
    /// the store (rule G13), and every intent that was open is in doubt. If it fails, nothing
    /// may be sent to that backend.
    fn take(
        &self,
        backend: BackendId,
        settle: Duration,
    ) -> Soon<Result<(Epoch, Option<Pause>), LeaseLost>>;
}
