//! Who speaks without being asked: foreign alarm systems (CONTRACT 1.3, 2; `[[source]]` says how each is
//! believed and read), and backends that tell that something has changed there (docs/sync.md).
//!
//! A `[[source]]` goes before a backend of the same name.

use super::Face;
use super::access::Caller;
use super::alarms::must_see_wish;
use super::problem::Problem;
use crate::sources::Source;
use crate::trust::Trust;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, post, web};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use ticketgate_actors::actors::{Notice, SyncSettings};
use ticketgate_actors::model::BackendId;
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

/// How whoever speaks there is believed; none: nobody does, or as a caller of the API.
pub(super) fn trust<'a>(face: &'a Face, name: &str) -> Option<&'a Trust> {
    match face.sources.iter().find(|source| source.name == name) {
        Some(source) => Some(source.trust()),
        None => face.notices.get(&BackendId::new(name)).map(AsRef::as_ref),
    }
}

#[post("/webhooks/{name}")]
pub(super) async fn webhook(
    face: web::Data<Face>,
    path: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let name = path.into_inner();
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    if !trust(&face, &name).is_none_or(|trust| trust.believes(header, &body)) {
        return Err(Problem::unauthorised("this is not its secret"));
    }
    match face.sources.iter().find(|source| source.name == name) {
        Some(source) => alarms(&face, source, &request, body).await,
        None => notice(&face, &BackendId::new(&name), &request).await,
    }
}

/// 202 means: committed, each alarm as an event or parked. Whoever hears 503 sends it again; a body
/// that nobody could read is refused, since it would be the same tomorrow.
async fn alarms(
    face: &Face,
    source: &Arc<Source>,
    request: &HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let text = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let delivery = Delivery {
        inlet: format!("{PREFIX}{}", source.name).into(),
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
    let caller = request.extensions().get::<Caller>().cloned();
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

/// 202 means: the syncs that it names read that backend soon. What the body says is not looked at. A
/// notice is not stored: after a restart every sync runs at once anyway.
async fn notice(
    face: &Face,
    backend: &BackendId,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let of_backend: Vec<(SyncSettings, _)> =
        face.cast.syncs.of_source(backend).map(|seat| (seat.settings(), seat)).collect();
    if of_backend.is_empty() {
        let detail = "no [[source]] is called so, and no [[sync]] is with a backend of that name";
        return Err(Problem::not_found(detail));
    }
    // Who brought a secret of the backend's own is no caller of the API.
    if let Some(caller) = request.extensions().get::<Caller>() {
        caller.must_see(backend)?;
    }
    let (mut soon, mut refused) = (Vec::new(), Vec::new());
    for (settings, seat) in of_backend {
        let name = settings.plan.name.clone();
        match seat.post.ask(Notice).await {
            Some(Ok(())) => {
                seat.noticed.fetch_add(1, Ordering::Relaxed);
                soon.push(name);
            }
            Some(Err(why)) => refused.push(format!("sync {name} {why}")),
            None => return Err(Problem::busy("the sync is being replaced")),
        }
    }
    match soon.is_empty() {
        true => Err(Problem::conflict(refused.join("; "))),
        false => Ok(HttpResponse::Accepted().json(json!({ "syncs": soon }))),
    }
}
