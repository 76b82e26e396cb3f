//! What has been over for long goes from the main tables, page by page (rule T5).
//!
//! Three walks, each in the order of arrival up to the first row that is too young: requests that
//! ended, with the memory of their commands; tickets that ended and have no request left, with their
//! events and their alarms; alarms that were cleared and never had a ticket. So a ticket's requests go
//! before it, and a link between an alarm and a ticket goes only with both. What is looked at is
//! bounded, whatever goes.

use super::decide::group_of;
use super::{Applied, Halt, sync};
use crate::model::{Alarm, MadeBy, Request, Ticket, TicketStatus, Timestamp};
use crate::ports::Tx;

/// Events that go with a ticket in one go; a ticket with more takes several.
const EVENTS_AT_ONCE: u32 = 500;

/// One of the walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Requests that ended.
    Requests,
    /// Tickets that ended.
    Tickets,
    /// Alarms without a ticket.
    Alarms,
}

impl Walk {
    /// In the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Tickets, Self::Alarms];
}

/// One page of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retire {
    /// Which walk.
    pub walk: Walk,
    /// It goes on after this row.
    pub after: u64,
    /// What was over before this time goes.
    pub before: Timestamp,
    /// Rows that are looked at.
    pub limit: u32,
}

/// What a page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Rows of the walk's own table that went.
    pub gone: u64,
    /// The walk goes on after this row; none: it is over.
    pub next: Option<u64>,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Retire) -> Result<Applied, Halt> {
    let retired = match it.walk {
        Walk::Requests => requests(tx, it)?,
        Walk::Tickets => tickets(tx, it)?,
        Walk::Alarms => alarms(tx, it)?,
    };
    Ok(Applied::Retired(retired))
}

fn requests(tx: &mut dyn Tx, it: &Retire) -> Result<Retired, Halt> {
    let page = tx.requests_after(it.after, it.limit)?;
    let mut retired =
        Retired { gone: 0, next: more(it, page.last().map(|last| last.n), page.len()) };
    for request in page {
        // Those that were accepted later ended later.
        if request.accepted_at >= it.before {
            retired.next = None;
            break;
        }
        if !request_is_over(tx, &request, it.before)? {
            continue;
        }
        if let MadeBy::Command { id, .. } = &request.made_by {
            tx.drop_command(*id)?;
        }
        tx.drop_request(request.id)?;
        retired.gone += 1;
    }
    Ok(retired)
}

/// A ticket that may exist twice is told of by its create (G8).
fn request_is_over(tx: &mut dyn Tx, request: &Request, before: Timestamp) -> Result<bool, Halt> {
    let ended = request.state.ended() && request.ended_at.is_some_and(|at| at < before);
    Ok(ended && tx.watched(request.ticket)?.is_none())
}

fn tickets(tx: &mut dyn Tx, it: &Retire) -> Result<Retired, Halt> {
    let page = tx.tickets_after(it.after, it.limit)?;
    let mut retired =
        Retired { gone: 0, next: more(it, page.last().map(|last| last.0), page.len()) };
    for (n, ticket) in page {
        if ticket.accepted_at >= it.before {
            retired.next = None;
            break;
        }
        if !ticket_is_over(tx, &ticket, it.before)? {
            continue;
        }
        let linked = tx.alarms_of(ticket.key)?;
        if !linked.iter().all(|alarm| alarm_is_over(alarm, it.before)) {
            continue;
        }
        if tx.drop_events(ticket.key, EVENTS_AT_ONCE)? == u64::from(EVENTS_AT_ONCE) {
            // This ticket again, in the next page.
            retired.next = Some(n - 1);
            break;
        }
        for alarm in &linked {
            if let Some(group) = group_of(alarm)
                && tx.group(&group)? == Some(ticket.key)
            {
                // The group goes on with the one whose close was refused, if there is one.
                match ticket.begun_beside {
                    Some(before) if tx.ticket(before)?.is_some() => tx.put_group(&group, before)?,
                    _ => tx.drop_group(&group)?,
                }
            }
            tx.drop_alarm(&alarm.at)?;
        }
        if ticket.synced {
            sync::forget(tx, ticket.key)?;
        }
        tx.put_held(&ticket.backend, ticket.key, None)?;
        tx.drop_ticket(ticket.key)?;
        retired.gone += 1;
    }
    Ok(retired)
}

fn ticket_is_over(tx: &mut dyn Tx, ticket: &Ticket, before: Timestamp) -> Result<bool, Halt> {
    // Its create was superseded: there is nothing at the backend, and nobody will make it.
    let never_made = ticket.status == TicketStatus::Pending && ticket.backend_id.is_none();
    Ok((ticket.status.ended() || never_made || mutant!(OldIsOver))
        && ticket.changed_at < before
        && !is_kept_in_step(tx, ticket)?
        && !tx.has_requests(ticket.key)?
        && tx.watched(ticket.key)?.is_none()
        && !tx.has_unsent(ticket.key)?)
}

/// Does another side still have it? It would be taken for a new one, should that name it again.
fn is_kept_in_step(tx: &mut dyn Tx, ticket: &Ticket) -> Result<bool, Halt> {
    Ok(ticket.synced && tx.twins_of(ticket.key)?.iter().any(|twin| !twin.gone))
}

fn alarms(tx: &mut dyn Tx, it: &Retire) -> Result<Retired, Halt> {
    let page = tx.alarms_after(it.after, it.limit)?;
    let mut retired =
        Retired { gone: 0, next: more(it, page.last().map(|last| last.0), page.len()) };
    for (_, alarm) in page {
        if alarm.first_seen >= it.before {
            retired.next = None;
            break;
        }
        if alarm.ticket.is_none() && alarm_is_over(&alarm, it.before) {
            tx.drop_alarm(&alarm.at)?;
            retired.gone += 1;
        }
    }
    Ok(retired)
}

/// Cleared, with nothing left to do, and neither heard of nor worked on since.
fn alarm_is_over(alarm: &Alarm, before: Timestamp) -> bool {
    let touched = alarm.story.steps().last().map_or(alarm.first_seen, |step| step.at);
    let newest = touched.max(alarm.changed_at).max(alarm.first_seen);
    (!alarm.active || mutant!(OldIsOver))
        && !alarm.unsettled()
        && !alarm.waits
        && alarm.request.is_none()
        && alarm.due_at.is_none()
        && newest < before
}

/// Where a walk goes on: after the last row, if the page was full.
fn more(it: &Retire, last: Option<u64>, rows: usize) -> Option<u64> {
    last.filter(|_| rows == it.limit as usize)
}
