//! A test alarm's steps through the store (docs/canary.md).
//!
//! Always: at most one test alarm a backend is in the store; it makes no alarm, no ticket, no request
//! and no history; when its event is confirmed, or its round is given up, nothing of it is left.

use super::decide::{LockProof, check_lock};
use super::{Applied, Halt, Refusal};
use crate::model::{EventId, Mono, TestAlarm, TestRow, TicketKey, Timestamp};
use crate::ports::Tx;
use uuid::Uuid;

/// One step of a test alarm.
#[derive(Clone, Debug, PartialEq)]
pub enum CanaryStep {
    /// It came in; a predecessor that is still there goes.
    TakeIn,
    /// A ticket client carries it, under this lock.
    Carry(LockProof),
    /// The backend has answered: its event goes to the outbox.
    Tell(EventId),
    /// The broker has confirmed its event: nothing of it stays.
    Told,
    /// Its round is given up: nothing of it stays.
    GiveUp,
}

pub(super) fn perform(
    tx: &mut dyn Tx,
    test: &TestAlarm,
    step: &CanaryStep,
    (now, mono): (Timestamp, Mono),
) -> Result<Applied, Halt> {
    let mut row = tx.lane(&test.backend)?;
    let is_this = row.canary.as_ref().is_some_and(|it| it.round == test.round);
    match step {
        CanaryStep::TakeIn if is_this => return Ok(Applied::Canary(test.clone())),
        CanaryStep::TakeIn => {
            let before = row.canary.replace(TestRow { round: test.round, carried: false });
            if let Some(before) = before {
                drop_event(tx, before.round)?;
            }
        }
        CanaryStep::Carry(lock) => {
            check_lock(tx, lock, mono)?;
            let it = row.canary.as_mut().filter(|_| is_this).ok_or(Refusal::NotFound)?;
            it.carried = true;
        }
        CanaryStep::Tell(event_id) => {
            let carried = row.canary.as_ref().is_some_and(|it| it.carried);
            if !is_this || !carried {
                return Err(Refusal::NotFound.into());
            }
            tx.add_event(&test.event(*event_id, now))?;
            return Ok(Applied::Canary(test.clone()));
        }
        CanaryStep::Told | CanaryStep::GiveUp => {
            drop_event(tx, test.round)?;
            if !is_this || mutant!(CanaryStays) {
                return Ok(Applied::Canary(test.clone()));
            }
            row.canary = None;
        }
    }
    tx.put_lane(&test.backend, &row)?;
    Ok(Applied::Canary(test.clone()))
}

/// A round has one event at the most, under a key of its own.
fn drop_event(tx: &mut dyn Tx, round: Uuid) -> Result<(), Halt> {
    tx.drop_events(TicketKey(round), 1)?;
    Ok(())
}
