//! Request Tracker's REST2, as far as tickets go: seen on a running one.
//!
//! What always holds: an id is a text; a changed ticket is answered with sentences, 200 also for a
//! status that there is not; custom fields go in as an object and come out as a list; times are whole
//! seconds; what is deleted can be read by its id, and is found by no search.

use actix_web::http::header::AUTHORIZATION;
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

const STATUSES: [&str; 6] = ["new", "open", "stalled", "resolved", "rejected", "deleted"];
/// A page holds no more.
const PAGE_MAX: usize = 100;
const QUEUES: [&str; 4] = ["General", "Incident", "Change", "Problem"];

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/REST/2.0/ticket", web::post().to(create))
        .route("/REST/2.0/tickets", web::get().to(search))
        .route("/REST/2.0/ticket/{id}", web::get().to(get))
        .route("/REST/2.0/ticket/{id}", web::put().to(update))
        .route("/REST/2.0/ticket/{id}/history", web::get().to(history))
        .route("/REST/2.0/ticket/{id}/comment", web::post().to(comment));
}

fn is_authorised(request: &HttpRequest, desk: &Desk) -> bool {
    let Some(token) = &desk.token else { return true };
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("token ")) == Some(token.expose_secret())
}

async fn create(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let given: Value = serde_json::from_slice(&body).unwrap_or_default();
        let word = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
        if !QUEUES.contains(&word("Queue").as_str()) {
            return message(403, "No permission to create tickets in the queue");
        }
        let key = given["CustomFields"]["AlarmKey"].as_str().unwrap_or_default();
        let key = key_or_none(key, books.made());
        let ticket = json!({
            "correlation_key": key, "summary": word("Subject"), "Queue": word("Queue"),
            "Content": word("Content"), "Status": "new", "comments": [],
        });
        let Value::Object(ticket) = ticket else { return message(400, "Bad Request") };
        match books.create(ticket, None, now_ms) {
            Ok((ticket, _)) => {
                let id = text(&ticket, "id");
                let body = json!({"type": "ticket", "id": id, "_url": text(&ticket, "url")});
                Reply::json(201, &body)
            }
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
        let given: Fields = serde_json::from_slice(&body).unwrap_or_default();
        let (mut changes, mut said) = (Fields::new(), Vec::new());
        if let Some(subject) = given.get("Subject").and_then(Value::as_str) {
            changes.insert("summary".to_owned(), subject.into());
            said.push(format!("Ticket {id}: Subject changed to '{subject}'"));
        }
        if let Some(status) = given.get("Status").and_then(Value::as_str) {
            if STATUSES.contains(&status) {
                let ended = matches!(status, "resolved" | "rejected" | "deleted");
                changes.insert("Status".to_owned(), status.into());
                changes.insert("status".to_owned(), if ended { "closed" } else { "open" }.into());
                said.push(format!("Ticket {id}: Status changed to '{status}'"));
            } else {
                said.push(format!(
                    "Ticket {id}: Status '{status}' isn't a valid status for tickets."
                ));
            }
        }
        match books.update(&id, changes, now_ms) {
            Ok(_) => Reply::json(200, &json!(said)),
            Err(refusal) => refused(&refusal),
        }
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
        Ok(ticket) => {
            let mut body = shown(&ticket);
            // A number here, a text everywhere else.
            body["id"] = text(&ticket, "id").parse::<i64>().unwrap_or_default().into();
            Reply::json(200, &body)
        }
        Err(refusal) => refused(&refusal),
    };
    carry_out(&request, &desk, &backend, CallKind::Get, authorised, say, work).await
}

async fn comment(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let given: Value = serde_json::from_slice(&body).unwrap_or_default();
        let ticket = match books.get(&id) {
            Ok(ticket) => ticket,
            Err(refusal) => return refused(&refusal),
        };
        let mut comments =
            ticket.get("comments").and_then(Value::as_array).cloned().unwrap_or_default();
        comments.push(
            json!({"Type": "Comment", "Data": given["Subject"], "Content": given["Content"]}),
        );
        let changes = Fields::from_iter([("comments".to_owned(), Value::Array(comments))]);
        match books.update(&id, changes, now_ms) {
            Ok(_) => Reply::json(201, &json!(["Comments added"])),
            Err(refusal) => refused(&refusal),
        }
    };
    carry_out(&request, &desk, &backend, CallKind::Update, authorised, say, work).await
}

async fn history(
    request: HttpRequest,
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, _| match books.get(&id) {
        Ok(ticket) => {
            let items = ticket.get("comments").cloned().unwrap_or_default();
            Reply::json(200, &json!({"items": items, "page": 1, "per_page": 100}))
        }
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
    let authorised = is_authorised(&request, &desk);
    let work = move |books: &mut Books, now_ms| {
        let one = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        let size: usize = one("per_page").parse().unwrap_or(20).min(PAGE_MAX);
        let page: usize = one("page").parse().unwrap_or(1);
        let start = size * page.saturating_sub(1);
        let (items, total): (Vec<_>, _) = if one("orderby") == "LastUpdated" {
            let Some((queues, since)) = changed_since(one("query")) else {
                return message(400, "Unable to parse query");
            };
            // No search finds what is deleted.
            let is_asked = |ticket: &Fields, _| {
                let queue = queues.iter().any(|queue| queue == text(ticket, "Queue"));
                queue && text(ticket, "Status") != "deleted"
            };
            let (page, total) = books.changed_since(since, (start, size), now_ms, is_asked);
            (page.iter().map(|changed| shown(&changed.fields)).collect(), total)
        } else {
            let Some(filters) = ticket_sql(one("query")) else {
                return message(400, "Unable to parse query");
            };
            let found = books.search(&filters, usize::MAX, now_ms).tickets;
            (found.iter().skip(start).take(size).map(shown).collect(), found.len())
        };
        let count = items.len();
        let body =
            json!({"items": items, "total": total, "count": count, "page": page, "per_page": size});
        Reply::json(200, &body)
    };
    carry_out(&request, &desk, &backend, CallKind::Search, authorised, say, work).await
}

/// The part of TicketSQL that is `column = 'value'`, joined by AND; none if it is anything else.
fn ticket_sql(query: &str) -> Option<Vec<(String, String)>> {
    let mut filters = Vec::new();
    let mut rest = query.trim();
    loop {
        let column;
        if let Some(after) = rest.strip_prefix('\'') {
            (column, rest) = after.split_once('\'')?;
        } else {
            (column, rest) = rest.split_once(' ')?;
        }
        rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('\'')?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, character) in rest.char_indices() {
            match character {
                '\\' if !escaped => escaped = true,
                '\'' if !escaped => {
                    end = Some(at);
                    break;
                }
                _ => {
                    value.push(character);
                    escaped = false;
                }
            }
        }
        rest = rest[end? + 1..].trim_start();
        let name = match column {
            "CF.{AlarmKey}" => "correlation_key",
            "Subject" => "summary",
            other => other,
        };
        filters.push((name.to_owned(), value));
        if rest.is_empty() {
            return Some(filters);
        }
        rest = rest.strip_prefix("AND")?.trim_start();
    }
}

/// `(Queue = 'a' OR Queue = 'b') AND LastUpdated >= '2026-11-21 10:00:00'`: the queues, and since when by
/// the clock of the user, whose zone is UTC here; without a time `id > 0`. None if it is anything else.
fn changed_since(query: &str) -> Option<(Vec<String>, Option<i64>)> {
    let (queues, rest) = query.trim().strip_prefix('(')?.split_once(") AND ")?;
    let mut asked = Vec::new();
    for queue in queues.split(" OR ") {
        let filters = ticket_sql(queue)?;
        let [(column, name)] = filters.as_slice() else { return None };
        asked.extend((column == "Queue").then(|| name.clone()));
    }
    if rest == "id > 0" {
        return Some((asked, None));
    }
    let time = rest.strip_prefix("LastUpdated >= '")?.strip_suffix('\'')?;
    let time: jiff::civil::DateTime = time.parse().ok().filter(|_| !time.contains('T'))?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some((asked, Some(time.timestamp().as_millisecond())))
}

fn shown(ticket: &Fields) -> Value {
    let id = text(ticket, "id");
    let at = |name: &str| changes::read(text(ticket, name)).map(changes::written_in_seconds);
    json!({
        "id": id, "type": "ticket", "_url": text(ticket, "url"),
        "Subject": text(ticket, "summary"), "Status": text(ticket, "Status"),
        "Queue": {"id": "1", "type": "queue", "Name": text(ticket, "Queue")},
        "Owner": {"id": "Nobody", "type": "user"},
        "Created": at("created_at"), "LastUpdated": at("modified_at"),
        "CustomFields": [{"id": "1", "name": "AlarmKey", "values": [text(ticket, "correlation_key")]}],
    })
}

fn message(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "message": text }))
}

fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::NoSuchTicket(_) => message(404, "No Ticket with that id"),
        other => message(422, &other.to_string()),
    }
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => message(503, "Service Unavailable"),
        Wrong::TooMany => message(429, "Too Many Requests"),
        Wrong::Unauthorised => message(401, "Unauthorized"),
        Wrong::Error(status) => message(status, "An internal RT error has occurred."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_asked_for_by_queues_and_time() {
        let (queues, since) = changed_since(
            "(Queue = 'A' OR Queue = 'it\\'s') AND LastUpdated >= '1970-01-01 00:00:05'",
        )
        .unwrap();
        assert_eq!(
            (queues.as_slice(), since),
            (&["A".to_owned(), "it's".to_owned()][..], Some(5_000))
        );
        assert_eq!(changed_since("(Queue = 'A') AND id > 0").unwrap().1, None);
        // RT misreads it: here it is told.
        assert!(changed_since("(Queue = 'A') AND LastUpdated >= '1970-01-01T00:00:05Z'").is_none());
    }

    #[test]
    fn ticket_sql_is_read_with_its_quotes() {
        let filters = ticket_sql(r"Queue = 'Incident' AND 'CF.{AlarmKey}' = 'a\'b\\'").unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(filters, [pair("Queue", "Incident"), pair("correlation_key", r"a'b\")]);
        for bad in ["", "Queue = 'a", "Queue = 'a' OR Queue = 'b'", "Queue > 'a'"] {
            assert!(ticket_sql(bad).is_none(), "{bad}");
        }
    }
}
