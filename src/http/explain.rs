//! Why there is, or is not, a ticket: every step of one alarm with its time and reason, from the
//! alarm's own rows, its requests and its events, in the order in which they happened.

use super::Face;
use super::access::Caller;
use super::alarms::theirs;
use super::problem::Problem;
use super::shapes;
use super::verdict::{Known, verdict};
use crate::topology;
use actix_web::{HttpResponse, get, web};
use serde_json::{Value, json};
use ticketgate_actors::actors::Outside;
use ticketgate_actors::model::{Alarm, AlarmRef, Request, State, Ticket, TicketKey};
use ticketgate_actors::ports::{Page, RequestFilter, StoreError};

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
    // A person may have linked it to a ticket of another backend than policy's.
    let ticket = seen(outside, caller, alarm.ticket).await?;
    let requests = match &ticket {
        Some(ticket) => story_of(outside, ticket, &mut steps).await?,
        None => Vec::new(),
    };
    let mut earlier = Vec::new();
    for key in alarm.left.iter().filter(|key| Some(**key) != alarm.ticket) {
        // One that was only linked has gone; the alarm's own story tells of it.
        if let Some(left) = seen(outside, caller, Some(*key)).await? {
            story_of(outside, &left, &mut steps).await?;
            earlier.push(left);
        }
    }
    let last = requests.last();
    // A doubt's look waits as a call does.
    let waits = |it: &&Request| matches!(it.state, State::Accepted | State::Wait | State::InDoubt);
    let waits = last.filter(waits);
    let (mut pause, mut held) = (None, None);
    if let Some(request) = waits {
        pause = reads.lane(request.backend.clone()).await?.pause;
        let all = reads.held(request.backend.clone()).await?;
        held = all.into_iter().find(|(key, _)| *key == request.ticket).map(|(_, why)| why);
    }
    let lane = last.and_then(|last| outside.views.lanes.get(&last.backend));
    let lane = lane.map(|view| view.glance.clone()).unwrap_or_default();
    if let Some(last) = last {
        steps.extend(lane.looks.iter().filter(|looks| looks.request == last.id).map(|looks| {
            json!({
                "at": looks.last.to_string(),
                "of": format!("{} {}", last.op.as_str(), last.id),
                "what": format!("looked {} times, no answer", looks.times),
                "why": looks.why,
            })
        }));
    }
    // Times are text of one form, so their order is the order of time; equal times keep theirs.
    steps.sort_by(|one, other| one["at"].as_str().cmp(&other["at"].as_str()));
    let known = Known {
        alarm,
        ticket: ticket.as_ref(),
        earlier: &earlier,
        last,
        pause: pause.as_ref(),
        held: held.as_ref(),
        lane,
        now: outside.clock.now(),
    };
    Ok(json!({
        "alarm": shapes::alarm(alarm),
        "verdict": verdict(&known),
        "ticket": ticket.as_ref().map(shapes::ticket),
        "earlier": earlier.iter().map(shapes::ticket).collect::<Vec<_>>(),
        "topology": topology::shown(&outside.policy().topology, &alarm.details.object),
        "requests": requests.iter().map(shapes::request).collect::<Vec<_>>(),
        "steps": steps,
    }))
}

/// A ticket that the caller may see.
async fn seen(
    outside: &Outside,
    caller: &Caller,
    key: Option<TicketKey>,
) -> Result<Option<Ticket>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let ticket = outside.reads.ticket(key).await?;
    Ok(ticket.filter(|ticket| caller.sees(&ticket.backend)))
}

/// What happened to a ticket; gives its requests, oldest first.
async fn story_of(
    outside: &Outside,
    ticket: &Ticket,
    steps: &mut Vec<Value>,
) -> Result<Vec<Request>, StoreError> {
    let (reads, key) = (&outside.reads, ticket.key);
    steps.extend(ticket.story.steps().iter().map(|step| shapes::step(step, "ticket")));
    let filter = RequestFilter { ticket: Some(key), ..RequestFilter::default() };
    let page = Page { before: None, after: None, limit: REQUESTS_MAX };
    let mut requests = reads.requests(filter, page).await?;
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
    Ok(requests)
}
