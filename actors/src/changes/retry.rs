//! A person has a failed request done again, or cancels one that was not sent.
//!
//! What always holds: a failed request has ended and stays ended; it is done again by a fresh one of the
//! same ticket, once. A create that may have been done by an earlier call goes through the table of doubt
//! before it is sent (rule G7). What its alarm has moved on from is not done again: a newer level, another
//! ticket or a later occurrence has taken its place.

use super::conclude::{Conclude, End, conclude_request};
use super::{Admission, Applied, Concluded, Halt, Refusal, admission, services};
use crate::logic::correlation::digest_16;
use crate::model::{
    Alarm, CommandId, CommandRecord, Doubt, Epoch, EventId, MadeBy, OccurrenceRef, Op, Reply,
    Request, RequestId, State, Ticket, TicketStatus, Timestamp,
};
use crate::ports::Tx;
use std::time::Duration;

/// A person has a failed request done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Which.
    pub request: RequestId,
    /// The id of the fresh one.
    pub fresh: RequestId,
    /// And of its command, where a command made the failed one: that one was answered for good.
    pub command: CommandId,
    /// How much its backend may have open.
    pub admission: Admission,
    /// What failed may have been done all the same (`retry_may_duplicate`).
    pub may_be_done: bool,
    /// How long a doubt settles.
    pub settle: Duration,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A person cancels a request before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Which.
    pub request: RequestId,
    /// What waits for another attempt may have been done (`retry_may_duplicate`).
    pub may_be_done: bool,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
    /// For the event that follows.
    pub event_id: EventId,
    /// As in [`Conclude`].
    pub watch_looks: u32,
}

pub(super) fn retry(tx: &mut dyn Tx, it: &Retry, now: Timestamp) -> Result<Applied, Halt> {
    let mut failed = tx.request(it.request)?.ok_or(Refusal::NotFound)?;
    if failed.state != State::Failed {
        return Err(Refusal::WrongState.into());
    }
    if failed.retried_by.is_some() {
        return Err(Refusal::AlreadyRetried.into());
    }
    let mut ticket = tx.ticket(failed.ticket)?.ok_or(Refusal::NotFound)?;
    if tx.first_open_request(ticket.key)?.is_some() {
        return Err(Refusal::UnderWay.into());
    }
    match (failed.op, &ticket.backend_id) {
        (Op::Create, Some(_)) => return Err(Refusal::MovedOn.into()),
        (Op::Update | Op::Close | Op::Reopen, None) => return Err(Refusal::NeverMade.into()),
        _ => {}
    }
    let made_by = match &failed.made_by {
        MadeBy::Level { at, .. } => {
            let version = take_up(tx, (at, failed.op), &ticket, it, now)?;
            MadeBy::Level { at: at.clone(), version }
        }
        MadeBy::Command { .. } => {
            tx.put_command(&CommandRecord {
                id: it.command,
                body_hash: digest_16(failed.id.to_string().as_bytes()),
                request: it.fresh,
                accepted_at: now,
            })?;
            MadeBy::Command { id: it.command, reply: Reply::default() }
        }
        MadeBy::Sync { name } => MadeBy::Sync { name: name.clone() },
    };
    let mut fresh = fresh(tx, it, &failed, made_by, now)?;
    admission::check(tx, &it.admission, &fresh.backend, fresh.op)?;
    fresh.n = tx.add_request(&fresh)?;
    failed.retried_by = Some(fresh.id);
    let what = format!("done again as {} by {}", fresh.id, it.who);
    failed.story.add_because(now, what, &it.reason);
    tx.put_request(&failed)?;
    if fresh.op == Op::Create {
        ticket.status = TicketStatus::Pending;
        ticket.changed_at = now;
        tx.put_ticket(&ticket)?;
        // The looks of this one find what the sweep was to find.
        tx.drop_watched(ticket.key)?;
    }
    let what = format!("request {} done again as {}", failed.id, fresh.id);
    tx.audit(now, &it.who, &what, &it.reason)?;
    let next = Some(fresh.clone()).filter(|fresh| fresh.state == State::Accepted);
    let concluded = Concluded { request: fresh, ticket, next, due: None, events: false };
    Ok(Applied::Concluded(Box::new(concluded)))
}

/// The alarm waits for the fresh request, whose level is rendered anew when it is sent. Gives the
/// version that it begins with: one that is out of date.
fn take_up(
    tx: &mut dyn Tx,
    (at, op): (&OccurrenceRef, Op),
    ticket: &Ticket,
    it: &Retry,
    now: Timestamp,
) -> Result<u64, Halt> {
    let newest: Option<Alarm> = tx.newest_alarm(&at.alarm)?;
    let mut alarm = newest.filter(|alarm| alarm.at == *at).ok_or(Refusal::MovedOn)?;
    if alarm.ticket != Some(ticket.key) || alarm.no_ticket {
        return Err(Refusal::MovedOn.into());
    }
    // A ticket that alarms share is closed with the last of them.
    let goes_on = |other: &Alarm| other.at != *at && other.active;
    if op == Op::Close && tx.alarms_of(ticket.key)?.iter().any(goes_on) {
        return Err(Refusal::MovedOn.into());
    }
    if alarm.request.is_some() {
        return Err(Refusal::UnderWay.into());
    }
    let version = alarm.wanted_version;
    alarm.wanted_version += 1;
    alarm.request = Some(it.fresh);
    alarm.due_at = None;
    alarm.waits = false;
    let what = format!("a failed request is done again by {}", it.who);
    alarm.reason = Some(what.clone());
    alarm.story.add_because(now, what, &it.reason);
    tx.put_alarm(&alarm)?;
    Ok(version)
}

fn fresh(
    tx: &mut dyn Tx,
    it: &Retry,
    failed: &Request,
    made_by: MadeBy,
    now: Timestamp,
) -> Result<Request, Halt> {
    let place = (failed.backend.clone(), failed.ticket);
    let fields = failed.fields.clone();
    let mut fresh = Request::accepted(it.fresh, place, failed.op, made_by, fields, now);
    fresh.retry_of = Some(failed.id);
    let what = format!("accepted, to do {} again, by {}", failed.id, it.who);
    fresh.story.add_because(now, what, &it.reason);
    if failed.op != Op::Create || !(failed.doubted || it.may_be_done) {
        services::accept(tx, &mut fresh)?;
        return Ok(fresh);
    }
    // Where the earlier calls went is where it is looked for, and what they said is what is sent.
    fresh.service.clone_from(&failed.service);
    fresh.frozen = true;
    fresh.state = State::InDoubt;
    fresh.doubted = true;
    let reason = format!("calls of {} may have been done", failed.id);
    fresh.story.add_because(now, "in doubt; looked for before it is sent", &reason);
    let look_at = now.plus(it.settle);
    fresh.doubt = Some(Doubt { since: now, reason, absent_looks: 0, look_at });
    Ok(fresh)
}

pub(super) fn cancel(tx: &mut dyn Tx, it: &Cancel, now: Timestamp) -> Result<Applied, Halt> {
    let mut request = tx.request(it.request)?.ok_or(Refusal::NotFound)?;
    match request.state {
        State::Accepted => {}
        State::Wait if !it.may_be_done => {}
        _ => return Err(Refusal::WrongState.into()),
    }
    tx.audit(now, &it.who, &format!("request {} cancelled", request.id), &it.reason)?;
    request.story.add_because(now, format!("cancelled by {}", it.who), &it.reason);
    // What the alarm wants by now is what the person does not want: else it would ask again at once.
    if let MadeBy::Level { at, version } = &mut request.made_by
        && let Some(alarm) = tx.alarm(at)?
    {
        *version = alarm.wanted_version;
    }
    let conclude = Conclude {
        backend: request.backend.clone(),
        epoch: Epoch::default(),
        request: request.id,
        attempt: request.attempts,
        end: End::Cancelled(it.reason.clone()),
        event_ids: [it.event_id, it.event_id],
        by_later_answer: false,
        watch_looks: it.watch_looks,
    };
    let mut concluded = conclude_request(tx, request, &conclude, now)?;
    // It may not have been the first in line: that one may be under way.
    let waits = |it: &Request| matches!(it.state, State::Accepted | State::Wait);
    concluded.next = concluded.next.filter(waits);
    Ok(Applied::Concluded(Box::new(concluded)))
}
