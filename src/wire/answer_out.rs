//! Answers to commands (CONTRACT 1.5), on the bus and as HTTP bodies.
//!
//! What always holds: `ok` is true exactly where there is no `error`; what is not about a request
//! has neither `request_id` nor `key`.

use super::event_out::{TicketPart, ticket_part};
use serde::Serialize;
use serde_json::{Map, Value, json};
use ticketgate_actors::model::{CommandAnswer, FoundTicket, Given, Stage};

/// One answer.
#[derive(Serialize)]
pub struct AnswerOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    ok: bool,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorOut<'a>>,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    code: &'static str,
    message: &'a str,
    field: Option<&'a str>,
}

/// An answer in the words of the wire.
pub fn answer(answer: &CommandAnswer) -> AnswerOut<'_> {
    let key = answer.about.map(|(_, key)| key.to_string());
    AnswerOut {
        id: answer.id.map(|id| id.to_string()),
        ok: answer.said.is_ok(),
        stage: answer.stage.as_str(),
        request_id: answer.about.map(|(request, _)| request.to_string()),
        result: match (&answer.said, answer.stage) {
            (Ok(given), Stage::Final) => Some(result(given, key.as_deref())),
            _ => None,
        },
        key,
        error: answer.said.as_ref().err().map(|error| ErrorOut {
            code: error.code.as_str(),
            message: &error.message,
            field: error.field.as_deref(),
        }),
    }
}

fn result(given: &Given, key: Option<&str>) -> Value {
    match given {
        Given::Nothing | Given::Accepted => Value::Object(Map::new()),
        Given::Made { backend_id, url } => {
            json!({ "key": key, "backend_id": backend_id, "url": url })
        }
        Given::Ticket(view) => json!({ "ticket": ticket_part(view) }),
        Given::Found(found) => json!({ "ticket": self::found(found) }),
        Given::Tickets(tickets, more) => json!({
            "tickets": tickets.iter().map(self::found).collect::<Vec<_>>(),
            "more": more,
            "cursor": null,
        }),
        Given::Locked(lock) => json!({
            "client": lock.client,
            "guid": lock.guid,
            "fence": lock.fence,
            "expires_at": lock.expires_at.to_string(),
        }),
    }
}

/// A ticket as its backend shows it; the same words as in a ticket event.
pub fn found(ticket: &FoundTicket) -> Value {
    let FoundTicket { key, backend, kind, found } = ticket;
    let part = TicketPart {
        key: key.map(|key| key.to_string()),
        backend: backend.as_str(),
        backend_id: Some(&found.backend_id),
        kind: kind.as_str(),
        status: found.status.map(|status| status.as_str()),
        backend_status: found.backend_status.as_deref(),
        url: found.url.as_deref(),
        fields: &found.fields,
        home_node: None,
    };
    json!(part)
}
