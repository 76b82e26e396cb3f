//! `/healthz` (the process answers), `/readyz` (it can do its work), `/metrics`.

use super::Face;
use super::problem::Problem;
use actix_web::{HttpResponse, get, web};
use serde_json::json;
use ticketgate_actors::model::BackendId;

#[get("/healthz")]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Ready: the store answers, and took what it was given last. The bus and the backends may be away: that is what the service is
/// for, and it is said here.
#[get("/readyz")]
pub(super) async fn readyz(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    if let Some(why) = face.store.trouble() {
        return Err(Problem::busy(format!("the store takes nothing: {why}")));
    }
    if let Some(backend) = outside.backends.names().into_iter().next() {
        outside.reads.lane(backend).await?;
    } else {
        outside.reads.lane(BackendId::new("none")).await?;
    }
    let held: Vec<_> = outside
        .views
        .lanes
        .iter()
        .filter_map(|row| {
            row.glance.held.as_ref().map(|why| json!({ "backend": row.key(), "why": why }))
        })
        .collect();
    // Said, and no reason to be taken out of rotation: another node would not reach the backend either,
    // and what is accepted here waits.
    let canaries = &outside.views.canaries;
    let dead: Vec<_> =
        canaries.iter().filter(|row| row.dead).map(|row| row.key().clone()).collect();
    Ok(HttpResponse::Ok().json(json!({
        "status": "ready",
        "node": face.node,
        "bus_connected": outside.bus.connected(),
        "lanes_held": held,
        "flows_dead": dead,
    })))
}

#[get("/metrics")]
pub(super) async fn metrics(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let text = face.metrics.render(&face.cast, face.streams.open()).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
