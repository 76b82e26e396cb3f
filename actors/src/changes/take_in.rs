//! An alarm event comes in: identity, then the alarm's new level (rules I1, I2; CONTRACT 1.3).

use super::{Halt, snapshot};
use crate::logic::occurrence::{Absorbed, absorb};
use crate::logic::policy::Routing;
use crate::model::{AlarmEvent, BackendId, Identity, Timestamp};
use crate::ports::Tx;

/// A checked event and what policy says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeIn {
    /// Names the delivery: a known one changes nothing.
    pub identity: Identity,
    /// The event.
    pub event: AlarmEvent,
    /// Where its ticket goes.
    pub routing: Routing,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// The same delivery was here before; nothing changed.
    pub repeat: bool,
    /// Whose flows have work from now on, and from when.
    pub due: Option<(BackendId, Timestamp)>,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &TakeIn, now: Timestamp) -> Result<TakenIn, Halt> {
    if !tx.remember(&it.identity, now)? && !mutant!(RepeatsCount) {
        // A snapshot may name an alarm with the very event that raised it.
        if snapshot::open_number(tx, &it.event.alarm.source)?.is_some()
            && let Some(alarm) = tx.newest_alarm(&it.event.alarm)?
        {
            snapshot::name(tx, &alarm)?;
        }
        return Ok(TakenIn { repeat: true, due: None });
    }
    let newest = tx.newest_alarm(&it.event.alarm)?;
    let alarm = match absorb(newest, &it.event, &it.routing, now) {
        Absorbed::TooOld(alarm) | Absorbed::Changed(alarm) | Absorbed::Opened(alarm) => alarm,
    };
    tx.put_alarm(&alarm)?;
    snapshot::name(tx, &alarm)?;
    Ok(TakenIn { repeat: false, due: alarm.backend.zip(alarm.due_at) })
}
