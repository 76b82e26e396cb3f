//! What templates know of a call.
//!
//! What always holds: a name that a call does not have is undefined, and never an empty text.

use super::plan::Operation;
use minijinja::value::{Enumerator, Object, Serde, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticketgate_actors::model::{Fields, Kind};
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
];

/// The variables of one call, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<&'static str, Value>);

impl Variables {
    /// Those of a call.
    pub fn of(call: &Call) -> Self {
        let mut these = Self::default();
        if let Some(request) = call.request {
            these.set("request_id", request.to_string());
        }
        match &call.work {
            Work::Create { ticket, fields }
            | Work::Update { ticket, fields }
            | Work::Close { ticket, fields }
            | Work::Reopen { ticket, fields } => these.set_ticket(ticket, fields),
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
        }
        these
    }

    /// Stand-ins for trying a body out: every field is there, and is a text.
    pub fn stand_ins(operation: Operation) -> Self {
        let mut these = Self::default();
        let names: &[&str] = match operation {
            Operation::Create => &["correlation_key", "key", "kind", "request_id"],
            Operation::Update | Operation::Close | Operation::Reopen => {
                &["correlation_key", "key", "kind", "request_id", "backend_id"]
            }
            Operation::Get => &["backend_id", "kind"],
            Operation::Search => &["correlation_key", "kind"],
        };
        for name in NAMES.iter().filter(|name| names.contains(name)) {
            these.set(name, "x");
        }
        these.set("fields", Value::from_object(AnyField));
        if operation == Operation::Search {
            these.set("where", Value::from_object(AnyField));
            these.set("limit", 1);
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
        let Some(entries) = self.0.get("where") else { return Vec::new() };
        let names = entries.try_iter().into_iter().flatten();
        names.map(|name| (name.clone(), entries.get_item(&name).unwrap_or_default())).collect()
    }

    /// As templates take them.
    pub fn as_value(&self) -> Value {
        Value::from_object(
            self.0
                .iter()
                .map(|(name, value)| (Value::from(*name), value.clone()))
                .collect::<BTreeMap<Value, Value>>(),
        )
    }

    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name, value.into());
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
        let fields: BTreeMap<Value, Value> = fields
            .iter()
            .map(|(name, value)| (Value::from(name.as_str()), Value::from(Serde(value))))
            .collect();
        self.set("fields", Value::from_object(fields));
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
