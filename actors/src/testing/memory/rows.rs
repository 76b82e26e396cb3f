//! The tables and their undo log.
//!
//! Every write goes through one `set_*` a table, which keeps the indexes and puts what was there
//! before into the log. A refused set is undone to where it began, a crash to the last sync.

use super::sync::{SyncTables, SyncUndo};
use crate::changes::{Applied, ChangeSet, Context, Halt, perform};
use crate::model::{
    Alarm, AlarmRef, BackendId, ClientNumber, CommandId, CommandRecord, CorrelationKey, EventId,
    Fence, HistoryList, HistoryRow, Identity, KeptLock, MadeBy, OccurrenceRef, Parked, Request,
    RequestId, Route, ServiceTable, Snapshot, Ticket, TicketEvent, TicketKey, Timestamp, Watched,
};
use crate::ports::{LaneRow, Leaving, Pause, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// An event and when it was confirmed.
pub(super) type EventRow = (TicketEvent, Option<Timestamp>);

/// What a row was before a write; none: it was not there.
#[derive(Debug)]
enum Undo {
    Identity(Identity, Option<Timestamp>),
    Alarm(u64, Option<Box<Alarm>>),
    Ticket(u64, Option<Box<Ticket>>),
    Request(u64, Option<Box<Request>>),
    Event(u64, Option<Box<EventRow>>),
    Lane(BackendId, Option<LaneRow>),
    Fence(u64),
    Barrier(ClientNumber, Option<Fence>),
    Command(CommandId, Option<CommandRecord>),
    Lock(Uuid, Option<KeptLock>),
    Watched(u64, Option<Watched>),
    History(u64, Option<HistoryRow>),
    Leaving(HistoryList, Option<Leaving>),
    Given([u64; 4]),
    Group([u8; 16], Option<TicketKey>),
    Snapshot(String, Option<Snapshot>),
    Seen(OccurrenceRef, Option<u64>),
    Services(BackendId, Option<ServiceTable>),
    Route(BackendId, Option<Route>),
    Sync(SyncUndo),
    Parked(u64, Option<Parked>),
    Held(TicketKey, Option<(BackendId, Pause)>),
    Audit,
}

/// One line of the audit: when, who, what, why.
pub type AuditRow = (Timestamp, String, String, String);

/// Tables whose numbers are never given again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbered {
    Requests,
    Events,
    History,
    Parked,
}

/// All rows, each table by its own `n` or key.
#[derive(Debug, Default)]
pub struct Rows {
    pub(super) identities: BTreeMap<Identity, Timestamp>,
    pub(super) alarms: BTreeMap<u64, Box<Alarm>>,
    pub(super) occurrences: HashMap<AlarmRef, BTreeMap<u64, u64>>,
    pub(super) tickets: BTreeMap<u64, Box<Ticket>>,
    pub(super) ticket_n: HashMap<TicketKey, u64>,
    pub(super) ticket_by_backend_id: HashMap<(BackendId, String), u64>,
    pub(super) ticket_by_correlation: HashMap<CorrelationKey, u64>,
    pub(super) requests: BTreeMap<u64, Box<Request>>,
    pub(super) request_n: HashMap<RequestId, u64>,
    /// Un-ended requests of each ticket, in order of acceptance.
    pub(super) open: HashMap<TicketKey, BTreeSet<u64>>,
    pub(super) events: BTreeMap<u64, Box<EventRow>>,
    pub(super) event_n: HashMap<EventId, u64>,
    pub(super) unsent: BTreeSet<u64>,
    pub(super) lanes: BTreeMap<BackendId, LaneRow>,
    pub(super) fence: u64,
    pub(super) barriers: BTreeMap<ClientNumber, Fence>,
    pub(super) commands: BTreeMap<CommandId, CommandRecord>,
    pub(super) locks: BTreeMap<Uuid, KeptLock>,
    pub(super) watched: BTreeMap<u64, Watched>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    pub(super) seen: BTreeMap<OccurrenceRef, u64>,
    pub(super) history: BTreeMap<u64, HistoryRow>,
    pub(super) leaving: BTreeMap<HistoryList, Leaving>,
    /// The last numbers that were given to requests, events, history rows and parked messages, which
    /// are not given again.
    pub(super) given: [u64; 4],
    pub(super) groups: BTreeMap<[u8; 16], TicketKey>,
    pub(super) services: BTreeMap<BackendId, ServiceTable>,
    pub(super) routes: BTreeMap<BackendId, Route>,
    pub(super) sync: SyncTables,
    pub(super) parked: BTreeMap<u64, Parked>,
    pub(super) held: BTreeMap<TicketKey, (BackendId, Pause)>,
    pub(super) audit: Vec<AuditRow>,
    undo: Vec<Undo>,
}

impl Rows {
    /// Applies one change set, whole or not at all. It is seen by reads at once, and durable only
    /// after [`Rows::sync`].
    ///
    /// # Errors
    /// A precondition did not hold; nothing was written.
    pub fn apply_now(
        &mut self,
        set: &ChangeSet,
        context: Context<'_>,
    ) -> Result<Vec<Applied>, StoreError> {
        let begun = self.undo.len();
        perform(self, set, context).map_err(|halt| {
            self.undo_to(begun);
            match halt {
                Halt::Refused(refusal) => StoreError::Refused(refusal),
                Halt::Broken(reason) => StoreError::Down(reason),
            }
        })
    }

    /// Makes durable what was applied.
    pub fn sync(&mut self) {
        self.undo.clear();
    }

    /// Loses what was applied since the last sync: the process died, or the commit failed.
    pub fn crash(&mut self) {
        self.undo_to(0);
    }

    /// Who did what, and why.
    pub fn audited(&self) -> &[AuditRow] {
        &self.audit
    }

    pub(super) fn log_sync(&mut self, step: SyncUndo) {
        self.undo.push(Undo::Sync(step));
    }

    fn undo_to(&mut self, length: usize) {
        while self.undo.len() > length {
            let Some(step) = self.undo.pop() else { break };
            let kept = self.undo.len();
            match step {
                Undo::Identity(identity, before) => self.set_identity(identity, before),
                Undo::Alarm(n, before) => self.set_alarm(n, before),
                Undo::Ticket(n, before) => self.set_ticket(n, before),
                Undo::Request(n, before) => self.set_request(n, before),
                Undo::Event(n, before) => self.set_event(n, before),
                Undo::Lane(backend, before) => self.set_lane(backend, before),
                Undo::Fence(before) => self.fence = before,
                Undo::Barrier(client, before) => self.set_barrier(client, before),
                Undo::Command(id, before) => self.set_command(id, before),
                Undo::Lock(guid, before) => self.set_lock(guid, before),
                Undo::Watched(n, before) => self.set_watched(n, before),
                Undo::History(n, before) => self.set_history(n, before),
                Undo::Leaving(list, before) => self.set_leaving(list, before),
                Undo::Given(before) => self.given = before,
                Undo::Group(key, before) => self.set_group(key, before),
                Undo::Snapshot(source, before) => self.set_snapshot(source, before),
                Undo::Seen(at, before) => self.set_seen(at, before),
                Undo::Services(backend, before) => self.set_services(backend, before),
                Undo::Route(backend, before) => self.set_route(backend, before),
                Undo::Sync(step) => self.sync.undo(step),
                Undo::Parked(n, before) => self.set_parked(n, before),
                Undo::Held(ticket, before) => self.set_held(ticket, before),
                Undo::Audit => drop(self.audit.pop()),
            }
            self.undo.truncate(kept); // an undone step is no step
        }
    }

    pub(super) fn set_identity(&mut self, identity: Identity, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.identities.insert(identity, at),
            None => self.identities.remove(&identity),
        };
        self.undo.push(Undo::Identity(identity, before));
    }

    pub(super) fn set_alarm(&mut self, n: u64, alarm: Option<Box<Alarm>>) {
        if let Some(alarm) = &alarm {
            let of = self.occurrences.entry(alarm.at.alarm.clone()).or_default();
            of.insert(alarm.at.occurrence, n);
        }
        let gone = alarm.is_none();
        let before = replace(&mut self.alarms, n, alarm);
        if let (true, Some(before)) = (gone, &before)
            && let Some(of) = self.occurrences.get_mut(&before.at.alarm)
        {
            of.remove(&before.at.occurrence);
        }
        self.undo.push(Undo::Alarm(n, before));
    }

    pub(super) fn set_ticket(&mut self, n: u64, ticket: Option<Box<Ticket>>) {
        let their = |it: &Ticket| it.backend_id.clone().map(|id| (it.backend.clone(), id));
        let place = ticket.as_ref().map(|it| (it.key, it.correlation_key.clone(), their(it)));
        let before = replace(&mut self.tickets, n, ticket);
        if let Some(before) = &before {
            self.ticket_n.remove(&before.key);
            self.ticket_by_correlation.remove(&before.correlation_key);
            their(before).map(|id| self.ticket_by_backend_id.remove(&id));
        }
        if let Some((key, correlation, theirs)) = place {
            self.ticket_n.insert(key, n);
            self.ticket_by_correlation.insert(correlation, n);
            theirs.map(|id| self.ticket_by_backend_id.insert(id, n));
        }
        self.undo.push(Undo::Ticket(n, before));
    }

    pub(super) fn set_request(&mut self, n: u64, request: Option<Box<Request>>) {
        let open = request.as_ref().is_some_and(|it| !it.state.ended());
        let place = request.as_ref().map(|it| (it.id, it.ticket));
        let before = replace(&mut self.requests, n, request);
        if let Some(before) = &before {
            self.request_n.remove(&before.id);
            self.open.entry(before.ticket).or_default().remove(&n);
        }
        if let Some((id, ticket)) = place {
            self.request_n.insert(id, n);
            if open {
                self.open.entry(ticket).or_default().insert(n);
            }
        }
        self.undo.push(Undo::Request(n, before));
    }

    pub(super) fn set_event(&mut self, n: u64, event: Option<Box<EventRow>>) {
        let unsent = event.as_ref().is_some_and(|it| it.1.is_none());
        let id = event.as_ref().map(|it| it.0.event_id);
        let before = replace(&mut self.events, n, event);
        if let Some(before) = &before {
            self.event_n.remove(&before.0.event_id);
        }
        id.map(|id| self.event_n.insert(id, n));
        if unsent {
            self.unsent.insert(n)
        } else {
            self.unsent.remove(&n)
        };
        self.undo.push(Undo::Event(n, before));
    }

    pub(super) fn set_lane(&mut self, backend: BackendId, row: Option<LaneRow>) {
        let before = match row {
            Some(row) => self.lanes.insert(backend.clone(), row),
            None => self.lanes.remove(&backend),
        };
        self.undo.push(Undo::Lane(backend, before));
    }

    pub(super) fn set_fence(&mut self, fence: u64) {
        self.undo.push(Undo::Fence(self.fence));
        self.fence = fence;
    }

    pub(super) fn set_barrier(&mut self, client: ClientNumber, fence: Option<Fence>) {
        let before = match fence {
            Some(fence) => self.barriers.insert(client, fence),
            None => self.barriers.remove(&client),
        };
        self.undo.push(Undo::Barrier(client, before));
    }

    pub(super) fn set_command(&mut self, id: CommandId, record: Option<CommandRecord>) {
        let before = match record {
            Some(record) => self.commands.insert(id, record),
            None => self.commands.remove(&id),
        };
        self.undo.push(Undo::Command(id, before));
    }

    pub(super) fn set_lock(&mut self, guid: Uuid, lock: Option<KeptLock>) {
        let before = match lock {
            Some(lock) => self.locks.insert(guid, lock),
            None => self.locks.remove(&guid),
        };
        self.undo.push(Undo::Lock(guid, before));
    }

    pub(super) fn set_watched(&mut self, n: u64, watched: Option<Watched>) {
        let before = match watched {
            Some(watched) => self.watched.insert(n, watched),
            None => self.watched.remove(&n),
        };
        self.undo.push(Undo::Watched(n, before));
    }

    pub(super) fn set_snapshot(&mut self, source: String, snapshot: Option<Snapshot>) {
        let before = match snapshot {
            Some(snapshot) => self.snapshots.insert(source.clone(), snapshot),
            None => self.snapshots.remove(&source),
        };
        self.undo.push(Undo::Snapshot(source, before));
    }

    pub(super) fn set_seen(&mut self, at: OccurrenceRef, number: Option<u64>) {
        let before = match number {
            Some(number) => self.seen.insert(at.clone(), number),
            None => self.seen.remove(&at),
        };
        self.undo.push(Undo::Seen(at, before));
    }

    pub(super) fn set_group(&mut self, key: [u8; 16], ticket: Option<TicketKey>) {
        let before = match ticket {
            Some(ticket) => self.groups.insert(key, ticket),
            None => self.groups.remove(&key),
        };
        self.undo.push(Undo::Group(key, before));
    }

    pub(super) fn set_services(&mut self, backend: BackendId, table: Option<ServiceTable>) {
        let before = match table {
            Some(table) => self.services.insert(backend.clone(), table),
            None => self.services.remove(&backend),
        };
        self.undo.push(Undo::Services(backend, before));
    }

    pub(super) fn set_route(&mut self, backend: BackendId, route: Option<Route>) {
        let before = match route {
            Some(route) => self.routes.insert(backend.clone(), route),
            None => self.routes.remove(&backend),
        };
        self.undo.push(Undo::Route(backend, before));
    }

    /// The place of a watched ticket.
    pub(super) fn watched_n(&self, ticket: TicketKey) -> Option<u64> {
        self.watched.iter().find(|(_, it)| it.ticket == ticket).map(|(n, _)| *n)
    }

    pub(super) fn set_history(&mut self, n: u64, row: Option<HistoryRow>) {
        let before = replace(&mut self.history, n, row);
        self.undo.push(Undo::History(n, before));
    }

    pub(super) fn set_leaving(&mut self, list: HistoryList, leaving: Option<Leaving>) {
        let before = match leaving {
            Some(leaving) => self.leaving.insert(list, leaving),
            None => self.leaving.remove(&list),
        };
        self.undo.push(Undo::Leaving(list, before));
    }

    /// The next number of a table that never gives one again.
    pub(super) fn give(&mut self, table: Numbered) -> u64 {
        self.undo.push(Undo::Given(self.given));
        let last = &mut self.given[table as usize];
        *last += 1;
        *last
    }

    pub(super) fn set_parked(&mut self, n: u64, message: Option<Parked>) {
        let before = replace(&mut self.parked, n, message);
        self.undo.push(Undo::Parked(n, before));
    }

    pub(super) fn set_held(&mut self, ticket: TicketKey, held: Option<(BackendId, Pause)>) {
        let before = match held {
            Some(held) => self.held.insert(ticket, held),
            None => self.held.remove(&ticket),
        };
        self.undo.push(Undo::Held(ticket, before));
    }

    pub(super) fn add_audit(&mut self, row: AuditRow) {
        self.audit.push(row);
        self.undo.push(Undo::Audit);
    }

    /// The number of the next row of a table.
    pub(super) fn next<T>(table: &BTreeMap<u64, T>) -> u64 {
        table.last_key_value().map_or(0, |(n, _)| *n) + 1
    }
}

/// Does rule T1 count it, while it is un-ended?
pub(super) fn level_made(request: &Request) -> bool {
    matches!(request.made_by, MadeBy::Level { .. })
}

fn replace<T>(table: &mut BTreeMap<u64, T>, n: u64, row: Option<T>) -> Option<T> {
    match row {
        Some(row) => table.insert(n, row),
        None => table.remove(&n),
    }
}
