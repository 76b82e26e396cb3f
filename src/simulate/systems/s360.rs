//! S-360: controlled tickets whose details are written, and contacts that they are assigned to.
//!
//! What always holds: a contact is known by its mail address; made again, the first one is given.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::{Desk, is_authorised};
use super::super::tickets::{Fields, Refusal};
use super::{key_or_none, text};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/contacts", web::post().to(contact))
        .route("/tickets", web::post().to(put))
        .route("/tickets/{id}", web::get().to(get))
        .route("/tickets/{id}", web::patch().to(update));
}

async fn contact(request: HttpRequest, desk: web::Data<Desk>, body: Bytes) -> HttpResponse {
    if !is_authorised(&request, desk.token.as_ref()) {
        return HttpResponse::Unauthorized().finish();
    }
    let given: Value = serde_json::from_slice(&body).unwrap_or_default();
    match given["email"].as_str() {
        // An id that is the same for the same address.
        Some(email) => HttpResponse::Created().json(json!({"contactId": format!("C-{email}")})),
        None => HttpResponse::UnprocessableEntity().json(json!({"message": "email is required"})),
    }
}

/// Nobody but a test puts tickets in.
async fn put(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let work = move |books: &mut Books, now_ms| {
        let mut fields: Fields = serde_json::from_slice(&body).unwrap_or_default();
        let key = key_or_none("", books.made());
        fields.insert("correlation_key".to_owned(), key.clone().into());
        fields.insert("summary".to_owned(), key.into());
        answer(books.create(fields, None, now_ms).map(|(ticket, _)| ticket))
    };
    carry_out(&request, &desk, &backend, CallKind::Create, true, say, work).await
}

async fn update(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, desk.token.as_ref());
    let work = move |books: &mut Books, now_ms| {
        let changes: Fields = serde_json::from_slice(&body).unwrap_or_default();
        answer(books.update(&id, changes, now_ms))
    };
    carry_out(&request, &desk, &backend, CallKind::Update, authorised, say, work).await
}

async fn get(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, desk.token.as_ref());
    let work = move |books: &mut Books, _| answer(books.get(&id));
    carry_out(&request, &desk, &backend, CallKind::Get, authorised, say, work).await
}

fn answer(ticket: Result<Fields, Refusal>) -> Reply {
    match ticket {
        Ok(ticket) => {
            let part = |name: &str| ticket.get(name).cloned().unwrap_or_default();
            let body = json!({
                "ticketId": text(&ticket, "id"), "mobileStatus": part("mobileStatus"),
                "owner": part("owner"), "beneficiary": part("beneficiary"),
                "contactId": part("contactId"),
            });
            Reply::json(200, &body)
        }
        Err(Refusal::NoSuchTicket(_)) => message(404, "there is no such ticket"),
        Err(refusal) => message(422, &refusal.to_string()),
    }
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
