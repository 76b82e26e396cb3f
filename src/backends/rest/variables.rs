//! What templates know of a call.
//!
//! What always holds: a name that a call does not have is undefined, and never an empty text.

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
        Value::from_pairs(self.0.iter().map(|(name, value)| (*name, value.clone())))
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
        self.set("fields", Value::from(Serde(fields)));
    }
}

/// Stand-ins for trying a template out: every variable is there, and nearly all are texts.
pub(super) fn stand_ins() -> Value {
    Value::from_pairs(NAMES.iter().map(|name| {
        let value = match *name {
            "fields" | "where" => Value::from_object(AnyField),
            "limit" => Value::from(1),
            _ => Value::from("x"),
        };
        (*name, value)
    }))
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
