//! Leases of a single node: every lane is always ours, with a new epoch at each take-over.

use crate::changes::{Applied, Change, TakeLane};
use crate::model::{BackendId, Epoch, EventId};
use crate::ports::{Clock, Ids, LeaseLost, Leases, Pause, Soon, Store};
use std::sync::Arc;
use std::time::Duration;

/// [`Leases`] on the store alone.
pub struct StoreLeases {
    /// The writer.
    pub store: Arc<dyn Store>,
    /// Time, for ids.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub ids: Arc<dyn Ids>,
}

impl Leases for StoreLeases {
    fn take(
        &self,
        backend: BackendId,
        settle: Duration,
    ) -> Soon<Result<(Epoch, Option<Pause>), LeaseLost>> {
        let event_id = EventId(self.ids.uuid(self.clock.now().wall));
        let taken = self.store.apply(
            Change::TakeLane(TakeLane { backend: backend.clone(), settle, event_id }).into(),
        );
        Box::pin(async move {
            match taken.await.as_deref() {
                Ok([Applied::LaneTaken(epoch, pause)]) => Ok((*epoch, pause.clone())),
                Ok(_) => Err(LeaseLost { backend, reason: "the store answered oddly".into() }),
                Err(error) => Err(LeaseLost { backend, reason: error.to_string() }),
            }
        })
    }
}
