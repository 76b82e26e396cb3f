//! What a backend's description says: its id, its lane, its connection, and what is said over it.
//!
//! What always holds: a `Description` that came out of `load` makes an adapter, but for what only
//! shows when it is made (a file of a secret or a certificate that is not there).
//!
//! What it leaves to others: reading (`load`), the wire itself (`described::wire`).

use super::connection::ConnectionDescription;
use super::described::callback::CallbackReader;
use super::described::{DescribedBackend, wire::WireDescription};
use super::partner::Partner;
use crate::words;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::changes::Admission;
use ticketgate_actors::logic::lane::{Capability, LaneSettings, Rate, ReadsFrom};
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{Backend, ChangesPage, Clock};

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
    /// The preset that it began with.
    pub preset: Option<String>,
    /// How its lane goes.
    pub lane: LaneDescription,
    /// Where and how it is reached.
    pub connection: ConnectionDescription,
    /// What is said, in JSON, or in SOAP where it has an envelope.
    pub wire: WireDescription,
    /// It is not called, and has neither connection nor wire: a partner, whose connector comes to us.
    pub partner: bool,
}

impl Description {
    /// A partner of this name.
    pub(super) fn of_partner(id: BackendId, preset: Option<String>) -> Self {
        let lane = LaneDescription { capability: Capability::Partner, ..Default::default() };
        let (connection, wire) = (ConnectionDescription::none(), WireDescription::default());
        Self { id, preset, lane, connection, wire, partner: true }
    }

    /// Makes the adapter.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn connect(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn Backend>, Vec<DescriptionError>> {
        if self.partner {
            return Ok(Arc::new(Partner::new(clock)));
        }
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
            rate: lane.rate.map(|(calls, per)| Rate { calls, per, burst: lane.burst }),
            retry_burst: lane.retry_burst,
            breaker_after: lane.breaker_after,
            admission: Admission { creates_only_at: lane.creates_only_at, max_open: lane.max_open },
            answers_later: self.answers_later(),
            confirm_within: lane.confirm_within,
            max_in_doubt: lane.max_in_doubt,
            sweep_every: lane.sweep_every,
            retry_may_duplicate: lane.retry_may_duplicate,
        }
    }

    /// How its later answers over HTTP read, where the description says so.
    pub fn callback(&self) -> Option<CallbackReader> {
        let namespaces = self.wire.soap.as_ref().map(|soap| &soap.namespaces);
        // What is wrong with it was told when the description was loaded.
        CallbackReader::of(self.wire.callback.as_ref()?, namespaces).ok()
    }

    /// How it tells what changed, if it does.
    pub fn changes(&self) -> Option<ChangesPage> {
        let changes = self.wire.changes.as_ref()?;
        Some(ChangesPage { by: changes.by?, size: changes.size? })
    }

    /// Can its tickets be updated through its lane?
    pub fn writes(&self) -> bool {
        self.wire.update.is_some()
    }

    /// Does it take writes now, and answer later?
    fn answers_later(&self) -> bool {
        let wire = &self.wire;
        let writes = [&wire.create, &wire.update, &wire.close, &wire.reopen];
        writes.into_iter().flatten().any(|call| call.later.is_some())
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
    /// Calls that the backend may be asked for in a time, such as `10/s` or `300/m`. Default: one
    /// after the other, as fast as they are answered.
    #[serde(with = "words::optional_rate")]
    pub rate: Option<(u32, Duration)>,
    /// Calls that may follow each other at once after a quiet time, where there is a `rate`.
    /// Default 1.
    pub burst: u32,
    /// Retries that may be made at once after a good time; later ones are a fifth of first calls, and
    /// one in ten seconds. Default 10.
    pub retry_burst: u32,
    /// After so many failures in a row only probes are made, one after each pause. Default 5.
    pub breaker_after: u32,
    /// With so many un-ended requests only creates and reopens are admitted: commands are told
    /// `busy`, alarms wait. Default 10,000.
    pub creates_only_at: u64,
    /// With so many un-ended requests nothing is admitted. Default 20,000.
    pub max_open: u64,
    /// Where writes are acknowledged now and answered later: how long the later answer may take
    /// before the request is in doubt. Default 15m.
    #[serde(with = "words::duration")]
    pub confirm_within: Duration,
    /// With so many requests in doubt the lane pauses. Default 16.
    pub max_in_doubt: usize,
    /// How often tickets whose create was in doubt are searched for duplicates, where the backend
    /// can be searched. Default 5m.
    #[serde(with = "words::duration")]
    pub sweep_every: Duration,
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
    "rate",
    "burst",
    "retry_burst",
    "breaker_after",
    "creates_only_at",
    "max_open",
    "confirm_within",
    "max_in_doubt",
    "sweep_every",
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
            rate: None,
            burst: 1,
            retry_burst: lane.retry_burst,
            breaker_after: lane.breaker_after,
            creates_only_at: lane.admission.creates_only_at,
            max_open: lane.admission.max_open,
            confirm_within: lane.confirm_within,
            max_in_doubt: lane.max_in_doubt,
            sweep_every: lane.sweep_every,
            key_ttl: lane.key_ttl,
            reads: lane.reads,
            retry_may_duplicate: lane.retry_may_duplicate,
            send_within: lane.send_within,
        }
    }
}
