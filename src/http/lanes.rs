//! The lanes to the backends: how each stands; pause and resume all of one, hold and release one ticket
//! of it. Each act with a reason, audited by the store.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::json;
use ticketgate_actors::actors::{Hold, PauseLane, Resume};
use ticketgate_actors::changes::HoldTicket;
use ticketgate_actors::model::{BackendId, TicketKey};

#[get("/lanes")]
pub(super) async fn list(face: web::Data<Face>, caller: Caller) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    let mut items = Vec::new();
    for id in outside.backends.names().into_iter().filter(|id| caller.sees(id)) {
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

/// The backend of that name, if there is one and the caller may act on it.
pub(super) fn theirs(face: &Face, caller: &Caller, name: &str) -> Result<BackendId, Problem> {
    let backend = BackendId::new(name);
    if !face.cast.outside.backends.has(&backend) {
        return Err(Problem::not_found(format!("no backend is called {backend}")));
    }
    caller.must_see(&backend)?;
    Ok(backend)
}

#[post("/lanes/{id}/pause")]
pub(super) async fn pause(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let pause = PauseLane { backend, who: caller.who(), reason: reason(&body.reason)? };
    match face.cast.gateway.ask(pause).await {
        Some(Ok(pause)) => {
            Ok(HttpResponse::Ok().json(json!({ "pause": shapes::pause(Some(&pause)) })))
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(Problem::busy("the gateway is being replaced")),
    }
}

#[post("/lanes/{id}/resume")]
pub(super) async fn resume(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let was = face.cast.outside.views.lanes.get(&backend).and_then(|it| it.glance.held.clone());
    let resume = Resume { backend, who: caller.who(), reason: reason(&body.reason)? };
    match face.cast.gateway.ask(resume).await {
        Some(true) => Ok(HttpResponse::Ok().json(json!({ "resumed": true, "was": was }))),
        _ => Err(Problem::busy("the store did not take it: try again")),
    }
}

#[get("/lanes/{id}/held")]
pub(super) async fn held(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let rows = face.cast.outside.reads.held(backend).await?;
    let items = rows.iter().map(|(ticket, why)| {
        let mut shape = shapes::pause(Some(why));
        shape["ticket"] = json!(ticket);
        shape
    });
    Ok(HttpResponse::Ok().json(shapes::list(items.collect(), None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketBody {
    ticket: TicketKey,
    reason: String,
}

async fn keep(
    face: &Face,
    caller: &Caller,
    path: &str,
    body: &TicketBody,
    on: bool,
) -> Result<serde_json::Value, Problem> {
    let backend = theirs(face, caller, path)?;
    let (who, reason) = (caller.who(), reason(&body.reason)?);
    let order = HoldTicket { backend, ticket: body.ticket, hold: on, who, reason };
    match face.cast.gateway.ask(Hold(order)).await {
        Some(Ok(why)) => Ok(shapes::pause(Some(&why))),
        Some(Err(error)) => Err(match Problem::from(error) {
            missing if missing.is_not_found() => {
                Problem::not_found(format!("{path} has no ticket with the key {}", body.ticket))
            }
            problem => problem,
        }),
        None => Err(Problem::busy("the gateway is being replaced")),
    }
}

#[post("/lanes/{id}/hold")]
pub(super) async fn hold(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<TicketBody>,
) -> Result<HttpResponse, Problem> {
    let why = keep(&face, &caller, &path, &body, true).await?;
    Ok(HttpResponse::Ok().json(json!({ "ticket": body.ticket, "held": why })))
}

#[post("/lanes/{id}/release")]
pub(super) async fn release(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<TicketBody>,
) -> Result<HttpResponse, Problem> {
    keep(&face, &caller, &path, &body, false).await?;
    Ok(HttpResponse::Ok().json(json!({ "ticket": body.ticket, "released": true })))
}
