//! The communication log: the newest calls to the backends.

use super::access::Caller;
use super::problem::Problem;
use super::services::known;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;
use ticketgate_actors::actors::EXCHANGES_MAX;

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
    let backend = caller.list_of(query.backend.as_deref())?;
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=EXCHANGES_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("limit is 1 to {EXCHANGES_MAX}")));
    }
    let calls = face.cast.outside.views.newest_calls(backend.as_ref(), limit);
    let items = calls.iter().map(|(backend, call)| shapes::exchanged(backend, call)).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}
