//! The new tickets, and the ways to find them.

use super::young::Young;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use ticketgate_actors::model::{
    Alarm, AlarmRef, BackendId, CorrelationKey, EventId, HistoryRow, RequestId, Ticket, TicketKey,
};

/// The tickets, and the ways to find them.
#[derive(Debug, Default)]
pub(in super::super) struct Maps {
    pub(in super::super) tickets: HashMap<TicketKey, Young>,
    pub(super) requests: HashMap<RequestId, TicketKey>,
    pub(super) alarms: HashMap<AlarmRef, TicketKey>,
    pub(super) events: HashMap<u64, TicketKey>,
    pub(super) event_ids: HashSet<EventId>,
    pub(super) theirs: HashMap<BackendId, HashMap<String, TicketKey>>,
    pub(super) correlations: HashMap<CorrelationKey, TicketKey>,
    /// Un-ended requests.
    pub(super) open: HashMap<BackendId, i64>,
    pub(super) at_rest: usize,
    pub(super) unsent: u64,
    pub(in super::super) history: BTreeMap<u64, HistoryRow>,
}

impl Maps {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.tickets.is_empty() && self.history.is_empty()
    }

    /// Puts a ticket in the place of what is there, or takes it away; gives what was there.
    pub(super) fn place(&mut self, key: TicketKey, young: Option<Young>) -> Option<Young> {
        let now = young.as_ref().map(Found::of);
        let before = self.tickets.get(&key).map(Found::of);
        let (now, before) = (now.unwrap_or_default(), before.unwrap_or_default());
        // What has moved, and nothing else: most changes move little of it.
        if now.request != before.request {
            if let Some(id) = before.request {
                self.requests.remove(&id);
            }
            if let Some(id) = now.request {
                self.requests.insert(id, key);
            }
        }
        if now.alarm.as_ref().map(|it| &it.at) != before.alarm.as_ref().map(|it| &it.at) {
            if let Some(alarm) = &before.alarm {
                self.alarms.remove(&alarm.at.alarm);
            }
            if let Some(alarm) = &now.alarm {
                self.alarms.insert(alarm.at.alarm.clone(), key);
            }
        }
        if now.open != before.open {
            for (of, n) in [(&before, -1), (&now, 1)] {
                if let (true, Some(ticket)) = (of.open, &of.ticket) {
                    *self.open.entry(ticket.backend.clone()).or_default() += n;
                }
            }
        }
        let theirs = |of: &Found| of.ticket.as_ref().and_then(|it| it.backend_id.clone());
        let (their_now, their_before) = (theirs(&now), theirs(&before));
        if their_now != their_before {
            for (of, id, add) in [(&before, their_before, false), (&now, their_now, true)] {
                let Some((ticket, id)) = of.ticket.as_ref().zip(id) else { continue };
                let ids = self.theirs.entry(ticket.backend.clone()).or_default();
                match add {
                    true => drop(ids.insert(id, key)),
                    false => drop(ids.remove(&id)),
                }
            }
        }
        match (&before.ticket, &now.ticket) {
            (None, Some(new)) => {
                self.correlations.insert(new.correlation_key.clone(), key);
            }
            (Some(gone), None) => {
                self.correlations.remove(&gone.correlation_key);
            }
            _ => {}
        }
        for (n, id) in &before.events[now.events.len().min(before.events.len())..] {
            self.events.remove(n);
            self.event_ids.remove(id);
        }
        for (n, id) in &now.events[before.events.len().min(now.events.len())..] {
            self.events.insert(*n, key);
            self.event_ids.insert(*id);
        }
        self.unsent += now.unsent;
        self.unsent -= before.unsent;
        self.at_rest += usize::from(now.at_rest);
        self.at_rest -= usize::from(before.at_rest);
        match young {
            Some(young) => self.tickets.insert(key, young),
            None => self.tickets.remove(&key),
        }
    }
}

/// By what a ticket is found.
#[derive(Default)]
struct Found {
    ticket: Option<Arc<Ticket>>,
    request: Option<RequestId>,
    open: bool,
    alarm: Option<Arc<Alarm>>,
    events: Vec<(u64, EventId)>,
    unsent: u64,
    at_rest: bool,
}

impl Found {
    fn of(young: &Young) -> Self {
        let events = young.events.iter().map(|told| &told.event.row);
        Self {
            ticket: Some(young.ticket.row.clone()),
            request: young.request.as_ref().map(|it| it.row.id),
            open: young.request.as_ref().is_some_and(|it| !it.row.state.ended()),
            alarm: young.alarm.as_ref().map(|it| it.row.clone()),
            events: events.map(|event| (event.n, event.event_id)).collect(),
            unsent: young.events.iter().filter(|told| told.sent_at.is_none()).count() as u64,
            at_rest: young.at_rest(),
        }
    }
}
