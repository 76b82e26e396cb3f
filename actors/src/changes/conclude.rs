//! A lane knows more of a request: outcome, ticket, sequence, events and the alarm's settling in
//! one transaction (docs/rules.md, "The way of an alarm", 5; rules T3, O1).

use super::{Applied, Halt, Refusal, history, lane, sync, watch};
use crate::logic::sync::view;
use crate::model::{
    Alarm, AlarmRef, BackendId, Conflict, Doubt, Epoch, EventId, EventName, Fields, Found, MadeBy,
    Op, Request, RequestId, STATUS, State, Ticket, TicketError, TicketEvent, TicketStatus,
    TicketView, Timestamp,
};
use crate::ports::Tx;

/// What became of an attempt, a look or a wait.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The backend did it.
    Done(Found),
    /// A look found it: our ticket is there.
    Adopted(Found),
    /// The backend said no.
    Rejected(TicketError),
    /// Retries are spent.
    Failed(TicketError),
    /// A person dropped it.
    Cancelled(String),
    /// A newer level makes it unnecessary.
    Superseded(String),
    /// The backend took it and answers later.
    Acknowledged {
        /// Under what the answer comes, where the backend says.
        backend_ref: Option<String>,
    },
    /// Not done for sure: once more, not before that time.
    Wait {
        /// The earliest next attempt.
        ready_at: Timestamp,
        /// Does it count against `retries`?
        counted: bool,
        /// What was said.
        error: TicketError,
    },
    /// Its first intent is given back: no call was made, and it waits as if it had never been intended.
    NotSent(String),
    /// It may have been done: find out, not before that time.
    InDoubt {
        /// The end of settling.
        look_at: Timestamp,
        /// What was seen instead of an answer.
        error: TicketError,
    },
    /// One look found nothing; the next one not before that time.
    AbsentOnce {
        /// The earliest next look.
        look_at: Timestamp,
    },
    /// It cannot be found out: a person must say.
    Undecided(TicketError),
}

/// News of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclude {
    /// Whose lane.
    pub backend: BackendId,
    /// Under which lease.
    pub epoch: Epoch,
    /// Which request.
    pub request: RequestId,
    /// Of which attempt: news of an older one is refused.
    pub attempt: u32,
    /// The news.
    pub end: End,
    /// Ids for the events that it may make.
    pub event_ids: [EventId; 2],
    /// It comes from the backend's later answer.
    pub by_later_answer: bool,
    /// How often its ticket is looked at again, should it be a create that was in doubt and has
    /// succeeded: there may be two (rule G8).
    pub watch_looks: u32,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Concluded {
    /// The request as it is now.
    pub request: Request,
    /// Its ticket as it is now.
    pub ticket: Ticket,
    /// The first un-ended request of the same ticket, where this one has ended.
    pub next: Option<Request>,
    /// Whose flows have work again.
    pub due: Option<BackendId>,
    /// Events were stored.
    pub events: bool,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Conclude, now: Timestamp) -> Result<Applied, Halt> {
    lane::check_epoch(tx, &it.backend, it.epoch)?;
    let request = tx.request(it.request)?.ok_or(Refusal::NotFound)?;
    let expected = match &it.end {
        // Before its intent a request can only end as unnecessary.
        End::Superseded(_) => matches!(request.state, State::Accepted | State::Wait),
        End::Done(_) | End::Adopted(_) | End::AbsentOnce { .. } => {
            matches!(request.state, State::Intent | State::InDoubt)
        }
        // What was acknowledged is a doubt like any other once its time to be confirmed is over.
        End::InDoubt { .. } | End::Wait { .. } | End::Failed(_) => {
            matches!(request.state, State::Intent | State::Acknowledged)
        }
        End::Undecided(_) => {
            matches!(request.state, State::Intent | State::Acknowledged | State::InDoubt)
        }
        _ => request.state == State::Intent,
    };
    if !expected || request.attempts != it.attempt {
        return Err(Refusal::WrongState.into());
    }
    conclude_request(tx, request, it, now).map(|concluded| Applied::Concluded(Box::new(concluded)))
}

/// Carries news through request, ticket, alarm and outbox. The caller has checked that it is due.
pub(super) fn conclude_request(
    tx: &mut dyn Tx,
    mut request: Request,
    it: &Conclude,
    now: Timestamp,
) -> Result<Concluded, Halt> {
    let mut ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
    // A later answer, or a person, says that it was done, and not when.
    let unseen = it.by_later_answer || request.state == State::Undecided;
    let event = move_request(&mut request, &it.end, now);
    // Only where another side keeps it in step: the others pay nothing for it.
    let before = ticket.synced.then(|| view(&ticket));
    // Another side may have changed it since this was accepted, with a request that waits behind this one:
    // what this one has written is older than that.
    let newer = match before.is_some() && request.state.ended() {
        true => sync::waiting_fields(tx, ticket.key)?,
        false => Fields::new(),
    };
    // Where the backend itself tells how its tickets are, an answer to a write that says nothing of the
    // status does not either: ours may be newer.
    let told = before.is_some() && request.state.ended() && sync::is_told_of(tx, ticket.key)?;
    let there = move_ticket(&mut ticket, &request, &it.end, (&newer, told), now);
    if let Some(before) = before.filter(|_| request.state.ended()) {
        sync::concluded(tx, &mut ticket, &before, &request, (there, unseen), now)?;
    }

    let mut due = None;
    if request.state.ended()
        && let MadeBy::Level { at, version } = &request.made_by
        && let Some(mut alarm) = tx.alarm(at)?
    {
        settle_alarm(&mut alarm, &request, *version, now);
        tx.put_alarm(&alarm)?;
        due = alarm.backend.clone().filter(|_| alarm.due_at.is_some());
    }
    let ended = request.state.ended();
    if event.is_some() || ended {
        let linked = tx.alarms_of(ticket.key)?;
        if let Some(event) = event {
            announce(tx, &mut ticket, &request, event, it.event_ids[0], &linked, now)?;
        }
        history::write(tx, &request, &ticket, &linked)?;
        for alarm in linked.into_iter().filter(|alarm| ended && alarm.waits) {
            due = due.or(alarm.backend.clone());
            wake(tx, alarm, now)?;
        }
    }
    if request.state.ended() && request.op == Op::Create && request.doubted {
        watch::begin(tx, &request, it.watch_looks)?;
    }
    // Each call that may have been taken has an answer of its own.
    let answered = it.by_later_answer && request.attempts == 1;
    if request.state.ended() && (request.taken || request.doubted) && !answered {
        ticket.answers_astray = true;
    }
    tx.put_request(&request)?;
    if event.is_some() || request.state.ended() {
        tx.put_ticket(&ticket)?;
    }
    let next = if request.state.ended() { tx.first_open_request(request.ticket)? } else { None };
    Ok(Concluded { request, ticket, next, due, events: event.is_some() })
}

/// Moves the request to its new state; the event that subscribers hear of it.
fn move_request(request: &mut Request, end: &End, now: Timestamp) -> Option<EventName> {
    let story = &mut request.story;
    let was_in_doubt = request.doubt.is_some();
    let (state, event) = match end {
        End::Done(found) => {
            story.add(
                now,
                match found.backend_id.as_str() {
                    "" => "done; its partner fetches it".to_owned(),
                    theirs => format!("done by the backend as {theirs}"),
                },
            );
            let event = match request.op {
                Op::Create => EventName::Created,
                Op::Update => EventName::Updated,
                Op::Close => EventName::Closed,
                Op::Reopen => EventName::Reopened,
            };
            (State::Done, Some(event))
        }
        End::Adopted(found) => {
            story.add(now, format!("found at the backend as {}", found.backend_id));
            (State::Adopted, Some(EventName::Adopted))
        }
        End::Rejected(error) => {
            story.add_because(now, "the backend said no", error.in_words());
            (State::Rejected, Some(EventName::Rejected))
        }
        End::Failed(error) => {
            story.add_because(now, "retries are spent", error.in_words());
            (State::Failed, Some(EventName::Failed))
        }
        End::Cancelled(why) => {
            story.add_because(now, "dropped", why);
            (State::Cancelled, Some(EventName::Cancelled))
        }
        End::Superseded(why) => {
            story.add_because(now, "superseded by a newer level", why);
            (State::Superseded, None)
        }
        End::Acknowledged { backend_ref } => {
            let under = backend_ref.as_deref().unwrap_or("no reference");
            story.add(now, format!("taken by the backend, which answers later ({under})"));
            request.backend_ref.clone_from(backend_ref);
            request.backend_ref_of = request.attempts;
            request.taken = true;
            (State::Acknowledged, None)
        }
        End::Wait { ready_at, counted, error } => {
            let again = match *ready_at > now {
                true => format!("not done; again at {ready_at}"),
                false => "not done; again with the next call of its lane".to_owned(),
            };
            story.add_because(now, again, error.in_words());
            request.ready_at = *ready_at;
            request.refusals += u32::from(*counted);
            (State::Wait, None)
        }
        End::NotSent(why) => {
            story.add_because(now, "not sent; it waits again", why);
            request.attempts = request.attempts.saturating_sub(1);
            // What a sync writes was reckoned up at the intent, and stands.
            request.frozen = matches!(request.made_by, MadeBy::Sync { .. });
            (State::Wait, None)
        }
        End::InDoubt { look_at, error } => {
            story.add_because(
                now,
                format!("in doubt; found out from {look_at} on"),
                error.in_words(),
            );
            request.doubted = true;
            request.doubt = Some(Doubt {
                since: now,
                reason: error.reason.clone(),
                absent_looks: 0,
                look_at: *look_at,
            });
            (State::InDoubt, Some(EventName::InDoubt))
        }
        End::AbsentOnce { look_at } => {
            story.add(now, format!("not found at the backend; looked at again at {look_at}"));
            if let Some(doubt) = &mut request.doubt {
                doubt.absent_looks += 1;
                doubt.look_at = *look_at;
            }
            (State::InDoubt, None)
        }
        End::Undecided(error) => {
            story.add_because(now, "undecided: a person must say", error.in_words());
            request.doubted = true;
            if !was_in_doubt {
                request.doubt = Some(Doubt {
                    since: now,
                    reason: error.reason.clone(),
                    absent_looks: 0,
                    look_at: now,
                });
            }
            (State::Undecided, Some(EventName::Undecided))
        }
    };
    request.state = state;
    request.error = match end {
        End::Rejected(error) | End::Failed(error) | End::Undecided(error) => Some(error.clone()),
        End::Wait { error, .. } | End::InDoubt { error, .. } => Some(error.clone()),
        End::Cancelled(why) => Some(TicketError::because(why)),
        End::AbsentOnce { .. } | End::NotSent(_) => request.error.take(),
        End::Acknowledged { .. } => None,
        End::Done(_) | End::Adopted(_) | End::Superseded(_) => None,
    };
    if state.ended() {
        request.doubt = None;
        request.ended_at = Some(now);
    }
    event
}

/// Moves the ticket along with its request. Gives its status at the backend, where this has written it.
fn move_ticket(
    ticket: &mut Ticket,
    request: &Request,
    end: &End,
    (newer, told): (&Fields, bool),
    now: Timestamp,
) -> Option<TicketStatus> {
    let mut there = None;
    match end {
        End::Done(found) | End::Adopted(found) => {
            if !found.backend_id.is_empty() {
                ticket.backend_id = Some(found.backend_id.clone());
            }
            if found.url.is_some() {
                ticket.url.clone_from(&found.url);
            }
            if found.backend_status.is_some() {
                ticket.backend_status.clone_from(&found.backend_status);
            }
            // What a sync writes, we have; and may have newer.
            let by_sync = matches!(request.made_by, MadeBy::Sync { .. });
            let fields = request.fields.iter().filter(|(name, _)| !newer.contains_key(*name));
            let none_emptied = || request.fields.values().all(|value| !value.is_null());
            if !by_sync && ticket.fields.is_empty() && newer.is_empty() && none_emptied() {
                // As below, and shared with the request.
                ticket.fields = request.fields.clone();
            }
            for (name, value) in fields.filter(|_| !by_sync) {
                match value {
                    // What was emptied there is not there.
                    serde_json::Value::Null => drop(ticket.fields.remove(name)),
                    value if ticket.fields.get(name) == Some(value) => {}
                    value => drop(ticket.fields.insert(name.clone(), value.clone())),
                }
            }
            let before = ticket.status;
            ticket.status = match request.op {
                Op::Close => found.status.filter(|s| s.ended()).unwrap_or(TicketStatus::Closed),
                Op::Create | Op::Reopen => found.status.unwrap_or(TicketStatus::Acknowledged),
                Op::Update if told && said(request).is_none() => ticket.status,
                Op::Update => found.status.or_else(|| said(request)).unwrap_or(ticket.status),
            };
            let written = request.op != Op::Update || said(request).is_some();
            there = Some(ticket.status).filter(|_| written);
            if by_sync || newer.contains_key(STATUS) {
                ticket.status = before;
            }
            ticket.changed_at = now;
            // What a sync writes was edited when the other side says.
            if !by_sync {
                ticket.edited_at = now;
            }
        }
        End::Rejected(_) | End::Failed(_) if request.op == Op::Create => {
            ticket.status = TicketStatus::Rejected;
            ticket.changed_at = now;
        }
        End::Cancelled(_) if request.op == Op::Create => {
            ticket.status = TicketStatus::Cancelled;
            ticket.changed_at = now;
        }
        _ => {}
    }
    there
}

/// The status that an update asked for, in TMF621's words.
fn said(request: &Request) -> Option<TicketStatus> {
    serde_json::from_value(request.fields.get("status")?.clone()).ok()
}

/// The end of a level-made request settles the version that it took care of (T3). A create made
/// for an alarm that is cleared by now leaves its clear open: the new ticket has yet to be closed.
pub(super) fn settle_alarm(alarm: &mut Alarm, request: &Request, version: u64, now: Timestamp) {
    alarm.request = None;
    let made = matches!(request.state, State::Done | State::Adopted);
    let settled = match request.state {
        State::Superseded => alarm.settled_version,
        State::Rejected if mutant!(RejectionWakes) => alarm.settled_version,
        _ if made && request.op == Op::Create && !alarm.active => {
            version.min(alarm.wanted_version.saturating_sub(1))
        }
        _ => version,
    };
    alarm.settled_version = alarm.settled_version.max(settled);
    alarm.due_at = alarm.due_after(now);
    alarm.reason = Some(match request.state {
        State::Done | State::Adopted => {
            format!("{} {}", request.op.as_str(), request.state.as_str())
        }
        state => format!(
            "{} {}{}",
            request.op.as_str(),
            state.as_str(),
            request.error.as_ref().map(|e| format!(": {}", e.in_words())).unwrap_or_default()
        ),
    });
}

/// An alarm that waited for another one's request is looked at now.
fn wake(tx: &mut dyn Tx, mut alarm: Alarm, now: Timestamp) -> Result<(), Halt> {
    alarm.waits = false;
    alarm.due_at = alarm.due_after(now);
    tx.put_alarm(&alarm)?;
    Ok(())
}

/// Stores an event of a request and takes the ticket's next sequence number for it.
pub(super) fn announce(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    request: &Request,
    event: EventName,
    event_id: EventId,
    linked: &[Alarm],
    now: Timestamp,
) -> Result<(), Halt> {
    let good = matches!(request.state, State::Done | State::Adopted | State::Superseded);
    let error = request.error.clone().filter(|_| !good);
    announce_of_ticket(tx, ticket, request, (event, event_id), error, linked, now)
}

/// Stores an event of a ticket that was made by this request.
pub(super) fn announce_of_ticket(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    request: &Request,
    (event, event_id): (EventName, EventId),
    error: Option<TicketError>,
    linked: &[Alarm],
    now: Timestamp,
) -> Result<(), Halt> {
    let event = TicketEvent {
        request_id: Some(request.id),
        error,
        command: match &request.made_by {
            MadeBy::Command { id, reply } => Some((*id, reply.clone())),
            MadeBy::Level { .. } | MadeBy::Sync { .. } => None,
        },
        ..next_event(ticket, (event, event_id), linked, now)
    };
    tx.add_event(&event)?;
    Ok(())
}

/// Stores an event that no request made, but what another side of the ticket said.
pub(super) fn announce_of_sync(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    event: (EventName, EventId),
    conflicts: Vec<Conflict>,
    linked: &[Alarm],
    now: Timestamp,
) -> Result<(), Halt> {
    let event = TicketEvent { conflicts, ..next_event(ticket, event, linked, now) };
    tx.add_event(&event)?;
    Ok(())
}

/// An event of a ticket as it is now, with the next sequence number.
fn next_event(
    ticket: &mut Ticket,
    (event, event_id): (EventName, EventId),
    linked: &[Alarm],
    now: Timestamp,
) -> TicketEvent {
    ticket.sequence += 1;
    let mut alarms: Vec<AlarmRef> = Vec::with_capacity(linked.len());
    for alarm in linked {
        if !alarms.contains(&alarm.at.alarm) {
            alarms.push(alarm.at.alarm.clone());
        }
    }
    TicketEvent {
        n: 0,
        event_id,
        event,
        at: now,
        sequence: ticket.sequence,
        request_id: None,
        correlation_key: ticket.correlation_key.clone(),
        alarms,
        ticket: TicketView::from(&*ticket),
        error: None,
        command: None,
        conflicts: Vec::new(),
    }
}
