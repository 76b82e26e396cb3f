//! The messages between the element and the gateway, as docs/contract.md has them: maps with names, in JSON
//! or in MessagePack.
//!
//! What always holds: what is not known is left out and ignored; a depth that nobody needs is refused.

use super::table::Fields;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Deeper messages are not read: they would cost stack, and nobody sends them.
const DEPTH_MAX: usize = 64;

/// What changed at the element, or an empty question for what has changed at the gateway.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SyncMessage {
    pub id: String,
    pub backend: String,
    pub element: String,
    pub polled_at: String,
    /// So many events may be answered.
    pub credit: u32,
    /// The answer before this one ended there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Value>,
    /// None: it belongs to no pass, and only asks on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// The last page of a pass that named every ticket.
    pub complete: bool,
    pub tickets: Vec<Told>,
}

/// A ticket that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    pub changed_at: String,
    pub deleted: bool,
    pub ticket: ChangedTicket,
}

/// The ticket itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ChangedTicket {
    pub backend_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub kind: String,
    pub status: String,
    pub fields: Fields,
}

/// What the gateway answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    pub id: String,
    pub credit: Option<u32>,
    pub events: Vec<Event>,
    pub more: bool,
    pub cursor: Option<Value>,
}

/// What became of a ticket there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub event: String,
    pub at: Option<String>,
    pub ticket: EventTicket,
}

/// The ticket as the gateway has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct EventTicket {
    pub key: Option<String>,
    pub backend_id: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    pub backend_status: Option<String>,
    pub fields: Fields,
}

/// How many changes the gateway can take.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Credit {
    pub backend: String,
    pub credit: Option<u32>,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// MessagePack
    Msgpack,
    /// JSON
    Json,
}

impl Encoding {
    /// Its name on the wire.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Msgpack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// Writes a message.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) fn write(self, message: &SyncMessage) -> Result<Vec<u8>, String> {
        match self {
            Self::Msgpack => rmp_serde::to_vec_named(message).map_err(|error| error.to_string()),
            Self::Json => serde_json::to_vec(message).map_err(|error| error.to_string()),
        }
    }
}

/// Reads a message, of the encoding that its content type names.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read<T: DeserializeOwned>(content_type: &str, body: &[u8]) -> Result<T, String> {
    if content_type.contains("json") {
        return serde_json::from_slice(body).map_err(|error| error.to_string());
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(body);
    reader.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut reader).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message() -> SyncMessage {
        SyncMessage {
            id: "i".to_owned(),
            backend: "dm".to_owned(),
            element: "7/42".to_owned(),
            polled_at: "2026-11-21T10:00:00.000Z".to_owned(),
            credit: 9,
            cursor: None,
            pass: Some("p".to_owned()),
            complete: true,
            tickets: vec![Told {
                changed_at: "2026-11-21T09:00:00.000Z".to_owned(),
                deleted: false,
                ticket: ChangedTicket {
                    backend_id: "7/1".to_owned(),
                    key: None,
                    kind: "incident".to_owned(),
                    status: "acknowledged".to_owned(),
                    fields: Fields::from_iter([("summary".to_owned(), "s".into())]),
                },
            }],
        }
    }

    #[test]
    fn a_message_is_written_with_its_names_in_both_encodings() {
        let expected = json!({
            "id": "i", "backend": "dm", "element": "7/42", "polled_at": "2026-11-21T10:00:00.000Z",
            "credit": 9, "pass": "p", "complete": true,
            "tickets": [{"changed_at": "2026-11-21T09:00:00.000Z", "deleted": false, "ticket": {
                "backend_id": "7/1", "kind": "incident", "status": "acknowledged", "fields": {"summary": "s"},
            }}],
        });
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let body = encoding.write(&message()).unwrap();
            let read: Value = read(encoding.content_type(), &body).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_answer_is_read_with_what_it_has_and_what_it_has_not() {
        let answer = json!({
            "id": "i", "backend": "dm", "credit": 3, "waiting": 2, "more": true, "cursor": 17,
            "events": [
                {"event": "merged", "at": "t", "event_id": "e", "ticket": {
                    "key": "k", "backend_id": null, "kind": "incident", "status": "closed",
                    "backend_status": null, "fields": {"summary": "s"}, "home_node": "n",
                }},
                {"event": "something new"},
            ],
        });
        for content_type in ["application/json", "application/msgpack"] {
            let body = match content_type {
                "application/json" => serde_json::to_vec(&answer).unwrap(),
                _ => rmp_serde::to_vec_named(&answer).unwrap(),
            };
            let read: Answer = read(content_type, &body).unwrap();
            assert_eq!((read.credit, read.more, read.cursor), (Some(3), true, Some(json!(17))));
            assert_eq!(read.events.len(), 2);
            assert_eq!(read.events[0].ticket.backend_id, None);
            assert_eq!(read.events[0].ticket.fields["summary"], "s");
        }
        let deep = [vec![0x91; 500], vec![0xc0]].concat();
        assert!(read::<Value>("application/msgpack", &deep).is_err());
    }
}
