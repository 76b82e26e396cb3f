//! With whom tickets are kept in step: how it stands, and a person's orders; and connectors' messages
//! over HTTP.

use super::Face;
use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::lists::id;
use super::problem::Problem;
use super::shapes;
use crate::wire;
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use ticketgate_actors::actors::{
    DryRun, DrySaid, NoConnector, NotRun, Replay, RunFailed, RunNow, SyncSeat, SyncSettings,
    told_of_feed,
};
use ticketgate_actors::changes::{Change, PersonSync, Steer};
use ticketgate_actors::logic::sync::{From as Comes, Plan};
use ticketgate_actors::model::{
    BackendId, Held, KeptConflict, Place, SyncRow, Tally, TicketChange, TicketKey, Timestamp,
};
use ticketgate_actors::ports::{ChangesBy, StoreError};

/// What waits for a connector is counted up to so many.
const WAITING_COUNTED_MAX: u32 = 10_000;
/// Rows of a list of what was not merged.
const HELD_MAX: u32 = 1_000;
/// Lines of a ticket's history in one answer.
const CHANGES_MAX: u32 = 1_000;
/// Ids in one order about the skip list.
const IDS_MAX: usize = 1_000;

/// The sync of that name, if there is one and the caller may act on both its sides.
fn find<'a>(face: &'a Face, caller: &Caller, name: &str) -> Result<&'a SyncSeat, Problem> {
    let found = face.cast.syncs.find(name);
    let found = found.ok_or_else(|| Problem::not_found(format!("no sync is called {name:?}")))?;
    let plan = found.settings().plan;
    caller.must_see(&plan.source)?;
    caller.must_see(&plan.home)?;
    Ok(found)
}

fn tally(it: &Tally) -> Value {
    json!({
        "read": it.read, "written": it.written, "unchanged": it.unchanged, "skipped": it.skipped,
        "failed": it.failed, "contacts": it.contacts, "merged": it.merged, "created": it.created,
        "deleted": it.deleted, "conflicts": it.conflicts,
    })
}

fn shape(settings: &SyncSettings, noticed: u64, row: &SyncRow, waiting: u64) -> Value {
    let plan = &settings.plan;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let (from, by) = match plan.from {
        Comes::Connector => ("connector", None),
        Comes::Feed(ChangesBy::Cursor, _) => ("feed", Some("cursor")),
        Comes::Feed(ChangesBy::Time, _) => ("feed", Some("time")),
        Comes::Feed(ChangesBy::Scan, _) => ("feed", Some("scan")),
    };
    json!({
        "name": plan.name,
        "backend": plan.source.as_str(),
        "target": plan.home.as_str(),
        "organizer": plan.organizer,
        "from": from,
        "by": by,
        "masked": settings.masked,
        "launch": if settings.launch.automatic { "automatic" } else { "manual" },
        "every": crate::words::format_duration(settings.launch.every),
        "notices": noticed,
        "start": time(settings.launch.start),
        "end": time(settings.launch.end),
        "batch": settings.batch,
        "three_way": plan.rules.three_way,
        "contacts": plan.contacts,
        "cursor": row.place.cursor,
        "watermark": time(row.place.watermark),
        "skip": row.skip,
        "credit": plan.credit,
        "waiting": waiting,
        "last_run": {
            "begun_at": time(row.last.begun_at),
            "ended_at": time(row.last.ended_at),
            "error": row.last.error,
            "counters": tally(&row.last.tally),
        },
        "counters": tally(&row.total),
    })
}

async fn shown(face: &Face, seat: &SyncSeat) -> Result<Value, Problem> {
    let settings = seat.settings();
    let name = settings.plan.name.clone();
    let reads = &face.cast.outside.reads;
    let row = reads.sync_row(name.clone()).await?;
    let waiting = reads.sync_waiting(name, WAITING_COUNTED_MAX).await?;
    Ok(shape(&settings, seat.noticed.load(Ordering::Relaxed), &row, waiting))
}

#[get("/sync")]
pub(super) async fn list(face: web::Data<Face>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut items = Vec::new();
    let seen = |plan: &Plan| caller.sees(&plan.source) && caller.sees(&plan.home);
    for seat in face.cast.syncs.iter().filter(|seat| seen(&seat.settings().plan)) {
        items.push(shown(&face, seat).await?);
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

#[get("/sync/{name}")]
pub(super) async fn one(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let row = face.cast.outside.reads.sync_row(seat.settings().plan.name.clone()).await?;
    let mut shape = shown(&face, seat).await?;
    shape["conflicts"] = row.conflicts.iter().map(conflict).collect();
    Ok(HttpResponse::Ok().json(shape))
}

/// With both values; which of them was kept.
fn conflict(it: &KeptConflict) -> Value {
    json!({
        "at": it.at.to_string(), "ticket": it.ticket, "backend_id": it.backend_id,
        "field": it.field, "ours": it.ours, "theirs": it.theirs, "kept": it.kept,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldQuery {
    after: Option<String>,
    limit: Option<u32>,
}

#[get("/sync/{name}/held")]
pub(super) async fn held(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    query: web::Query<HeldQuery>,
) -> Result<HttpResponse, Problem> {
    let settings = find(&face, &caller, &name)?.settings();
    let limit = query.limit.unwrap_or(100);
    if !(1..=HELD_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("limit is 1 to {HELD_MAX}")));
    }
    let after = query.after.clone().unwrap_or_default();
    let reads = &face.cast.outside.reads;
    let rows = reads.held_list(settings.plan.name.clone(), after, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id.clone());
    let items: Vec<Value> = rows.iter().map(held_shape).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": next })))
}

fn held_shape(row: &Held) -> Value {
    json!({
        "id": row.id, "because": row.because, "reason": row.reason, "at": row.at.to_string(),
        "fields": row.told.as_ref().map(|told| &told.fields),
    })
}

fn failed(error: NotRun) -> Problem {
    match error {
        NotRun::Store(error) | NotRun::Failed(RunFailed::Store(error)) => error.into(),
        NotRun::Failed(error) => Problem::busy(error.to_string()),
        NotRun::Active | NotRun::Masked | NotRun::NoFeed => Problem::conflict(error.to_string()),
    }
}

fn replaced() -> Problem {
    Problem::busy("the sync is being replaced")
}

#[post("/sync/{name}/run")]
pub(super) async fn run(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let order = RunNow { who: caller.who(), reason: reason(&body.reason)? };
    seat.post.ask(order).await.ok_or_else(replaced)?.map_err(failed)?;
    Ok(HttpResponse::Ok().json(shown(&face, seat).await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DryBody {
    cursor: Option<String>,
}

#[post("/sync/{name}/dry-run")]
pub(super) async fn dry_run(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: Option<web::Json<DryBody>>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let order = DryRun { cursor: body.and_then(|body| body.cursor.clone()) };
    let said = seat.post.ask(order).await.ok_or_else(replaced)?.map_err(failed)?;
    let items: Vec<Value> = said.into_iter().map(dry_shape).collect();
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

fn dry_shape(said: DrySaid) -> Value {
    let map = |pairs: Vec<(String, Value)>| pairs.into_iter().collect::<Map<_, _>>();
    json!({
        "id": said.id, "what": said.what, "here": map(said.ours), "written": map(said.written),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayQuery {
    reason: String,
}

#[post("/sync/{name}/replay")]
pub(super) async fn replay(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    query: web::Query<ReplayQuery>,
    file: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let why = reason(&query.reason)?;
    let seat_of_sync = find(&face, &caller, &name)?;
    let settings = seat_of_sync.settings();
    let outside = &face.cast.outside;
    let seat = outside.backends.get(&settings.plan.source);
    let now = outside.clock.now().wall;
    let told = match settings.plan.from {
        Comes::Feed(..) => {
            let seat = seat.ok_or_else(|| Problem::not_found("no such backend"))?;
            let reading =
                seat.port.read_changes(&file).map_err(|what| Problem::field("file", what))?;
            reading.tickets.into_iter().map(|found| told_of_feed(found, now, now)).collect()
        }
        Comes::Connector => {
            let said = wire::sync_from_json(&file, &settings.plan.source);
            said.map_err(|wrong| Problem::malformed(0, wrong))?.tickets
        }
    };
    let order = Replay { told, who: caller.who(), reason: why };
    seat_of_sync.post.ask(order).await.ok_or_else(replaced)?.map_err(failed)?;
    Ok(HttpResponse::Ok().json(shown(&face, seat_of_sync).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipBody {
    ids: Vec<String>,
    reason: String,
}

async fn steer(
    face: &Face,
    caller: &Caller,
    seat: &SyncSeat,
    steer: Steer,
    why: String,
) -> Result<HttpResponse, Problem> {
    let ids = match &steer {
        Steer::Unskip(ids) => ids.iter().map(|_| face.cast.fresh_ids()).collect(),
        Steer::Cursor(_) | Steer::Skip(_) => Vec::new(),
    };
    let plan = seat.settings().plan;
    let order = PersonSync { plan, steer, who: caller.who(), reason: why, ids };
    face.cast.steer_sync(Change::SyncSteer(Box::new(order))).await?;
    Ok(HttpResponse::Ok().json(shown(face, seat).await?))
}

fn ids(body: &SkipBody) -> Result<Vec<String>, Problem> {
    let ids: Vec<String> = body.ids.iter().map(|id| id.trim().to_owned()).collect();
    if ids.is_empty() || ids.len() > IDS_MAX || ids.iter().any(String::is_empty) {
        return Err(Problem::field("ids", format!("ids are 1 to {IDS_MAX} ids of tickets")));
    }
    Ok(ids)
}

#[post("/sync/{name}/skip")]
pub(super) async fn skip(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: web::Json<SkipBody>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let why = reason(&body.reason)?;
    steer(&face, &caller, seat, Steer::Skip(ids(&body)?), why).await
}

#[post("/sync/{name}/unskip")]
pub(super) async fn unskip(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: web::Json<SkipBody>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let why = reason(&body.reason)?;
    steer(&face, &caller, seat, Steer::Unskip(ids(&body)?), why).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorBody {
    /// Empty: from the beginning.
    #[serde(default)]
    cursor: String,
    /// Of a feed by time.
    watermark: Option<Timestamp>,
    reason: String,
}

#[post("/sync/{name}/cursor")]
pub(super) async fn cursor(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: web::Json<CursorBody>,
) -> Result<HttpResponse, Problem> {
    let seat = find(&face, &caller, &name)?;
    let why = reason(&body.reason)?;
    if !seat.settings().is_feed() {
        return Err(Problem::conflict(NotRun::NoFeed.to_string()));
    }
    let cursor = Some(body.cursor.clone()).filter(|cursor| !cursor.is_empty());
    let place = Place { cursor, watermark: body.watermark, ..Place::default() };
    steer(&face, &caller, seat, Steer::Cursor(place), why).await
}

/// A connector's message over HTTP (CONTRACT 1.7); the answer is the body.
#[post("/sync/{name}/messages")]
pub(super) async fn message(
    face: web::Data<Face>,
    caller: Caller,
    name: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let backend: BackendId = find(&face, &caller, &name)?.settings().plan.source.clone();
    let said =
        wire::sync_from_json(&body, &backend).map_err(|wrong| Problem::malformed(0, wrong))?;
    match face.cast.connectors.take(said).await {
        Ok(answer) => Ok(HttpResponse::Ok().json(wire::sync_answer(&answer))),
        Err(NoConnector::Store(StoreError::Down(reason))) => Err(Problem::busy(reason)),
        Err(error) => Err(Problem::conflict(error.to_string())),
    }
}

/// A ticket's history, and how far each sync is with it.
#[get("/tickets/{key}/changes")]
pub(super) async fn changes(
    face: web::Data<Face>,
    caller: Caller,
    key: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let key: TicketKey = id("key", &key)?;
    let reads = &face.cast.outside.reads;
    let ticket = reads.ticket(key).await?;
    let ticket =
        ticket.ok_or_else(|| Problem::not_found(format!("no ticket has the key {key}")))?;
    caller.must_see(&ticket.backend)?;
    let changes = reads.ticket_changes(key, CHANGES_MAX).await?;
    let twins = reads.twins(key).await?;
    let seen = |name: &str| match face.cast.syncs.find(name) {
        Some(seat) => {
            let plan = seat.settings().plan;
            caller.sees(&plan.source) && caller.sees(&plan.home)
        }
        None => caller.sees_all(),
    };
    let twins: Vec<Value> = twins
        .iter()
        .filter(|twin| seen(&twin.sync))
        .map(|twin| {
            json!({
                "sync": twin.sync,
                "verified_at": twin.verified_at.map(|at| at.to_string()),
                "said_at": twin.said_at.map(|at| at.to_string()),
                "gone": twin.gone,
                "waits": twin.out.map(|out| out.event.as_str()),
                "theirs": twin.theirs,
            })
        })
        .collect();
    let items: Vec<Value> = changes.iter().map(change_shape).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "sync": twins })))
}

fn change_shape(change: &TicketChange) -> Value {
    json!({
        "version": change.version, "at": change.at.to_string(), "user": change.user,
        "field": change.field, "value": change.value, "change": change.how,
    })
}
