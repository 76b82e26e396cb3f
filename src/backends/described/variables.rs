//! What templates know of a call.
//!
//! What always holds: a name that a call does not have is undefined, and never an empty text.

use minijinja::value::{Enumerator, Object, Serde, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticketgate_actors::model::{Fields, Kind, STATUS, TicketStatus};
use ticketgate_actors::ports::{Call, SearchBy, TicketTarget, Work};

/// The names that there can be.
pub(super) const NAMES: &[&str] = &[
    "fields",
    "correlation_key",
    "key",
    "backend_id",
    "kind",
    "request_id",
    "where",
    "limit",
    "name",
    "value",
    "page",
    "offset",
    "cursor",
    "page_size",
    "since",
    "kept",
];

/// Those of a page of what changed: it is about no ticket, and of no kind. That it is for no request either
/// leaves out a header that all calls have.
pub(super) const NAMES_OF_CHANGES: &[&str] =
    &["cursor", "since", "offset", "limit", "page", "page_size", "kept", "request_id"];

/// The variables of one call, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    named: BTreeMap<&'static str, Value>,
    /// What steps kept, by step and name.
    kept: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl Variables {
    /// Those of a call. A status that is one of TMF621's words stands in their own.
    pub fn of(call: &Call, statuses: &BTreeMap<String, TicketStatus>) -> Self {
        let mut these = Self::default();
        // That nothing was kept is no mistake of a template's.
        these.set("kept", Value::from(BTreeMap::<String, Value>::new()));
        if let Some(request) = call.request {
            these.set("request_id", request.to_string());
        }
        match &call.work {
            Work::Create { ticket, fields }
            | Work::Update { ticket, fields }
            | Work::Close { ticket, fields }
            | Work::Reopen { ticket, fields } => {
                these.set_ticket(ticket, &in_their_words(fields, statuses));
            }
            Work::Get { backend_id, kind } => {
                these.set("backend_id", backend_id.as_str());
                these.set_kind(*kind);
            }
            Work::Search { by, kind, limit } => {
                these.set_kind(*kind);
                these.set("limit", *limit);
                match by {
                    SearchBy::CorrelationKey(key) => {
                        these.set("correlation_key", key.0.as_str());
                        let only = BTreeMap::from([("correlation_key", key.0.as_str())]);
                        these.set("where", Value::from(Serde(only)));
                    }
                    SearchBy::Fields(fields) => these.set("where", Value::from(Serde(fields))),
                }
            }
            Work::Changes { cursor, since, offset, limit } => {
                if let Some(cursor) = cursor {
                    these.set("cursor", cursor.as_str());
                }
                if let Some(since) = since {
                    these.set("since", since.to_string());
                }
                these.set("offset", *offset);
                these.set("limit", *limit);
            }
            Work::Probe => {}
        }
        these
    }

    /// These with one of `where`'s entries.
    pub fn with_entry(&self, name: &Value, value: &Value) -> Value {
        let mut these = self.clone();
        these.set("name", name.clone());
        these.set("value", value.clone());
        these.as_value()
    }

    /// The entries of `where`.
    pub fn entries(&self) -> Vec<(Value, Value)> {
        let Some(entries) = self.named.get("where") else { return Vec::new() };
        let names = entries.try_iter().into_iter().flatten();
        names.map(|name| (name.clone(), entries.get_item(&name).unwrap_or_default())).collect()
    }

    /// As templates take them.
    pub fn as_value(&self) -> Value {
        Value::from_pairs(self.named.iter().map(|(name, value)| (*name, value.clone())))
    }

    /// Gives a variable its value.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.named.insert(name, value.into());
    }

    /// What a step kept, under its name.
    pub fn keep(&mut self, step: &str, kept: BTreeMap<String, serde_json::Value>) {
        self.kept.insert(step.to_owned(), kept);
        self.set("kept", Value::from(Serde(&self.kept)));
    }

    fn set_kind(&mut self, kind: Kind) {
        self.set("kind", kind.as_str());
    }

    fn set_ticket(&mut self, ticket: &TicketTarget, fields: &Fields) {
        self.set("key", ticket.key.to_string());
        self.set("correlation_key", ticket.correlation_key.0.as_str());
        self.set_kind(ticket.kind);
        if let Some(id) = &ticket.backend_id {
            self.set("backend_id", id.as_str());
        }
        self.set("fields", Value::from(Serde(fields)));
    }
}

/// Fields with their word for the status: the first that means it. What is one of theirs, or none of
/// TMF621's, stays.
fn in_their_words<'a>(
    fields: &'a Fields,
    statuses: &BTreeMap<String, TicketStatus>,
) -> Cow<'a, Fields> {
    let theirs = || {
        let said = fields.get(STATUS)?.as_str().filter(|said| !statuses.contains_key(*said))?;
        let ours = TicketStatus::parse(said)?;
        statuses.iter().find(|(_, means)| **means == ours).map(|(theirs, _)| theirs.as_str())
    };
    let Some(theirs) = theirs() else { return Cow::Borrowed(fields) };
    let mut fields = fields.clone();
    fields.insert(STATUS.to_owned(), theirs.into());
    Cow::Owned(fields)
}

/// Stand-ins for trying a template out: every variable is there, and nearly all are texts.
pub(super) fn stand_ins() -> Value {
    Value::from_pairs(NAMES.iter().map(|name| {
        let value = match *name {
            "fields" | "where" => Value::from_object(AnyField),
            "limit" | "page" | "offset" | "page_size" => Value::from(1),
            "kind" => Value::from("incident"),
            "since" => Value::from("2026-11-21T10:00:00.000Z"),
            "kept" => Value::from_object(AnyStep),
            _ => Value::from("x"),
        };
        (*name, value)
    }))
}

/// What steps kept: whatever the step, all names are found.
#[derive(Debug)]
struct AnyStep;

impl Object for AnyStep {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_object(AnyField))
    }
}

/// A map in which every name is found.
#[derive(Debug)]
struct AnyField;

impl Object for AnyField {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("x"))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["x"])
    }
}
