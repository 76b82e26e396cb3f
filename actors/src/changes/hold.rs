//! A person keeps a lane, or one ticket in it, from making calls, until a person lets it go on.
//!
//! Both are rows: a restart changes nothing about them. What they stop is for the lane to say; its
//! call under way ends as it began.

use super::{Applied, Halt, Refusal};
use crate::model::{BackendId, TicketKey, Timestamp};
use crate::ports::{Pause, Tx};

/// Tickets of one backend that may be held at once: each is in its lane's memory, and a person who
/// wants more of them held wants the lane paused.
pub const HELD_MAX: u64 = 256;

/// A person holds one ticket of a lane, or lets it go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTicket {
    /// Whose lane.
    pub backend: BackendId,
    /// Which ticket.
    pub ticket: TicketKey,
    /// Hold it; else let it go on.
    pub hold: bool,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A person pauses a lane. A pause that is there already stays as it is, with its own reason.
pub(super) fn pause(
    tx: &mut dyn Tx,
    backend: &BackendId,
    (who, reason): (&str, &str),
    now: Timestamp,
) -> Result<Applied, Halt> {
    let mut row = tx.lane(backend)?;
    if row.pause.is_some() {
        return Err(Refusal::AlreadyPaused.into());
    }
    let pause = Pause { since: now, reason: reason.to_owned(), by: who.to_owned() };
    row.pause = Some(pause.clone());
    tx.put_lane(backend, &row)?;
    tx.audit(now, who, &format!("lane {backend} paused"), reason)?;
    Ok(Applied::Held(pause))
}

pub(super) fn ticket(tx: &mut dyn Tx, it: &HoldTicket, now: Timestamp) -> Result<Applied, Halt> {
    let mut ticket = tx.ticket(it.ticket)?.ok_or(Refusal::NotFound)?;
    if ticket.backend != it.backend {
        return Err(Refusal::NotFound.into());
    }
    let is_held = tx.held(it.ticket)?.is_some();
    let pause = Pause { since: now, reason: it.reason.clone(), by: it.who.clone() };
    let what = match (it.hold, is_held) {
        (true, true) => return Err(Refusal::AlreadyHeld.into()),
        (false, false) => return Err(Refusal::NotHeld.into()),
        (true, false) if tx.count_held(&it.backend)? >= HELD_MAX => {
            return Err(Refusal::TooManyHeld.into());
        }
        (true, false) => "held",
        (false, true) => "released",
    };
    tx.put_held(&it.backend, it.ticket, it.hold.then_some(&pause))?;
    ticket.story.add_because(now, format!("{what} by {}", it.who), &it.reason);
    tx.put_ticket(&ticket)?;
    tx.audit(now, &it.who, &format!("ticket {} {what} at {}", it.ticket, it.backend), &it.reason)?;
    Ok(Applied::Held(pause))
}
