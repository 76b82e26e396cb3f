//! What the dashboard's first page needs at one glance, and the last hours as figures.

use super::Face;
use super::access::Caller;
use super::problem::Problem;
use crate::series::{POINTS_MAX, STEP};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::logic::lane::CLASSES;
use ticketgate_actors::model::{State, Timestamp};
use ticketgate_actors::ports::{DueMost, StoreError};

/// Points that are given unless more, or fewer, are asked for: an hour.
const POINTS: usize = 360;
/// What waits is counted up to so many: more tells a person nothing else, and costs.
const COUNTED_MAX: u32 = 10_000;

#[get("/overview")]
pub(super) async fn overview(
    face: web::Data<Face>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    // Of these nobody can tell of which backend they are, or it would take a look at each.
    let (mut parked, mut unsent, mut trouble) = (None, None, None);
    if caller.sees_all() {
        parked = Some(outside.reads.parked_count(COUNTED_MAX).await?);
        unsent = Some(outside.reads.unsent_count(COUNTED_MAX).await?);
        trouble = (face.bus_trouble)();
    }
    Ok(HttpResponse::Ok().json(json!({
        "node": face.node,
        "version": env!("CARGO_PKG_VERSION"),
        "bus_connected": outside.bus.connected(),
        "bus_trouble": trouble,
        "parked": parked,
        "unsent_events": unsent,
        "waiting_for_clients": outside.views.waiting_for_clients.load(Ordering::Relaxed),
        "oldest": oldest(outside, &caller).await?,
        "debug_page": face.debug_page,
    })))
}

/// What has waited longest: an alarm that is due, or a request that is ready, under way or in doubt. What
/// waits for a time that was set, or for a person, is not late. Reads the first of each line, and no more.
async fn oldest(outside: &Outside, caller: &Caller) -> Result<Value, StoreError> {
    let now = outside.clock.now().wall;
    let mut oldest: Option<(Timestamp, String)> = None;
    let mut older = |since: Timestamp, what: String| {
        if oldest.as_ref().is_none_or(|(known, _)| since < *known) {
            oldest = Some((since, what));
        }
    };
    for backend in outside.backends.names().into_iter().filter(|it| caller.sees(it)) {
        let due = outside.reads.due_alarms(backend.clone(), now, DueMost::of_each(1)).await?;
        if let Some(alarm) = due.first().map(|due| &due.alarm) {
            older(alarm.due_at.unwrap_or(now), format!("alarm {}", alarm.at.alarm));
        }
        let mut rows = Vec::new();
        for class in 0..CLASSES as u8 {
            rows.extend(outside.reads.ready_requests(backend.clone(), class, now, 1).await?);
        }
        // Of these a lane has few by its own limits.
        for state in [State::InDoubt, State::Intent] {
            rows.extend(outside.reads.requests_in(backend.clone(), state).await?);
        }
        for request in rows {
            older(request.accepted_at, format!("{} at {backend}", request.op.as_str()));
        }
    }
    Ok(oldest
        .map_or(Value::Null, |(since, what)| json!({ "since": since.to_string(), "what": what })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesQuery {
    points: Option<usize>,
}

/// Columns, so that a page of hours is small.
#[get("/series")]
pub(super) async fn series(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<SeriesQuery>,
) -> Result<HttpResponse, Problem> {
    let most = query.points.unwrap_or(POINTS);
    if !(1..=POINTS_MAX).contains(&most) {
        return Err(Problem::field("points", format!("points is 1 to {POINTS_MAX}")));
    }
    let points = face.series.newest(most, caller.backends.as_deref());
    let step_ms = STEP.as_millis();
    Ok(HttpResponse::Ok().json(json!({
        "step_ms": step_ms,
        "kept_ms": step_ms * POINTS_MAX as u128,
        "at": points.iter().map(|it| it.at.as_millis()).collect::<Vec<_>>(),
        "calls": points.iter().map(|it| it.calls).collect::<Vec<_>>(),
        "made": points.iter().map(|it| it.made).collect::<Vec<_>>(),
        "failed": points.iter().map(|it| it.failed).collect::<Vec<_>>(),
        "mean_ms": points.iter().map(|it| it.mean_ms).collect::<Vec<_>>(),
        "longest_ms": points.iter().map(|it| it.longest_ms).collect::<Vec<_>>(),
    })))
}
