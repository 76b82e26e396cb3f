//! Tickets that may exist twice are looked at again (rule G8).

use super::conclude::announce_of_ticket;
use super::{Applied, Halt, Refusal};
use crate::model::{
    BackendId, Epoch, EventId, EventName, Request, Ticket, TicketError, TicketKey, Timestamp,
    Watched,
};
use crate::ports::Tx;

/// A sweep's look at one ticket was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Whose lane.
    pub backend: BackendId,
    /// Under which lease.
    pub epoch: Epoch,
    /// Which ticket.
    pub ticket: TicketKey,
    /// Backend ids of all tickets that carry its key.
    pub found: Vec<String>,
    /// For the event, should there be one.
    pub event_id: EventId,
}

/// A create has ended that may have been done more than once, or though it was refused the last
/// time.
pub(super) fn begin(tx: &mut dyn Tx, request: &Request, looks: u32) -> Result<(), Halt> {
    if looks == 0 {
        return Ok(());
    }
    tx.put_watched(&Watched {
        ticket: request.ticket,
        backend: request.backend.clone(),
        request: request.id,
        service: request.service.clone(),
        looks_left: looks,
        reported: Vec::new(),
    })?;
    Ok(())
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Swept, now: Timestamp) -> Result<Applied, Halt> {
    super::lane::check_epoch(tx, &it.backend, it.epoch)?;
    let mut watched = tx.watched(it.ticket)?.ok_or(Refusal::NotFound)?;
    let mut ticket = tx.ticket(it.ticket)?.ok_or(Refusal::NotFound)?;
    let request = tx.request(watched.request)?.ok_or(Refusal::NotFound)?;
    watched.looks_left = watched.looks_left.saturating_sub(1);
    let others: Vec<_> = others(&ticket, it).filter(|id| !watched.reported.contains(id)).collect();
    let doubled = !others.is_empty() && !mutant!(NoSweep);
    if doubled {
        let reason = format!(
            "the backend has {} with the key {} beside {}",
            others.join(", "),
            ticket.correlation_key,
            ticket.backend_id.as_deref().unwrap_or("none")
        );
        ticket.story.add_because(now, "a duplicate was found at the backend", &reason);
        let error = Some(TicketError::because(reason));
        let linked = tx.alarms_of(ticket.key)?;
        let event = (EventName::DuplicateDetected, it.event_id);
        announce_of_ticket(tx, &mut ticket, &request, event, error, &linked, now)?;
        tx.put_ticket(&ticket)?;
        watched.reported.extend(others);
    }
    if watched.looks_left == 0 {
        tx.drop_watched(it.ticket)?;
    } else {
        tx.put_watched(&watched)?;
    }
    Ok(Applied::Swept { events: doubled })
}

fn others<'a>(ticket: &Ticket, it: &'a Swept) -> impl Iterator<Item = String> + 'a {
    let ours = ticket.backend_id.clone();
    it.found.iter().filter(move |id| Some(*id) != ours.as_ref()).cloned()
}
