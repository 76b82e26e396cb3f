//! What is checked while the world runs. Everything here is kept from outside: from calls, rows
//! and ledgers, never from what the machines say of themselves.

mod calls;
mod canary;
mod changes;
mod commands;
mod locks;
mod shared;
mod told;

pub(crate) use told::{told, told_call};

use crate::model::{BackendId, CommandId, Epoch, Identity, OccurrenceRef, RequestId, TicketKey};
use canary::CanaryWatch;
use locks::LockWatch;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;
use uuid::Uuid;

/// A create whose fate is not known, as the table of doubt sees it.
struct Unknown {
    first_sent: u64,
    since: u64,
    /// When looks were answered: nothing there.
    absent: Vec<u64>,
    /// Looks that said nothing.
    other_looks: u32,
}

/// A lane as seen from its backend's door.
#[derive(Default)]
struct Door {
    in_flight: u32,
    /// When the call that is in flight was begun.
    since: Option<u64>,
    /// A create that is in flight: its ticket, since when, its request.
    create: Option<(TicketKey, u64, RequestId)>,
    /// Failures in a row that leave no doubt that nothing was done, and the last one's time.
    failed: (u32, u64),
    not_before: u64,
    /// Calls in a row that failed, and until when its breaker keeps it closed for that.
    failures: u32,
    closed_until: u64,
    /// When calls were begun.
    begun: Vec<u64>,
    first_calls: u64,
    retries: u64,
}

/// What the rules remember.
#[derive(Default)]
pub(crate) struct Watch {
    doors: BTreeMap<BackendId, Door>,
    unknown: HashMap<TicketKey, Unknown>,
    /// Under which lease an intent was stored last.
    intents: HashMap<RequestId, Epoch>,
    /// Requests of which the gateway has given an intent or an end to the store, which has not answered.
    pub(crate) at_store: HashSet<RequestId>,
    retryable: HashMap<RequestId, u32>,
    retry_not_before: HashMap<RequestId, u64>,
    pub jumped_at: Option<u64>,
    /// When a lane was last taken.
    pub lane_taken: u64,
    pub locks: LockWatch,
    /// The tickets that alarms had before a person decided about them, in the group that is committed.
    pub left: VecDeque<Option<TicketKey>>,
    /// What each page of that group has taken as cleared.
    pub pages: VecDeque<Vec<OccurrenceRef>>,
    /// Deliveries that were committed.
    pub delivered: BTreeSet<Identity>,
    /// Rounds of the canary that were whole.
    pub whole: BTreeSet<Uuid>,
    pub canaries: BTreeMap<BackendId, CanaryWatch>,
    pub orders: BTreeMap<CommandId, ([u8; 16], RequestId)>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
