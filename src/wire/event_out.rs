//! Messages out (CONTRACT 1.1, 1.2, 1.4): ticket events, write-backs, beats and operators' notices
//! to routing key, headers and body.
//!
//! What always holds: the same message gives the same bytes and the same id each time, UUIDs are
//! strings, times are UTC with milliseconds, and a routing key fits AMQP's 255 bytes. Where the
//! bytes go from here is left to the bus.

use super::codec::{self, Encoding};
use super::{beat, canary, sync};
use serde::Serialize;
use serde_json::Value;
use ticketgate_actors::logic::topic;
use ticketgate_actors::model::{
    AlarmRef, Beat, CANARY_SOURCE, CommandAnswer, EventId, EventName, Fields, Route, TestAlarm,
    TicketError, TicketEvent, TicketView, Timestamp, WriteBack,
};
use ticketgate_actors::ports::Outgoing;

/// Bytes of an AMQP short string: more of a routing key is cut off.
const MAX_ROUTING_KEY: usize = 255;

/// Which of our exchanges a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Ticket events and write-backs, for subscribers.
    Tickets,
    /// Notices for operators' tools.
    Ops,
    /// One that is not ours, by its whole name; empty: the default one.
    Theirs(String),
    /// Beats of this node, and the canary's events.
    Heartbeats,
    /// Credit, for connectors.
    Sync,
    /// Alarm events: the canary's test alarm.
    Alarms,
}

/// A message ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Where it goes.
    pub exchange: Exchange,
    /// Under which key.
    pub routing_key: String,
    /// What the body is.
    pub content_type: &'static str,
    /// The event's id: stable across re-publication.
    pub message_id: String,
    /// Of an answer: what its command's sender knows it by.
    pub correlation_id: Option<String>,
    /// CloudEvents 1.0 attributes, each with its name as a header.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Encodes a message that `node` publishes.
pub fn encode(message: &Outgoing, node: &str, encoding: Encoding) -> Encoded {
    match message {
        Outgoing::Ticket(event) if event.event == EventName::Canary => {
            canary_event(event, node, encoding)
        }
        Outgoing::Ticket(event) => ticket(event, node, encoding),
        Outgoing::WriteBack(back) => write_back(back, node, encoding),
        Outgoing::Reply { event_id, at, to, correlation_id, content_type, answer } => {
            // The command's own encoding; where an alarm made the work, the configured one.
            let encoding = match content_type.is_empty() {
                true => encoding,
                false => Encoding::of(Some(content_type), b""),
            };
            let id = (*event_id, *at);
            reply(id, to, correlation_id.as_deref(), answer, node, encoding)
        }
        Outgoing::SyncAnswer { event_id, at, to, correlation_id, content_type, answer } => {
            let encoding = match content_type.is_empty() {
                true => encoding,
                false => Encoding::of(Some(content_type), b""),
            };
            Encoded {
                exchange: Exchange::Theirs(to.exchange.clone()),
                routing_key: cut(to.key.clone()),
                content_type: encoding.content_type(),
                message_id: event_id.to_string(),
                correlation_id: correlation_id.clone(),
                headers: Attributes {
                    id: *event_id,
                    kind: "ticketgate.sync.answer".to_owned(),
                    node,
                    subject: Some(answer.backend.to_string()),
                    at: *at,
                }
                .headers(),
                body: codec::bytes(&sync::sync_answer(answer), encoding),
            }
        }
        Outgoing::Credit { event_id, at, backend, credit, waiting } => Encoded {
            exchange: Exchange::Sync,
            routing_key: cut(format!("credit.{}", topic::word(backend.as_str()))),
            content_type: encoding.content_type(),
            message_id: event_id.to_string(),
            correlation_id: None,
            headers: Attributes {
                id: *event_id,
                kind: "ticketgate.sync.credit".to_owned(),
                node,
                subject: Some(backend.to_string()),
                at: *at,
            }
            .headers(),
            body: codec::bytes(
                &serde_json::json!({
                    "backend": backend.as_str(), "credit": credit, "waiting": waiting,
                }),
                encoding,
            ),
        },
        Outgoing::Beat(beat) => heartbeat(beat, node, encoding),
        Outgoing::Test(test, at) => test_alarm(test, *at, node, encoding),
        Outgoing::Ops { event_id, key, at, body } => ops(*event_id, key, *at, body, node, encoding),
    }
}

/// The fields of a ticket event.
pub(super) const TICKET_FIELDS: &[&str] = &[
    "event_id",
    "event",
    "at",
    "sequence",
    "request_id",
    "correlation_key",
    "alarm",
    "alarms",
    "ticket",
    "error",
];

/// The fields of a write-back.
pub(super) const WRITE_BACK_FIELDS: &[&str] =
    &["source", "id", "key", "backend", "backend_id", "status", "url", "at"];

/// CONTRACT 1.4, the ticket event. Absent and null are told apart: what the contract calls null
/// until known is null, what it calls absent is absent.
#[derive(Serialize)]
struct TicketOut<'a> {
    event_id: String,
    event: &'a str,
    at: String,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    correlation_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<AlarmOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<AlarmOut<'a>>,
    ticket: TicketPart<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a TicketError>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictOut<'a>>,
}

#[derive(Serialize)]
struct ConflictOut<'a> {
    field: &'a str,
    ours: &'a Value,
    theirs: &'a Value,
    kept: &'a str,
}

#[derive(Clone, Copy, Serialize)]
struct AlarmOut<'a> {
    source: &'a str,
    id: &'a str,
}

impl<'a> From<&'a AlarmRef> for AlarmOut<'a> {
    fn from(alarm: &'a AlarmRef) -> Self {
        Self { source: &alarm.source, id: &alarm.id }
    }
}

/// A ticket, in events and in answers.
#[derive(Serialize)]
pub(super) struct TicketPart<'a> {
    pub key: Option<String>,
    pub backend: &'a str,
    pub backend_id: Option<&'a str>,
    pub kind: &'a str,
    pub status: Option<&'a str>,
    pub backend_status: Option<&'a str>,
    pub url: Option<&'a str>,
    pub fields: &'a Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_node: Option<&'a str>,
}

/// A ticket as it stands here.
pub(super) fn ticket_part(view: &TicketView) -> TicketPart<'_> {
    TicketPart {
        key: Some(view.key.to_string()),
        backend: view.backend.as_str(),
        backend_id: view.backend_id.as_deref(),
        kind: view.kind.as_str(),
        status: Some(view.status.as_str()),
        backend_status: view.backend_status.as_deref(),
        url: view.url.as_deref(),
        fields: &view.fields,
        home_node: Some(&view.home_node),
    }
}

/// CONTRACT 1.4, the write-back.
#[derive(Serialize)]
struct WriteBackOut<'a> {
    source: &'a str,
    id: &'a str,
    key: String,
    backend: &'a str,
    backend_id: Option<&'a str>,
    status: &'a str,
    url: Option<&'a str>,
    at: String,
}

/// A ticket event's body as JSON: what the bus carries, for other faces.
pub fn ticket_json(event: &TicketEvent) -> Vec<u8> {
    ticket_body(event, Encoding::Json)
}

/// A ticket event's body, within an answer.
pub(super) fn ticket_value(event: &TicketEvent) -> Value {
    serde_json::to_value(ticket_out(event)).unwrap_or_default()
}

fn ticket_body(event: &TicketEvent, encoding: Encoding) -> Vec<u8> {
    codec::bytes(&ticket_out(event), encoding)
}

fn ticket_out(event: &TicketEvent) -> TicketOut<'_> {
    let view = &event.ticket;
    let alarms: Vec<AlarmOut> = event.alarms.iter().map(AlarmOut::from).collect();
    TicketOut {
        event_id: event.event_id.to_string(),
        event: event.event.as_str(),
        at: event.at.to_string(),
        sequence: event.sequence,
        request_id: event.request_id.map(|id| id.to_string()),
        correlation_key: &event.correlation_key.0,
        alarm: alarms.first().copied(),
        alarms,
        ticket: ticket_part(view),
        error: event.error.as_ref(),
        conflicts: event
            .conflicts
            .iter()
            .map(|it| ConflictOut {
                field: &it.field,
                ours: &it.ours,
                theirs: &it.theirs,
                kept: it.kept.as_str(),
            })
            .collect(),
    }
}

fn ticket(event: &TicketEvent, node: &str, encoding: Encoding) -> Encoded {
    let view = &event.ticket;
    let (backend, kind, name) =
        (topic::word(view.backend.as_str()), view.kind.as_str(), event.event.as_str());
    Encoded {
        exchange: Exchange::Tickets,
        routing_key: cut(format!("ticket.{backend}.{kind}.{name}")),
        content_type: encoding.content_type(),
        message_id: event.event_id.to_string(),
        correlation_id: None,
        headers: Attributes {
            id: event.event_id,
            kind: format!("ticketgate.ticket.{name}"),
            node,
            subject: Some(view.key.to_string()),
            at: event.at,
        }
        .headers(),
        body: ticket_body(event, encoding),
    }
}

fn write_back(back: &WriteBack, node: &str, encoding: Encoding) -> Encoded {
    let body = WriteBackOut {
        source: &back.alarm.source,
        id: &back.alarm.id,
        key: back.key.to_string(),
        backend: back.backend.as_str(),
        backend_id: back.backend_id.as_deref(),
        status: back.status.as_str(),
        url: back.url.as_deref(),
        at: back.at.to_string(),
    };
    Encoded {
        exchange: Exchange::Tickets,
        routing_key: cut(format!("writeback.{}", topic::word(&back.alarm.source))),
        content_type: encoding.content_type(),
        message_id: back.event_id.to_string(),
        correlation_id: None,
        headers: Attributes {
            id: back.event_id,
            kind: "ticketgate.writeback".to_owned(),
            node,
            subject: Some(back.alarm.to_string()),
            at: back.at,
        }
        .headers(),
        body: codec::bytes(&body, encoding),
    }
}

fn reply(
    (event_id, at): (EventId, Timestamp),
    to: &Route,
    correlation_id: Option<&str>,
    answer: &CommandAnswer,
    node: &str,
    encoding: Encoding,
) -> Encoded {
    Encoded {
        exchange: Exchange::Theirs(to.exchange.clone()),
        routing_key: cut(to.key.clone()),
        content_type: encoding.content_type(),
        message_id: event_id.to_string(),
        correlation_id: correlation_id.map(str::to_owned),
        headers: Attributes {
            id: event_id,
            kind: format!("ticketgate.answer.{}", answer.stage.as_str()),
            node,
            subject: answer.id.map(|id| id.to_string()),
            at,
        }
        .headers(),
        body: codec::bytes(&super::answer_out::answer(answer), encoding),
    }
}

fn heartbeat(beat: &Beat, node: &str, encoding: Encoding) -> Encoded {
    let id = beat.event_id();
    Encoded {
        exchange: Exchange::Heartbeats,
        routing_key: cut(format!("heartbeat.{}", topic::word(&beat.origin))),
        content_type: encoding.content_type(),
        message_id: id.to_string(),
        correlation_id: None,
        headers: Attributes {
            id,
            kind: "ticketgate.heartbeat".to_owned(),
            node,
            subject: Some(beat.origin.clone()),
            at: beat.sent_at,
        }
        .headers(),
        body: beat::body(beat, encoding),
    }
}

fn test_alarm(test: &TestAlarm, at: Timestamp, node: &str, encoding: Encoding) -> Encoded {
    let id = EventId(test.round);
    Encoded {
        exchange: Exchange::Alarms,
        routing_key: cut(format!("alarm.{}.indeterminate", topic::word(CANARY_SOURCE))),
        content_type: encoding.content_type(),
        message_id: id.to_string(),
        correlation_id: None,
        headers: Attributes {
            id,
            kind: "ticketgate.canary".to_owned(),
            node,
            subject: Some(test.backend.to_string()),
            at,
        }
        .headers(),
        body: codec::bytes(&canary::test_alarm(test, at), encoding),
    }
}

/// Not among the ticket events: it is of no ticket, and must not fill the queue of a subscriber that
/// comes later.
fn canary_event(event: &TicketEvent, node: &str, encoding: Encoding) -> Encoded {
    let view = &event.ticket;
    Encoded {
        exchange: Exchange::Heartbeats,
        routing_key: cut(format!("canary.{}", topic::word(view.backend.as_str()))),
        content_type: encoding.content_type(),
        message_id: event.event_id.to_string(),
        correlation_id: None,
        headers: Attributes {
            id: event.event_id,
            kind: "ticketgate.canary.event".to_owned(),
            node,
            subject: Some(view.backend.to_string()),
            at: event.at,
        }
        .headers(),
        body: codec::bytes(&canary::event(event), encoding),
    }
}

fn ops(
    event_id: EventId,
    key: &str,
    at: Timestamp,
    body: &Value,
    node: &str,
    encoding: Encoding,
) -> Encoded {
    Encoded {
        exchange: Exchange::Ops,
        routing_key: cut(key.to_owned()),
        content_type: encoding.content_type(),
        message_id: event_id.to_string(),
        correlation_id: None,
        headers: Attributes { id: event_id, kind: ops_type(key), node, subject: None, at }
            .headers(),
        body: codec::bytes(body, encoding),
    }
}

/// `lane.crm.paused` is of the type `ticketgate.ops.lane.paused`: a type names no backend.
fn ops_type(key: &str) -> String {
    match (key.split_once('.'), key.rsplit_once('.')) {
        (Some((first, _)), Some((_, last))) => format!("ticketgate.ops.{first}.{last}"),
        _ => format!("ticketgate.ops.{key}"),
    }
}

fn cut(mut key: String) -> String {
    key.truncate(key.floor_char_boundary(MAX_ROUTING_KEY));
    key
}

/// CloudEvents 1.0 context attributes, as its AMQP binding names them.
struct Attributes<'a> {
    id: EventId,
    kind: String,
    node: &'a str,
    subject: Option<String>,
    at: Timestamp,
}

impl Attributes<'_> {
    fn headers(self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("cloudEvents_specversion", "1.0".to_owned()),
            ("cloudEvents_id", self.id.to_string()),
            ("cloudEvents_type", self.kind),
            ("cloudEvents_source", format!("ticketgate/{}", self.node)),
            ("cloudEvents_time", self.at.to_string()),
        ];
        headers.extend(self.subject.map(|subject| ("cloudEvents_subject", subject)));
        headers
    }
}

#[cfg(test)]
mod tests;
