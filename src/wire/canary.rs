//! The canary's messages (docs/canary.md): the test alarm, which goes out and comes in again, and the
//! event at the end of its way.
//!
//! What always holds: a test alarm is a whole alarm event (CONTRACT 1.3), so that whoever else listens
//! can read it, and reads back as what was sent.

use super::reader::Reader;
use serde_json::{Value, json};
use ticketgate_actors::model::{
    BackendId, CANARY_SOURCE, Fields, TestAlarm, TicketEvent, Timestamp,
};
use ticketgate_actors::ports::Malformed;

/// Characters of a node's or backend's name: as in the config.
const MAX_NAME: usize = 256;

/// A test alarm as an alarm event.
pub(super) fn test_alarm(test: &TestAlarm, at: Timestamp) -> Value {
    json!({
        "id": test.backend,
        "source": CANARY_SOURCE,
        "state": "raised",
        "severity": "indeterminate",
        "raised_at": at.to_string(),
        "object": test.node,
        "text": "a test alarm: it makes no ticket",
        "properties": {
            "node": test.node,
            "backend": test.backend,
            "round": test.round.to_string(),
        },
    })
}

/// Is it a test alarm?
pub(super) fn is_test(fields: &Fields) -> bool {
    fields.get("source").and_then(Value::as_str) == Some(CANARY_SOURCE)
}

/// Reads a test alarm.
///
/// # Errors
/// The field at fault: somebody else uses the canary's name.
pub(super) fn read(fields: Fields) -> Result<TestAlarm, Malformed> {
    let mut from = Reader::new(fields);
    let mut from = from.part("properties", "properties.")?;
    let node = from.name("node", MAX_NAME)?;
    let backend = BackendId::new(&from.name("backend", MAX_NAME)?);
    let round = from.uuid("round")?;
    let round = from.require("round", round)?;
    Ok(TestAlarm { node, backend, round })
}

/// The event of a test alarm.
pub(super) fn event(event: &TicketEvent) -> Value {
    json!({
        "event_id": event.event_id.to_string(),
        "event": event.event.as_str(),
        "at": event.at.to_string(),
        "backend": event.ticket.backend,
        "origin": event.ticket.home_node,
        "round": event.ticket.key.to_string(),
    })
}
