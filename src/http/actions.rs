//! What a person does: settle an undecided request, resume a lane, change the log level. Each asks
//! for a reason and is audited by the store.

use super::lists::id;
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use serde_json::json;
use ticketgate_actors::actors::{Resume, SettleRequest};
use ticketgate_actors::changes::{PersonSays, Refusal, Settle};
use ticketgate_actors::model::{BackendId, EventId, RequestId};
use ticketgate_actors::ports::StoreError;

/// Characters of a reason.
const REASON_MAX: usize = 1_000;
/// Without sign-in there is one name for all.
pub(super) const SOMEBODY: &str = "operator";

/// A person's reason, checked.
pub(super) fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_MAX {
        let detail = format!("a reason of 1 to {REASON_MAX} characters is needed");
        return Err(Problem::field("reason", detail));
    }
    Ok(text.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettleBody {
    says: String,
    backend_id: Option<String>,
    reason: String,
}

#[post("/requests/{id}/settle")]
pub(super) async fn settle(
    face: web::Data<Face>,
    path: web::Path<String>,
    body: web::Json<SettleBody>,
) -> Result<HttpResponse, Problem> {
    let request: RequestId = id("id", &path)?;
    let says = match (body.says.as_str(), &body.backend_id) {
        ("found", Some(backend_id)) if !backend_id.trim().is_empty() => {
            PersonSays::Found(backend_id.trim().to_owned())
        }
        ("found", _) => {
            return Err(Problem::field("backend_id", "found needs the ticket's backend_id"));
        }
        ("absent", None) => PersonSays::Absent,
        ("drop", None) => PersonSays::Drop,
        ("absent" | "drop", Some(_)) => {
            return Err(Problem::field("backend_id", "backend_id belongs to found alone"));
        }
        _ => return Err(Problem::field("says", "says is found, absent or drop")),
    };
    let outside = &face.cast.outside;
    let row = outside.reads.request(request).await?;
    let seat = row.and_then(|row| outside.backends.get(&row.backend));
    let settle = Settle {
        request,
        says,
        who: SOMEBODY.to_owned(),
        reason: reason(&body.reason)?,
        event_id: EventId(outside.ids.uuid(outside.clock.now().wall)),
        watch_looks: seat.map_or(0, |seat| seat.settings.watch_looks()),
    };
    match face.cast.gateway.ask(SettleRequest(settle)).await {
        Some(Ok(row)) => Ok(HttpResponse::Ok().json(shapes::request(&row))),
        Some(Err(StoreError::Refused(Refusal::WrongState))) => {
            Err(Problem::conflict("the request is not undecided"))
        }
        Some(Err(StoreError::Refused(Refusal::Conflict))) => {
            Err(Problem::conflict("another ticket has that backend_id already"))
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(Problem::busy("the gateway is being replaced")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonBody {
    pub reason: String,
}

#[post("/lanes/{id}/resume")]
pub(super) async fn resume(
    face: web::Data<Face>,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let backend = BackendId::new(&path);
    if !face.cast.outside.backends.has(&backend) {
        return Err(Problem::not_found(format!("no backend is called {backend}")));
    }
    let resume = Resume { backend, who: SOMEBODY.to_owned(), reason: reason(&body.reason)? };
    match face.cast.gateway.ask(resume).await {
        Some(true) => Ok(HttpResponse::Ok().json(json!({ "resumed": true }))),
        _ => Err(Problem::busy("the store did not take it: try again")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelBody {
    level: String,
}

#[post("/config/log-level")]
pub(super) async fn log_level(
    face: web::Data<Face>,
    body: web::Json<LevelBody>,
) -> Result<HttpResponse, Problem> {
    face.log_level.set(&body.level).map_err(|what| Problem::field("level", what))?;
    Ok(HttpResponse::Ok().json(json!({ "level": body.level })))
}
