//! What a backend's description says: its id, its lane, its connection, and what is said over it.
//!
//! What always holds: a `Description` that came out of `load` makes an adapter, but for what only
//! shows when it is made (a file of a secret or a certificate that is not there).
//!
//! What it leaves to others: reading (`load`), the wire itself (`described::wire`).

use super::connection::ConnectionDescription;
use super::described::{DescribedBackend, wire::WireDescription};
use crate::words;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::logic::lane::{Capability, LaneSettings, ReadsFrom};
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{Backend, Clock};

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct DescriptionError {
    /// Where, such as `backend.crm.create.body`.
    pub key: String,
    /// What, in words for the one who wrote it.
    pub problem: String,
}

impl DescriptionError {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// A ticketing system as the config describes it.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name. Never changes: it is part of every correlation key.
    pub id: BackendId,
    /// How its lane goes.
    pub lane: LaneDescription,
    /// Where and how it is reached.
    pub connection: ConnectionDescription,
    /// What is said, in JSON, or in SOAP where it has an envelope.
    pub wire: WireDescription,
}

impl Description {
    /// Makes the adapter.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn connect(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn Backend>, Vec<DescriptionError>> {
        Ok(Arc::new(DescribedBackend::new(self, clock)?))
    }

    /// What the lane needs to know.
    pub fn lane_settings(&self) -> LaneSettings {
        let readable = self.wire.get.is_some();
        let lane = &self.lane;
        LaneSettings {
            capability: lane.capability,
            readable,
            reads: lane.reads,
            timeout: lane.timeout,
            send_within: lane.send_within,
            index_lag: lane.index_lag,
            settle_at_least: lane.settle,
            key_ttl: lane.key_ttl,
            retries: lane.retries,
            backoff: lane.backoff,
            backoff_max: lane.backoff_max,
            max_in_doubt: lane.max_in_doubt,
            retry_may_duplicate: lane.retry_may_duplicate,
        }
    }

    /// The key of something in this description, as the operator would look for it.
    pub(super) fn key(&self, below: &str) -> String {
        format!("backend.{}.{below}", self.id)
    }
}

/// How a backend's lane goes. Spans are words (`30s`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneDescription {
    /// From the look at the clock just before a call, connecting included, to the end of the
    /// answer; then the connection is closed. Default 30s.
    #[serde(with = "words::duration")]
    pub timeout: Duration,
    /// `idempotency_key`, `client_id`, `searchable` or `none`: how a lost create is found out.
    /// Default `none`.
    pub capability: Capability,
    /// How long a search may not find a new ticket. Default 0s.
    #[serde(with = "words::duration")]
    pub index_lag: Duration,
    /// The least time from a lost answer to the first look; never below 2 x `timeout` +
    /// `index_lag`. Default 0s.
    #[serde(with = "words::duration")]
    pub settle: Duration,
    /// Attempts after the first that the backend answered as retryable. Default 3.
    pub retries: u32,
    /// The first pause after a failure; it doubles. Default 1s.
    #[serde(with = "words::duration")]
    pub backoff: Duration,
    /// The longest pause. Default 60s.
    #[serde(with = "words::duration")]
    pub backoff_max: Duration,
    /// With so many requests in doubt the lane pauses. Default 16.
    pub max_in_doubt: usize,
    /// For how long the backend remembers an idempotency key. Default 24h.
    #[serde(with = "words::duration")]
    pub key_ttl: Duration,
    /// `lane` or `client`: whether searches wait for their turn in the lane. Default `lane`.
    pub reads: ReadsFrom,
    /// Send again what may have been done. Can make duplicates. Default false.
    pub retry_may_duplicate: bool,
    /// An intent is sent within this time, or not at all. Default 5s.
    #[serde(with = "words::duration")]
    pub send_within: Duration,
}

/// The keys of [`LaneDescription`], which stand beside all others in a backend's table.
pub(super) const LANE_KEYS: &[&str] = &[
    "timeout",
    "capability",
    "index_lag",
    "settle",
    "retries",
    "backoff",
    "backoff_max",
    "max_in_doubt",
    "key_ttl",
    "reads",
    "retry_may_duplicate",
    "send_within",
];

impl Default for LaneDescription {
    fn default() -> Self {
        let lane = LaneSettings::default();
        Self {
            timeout: lane.timeout,
            capability: lane.capability,
            index_lag: lane.index_lag,
            settle: lane.settle_at_least,
            retries: lane.retries,
            backoff: lane.backoff,
            backoff_max: lane.backoff_max,
            max_in_doubt: lane.max_in_doubt,
            key_ttl: lane.key_ttl,
            reads: lane.reads,
            retry_may_duplicate: lane.retry_may_duplicate,
            send_within: lane.send_within,
        }
    }
}
