//! A person decides about an alarm: it belongs to that ticket, to none, or none shall be made for it.
//!
//! What always holds: a request of the alarm that is under way is left alone, and so is the person's
//! wish then; a flow that has read the alarm before decides again, since its version has moved.

use super::command::Named;
use super::decide::is_being_closed;
use super::{Applied, Context, Halt, Refusal};
use crate::model::{Alarm, AlarmRef, TicketKey, TicketName, Timestamp};
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
    let left = row.ticket;
    let what = match &it.wanted {
        Wanted::Link(name) => {
            let ticket = it.row.ticket(tx, name, context)?;
            if ticket.status.ended() {
                return Err(Refusal::Closed.into());
            }
            // It would be closed under the alarm.
            if is_being_closed(tx, ticket.key)? && !mutant!(LinksToTheClosing) {
                return Err(Refusal::BeingClosed.into());
            }
            row.take_care_of(Some(ticket.key));
            row.backend = Some(ticket.backend.clone());
            row.kind = ticket.kind;
            let theirs = ticket.backend_id.as_deref().unwrap_or("not made yet");
            format!("linked to ticket {} ({} {theirs})", ticket.key, ticket.backend)
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
    write_down(&mut row, &what, it, now);
    tx.audit(now, &it.who, &format!("alarm {}: {what}", it.alarm), &it.reason)?;
    tx.put_alarm(&row)?;
    if let Some(left) = left.filter(|left| row.ticket != Some(*left)) {
        close_behind(tx, left, now)?;
    }
    Ok(Applied::ByHand(Box::new(row)))
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
