//! USMS: incidents, changes and problems, as its service description has them.
//!
//! What always holds: a request must be of the schema in what is looked at here: order and names of the
//! fields, lengths, enumerations. A ticket has a version, which an update may ask for. Every failure has
//! the status 500, bad credentials included.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use roxmltree::Node;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::books::{Books, CallKind};
use super::super::fate::{Reply, Wrong, carry_out};
use super::super::handlers::Desk;
use super::super::tickets::{Fields, Refusal};
use super::xml::{child, element, envelope, escape, fault, unwrap, wsse_password};
use super::{key_or_none, text};

const NAMESPACE: &str = "http://usms.example.net/ticketing/v2";
const NAMESPACES: &str = "xmlns:t=\"http://usms.example.net/ticketing/v2\"";
/// A search gives so many at the most, whatever is asked for.
const LIMIT_MAX: usize = 100;
const KINDS: [(&str, &str); 3] = [("Incident", "INC"), ("Change", "CHG"), ("Problem", "PRB")];
/// In the schema's order.
const FIELDS: [&str; 9] = [
    "Title",
    "Description",
    "Priority",
    "Status",
    "ConfigurationItem",
    "AlarmReference",
    "PlannedStart",
    "PlannedEnd",
    "WorkNote",
];
const PRIORITIES: [&str; 4] = ["1-Critical", "2-High", "3-Medium", "4-Low"];
const STATUSES: [&str; 5] = ["Registered", "In Progress", "Pending", "Resolved", "Closed"];

/// What a request asks for.
#[derive(Debug)]
struct Asked {
    verb: &'static str,
    kind: &'static str,
    ticket_id: String,
    expected_version: Option<i64>,
    fields: Vec<(&'static str, String)>,
    criteria: Vec<(String, String)>,
    limit: usize,
    offset: usize,
    password: Option<String>,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/usms", web::post().to(call));
}

/// `INC00000001`
pub(super) fn id_of(_: &str, number: u64, fields: &Fields) -> String {
    let kind = text(fields, "kind");
    let prefix = KINDS.iter().find(|(name, _)| *name == kind).map_or("INC", |(_, prefix)| prefix);
    format!("{prefix}{number:08}")
}

async fn call(
    request: HttpRequest,
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let action = request.headers().get("SOAPAction").and_then(|action| action.to_str().ok());
    let action = action.unwrap_or_default().trim_matches('"').to_owned();
    let asked = unwrap(&body, |node, header| read(node, &action, wsse_password(header)));
    let kind = match &asked {
        Ok(Asked { verb: "Create", .. }) => CallKind::Create,
        Ok(Asked { verb: "Update", .. }) => CallKind::Update,
        Ok(Asked { ticket_id, .. }) if !ticket_id.is_empty() => CallKind::Get,
        _ => CallKind::Search,
    };
    let given = asked.as_ref().ok().and_then(|asked| asked.password.as_deref());
    let authorised = desk.token.as_ref().is_none_or(|token| given == Some(token.expose_secret()));
    let work = move |books: &mut Books, now_ms| match asked {
        Ok(asked) => done(&asked, books, now_ms),
        Err(problem) => fault(NAMESPACES, "s:Client", &problem, ""),
    };
    carry_out(&request, &desk, &backend, kind, authorised, say, work).await
}

fn say(wrong: Wrong) -> Reply {
    match wrong {
        Wrong::Busy => ticketing_fault("BUSY", "the middleware is busy, nothing was done", true),
        Wrong::TooMany => Reply::empty(429),
        Wrong::Unauthorised => fault(
            "xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\"",
            "wsse:FailedAuthentication",
            "The security token could not be authenticated",
            "",
        ),
        Wrong::Error(_) => fault(NAMESPACES, "s:Server", "internal error", ""),
    }
}

fn ticketing_fault(code: &str, message: &str, retryable: bool) -> Reply {
    let detail = format!(
        "<t:TicketingFault>{}{}<t:Retryable>{retryable}</t:Retryable></t:TicketingFault>",
        element("t:Code", code),
        element("t:Message", message)
    );
    fault(NAMESPACES, "s:Server", message, &detail)
}

fn read(node: Node<'_, '_>, action: &str, password: Option<String>) -> Result<Asked, String> {
    if node.tag_name().namespace() != Some(NAMESPACE) {
        return Err("the request is of another namespace".to_owned());
    }
    let name = node.tag_name().name();
    let operation = name.strip_suffix("Request").ok_or("there is no such operation")?;
    if action != format!("{NAMESPACE}/{operation}") {
        return Err("the action is not that of the request".to_owned());
    }
    let verb = ["Create", "Update", "Query"].into_iter().find(|verb| operation.starts_with(verb));
    let verb = verb.ok_or("there is no such operation")?;
    let kind = KINDS.iter().map(|(kind, _)| *kind).find(|kind| &operation[verb.len()..] == *kind);
    let kind = kind.ok_or("there is no such operation")?;
    let mut asked = Asked {
        verb,
        kind,
        ticket_id: child(node, "TicketId").unwrap_or_default(),
        expected_version: child(node, "ExpectedVersion").and_then(|text| text.parse().ok()),
        fields: Vec::new(),
        criteria: Vec::new(),
        limit: LIMIT_MAX,
        offset: 0,
        password,
    };
    if verb == "Query" {
        let criteria = node.first_element_child().ok_or("there are no criteria")?;
        read_criteria(criteria, &mut asked)?;
        return Ok(asked);
    }
    let request_id = child(node, "RequestId").unwrap_or_default();
    short("RequestId", &request_id)?;
    let fields = node.children().find(|child| child.tag_name().name() == "Fields");
    read_fields(fields.ok_or("there are no fields")?, &mut asked)?;
    Ok(asked)
}

fn read_fields(fields: Node<'_, '_>, asked: &mut Asked) -> Result<(), String> {
    let mut at = 0;
    for node in fields.children().filter(Node::is_element) {
        let name = node.tag_name().name();
        let found = FIELDS.iter().position(|field| *field == name);
        let place =
            found.filter(|place| *place >= at).ok_or(format!("{name} is not allowed here"))?;
        at = place;
        let value = node.text().unwrap_or_default().to_owned();
        match name {
            "Title" | "ConfigurationItem" | "AlarmReference" => short(name, &value)?,
            "Priority" if !PRIORITIES.contains(&value.as_str()) => {
                return Err(format!("there is no priority {value}"));
            }
            "Status" if !STATUSES.contains(&value.as_str()) => {
                return Err(format!("there is no status {value}"));
            }
            _ => {}
        }
        asked.fields.push((FIELDS[place], value));
    }
    Ok(())
}

fn read_criteria(criteria: Node<'_, '_>, asked: &mut Asked) -> Result<(), String> {
    for node in criteria.children().filter(Node::is_element) {
        let value = node.text().unwrap_or_default().to_owned();
        match node.tag_name().name() {
            "TicketId" => asked.ticket_id = value,
            "AlarmReference" => asked.criteria.push(("correlation_key".to_owned(), value)),
            "Status" => asked.criteria.push(("Status".to_owned(), value)),
            "ModifiedSince" => {}
            "Limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                asked.limit = limit.ok_or("Limit must be from 1 to 100")?;
            }
            "Continuation" => asked.offset = value.parse().map_err(|_| "a bad Continuation")?,
            name => return Err(format!("{name} is not allowed here")),
        }
    }
    Ok(())
}

fn short(name: &str, value: &str) -> Result<(), String> {
    let length = value.chars().count();
    if (1..=120).contains(&length) { Ok(()) } else { Err(format!("{name} is empty or too long")) }
}

fn done(asked: &Asked, books: &mut Books, now_ms: u64) -> Reply {
    let answer = |body: String| {
        let name = format!("{}{}Response", asked.verb, asked.kind);
        envelope(200, NAMESPACES, &format!("<t:{name}>{body}</t:{name}>"))
    };
    let refused = |refusal: Refusal| {
        let code =
            if matches!(refusal, Refusal::NoSuchTicket(_)) { "NOT_FOUND" } else { "INVALID" };
        ticketing_fault(code, &refusal.to_string(), false)
    };
    match asked.verb {
        "Create" => match books.create(made(asked, books.made(), now_ms), None, now_ms) {
            Ok((ticket, _)) => answer(element("t:TicketId", text(&ticket, "id"))),
            Err(refusal) => refused(refusal),
        },
        "Update" => {
            let ticket = match books.get(&asked.ticket_id) {
                Ok(ticket) => ticket,
                Err(refusal) => return refused(refusal),
            };
            let version = ticket.get("version").and_then(Value::as_i64);
            if asked.expected_version.is_some_and(|expected| Some(expected) != version) {
                return ticketing_fault("VERSION", "somebody else changed the ticket", true);
            }
            match books.update(&asked.ticket_id, changed(asked, &ticket, now_ms), now_ms) {
                Ok(ticket) => answer(shown(asked.kind, &ticket)),
                Err(refusal) => refused(refusal),
            }
        }
        _ if !asked.ticket_id.is_empty() => {
            let ticket = books.get(&asked.ticket_id).ok();
            let ticket = ticket.filter(|ticket| text(ticket, "kind") == asked.kind);
            answer(ticket.map(|ticket| shown(asked.kind, &ticket)).unwrap_or_default())
        }
        _ => {
            let mut filters = asked.criteria.clone();
            filters.push(("kind".to_owned(), asked.kind.to_owned()));
            let found = books.search(&filters, usize::MAX, now_ms);
            let end = asked.offset + asked.limit;
            let page = found.tickets.iter().skip(asked.offset).take(asked.limit);
            let mut body: String = page.map(|ticket| shown(asked.kind, ticket)).collect();
            if found.tickets.len() > end {
                body.push_str(&element("t:Continuation", &end.to_string()));
            }
            answer(body)
        }
    }
}

fn made(asked: &Asked, count: u64, now_ms: u64) -> Fields {
    let mut fields = changed(asked, &Fields::new(), now_ms);
    let key = key_or_none(text(&fields, "correlation_key"), count);
    fields.insert("correlation_key".to_owned(), key.into());
    fields.insert("kind".to_owned(), asked.kind.into());
    fields.insert("created_ms".to_owned(), now_ms.into());
    if text(&fields, "summary").is_empty() {
        fields.insert("summary".to_owned(), "untitled".into());
    }
    if text(&fields, "Status").is_empty() {
        fields.insert("Status".to_owned(), STATUSES[0].into());
        fields.insert("status".to_owned(), "open".into());
    }
    fields
}

/// The fields that a request sets, under the schema's names and the plain ones.
fn changed(asked: &Asked, before: &Fields, now_ms: u64) -> Fields {
    let mut fields = Fields::new();
    let mut notes = before.get("notes").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, value) in &asked.fields {
        match *name {
            "WorkNote" => notes.push(json!(value)),
            "Title" => _ = fields.insert("summary".to_owned(), value.as_str().into()),
            "AlarmReference" => {
                fields.insert("correlation_key".to_owned(), value.as_str().into());
            }
            "Status" => {
                let ended = matches!(value.as_str(), "Resolved" | "Closed");
                let plain = if ended { "closed" } else { "open" };
                fields.insert("status".to_owned(), plain.into());
            }
            _ => {}
        }
        fields.insert((*name).to_owned(), value.as_str().into());
    }
    let version = before.get("version").and_then(Value::as_i64).unwrap_or(0) + 1;
    fields.insert("notes".to_owned(), notes.into());
    fields.insert("version".to_owned(), version.into());
    fields.insert("modified_ms".to_owned(), now_ms.into());
    fields
}

fn shown(kind: &str, ticket: &Fields) -> String {
    let fields: String = FIELDS
        .iter()
        .filter(|name| **name != "WorkNote")
        .map(|name| element(&format!("t:{name}"), text(ticket, name)))
        .collect();
    let at = |name: &str| {
        let ms = ticket.get(name).and_then(Value::as_i64).unwrap_or(0);
        jiff::Timestamp::UNIX_EPOCH
            .checked_add(jiff::SignedDuration::from_millis(ms))
            .map(|at| format!("{at:.3}"))
            .unwrap_or_default()
    };
    let notes = ticket.get("notes").and_then(Value::as_array).cloned().unwrap_or_default();
    let modified = at("modified_ms");
    let notes: String = notes
        .iter()
        .filter_map(Value::as_str)
        .map(|note| format!("<t:Note at=\"{modified}\">{}</t:Note>", escape(note)))
        .collect();
    let version = ticket.get("version").and_then(Value::as_i64).unwrap_or(1);
    format!(
        "<t:{kind}>{}<t:Fields>{fields}</t:Fields><t:WorkNotes>{notes}</t:WorkNotes>{}{}\
         <t:Version>{version}</t:Version></t:{kind}>",
        element("t:TicketId", text(ticket, "id")),
        element("t:CreatedAt", &at("created_ms")),
        element("t:ModifiedAt", &modified),
    )
}
