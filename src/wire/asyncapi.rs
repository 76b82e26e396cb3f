//! `/asyncapi.yaml`: the wire for machines, AsyncAPI 3.0, from the very lists of fields that are read and
//! written here. Which exchanges and queues there are is told by whoever declares them.

use super::{alarm_in, beat, command_in, event_out, later_in};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// An exchange that we declare, and the queue behind it that we consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name behind the prefix, such as `alarms`.
    pub word: &'static str,
    /// Its whole name.
    pub exchange: String,
    /// `topic`, `direct` or `fanout`.
    pub kind: &'static str,
    /// The queue, and the key by which it is bound.
    pub queue: Option<(String, &'static str)>,
}

/// One kind of message.
struct Message {
    /// Its name.
    name: &'static str,
    /// On which exchange.
    on: &'static str,
    /// Under which routing key.
    key: &'static str,
    /// We take it; else we send it.
    taken: bool,
    /// What it is.
    what: &'static str,
    fields: &'static [&'static str],
    required: &'static [&'static str],
}

/// All of them. A beat goes both ways.
const MESSAGES: &[Message] = &[
    Message {
        name: "alarm",
        on: "alarms",
        key: "alarm.{source}.{severity}",
        taken: true,
        what: "An alarm event; or, with the state snapshot_begin or snapshot_end, the bounds of a snapshot",
        fields: alarm_in::FIELDS,
        required: &["id", "source", "state"],
    },
    Message {
        name: "command",
        on: "commands",
        key: "command",
        taken: true,
        what: "A command; its answers go to its reply_to",
        fields: command_in::FIELDS,
        required: &["command", "id"],
    },
    Message {
        name: "answer",
        on: "answers",
        key: "answer",
        taken: true,
        what: "A backend's later answer to a write that it took",
        fields: later_in::FIELDS,
        required: &["backend", "outcome"],
    },
    Message {
        name: "beat",
        on: "heartbeats",
        key: "heartbeat.{origin}",
        taken: true,
        what: "A beat of somebody else",
        fields: beat::FIELDS,
        required: &["origin", "boot_id", "sequence", "sent_at", "interval_ms"],
    },
    Message {
        name: "ownBeat",
        on: "heartbeats",
        key: "heartbeat.{origin}",
        taken: false,
        what: "Our own beat",
        fields: beat::FIELDS,
        required: beat::FIELDS,
    },
    Message {
        name: "ticketEvent",
        on: "tickets",
        key: "ticket.{backend}.{kind}.{event}",
        taken: false,
        what: "Something has become of a ticket",
        fields: event_out::TICKET_FIELDS,
        required: &[
            "event_id",
            "event",
            "at",
            "sequence",
            "request_id",
            "correlation_key",
            "ticket",
        ],
    },
    Message {
        name: "writeBack",
        on: "tickets",
        key: "writeback.{source}",
        taken: false,
        what: "What an alarm's source writes into its alarm",
        fields: event_out::WRITE_BACK_FIELDS,
        required: event_out::WRITE_BACK_FIELDS,
    },
    Message {
        name: "notice",
        on: "ops",
        key: "{what}",
        taken: false,
        what: "Something that operators should know, such as lane.crm.paused",
        fields: &["event", "at"],
        required: &["event", "at"],
    },
];

/// What the fields hold that are no text.
fn property(name: &str) -> Value {
    match name {
        "properties" | "ticket" | "fields" | "where" | "lock" | "detail" | "error" => {
            json!({ "type": ["object", "null"] })
        }
        "alarm" => json!({ "type": "object", "required": ["source", "id"] }),
        "alarms" => json!({ "type": "array", "items": { "type": "object" } }),
        "sequence" | "interval_ms" | "timeout_ms" | "wait_ms" | "limit" => {
            json!({ "type": "integer", "minimum": 0 })
        }
        "at" | "sent_at" | "raised_at" | "changed_at" => {
            json!({ "type": "string", "format": "date-time" })
        }
        _ => json!({ "type": ["string", "null"] }),
    }
}

fn payload(message: &Message) -> Value {
    let properties: Map<_, _> =
        message.fields.iter().map(|name| ((*name).to_owned(), property(name))).collect();
    json!({ "type": "object", "properties": properties, "required": message.required })
}

fn parameters(key: &str) -> Map<String, Value> {
    let names = key.split(['{', '}']).skip(1).step_by(2);
    names.map(|name| (name.to_owned(), json!({ "description": name }))).collect()
}

fn channel(message: &Message, place: &Place) -> Value {
    let mut exchange = json!({
        "is": "routingKey",
        "exchange": { "name": place.exchange, "type": place.kind, "durable": true, "vhost": "/" },
        "bindingVersion": "0.3.0",
    });
    if let Some((queue, binding)) = place.queue.as_ref().filter(|_| message.taken) {
        exchange["x-queue"] = json!({ "name": queue, "type": "quorum", "binding": binding });
    }
    let reference = format!("#/components/messages/{}", message.name);
    let mut messages = Map::new();
    messages.insert(message.name.to_owned(), json!({ "$ref": reference }));
    let mut channel = json!({
        "address": message.key,
        "description": message.what,
        "messages": messages,
        "bindings": { "amqp": exchange },
    });
    let parameters = parameters(message.key);
    if !parameters.is_empty() {
        channel["parameters"] = parameters.into();
    }
    channel
}

/// The description, with these exchanges and queues.
pub fn asyncapi(places: &[Place]) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for message in MESSAGES {
        let Some(place) = places.iter().find(|place| place.word == message.on) else { continue };
        let name = message.name;
        channels.insert(name.to_owned(), channel(message, place));
        let operation = json!({
            "action": if message.taken { "receive" } else { "send" },
            "channel": { "$ref": format!("#/channels/{name}") },
            "summary": message.what,
            "messages": [{ "$ref": format!("#/channels/{name}/messages/{name}") }],
        });
        let verb = if message.taken { "take" } else { "send" };
        operations.insert(format!("{verb}_{name}"), operation);
        messages.insert(
            name.to_owned(),
            json!({
                "name": name,
                "title": message.what,
                "contentType": "application/msgpack",
                "payload": payload(message),
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ticketgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Alarms, commands and answers in; ticket events, write-backs, beats and \
                            notices out, over AMQP 0-9-1. Bodies are MessagePack or JSON, as their \
                            content type says.",
        },
        "defaultContentType": "application/msgpack",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

/// A document as YAML: maps and lists in blocks, every other value as JSON has it, which is YAML too.
pub fn yaml(document: &Value) -> String {
    let mut text = String::new();
    write_yaml(document, 0, &mut text);
    text
}

fn write_yaml(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let is_block = |value: &Value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    let mut entry = |begin: String, value: &Value| {
        text.push_str(&indent);
        text.push_str(&begin);
        if is_block(value) {
            text.push('\n');
            write_yaml(value, depth + 1, text);
        } else {
            // Writing to a string does not fail.
            let _ = writeln!(text, " {value}");
        }
    };
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                entry(format!("{}:", Value::from(name.as_str())), value);
            }
        }
        Value::Array(list) => {
            for value in list {
                entry("-".to_owned(), value);
            }
        }
        other => {
            let _ = writeln!(text, "{indent}{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_in_blocks() {
        let document = json!({ "a": { "b": [1, "x: y", { "c": {} }] }, "d": [], "e": null });
        assert_eq!(
            yaml(&document),
            "\"a\":\n  \"b\":\n    - 1\n    - \"x: y\"\n    -\n      \"c\": {}\n\"d\": []\n\"e\": null\n"
        );
    }

    #[test]
    fn what_is_required_is_there() {
        for message in MESSAGES {
            for name in message.required {
                assert!(message.fields.contains(name), "{}: {name}", message.name);
            }
        }
    }
}
