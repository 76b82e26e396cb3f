//! TIXNGO's diff feed: mobile tickets that changed, by an opaque cursor.
//!
//! What always holds: a page ends where its cursor begins the next; with nothing new the cursor is
//! given back as it came. A ticket that changes again comes again at the end, one that is deleted as
//! deleted.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::{Desk, is_authorised};
use super::super::tickets::{Changed, Fields, Refusal};
use super::{key_or_none, text};

/// Distinguishes a cursor of ours from what somebody made up.
const CURSOR: &str = "c-";
const BATCH_MAX: usize = 1_000;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/tickets/diff", web::get().to(diff))
        // Nobody but a test puts tickets in, and changes them.
        .route("/tickets", web::post().to(put))
        .route("/tickets", web::patch().to(change_all))
        .route("/tickets/{id}", web::patch().to(change))
        .route("/tickets/{id}", web::delete().to(delete));
}

async fn diff(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let authorised = is_authorised(&request, desk.token.as_ref());
    let work = move |books: &mut Books, now_ms| {
        let one = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        let after = match one("cursor") {
            "" => None,
            cursor => match cursor.strip_prefix(CURSOR).and_then(|number| number.parse().ok()) {
                Some(number) => Some(number),
                None => return no_such_cursor(),
            },
        };
        let limit = one("limit").parse().unwrap_or(BATCH_MAX).min(BATCH_MAX);
        let Some((page, more)) = books.changed_after(after, limit, now_ms) else {
            return no_such_cursor();
        };
        // With nothing new the cursor is given back as it came.
        let end = page.last().map(|last| last.change.number).or(after);
        let cursor = end.map_or(String::new(), |number| format!("{CURSOR}{number}"));
        let tickets: Vec<_> = page.iter().map(row).collect();
        Reply::json(200, &json!({"tickets": tickets, "cursor": cursor, "hasMore": more}))
    };
    carry_out(&request, &desk, &backend, CallKind::Search, authorised, say, work).await
}

/// One ticket, or an array of them.
async fn put(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let work = move |books: &mut Books, now_ms| match serde_json::from_slice(&body) {
        Ok(Value::Array(many)) => {
            let each = many.into_iter().filter_map(|it| it.as_object().cloned());
            let made: Result<Vec<_>, _> = each.map(|it| put_one(books, it, now_ms)).collect();
            made.map_or_else(|refusal| refused(&refusal), |made| Reply::json(201, &json!(made)))
        }
        one => {
            let fields = one.ok().and_then(|it| it.as_object().cloned()).unwrap_or_default();
            let made = put_one(books, fields, now_ms);
            made.map_or_else(|refusal| refused(&refusal), |made| Reply::json(201, &made))
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Create, true, say, work).await
}

fn put_one(books: &mut Books, mut fields: Fields, now_ms: u64) -> Result<Value, Refusal> {
    let key = key_or_none("", books.made());
    fields.insert("correlation_key".to_owned(), key.clone().into());
    fields.insert("summary".to_owned(), key.into());
    books.create(fields, None, now_ms).map(|(ticket, _)| shown(&ticket))
}

/// The same change of every ticket.
async fn change_all(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let work = move |books: &mut Books, now_ms| {
        let changes: Fields = serde_json::from_slice(&body).unwrap_or_default();
        let all = books.changed_after(None, usize::MAX, now_ms).map(|(all, _)| all);
        for ticket in all.unwrap_or_default().iter().filter(|ticket| !ticket.deleted) {
            if let Err(refusal) = books.update(text(&ticket.fields, "id"), changes.clone(), now_ms)
            {
                return refused(&refusal);
            }
        }
        Reply::empty(204)
    };
    carry_out(&request, &desk, &backend, CallKind::Update, true, say, work).await
}

async fn change(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let work = move |books: &mut Books, now_ms| {
        let changes: Fields = serde_json::from_slice(&body).unwrap_or_default();
        match books.update(&id, changes, now_ms) {
            Ok(ticket) => Reply::json(200, &shown(&ticket)),
            Err(refusal) => refused(&refusal),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Update, true, say, work).await
}

async fn delete(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let work = move |books: &mut Books, now_ms| match books.delete(&id, now_ms) {
        Ok(()) => Reply::empty(204),
        Err(refusal) => refused(&refusal),
    };
    carry_out(&request, &desk, &backend, CallKind::Update, true, say, work).await
}

fn row(changed: &Changed) -> Value {
    let mut row = shown(&changed.fields);
    row["deleted"] = changed.deleted.into();
    row
}

fn shown(ticket: &Fields) -> Value {
    json!({
        "id": text(ticket, "id"),
        "status": ticket.get("mobileStatus").cloned().unwrap_or("INJECTED".into()),
        "owner": ticket.get("owner").cloned().unwrap_or_default(),
        "ownerEmail": ticket.get("ownerEmail").cloned().unwrap_or_default(),
        "beneficiary": ticket.get("beneficiary").cloned().unwrap_or_default(),
        "updatedAt": text(ticket, "modified_at"),
    })
}

fn no_such_cursor() -> Reply {
    message(400, "the pagination key is not one of ours")
}

fn refused(refusal: &Refusal) -> Reply {
    let status = if matches!(refusal, Refusal::NoSuchTicket(_)) { 404 } else { 422 };
    message(status, &refusal.to_string())
}

fn message(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "message": text }))
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => message(503, "busy"),
        Wrong::TooMany => message(429, "too many calls"),
        Wrong::Unauthorised => message(401, "unauthorised"),
        Wrong::Error(status) => message(status, "something went wrong"),
    }
}
