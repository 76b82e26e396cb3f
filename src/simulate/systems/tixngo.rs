//! TIXNGO's diff feed: mobile tickets that changed, by an opaque cursor.
//!
//! What always holds: a page ends where its cursor begins the next; with nothing new the cursor is
//! given back as it came.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::{Desk, is_authorised};
use super::super::tickets::Fields;
use super::{key_or_none, text};

/// Distinguishes a cursor of ours from what somebody made up.
const CURSOR: &str = "c-";
const BATCH_MAX: usize = 1_000;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/tickets/diff", web::get().to(diff))
        // Nobody but a test puts tickets in.
        .route("/tickets", web::post().to(put));
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
        let start: usize = match one("cursor") {
            "" => 0,
            cursor => match cursor.strip_prefix(CURSOR).and_then(|number| number.parse().ok()) {
                Some(start) => start,
                None => return message(400, "the pagination key is not one of ours"),
            },
        };
        let limit = one("limit").parse().unwrap_or(BATCH_MAX).min(BATCH_MAX);
        let all = books.search(&[], usize::MAX, now_ms).tickets;
        let page: Vec<_> = all.iter().skip(start).take(limit).map(shown).collect();
        let end = start + page.len();
        let more = end < all.len();
        Reply::json(
            200,
            &json!({"tickets": page, "cursor": format!("{CURSOR}{end}"), "hasMore": more}),
        )
    };
    carry_out(&request, &desk, &backend, CallKind::Search, authorised, say, work).await
}

async fn put(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let work = move |books: &mut Books, now_ms| {
        let mut fields: Fields = serde_json::from_slice(&body).unwrap_or_default();
        let key = key_or_none("", books.count());
        fields.insert("correlation_key".to_owned(), key.clone().into());
        fields.insert("summary".to_owned(), key.into());
        match books.create(fields, None, now_ms) {
            Ok((ticket, _)) => Reply::json(201, &shown(&ticket)),
            Err(refusal) => message(422, &refusal.to_string()),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Create, true, say, work).await
}

fn shown(ticket: &Fields) -> Value {
    json!({
        "id": text(ticket, "id"),
        "status": ticket.get("mobileStatus").cloned().unwrap_or("INJECTED".into()),
        "owner": ticket.get("owner").cloned().unwrap_or_default(),
        "beneficiary": ticket.get("beneficiary").cloned().unwrap_or_default(),
        "updatedAt": "2026-11-21T10:00:00Z",
    })
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
