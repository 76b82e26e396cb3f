//! The ticket calls of the plain REST system: what is read from a request, and what is answered.
//!
//! What it leaves to others: carrying out a call's fate (`fate`), the tickets (`tickets`), routes and
//! the ledger's own pages (`rest`).

use std::convert::Infallible;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::books::{Books, CallKind};
use super::callbacks::CallBack;
use super::changes;
use super::fate::{self, Reply, Wrong};
use super::ledger::{Ledger, LedgerError};
use super::tickets::{Changed, Fields, Refusal};

/// What a search gives when no limit is asked for.
const DEFAULT_LIMIT: usize = 100;
/// More than this is not given at once.
const MAX_LIMIT: usize = 1_000;
/// What every ticket call needs.
pub(super) struct Desk {
    pub ledger: Ledger,
    pub token: Option<SecretString>,
    /// Where later answers go; none: nowhere.
    pub call_back: Option<CallBack>,
    /// Tells by its drop that no part of the server holds the desk any more.
    pub _part: mpsc::Sender<Infallible>,
}

/// A status and a JSON body.
type Answer = (StatusCode, Value);

/// `POST /{backend}/tickets`
pub(super) async fn create(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let key = request.headers().get("Idempotency-Key");
    let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
    let work = move |books: &mut Books, now_ms| {
        let fields = match object(&body) {
            Ok(fields) => fields,
            Err(answer) => return answer,
        };
        match books.create(fields, key.as_deref(), now_ms) {
            Ok((ticket, true)) => (StatusCode::CREATED, Value::Object(ticket)),
            Ok((ticket, false)) => (StatusCode::OK, Value::Object(ticket)),
            Err(refusal) => refused(&refusal),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Create, work).await
}

/// `PATCH /{backend}/tickets/{id}`
pub(super) async fn update(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let work = move |books: &mut Books, now_ms| match object(&body) {
        Ok(changes) => ticket_or_refusal(books.update(&id, changes, now_ms)),
        Err(answer) => answer,
    };
    carry_out(&request, &desk, &backend, CallKind::Update, work).await
}

/// `GET /{backend}/tickets/{id}`
pub(super) async fn get(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let work = move |books: &mut Books, _| ticket_or_refusal(books.get(&id));
    carry_out(&request, &desk, &backend, CallKind::Get, work).await
}

/// `GET /{backend}/tickets?field=value&limit=N`
pub(super) async fn search(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let (limits, filters): (Vec<_>, Vec<_>) =
        query.into_inner().into_iter().partition(|(name, _)| name == "limit");
    let work = move |books: &mut Books, now_ms| {
        let limit = limits.first().map_or(Ok(DEFAULT_LIMIT), |(_, limit)| limit.parse());
        let limit = match limit {
            Ok(limit @ 1..=MAX_LIMIT) => limit,
            _ => return bad_request(&format!("limit must be from 1 to {MAX_LIMIT}")),
        };
        let found = books.search(&filters, limit, now_ms);
        (StatusCode::OK, json!({ "tickets": found.tickets, "more": found.more }))
    };
    carry_out(&request, &desk, &backend, CallKind::Search, work).await
}

/// `GET /{backend}/tickets/changes?since=TIME&offset=N&limit=N`: what changed at or after that time, oldest
/// first; of a ticket that is gone, that it is.
pub(super) async fn changes(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let work = move |books: &mut Books, now_ms| {
        let one = |name: &str| {
            let pair = query.iter().find(|(key, _)| key == name);
            pair.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let since = match one("since").map(changes::read) {
            None => None,
            Some(Some(at_ms)) => Some(at_ms),
            Some(None) => return bad_request("since must be a time as 2026-11-21T10:00:00Z"),
        };
        let limit = one("limit").map_or(Ok(DEFAULT_LIMIT), str::parse);
        let (Ok(limit @ 1..=MAX_LIMIT), Ok(offset)) =
            (limit, one("offset").map_or(Ok(0), str::parse::<usize>))
        else {
            return bad_request(&format!("limit must be from 1 to {MAX_LIMIT}, offset a number"));
        };
        let (page, total) = books.changed_since(since, (offset, limit), now_ms, |_, _| true);
        let more = total > offset + page.len();
        let row = |changed: Changed| {
            let mut ticket = changed.fields;
            ticket.insert("deleted".to_owned(), changed.deleted.into());
            ticket
        };
        let tickets: Vec<_> = page.into_iter().map(row).collect();
        (StatusCode::OK, json!({ "tickets": tickets, "more": more }))
    };
    carry_out(&request, &desk, &backend, CallKind::Search, work).await
}

/// `DELETE /{backend}/tickets/{id}`
pub(super) async fn delete(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let work = move |books: &mut Books, now_ms| match books.delete(&id, now_ms) {
        Ok(()) => (StatusCode::OK, json!({ "id": id, "deleted": true })),
        Err(refusal) => refused(&refusal),
    };
    carry_out(&request, &desk, &backend, CallKind::Update, work).await
}

/// As `fate::carry_out`, in this system's words.
async fn carry_out(
    request: &HttpRequest,
    desk: &web::Data<Desk>,
    backend: &str,
    kind: CallKind,
    work: impl FnOnce(&mut Books, u64) -> Answer + 'static,
) -> HttpResponse {
    let authorised = is_authorised(request, desk.token.as_ref());
    let work = move |books: &mut Books, now_ms| {
        let (status, body) = work(books, now_ms);
        Reply::json(status.as_u16(), &body)
    };
    fate::carry_out(request, desk, backend, kind, authorised, say, work).await
}

fn say(wrong: Wrong) -> Reply {
    let (status, code, message) = match wrong {
        Wrong::Busy => (503, "busy", "busy, nothing was done"),
        Wrong::TooMany => (429, "too_many", "too many calls"),
        Wrong::Unauthorised => (401, "unauthorised", "no valid token"),
        Wrong::Error(status) => (status, "internal", "something went wrong"),
    };
    Reply::json(status, &error_body(code, message))
}

pub(super) fn is_authorised(request: &HttpRequest, token: Option<&SecretString>) -> bool {
    let Some(token) = token else { return true };
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")) == Some(token.expose_secret())
}

fn object(body: &[u8]) -> Result<Fields, Answer> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(bad_request("the body must be a JSON object")),
        Err(error) => Err(bad_request(&format!("the body is no JSON: {error}"))),
    }
}

fn ticket_or_refusal(ticket: Result<Fields, Refusal>) -> Answer {
    match ticket {
        Ok(ticket) => (StatusCode::OK, Value::Object(ticket)),
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let message = refusal.to_string();
    match refusal {
        Refusal::NoSuchTicket(_) => (StatusCode::NOT_FOUND, error_body("not_found", &message)),
        Refusal::Field { field, .. } => {
            let mut body = error_body("invalid", &message);
            body["error"]["field"] = field.as_str().into();
            (StatusCode::UNPROCESSABLE_ENTITY, body)
        }
    }
}

fn bad_request(message: &str) -> Answer {
    (StatusCode::BAD_REQUEST, error_body("bad_request", message))
}

fn error_body(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

/// An error as every part of the simulator answers it.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(error_body(code, message))
}

/// What the ledger could not answer.
pub(super) fn ledger_error(refusal: &LedgerError) -> HttpResponse {
    let (status, code) = match refusal {
        LedgerError::UnknownBackend { .. } => (StatusCode::NOT_FOUND, "unknown_backend"),
        LedgerError::Faults(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
    };
    error(status, code, &refusal.to_string())
}
