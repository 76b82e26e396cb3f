//! Lists and single rows: tickets, requests, snapshots, heartbeats.

use super::access::Caller;
use super::alarms::{Order, page};
use super::problem::Problem;
use super::scope::merged;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;
use ticketgate_actors::model::{RequestId, State, Ticket, TicketKey};
use ticketgate_actors::ports::{RequestFilter, TicketFilter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketQuery {
    backend: Option<String>,
    backend_id: Option<String>,
    status: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/tickets")]
pub(super) async fn tickets(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<TicketQuery>,
) -> Result<HttpResponse, Problem> {
    if let Some(number) = &query.backend_id {
        return by_number(&face, &caller, &query, number).await;
    }
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let reads = &face.cast.outside.reads;
    let read = async |backend, page| {
        reads.tickets(TicketFilter { backend, status: query.status.clone() }, page).await
    };
    let backends = caller.lists_of(query.backend.as_deref())?;
    let rows = merged(backends, page, |(n, _)| *n, read).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(n, _)| *n);
    let items = rows.iter().map(|(_, row)| shapes::ticket(row)).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

/// The tickets that backends know by that number: one at each, whatever is stored.
async fn by_number(
    face: &Face,
    caller: &Caller,
    query: &TicketQuery,
    number: &str,
) -> Result<HttpResponse, Problem> {
    let asked = caller.lists_of(query.backend.as_deref())?;
    let every = face.known_backends.iter().cloned();
    let backends = match asked.as_slice() {
        [None] => every.collect(),
        some => some.iter().flatten().cloned().collect::<Vec<_>>(),
    };
    let mut items = Vec::new();
    for backend in backends {
        let found =
            face.cast.outside.reads.ticket_by_backend_id(backend, number.to_owned()).await?;
        let wanted = |found: &Ticket| {
            query.status.as_deref().is_none_or(|status| status == found.status.as_str())
        };
        items.extend(found.filter(wanted).iter().map(shapes::ticket));
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

/// An id in a path or a query.
pub(super) fn id<T: FromStr>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::field(name, format!("{name} is a UUID")))
}

/// The newest snapshot of each source.
#[get("/snapshots")]
pub(super) async fn snapshots(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let rows = face.cast.outside.reads.snapshots().await?;
    let items = rows.iter().map(shapes::snapshot).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

#[get("/tickets/{key}")]
pub(super) async fn ticket(
    face: web::Data<Face>,
    caller: Caller,
    key: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let key: TicketKey = id("key", &key)?;
    let reads = &face.cast.outside.reads;
    let ticket = reads.ticket(key).await?;
    let ticket =
        ticket.ok_or_else(|| Problem::not_found(format!("no ticket has the key {key}")))?;
    caller.must_see(&ticket.backend)?;
    let held = reads.held(ticket.backend.clone()).await?;
    let held = held.iter().find(|(held, _)| *held == key).map(|(_, why)| why);
    let mut shape = shapes::ticket(&ticket);
    shape["held"] = shapes::pause(held);
    Ok(HttpResponse::Ok().json(shape))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestQuery {
    backend: Option<String>,
    state: Option<String>,
    ticket: Option<String>,
    open: Option<bool>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/requests")]
pub(super) async fn requests(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<RequestQuery>,
) -> Result<HttpResponse, Problem> {
    let words = || State::ALL.map(State::as_str).join(", ");
    let state = query.state.as_deref().map(|word| {
        State::parse(word)
            .ok_or_else(|| Problem::field("state", format!("state is one of {}", words())))
    });
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let filter = RequestFilter {
        backend: None,
        state: state.transpose()?,
        ticket: query.ticket.as_deref().map(|key| id("ticket", key)).transpose()?,
        open: query.open,
    };
    let reads = &face.cast.outside.reads;
    let read = async |backend, page| {
        reads.requests(RequestFilter { backend, ..filter.clone() }, page).await
    };
    let backends = caller.lists_of(query.backend.as_deref())?;
    let rows = merged(backends, page, |row| row.n, read).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    let items = rows.iter().map(shapes::request).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

#[get("/requests/{id}")]
pub(super) async fn request(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let request: RequestId = id("id", &path)?;
    match face.cast.outside.reads.request(request).await? {
        Some(row) => {
            caller.must_see(&row.backend).map(|()| HttpResponse::Ok().json(shapes::request(&row)))
        }
        None => Err(Problem::not_found(format!("no request has the id {request}"))),
    }
}

#[get("/heartbeats")]
pub(super) async fn heartbeats(face: web::Data<Face>, caller: Caller) -> HttpResponse {
    let outside = &face.cast.outside;
    let now = outside.clock.now().mono;
    let mut rows: Vec<_> = outside.views.beats.iter().map(|row| row.value().clone()).collect();
    rows.sort_by(|one, other| one.origin.cmp(&other.origin));
    let shape = |sight| {
        let mut shape = shapes::heartbeat(sight, now);
        if !caller.sees_all() {
            // What an origin says of itself is in its own words: nobody can tell whose that is.
            shape["detail"] = Value::Null;
        }
        shape
    };
    let items = rows.iter().map(shape).collect();
    HttpResponse::Ok().json(shapes::list(items, None))
}
