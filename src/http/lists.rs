//! Lists and single rows: tickets, requests, lanes, heartbeats, parked messages.

use super::alarms::page;
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use std::str::FromStr;
use ticketgate_actors::model::{BackendId, RequestId, State, TicketKey};
use ticketgate_actors::ports::{Page, RequestFilter, TicketFilter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketQuery {
    backend: Option<String>,
    status: Option<String>,
    before: Option<u64>,
    limit: Option<u32>,
}

#[get("/tickets")]
pub(super) async fn tickets(
    face: web::Data<Face>,
    query: web::Query<TicketQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.before, query.limit)?;
    let limit = page.limit as usize;
    let filter = TicketFilter {
        backend: query.backend.as_deref().map(BackendId::new),
        status: query.status.clone(),
    };
    let rows = face.cast.outside.reads.tickets(filter, page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(n, _)| *n);
    let items = rows.iter().map(|(_, row)| shapes::ticket(row)).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
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
    key: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let key: TicketKey = id("key", &key)?;
    match face.cast.outside.reads.ticket(key).await? {
        Some(ticket) => Ok(HttpResponse::Ok().json(shapes::ticket(&ticket))),
        None => Err(Problem::not_found(format!("no ticket has the key {key}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestQuery {
    backend: Option<String>,
    state: Option<String>,
    ticket: Option<String>,
    open: Option<bool>,
    before: Option<u64>,
    limit: Option<u32>,
}

#[get("/requests")]
pub(super) async fn requests(
    face: web::Data<Face>,
    query: web::Query<RequestQuery>,
) -> Result<HttpResponse, Problem> {
    let words = || State::ALL.map(State::as_str).join(", ");
    let state = query.state.as_deref().map(|word| {
        State::parse(word)
            .ok_or_else(|| Problem::field("state", format!("state is one of {}", words())))
    });
    let page = page(query.before, query.limit)?;
    let limit = page.limit as usize;
    let filter = RequestFilter {
        backend: query.backend.as_deref().map(BackendId::new),
        state: state.transpose()?,
        ticket: query.ticket.as_deref().map(|key| id("ticket", key)).transpose()?,
        open: query.open,
    };
    let rows = face.cast.outside.reads.requests(filter, page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    let items = rows.iter().map(shapes::request).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

#[get("/requests/{id}")]
pub(super) async fn request(
    face: web::Data<Face>,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let request: RequestId = id("id", &path)?;
    match face.cast.outside.reads.request(request).await? {
        Some(row) => Ok(HttpResponse::Ok().json(shapes::request(&row))),
        None => Err(Problem::not_found(format!("no request has the id {request}"))),
    }
}

#[get("/lanes")]
pub(super) async fn lanes(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    let ids = outside.backends.names();
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        let counts = outside.reads.lane_counts(id.clone()).await?;
        let view = outside.views.lanes.get(&id).map(|view| view.clone()).unwrap_or_default();
        let gait = outside.views.gaits.get(&id).map(|gait| *gait);
        let mut lane = shapes::lane(id.as_str(), &view, &counts, gait);
        let now = outside.clock.now().mono;
        let canary = outside.views.canaries.get(&id).map(|sight| shapes::canary(&sight, now));
        lane["canary"] = canary.unwrap_or_default();
        items.push(lane);
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

#[get("/heartbeats")]
pub(super) async fn heartbeats(face: web::Data<Face>) -> HttpResponse {
    let outside = &face.cast.outside;
    let now = outside.clock.now().mono;
    let mut rows: Vec<_> = outside.views.beats.iter().map(|row| row.value().clone()).collect();
    rows.sort_by(|one, other| one.origin.cmp(&other.origin));
    let items = rows.iter().map(|sight| shapes::heartbeat(sight, now)).collect();
    HttpResponse::Ok().json(shapes::list(items, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkedQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

#[get("/parked")]
pub(super) async fn parked(
    face: web::Data<Face>,
    query: web::Query<ParkedQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.before, query.limit)?;
    let limit = page.limit as usize;
    let rows = face.cast.outside.reads.parked(page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    let items = rows.iter().map(|row| shapes::parked(row, false)).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

#[get("/parked/{n}")]
pub(super) async fn parked_one(
    face: web::Data<Face>,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let n = n.into_inner();
    let page = Page { before: n.checked_add(1), limit: 1 };
    let rows = face.cast.outside.reads.parked(page).await?;
    match rows.first().filter(|row| row.n == n) {
        Some(row) => Ok(HttpResponse::Ok().json(shapes::parked(row, true))),
        None => Err(Problem::not_found(format!("no parked message has the number {n}"))),
    }
}
