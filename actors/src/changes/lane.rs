//! Lanes as rows: who holds one (epoch), and whether it is paused.

use super::conclude::{Conclude, End, conclude_request};
use super::{Applied, Halt, Refusal};
use crate::model::{BackendId, Epoch, EventId, State, TicketError, Timestamp};
use crate::ports::{Pause, Tx};
use std::time::Duration;
use uuid::Uuid;

/// A node takes a lane. Every intent that was open is in doubt from now on: nobody knows whether
/// its call reached the backend before the old holder was gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeLane {
    /// Whose lane.
    pub backend: BackendId,
    /// How long such a doubt settles before the first look.
    pub settle: Duration,
    /// For the event of the first open intent; those of the others are made from it. A lane has one of
    /// its call, and at most [`PRIMED_MAX`](crate::logic::lane::PRIMED_MAX) that are not sent.
    pub event_id: EventId,
}

/// Where the number of an intent goes into its event's id: among the bits that are drawn.
const NTH_EVENT: u32 = 32;

pub(super) fn check_epoch(tx: &mut dyn Tx, backend: &BackendId, epoch: Epoch) -> Result<(), Halt> {
    if tx.lane(backend)?.epoch == epoch || mutant!(AnyEpoch) {
        Ok(())
    } else {
        Err(Refusal::StaleEpoch.into())
    }
}

pub(super) fn take(tx: &mut dyn Tx, it: &TakeLane, now: Timestamp) -> Result<Applied, Halt> {
    let mut row = tx.lane(&it.backend)?;
    row.epoch = Epoch(row.epoch.0 + 1);
    tx.put_lane(&it.backend, &row)?;
    let open = tx.requests_in(&it.backend, State::Intent)?;
    // Nobody knows which of them was sent.
    for (n, request) in (0u128..).zip(open).filter(|_| !mutant!(IntentsForgotten)) {
        let event_id = EventId(Uuid::from_u128(it.event_id.0.as_u128() ^ (n << NTH_EVENT)));
        let conclude = Conclude {
            backend: it.backend.clone(),
            epoch: row.epoch,
            request: request.id,
            attempt: request.attempts,
            end: End::InDoubt {
                look_at: now.plus(it.settle),
                error: TicketError::because(
                    "the service stopped while the call was under way: its answer is lost",
                ),
            },
            event_ids: [event_id, event_id],
            by_later_answer: false,
            watch_looks: 0,
        };
        conclude_request(tx, request, &conclude, now)?;
    }
    Ok(Applied::LaneTaken(row.epoch, row.pause))
}

pub(super) fn pause(
    tx: &mut dyn Tx,
    backend: &BackendId,
    epoch: Epoch,
    pause: &Pause,
) -> Result<Applied, Halt> {
    check_epoch(tx, backend, epoch)?;
    let mut row = tx.lane(backend)?;
    if row.pause.is_none() {
        tx.audit(pause.since, &pause.by, &format!("lane {backend} paused"), &pause.reason)?;
        row.pause = Some(pause.clone());
        tx.put_lane(backend, &row)?;
    }
    Ok(Applied::Done)
}

pub(super) fn resume(
    tx: &mut dyn Tx,
    backend: &BackendId,
    who: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Applied, Halt> {
    let mut row = tx.lane(backend)?;
    row.pause = None;
    tx.put_lane(backend, &row)?;
    tx.audit(now, who, &format!("lane {backend} resumed"), reason)?;
    Ok(Applied::Done)
}
