//! What templates know of a call.
//!
//! What always holds: a name that a call does not have is undefined, and never an empty text.

use minijinja::value::{Enumerator, Object, Serde, Value};
use serde_json::{Map, Value as Json};
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

/// The variables of one call, by name: JSON, of which templates see what they ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(Arc<Named>);

/// What is named. Copied first, where a template still has it.
#[derive(Clone, Debug, Default)]
struct Named(BTreeMap<&'static str, Given>);

#[derive(Clone, Debug)]
enum Given {
    Plain(Json),
    /// `fields`, `where`, and in `kept` what steps kept, by step and name.
    Table(Fields),
}

/// What names lead to.
#[derive(Debug)]
pub(super) enum At<'a> {
    Nothing,
    Value(&'a Json),
    Table(&'a Fields),
}

impl Variables {
    /// Those of a call. A status that is one of TMF621's words stands in their own.
    pub fn of(call: &Call, statuses: &BTreeMap<String, TicketStatus>) -> Self {
        let mut these = Self::default();
        // That nothing was kept is no mistake of a template's.
        these.set_table("kept", Fields::new());
        if let Some(request) = call.request {
            these.set("request_id", request.to_string());
        }
        match &call.work {
            Work::Create { ticket, fields }
            | Work::Update { ticket, fields }
            | Work::Close { ticket, fields }
            | Work::Reopen { ticket, fields } => {
                these.set_ticket(ticket, in_their_words(fields, statuses));
            }
            Work::Get { backend_id, kind } => {
                these.set("backend_id", backend_id.as_str());
                these.set_kind(*kind);
            }
            Work::Search { by, kind, limit } => {
                these.set_kind(*kind);
                these.set("limit", *limit);
                let by = match by {
                    SearchBy::CorrelationKey(key) => {
                        these.set("correlation_key", key.0.as_str());
                        let only = ("correlation_key".to_owned(), key.0.as_str().into());
                        Fields::from_iter([only])
                    }
                    SearchBy::Fields(fields) => fields.clone(),
                };
                these.set_table("where", by);
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
    pub fn with_entry(&self, name: &str, value: &Json) -> Self {
        let mut these = self.clone();
        these.set("name", name);
        these.set("value", value.clone());
        these
    }

    /// The entries of `where`.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Json)> {
        let entries = match self.0.0.get("where") {
            Some(Given::Table(entries)) => Some(entries),
            Some(Given::Plain(_)) | None => None,
        };
        entries.into_iter().flatten()
    }

    /// As templates take them.
    pub fn as_value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }

    /// What names such as `fields`, `note` lead to. None: the first is no variable.
    pub fn at(&self, names: &[String]) -> Option<At<'_>> {
        let (first, rest) = names.split_first()?;
        let found = match (self.0.0.get(first.as_str())?, rest) {
            (Given::Table(table), []) => return Some(At::Table(table)),
            (Given::Table(table), [name, rest @ ..]) => {
                table.get(name).and_then(|found| below(found, rest))
            }
            (Given::Plain(plain), rest) => below(plain, rest),
        };
        Some(found.map_or(At::Nothing, At::Value))
    }

    /// Gives a variable its value.
    pub fn set(&mut self, name: &'static str, value: impl Into<Json>) {
        Arc::make_mut(&mut self.0).0.insert(name, Given::Plain(value.into()));
    }

    /// What a step kept, under its name.
    pub fn keep(&mut self, step: &str, kept: Map<String, Json>) {
        let Named(named) = Arc::make_mut(&mut self.0);
        if let Given::Table(table) = named.entry("kept").or_insert(Given::Table(Fields::new())) {
            table.insert(step.to_owned(), kept.into());
        }
    }

    fn set_table(&mut self, name: &'static str, table: Fields) {
        Arc::make_mut(&mut self.0).0.insert(name, Given::Table(table));
    }

    fn set_kind(&mut self, kind: Kind) {
        self.set("kind", kind.as_str());
    }

    fn set_ticket(&mut self, ticket: &TicketTarget, fields: Fields) {
        self.set("key", ticket.key.to_string());
        self.set("correlation_key", ticket.correlation_key.0.as_str());
        self.set_kind(ticket.kind);
        if let Some(id) = &ticket.backend_id {
            self.set("backend_id", id.as_str());
        }
        self.set_table("fields", fields);
    }
}

impl Object for Named {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(match self.0.get(key)? {
            Given::Plain(plain) => seen(plain),
            Given::Table(table) => Value::from_object(Table(table.clone())),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(*name)).collect())
    }
}

/// A table as templates see it: only what they ask for is turned into theirs.
#[derive(Debug)]
struct Table(Fields);

impl Object for Table {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).map(seen)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

/// What these names lead to from there.
fn below<'a>(from: &'a Json, names: &[String]) -> Option<&'a Json> {
    names.iter().try_fold(from, |at, name| at.get(name))
}

/// JSON as templates see it.
fn seen(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::from(text.as_str()),
        other => Value::from(Serde(other)),
    }
}

/// Fields with their word for the status: the first that means it. What is one of theirs, or none of
/// TMF621's, stays.
fn in_their_words(fields: &Fields, statuses: &BTreeMap<String, TicketStatus>) -> Fields {
    let mut fields = fields.clone();
    let theirs = || {
        let said = fields.get(STATUS)?.as_str().filter(|said| !statuses.contains_key(*said))?;
        let ours = TicketStatus::parse(said)?;
        statuses.iter().find(|(_, means)| **means == ours).map(|(theirs, _)| theirs.as_str())
    };
    if let Some(theirs) = theirs() {
        fields.insert(STATUS.to_owned(), theirs.into());
    }
    fields
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
