//! The books of one simulated backend: its tickets, its faults, and everything that is counted.
//!
//! What always holds: every ticket call that arrives is counted once, before anything else is
//! decided about it, and every fault that is carried out is counted under its name.
//!
//! What it leaves to others: the lock around it and the clock (`ledger`), what a fault looks like
//! to a client (`handlers`, `calls`), and what is under way at once (`traffic`).

use std::collections::BTreeMap;

use super::faults::{self, CallbackFate, Dice, Fate, Faults, Plan, plan};
use super::report::{Calls, Report};
use super::tickets::{Changed, Fields, Found, Refusal, Tickets};

/// The kinds of ticket calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Create,
    Update,
    Get,
    Search,
}

/// The books of one backend.
#[derive(Debug)]
pub(super) struct Books {
    tickets: Tickets,
    faults: Faults,
    dice: Dice,
    callback_dice: Dice,
    faults_since_set: u64,
    calls: Calls,
    faults_injected: BTreeMap<String, u64>,
    unauthorised: u64,
    writes_taken: u64,
    callbacks_taken: u64,
    callbacks_refused: u64,
    /// The wall clock at the start, in milliseconds since 1970.
    began_ms: i64,
}

impl Books {
    pub fn new(mut tickets: Tickets, faults: Faults, dice: Dice, began_ms: i64) -> Self {
        tickets.set_clock(began_ms.saturating_add(faults.clock_offset_ms));
        Self {
            began_ms,
            tickets,
            faults,
            callback_dice: dice.others(),
            dice,
            faults_since_set: 0,
            calls: Calls::default(),
            faults_injected: BTreeMap::new(),
            unauthorised: 0,
            writes_taken: 0,
            callbacks_taken: 0,
            callbacks_refused: 0,
        }
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Replaces the faults; `at_most` counts anew from here. The dice go on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.tickets.set_clock(self.began_ms.saturating_add(faults.clock_offset_ms));
        self.faults = faults;
        self.faults_since_set = 0;
    }

    /// Counts a call that arrived and decides its fate. `authorised` is whether its token is
    /// right.
    pub fn arrive(&mut self, kind: CallKind, authorised: bool) -> Plan {
        let calls = &mut self.calls;
        let (count, is_write) = match kind {
            CallKind::Create => (&mut calls.create, true),
            CallKind::Update => (&mut calls.update, true),
            CallKind::Get => (&mut calls.get, false),
            CallKind::Search => (&mut calls.search, false),
        };
        *count += 1;

        let refused = self.faults.down || self.faults.unauthorised || !authorised;
        let within = self.faults.at_most.is_none_or(|most| self.faults_since_set < most);
        let mut plan = plan(&self.faults, &mut self.dice, is_write, within && !refused);
        if self.faults.down {
            plan.fault = Some("down");
            plan.fate = Fate::Down;
        } else if refused {
            plan.fault = self.faults.unauthorised.then_some("unauthorised");
            plan.fate = Fate::Unauthorised;
            self.unauthorised += 1;
        } else if plan.fault.is_some() {
            self.faults_since_set += 1;
        }
        if let Some(fault) = plan.fault {
            self.count_fault(fault, 1);
        }
        plan
    }

    /// A write is taken, to be answered later: its number, and what becomes of the later answer.
    pub fn take_write(&mut self) -> (u64, CallbackFate) {
        self.writes_taken += 1;
        let within = self.faults.at_most.is_none_or(|most| self.faults_since_set < most);
        let fate = faults::callback(&self.faults, &mut self.callback_dice, within);
        if let Some(fault) = fate.fault {
            self.faults_since_set += 1;
            self.count_fault(fault, 1);
        }
        (self.writes_taken, fate)
    }

    /// A later answer was said.
    pub fn called_back(&mut self, taken: bool) {
        let count = if taken { &mut self.callbacks_taken } else { &mut self.callbacks_refused };
        *count += 1;
    }

    /// Why a ticket with this summary would be refused.
    pub fn refusal_of(&mut self, summary: &str) -> Option<Refusal> {
        self.faults.rejects(summary).then(|| self.reject())
    }

    /// Makes a ticket; see `Tickets::create`.
    pub fn create(
        &mut self,
        fields: Fields,
        idempotency_key: Option<&str>,
        now_ms: u64,
    ) -> Result<(Fields, bool), Refusal> {
        let summary = fields.get("summary").and_then(|summary| summary.as_str());
        if summary.is_some_and(|summary| self.faults.rejects(summary)) {
            return Err(self.reject());
        }
        let honoured = idempotency_key.filter(|_| self.faults.idempotent);
        self.tickets.create(fields, honoured, now_ms)
    }

    /// Changes a ticket; see `Tickets::update`.
    pub fn update(&mut self, id: &str, changes: Fields, now_ms: u64) -> Result<Fields, Refusal> {
        if self.faults.rejects(self.tickets.summary_after(id, &changes)) {
            return Err(self.reject());
        }
        self.tickets.update(id, changes, now_ms)
    }

    /// How many tickets were made.
    pub fn made(&self) -> u64 {
        self.tickets.made()
    }

    /// Removes a ticket; see `Tickets::delete`.
    pub fn delete(&mut self, id: &str, now_ms: u64) -> Result<(), Refusal> {
        self.tickets.delete(id, now_ms)
    }

    /// What the backend's clock says, where it is wrong; in milliseconds since 1970.
    pub fn wrong_clock(&self, now_ms: u64) -> Option<i64> {
        (self.faults.clock_offset_ms != 0).then(|| self.tickets.clock_at(now_ms))
    }

    /// What changed, by its number; see `Tickets::changed_after`. None: it takes no cursor now.
    pub fn changed_after(
        &mut self,
        number: Option<u64>,
        limit: usize,
        now_ms: u64,
    ) -> Option<(Vec<Changed>, bool)> {
        if number.is_some() && self.faults.cursor_refused {
            self.count_fault("cursor_refused", 1);
            return None;
        }
        let lag_ms = self.faults.index_lag_ms;
        Some(self.tickets.changed_after(number.unwrap_or(0), limit, now_ms, lag_ms))
    }

    /// What changed, by time; see `Tickets::changed_since`.
    pub fn changed_since(
        &self,
        at_ms: Option<i64>,
        page: (usize, usize),
        now_ms: u64,
        is_asked: impl Fn(&Fields, bool) -> bool,
    ) -> (Vec<Changed>, usize) {
        let from = at_ms.unwrap_or(i64::MIN);
        let seen = (now_ms, self.faults.index_lag_ms);
        self.tickets.changed_since(from, page, seen, is_asked)
    }

    /// A ticket by its id.
    pub fn get(&self, id: &str) -> Result<Fields, Refusal> {
        self.tickets.get(id)
    }

    /// Searches, with the index lag of the faults.
    pub fn search(&mut self, filters: &[(String, String)], limit: usize, now_ms: u64) -> Found {
        let found = self.tickets.search(filters, limit, now_ms, self.faults.index_lag_ms);
        self.count_fault("index_lag", found.hidden);
        found
    }

    /// What the books say; the traffic is not in them.
    pub fn report(&self, with_tickets: bool) -> Report {
        Report {
            tickets: self.tickets.count(),
            by_state: self.tickets.by_state(),
            calls: self.calls,
            duplicates: self.tickets.duplicates(),
            order_faults: self.tickets.order_faults().to_vec(),
            faults_injected: self.faults_injected.clone(),
            unauthorised: self.unauthorised,
            callbacks_taken: self.callbacks_taken,
            callbacks_refused: self.callbacks_refused,
            ticket_list: with_tickets.then(|| self.tickets.entries()),
            ..Report::default()
        }
    }

    fn reject(&mut self) -> Refusal {
        self.count_fault("reject_summary", 1);
        Refusal::Field { field: "summary".to_owned(), message: "contains what is not allowed" }
    }

    fn count_fault(&mut self, name: &str, times: u64) {
        if times > 0 {
            *self.faults_injected.entry(name.to_owned()).or_default() += times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::Then;
    use super::*;

    fn books(faults: Faults) -> Books {
        Books::new(Tickets::new("a", "http://sim"), faults, Dice::of_backend(1, "a"), 0)
    }

    #[test]
    fn at_most_so_many_faults_are_injected_until_they_are_set_again() {
        let faults = Faults { busy_rate: 1.0, at_most: Some(2), ..Faults::default() };
        let mut books = books(faults.clone());
        let busy = |books: &mut Books| {
            (0..4).filter(|_| books.arrive(CallKind::Create, true).fate == Fate::Busy).count()
        };
        assert_eq!(busy(&mut books), 2);
        assert_eq!(busy(&mut books), 0);
        books.set_faults(faults);
        assert_eq!(busy(&mut books), 2);
        assert_eq!(books.report(false).faults_injected["busy"], 4);
    }

    #[test]
    fn down_hides_everything_and_a_missing_token_everything_but_that() {
        let mut books = books(Faults { busy_rate: 1.0, ..Faults::default() });
        assert_eq!(books.arrive(CallKind::Get, false).fate, Fate::Unauthorised);
        books.set_faults(Faults { down: true, ..Faults::default() });
        assert_eq!(books.arrive(CallKind::Get, false).fate, Fate::Down);
        books.set_faults(Faults::default());
        assert_eq!(books.arrive(CallKind::Get, true).fate, Fate::Done(Then::Answer));
        let report = books.report(false);
        assert_eq!((report.calls.get, report.unauthorised), (3, 1));
    }
}
