//! Alarms in and out: `POST /api/v1/alarms` (one event or an array, all or nothing; 202 means
//! committed), lists, one alarm.

use super::access::Caller;
use super::problem::Problem;
use super::scope::sifted;
use super::{Face, shapes};
use crate::wire;
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::{Value, json};
use ticketgate_actors::model::{Alarm, AlarmRef, Said};
use ticketgate_actors::ports::{AlarmFilter, Page, Reads, StoreError};

#[post("/alarms")]
pub(super) async fn submit(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let events = wire::alarms_from_json(&body, &face.known_backends)
        .map_err(|(index, malformed)| Problem::malformed(index, malformed))?;
    for (_, said) in &events {
        must_see_wish(&caller, said)?;
    }
    let repeats = face.cast.intake.accept(events).await?;
    let known = repeats.iter().filter(|repeat| **repeat).count();
    Ok(HttpResponse::Accepted()
        .json(json!({ "accepted": repeats.len() - known, "repeats": known })))
}

/// Where policy sends an alarm is not the sender's choice; what the sender wishes is.
pub(super) fn must_see_wish(caller: &Caller, said: &Said) -> Result<(), Problem> {
    match said {
        Said::Alarm(event) => match &event.details.wishes.backend {
            Some(backend) => caller.must_see(backend),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlarmQuery {
    source: Option<String>,
    state: Option<String>,
    ticket: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/alarms")]
pub(super) async fn list(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<AlarmQuery>,
) -> Result<HttpResponse, Problem> {
    let active = match query.state.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("cleared") => Some(false),
        Some(_) => return Err(Problem::field("state", "state is active or cleared")),
    };
    let without = match query.ticket.as_deref() {
        None => false,
        Some("none") => true,
        Some(_) => return Err(Problem::field("ticket", "ticket is none, or left out")),
    };
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let filter = AlarmFilter { source: query.source.clone(), active };
    let reads = &face.cast.outside.reads;
    let (rows, next) = if without {
        let read = async |page| reads.alarms(filter.clone(), page).await;
        let kept = async |(_, alarm): &(u64, Alarm)| {
            Ok(caller.sees_alarm(alarm) && !has_ticket(reads.as_ref(), alarm).await?)
        };
        sifted(page, |(n, _)| *n, read, kept).await?
    } else if caller.sees_all() {
        let rows = reads.alarms(filter, page).await?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|(n, _)| *n);
        (rows, next)
    } else {
        let read = async |page| reads.alarms(filter.clone(), page).await;
        sifted(page, |(n, _)| *n, read, async |(_, alarm)| Ok(caller.sees_alarm(alarm))).await?
    };
    let mut items = Vec::with_capacity(rows.len());
    for (_, alarm) in &rows {
        items.push(listed(&face, &caller, alarm).await?);
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

/// Is there a ticket for it at a backend? One that is to be made, was refused or was dropped is none.
async fn has_ticket(reads: &dyn Reads, alarm: &Alarm) -> Result<bool, StoreError> {
    Ok(match alarm.ticket {
        None => false,
        Some(key) => reads.ticket(key).await?.is_some_and(|ticket| ticket.is_made()),
    })
}

/// An alarm of a list, with what people call its ticket, and how its request stands: two rows by their
/// keys beside each of a page.
async fn listed(face: &Face, caller: &Caller, alarm: &Alarm) -> Result<Value, StoreError> {
    let reads = &face.cast.outside.reads;
    let mut shape = shapes::alarm(alarm);
    if let Some(key) = alarm.ticket
        && let Some(ticket) = reads.ticket(key).await?.filter(|it| caller.sees(&it.backend))
    {
        shape["backend_id"] = json!(ticket.backend_id);
        shape["ticket_status"] = json!(ticket.status);
    }
    if let Some(id) = alarm.request {
        shape["request_state"] = json!(reads.request(id).await?.map(|it| it.state));
    }
    Ok(shape)
}

#[get("/alarms/{source}/{id}")]
pub(super) async fn show(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (source, id) = path.into_inner();
    let alarm = AlarmRef { source, id };
    let occurrences = face.cast.outside.reads.occurrences(alarm.clone()).await?;
    let occurrences = theirs(&caller, occurrences)?;
    match occurrences.last() {
        None => Err(Problem::not_found(format!("no event of alarm {alarm} has ever arrived here"))),
        Some(newest) => {
            let mut shape = shapes::alarm(newest);
            shape["occurrences"] = json!(occurrences.len());
            Ok(HttpResponse::Ok().json(shape))
        }
    }
}

/// The occurrences that a caller may see; 403 where there are others, and none of these.
pub(super) fn theirs(caller: &Caller, mut all: Vec<Alarm>) -> Result<Vec<Alarm>, Problem> {
    if let Some(backend) = all.last().and_then(|newest| newest.backend.clone())
        && !all.iter().any(|occurrence| caller.sees_alarm(occurrence))
    {
        caller.must_see(&backend)?;
    }
    all.retain(|occurrence| caller.sees_alarm(occurrence));
    Ok(all)
}

/// Rows of a page, where nothing else is asked for.
const PAGE: u32 = 50;
/// Rows of a page at most.
pub(super) const PAGE_MAX: u32 = 500;

/// In which order a list runs: that of arrival, from either end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// The page that a query asks for.
pub(super) fn page(
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
) -> Result<Page, Problem> {
    let after = match (order.unwrap_or_default(), after) {
        (Order::Newest, None) => None,
        (Order::Newest, Some(_)) => {
            return Err(Problem::field("after", "after goes with order=oldest"));
        }
        (Order::Oldest, after) => Some(after.unwrap_or(0)),
    };
    match limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(Page { before, after, limit }),
        _ => Err(Problem::field("limit", format!("limit is 1 to {PAGE_MAX}"))),
    }
}
