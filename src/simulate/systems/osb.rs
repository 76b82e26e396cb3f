//! Ticketing behind an Oracle Service Bus: commands that are answered ACK or NACK, also with 200, and a
//! search. An ACK says only that the command was taken: it is done after a while, and a callback says
//! what became of it.
//!
//! What always holds: whatever can be understood is answered 200. A ticket whose owner group was
//! changed, which a field `OwnerGroup` of a search or a test does, refuses writes with `NOT_OWNER`.
//! Without an address to call back, what is taken is done at once.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use roxmltree::Node;
use serde_json::Value;

use super::super::books::{Books, CallKind};
use super::super::callbacks::later;
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::Desk;
use super::super::tickets::{Fields, Refusal};
use super::xml::{child, element, envelope, fault, unwrap};
use super::{key_or_none, text};

const NAMESPACES: &str = "xmlns:o=\"http://osb.telenet.example/ticketing/v1\"";
/// Whose tickets we may change.
const OUR_GROUP: &str = "NOC";
/// A summary with this in it makes a ticket that belongs to another group.
const ANOTHERS: &str = "not ours";
const FIELDS: [(&str, &str); 5] = [
    ("Summary", "summary"),
    ("Description", "Description"),
    ("Priority", "Priority"),
    ("ManagedObject", "ManagedObject"),
    ("ExternalId", "correlation_key"),
];

#[derive(Debug)]
struct Asked {
    command: String,
    request_id: String,
    ticket_id: String,
    kind: String,
    status: String,
    fields: Vec<(&'static str, String)>,
    limit: usize,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("", web::post().to(call)).route("/", web::post().to(call));
    config.route("/ticketing", web::post().to(call));
}

async fn call(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let asked = unwrap(&body, |node, _| read(node));
    let kind = match &asked {
        Ok(asked) => match asked.command.as_str() {
            "Create" => CallKind::Create,
            "Search" if asked.ticket_id.is_empty() => CallKind::Search,
            "Search" => CallKind::Get,
            _ => CallKind::Update,
        },
        Err(_) => CallKind::Search,
    };
    let authorised = super::super::handlers::is_authorised(&request, desk.token.as_ref());
    let (later, name) = (desk.clone(), backend.to_string());
    let work = move |books: &mut Books, now_ms| match asked {
        Ok(asked) if asked.command == "Search" => found(&asked, books, now_ms),
        Ok(asked) => taken(asked, books, now_ms, later, name),
        Err(problem) => fault(NAMESPACES, "s:Client", &problem, ""),
    };
    carry_out(&request, &desk, &backend, kind, authorised, say, work).await
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => nack("BUSY", "come back later"),
        Wrong::TooMany => Reply::empty(429),
        Wrong::Unauthorised => nack("UNAUTHORISED", "who are you?"),
        // The bus tells of a service behind it that did not answer, with a fault and 500.
        Wrong::Error(_) => fault(NAMESPACES, "s:Server", "OSB-380000: Internal Server Error", ""),
    }
}

fn nack(code: &str, message: &str) -> Reply {
    let body = format!(
        "<o:Reply><o:Result>NACK</o:Result>{}{}</o:Reply>",
        element("o:Code", code),
        element("o:Message", message)
    );
    envelope(200, NAMESPACES, &body)
}

fn read(node: Node<'_, '_>) -> Result<Asked, String> {
    let command = match node.tag_name().name() {
        "Search" => "Search".to_owned(),
        "Command" => child(node, "Name").ok_or("a command needs a name")?,
        name => return Err(format!("there is no {name}")),
    };
    let mut fields = Vec::new();
    for (theirs, name) in FIELDS {
        fields.extend(child(node, theirs).map(|value| (name, value)));
    }
    let get = |name| child(node, name).unwrap_or_default();
    let limit = child(node, "Limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
    Ok(Asked {
        command,
        request_id: get("RequestId"),
        ticket_id: get("TicketId"),
        kind: get("Kind"),
        status: get("Status"),
        fields,
        limit,
    })
}

/// What can be told at once is refused at once; all else is taken.
fn taken(
    asked: Asked,
    books: &mut Books,
    now_ms: u64,
    desk: web::Data<Desk>,
    name: String,
) -> Reply {
    if let Some(nack) = refused_at_once(&asked, books) {
        return nack;
    }
    let (number, fate) = books.take_write();
    let reference = format!("{}-R{number}", name.to_uppercase());
    if desk.call_back.is_none() {
        if let Err(refusal) = done(&asked, books, now_ms) {
            return nack("INVALID", &refusal.to_string());
        }
    } else {
        let reference = reference.clone();
        actix_web::rt::spawn(later(desk, name, fate, "text/xml", move |books, now_ms| {
            let outcome = match fate.refused {
                true => Err("the service behind the bus refused it".to_owned()),
                false => done(&asked, books, now_ms).map_err(|refusal| refusal.to_string()),
            };
            answer(&asked, &reference, outcome)
        }));
    }
    let body = format!(
        "<o:Reply><o:Result>ACK</o:Result>{}</o:Reply>",
        element("o:Reference", &reference)
    );
    envelope(200, NAMESPACES, &body)
}

fn refused_at_once(asked: &Asked, books: &mut Books) -> Option<Reply> {
    let summary = asked.fields.iter().find(|(name, _)| *name == "summary");
    let summary = summary.map_or("", |(_, summary)| summary);
    if let Some(refusal) = books.refusal_of(summary) {
        return Some(nack("INVALID", &refusal.to_string()));
    }
    match asked.command.as_str() {
        "Create" => None,
        "Update" | "Close" => match books.get(&asked.ticket_id) {
            Ok(ticket) if text(&ticket, "OwnerGroup") == OUR_GROUP => None,
            Ok(_) => Some(nack("NOT_OWNER", "the ticket belongs to another group")),
            Err(refusal) => Some(nack("INVALID", &refusal.to_string())),
        },
        other => Some(nack("INVALID", &format!("there is no command {other}"))),
    }
}

fn done(asked: &Asked, books: &mut Books, now_ms: u64) -> Result<Fields, Refusal> {
    let mut fields: Fields = asked
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    match asked.command.as_str() {
        "Create" => {
            let key = key_or_none(text(&fields, "correlation_key"), books.made());
            let group =
                if text(&fields, "summary").contains(ANOTHERS) { "FIELD" } else { OUR_GROUP };
            for (name, value) in [
                ("correlation_key", key.as_str()),
                ("kind", &asked.kind),
                ("OwnerGroup", group),
                ("Status", "New"),
            ] {
                fields.insert(name.to_owned(), value.into());
            }
            books.create(fields, None, now_ms).map(|(ticket, _)| ticket)
        }
        "Close" => {
            fields.insert("Status".to_owned(), "Closed".into());
            fields.insert("status".to_owned(), "closed".into());
            books.update(&asked.ticket_id, fields, now_ms)
        }
        _ => books.update(&asked.ticket_id, fields, now_ms),
    }
}

/// The later answer: it names the command by the request and by the reference of its ACK.
fn answer(asked: &Asked, reference: &str, outcome: Result<Fields, String>) -> String {
    let outcome = match &outcome {
        Ok(ticket) => {
            format!("<o:Result>DONE</o:Result>{}", element("o:TicketId", text(ticket, "id")))
        }
        Err(why) => format!("<o:Result>FAILED</o:Result>{}", element("o:Message", why)),
    };
    let body = format!(
        "<o:Answer>{}{}{}{outcome}</o:Answer>",
        element("o:AnswerId", &format!("A-{reference}")),
        element("o:RequestId", &asked.request_id),
        element("o:Reference", reference),
    );
    envelope(200, NAMESPACES, &body).body
}

fn found(asked: &Asked, books: &mut Books, now_ms: u64) -> Reply {
    let mut filters: Vec<(String, String)> =
        asked.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for (name, value) in
        [("id", &asked.ticket_id), ("kind", &asked.kind), ("Status", &asked.status)]
    {
        if !value.is_empty() {
            filters.push((name.to_owned(), value.clone()));
        }
    }
    let found = books.search(&filters, asked.limit, now_ms);
    let tickets: String = found
        .tickets
        .iter()
        .map(|ticket| format!("<o:Ticket>{}</o:Ticket>", shown(ticket)))
        .collect();
    let body = format!("<o:SearchResult>{tickets}<o:More>{}</o:More></o:SearchResult>", found.more);
    envelope(200, NAMESPACES, &body)
}

fn shown(ticket: &Fields) -> String {
    let mut shown = element("o:TicketId", text(ticket, "id"));
    shown.push_str(&element("o:Status", text(ticket, "Status")));
    for (theirs, name) in FIELDS.into_iter().chain([("OwnerGroup", "OwnerGroup")]) {
        let value = ticket.get(name).and_then(Value::as_str).unwrap_or_default();
        shown.push_str(&element(&format!("o:{theirs}"), value));
    }
    shown
}
