//! Parked messages: look, mend, replay, discard.
//!
//! What always holds: a message goes from here only when it was taken, in the same commit as what was
//! made of it where that is an alarm; a command or a later answer is taken first and known by its own id
//! should it come twice. What cannot be read, or is refused, stays, and the reason is told. A replayed alarm
//! counts from the time at which its message was parked: what came since is newer. What came is kept when
//! it is mended.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::alarms::{Order, page};
use super::problem::Problem;
use super::{Face, shapes, webhooks};
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ticketgate_actors::actors::Accepted;
use ticketgate_actors::changes::{Applied, Change, Mend, Unpark};
use ticketgate_actors::model::{Command, Identity, Parked, Said};
use ticketgate_actors::ports::{Delivery, Later, Malformed, Page, StoreError};

/// Bytes of a mended body: what the wire takes.
const BODY_MAX: usize = crate::wire::MAX_BODY;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkedQuery {
    inlet: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/parked")]
pub(super) async fn list(
    face: web::Data<Face>,
    query: web::Query<ParkedQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let rows = face.cast.outside.reads.parked(query.inlet.clone(), page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    let shape = |row: &Parked| {
        let mut shape = shapes::parked(row, false);
        // Of the others the reason that is kept tells it; to read a page of large bodies takes a while.
        if row.mended > 0 {
            shape["reads"] = reads(&face, row);
        }
        shape
    };
    let items = rows.iter().map(shape).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

#[get("/parked/{n}")]
pub(super) async fn show(
    face: web::Data<Face>,
    n: web::Path<u64>,
) -> Result<HttpResponse, Problem> {
    let row = one(&face, *n).await?;
    let mut shape = shapes::parked(&row, true);
    shape["reads"] = reads(&face, &row);
    Ok(HttpResponse::Ok().json(shape))
}

/// Could it be read if it came now? The reason that is kept tells only why it could not be when it came.
fn reads(face: &Face, message: &Parked) -> Value {
    match read(face, message) {
        Ok(_) => json!({ "works": true }),
        Err(why) => json!({ "works": false, "field": why.field, "said": why.reason }),
    }
}

async fn one(face: &Face, n: u64) -> Result<Parked, Problem> {
    let page = Page { before: n.checked_add(1), after: None, limit: 1 };
    let rows = face.cast.outside.reads.parked(None, page).await?;
    let row = rows.into_iter().next().filter(|row| row.n == n);
    row.ok_or_else(|| Problem::not_found(format!("no parked message has the number {n}")))
}

/// What a message says, by where it came in.
enum Read {
    Alarms(Vec<(Identity, Said)>),
    Command(Box<Command>),
    Later(Box<Later>),
}

/// Reads it as it would be read if it came now: of a message with several alarms only the one that was
/// parked, since the others were taken when it came.
fn read(face: &Face, message: &Parked) -> Result<Read, Malformed> {
    let delivery = &delivery(message);
    let inlet = delivery.inlet.as_ref();
    if inlet.ends_with(".commands.intake") {
        let command = face.cast.commands.read_again(delivery);
        return command.map(|it| Read::Command(Box::new(it))).map_err(|bad| Malformed {
            field: bad.error.field.clone(),
            reason: bad.error.message.clone(),
        });
    }
    if inlet.ends_with(".answers.intake") {
        let later = face.cast.answers.read_again(delivery);
        return later.map(|it| Read::Later(Box::new(it)));
    }
    let read = match inlet.strip_prefix(webhooks::PREFIX) {
        Some(name) => webhooks::read(face, name, delivery)?,
        None => face.cast.intake.read_again(delivery),
    };
    one_of(read, message.place).into_iter().collect::<Result<_, _>>().map(Read::Alarms)
}

/// The alarm at that place. A body that was mended into one alarm is that one.
fn one_of(
    mut read: Vec<Result<(Identity, Said), Malformed>>,
    place: Option<u32>,
) -> Vec<Result<(Identity, Said), Malformed>> {
    let Some(place) = place.filter(|_| read.len() != 1) else { return read };
    let (len, at) = (read.len(), place as usize);
    if at < len {
        return vec![read.swap_remove(at)];
    }
    let reason = format!(
        "alarm {} of the message was parked, and there are {len} in the mended body",
        at + 1
    );
    vec![Err(Malformed { field: None, reason })]
}

fn delivery(message: &Parked) -> Delivery {
    Delivery {
        inlet: message.inlet.as_str().into(),
        body: message.body.clone().into(),
        content_type: message.content_type.clone(),
        message_id: message.message_id.clone(),
        cloudevents_id: None,
        cloudevents_source: None,
        reply_to: None,
        correlation_id: None,
        dead_lettered: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MendBody {
    body: String,
    content_type: Option<String>,
    /// Keep it also if it cannot be read.
    #[serde(default)]
    force: bool,
    reason: String,
}

/// A new body that cannot be read is refused unless it is forced: 409, and nothing has changed.
#[post("/parked/{n}/mend")]
pub(super) async fn mend(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
    body: web::Json<MendBody>,
) -> Result<HttpResponse, Problem> {
    let MendBody { body, content_type, force, reason: why } = body.into_inner();
    if body.len() > BODY_MAX {
        return Err(Problem::field(
            "body",
            format!("has {} bytes; {BODY_MAX} are allowed", body.len()),
        ));
    }
    let reason = reason(&why)?;
    let body = body.into_bytes();
    let before = one(&face, *n).await?;
    let kind = content_type.clone().or_else(|| before.content_type.clone());
    let after = Parked { body: body.clone(), content_type: kind, ..before };
    if let Err(why) = read(&face, &after)
        && !force
    {
        let mut problem = Problem::conflict(format!(
            "the new body cannot be read either: {}. Nothing was changed; force keeps it all the same",
            why.reason
        ));
        problem.at_field(why.field);
        return Err(problem);
    }
    let mend = Mend { n: *n, body, content_type, who: caller.who(), reason };
    let applied = face.cast.outside.store.apply(Change::Mend(Box::new(mend)).into()).await?;
    let Some(Applied::Mended(message)) = applied.into_iter().next() else {
        return Err(Problem::busy("the store answered oddly"));
    };
    let mut shape = shapes::parked(&message, true);
    shape["reads"] = reads(&face, &message);
    Ok(HttpResponse::Ok().json(shape))
}

#[post("/parked/{n}/replay")]
pub(super) async fn replay(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let reason = reason(&body.reason)?;
    let message = one(&face, *n).await?;
    let unpark = Unpark { n: *n, mended: message.mended, taken: true, who: caller.who(), reason };
    let unreadable = |why: Malformed| {
        let mut problem = Problem::conflict(format!("it still cannot be read: {}", why.reason));
        problem.at_field(why.field);
        problem
    };
    let told = match read(&face, &message).map_err(unreadable)? {
        Read::Alarms(events) => {
            let Accepted { accepted, repeats, older, .. } =
                face.cast.intake.take_parked(events, unpark, message.at).await?;
            json!({ "taken": true, "accepted": accepted, "repeats": repeats, "older": older })
        }
        Read::Command(command) => {
            let answer = face.cast.commands.run(*command).await?;
            if let Err(error) = &answer.said {
                return Err(Problem::conflict(format!("it was refused: {}", error.message)));
            }
            gone(&face, unpark).await?;
            let mut told = Map::from_iter([("taken".to_owned(), Value::Bool(true))]);
            told.insert("answer".to_owned(), json!(crate::wire::answer(&answer)));
            Value::Object(told)
        }
        Read::Later(later) => {
            let moved = match face.cast.answers.take(*later).await {
                Ok(moved) => moved,
                Err(StoreError::Refused(refusal)) => {
                    let detail = format!("it fits no request that waits: {refusal}");
                    return Err(Problem::conflict(detail));
                }
                Err(error) => return Err(error.into()),
            };
            gone(&face, unpark).await?;
            json!({ "taken": true, "request_id": moved.map(|it| it.id) })
        }
    };
    Ok(HttpResponse::Ok().json(told))
}

async fn gone(face: &Face, unpark: Unpark) -> Result<(), Problem> {
    face.cast.outside.store.apply(Change::Unpark(Box::new(unpark)).into()).await?;
    Ok(())
}

#[post("/parked/{n}/discard")]
pub(super) async fn discard(
    face: web::Data<Face>,
    caller: Caller,
    n: web::Path<u64>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let reason = reason(&body.reason)?;
    let message = one(&face, *n).await?;
    let (who, mended) = (caller.who(), message.mended);
    gone(&face, Unpark { n: *n, mended, taken: false, who, reason }).await?;
    Ok(HttpResponse::Ok().json(json!({ "discarded": true })))
}
