//! What alarm systems publish, and what must come of it.

use crate::dice::Dice;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Events of a [`Stream`].
pub const EVENTS: usize = 2_000;
/// Of them so many cannot be read: one in a hundred.
pub const MALFORMED: usize = 20;
/// Of the others so many come a second time: one in twenty.
pub const REPEATED: usize = 100;
/// Alarms, each with a ticket of its own.
pub const ALARMS: usize = EVENTS - MALFORMED;
/// Alarm systems, and the ticketing systems of each.
pub const SYSTEMS: [(&str, &str); 4] =
    [("probe-0", "b0"), ("probe-1", "b1"), ("probe-2", "b2"), ("probe-3", "b3")];

/// Sends each alarm system's alarms to its ticketing system.
pub fn rules() -> String {
    let rule = |(source, backend): &(&str, &str)| {
        format!("[[policy.rule]]\nname = {backend:?}\nsource = {source:?}\nbackend = {backend:?}\n")
    };
    SYSTEMS.iter().map(rule).collect()
}

/// A raised alarm.
pub fn raised(source: &str, id: &str) -> Value {
    json!({
        "id": id, "source": source, "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00.000Z", "object": format!("site-{id}/cell-1"),
        "text": format!("loss of signal at {id}"),
    })
}

/// A message for the publisher.
pub fn message(message_id: &str, encoding: &str, body: Value) -> Value {
    let source = body["source"].as_str().unwrap_or("somebody");
    let severity = body["severity"].as_str().unwrap_or("indeterminate");
    let routing_key = format!("alarm.{source}.{severity}");
    json!({
        "routing_key": routing_key, "message_id": message_id, "encoding": encoding, "body": body,
    })
}

/// A list of messages with repeats and mistakes, and what must come of it.
pub struct Stream {
    /// In the order in which they are published.
    pub messages: Vec<Value>,
    /// Each alarm's ticketing system, by source and id.
    pub tickets: BTreeMap<(String, String), &'static str>,
    /// The messages that must be parked: the field and a part of the reason, by message id.
    pub parked: BTreeMap<String, (Option<&'static str>, &'static str)>,
}

impl Stream {
    /// The same list for the same seed.
    pub fn of(seed: u64) -> Self {
        let mut stream =
            Self { messages: Vec::new(), tickets: BTreeMap::new(), parked: BTreeMap::new() };
        for n in 0..EVENTS {
            match n % (EVENTS / MALFORMED) {
                50 => stream.mistake(n),
                _ => stream.alarm(n),
            }
        }
        stream.repeat(&mut Dice::new(seed));
        assert_eq!(stream.tickets.len(), ALARMS);
        assert_eq!(stream.parked.len(), MALFORMED);
        assert_eq!(stream.messages.len(), EVENTS + REPEATED);
        stream
    }

    fn alarm(&mut self, n: usize) {
        let (source, backend) = SYSTEMS[n / 2 % SYSTEMS.len()];
        let (id, severities) = (format!("A{n}"), ["critical", "major", "minor", "warning"]);
        let mut body = raised(source, &id);
        body["severity"] = json!(severities[n % severities.len()]);
        // Sources write times as they like.
        let times = ["2026-11-21T11:00:00+01:00", "2026-11-21T10:00:00.123456Z"];
        body["raised_at"] = json!(times[n / 3 % times.len()]);
        body["properties"] = json!({ "n": n, "share": 0.1, "näme": ["ä", null, true] });
        let encoding = if n.is_multiple_of(2) { "msgpack" } else { "json" };
        self.messages.push(message(&format!("m{n}"), encoding, body));
        self.tickets.insert((source.to_owned(), id), backend);
    }

    fn mistake(&mut self, n: usize) {
        let kind = n / (EVENTS / MALFORMED);
        let message_id = format!("m{n}");
        let (message, field, reason) = malformed(kind, &message_id);
        self.messages.push(message);
        self.parked.insert(message_id, (field, reason));
    }

    /// Publishes some of the good ones again, later, under the same message id.
    fn repeat(&mut self, dice: &mut Dice) {
        let mut chosen = BTreeSet::new();
        while chosen.len() < REPEATED {
            let place = dice.within(0..self.messages.len());
            let id = self.messages[place]["message_id"].as_str().unwrap_or_default().to_owned();
            if self.parked.contains_key(&id) || !chosen.insert(id) {
                continue;
            }
            let again = dice.within(place + 1..self.messages.len() + 1);
            self.messages.insert(again, self.messages[place].clone());
        }
    }
}

/// A message that cannot be read, with its field and a part of the reason.
pub fn malformed(kind: usize, id: &str) -> (Value, Option<&'static str>, &'static str) {
    let with = |name: &str, value: Value| {
        let mut body = raised("probe-0", id);
        body[name] = value;
        body
    };
    let raw = |claims: &str, base64: &str| {
        json!({
            "routing_key": "alarm.probe-0.major", "message_id": id, "encoding": "raw",
            "claims": claims, "body": base64,
        })
    };
    let (json, msgpack) = ("json", "msgpack");
    match kind % 10 {
        0 => {
            let body = with("severity", Value::Null);
            (message(id, json, body), Some("severity"), "severity is missing")
        }
        1 => {
            let body = with("state", json!("RAISED"));
            (message(id, msgpack, body), Some("state"), "not one of: raised, updated, cleared")
        }
        2 => {
            let body = with("raised_at", json!("yesterday"));
            (message(id, json, body), Some("raised_at"), "not an RFC 3339 time")
        }
        3 => {
            let body = with("object", json!(""));
            (message(id, msgpack, body), Some("object"), "object is empty")
        }
        4 => {
            let body = with("id", json!(7));
            (message(id, json, body), Some("id"), "id must be a string, not a number")
        }
        5 => {
            let body = with("ticket", json!({ "kind": "event" }));
            (message(id, msgpack, body), Some("ticket.kind"), "not one of: incident")
        }
        6 => {
            let body = with("ticket", json!({ "backend": "cmr" }));
            (message(id, json, body), Some("ticket.backend"), "not one of: b0, b1, b2, b3")
        }
        7 => {
            let body = json!([with("id", json!("x"))]);
            (message(id, msgpack, body), None, "map")
        }
        // `{"id": ` and three bytes that begin nothing.
        8 => (raw("application/json", "eyJpZCI6IA=="), None, "cannot be read as JSON"),
        _ => (raw("application/msgpack", "wf/B"), None, "cannot be read as MessagePack"),
    }
}
