//! The communication log: the newest calls to the backends.

use super::access::Caller;
use super::problem::Problem;
use super::services::known;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use ticketgate_actors::actors::EXCHANGES_MAX;
use ticketgate_actors::model::BackendId;

/// Calls that are shown unless more, or fewer, are asked for.
const LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsQuery {
    backend: Option<String>,
    limit: Option<usize>,
}

#[get("/communication")]
pub(super) async fn list(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<CallsQuery>,
) -> Result<HttpResponse, Problem> {
    if let Some(name) = &query.backend {
        known(&face, name)?;
    }
    let backends = caller.lists_of(query.backend.as_deref())?;
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=EXCHANGES_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("limit is 1 to {EXCHANGES_MAX}")));
    }
    let views = &face.cast.outside.views;
    let of = |backend: &Option<BackendId>| views.newest_calls(backend.as_ref(), limit);
    let mut calls: Vec<_> = backends.iter().flat_map(of).collect();
    if backends.len() > 1 {
        calls.sort_by_key(|(_, call)| std::cmp::Reverse(call.at));
        calls.truncate(limit);
    }
    let items = calls.iter().map(|(backend, call)| shapes::exchanged(backend, call)).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}
