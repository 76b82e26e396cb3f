//! A person decides about an alarm: it belongs to that ticket, to none, or none shall be made for it.
//!
//! What always holds: a request of the alarm that is under way is left alone, and so is the person's
//! wish then; a flow that has read the alarm before decides again, since its version has moved. The ticket
//! that it leaves stays as it is and is told of; a row that was made by a link alone goes with the last
//! alarm, so that its number is free for the request that made it there.

use super::command::Named;
use super::{Applied, Context, Halt, Refusal};
use crate::model::{Alarm, AlarmRef, Found, Op, Ticket, TicketKey, TicketName, Timestamp};
use crate::ports::Tx;

/// What a person wants of an alarm's newest occurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// It belongs to this ticket, whoever made that. What the alarm says now counts as said there.
    Link(TicketName),
    /// It belongs to no ticket: policy decides anew.
    Unlink,
    /// No ticket for this occurrence, whatever policy says. A ticket that it has stays as it is.
    NoTicket,
}

/// A person's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct ByHand {
    /// About which alarm.
    pub alarm: AlarmRef,
    /// What.
    pub wanted: Wanted,
    /// Should it need a new ticket row.
    pub row: Named,
    /// The ticket as its backend has just shown it, where it was asked and has it.
    pub seen: Option<Box<Found>>,
    /// Why the backend does not bear it out that there is such a ticket, where it does not: it was forced.
    pub unverified: Option<String>,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &ByHand, context: Context<'_>) -> Result<Applied, Halt> {
    let now = context.now.wall;
    let mut row = tx.newest_alarm(&it.alarm)?.ok_or(Refusal::UnknownAlarm)?;
    if row.request.is_some() {
        return Err(Refusal::UnderWay.into());
    }
    let left = match row.ticket {
        Some(key) => tx.ticket(key)?,
        None => None,
    };
    let mut what = match &it.wanted {
        Wanted::Link(name) => {
            let ticket = named(tx, it, name, context)?;
            if ticket.status.ended() {
                return Err(Refusal::Closed.into());
            }
            // It would be closed under the alarm.
            if tx.has_open_request(ticket.key, Op::Close)? && !mutant!(LinksToTheClosing) {
                return Err(Refusal::BeingClosed.into());
            }
            link(&mut row, ticket.key);
            row.left.retain(|before| *before != ticket.key);
            row.backend = Some(ticket.backend.clone());
            row.kind = ticket.kind;
            let theirs = ticket.backend_id.as_deref().unwrap_or("not made yet");
            let unverified = it.unverified.as_ref().map(|why| format!(", not verified: {why}"));
            let unverified = unverified.unwrap_or_default();
            format!("linked to ticket {} ({} {theirs}){unverified}", ticket.key, ticket.backend)
        }
        Wanted::Unlink => {
            let key = row.ticket.ok_or(Refusal::NotLinked)?;
            row.take_care_of(None);
            row.taken_off = true;
            if row.active && row.backend.is_some() {
                row.settled_version -= 1;
                row.due_at = Some(now);
            }
            format!("taken off ticket {key}")
        }
        Wanted::NoTicket => {
            row.take_care_of(None);
            row.no_ticket = true;
            "no ticket for this occurrence".to_owned()
        }
    };
    let left = left.filter(|left| row.ticket != Some(left.key));
    if let Some(left) = &left {
        row.leave(left.key);
        what.push_str(&was(left));
    }
    write_down(&mut row, &what, it, now);
    tx.audit(now, &it.who, &format!("alarm {}: {what}", it.alarm), &it.reason)?;
    tx.put_alarm(&row)?;
    if let Some(left) = left {
        close_behind(tx, left.key, now)?;
        free(tx, &left)?;
    }
    Ok(Applied::ByHand(Box::new(row)))
}

/// Gives it that ticket. What it has yet to say there stays to be said where it is its own already: that may be
/// the close for all who share it, and nobody else would make it.
fn link(row: &mut Alarm, ticket: TicketKey) {
    let unsaid = (row.ticket == Some(ticket) && row.unsettled()).then_some((row.due_at, row.waits));
    row.take_care_of(Some(ticket));
    if let Some((due_at, waits)) = unsaid {
        row.settled_version -= 1;
        (row.due_at, row.waits) = (due_at, waits);
    }
}

/// The ticket of that name. A row that is new says what its backend has just shown.
fn named(
    tx: &mut dyn Tx,
    it: &ByHand,
    name: &TicketName,
    context: Context<'_>,
) -> Result<Ticket, Halt> {
    let mut ticket = it.row.ticket(tx, name, context)?;
    if ticket.key == it.row.ticket {
        ticket.only_linked = true;
        if let Some(seen) = it.seen.as_deref() {
            ticket.status = seen.status.unwrap_or(ticket.status);
            ticket.url.clone_from(&seen.url);
            ticket.backend_status.clone_from(&seen.backend_status);
        }
        tx.put_ticket(&ticket)?;
    }
    Ok(ticket)
}

/// What becomes of the ticket that it had.
fn was(left: &Ticket) -> String {
    let theirs = left.backend_id.as_deref().unwrap_or("not made yet");
    format!("; was {theirs} at {}, left there {}", left.backend, left.status.as_str())
}

/// A ticket that is here only because somebody linked an alarm to it goes, once no alarm is left: nothing
/// was ever sent or told of it.
fn free(tx: &mut dyn Tx, left: &Ticket) -> Result<(), Halt> {
    let only_linked = left.only_linked
        && left.sequence == 0
        && !left.synced
        && !tx.has_requests(left.key)?
        && tx.held(left.key)?.is_none()
        && tx.alarms_of(left.key)?.is_empty();
    if only_linked {
        tx.drop_ticket(left.key)?;
    }
    Ok(())
}

/// The close of a ticket may have waited for the alarm that has left it: one of those that are
/// cleared decides again.
fn close_behind(tx: &mut dyn Tx, ticket: TicketKey, now: Timestamp) -> Result<(), Halt> {
    let mut rest = tx.alarms_of(ticket)?;
    if rest.iter().any(|alarm| alarm.active) || mutant!(NobodyCloses) {
        return Ok(());
    }
    // Where one of them has a request, its end makes that one due.
    let place = rest.iter().position(|alarm| alarm.request.is_some());
    if let Some(last) = place.or(rest.len().checked_sub(1)).map(|n| &mut rest[n]) {
        last.wanted_version += 1;
        last.due_at = last.request.is_none().then_some(now);
        last.story.add(now, "looked at again: the last active alarm has left its ticket");
        tx.put_alarm(last)?;
    }
    Ok(())
}

fn write_down(row: &mut Alarm, what: &str, it: &ByHand, now: Timestamp) {
    row.reason = Some(format!("{what} by {}: {}", it.who, it.reason));
    row.story.add_because(now, format!("{what} by {}", it.who), &it.reason);
}
