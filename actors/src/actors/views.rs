//! What the faces see of live actors, without disturbing them: snapshots in maps that each actor
//! writes itself. For reading only: nothing is decided on them.

use crate::logic::lane::LaneGlance;
use crate::logic::progress::Gait;
use crate::logic::pulse::Sight;
use crate::model::{AlarmRef, BackendId, ClientNumber, Fence, Timestamp};
use dashmap::DashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tokio::sync::watch;
use uuid::Uuid;

/// A lane as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneView {
    /// What the machine says of itself.
    pub glance: LaneGlance,
    /// Calls made since the start.
    pub calls: u64,
    /// The last call that was answered as done.
    pub last_success: Option<Timestamp>,
    /// The last failure, for people.
    pub last_error: Option<String>,
}

/// What a client is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyWith {
    /// The alarm of its flow.
    pub alarm: AlarmRef,
    /// In a few plain words.
    pub text: &'static str,
}

/// A ticket client as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientView {
    /// Who holds it.
    pub holder: Option<String>,
    /// The lock's name.
    pub guid: Option<Uuid>,
    /// The lock's grant.
    pub fence: Option<Fence>,
    /// Since when.
    pub locked_at: Option<Timestamp>,
    /// What it does right now.
    pub busy: Option<BusyWith>,
    /// Flows carried since the start.
    pub flows: u64,
}

/// All snapshots of a node.
#[derive(Debug, Default)]
pub struct Views {
    /// By backend.
    pub lanes: DashMap<BackendId, LaneView>,
    /// How each lane gets on, as last said in a beat.
    pub gaits: DashMap<BackendId, Gait>,
    /// Who beats, by origin.
    pub beats: DashMap<String, Sight>,
    /// By number.
    pub clients: DashMap<ClientNumber, ClientView>,
    /// Wishes that wait for a client.
    pub waiting_for_clients: AtomicUsize,
    /// Events published since the start.
    pub events_published: AtomicU64,
    /// Publishes that failed since the start; each is tried again.
    pub publishes_failed: AtomicU64,
    /// Beats that the bus took, since the start.
    pub beats_sent: AtomicU64,
    /// Beats that it did not take; they are not sent again.
    pub beats_unsent: AtomicU64,
    /// Events for operators' tools that are on their way to the bus.
    pub ops_events_ringing: AtomicUsize,
    /// Grows when events may have been stored: wakes whoever passes them on. A level, not a queue.
    pub events_stored: watch::Sender<u64>,
}
