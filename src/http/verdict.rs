//! Why an alarm has a ticket, or none, in one sentence for a person at three in the morning: what is so,
//! when the next call comes, and what to type.

use super::typed::typed;
use std::fmt::Write as _;
use ticketgate_actors::logic::lane::LaneGlance;
use ticketgate_actors::model::{Alarm, Moment, Op, Request, State, Ticket};
use ticketgate_actors::ports::Pause;

/// What it is told from.
pub(super) struct Known<'a> {
    pub alarm: &'a Alarm,
    /// Its ticket.
    pub ticket: Option<&'a Ticket>,
    /// Tickets that a person took it off, oldest first.
    pub earlier: &'a [Ticket],
    /// The newest request of its ticket.
    pub last: Option<&'a Request>,
    /// Of that request's lane.
    pub pause: Option<&'a Pause>,
    /// A person holds its ticket.
    pub held: Option<&'a Pause>,
    /// How that lane goes.
    pub lane: LaneGlance,
    pub now: Moment,
}

pub(super) fn verdict(it: &Known<'_>) -> String {
    let mut text = match it.last.filter(|request| !request.state.ended()) {
        Some(request) => under_way(it, request),
        None => settled(it),
    };
    for left in it.earlier {
        let theirs = left.backend_id.as_deref().unwrap_or("a ticket that was not made");
        let (backend, status) = (&left.backend, left.status.as_str());
        let _ = write!(text, "; was {theirs} at {backend}, left there {status}");
    }
    text
}

/// What its last request waits for.
fn under_way(it: &Known<'_>, request: &Request) -> String {
    let why = request.error.as_ref().map(|error| format!(" ({})", error.in_words()));
    let why = why.unwrap_or_default();
    let (what, backend) = (request.op.as_str(), &request.backend);
    // A doubt waits for its look as the others wait for their call.
    let waits = match request.state {
        State::InDoubt => format!(
            "it is not known whether {backend} did its {what}{why}; nobody finds it out meanwhile"
        ),
        _ => format!("its {what} waits"),
    };
    if let Some(pause) = it.pause {
        return format!(
            "{waits}: the lane to {backend} is paused ({}); a person lets it go on: {}",
            pause.reason,
            typed(&["lane", "resume", backend.as_str()])
        );
    }
    if let Some(held) = it.held {
        return format!(
            "{waits}: a person holds its ticket ({}, {}); it goes on with: {}",
            held.by,
            held.reason,
            typed(&["lane", "release", backend.as_str(), &request.ticket.to_string()])
        );
    }
    let waits = matches!(request.state, State::Accepted | State::Wait | State::InDoubt);
    let stands = stands(it, backend.as_str()).filter(|_| waits);
    match (request.state, stands) {
        (State::InDoubt, stands) => {
            let at = request.doubt.as_ref().map(|doubt| match doubt.look_at > it.now.wall {
                true => format!(", from {} on", doubt.look_at),
                false => String::new(),
            });
            let at = at.unwrap_or_default();
            let stands = stands.map(|stands| format!("; {stands}")).unwrap_or_default();
            format!(
                "it is not known whether {backend} did its {what}; it is being found out{at}, and a person is \
                 asked if that fails{why}{stands}"
            )
        }
        (_, Some(stands)) => format!("its {what} waits: {stands}"),
        (State::Accepted, None) => format!("its {what} waits for its turn at {backend}"),
        (State::Intent, _) => format!("its {what} is being sent to {backend}"),
        (State::Wait, None) if request.ready_at <= it.now.wall => {
            format!("its {what} at {backend} is tried again as soon as its turn comes{why}")
        }
        (State::Wait, None) => {
            format!("its {what} at {backend} is tried again at {}{why}", request.ready_at)
        }
        (State::Acknowledged, _) => {
            format!("{backend} has taken its {what}, and will say later what became of it")
        }
        _ => format!(
            "it cannot be known whether {backend} did its {what}: a person must settle request {}{why}: {}, {}",
            request.id,
            typed(&["request", "settle", &request.id.to_string()]),
            match request.op {
                Op::Create => "with --found NUMBER, --absent or --drop",
                Op::Update | Op::Close | Op::Reopen => "with --done, --absent or --drop",
            }
        ),
    }
}

/// Why its lane makes no calls now, and when the next one comes.
fn stands(it: &Known<'_>, backend: &str) -> Option<String> {
    let until = it.lane.held_until.filter(|until| *until > it.now.mono)?;
    let next = it.now.wall.plus(until.since(it.now.mono));
    let why = it.lane.held.as_deref().unwrap_or("it failed before");
    let resume = format!("`{}` tries at once", typed(&["lane", "resume", backend]));
    Some(match it.lane.probes_since {
        Some(since) => {
            let since = it.now.wall.minus(it.now.mono.since(since));
            format!(
                "the lane to {backend} makes only probes since {since} ({why}); the next at {next}; {resume}"
            )
        }
        None => format!("the lane to {backend} makes no calls until {next} ({why}); {resume}"),
    })
}

/// Nothing of it is under way.
fn settled(it: &Known<'_>) -> String {
    let alarm = it.alarm;
    let reason = alarm.reason.as_deref().unwrap_or("no reason is known");
    if let Some(ticket) = it.ticket.filter(|ticket| ticket.is_made()) {
        let (backend, status) = (&ticket.backend, ticket.status.as_str());
        return match &ticket.backend_id {
            Some(id) => format!("it has ticket {id} at {backend}, {status}"),
            // A partner's, which its connector has yet to fetch.
            None => {
                let key = ticket.key;
                format!("it has ticket {key} for {backend}, which has given it no id yet, {status}")
            }
        };
    }
    if alarm.due_at.is_some() {
        return format!("it has no ticket yet: {reason}");
    }
    let text = format!("it has no ticket: {reason}");
    let create = it.last.filter(|last| last.op == Op::Create && alarm.active);
    match create.and_then(|create| way_on(alarm, create)) {
        Some(way_on) => format!("{text}; {way_on}"),
        None => text,
    }
}

/// What helps where a create came to nothing and the alarm goes on.
fn way_on(alarm: &Alarm, create: &Request) -> Option<String> {
    let (source, id) = (&alarm.at.alarm.source, &alarm.at.alarm.id);
    let anew = typed(&["alarm", "unlink", source, id]);
    let backend = create.backend.as_str();
    let link =
        typed(&["alarm", "link", source, id, "--backend", backend, "--backend-id", "NUMBER"]);
    match create.state {
        State::Rejected => Some(format!(
            "it is sent again when the alarm says something new; once its cause is mended (a rule, the \
             description, the backend), policy makes another: {anew}; or there is one already: {link}"
        )),
        State::Failed => Some(format!(
            "have it done again: {}; or there is one already: {link}",
            typed(&["request", "retry", &create.id.to_string()])
        )),
        State::Cancelled => Some(format!(
            "a person dropped it, so none is made until the alarm clears and is raised anew, or somebody \
             has policy decide again: {anew}; or links one: {link}"
        )),
        _ => None,
    }
}
