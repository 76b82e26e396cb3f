//! Is what a person says of a ticket so? Its backend is asked, in its lane's turn, before anything is
//! written down; by whoever settles a doubt, links an alarm or checks a backend.
//!
//! What always holds: a look changes nothing there, and a lane that would not make it now is not waited
//! for. What could not be found out is said, and never reads as "it is not there".

use super::Face;
use super::problem::Problem;
use super::typed::typed;
use serde_json::{Map, Value};
use std::time::Duration;
use ticketgate_actors::actors::{Ask, BackendSeat};
use ticketgate_actors::model::{
    AlarmRef, BackendId, CorrelationKey, Found, Kind, Ticket, Timestamp,
};
use ticketgate_actors::ports::{Answer, SearchBy, Work};

/// A look waits so long for its turn in the lane, beside the time that a call may take.
pub(super) const TURN_WITHIN: Duration = Duration::from_secs(5);
/// Tickets with one key that are asked for: one, or more than one.
const WITH_THE_KEY: u32 = 2;
/// Characters of a correlation key of ours, which begins with `tg`.
const KEY_LEN: usize = 28;

/// What a look at one ticket showed.
#[derive(Debug)]
pub(super) enum Looked {
    /// It is there.
    There(Box<Found>),
    /// The backend has none of that number.
    NotThere,
    /// It could not be found out, and why.
    Unknown(String),
}

/// What keeps the lane to a backend from making a call now; with a way to let it go on.
pub(super) fn stands(face: &Face, backend: &BackendId) -> Option<String> {
    let outside = &face.cast.outside;
    let glance = outside.views.lanes.get(backend)?.glance.clone();
    let now = outside.clock.now();
    let resume = format!("let it go on first: {}", typed(&["lane", "resume", backend.as_str()]));
    if let Some(pause) = &glance.pause {
        return Some(format!("its lane is paused ({}); {resume}", pause.reason));
    }
    let until = glance.held_until.filter(|until| *until > now.mono.plus(TURN_WITHIN))?;
    let why = glance.held.as_deref().unwrap_or("it failed before");
    let at: Timestamp = now.wall.plus(until.since(now.mono));
    Some(format!("its lane makes no calls until {at} ({why}); {resume}"))
}

/// One read through the lane, or why there is no answer.
async fn read(
    face: &Face,
    backend: &BackendId,
    seat: &BackendSeat,
    work: Work,
) -> Result<Vec<Found>, String> {
    if let Some(why) = stands(face, backend) {
        return Err(why);
    }
    let deadline = face.cast.outside.clock.now().mono.plus(seat.settings.timeout + TURN_WITHIN);
    let ask = Ask { backend: backend.clone(), work, deadline };
    let heard = face.cast.gateway.ask(ask).await;
    match heard.map(|heard| heard.answer) {
        Some(Answer::Read(reading)) => Ok(reading.tickets),
        Some(Answer::NotSent(reason)) => Err(format!("not reached: {reason}")),
        Some(Answer::Busy { error, .. }) => Err(format!("it is busy: {}", error.reason)),
        Some(Answer::Unauthorised(error)) => {
            Err(format!("it refuses our credentials: {}", error.reason))
        }
        Some(Answer::Retryable { error, .. } | Answer::Refused(error) | Answer::InDoubt(error)) => {
            Err(error.in_words())
        }
        Some(Answer::Done(_) | Answer::Acknowledged { .. }) => {
            Err("the read was answered as if it were a write".to_owned())
        }
        None => Err("the gateway is being replaced".to_owned()),
    }
}

/// Has the backend a ticket of that number?
pub(super) async fn at(face: &Face, backend: &BackendId, theirs: &str, kind: Kind) -> Looked {
    let Some(seat) = face.cast.outside.backends.get(backend) else {
        return Looked::Unknown("it is not configured any more".to_owned());
    };
    if !seat.settings.readable {
        return Looked::Unknown("its description has no way to read a ticket (get)".to_owned());
    }
    let work = Work::Get { backend_id: theirs.to_owned(), kind };
    match read(face, backend, &seat, work).await {
        Ok(tickets) => match <[Found; 1]>::try_from(tickets) {
            Ok([found]) if found.deleted => Looked::NotThere,
            Ok([found]) if found.backend_id == theirs => Looked::There(Box::new(found)),
            Ok([found]) => {
                Looked::Unknown(format!("asked for {theirs}, it gave {}", found.backend_id))
            }
            Err(none) if none.is_empty() => Looked::NotThere,
            Err(_) => Looked::Unknown(format!("it has several tickets {theirs}")),
        },
        Err(why) => Looked::Unknown(why),
    }
}

/// The numbers of the tickets that carry a key; none: the backend has no such search.
pub(super) async fn with_key(
    face: &Face,
    backend: &BackendId,
    key: &CorrelationKey,
    kind: Kind,
) -> Option<Result<Vec<String>, String>> {
    let seat = face.cast.outside.backends.get(backend)?;
    let about = seat.port.about();
    if !about.operations.contains(&"search") || !about.searches_by_key {
        return None;
    }
    let by = SearchBy::CorrelationKey(key.clone());
    let work = Work::Search { by, kind, limit: WITH_THE_KEY };
    let found = read(face, backend, &seat, work).await;
    Some(found.map(|tickets| {
        let ours = |found: &Found| found.correlation_key.as_ref().is_none_or(|it| *it == key.0);
        tickets.into_iter().filter(ours).map(|found| found.backend_id).collect()
    }))
}

/// The key in a ticket that shows that it was made for something else than this.
pub(super) fn foreign<'a>(found: &'a Found, ours: Option<&CorrelationKey>) -> Option<&'a str> {
    let key = found.correlation_key.as_deref().filter(|key| !key.is_empty())?;
    match ours {
        Some(ours) => (key != ours.0).then_some(key),
        // Of a ticket that somebody else made, only a key of a Ticketgate says that.
        None => (key.len() == KEY_LEN && key.starts_with("tg")).then_some(key),
    }
}

/// 409 for what a person may insist on with `force`.
pub(super) fn may_be_forced(detail: &str) -> Problem {
    let detail = format!(
        "{detail}. Whoever has seen it and knows better says so once more with force, and why"
    );
    let more = Map::from_iter([("may_be_forced".to_owned(), Value::Bool(true))]);
    Problem::with(actix_web::http::StatusCode::CONFLICT, &detail, more)
}

/// What our other ticket of that number is, for a person; none: there is none.
pub(super) fn taken(theirs: &str, other: &Ticket, alarm: Option<&AlarmRef>) -> String {
    let of = alarm.map_or(String::new(), |alarm| {
        let unlink = typed(&["alarm", "unlink", &alarm.source, &alarm.id]);
        format!(" of alarm {alarm}; if that was linked by mistake: {unlink}")
    });
    format!("{theirs} is ticket {}{of} here already", other.key)
}
