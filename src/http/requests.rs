//! What a person does to a request: settle what is undecided, have done again what failed, cancel what
//! was not sent. Each with a reason, audited by the store.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::doubt::{Shown, borne_out, not_undecided};
use super::lists::id;
use super::problem::Problem;
use super::{Face, looked, shapes};
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use ticketgate_actors::actors::{BackendSeat, CancelRequest, RetryRequest, SettleRequest};
use ticketgate_actors::changes::{Cancel, PersonSays, Refusal, Retry, Settle};
use ticketgate_actors::model::{CommandId, EventId, Request, RequestId, State};
use ticketgate_actors::ports::StoreError;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettleBody {
    says: String,
    backend_id: Option<String>,
    /// Also where the backend does not bear it out.
    #[serde(default)]
    force: bool,
    reason: String,
}

impl SettleBody {
    fn says(&self) -> Result<PersonSays, Problem> {
        match (self.says.as_str(), &self.backend_id) {
            ("found", Some(backend_id)) if !backend_id.trim().is_empty() => {
                Ok(PersonSays::Found(backend_id.trim().to_owned()))
            }
            ("found", _) => {
                Err(Problem::field("backend_id", "found needs the ticket's backend_id"))
            }
            ("done", None) => Ok(PersonSays::Done),
            ("absent", None) => Ok(PersonSays::Absent),
            ("drop", None) => Ok(PersonSays::Drop),
            ("done" | "absent" | "drop", Some(_)) => {
                Err(Problem::field("backend_id", "backend_id belongs to found alone"))
            }
            _ => Err(Problem::field("says", "says is found, done, absent or drop")),
        }
    }
}

/// The request, if the caller may act on it, and how its backend's lane goes.
async fn theirs(
    face: &Face,
    caller: &Caller,
    path: &str,
) -> Result<(Request, Option<BackendSeat>), Problem> {
    let request: RequestId = id("id", path)?;
    let row = face.cast.outside.reads.request(request).await?;
    let row = row.ok_or_else(|| Problem::not_found(format!("no request has the id {request}")))?;
    caller.must_see(&row.backend)?;
    let seat = face.cast.outside.backends.get(&row.backend);
    Ok((row, seat))
}

fn fresh(face: &Face) -> Uuid {
    let outside = &face.cast.outside;
    outside.ids.uuid(outside.clock.now().wall)
}

fn answered(
    answer: Option<Result<Request, StoreError>>,
    wrong_state: &str,
) -> Result<HttpResponse, Problem> {
    match answer {
        Some(Ok(row)) => Ok(HttpResponse::Ok().json(shapes::request(&row))),
        Some(Err(StoreError::Refused(Refusal::WrongState))) => Err(Problem::conflict(wrong_state)),
        Some(Err(StoreError::Refused(Refusal::UnderWay))) => {
            Err(Problem::conflict("its ticket has a request that has not ended: wait for its end"))
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(Problem::busy("the gateway is being replaced")),
    }
}

#[post("/requests/{id}/settle")]
pub(super) async fn settle(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<SettleBody>,
) -> Result<HttpResponse, Problem> {
    let says = body.says()?;
    let reason = reason(&body.reason)?;
    let (row, seat) = theirs(&face, &caller, &path).await?;
    if row.state != State::Undecided {
        return Err(not_undecided(&face, &row));
    }
    let shown = borne_out(&face, &row, &says).await?;
    let (seen, unverified) = match shown {
        Shown::Yes(seen) => (seen, None),
        Shown::No(why) if !body.force => return Err(looked::may_be_forced(&why)),
        Shown::No(why) => (None, Some(why)),
    };
    let settle = Settle {
        request: row.id,
        says,
        seen,
        unverified,
        who: caller.who(),
        reason,
        event_id: EventId(fresh(&face)),
        watch_looks: seat.map_or(0, |seat| seat.settings.watch_looks()),
    };
    match face.cast.gateway.ask(SettleRequest(settle)).await {
        Some(Err(StoreError::Refused(Refusal::Conflict))) => {
            Err(Problem::conflict("another ticket has that backend_id already"))
        }
        answer => answered(answer, "the request is not undecided any more"),
    }
}

/// Gives the fresh request: the failed one has ended.
#[post("/requests/{id}/retry")]
pub(super) async fn retry(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let reason = reason(&body.reason)?;
    let (row, seat) = theirs(&face, &caller, &path).await?;
    let seat = seat.ok_or_else(|| Problem::conflict("its backend is not configured any more"))?;
    let retry = Retry {
        request: row.id,
        fresh: RequestId(fresh(&face)),
        command: CommandId(fresh(&face)),
        admission: seat.settings.admission,
        may_be_done: seat.settings.retry_may_duplicate,
        settle: seat.settings.settle(),
        who: caller.who(),
        reason,
    };
    let answer = face.cast.gateway.ask(RetryRequest(retry)).await;
    answered(answer, "only a request that has failed can be done again")
}

#[post("/requests/{id}/cancel")]
pub(super) async fn cancel(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let reason = reason(&body.reason)?;
    let (row, seat) = theirs(&face, &caller, &path).await?;
    let settings = seat.map(|seat| seat.settings);
    let cancel = Cancel {
        request: row.id,
        may_be_done: settings.as_ref().is_some_and(|it| it.retry_may_duplicate),
        who: caller.who(),
        reason,
        event_id: EventId(fresh(&face)),
        watch_looks: settings.map_or(0, |it| it.watch_looks()),
    };
    let answer = face.cast.gateway.ask(CancelRequest(cancel)).await;
    answered(answer, "only a request that waits to be sent can be cancelled")
}
