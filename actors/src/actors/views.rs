//! What the faces see of live actors, without disturbing them: snapshots in maps that each actor
//! writes itself. For reading only: nothing is decided on them.

use super::{Exchanged, NotRead, Tally};
use crate::logic::canary;
use crate::logic::lane::LaneGlance;
use crate::logic::progress::Gait;
use crate::logic::pulse::Sight;
use crate::logic::topology::Hop;
use crate::model::{BackendId, ClientNumber, Fence, Found, Mono, Timestamp};
use crate::ports::Answer;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;
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
    /// The last failure since the last success, for people.
    pub last_error: Option<(Timestamp, String)>,
}

/// What a client is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyWith {
    /// The alarm of its flow, or the command.
    pub what: String,
    /// In a few plain words.
    pub text: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Longer than this it should not take.
    pub until: Mono,
}

/// Rows that a client's response table keeps.
pub const RESPONSES_MAX: usize = 100;

/// One answer in a client's response table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// When it was asked.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Whom.
    pub backend: BackendId,
    /// The command.
    pub what: String,
    /// The answer in a few words.
    pub said: String,
}

/// What lies on a client's desk after its reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desk {
    /// The response table, oldest first.
    pub responses: VecDeque<Response>,
    /// What the last read found.
    pub results: Vec<Found>,
    /// Where the object of the last flow lies.
    pub path: Option<DeskPath>,
}

/// The network path that a flow looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeskPath {
    /// The flow's lock.
    pub guid: Uuid,
    /// When.
    pub at: Timestamp,
    /// The managed object.
    pub object: String,
    /// Its hops; empty: it is not in the topology.
    pub hops: Vec<Hop>,
}

impl Desk {
    /// Adds a row; the oldest goes if there are too many.
    pub fn add(&mut self, response: Response) {
        if self.responses.len() >= RESPONSES_MAX {
            self.responses.pop_front();
        }
        self.responses.push_back(response);
    }

    /// An answer in a few words.
    pub fn in_words(answer: &Result<Answer, NotRead>) -> String {
        match answer {
            Ok(Answer::Read(reading)) => match (reading.tickets.len(), reading.more) {
                (1, false) => "1 ticket".to_owned(),
                (n, false) => format!("{n} tickets"),
                (n, true) => format!("{n} tickets, and there are more"),
            },
            Ok(Answer::Done(_)) => "done".to_owned(),
            Ok(Answer::Acknowledged { .. }) => "taken, answered later".to_owned(),
            Ok(Answer::NotSent(reason)) => format!("not sent: {reason}"),
            Ok(Answer::Busy { error, .. }) => format!("busy: {}", error.reason),
            Ok(
                Answer::Retryable { error, .. }
                | Answer::Refused(error)
                | Answer::Unauthorised(error)
                | Answer::InDoubt(error),
            ) => error.reason.clone(),
            Err(why) => why.to_string(),
        }
    }
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
    /// Until when, if it is not renewed.
    pub expires_at: Option<Timestamp>,
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
    /// How the flow to each backend does that the canary tries.
    pub canaries: DashMap<BackendId, canary::Sight>,
    /// By number.
    pub clients: DashMap<ClientNumber, ClientView>,
    /// The newest calls to each backend, oldest first.
    pub exchanges: DashMap<BackendId, VecDeque<Exchanged>>,
    /// What the calls to each backend came to.
    pub tallies: DashMap<BackendId, Tally>,
    /// What lies on the clients' desks.
    pub desks: DashMap<ClientNumber, Desk>,
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
    /// History rows that went to files since the start.
    pub history_offloaded: AtomicU64,
    /// Looks at a list that failed since the start; each is made again.
    pub offloads_failed: AtomicU64,
    /// Events for operators' tools that are on their way to the bus.
    pub ops_events_ringing: AtomicUsize,
    /// Grows when events may have been stored: wakes whoever passes them on. A level, not a queue.
    pub events_stored: watch::Sender<u64>,
}
