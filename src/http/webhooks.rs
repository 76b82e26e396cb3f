//! Foreign alarm systems over HTTP (CONTRACT 1.3, 2): `[[source]]` says how each is believed and read.

use super::Face;
use super::access::Caller;
use super::alarms::must_see_wish;
use super::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, post, web};
use serde_json::json;
use ticketgate_actors::model::{Identity, Said};
use ticketgate_actors::ports::{Delivery, Malformed};
use uuid::Uuid;

/// Where they speak.
pub(super) const PREFIX: &str = "/webhooks/";

/// What a message of a source says; or, of each alarm in it, what is wrong.
type Alarms = Vec<Result<(Identity, Said), Malformed>>;

/// Reads what a source sent, as if it came now.
///
/// # Errors
/// No such source, or nobody can read it.
pub(super) fn read(face: &Face, name: &str, delivery: &Delivery) -> Result<Alarms, Malformed> {
    let source = face.sources.iter().find(|source| source.name == name);
    let source = source.ok_or_else(|| Malformed {
        field: None,
        reason: format!("no [[source]] is called {name}"),
    })?;
    let outside = &face.cast.outside;
    let fresh = || -> Uuid { outside.ids.uuid(outside.clock.now().wall) };
    source.read(delivery, &face.known_backends, Some(fresh))
}

/// 202 means: committed, each alarm as an event or parked. Whoever hears 503 sends it again; a body
/// that nobody could read is refused, since it would be the same tomorrow.
#[post("/webhooks/{source}")]
pub(super) async fn webhook(
    face: web::Data<Face>,
    caller: Option<Caller>,
    path: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let name = path.into_inner();
    let source = face.sources.iter().find(|source| source.name == name);
    let source = source.ok_or_else(|| Problem::not_found("no [[source]] is called so"))?;
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    if !source.trust().believes(header, &body) {
        return Err(Problem::unauthorised("this is not the source's secret"));
    }
    let text = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let delivery = Delivery {
        inlet: format!("{PREFIX}{name}").into(),
        body,
        content_type: text("content-type"),
        message_id: None,
        // CloudEvents' HTTP binding.
        cloudevents_id: text("ce-id"),
        cloudevents_source: text("ce-source"),
        reply_to: None,
        correlation_id: None,
        dead_lettered: None,
    };
    let outside = &face.cast.outside;
    let fresh = || -> Uuid { outside.ids.uuid(outside.clock.now().wall) };
    let read = source
        .read(&delivery, &face.known_backends, Some(fresh))
        .map_err(|malformed| Problem::invalid(malformed.reason))?;
    // A source that brings its own secret is nobody that the guard knows.
    if let Some(caller) = caller {
        for (_, said) in read.iter().flatten() {
            must_see_wish(&caller, said)?;
        }
    }
    let count = face.cast.intake.accept_read(delivery, read).await?;
    Ok(HttpResponse::Accepted().json(json!({
        "accepted": count.accepted, "repeats": count.repeats, "parked": count.parked,
    })))
}
