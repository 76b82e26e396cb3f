//! Row access inside the transaction: the unique rules (T1, T4) as the stores on disk hold them.

use super::rows::{Numbered, Rows, level_made};
use crate::model::{
    Alarm, AlarmRef, BackendId, ClientNumber, CommandId, CommandRecord, CorrelationKey, Fence,
    Identity, KeptLock, OccurrenceRef, Op, Parked, Request, RequestId, Route, ServiceTable,
    Snapshot, State, Ticket, TicketEvent, TicketKey, Timestamp, Watched,
};
use crate::ports::{LaneRow, Pause, Tx, TxError};
use uuid::Uuid;

fn conflict(index: &str) -> TxError {
    TxError::Conflict(index.to_owned())
}

impl Tx for Rows {
    fn remember(&mut self, identity: &Identity, at: Timestamp) -> Result<bool, TxError> {
        let new = !self.identities.contains_key(identity);
        if new {
            self.set_identity(*identity, Some(at));
        }
        Ok(new)
    }

    fn forget_identities(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError> {
        let old = self.identities.iter().filter(|(_, at)| **at < before);
        let mut old: Vec<_> = old.map(|(identity, at)| (*at, *identity)).collect();
        old.sort_unstable();
        old.truncate(limit as usize);
        for (_, identity) in &old {
            self.set_identity(*identity, None);
        }
        Ok(old.len() as u64)
    }

    fn newest_alarm(&mut self, alarm: &AlarmRef) -> Result<Option<Alarm>, TxError> {
        Ok(self.occurrences(alarm).next_back().cloned())
    }

    fn alarm(&mut self, at: &OccurrenceRef) -> Result<Option<Alarm>, TxError> {
        let n = self.occurrences.get(&at.alarm).and_then(|of| of.get(&at.occurrence));
        Ok(n.map(|n| (*self.alarms[n]).clone()))
    }

    fn put_alarm(&mut self, alarm: &Alarm) -> Result<(), TxError> {
        let known = self.occurrences.get(&alarm.at.alarm);
        let known = known.and_then(|of| of.get(&alarm.at.occurrence)).copied();
        let n = known.unwrap_or_else(|| Self::next(&self.alarms));
        self.set_alarm(n, Some(Box::new(alarm.clone())));
        Ok(())
    }

    fn alarms_of(&mut self, ticket: TicketKey) -> Result<Vec<Alarm>, TxError> {
        let linked = self.alarms.values().filter(|alarm| alarm.ticket == Some(ticket));
        Ok(linked.map(|alarm| (**alarm).clone()).collect())
    }

    fn ticket(&mut self, key: TicketKey) -> Result<Option<Ticket>, TxError> {
        Ok(self.ticket_row(key).cloned())
    }

    fn ticket_by_backend_id(
        &mut self,
        backend: &BackendId,
        backend_id: &str,
    ) -> Result<Option<Ticket>, TxError> {
        let n = self.ticket_by_backend_id.get(&(backend.clone(), backend_id.to_owned()));
        Ok(n.map(|n| (*self.tickets[n]).clone()))
    }

    fn put_ticket(&mut self, ticket: &Ticket) -> Result<(), TxError> {
        let n = self.ticket_n.get(&ticket.key).copied();
        let elsewhere = |place: Option<&u64>| place.is_some_and(|place| Some(*place) != n);
        let taken = elsewhere(self.ticket_by_correlation.get(&ticket.correlation_key));
        if taken && !mutant!(OneKeyForAll) {
            return Err(conflict("tickets_correlation_key (G8)"));
        }
        if let Some(id) = &ticket.backend_id
            && elsewhere(self.ticket_by_backend_id.get(&(ticket.backend.clone(), id.clone())))
        {
            return Err(conflict("tickets_backend_id (T4)"));
        }
        let n = n.unwrap_or_else(|| Self::next(&self.tickets));
        self.set_ticket(n, Some(Box::new(ticket.clone())));
        Ok(())
    }

    fn snapshot(&mut self, source: &str) -> Result<Option<Snapshot>, TxError> {
        Ok(self.snapshots.get(source).cloned())
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, TxError> {
        Ok(self.snapshots.values().cloned().collect())
    }

    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), TxError> {
        self.set_snapshot(snapshot.source.clone(), Some(snapshot.clone()));
        Ok(())
    }

    fn mark_seen(&mut self, at: &OccurrenceRef, number: u64) -> Result<(), TxError> {
        self.set_seen(at.clone(), Some(number));
        Ok(())
    }

    fn unnamed(
        &mut self,
        source: &str,
        number: u64,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Alarm>)>, TxError> {
        let of = |alarm: &Alarm| alarm.active && alarm.at.alarm.source == source;
        let rows = self.alarms.range(after + 1..).filter(|(_, alarm)| of(alarm));
        let row = |n: u64, alarm: &Alarm| {
            let unnamed = self.seen.get(&alarm.at) != Some(&number);
            (n, unnamed.then(|| alarm.clone()))
        };
        Ok(rows.take(limit as usize).map(|(n, alarm)| row(*n, alarm)).collect())
    }

    fn group(&mut self, key: &[u8; 16]) -> Result<Option<TicketKey>, TxError> {
        Ok(self.groups.get(key).copied())
    }

    fn put_group(&mut self, key: &[u8; 16], ticket: TicketKey) -> Result<(), TxError> {
        self.set_group(*key, Some(ticket));
        Ok(())
    }

    fn nth_newest_ticket(
        &mut self,
        backend: &BackendId,
        nth: u32,
    ) -> Result<Option<Timestamp>, TxError> {
        let back = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
        let of = self.tickets.values().rev().filter(|ticket| ticket.backend == *backend);
        Ok(of.map(|ticket| ticket.accepted_at).nth(back))
    }

    fn request(&mut self, id: RequestId) -> Result<Option<Request>, TxError> {
        Ok(self.request_row(id).cloned())
    }

    fn add_request(&mut self, request: &Request) -> Result<u64, TxError> {
        if self.request_n.contains_key(&request.id) {
            return Err(conflict("requests_id"));
        }
        self.check_one_level(u64::MAX, request)?;
        let n = self.give(Numbered::Requests);
        self.set_request(n, Some(Box::new(Request { n, ..request.clone() })));
        Ok(n)
    }

    fn put_request(&mut self, request: &Request) -> Result<(), TxError> {
        let Some(n) = self.request_n.get(&request.id).copied() else {
            return Err(TxError::Broken(format!("request {} was never added", request.id)));
        };
        self.check_one_level(n, request)?;
        self.set_request(n, Some(Box::new(Request { n, ..request.clone() })));
        Ok(())
    }

    fn first_open_request(&mut self, ticket: TicketKey) -> Result<Option<Request>, TxError> {
        Ok(self.first_open(ticket).cloned())
    }

    fn has_open_request(&mut self, ticket: TicketKey, op: Op) -> Result<bool, TxError> {
        let open = self.open.get(&ticket).into_iter().flatten();
        Ok(open.map(|n| &self.requests[n]).any(|it| it.op == op))
    }

    fn open_requests(&mut self, backend: &BackendId) -> Result<u64, TxError> {
        Ok(self.open_of(backend))
    }

    fn request_by_reference(
        &mut self,
        backend: &BackendId,
        reference: &str,
    ) -> Result<Option<Request>, TxError> {
        let named =
            |it: &&Request| it.backend == *backend && it.backend_ref.as_deref() == Some(reference);
        Ok(self.all_requests().filter(named).last().cloned())
    }

    fn ticket_by_correlation_key(
        &mut self,
        key: &CorrelationKey,
    ) -> Result<Option<Ticket>, TxError> {
        Ok(self.ticket_by_correlation.get(key).map(|n| (*self.tickets[n]).clone()))
    }

    fn watched(&mut self, ticket: TicketKey) -> Result<Option<Watched>, TxError> {
        Ok(self.watched_n(ticket).map(|n| self.watched[&n].clone()))
    }

    fn put_watched(&mut self, watched: &Watched) -> Result<(), TxError> {
        let n = self.watched_n(watched.ticket).unwrap_or_else(|| Self::next(&self.watched));
        self.set_watched(n, Some(watched.clone()));
        Ok(())
    }

    fn drop_watched(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        if let Some(n) = self.watched_n(ticket) {
            self.set_watched(n, None);
        }
        Ok(())
    }

    fn requests_in(&mut self, backend: &BackendId, state: State) -> Result<Vec<Request>, TxError> {
        Ok(self.in_state(backend, state))
    }

    fn add_event(&mut self, event: &TicketEvent) -> Result<u64, TxError> {
        if self.event_n.contains_key(&event.event_id) {
            return Err(conflict("events_id"));
        }
        let n = self.give(Numbered::Events);
        self.set_event(n, Some(Box::new((TicketEvent { n, ..event.clone() }, None))));
        Ok(n)
    }

    fn mark_sent(&mut self, n: u64, at: Timestamp) -> Result<(), TxError> {
        if let Some(row) = self.events.get(&n).filter(|row| row.1.is_none()) {
            let event = row.0.clone();
            self.set_event(n, Some(Box::new((event, Some(at)))));
        }
        Ok(())
    }

    fn lane(&mut self, backend: &BackendId) -> Result<LaneRow, TxError> {
        Ok(self.lane_row(backend))
    }

    fn put_lane(&mut self, backend: &BackendId, row: &LaneRow) -> Result<(), TxError> {
        self.set_lane(backend.clone(), Some(row.clone()));
        Ok(())
    }

    fn take_fences(&mut self, count: u64) -> Result<Fence, TxError> {
        let first = self.fence + 1;
        self.set_fence(self.fence + count);
        Ok(Fence(first))
    }

    fn barrier(&mut self, client: ClientNumber) -> Result<Fence, TxError> {
        Ok(self.barriers.get(&client).copied().unwrap_or_default())
    }

    fn raise_barrier(&mut self, client: ClientNumber, to: Fence) -> Result<(), TxError> {
        let before = self.barriers.get(&client).copied();
        self.set_barrier(client, Some(before.map_or(to, |before| before.max(to))));
        Ok(())
    }

    fn command(&mut self, id: CommandId) -> Result<Option<CommandRecord>, TxError> {
        Ok(self.commands.get(&id).cloned())
    }

    fn put_command(&mut self, record: &CommandRecord) -> Result<(), TxError> {
        if self.commands.contains_key(&record.id) {
            return Err(conflict("commands (G5)"));
        }
        self.set_command(record.id, Some(record.clone()));
        Ok(())
    }

    fn put_lock(&mut self, lock: &KeptLock) -> Result<(), TxError> {
        self.set_lock(lock.guid, Some(lock.clone()));
        Ok(())
    }

    fn lock(&mut self, guid: Uuid) -> Result<Option<KeptLock>, TxError> {
        Ok(self.locks.get(&guid).cloned())
    }

    fn drop_lock(&mut self, guid: Uuid) -> Result<(), TxError> {
        self.set_lock(guid, None);
        Ok(())
    }

    fn park(&mut self, message: &Parked) -> Result<u64, TxError> {
        let n = self.give(Numbered::Parked);
        self.set_parked(n, Some(Parked { n, ..message.clone() }));
        Ok(n)
    }

    fn parked(&mut self, n: u64) -> Result<Option<Parked>, TxError> {
        Ok(self.parked.get(&n).cloned())
    }

    fn put_parked(&mut self, message: &Parked) -> Result<(), TxError> {
        self.set_parked(message.n, Some(message.clone()));
        Ok(())
    }

    fn drop_parked(&mut self, n: u64) -> Result<(), TxError> {
        self.set_parked(n, None);
        Ok(())
    }

    fn held(&mut self, ticket: TicketKey) -> Result<Option<Pause>, TxError> {
        Ok(self.held.get(&ticket).map(|(_, why)| why.clone()))
    }

    fn count_held(&mut self, backend: &BackendId) -> Result<u64, TxError> {
        Ok(self.held.values().filter(|(of, _)| of == backend).count() as u64)
    }

    fn put_held(
        &mut self,
        backend: &BackendId,
        ticket: TicketKey,
        why: Option<&Pause>,
    ) -> Result<(), TxError> {
        self.set_held(ticket, why.map(|why| (backend.clone(), why.clone())));
        Ok(())
    }

    fn services(&mut self, backend: &BackendId) -> Result<Option<ServiceTable>, TxError> {
        Ok(self.services.get(backend).cloned())
    }

    fn put_services(
        &mut self,
        backend: &BackendId,
        table: Option<&ServiceTable>,
    ) -> Result<(), TxError> {
        self.set_services(backend.clone(), table.cloned());
        Ok(())
    }

    fn route(&mut self, backend: &BackendId) -> Result<Option<Route>, TxError> {
        Ok(self.routes.get(backend).cloned())
    }

    fn put_route(&mut self, backend: &BackendId, route: Option<&Route>) -> Result<(), TxError> {
        self.set_route(backend.clone(), route.cloned());
        Ok(())
    }

    fn audit(&mut self, at: Timestamp, who: &str, what: &str, why: &str) -> Result<(), TxError> {
        self.add_audit((at, who.to_owned(), what.to_owned(), why.to_owned()));
        Ok(())
    }
}

impl Rows {
    /// Rule T1: at most one un-ended level-made request a ticket.
    fn check_one_level(&self, n: u64, request: &Request) -> Result<(), TxError> {
        if request.state.ended() || !level_made(request) || mutant!(SharedTicket) {
            return Ok(());
        }
        let open = self.open.get(&request.ticket).into_iter().flatten();
        match open.filter(|other| **other != n).any(|other| level_made(&self.requests[other])) {
            true => Err(conflict("requests_one_level (T1)")),
            false => Ok(()),
        }
    }
}
