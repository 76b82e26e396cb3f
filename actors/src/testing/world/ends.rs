//! What must hold when everything has come to rest: nothing lost, nothing doubled, every level at
//! its ticket.

use super::World;
use super::hand::Wish;
use super::passes::FIELD;
use super::system::Made;
use super::truth::Occurrence;
use crate::logic::policy::{ClearedFirst, OnClear, RaisedAgain};
use crate::model::{Alarm, AlarmRef, BackendId, EventName, MadeBy, Op, Request, State, Ticket};
use std::collections::{BTreeMap, HashMap};

impl World {
    /// What is still to be done, with the rule that promises that it will be.
    pub(super) fn unfinished(&self) -> Option<(&'static str, String)> {
        if let Some(open) = self.rows.all_requests().find(|it| !it.state.ended()) {
            return Some((
                "G1",
                format!("{} {} is {}", open.op.as_str(), open.id, open.state.as_str()),
            ));
        }
        if let Some(alarm) = self.rows.all_alarms().find(|it| it.unsettled()) {
            let reason = alarm.reason.clone().unwrap_or_default();
            return Some(("T3", format!("{} is not settled: {reason}", alarm.at.alarm)));
        }
        if let Some((backend, _)) = self.service.canaries.iter().find(|it| it.1.sight().dead) {
            return Some(("K3", format!("the flow to {backend} is dead")));
        }
        let unsent = self.rows.all_events().find(|it| it.1.is_none());
        if let Some((event, _)) = unsent {
            return Some(("O3", format!("event {} of {} is not sent", event.n, event.ticket.key)));
        }
        if let Some(watched) = self.rows.all_watched().next() {
            return Some(("G8", format!("{} is still watched", watched.ticket)));
        }
        let pending = self.systems.values().find(|it| !it.pending.is_empty())?;
        Some(("G1", format!("{} has not done what it was asked for", pending.id)))
    }

    pub(super) fn check_end(&mut self) {
        self.check_requests();
        self.check_occurrences();
        self.check_ledgers();
        self.check_events();
        self.check_orders();
        self.check_canary_rows();
        self.check_passes();
        // The last: it takes away what the others look at.
        self.check_past();
    }

    /// T3: for one version of an alarm there is one request of a kind, unless it was superseded.
    fn check_requests(&mut self) {
        let mut made: HashMap<(String, u64, u64, Op), u32> = HashMap::new();
        for request in self.rows.all_requests().filter(|it| it.state != State::Superseded) {
            if let MadeBy::Level { at, version } = &request.made_by {
                let of = (at.alarm.id.clone(), at.occurrence, *version, request.op);
                *made.entry(of).or_default() += 1;
            }
        }
        if let Some((of, n)) = made.into_iter().find(|(_, n)| *n > 1) {
            self.fail("T3", format!("{n} requests for {of:?}"));
        }
    }

    fn check_occurrences(&mut self) {
        let truth = std::mem::take(&mut self.truth.alarms);
        for (id, expected) in &truth {
            let source = if id.starts_with('f') { FIELD } else { "probe" };
            let alarm = AlarmRef { source: source.into(), id: id.clone() };
            let rows: Vec<Alarm> = self.rows.occurrences(&alarm).cloned().collect();
            if rows.len() != expected.len() {
                let what = format!("{alarm}: {} occurrences, not {}", rows.len(), expected.len());
                return self.fail("I2", what);
            }
            for (row, occurrence) in rows.iter().zip(expected) {
                self.check_occurrence(row, occurrence);
            }
        }
    }

    fn check_occurrence(&mut self, row: &Alarm, expected: &Occurrence) {
        let alarm = &row.at.alarm;
        if row.active != expected.active || row.details.text != expected.text {
            let is = (row.active, &row.details.text);
            let what = format!("{alarm}: {is:?}, not {:?}", (expected.active, &expected.text));
            return self.fail("I2", what);
        }
        if row.arrivals != expected.events {
            let what = format!("{alarm}: {} arrivals, not {}", row.arrivals, expected.events);
            return self.fail("I1", what);
        }
        let by_hand = self.check_wish(row);
        let Some(key) = row.ticket else {
            if by_hand && !self.unlinked_while_active(row) {
                return;
            }
            let skipped = !row.active && self.policy.ways.cleared_first == ClearedFirst::Skip;
            if expected.wants_ticket && !skipped {
                let reason = row.reason.clone().unwrap_or_default();
                self.fail("T3", format!("{alarm} has no ticket: {reason}"));
            }
            return;
        };
        if !expected.wants_ticket && !by_hand {
            return self.fail("T3", format!("{alarm} has a ticket that nobody wanted"));
        }
        let Some(ticket) = self.rows.ticket_row(key).cloned() else {
            return self.fail("T5", format!("the ticket of {alarm} is gone"));
        };
        self.check_ticket(row, &ticket);
    }

    fn last_request(&self, ticket: &Ticket, of: Option<Op>) -> Option<Request> {
        let requests = self.rows.all_requests().filter(|it| it.ticket == ticket.key);
        // What commands wrote is not what the alarm says.
        let requests = requests.filter(|it| matches!(it.made_by, MadeBy::Level { .. }));
        let requests = requests.filter(|it| it.state != State::Superseded);
        requests.filter(|it| of.is_none_or(|op| it.op == op)).last().cloned()
    }

    fn check_ticket(&mut self, row: &Alarm, ticket: &Ticket) {
        let alarm = &row.at.alarm;
        let system = &self.systems[&ticket.backend];
        if system.too_late.contains(&ticket.key) {
            // Its backend broke its promise; that it is reported is checked at the ledger.
            return;
        }
        let made = system.tickets.iter().find(|made| made.key == ticket.key);
        let shared = self.is_shared(row, ticket.key);
        let Some(create) = self.last_request(ticket, Some(Op::Create)) else {
            // A person linked it to a ticket that a command made.
            if shared {
                return;
            }
            return self.fail("T5", format!("the create of {alarm} is gone"));
        };
        let Some(made) = made else {
            let no = match create.state {
                State::Rejected => system.refused.contains(&create.id),
                State::Failed => system.not_done.contains(&create.id),
                State::Cancelled => true,
                _ => false,
            };
            if !no {
                let state = create.state.as_str();
                self.fail("G1", format!("{alarm}: the create is {state}, and there is no ticket"));
            }
            return;
        };
        if ticket.backend_id.as_ref() != Some(&made.id) {
            let state = create.state.as_str();
            let what = format!("{alarm}: {} exists, and its create is {state}", made.id);
            return self.fail("G1", what);
        }
        // The level stands at the ticket, unless the backend or a person refused the last write.
        let last = self.last_request(ticket, None);
        let agreed = |it: &Request| matches!(it.state, State::Done | State::Adopted);
        if shared {
            if let Some(last) = last.filter(agreed) {
                self.check_shared(ticket, &last);
            }
            return;
        }
        if !last.as_ref().is_some_and(agreed) || self.linked_later(row, ticket) {
            return;
        }
        // Raised again and cleared before anything was sent of it: the ticket stays as it was.
        let of_this =
            |it: &Request| matches!(&it.made_by, MadeBy::Level { at, .. } if *at == row.at);
        if !row.active && !last.as_ref().is_some_and(of_this) {
            return;
        }
        let closes = self.policy.ways.on_clear == OnClear::Close;
        let says = made.fields.get("description").and_then(|it| it.as_str());
        let text = row.details.text.as_deref();
        // A clear that comes after the close changes nothing any more.
        let told = row.active || self.policy.ways.on_clear.updates();
        if told && text.is_some() && says != text {
            let what = format!("{alarm}: its ticket says {says:?}, not {text:?}");
            return self.fail("T3", what);
        }
        if made.open != (row.active || !closes) {
            let what = format!("{alarm}: active {}, its ticket open {}", row.active, made.open);
            self.fail("T3", what);
        }
    }

    fn unlinked_while_active(&self, row: &Alarm) -> bool {
        matches!(self.truth.by_hand.get(&row.at), Some(Wish::Unlink(_, true)))
    }

    /// Was the ticket taken over by a later occurrence?
    fn linked_later(&self, row: &Alarm, ticket: &Ticket) -> bool {
        let ways = &self.policy.ways;
        (ways.raised_again == RaisedAgain::Reopen || !ways.flapping.is_zero())
            && self
                .rows
                .occurrences(&row.at.alarm)
                .any(|it| it.at.occurrence > row.at.occurrence && it.ticket == Some(ticket.key))
    }

    /// Every ticket that was made is known here.
    fn check_ledgers(&mut self) {
        let mut lost: BTreeMap<BackendId, String> = BTreeMap::new();
        for system in self.systems.values() {
            for made in &system.tickets {
                let ours = self.rows.ticket_row(made.key);
                let known = ours.and_then(|it| it.backend_id.as_ref()) == Some(&made.id);
                let declared = system.too_late.contains(&made.key) && self.reported(made);
                if !(known || declared) {
                    lost.insert(system.id.clone(), made.id.clone());
                }
            }
        }
        if let Some((backend, id)) = lost.pop_first() {
            self.fail("G8", format!("{backend} has {id}, and nobody here knows it"));
        }
    }

    /// Do subscribers know that there is another ticket?
    fn reported(&self, made: &Made) -> bool {
        let of = self.rows.all_events().map(|row| &row.0).filter(|it| it.ticket.key == made.key);
        of.filter(|it| it.event == EventName::DuplicateDetected)
            .any(|it| it.error.as_ref().is_some_and(|error| error.reason.contains(&made.id)))
    }

    fn check_events(&mut self) {
        let unheard = self.rows.all_events().find(|it| !self.heard_by_subscriber(&it.0));
        if let Some(n) = unheard.map(|it| it.0.n) {
            self.fail("O3", format!("event {n} was never heard"));
        }
    }
}
