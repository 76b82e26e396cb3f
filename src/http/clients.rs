//! The ticket clients for people: who holds which, what it is busy with, what its last reads gave;
//! and the two things that may be forced, each with a reason (rules L10, L11).

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, post, web};
use serde_json::{Value, json};
use ticketgate_actors::actors::{ClientView, NotBusy, Unlock};
use ticketgate_actors::changes::Change;
use ticketgate_actors::model::ClientNumber;

#[get("/clients")]
pub(super) async fn clients(face: web::Data<Face>, caller: Caller) -> HttpResponse {
    let views = &face.cast.outside.views.clients;
    let mut rows: Vec<_> = views.iter().map(|row| (*row.key(), row.value().clone())).collect();
    rows.sort_by_key(|(number, _)| *number);
    let items = rows.iter().map(|(number, view)| shown(&caller, *number, view)).collect();
    HttpResponse::Ok().json(shapes::list(items, None))
}

/// A ticket client. Who holds it, by which name, and what it does is told to those who see all: a lock is of
/// no backend, and its name is all that it takes to give it back.
pub(super) fn shown(caller: &Caller, number: ClientNumber, view: &ClientView) -> Value {
    let mut shape = shapes::client(number, view);
    if !caller.sees_all() {
        for name in ["holder", "guid", "fence", "processing"] {
            shape[name] = Value::Null;
        }
    }
    shape
}

/// The client of that number, if there is one.
fn known(face: &Face, number: u64) -> Result<ClientNumber, Problem> {
    let client = ClientNumber(number);
    match face.cast.outside.views.clients.contains_key(&client) {
        true => Ok(client),
        false => Err(Problem::not_found(format!("there is no ticket client {number}"))),
    }
}

#[get("/clients/{n}")]
pub(super) async fn show(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let view = face.cast.outside.views.clients.get(&number).map(|row| row.value().clone());
    Ok(HttpResponse::Ok().json(shown(&caller, number, &view.unwrap_or_default())))
}

#[get("/clients/{n}/responses")]
pub(super) async fn responses(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let desk = face.cast.outside.views.desks.get(&number).map(|row| row.value().clone());
    let rows = desk.unwrap_or_default().responses;
    let theirs = rows.iter().rev().filter(|row| caller.sees(&row.backend));
    let items = theirs.map(shapes::response).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

#[get("/clients/{n}/results")]
pub(super) async fn results(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let desk = face.cast.outside.views.desks.get(&number).map(|row| row.value().clone());
    let mut desk = desk.unwrap_or_default();
    // What was found does not say where; the reads do.
    if !desk.responses.iter().all(|row| caller.sees(&row.backend)) {
        desk.results.clear();
    }
    let items = desk.results.iter().map(shapes::found).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

/// The network path of the last flow; the flow that takes the client next replaces it.
#[get("/clients/{n}/path")]
pub(super) async fn path(
    face: web::Data<Face>,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let desk = face.cast.outside.views.desks.get(&number).and_then(|row| row.value().path.clone());
    let shown = desk.map(|path| {
        json!({
            "guid": path.guid.to_string(),
            "at": path.at.to_string(),
            "object": path.object,
            "found": !path.hops.is_empty(),
            "hops": path.hops,
        })
    });
    Ok(HttpResponse::Ok().json(json!({ "path": shown })))
}

#[post("/clients/{n}/unlock")]
pub(super) async fn unlock(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let unlock = Unlock { client: number, who: caller.who(), reason: reason(&body.reason)? };
    match face.cast.pool.ask(unlock).await {
        Some(Ok(was_locked)) => Ok(HttpResponse::Ok().json(json!({ "was_locked": was_locked }))),
        Some(Err(error)) => Err(error.into()),
        None => Err(Problem::busy("the pool is being replaced")),
    }
}

#[post("/clients/{n}/not-busy")]
pub(super) async fn not_busy(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let number = known(&face, *n)?;
    let audit = Change::Audit {
        who: caller.who(),
        what: format!("client {number} set to not busy"),
        why: reason(&body.reason)?,
    };
    face.cast.outside.store.apply(audit.into()).await?;
    let place = usize::try_from(*n).unwrap_or(usize::MAX) - 1;
    let post = face.cast.clients.get(place);
    let was_busy = match post {
        Some(post) => post.ask(NotBusy).await,
        None => None,
    };
    match was_busy {
        Some(was_busy) => Ok(HttpResponse::Ok().json(json!({ "was_busy": was_busy }))),
        None => Err(Problem::busy("the ticket client is being replaced")),
    }
}
