//! What a person decides about an alarm: link, unlink, no ticket. Each with a reason, audited.
//!
//! What always holds: a ticket that nobody here knows is asked for at its backend before an alarm is linked
//! to it; what the backend does not have, or cannot be asked about, is linked only where the person insists.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::problem::Problem;
use super::typed::typed;
use super::{Face, looked, shapes};
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use ticketgate_actors::changes::{ByHand, Named, Refusal, Wanted};
use ticketgate_actors::logic::correlation::correlation_key;
use ticketgate_actors::model::{
    Alarm, AlarmRef, BackendId, Found, Kind, Origin, State, TicketKey, TicketName,
};
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
    /// Also where the backend does not bear it out.
    #[serde(default)]
    force: bool,
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
    let wanted = (Wanted::Link(name), body.force);
    decide(&face, &caller, path.into_inner(), wanted, &body.reason).await
}

#[post("/alarms/{source}/{id}/unlink")]
pub(super) async fn unlink(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    decide(&face, &caller, path.into_inner(), (Wanted::Unlink, false), &body.reason).await
}

#[post("/alarms/{source}/{id}/no-ticket")]
pub(super) async fn no_ticket(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    decide(&face, &caller, path.into_inner(), (Wanted::NoTicket, false), &body.reason).await
}

async fn decide(
    face: &Face,
    caller: &Caller,
    (source, id): (String, String),
    (wanted, force): (Wanted, bool),
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
    if newest.request.is_some() {
        return Err(under_way(face, &newest).await?);
    }
    let (seen, unverified) = match &wanted {
        Wanted::Link(TicketName::Theirs(backend, theirs, kind)) => {
            match (there(face, backend, theirs, *kind).await?, force) {
                (Ok(seen), _) => (seen, None),
                (Err(why), false) => return Err(looked::may_be_forced(&why)),
                (Err(why), true) => (None, Some(why)),
            }
        }
        _ => (None, None),
    };
    let origin = Origin::Alarm { at: newest.at.clone(), number: newest.tickets_made + 1 };
    let row = Named {
        ticket: TicketKey(outside.ids.uuid(outside.clock.now().wall)),
        correlation_key: correlation_key(&outside.instance, &backend, newest.kind, &origin),
        origin,
    };
    let it = ByHand { alarm, wanted, row, seen, unverified, who: caller.who(), reason };
    match face.cast.intake.by_hand(it).await {
        Ok(alarm) => Ok(HttpResponse::Ok().json(shapes::alarm(&alarm))),
        Err(StoreError::Refused(Refusal::NotFound)) => {
            Err(Problem::not_found("no ticket has that key"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Is there a ticket of that number? The ticket, where its backend showed it; or why it is not sure. One that
/// is known here is not asked for.
async fn there(
    face: &Face,
    backend: &BackendId,
    theirs: &str,
    kind: Kind,
) -> Result<Result<Option<Box<Found>>, String>, Problem> {
    let reads = &face.cast.outside.reads;
    if reads.ticket_by_backend_id(backend.clone(), theirs.to_owned()).await?.is_some() {
        return Ok(Ok(None));
    }
    Ok(match looked::at(face, backend, theirs, kind).await {
        looked::Looked::There(found) => match looked::foreign(&found, None) {
            Some(key) => Err(format!(
                "{backend}'s ticket {theirs} carries the key {key}: a Ticketgate has made it for something \
                 else, which may still be waiting for it"
            )),
            None => Ok(Some(found)),
        },
        looked::Looked::NotThere => Err(format!("{backend} has no ticket {theirs}")),
        looked::Looked::Unknown(why) => {
            Err(format!("{backend} could not be asked whether it has a ticket {theirs}: {why}"))
        }
    })
}

/// What has to end before a person may decide about the alarm, and how.
async fn under_way(face: &Face, alarm: &Alarm) -> Result<Problem, StoreError> {
    let row = match alarm.request {
        Some(id) => face.cast.outside.reads.request(id).await?,
        None => None,
    };
    Ok(Problem::conflict(match row {
        Some(row) if row.state == State::Undecided => {
            let settle = typed(&["request", "settle", &row.id.to_string()]);
            format!("its {} is undecided: settle it first: {settle}", row.op.as_str())
        }
        Some(row) => {
            format!("its {} {} is under way: wait for its end", row.op.as_str(), row.id)
        }
        None => Refusal::UnderWay.to_string(),
    }))
}
