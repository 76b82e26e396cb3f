//! The store: the truth.
//!
//! A store adapter implements [`Tx`], the row access inside one transaction; what a transaction
//! means is written once, in [`crate::changes`], and runs on the adapter's writer. So every store
//! holds the same rules, and the in-memory one of the simulator exercises the very code that runs
//! on SQLite.

use super::{PastReads, PastTx, Soon, SyncReads, SyncTx};
use crate::changes::{Applied, ChangeSet, Refusal};
use crate::model::{
    Alarm, AlarmRef, Audited, BackendId, ClientNumber, CommandId, CommandRecord, CorrelationKey,
    Epoch, EventId, Fence, Identity, KeptLock, OccurrenceRef, Op, Parked, Request, RequestId,
    Route, ServiceTable, Snapshot, State, TestRow, Ticket, TicketEvent, TicketKey, Timestamp,
    Watched,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Why row access failed.
#[derive(Debug, thiserror::Error)]
pub enum TxError {
    /// A unique index said no (T1, T4): the change set is refused.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database failed.
    #[error("{0}")]
    Broken(String),
}

/// Why a lane is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// Who paused it: `ticketgate`, or a person.
    pub by: String,
}

/// What is stored of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRow {
    /// Grows with each take-over.
    pub epoch: Epoch,
    /// Set while paused.
    pub pause: Option<Pause>,
    /// The canary's test alarm, while a round of it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<TestRow>,
}

/// Row access inside one atomic transaction.
///
/// Reads see the transaction's own writes. `put_*` inserts or replaces the row with that identity.
pub trait Tx: PastTx + SyncTx {
    /// Keeps an identity. False: it was known, and nothing changed.
    fn remember(&mut self, identity: &Identity, at: Timestamp) -> Result<bool, TxError>;
    /// Forgets identities kept before that time, at most `limit`; says how many.
    fn forget_identities(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError>;
    /// The newest occurrence of an alarm.
    fn newest_alarm(&mut self, alarm: &AlarmRef) -> Result<Option<Alarm>, TxError>;
    /// One occurrence.
    fn alarm(&mut self, at: &OccurrenceRef) -> Result<Option<Alarm>, TxError>;
    /// Writes an occurrence.
    fn put_alarm(&mut self, alarm: &Alarm) -> Result<(), TxError>;
    /// All occurrences linked to a ticket, in order of their first arrival.
    fn alarms_of(&mut self, ticket: TicketKey) -> Result<Vec<Alarm>, TxError>;
    /// A ticket by our key.
    fn ticket(&mut self, key: TicketKey) -> Result<Option<Ticket>, TxError>;
    /// A ticket by theirs.
    fn ticket_by_backend_id(
        &mut self,
        backend: &BackendId,
        backend_id: &str,
    ) -> Result<Option<Ticket>, TxError>;
    /// Writes a ticket. (backend, backend id) and the correlation key are unique (T4).
    fn put_ticket(&mut self, ticket: &Ticket) -> Result<(), TxError>;
    /// A request by its id, with its `n`.
    fn request(&mut self, id: RequestId) -> Result<Option<Request>, TxError>;
    /// Adds a request and gives its `n`, which grows. At most one un-ended level-made request a
    /// ticket (T1).
    fn add_request(&mut self, request: &Request) -> Result<u64, TxError>;
    /// Rewrites a request that was added before.
    fn put_request(&mut self, request: &Request) -> Result<(), TxError>;
    /// The un-ended request of a ticket that was accepted first.
    fn first_open_request(&mut self, ticket: TicketKey) -> Result<Option<Request>, TxError>;
    /// Has a ticket an un-ended request for that, wherever in line?
    fn has_open_request(&mut self, ticket: TicketKey, op: Op) -> Result<bool, TxError>;
    /// How many un-ended requests a backend has. Told from a count that is kept, not by counting.
    fn open_requests(&mut self, backend: &BackendId) -> Result<u64, TxError>;
    /// The request that a backend named so when it took it; the newest, should there be more.
    fn request_by_reference(
        &mut self,
        backend: &BackendId,
        reference: &str,
    ) -> Result<Option<Request>, TxError>;
    /// A ticket by its correlation key.
    fn ticket_by_correlation_key(
        &mut self,
        key: &CorrelationKey,
    ) -> Result<Option<Ticket>, TxError>;
    /// A ticket that may exist twice.
    fn watched(&mut self, ticket: TicketKey) -> Result<Option<Watched>, TxError>;
    /// Watches a ticket; one that is watched is replaced.
    fn put_watched(&mut self, watched: &Watched) -> Result<(), TxError>;
    /// Watches a ticket no more.
    fn drop_watched(&mut self, ticket: TicketKey) -> Result<(), TxError>;
    /// Requests of a backend in that state, oldest first.
    fn requests_in(&mut self, backend: &BackendId, state: State) -> Result<Vec<Request>, TxError>;
    /// Adds an event to the outbox and gives its `n`, which grows.
    fn add_event(&mut self, event: &TicketEvent) -> Result<u64, TxError>;
    /// Marks an event as confirmed by the broker.
    fn mark_sent(&mut self, n: u64, at: Timestamp) -> Result<(), TxError>;
    /// The newest snapshot of a source.
    fn snapshot(&mut self, source: &str) -> Result<Option<Snapshot>, TxError>;
    /// The newest snapshots of all sources.
    fn snapshots(&mut self) -> Result<Vec<Snapshot>, TxError>;
    /// Writes the newest snapshot of its source.
    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), TxError>;
    /// That snapshot has named an alarm.
    fn mark_seen(&mut self, at: &OccurrenceRef, number: u64) -> Result<(), TxError>;
    /// `limit` active alarms of a source, with their row's `n`, from after `after`; the alarm itself
    /// where this snapshot has not named it.
    fn unnamed(
        &mut self,
        source: &str,
        number: u64,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Alarm>)>, TxError>;
    /// The ticket that a group of alarms was given last.
    fn group(&mut self, key: &[u8; 16]) -> Result<Option<TicketKey>, TxError>;
    /// Gives a group its ticket.
    fn put_group(&mut self, key: &[u8; 16], ticket: TicketKey) -> Result<(), TxError>;
    /// When the ticket of a backend was accepted that is the `nth` from the newest, from 1.
    fn nth_newest_ticket(
        &mut self,
        backend: &BackendId,
        nth: u32,
    ) -> Result<Option<Timestamp>, TxError>;
    /// What is stored of a lane; the default where nothing is.
    fn lane(&mut self, backend: &BackendId) -> Result<LaneRow, TxError>;
    /// Writes a lane.
    fn put_lane(&mut self, backend: &BackendId, row: &LaneRow) -> Result<(), TxError>;
    /// Takes `count` fences from the store-wide sequence and gives the first (L2).
    fn take_fences(&mut self, count: u64) -> Result<Fence, TxError>;
    /// Below this fence nothing is accepted from that client any more (L3, L10).
    fn barrier(&mut self, client: ClientNumber) -> Result<Fence, TxError>;
    /// Raises a client's barrier.
    fn raise_barrier(&mut self, client: ClientNumber, to: Fence) -> Result<(), TxError>;
    /// What is remembered of a command.
    fn command(&mut self, id: CommandId) -> Result<Option<CommandRecord>, TxError>;
    /// Remembers a command. Its id is unique.
    fn put_command(&mut self, record: &CommandRecord) -> Result<(), TxError>;
    /// Keeps an external lock; one with the same GUID is replaced.
    fn put_lock(&mut self, lock: &KeptLock) -> Result<(), TxError>;
    /// An external lock by its name.
    fn lock(&mut self, guid: Uuid) -> Result<Option<KeptLock>, TxError>;
    /// Forgets an external lock; one that is not there is no error.
    fn drop_lock(&mut self, guid: Uuid) -> Result<(), TxError>;
    /// Parks a message and gives its number, which grows and is never given again.
    fn park(&mut self, message: &Parked) -> Result<u64, TxError>;
    /// A parked message by its number.
    fn parked(&mut self, n: u64) -> Result<Option<Parked>, TxError>;
    /// Rewrites a message that was parked before, by its number.
    fn put_parked(&mut self, message: &Parked) -> Result<(), TxError>;
    /// Takes a parked message away; one that is not there is no error.
    fn drop_parked(&mut self, n: u64) -> Result<(), TxError>;
    /// Why a ticket is held; none: it is not.
    fn held(&mut self, ticket: TicketKey) -> Result<Option<Pause>, TxError>;
    /// How many tickets of a backend are held.
    fn count_held(&mut self, backend: &BackendId) -> Result<u64, TxError>;
    /// Holds a ticket of that backend, or holds it no more.
    fn put_held(
        &mut self,
        backend: &BackendId,
        ticket: TicketKey,
        why: Option<&Pause>,
    ) -> Result<(), TxError>;
    /// A backend's table of services.
    fn services(&mut self, backend: &BackendId) -> Result<Option<ServiceTable>, TxError>;
    /// Writes a backend's table of services; none: takes it away.
    fn put_services(
        &mut self,
        backend: &BackendId,
        table: Option<&ServiceTable>,
    ) -> Result<(), TxError>;
    /// Where a backend's final answers go, as a person set it.
    fn route(&mut self, backend: &BackendId) -> Result<Option<Route>, TxError>;
    /// Sets a backend's route; none: takes it away.
    fn put_route(&mut self, backend: &BackendId, route: Option<&Route>) -> Result<(), TxError>;
    /// Writes down who did what, and why.
    fn audit(&mut self, at: Timestamp, who: &str, what: &str, why: &str) -> Result<(), TxError>;
}

/// Why a change set was not applied. Nothing of it is in the store, except where said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A precondition did not hold.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The store cannot write (a full disk, a closed store). Nothing was written.
    #[error("the store cannot write: {0}")]
    Down(String),
}

/// The writer.
pub trait Store: Send + Sync {
    /// Applies change sets, each atomic and independent of its neighbours (D4), in order. When it
    /// returns, every `Ok` is durable. The clock is read when a set is applied, not when it is
    /// queued.
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>>;

    /// Applies one change set.
    fn apply(&self, set: ChangeSet) -> Soon<Result<Vec<Applied>, StoreError>> {
        let each = self.apply_each(vec![set]);
        Box::pin(async move {
            each.await
                .pop()
                .unwrap_or_else(|| Err(StoreError::Down("the store gave no answer".into())))
        })
    }
}

/// An alarm with work to do, and the ticket that a flow reads with it.
#[derive(Clone, Debug, PartialEq)]
pub struct DueAlarm {
    /// The occurrence.
    pub alarm: Alarm,
    /// Its ticket, or the ticket of the occurrence before where it has none.
    pub ticket: Option<Ticket>,
    /// Of an alarm that shares its ticket by a rule: the other alarms of that ticket.
    pub others: Vec<Alarm>,
}

/// How many due alarms are asked for. Apart, because neither kind may stand in the way of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DueMost {
    /// Of those that have no ticket.
    pub new: u32,
    /// Of those that have one.
    pub known: u32,
}

impl DueMost {
    /// So many of each.
    pub fn of_each(limit: u32) -> Self {
        Self { new: limit, known: limit }
    }
}

/// How many due alarms are asked for where a backend has so many un-ended requests.
pub type DueOf = Arc<dyn Fn(u64) -> DueMost + Send + Sync>;

/// Due alarms of a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DuePage {
    /// The longest due first.
    pub rows: Vec<DueAlarm>,
    /// Its un-ended requests.
    pub open: u64,
}

/// Place in a list, which runs by the store's own order: newest first, unless `after` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Only rows before this one (a row's `n`).
    pub before: Option<u64>,
    /// Only rows after this one, and then oldest first.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// Which tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Of one backend.
    pub backend: Option<BackendId>,
    /// Of one TMF621 status.
    pub status: Option<String>,
}

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Of one backend.
    pub backend: Option<BackendId>,
    /// In one state.
    pub state: Option<State>,
    /// Of one ticket.
    pub ticket: Option<TicketKey>,
    /// Only those that have not ended, or only those that have.
    pub open: Option<bool>,
}

/// Which alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmFilter {
    /// Of one source.
    pub source: Option<String>,
    /// Only active, or only cleared ones.
    pub active: Option<bool>,
}

/// Alarms that wait as levels are counted up to so many: that is all that a person needs to know.
pub const DUE_COUNTED_MAX: u64 = 10_000;

/// Un-ended requests of a lane, and what a person must look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneCounts {
    /// Waiting for their first or next call.
    pub pending: u64,
    /// A call is under way.
    pub intent: u64,
    /// Taken by the backend, which answers later.
    pub acknowledged: u64,
    /// Being found out.
    pub in_doubt: u64,
    /// Waiting for a person.
    pub undecided: u64,
    /// Alarms that wait as levels; counted up to [`DUE_COUNTED_MAX`].
    pub due_alarms: u64,
}

/// Totals, for metrics and summaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Requests by backend and state.
    pub requests: Vec<(BackendId, State, u64)>,
    /// Occurrences of alarms.
    pub alarms: u64,
    /// Occurrences that still want something.
    pub unsettled_alarms: u64,
    /// Tickets.
    pub tickets: u64,
    /// Events not yet confirmed.
    pub unsent_events: u64,
    /// Parked messages.
    pub parked: u64,
}

/// Rows that were asked for, or why there are none.
pub type Answered<T> = Soon<Result<T, StoreError>>;

/// Committed rows, read beside the writer.
pub trait Reads: PastReads + SyncReads + Send + Sync {
    /// Alarms of a backend that are due, the longest due first; how many, depends on its un-ended requests.
    fn due(&self, backend: BackendId, now: Timestamp, most: DueOf) -> Answered<DuePage>;
    /// The same, whatever requests it has.
    fn due_alarms(
        &self,
        backend: BackendId,
        now: Timestamp,
        most: DueMost,
    ) -> Answered<Vec<DueAlarm>> {
        let page = self.due(backend, now, Arc::new(move |_| most));
        Box::pin(async move { Ok(page.await?.rows) })
    }
    /// Requests of a lane that may go now: first in line of their ticket, which is not held, in state
    /// `accepted`, or in `wait` and ready at `now`, of one priority class, in order of acceptance.
    fn ready_requests(
        &self,
        backend: BackendId,
        class: u8,
        now: Timestamp,
        limit: u32,
    ) -> Answered<Vec<Request>>;
    /// When the next request of a lane in `wait`, first in line of its ticket, becomes ready: after `now`.
    /// Those that are ready at `now` are not counted, or a lane with a backlog would wake at once
    /// for ever.
    fn next_ready(&self, backend: BackendId, now: Timestamp) -> Answered<Option<Timestamp>>;
    /// Requests of a lane in that state, oldest first. For states of which a lane bounds the number.
    fn requests_in(&self, backend: BackendId, state: State) -> Answered<Vec<Request>>;
    /// Tickets of a backend that may exist twice, each with its place; from after `after`.
    fn watched(
        &self,
        backend: BackendId,
        after: u64,
        limit: u32,
    ) -> Answered<Vec<(u64, Watched, Ticket)>>;
    /// Events that are not confirmed, in order, from after `after`.
    fn unsent_events(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>>;
    /// How many events are not confirmed; counted up to `most`, so that it stays cheap.
    fn unsent_count(&self, most: u32) -> Answered<u64>;
    /// Committed events in order of their `n`, from after `after`. What is committed later has a
    /// greater `n`: whoever asks again from the last one misses nothing, and hears of each ticket
    /// in sequence.
    fn events_after(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>>;
    /// The event with that id.
    fn event(&self, id: EventId) -> Answered<Option<TicketEvent>>;
    /// The event that was stored last.
    fn newest_event(&self) -> Answered<Option<TicketEvent>>;
    /// All occurrences of an alarm, oldest first.
    fn occurrences(&self, alarm: AlarmRef) -> Answered<Vec<Alarm>>;
    /// A ticket by our key.
    fn ticket(&self, key: TicketKey) -> Answered<Option<Ticket>>;
    /// One request.
    fn request(&self, id: RequestId) -> Answered<Option<Request>>;
    /// What is remembered of a command.
    fn command(&self, id: CommandId) -> Answered<Option<CommandRecord>>;
    /// The un-ended request of a ticket that was accepted first.
    fn first_open_request(&self, ticket: TicketKey) -> Answered<Option<Request>>;
    /// A ticket by theirs.
    fn ticket_by_backend_id(
        &self,
        backend: BackendId,
        backend_id: String,
    ) -> Answered<Option<Ticket>>;
    /// External locks, in order of their clients.
    fn kept_locks(&self) -> Answered<Vec<KeptLock>>;
    /// Alarms, with each row's `n`.
    fn alarms(&self, filter: AlarmFilter, page: Page) -> Answered<Vec<(u64, Alarm)>>;
    /// Tickets, with each row's `n`.
    fn tickets(&self, filter: TicketFilter, page: Page) -> Answered<Vec<(u64, Ticket)>>;
    /// Requests.
    fn requests(&self, filter: RequestFilter, page: Page) -> Answered<Vec<Request>>;
    /// Events of a ticket, oldest first, with the time of their confirm.
    fn events_of(&self, ticket: TicketKey) -> Answered<Vec<(TicketEvent, Option<Timestamp>)>>;
    /// Parked messages, all or of one inlet.
    fn parked(&self, inlet: Option<String>, page: Page) -> Answered<Vec<Parked>>;
    /// Who did what and why, all or of one person.
    fn audited(&self, who: Option<String>, page: Page) -> Answered<Vec<Audited>>;
    /// The tickets of a backend that are held, and why.
    fn held(&self, backend: BackendId) -> Answered<Vec<(TicketKey, Pause)>>;
    /// How many messages are parked; counted up to `most`, so that it stays cheap.
    fn parked_count(&self, most: u32) -> Answered<u64>;
    /// A backend's table of services.
    fn services(&self, backend: BackendId) -> Answered<Option<ServiceTable>>;
    /// Where a backend's final answers go, as a person set it.
    fn route(&self, backend: BackendId) -> Answered<Option<Route>>;
    /// All routes that people set, in order of their backends.
    fn routes(&self) -> Answered<Vec<(BackendId, Route)>>;
    /// What is stored of a lane.
    fn lane(&self, backend: BackendId) -> Answered<LaneRow>;
    /// The newest snapshot of each source.
    fn snapshots(&self) -> Answered<Vec<Snapshot>>;
    /// A lane's counts.
    fn lane_counts(&self, backend: BackendId) -> Answered<LaneCounts>;
    /// Totals.
    fn figures(&self) -> Answered<StoreFigures>;
}
