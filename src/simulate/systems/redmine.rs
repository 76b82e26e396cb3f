//! Redmine, as far as issues go: seen on a running one.
//!
//! What always holds: a wrong key makes a list answer 200, as if to anybody, with nothing in it; a
//! status that there is not is ignored without a word; 400 and 404 have no body; closed issues are only
//! found with `status_id=*`; a page holds at most 100; times are whole seconds, and move with
//! every update, also one that changes nothing; what is deleted is gone without a word.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::changes;
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::Desk;
use super::super::tickets::{Fields, Refusal};
use super::{key_or_none, text};

const STATUSES: [&str; 6] = ["1", "2", "3", "4", "5", "6"];
const CLOSED: [&str; 2] = ["5", "6"];
const PAGE_MAX: usize = 100;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/users/current.json", web::get().to(me))
        .route("/issues.json", web::post().to(create))
        .route("/issues.json", web::get().to(search))
        .route("/issues/{id}.json", web::get().to(get))
        .route("/issues/{id}.json", web::put().to(update))
        .route("/issues/{id}.json", web::delete().to(delete));
}

fn is_authorised(request: &HttpRequest, desk: &Desk) -> bool {
    let Some(key) = &desk.token else { return true };
    let given = request.headers().get("X-Redmine-API-Key").and_then(|value| value.to_str().ok());
    given == Some(key.expose_secret())
}

/// Who we are, which is no ticket call: it is answered at once.
async fn me(request: HttpRequest, desk: web::Data<Desk>) -> HttpResponse {
    if is_authorised(&request, &desk) {
        HttpResponse::Ok().json(json!({"user": {"id": 5, "login": "ticketgate"}}))
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

async fn create(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let given = issue(&body);
        let key = given.get("correlation_key").and_then(Value::as_str).unwrap_or_default();
        let key = key_or_none(key, books.made());
        let mut fields = given;
        fields.insert("correlation_key".to_owned(), key.into());
        fields.insert("status_id".to_owned(), "1".into());
        fields.insert("journals".to_owned(), json!([]));
        if text(&fields, "summary").trim().is_empty() {
            return errors(&["Subject cannot be blank"]);
        }
        match books.create(fields, None, now_ms) {
            Ok((ticket, _)) => Reply::json(201, &json!({ "issue": shown(&ticket) })),
            Err(refusal) => refused(&refusal),
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
    let work = move |books: &mut Books, now_ms| {
        let mut changes = issue(&body);
        let status = text(&changes, "status_id").to_owned();
        if STATUSES.contains(&status.as_str()) {
            let plain = if CLOSED.contains(&status.as_str()) { "closed" } else { "open" };
            changes.insert("status".to_owned(), plain.into());
        } else {
            changes.remove("status_id");
        }
        if let Some(note) = changes.remove("notes").filter(|note| note.as_str() != Some("")) {
            let journals = books.get(&id).ok().and_then(|ticket| ticket.get("journals").cloned());
            let mut journals = journals.and_then(|j| j.as_array().cloned()).unwrap_or_default();
            journals.push(json!({ "notes": note }));
            changes.insert("journals".to_owned(), journals.into());
        }
        match books.update(&id, changes, now_ms) {
            Ok(_) => Reply::empty(204),
            Err(refusal) => refused(&refusal),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Update, authorised, say, work).await
}

async fn delete(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| match books.delete(&id, now_ms) {
        Ok(()) => Reply::empty(204),
        Err(refusal) => refused(&refusal),
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
    let work = move |books: &mut Books, _| match books.get(&id) {
        Ok(ticket) => Reply::json(200, &json!({ "issue": shown(&ticket) })),
        Err(refusal) => refused(&refusal),
    };
    carry_out(&request, &desk, &backend, CallKind::Get, authorised, say, work).await
}

async fn search(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let known = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let one =
            |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut filters = Vec::new();
        let fields = query.iter().filter(|(key, _)| key == "f[]").map(|(_, field)| field.as_str());
        let mut any_status = false;
        for field in fields {
            let value = one(&format!("v[{field}][]")).unwrap_or_default().to_owned();
            match (field, one(&format!("op[{field}]"))) {
                ("status_id", Some("*")) => any_status = true,
                ("cf_1", _) => filters.push(("correlation_key".to_owned(), value)),
                ("subject", _) => filters.push(("summary".to_owned(), value)),
                (field, _) => filters.push((field.to_owned(), value)),
            }
        }
        let limit = one("limit").and_then(|limit| limit.parse().ok()).unwrap_or(25).min(PAGE_MAX);
        let offset = one("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        if one("sort").is_some_and(|sort| sort.starts_with("updated_on")) && known {
            // Closed ones are among them only where any status will do.
            if one("status_id") != Some("*") {
                return errors(&["this simulator reads what changed with status_id=* only"]);
            }
            let since = match one("updated_on").map(|filter| filter.strip_prefix(">=")) {
                None => None,
                Some(Some(time)) if is_time(time) => changes::read(time),
                Some(_) => return errors(&["Updated is invalid"]),
            };
            let trackers: Option<Vec<_>> = one("tracker_id").map(|one| one.split('|').collect());
            let is_asked = |fields: &Fields, deleted: bool| {
                let of_these = |all: &Vec<&str>| all.contains(&text(fields, "tracker_id"));
                !deleted && trackers.as_ref().is_none_or(of_these)
            };
            let (page, total) = books.changed_since(since, (offset, limit), now_ms, is_asked);
            let issues: Vec<_> = page.iter().map(|changed| shown(&changed.fields)).collect();
            return Reply::json(
                200,
                &json!({"issues": issues, "total_count": total, "offset": offset, "limit": limit}),
            );
        }
        let found = books.search(&filters, usize::MAX, now_ms).tickets;
        let open = |ticket: &&Fields| any_status || text(ticket, "status") == "open";
        // To anybody, the project does not exist.
        let found: Vec<_> = found.iter().filter(open).filter(|_| known).collect();
        let page: Vec<_> = found.iter().skip(offset).take(limit).map(|t| shown(t)).collect();
        let body = json!({
            "issues": page, "total_count": found.len(), "offset": offset, "limit": limit,
        });
        Reply::json(200, &body)
    };
    carry_out(&request, &desk, &backend, CallKind::Search, true, say, work).await
}

/// What stands in `issue`, with the plain names besides its own.
fn issue(body: &[u8]) -> Fields {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut fields = given["issue"].as_object().cloned().unwrap_or_default();
    for name in ["tracker_id", "status_id", "priority_id"] {
        if let Some(number) = fields.get(name).filter(|value| value.is_number()) {
            let number = number.to_string();
            fields.insert(name.to_owned(), number.into());
        }
    }
    if let Some(subject) = fields.remove("subject") {
        fields.insert("summary".to_owned(), subject);
    }
    let custom = fields.remove("custom_fields").unwrap_or_default();
    if let Some(key) = custom.as_array().and_then(|all| all.first()).map(|first| &first["value"]) {
        fields.insert("correlation_key".to_owned(), key.clone());
    }
    fields
}

fn shown(ticket: &Fields) -> Value {
    let number = |name: &str| text(ticket, name).parse::<i64>().unwrap_or(1);
    let at = |name: &str| changes::read(text(ticket, name)).map(changes::written_in_seconds);
    json!({
        "id": number("id"), "subject": text(ticket, "summary"),
        "description": text(ticket, "description"),
        "tracker": {"id": number("tracker_id")}, "status": {"id": number("status_id")},
        "priority": {"id": number("priority_id")},
        "custom_fields": [{"id": 1, "name": "AlarmKey", "value": text(ticket, "correlation_key")}],
        "created_on": at("created_at"), "updated_on": at("modified_at"),
        "journals": ticket.get("journals").cloned().unwrap_or_default(),
    })
}

/// A time as its filters take one: no fractions of a second.
fn is_time(text: &str) -> bool {
    text.len() == "2026-11-21T10:00:00Z".len() && changes::read(text).is_some()
}

fn errors(texts: &[&str]) -> Reply {
    Reply::json(422, &json!({ "errors": texts }))
}

fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::NoSuchTicket(_) => Reply::empty(404),
        other => errors(&[&other.to_string()]),
    }
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => Reply::empty(503),
        Wrong::TooMany => Reply::empty(429),
        Wrong::Unauthorised => Reply::empty(401),
        Wrong::Error(status) => Reply::empty(status),
    }
}
