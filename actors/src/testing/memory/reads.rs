//! Reads, first as plain methods, then as the port.

use super::MemoryStore;
use super::rows::Rows;
use crate::logic::lane::class_of;
use crate::model::{
    Alarm, AlarmRef, Audited, BackendId, CommandId, CommandRecord, EventId, Identity, KeptLock,
    Parked, Request, RequestId, Route, ServiceTable, Snapshot, State, Ticket, TicketEvent,
    TicketKey, Timestamp, Watched,
};
use crate::ports::{
    AlarmFilter, Answered, DueAlarm, DueMost, DueOf, DuePage, LaneCounts, LaneRow, Page, Pause,
    Reads, RequestFilter, StoreFigures, TicketFilter,
};
use std::collections::BTreeMap;

impl Rows {
    /// Was a delivery of that name taken in?
    pub fn knows(&self, identity: &Identity) -> bool {
        self.identities.contains_key(identity)
    }

    /// Alarms of a backend that are due, the longest due first.
    pub fn due_alarms(&self, backend: &BackendId, now: Timestamp, most: DueMost) -> Vec<DueAlarm> {
        let due = self.alarms.iter().filter(|(_, alarm)| {
            alarm.backend.as_ref() == Some(backend) && alarm.due_at.is_some_and(|at| at <= now)
        });
        let mut due: Vec<_> =
            due.map(|(n, alarm)| (alarm.due_at, *n, alarm.ticket.is_none())).collect();
        due.sort_unstable();
        let (mut new, mut known) = (most.new, most.known);
        due.retain(|(_, _, is_new)| {
            let left = if *is_new { &mut new } else { &mut known };
            let fits = *left > 0;
            *left = left.saturating_sub(1);
            fits
        });
        due.into_iter().map(|(_, n, _)| self.with_ticket((*self.alarms[&n]).clone())).collect()
    }

    fn with_ticket(&self, alarm: Alarm) -> DueAlarm {
        let key = alarm.ticket.or_else(|| {
            let before = self.occurrences(&alarm.at.alarm).rev();
            before.filter(|it| it.at.occurrence < alarm.at.occurrence).find_map(|it| it.ticket)
        });
        let shared = alarm.ticket.filter(|_| alarm.group.is_some());
        let of = |it: &&Alarm| shared.is_some() && it.ticket == shared && it.at != alarm.at;
        let others = self.alarms.values().map(|it| &**it).filter(of).cloned().collect();
        DueAlarm { ticket: key.and_then(|key| self.ticket_row(key)).cloned(), alarm, others }
    }

    /// All occurrences of an alarm, oldest first.
    pub fn occurrences(&self, alarm: &AlarmRef) -> impl DoubleEndedIterator<Item = &Alarm> {
        let of = self.occurrences.get(alarm).into_iter().flat_map(BTreeMap::values);
        of.map(|n| &*self.alarms[n])
    }

    /// Every alarm.
    pub fn all_alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.values().map(|alarm| &**alarm)
    }

    /// A ticket by our key.
    pub fn ticket_row(&self, key: TicketKey) -> Option<&Ticket> {
        self.ticket_n.get(&key).map(|n| &*self.tickets[n])
    }

    /// Every ticket.
    pub fn all_tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.values().map(|ticket| &**ticket)
    }

    /// A request by its id.
    pub fn request_row(&self, id: RequestId) -> Option<&Request> {
        self.request_n.get(&id).map(|n| &*self.requests[n])
    }

    /// External locks that outlive the process, in order of their clients.
    pub fn kept(&self) -> Vec<KeptLock> {
        let mut locks: Vec<_> = self.locks.values().cloned().collect();
        locks.sort_by_key(|lock| lock.client);
        locks
    }

    /// Every request, in order of acceptance.
    pub fn all_requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().map(|request| &**request)
    }

    /// Every event, with the time of its confirm.
    pub fn all_events(&self) -> impl Iterator<Item = &(TicketEvent, Option<Timestamp>)> {
        self.events.values().map(|row| &**row)
    }

    /// The newest snapshot of each source.
    pub fn all_snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values()
    }

    /// An event by its place in the outbox.
    pub fn event_row(&self, n: u64) -> Option<&TicketEvent> {
        self.events.get(&n).map(|row| &row.0)
    }

    /// The un-ended request of a ticket that was accepted first.
    pub fn first_open(&self, ticket: TicketKey) -> Option<&Request> {
        let n = self.open.get(&ticket).and_then(|open| open.first());
        n.map(|n| &*self.requests[n])
    }

    fn first_in_line(&self, n: u64, request: &Request) -> bool {
        self.open.get(&request.ticket).and_then(|open| open.first()) == Some(&n)
    }

    fn waiting(&self, backend: &BackendId) -> impl Iterator<Item = &Request> {
        let waits = |request: &Request| {
            matches!(request.state, State::Accepted | State::Wait)
                && !self.held.contains_key(&request.ticket)
        };
        self.requests.iter().filter_map(move |(n, request)| {
            (request.backend == *backend && waits(request) && self.first_in_line(*n, request))
                .then_some(&**request)
        })
    }

    /// Requests of a lane that may go now, of one class, in order of acceptance.
    pub fn ready_requests(
        &self,
        backend: &BackendId,
        class: u8,
        now: Timestamp,
        limit: u32,
    ) -> Vec<Request> {
        // What was accepted is ready, also where the clock was set back since.
        let ready = |it: &Request| it.ready_at <= now || it.state == State::Accepted;
        self.waiting(backend)
            .filter(|request| class_of(request.op) == class && ready(request))
            .take(limit as usize)
            .cloned()
            .collect()
    }

    /// When the next request, first in line of its ticket, becomes ready: after `now`.
    pub fn next_ready(&self, backend: &BackendId, now: Timestamp) -> Option<Timestamp> {
        let waits = self.waiting(backend).filter(|request| request.state == State::Wait);
        waits.map(|request| request.ready_at).filter(|at| *at > now).min()
    }

    /// Requests of a backend in that state, oldest first.
    pub fn in_state(&self, backend: &BackendId, state: State) -> Vec<Request> {
        let of = |request: &&Request| request.backend == *backend && request.state == state;
        self.all_requests().filter(of).cloned().collect()
    }

    /// How many un-ended requests a backend has.
    pub fn open_of(&self, backend: &BackendId) -> u64 {
        let of = |request: &&Request| request.backend == *backend && !request.state.ended();
        self.all_requests().filter(of).count() as u64
    }

    /// Every ticket that may exist twice.
    pub fn all_watched(&self) -> impl Iterator<Item = &Watched> {
        self.watched.values()
    }

    /// Tickets of a backend that may exist twice, by their place.
    pub fn watched_of(
        &self,
        backend: &BackendId,
        after: u64,
        limit: u32,
    ) -> Vec<(u64, Watched, Ticket)> {
        let of = self.watched.range(after.saturating_add(1)..);
        let of = of.filter(|(_, it)| it.backend == *backend);
        let with = of.filter_map(|(n, it)| {
            self.ticket_row(it.ticket).map(|ticket| (*n, it.clone(), ticket.clone()))
        });
        with.take(limit as usize).collect()
    }

    /// Events that are not confirmed, in order, from after `after`.
    pub fn unsent_events(&self, after: u64, limit: u32) -> Vec<TicketEvent> {
        let after = self.unsent.range(after.saturating_add(1)..).take(limit as usize);
        after.map(|n| self.events[n].0.clone()).collect()
    }

    /// What is stored of a lane.
    pub fn lane_row(&self, backend: &BackendId) -> LaneRow {
        self.lanes.get(backend).cloned().unwrap_or_default()
    }

    /// A lane's counts.
    pub fn lane_counts(&self, backend: &BackendId) -> LaneCounts {
        let due = self.all_alarms().filter(|it| it.backend.as_ref() == Some(backend));
        let due_alarms = due.filter(|it| it.due_at.is_some()).count() as u64;
        let mut counts = LaneCounts { due_alarms, ..LaneCounts::default() };
        for request in self.all_requests().filter(|it| it.backend == *backend) {
            match request.state {
                State::Accepted | State::Wait => counts.pending += 1,
                State::Intent => counts.intent += 1,
                State::Acknowledged => counts.acknowledged += 1,
                State::InDoubt => counts.in_doubt += 1,
                State::Undecided => counts.undecided += 1,
                _ => {}
            }
        }
        counts
    }

    /// Totals.
    pub fn figures(&self) -> StoreFigures {
        let mut requests: BTreeMap<(&BackendId, &str), (State, u64)> = BTreeMap::new();
        for request in self.all_requests() {
            let state = request.state;
            let entry = requests.entry((&request.backend, state.as_str())).or_insert((state, 0));
            entry.1 += 1;
        }
        let count = |of: usize| of as u64;
        StoreFigures {
            requests: requests
                .into_iter()
                .map(|((backend, _), (state, n))| (backend.clone(), state, n))
                .collect(),
            alarms: count(self.alarms.len()),
            unsettled_alarms: count(self.all_alarms().filter(|it| it.unsettled()).count()),
            tickets: count(self.tickets.len()),
            unsent_events: count(self.unsent.len()),
            parked: count(self.parked.len()),
        }
    }
}

/// A page of a table, newest first.
fn page<T>(rows: &BTreeMap<u64, Box<T>>, page: &Page, keep: impl Fn(&T) -> bool) -> Vec<(u64, T)>
where
    T: Clone,
{
    let first = page.after.map_or(0, |after| after.saturating_add(1));
    let before = page.before.unwrap_or(u64::MAX).max(first);
    let mut rows: Vec<_> = rows.range(first..before).filter(|(_, row)| keep(row)).collect();
    if page.after.is_none() {
        rows.reverse();
    }
    rows.truncate(page.limit as usize);
    rows.into_iter().map(|(n, row)| (*n, (**row).clone())).collect()
}

pub(super) fn now<T: Send + 'static>(rows: T) -> Answered<T> {
    Box::pin(std::future::ready(Ok(rows)))
}

/// Not asked for, or as asked for.
fn fits<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

impl Reads for MemoryStore {
    fn due(&self, backend: BackendId, at: Timestamp, most: DueOf) -> Answered<DuePage> {
        let rows = self.rows();
        let open = rows.open_of(&backend);
        now(DuePage { rows: rows.due_alarms(&backend, at, most(open)), open })
    }

    fn watched(
        &self,
        backend: BackendId,
        after: u64,
        limit: u32,
    ) -> Answered<Vec<(u64, Watched, Ticket)>> {
        now(self.rows().watched_of(&backend, after, limit))
    }

    fn ready_requests(
        &self,
        backend: BackendId,
        class: u8,
        at: Timestamp,
        limit: u32,
    ) -> Answered<Vec<Request>> {
        now(self.rows().ready_requests(&backend, class, at, limit))
    }

    fn next_ready(&self, backend: BackendId, at: Timestamp) -> Answered<Option<Timestamp>> {
        now(self.rows().next_ready(&backend, at))
    }

    fn requests_in(&self, backend: BackendId, state: State) -> Answered<Vec<Request>> {
        now(self.rows().in_state(&backend, state))
    }

    fn unsent_events(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>> {
        now(self.rows().unsent_events(after, limit))
    }

    fn occurrences(&self, alarm: AlarmRef) -> Answered<Vec<Alarm>> {
        now(self.rows().occurrences(&alarm).cloned().collect())
    }

    fn ticket(&self, key: TicketKey) -> Answered<Option<Ticket>> {
        now(self.rows().ticket_row(key).cloned())
    }

    fn request(&self, id: RequestId) -> Answered<Option<Request>> {
        now(self.rows().request_row(id).cloned())
    }

    fn command(&self, id: CommandId) -> Answered<Option<CommandRecord>> {
        now(self.rows().commands.get(&id).cloned())
    }

    fn first_open_request(&self, ticket: TicketKey) -> Answered<Option<Request>> {
        now(self.rows().first_open(ticket).cloned())
    }

    fn ticket_by_backend_id(
        &self,
        backend: BackendId,
        backend_id: String,
    ) -> Answered<Option<Ticket>> {
        let rows = self.rows();
        let n = rows.ticket_by_backend_id.get(&(backend, backend_id));
        now(n.map(|n| (*rows.tickets[n]).clone()))
    }

    fn kept_locks(&self) -> Answered<Vec<KeptLock>> {
        now(self.rows().kept())
    }

    fn unsent_count(&self, limit: u32) -> Answered<u64> {
        now(self.rows().unsent.len().min(limit as usize) as u64)
    }

    fn events_after(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>> {
        let rows = self.rows();
        let after = rows.events.range(after.saturating_add(1)..).take(limit as usize);
        now(after.map(|(_, row)| row.0.clone()).collect())
    }

    fn event(&self, id: EventId) -> Answered<Option<TicketEvent>> {
        let rows = self.rows();
        now(rows.event_n.get(&id).map(|n| rows.events[n].0.clone()))
    }

    fn newest_event(&self) -> Answered<Option<TicketEvent>> {
        now(self.rows().events.last_key_value().map(|(_, row)| row.0.clone()))
    }

    fn alarms(&self, filter: AlarmFilter, of: Page) -> Answered<Vec<(u64, Alarm)>> {
        let keep = |alarm: &Alarm| {
            fits(filter.source.as_ref(), &alarm.at.alarm.source)
                && fits(filter.active.as_ref(), &alarm.active)
        };
        now(page(&self.rows().alarms, &of, keep))
    }

    fn tickets(&self, filter: TicketFilter, of: Page) -> Answered<Vec<(u64, Ticket)>> {
        let keep = |ticket: &Ticket| {
            fits(filter.backend.as_ref(), &ticket.backend)
                && filter.status.as_ref().is_none_or(|status| status == ticket.status.as_str())
        };
        now(page(&self.rows().tickets, &of, keep))
    }

    fn requests(&self, filter: RequestFilter, of: Page) -> Answered<Vec<Request>> {
        let keep = |request: &Request| {
            fits(filter.backend.as_ref(), &request.backend)
                && fits(filter.state.as_ref(), &request.state)
                && fits(filter.ticket.as_ref(), &request.ticket)
                && fits(filter.open.as_ref(), &!request.state.ended())
        };
        let rows = page(&self.rows().requests, &of, keep);
        now(rows.into_iter().map(|(_, request)| request).collect())
    }

    fn events_of(&self, ticket: TicketKey) -> Answered<Vec<(TicketEvent, Option<Timestamp>)>> {
        let rows = self.rows();
        let of = rows.all_events().filter(|row| row.0.ticket.key == ticket);
        let mut events: Vec<_> = of.cloned().collect();
        events.sort_by_key(|row| row.0.sequence);
        now(events)
    }

    fn parked_count(&self, most: u32) -> Answered<u64> {
        now(self.rows().parked.len().min(most as usize) as u64)
    }

    fn parked(&self, inlet: Option<String>, of: Page) -> Answered<Vec<Parked>> {
        let rows = &self.rows().parked;
        let all = rows.iter().map(|(n, it)| (*n, Box::new(it.clone()))).collect();
        let rows = page(&all, &of, |it: &Parked| fits(inlet.as_ref(), &it.inlet));
        now(rows.into_iter().map(|(_, it)| it).collect())
    }

    fn audited(&self, who: Option<String>, of: Page) -> Answered<Vec<Audited>> {
        let rows = &self.rows().audit;
        let numbered = (1u64..).zip(rows).map(|(n, (at, who, what, why))| {
            let (at, who, what, why) = (*at, who.clone(), what.clone(), why.clone());
            (n, Box::new(Audited { n, at, who, what, why }))
        });
        let rows = page(&numbered.collect(), &of, |it: &Audited| fits(who.as_ref(), &it.who));
        now(rows.into_iter().map(|(_, it)| it).collect())
    }

    fn held(&self, backend: BackendId) -> Answered<Vec<(TicketKey, Pause)>> {
        let rows = self.rows();
        let of = rows.held.iter().filter(|(_, (of, _))| *of == backend);
        now(of.map(|(ticket, (_, why))| (*ticket, why.clone())).collect())
    }

    fn services(&self, backend: BackendId) -> Answered<Option<ServiceTable>> {
        now(self.rows().services.get(&backend).cloned())
    }

    fn route(&self, backend: BackendId) -> Answered<Option<Route>> {
        now(self.rows().routes.get(&backend).cloned())
    }

    fn routes(&self) -> Answered<Vec<(BackendId, Route)>> {
        let rows = self.rows();
        now(rows.routes.iter().map(|(backend, route)| (backend.clone(), route.clone())).collect())
    }

    fn lane(&self, backend: BackendId) -> Answered<LaneRow> {
        now(self.rows().lane_row(&backend))
    }

    fn lane_counts(&self, backend: BackendId) -> Answered<LaneCounts> {
        now(self.rows().lane_counts(&backend))
    }

    fn snapshots(&self) -> Answered<Vec<Snapshot>> {
        now(self.rows().snapshots.values().cloned().collect())
    }

    fn figures(&self) -> Answered<StoreFigures> {
        now(self.rows().figures())
    }
}
