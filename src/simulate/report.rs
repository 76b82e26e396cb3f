//! What the ledger says, as JSON.
//!
//! What always holds: every number is a count since the start; nothing is ever taken back. Times
//! are milliseconds since the simulator's start. The types read what they write, so that a test
//! can fetch a ledger over HTTP and look at it with names.
//!
//! What it leaves to others: the counting (`books`, `ledger`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The ledger of one backend, or of all of them together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The tickets that there are.
    pub tickets: u64,
    /// The tickets by their status now.
    pub by_state: BTreeMap<String, u64>,
    /// The ticket calls that arrived, however they were answered.
    pub calls: Calls,
    /// The ticket calls under way now.
    pub in_flight: u64,
    /// The most ticket calls that were under way at once, from the request's head to the end of
    /// the answer or of the connection, whoever closed it.
    pub max_in_flight: u64,
    /// The longest time that more than one call was under way without a break. Tells an overlap
    /// of a closing connection with the next call (a millisecond) from a second lane.
    pub longest_overlap_ms: u64,
    /// The open connections that have carried a ticket call.
    pub connections: u64,
    /// The most of them at once.
    pub max_connections: u64,
    /// The correlation keys that more than one ticket of one backend has.
    pub duplicates: Vec<String>,
    /// The updates that were applied out of order; only the first thousand a backend are kept.
    pub order_faults: Vec<OrderFault>,
    /// The faults that were carried out, by name.
    pub faults_injected: BTreeMap<String, u64>,
    /// The calls that were answered 401.
    pub unauthorised: u64,
    /// The later answers that were said and taken.
    #[serde(default)]
    pub callbacks_taken: u64,
    /// The later answers that nobody took.
    #[serde(default)]
    pub callbacks_refused: u64,
    /// Every ticket, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_list: Option<Vec<TicketEntry>>,
    /// In the ledger of all: each backend's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Report>,
}

impl Report {
    /// Adds a backend's numbers to those of all; what is measured over the whole server, the
    /// gauges, stays.
    pub(super) fn add(&mut self, name: &str, backend: Report) {
        self.tickets += backend.tickets;
        add_counts(&mut self.by_state, &backend.by_state);
        self.calls.create += backend.calls.create;
        self.calls.update += backend.calls.update;
        self.calls.get += backend.calls.get;
        self.calls.search += backend.calls.search;
        self.duplicates.extend(backend.duplicates.iter().cloned());
        self.order_faults.extend(backend.order_faults.iter().cloned());
        add_counts(&mut self.faults_injected, &backend.faults_injected);
        self.unauthorised += backend.unauthorised;
        self.callbacks_taken += backend.callbacks_taken;
        self.callbacks_refused += backend.callbacks_refused;
        self.backends.insert(name.to_owned(), backend);
    }
}

fn add_counts(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sum.entry(name.clone()).or_default() += count;
    }
}

/// Ticket calls by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// `POST /{backend}/tickets`
    pub create: u64,
    /// `PATCH /{backend}/tickets/{id}`
    pub update: u64,
    /// `GET /{backend}/tickets/{id}`
    pub get: u64,
    /// `GET /{backend}/tickets`
    pub search: u64,
}

/// An update that came when it should not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFault {
    /// The ticket's id.
    pub id: String,
    /// What was broken.
    pub rule: OrderRule,
    /// The revision that the ticket had, when it had one.
    pub had_revision: Option<i64>,
    /// The revision that the update brought, when it did.
    pub got_revision: Option<i64>,
    /// Whether the update changed anything. A repeat of the last write does not.
    pub changed: bool,
    /// When it was applied.
    pub at_ms: u64,
}

/// The rules of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderRule {
    /// The update's revision is lower than the one applied last.
    OlderRevision,
    /// The ticket was closed, and the update does not open it again.
    AfterClose,
}

/// One ticket in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TicketEntry {
    /// The ticket's id.
    pub id: String,
    /// The correlation key that it has now.
    pub correlation_key: String,
    /// Its status now.
    pub status: String,
    /// The revision applied last, when one was given.
    pub revision: Option<i64>,
    /// Its summary now.
    pub summary: String,
    /// Whatever fields it has whose names begin with `alarm`.
    #[serde(flatten)]
    pub alarm: Map<String, Value>,
    /// Its statuses, oldest first.
    pub history: Vec<StatusSince>,
}

/// A status and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusSince {
    /// The status.
    pub status: String,
    /// When it was set.
    pub at_ms: u64,
}
