//! Orange Océane: tickets in JSON, a token for client credentials, and no search.
//!
//! What always holds: without a secret no token is asked for. A token is good for a minute, and the
//! user who writes must be named.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::Desk;
use super::super::tickets::{Fields, Refusal};
use super::{key_or_none, text};

const TOKEN_SECONDS: u64 = 60;
/// Tokens are told apart by their number; the ones before the last are revoked.
static TOKENS: AtomicU64 = AtomicU64::new(1);
const REQUIRED: [&str; 3] = ["priority", "urgency", "technicalImpact"];

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/tickets", web::post().to(create))
        .route("/tickets/{id}", web::get().to(get))
        .route("/tickets/{id}", web::patch().to(update));
}

pub(super) fn aside(config: &mut ServiceConfig) {
    config.route("/{backend}/oauth/token", web::post().to(token));
}

async fn token(request: HttpRequest, desk: web::Data<Desk>, body: Bytes) -> HttpResponse {
    let given = String::from_utf8_lossy(&body);
    if !given.contains("grant_type=client_credentials") {
        return HttpResponse::BadRequest().json(json!({"error": "unsupported_grant_type"}));
    }
    if let Some(secret) = &desk.token {
        let secret = secret.expose_secret();
        let basic = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let basic = basic.and_then(|value| value.strip_prefix("Basic ")).and_then(|value| {
            String::from_utf8(data_encoding::BASE64.decode(value.as_bytes()).ok()?).ok()
        });
        let in_header = basic.is_some_and(|pair| pair.ends_with(&format!(":{secret}")));
        if !in_header && !given.contains(&format!("client_secret={secret}")) {
            let error = json!({"error": "invalid_client", "error_description": "wrong secret"});
            return HttpResponse::Unauthorized().json(error);
        }
    }
    let number = TOKENS.fetch_add(1, Ordering::Relaxed);
    let token = format!("token-{number}");
    HttpResponse::Ok()
        .json(json!({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}))
}

fn is_authorised(request: &HttpRequest, desk: &Desk) -> bool {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let number = given.and_then(|value| value.strip_prefix("Bearer token-"));
    let known = number.is_some_and(|number| number.parse::<u64>().is_ok());
    (desk.token.is_none() || known) && request.headers().contains_key("X-User-Id")
}

async fn create(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let mut fields = match plain(&body) {
            Ok(fields) => fields,
            Err(reply) => return reply,
        };
        if let Some(missing) = REQUIRED.iter().find(|name| text(&fields, name).is_empty()) {
            return refusal(422, "REQUIRED", &format!("{missing} is required"));
        }
        let key = key_or_none(text(&fields, "correlation_key"), books.made());
        fields.insert("correlation_key".to_owned(), key.into());
        match books.create(fields, None, now_ms) {
            Ok((ticket, _)) => Reply::json(201, &shown(&ticket)),
            Err(error) => refused(&error),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Create, authorised, say, work).await
}

async fn update(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| match plain(&body) {
        Ok(fields) => answer(books.update(&id, fields, now_ms)),
        Err(reply) => reply,
    };
    carry_out(&request, &desk, &backend, CallKind::Update, authorised, say, work).await
}

async fn get(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, _| answer(books.get(&id));
    carry_out(&request, &desk, &backend, CallKind::Get, authorised, say, work).await
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => refusal(503, "BUSY", "busy, nothing was done"),
        Wrong::TooMany => refusal(429, "TOO_MANY", "too many calls"),
        Wrong::Unauthorised => refusal(401, "TOKEN", "the token is not valid"),
        Wrong::Error(status) => refusal(status, "INTERNAL", "something went wrong"),
    }
}

fn refusal(status: u16, code: &str, description: &str) -> Reply {
    Reply::json(
        status,
        &json!({"code": code, "message": "request failed", "description": description}),
    )
}

fn refused(error: &Refusal) -> Reply {
    let status = if matches!(error, Refusal::NoSuchTicket(_)) { 404 } else { 422 };
    refusal(status, "INVALID", &error.to_string())
}

fn answer(ticket: Result<Fields, Refusal>) -> Reply {
    match ticket {
        Ok(ticket) => Reply::json(200, &shown(&ticket)),
        Err(error) => refused(&error),
    }
}

/// A body with the plain names besides its own.
fn plain(body: &[u8]) -> Result<Fields, Reply> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err(refusal(400, "SYNTAX", "the body is no JSON object"));
    };
    for (theirs, ours) in [("title", "summary"), ("externalReference", "correlation_key")] {
        if let Some(value) = fields.get(theirs).cloned() {
            fields.insert(ours.to_owned(), value);
        }
    }
    Ok(fields)
}

fn shown(ticket: &Fields) -> Value {
    let mut shown = ticket.clone();
    shown.insert("ticketId".to_owned(), text(ticket, "id").into());
    shown.insert("ticketUrl".to_owned(), text(ticket, "url").into());
    Value::Object(shown)
}
