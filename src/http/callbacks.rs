//! Later answers of backends over HTTP (CONTRACT 1.5, 2).

use super::Face;
use super::access::Caller;
use super::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, post, web};
use serde_json::json;
use ticketgate_actors::changes::Refusal;
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::StoreError;

/// Where a backend answers.
pub(super) const PREFIX: &str = "/callbacks/";

#[post("/callbacks/{backend}")]
pub(super) async fn callback(
    face: web::Data<Face>,
    caller: Option<Caller>,
    path: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let name = path.into_inner();
    let known = face.known_backends.iter().find(|backend| backend.as_str() == name);
    let unknown = || Problem::not_found("no backend is called so");
    let backend: &BackendId = known.ok_or_else(unknown)?;
    // A backend that brings its own secret is nobody that the guard knows.
    if let Some(caller) = caller {
        caller.must_see(backend)?;
    }
    let callback = face.callbacks.get(backend).cloned().unwrap_or_default();
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    if !callback.trust().believes(header, &body) {
        return Err(Problem::unauthorised("this is not the backend's secret"));
    }
    let later = callback.read(backend, &body).map_err(|malformed| match malformed.field {
        Some(field) => Problem::field(&field, malformed.reason),
        None => Problem::invalid(malformed.reason),
    })?;
    match face.cast.answers.take(later).await {
        Ok(Some(row)) => {
            Ok(HttpResponse::Ok().json(json!({"request_id": row.id, "state": row.state.as_str()})))
        }
        Ok(None) => Ok(HttpResponse::Ok().json(json!({"repeat": true}))),
        Err(StoreError::Refused(Refusal::NotFound)) => {
            Err(Problem::not_found("no request of this backend is called so"))
        }
        Err(StoreError::Refused(Refusal::NoBackendId)) => {
            let detail = "the ticket was made: its backend_id is needed";
            Err(Problem::field("backend_id", detail))
        }
        Err(StoreError::Refused(refusal)) => Err(Problem::conflict(refusal.to_string())),
        Err(error) => Err(error.into()),
    }
}
