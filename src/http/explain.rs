//! Why there is, or is not, a ticket: every step of one alarm with its time and reason, from the
//! alarm's own rows, its requests and its events, in the order in which they happened.

use super::Face;
use super::access::Caller;
use super::alarms::theirs;
use super::problem::Problem;
use super::shapes;
use crate::topology;
use actix_web::{HttpResponse, get, web};
use serde_json::{Value, json};
use ticketgate_actors::actors::Outside;
use ticketgate_actors::model::{Alarm, AlarmRef, Request, State, Ticket};
use ticketgate_actors::ports::{Page, Pause, RequestFilter, StoreError};

/// Requests of one ticket that are told of.
const REQUESTS_MAX: u32 = 200;

#[get("/alarms/{source}/{id}/explain")]
pub(super) async fn explain(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (source, id) = path.into_inner();
    let alarm = AlarmRef { source, id };
    let outside = &face.cast.outside;
    let occurrences = outside.reads.occurrences(alarm.clone()).await?;
    if occurrences.is_empty() {
        return Err(Problem::not_found(format!(
            "no event of alarm {alarm} has ever arrived here: look at the parked messages, and at \
             the source's own publishing"
        )));
    }
    let occurrences = theirs(&caller, occurrences)?;
    let mut told = Vec::with_capacity(occurrences.len());
    for occurrence in &occurrences {
        told.push(tell(outside, &caller, occurrence).await?);
    }
    let verdict = told.last().map(|one| one["verdict"].clone());
    Ok(HttpResponse::Ok().json(json!({
        "source": alarm.source,
        "id": alarm.id,
        "verdict": verdict,
        "occurrences": told,
    })))
}

async fn tell(outside: &Outside, caller: &Caller, alarm: &Alarm) -> Result<Value, StoreError> {
    let reads = &outside.reads;
    let mut steps: Vec<Value> =
        alarm.story.steps().iter().map(|step| shapes::step(step, "alarm")).collect();
    let (mut ticket, mut requests) = (None, Vec::new());
    // A person may have linked it to a ticket of another backend than policy's.
    let linked = match alarm.ticket {
        Some(key) => reads.ticket(key).await?,
        None => None,
    };
    if let Some(linked) = linked.filter(|ticket| caller.sees(&ticket.backend)) {
        let key = linked.key;
        ticket = Some(linked);
        let of_ticket = ticket.iter().flat_map(|ticket| ticket.story.steps());
        steps.extend(of_ticket.map(|step| shapes::step(step, "ticket")));
        let filter = RequestFilter { ticket: Some(key), ..RequestFilter::default() };
        requests =
            reads.requests(filter, Page { before: None, after: None, limit: REQUESTS_MAX }).await?;
        requests.reverse();
        for request in &requests {
            let of = format!("{} {}", request.op.as_str(), request.id);
            steps.extend(request.story.steps().iter().map(|step| shapes::step(step, &of)));
        }
        for (event, sent) in reads.events_of(key).await? {
            let why = match sent {
                Some(at) => format!("confirmed by the bus at {at}"),
                None => "not confirmed by the bus yet".to_owned(),
            };
            steps.push(json!({
                "at": event.at.to_string(),
                "of": "event",
                "what": format!("event {} (sequence {})", event.event.as_str(), event.sequence),
                "why": why,
            }));
        }
    }
    let waits = requests.last().filter(|it| matches!(it.state, State::Accepted | State::Wait));
    let (mut pause, mut held) = (None, None);
    if let Some(request) = waits {
        pause = reads.lane(request.backend.clone()).await?.pause;
        let all = reads.held(request.backend.clone()).await?;
        held = all.into_iter().find(|(key, _)| *key == request.ticket).map(|(_, why)| why);
    }
    // Times are text of one form, so their order is the order of time; equal times keep theirs.
    steps.sort_by(|one, other| one["at"].as_str().cmp(&other["at"].as_str()));
    Ok(json!({
        "alarm": shapes::alarm(alarm),
        "verdict": verdict(alarm, ticket.as_ref(), requests.last(), (pause.as_ref(), held.as_ref())),
        "ticket": ticket.as_ref().map(shapes::ticket),
        "topology": topology::shown(&outside.policy().topology, &alarm.details.object),
        "requests": requests.iter().map(shapes::request).collect::<Vec<_>>(),
        "steps": steps,
    }))
}

/// One sentence for a person at three in the morning.
fn verdict(
    alarm: &Alarm,
    ticket: Option<&Ticket>,
    last: Option<&Request>,
    (pause, held): (Option<&Pause>, Option<&Pause>),
) -> String {
    let reason = alarm.reason.as_deref().unwrap_or("no reason is known");
    if let Some(request) = last.filter(|request| !request.state.ended()) {
        let why = request.error.as_ref().map(|error| format!(" ({})", error.in_words()));
        let why = why.unwrap_or_default();
        let what = request.op.as_str();
        let backend = &request.backend;
        if let Some(pause) = pause {
            return format!(
                "its {what} waits: the lane to {backend} is paused ({}); a person lets it go on: \
                 ticketgate lane resume {backend}",
                pause.reason
            );
        }
        if let Some(held) = held {
            return format!(
                "its {what} waits: a person holds its ticket ({}, {}); it goes on with: ticketgate \
                 lane release {backend} {}",
                held.by, held.reason, request.ticket
            );
        }
        return match request.state {
            State::Accepted => format!("its {what} waits for its turn at {backend}"),
            State::Intent => format!("its {what} is being sent to {backend}"),
            State::Wait => {
                format!("its {what} at {backend} is tried again at {}{why}", request.ready_at)
            }
            State::InDoubt => format!(
                "it is not known whether {backend} did its {what}; it is being found out{why}"
            ),
            _ => format!(
                "it cannot be known whether {backend} did its {what}: a person must settle \
                 request {}{why}",
                request.id
            ),
        };
    }
    match ticket.filter(|ticket| ticket.is_made()) {
        Some(ticket) => {
            let (backend, status) = (&ticket.backend, ticket.status.as_str());
            match &ticket.backend_id {
                Some(id) => format!("it has ticket {id} at {backend}, {status}"),
                // A partner's, which its connector has yet to fetch.
                None => {
                    let key = ticket.key;
                    format!(
                        "it has ticket {key} for {backend}, which has given it no id yet, {status}"
                    )
                }
            }
        }
        None if alarm.due_at.is_some() => format!("it has no ticket yet: {reason}"),
        None => format!("it has no ticket: {reason}"),
    }
}
