//! What a person decides about an alarm: link, unlink, no ticket. Each with a reason, audited.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use ticketgate_actors::changes::{ByHand, Named, Refusal, Wanted};
use ticketgate_actors::logic::correlation::correlation_key;
use ticketgate_actors::model::{AlarmRef, BackendId, Kind, Origin, TicketKey, TicketName};
use ticketgate_actors::ports::StoreError;

/// Characters of a backend's id.
const BACKEND_ID_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkBody {
    key: Option<TicketKey>,
    backend: Option<String>,
    backend_id: Option<String>,
    #[serde(default)]
    kind: Kind,
    reason: String,
}

impl LinkBody {
    fn name(&self, face: &Face) -> Result<TicketName, Problem> {
        match (self.key, &self.backend, &self.backend_id) {
            (Some(key), None, None) => Ok(TicketName::Key(key)),
            (None, Some(backend), Some(id)) => {
                let known = face.known_backends.iter().find(|known| known.as_str() == backend);
                let unknown = || {
                    let names: Vec<_> = face.known_backends.iter().map(BackendId::as_str).collect();
                    Problem::field("backend", format!("is not one of: {}", names.join(", ")))
                };
                if id.trim().is_empty() || id.chars().count() > BACKEND_ID_MAX {
                    let detail = format!("has 1 to {BACKEND_ID_MAX} characters");
                    return Err(Problem::field("backend_id", detail));
                }
                let backend = known.ok_or_else(unknown)?.clone();
                Ok(TicketName::Theirs(backend, id.trim().to_owned(), self.kind))
            }
            _ => Err(Problem::field("key", "give either key, or backend and backend_id")),
        }
    }
}

#[post("/alarms/{source}/{id}/link")]
pub(super) async fn link(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: web::Json<LinkBody>,
) -> Result<HttpResponse, Problem> {
    let name = body.name(&face)?;
    decide(&face, &caller, path.into_inner(), Wanted::Link(name), &body.reason).await
}

#[post("/alarms/{source}/{id}/unlink")]
pub(super) async fn unlink(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    decide(&face, &caller, path.into_inner(), Wanted::Unlink, &body.reason).await
}

#[post("/alarms/{source}/{id}/no-ticket")]
pub(super) async fn no_ticket(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    decide(&face, &caller, path.into_inner(), Wanted::NoTicket, &body.reason).await
}

async fn decide(
    face: &Face,
    caller: &Caller,
    (source, id): (String, String),
    wanted: Wanted,
    why: &str,
) -> Result<HttpResponse, Problem> {
    let reason = reason(why)?;
    let alarm = AlarmRef { source, id };
    let outside = &face.cast.outside;
    let newest = outside.reads.occurrences(alarm.clone()).await?.pop();
    let unknown = || Problem::not_found(format!("no event of alarm {alarm} has ever arrived here"));
    let newest = newest.ok_or_else(unknown)?;
    if let Some(backend) = &newest.backend {
        caller.must_see(backend)?;
    }
    // Of use only if the ticket is one that nobody here knows yet.
    let backend = match &wanted {
        Wanted::Link(TicketName::Theirs(backend, ..)) => {
            caller.must_see(backend)?;
            backend.clone()
        }
        _ => BackendId::new(""),
    };
    if let Wanted::Link(TicketName::Key(key)) = &wanted
        && let Some(ticket) = outside.reads.ticket(*key).await?
    {
        caller.must_see(&ticket.backend)?;
    }
    let origin = Origin::Alarm { at: newest.at.clone(), number: newest.tickets_made + 1 };
    let row = Named {
        ticket: TicketKey(outside.ids.uuid(outside.clock.now().wall)),
        correlation_key: correlation_key(&outside.instance, &backend, newest.kind, &origin),
        origin,
    };
    let it = ByHand { alarm, wanted, row, who: caller.who(), reason };
    match face.cast.intake.by_hand(it).await {
        Ok(alarm) => Ok(HttpResponse::Ok().json(shapes::alarm(&alarm))),
        Err(StoreError::Refused(Refusal::NotFound)) => {
            Err(Problem::not_found("no ticket has that key"))
        }
        Err(error) => Err(error.into()),
    }
}
