//! What was applied: T1, T2, L3, G13, G14, and what the truth learns.

use crate::changes::{Applied, Change, ChangeSet, End, PersonSays};
use crate::model::{
    BackendId, Epoch, MadeBy, OccurrenceRef, Op, Request, RequestId, State, TicketKey,
};
use crate::testing::world::World;
use crate::testing::world::passes::FIELD;
use std::collections::{BTreeMap, BTreeSet};

/// Rows before a set, as far as its changes rest on them.
#[derive(Default)]
pub(crate) struct Before {
    epochs: Vec<(BackendId, Epoch)>,
    version: Option<u64>,
    asked_for: Option<RequestId>,
    sequence: Option<u64>,
    arrivals: Vec<u64>,
    /// The ticket that an alarm had before a person decided about it.
    left: Option<TicketKey>,
    /// Which of the alarms of a source that sends snapshots are active.
    active: BTreeSet<OccurrenceRef>,
}

/// What was applied: T1, T2, L3, G13, and what the truth learns.
impl World {
    fn arrivals(&self) -> u64 {
        self.rows.all_alarms().map(|alarm| alarm.arrivals).sum()
    }

    pub(crate) fn watch_before(&self, set: &ChangeSet) -> Before {
        let mut before = Before::default();
        for change in &set.0 {
            match change {
                Change::Intend(it) => before.epochs.push((it.backend.clone(), it.epoch)),
                Change::Conclude(it) => before.epochs.push((it.backend.clone(), it.epoch)),
                Change::PauseLane(backend, epoch, _) => {
                    before.epochs.push((backend.clone(), *epoch));
                }
                Change::Decide(it) => {
                    let alarm = self.rows.occurrences(&it.at.alarm).find(|row| row.at == it.at);
                    before.version = alarm.map(|row| row.wanted_version);
                    before.asked_for = alarm.and_then(|row| row.request);
                    before.sequence = it
                        .ticket
                        .and_then(|(key, _)| self.rows.ticket_row(key))
                        .map(|ticket| ticket.sequence);
                }
                Change::TakeIn(it) if self.rows.knows(&it.identity) => {
                    before.arrivals.push(self.arrivals());
                }
                Change::ClearUnnamed { .. } => before.active = self.active_field(),
                Change::ByHand(it) => {
                    let newest = self.rows.occurrences(&it.alarm).next_back();
                    before.left = newest.and_then(|row| row.ticket);
                }
                _ => {}
            }
        }
        before.epochs.retain(|(backend, epoch)| self.rows.lane_row(backend).epoch != *epoch);
        before
    }

    pub(crate) fn watch_applied(&mut self, set: &ChangeSet, before: Before, applied: &[Applied]) {
        if let Some((backend, epoch)) = before.epochs.first() {
            self.fail("G13", format!("{backend}: a change of the old epoch {epoch} was applied"));
        }
        for (change, applied) in set.0.iter().zip(applied) {
            match (change, applied) {
                (Change::Decide(it), Applied::Decided { request, .. }) => {
                    if let Some(request) = request {
                        self.check_room(request);
                        let row = self.rows.occurrences(&it.at.alarm).find(|row| row.at == it.at);
                        if let Some(row) = row.cloned() {
                            self.check_group(&row, request);
                        }
                    }
                    if before.version != Some(it.version)
                        || before.asked_for.is_some()
                        || it.ticket.map(|(_, sequence)| sequence) != before.sequence
                    {
                        self.fail("T2", format!("a decision on old rows for {}", it.at.alarm));
                    }
                    self.check_lock(&it.lock);
                }
                (Change::ClearUnnamed { .. }, Applied::Cleared(_)) => {
                    let now = self.active_field();
                    self.watch.pages.push_back(before.active.difference(&now).cloned().collect());
                }
                (Change::ByHand(it), Applied::ByHand(row)) => {
                    debug_assert_eq!(it.alarm, row.at.alarm);
                    self.watch.left.push_back(before.left);
                }
                (Change::Command(it), Applied::Command(taken)) => self.check_command(it, taken),
                (Change::TakeIn(it), Applied::TakenIn(_))
                    // What a snapshot names anew is no repeat: its alarm was taken as cleared.
                    if it.event.alarm.source != FIELD && before.arrivals.first().is_some_and(|was| *was != self.arrivals()) =>
                {
                    self.fail("I1", format!("a repeat counted for {}", it.event.alarm));
                }
                (_, Applied::Later(Some(it))) => {
                    self.meet("requests ended by a later answer");
                    if it.request.state == State::Rejected {
                        self.watch.unknown.remove(&it.ticket.key);
                    }
                }
                (Change::Conclude(_) | Change::Settle(_), Applied::Concluded(it)) => {
                    self.meet(it.request.state.as_str());
                }
                (Change::Intend(_), Applied::Stale(..)) => self.meet("stale levels"),
                (Change::Intend(_), Applied::Skipped) => self.meet("intents skipped"),
                _ => {}
            }
        }
    }

    /// G14: how much a backend has open.
    pub(crate) fn check_room(&mut self, request: &Request) {
        let admission = self.systems[&request.backend].settings.admission;
        let open = self.rows.open_of(&request.backend);
        let most = match request.op {
            Op::Create | Op::Reopen => admission.max_open,
            Op::Update | Op::Close => admission.creates_only_at,
        };
        if open >= most {
            self.meet("backends full");
        }
        if open > most {
            let what = format!(
                "{} has {open} open requests, and {most} are admitted",
                request.op.as_str()
            );
            self.fail("G14", what);
        }
    }

    pub(crate) fn watch_durable(&mut self, set: &ChangeSet, applied: &[Applied]) {
        for (change, applied) in set.0.iter().zip(applied) {
            match (change, applied) {
                (Change::TakeIn(it), Applied::TakenIn(taken)) => {
                    // What is known already says something only within a snapshot.
                    let known = taken.repeat || !self.watch.delivered.insert(it.identity);
                    self.truth.delivered(&it.event, known);
                }
                (Change::Mark(_, mark), Applied::Marked { repeat: false, .. }) => {
                    self.watch_mark(mark);
                }
                (Change::ClearUnnamed { .. }, Applied::Cleared(_)) => {
                    let page = self.watch.pages.pop_front().unwrap_or_default();
                    self.watch_page(page);
                }
                (Change::Intend(it), Applied::Intended(request, _)) => {
                    self.watch.intents.insert(it.request, it.epoch);
                    self.check_close(request);
                }
                (Change::ByHand(it), Applied::ByHand(row)) => {
                    let left = self.watch.left.pop_front().flatten();
                    self.decided_by_hand(it, row, left);
                }
                (Change::ForceUnlock(it), Applied::Done) => self.watch_unlocked(it),
                (Change::Command(it), Applied::Command(taken)) => {
                    let (hash, request) = (it.body_hash, taken.request.id);
                    self.watch.orders.entry(it.id).or_insert((hash, request));
                }
                (Change::Conclude(it), Applied::Concluded(_))
                    if matches!(it.end, End::Wait { counted: true, .. }) =>
                {
                    *self.watch.retryable.entry(it.request).or_default() += 1;
                }
                (Change::Settle(it), Applied::Concluded(concluded))
                    if it.says == PersonSays::Absent =>
                {
                    // Known now: nothing of it was done, and nothing will be.
                    self.watch.unknown.remove(&concluded.ticket.key);
                    self.watch.retry_not_before.remove(&it.request);
                    self.watch.retryable.remove(&it.request);
                }
                _ => {}
            }
        }
    }

    /// T1.
    pub(crate) fn watch_rows(&mut self) {
        let mut level_made: BTreeMap<TicketKey, u32> = BTreeMap::new();
        for request in self.rows.all_requests() {
            if !request.state.ended() && matches!(request.made_by, MadeBy::Level { .. }) {
                *level_made.entry(request.ticket).or_default() += 1;
            }
        }
        if let Some((key, n)) = level_made.into_iter().find(|(_, n)| *n > 1) {
            self.fail("T1", format!("ticket {key} has {n} un-ended level-made requests"));
        }
    }
}
