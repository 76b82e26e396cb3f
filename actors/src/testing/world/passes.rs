//! A source that names all its active alarms from time to time (CONTRACT 1.3): snapshots.
//!
//! Its messages come one at a time, in order, each again until it is committed. What must be cleared
//! follows from them, in the order in which they were committed: P1 nothing is taken as cleared that a
//! pass has named, or that was raised since its end; P2 what a whole pass did not name is.

use super::World;
use super::plan::Fault;
use crate::changes::{Applied, Change, Refusal, TakeIn};
use crate::logic::correlation::identity_by_id;
use crate::model::{
    AlarmEvent, AlarmState, BackendId, Identity, Mark, OccurrenceRef, Pass, Severity, Timestamp,
};
use crate::ports::StoreError;
use crate::testing::alarm_event;
use std::collections::{BTreeSet, VecDeque};

/// The source of these alarms; their ids begin with `f`.
pub(super) const FIELD: &str = "field";
/// Alarms in one commit: few, so that much can happen between two.
const AT_ONCE: u32 = 2;

#[derive(Clone)]
enum Message {
    Event(Identity, Box<AlarmEvent>),
    Mark(Identity, Mark),
}

/// The source and its line.
#[derive(Default)]
pub(super) struct Field {
    /// Each alarm's last event; none: never raised.
    alarms: Vec<Option<(Identity, AlarmEvent)>>,
    line: VecDeque<Message>,
    sending: bool,
    messages: u64,
    passes: u64,
    clock: i64,
}

/// What must be cleared.
#[derive(Debug, Default)]
pub(super) struct Passes {
    /// A pass is open, and has named these.
    pub named: Option<BTreeSet<String>>,
    /// Active, and not named by a pass that has ended.
    pub to_clear: BTreeSet<String>,
}

impl World {
    pub(super) fn field_begins(&mut self) {
        let alarms = self.chance.rng.usize(1..7);
        self.field.alarms = vec![None; alarms];
        self.field_lives();
        self.field_passes();
    }

    fn field_lives(&mut self) {
        let after = self.chance.ms(200, 12_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.field_lives();
            let n = w.chance.rng.usize(..w.field.alarms.len());
            w.field_event(n);
            w.field_sends();
        });
    }

    fn field_event(&mut self, n: usize) {
        let active = |last: &(Identity, AlarmEvent)| last.1.state != AlarmState::Cleared;
        let state = match self.field.alarms[n].as_ref().is_some_and(active) {
            false => AlarmState::Raised,
            true if self.chance.one_in(3) => AlarmState::Updated,
            true => AlarmState::Cleared,
        };
        self.field_says(n, state);
    }

    fn field_says(&mut self, n: usize, state: AlarmState) {
        self.field.messages += 1;
        self.field.clock = (self.field.clock + 2).max(self.true_wall());
        let at = Timestamp::from_millis(self.field.clock);
        let identity = identity_by_id(FIELD, &self.field.messages.to_string());
        let mut event = alarm_event(FIELD, &format!("f{n}"));
        event.state = state;
        event.changed_at = Some(at);
        event.body_hash = self.chance.rng.u64(..);
        event.details.raised_at = match &self.field.alarms[n] {
            Some((_, last)) if state != AlarmState::Raised => last.details.raised_at,
            _ => at,
        };
        event.details.severity = Some(Severity::Major);
        event.details.text = Some(format!("{} {}", state.as_str(), self.field.messages));
        event.details.wishes.backend = self.systems.keys().next().cloned();
        self.field.alarms[n] = Some((identity, event.clone()));
        self.field.line.push_back(Message::Event(identity, Box::new(event)));
    }

    fn field_passes(&mut self) {
        let after = self.chance.ms(5_000, 60_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.field_passes();
            w.meet("snapshots");
            w.field.passes += 1;
            w.field_marks(false);
            for n in 0..w.field.alarms.len() {
                let Some((identity, event)) = w.field.alarms[n].clone() else { continue };
                // It has lost one of six; and of what is over it says nothing.
                if event.state == AlarmState::Cleared || w.chance.one_in(6) {
                    continue;
                }
                match w.chance.one_in(2) {
                    true => w.field_says(n, AlarmState::Updated),
                    false => w.field.line.push_back(Message::Event(identity, Box::new(event))),
                }
                if w.chance.one_in(4) {
                    let other = w.chance.rng.usize(..w.field.alarms.len());
                    w.field_event(other);
                }
            }
            // One of eight is never ended.
            if !w.chance.one_in(8) {
                w.field_marks(true);
            }
            // What it says next comes between the end and the last page.
            for _ in 0..w.chance.rng.u32(..3) {
                let n = w.chance.rng.usize(..w.field.alarms.len());
                w.field_event(n);
            }
            w.field_sends();
        });
    }

    fn field_marks(&mut self, ends: bool) {
        let pass = format!("p{}", self.field.passes);
        let identity = identity_by_id(FIELD, &format!("{pass} {ends}"));
        let mark = Mark { source: FIELD.to_owned(), pass, ends, at: None };
        self.field.line.push_back(Message::Mark(identity, mark));
    }

    /// A process has started: what was not committed comes again.
    pub(super) fn field_again(&mut self) {
        self.field.sending = false;
        if self.plan.faults.contains(&Fault::Snapshots) {
            self.inside(20, World::field_sends);
            self.clear_all_unnamed();
        }
    }

    fn field_sends(&mut self) {
        if !self.up || self.field.sending {
            return;
        }
        let Some(message) = self.field.line.front().cloned() else { return };
        self.field.sending = true;
        let change = match message {
            Message::Event(identity, event) => {
                let routing = self.policy.route(&event, self.clocks().wall);
                Change::TakeIn(Box::new(TakeIn {
                    identity,
                    event: *event,
                    routing,
                    parked_at: None,
                }))
            }
            Message::Mark(identity, mark) => Change::Mark(identity, mark),
        };
        self.apply(change, |w, answer| {
            w.field.sending = false;
            match answer {
                Ok(applied) => {
                    w.field.line.pop_front();
                    for one in applied {
                        match one {
                            Applied::TakenIn(taken) => w.hand_over(taken),
                            Applied::Marked { ended: true, .. } => w.clear_all_unnamed(),
                            _ => {}
                        }
                    }
                    let after = w.chance.ms(0, 50);
                    w.inside(after, World::field_sends);
                }
                Err(StoreError::Refused(Refusal::NoSnapshot)) => {
                    w.field.line.pop_front();
                    w.inside(1, World::field_sends);
                }
                Err(_) => w.inside(1_000, World::field_sends),
            }
        });
    }

    /// Mirrors `Intake::clear_all_unnamed`.
    fn clear_all_unnamed(&mut self) {
        self.read(
            |w| w.rows.all_snapshots().any(|it| matches!(it.state, Pass::Clearing { .. })),
            |w, open| match open {
                Some(false) => {}
                None => w.inside(1_000, World::clear_all_unnamed),
                Some(true) => {
                    let source = FIELD.to_owned();
                    let page = Change::ClearUnnamed { source, limit: AT_ONCE };
                    w.apply(page, |w, answer| {
                        let mut due: Vec<BackendId> = Vec::new();
                        for one in answer.iter().flatten() {
                            if let Applied::Cleared(backends) = one {
                                due.extend(backends.iter().cloned());
                            }
                        }
                        due.iter().for_each(|backend| w.wake_flows(backend));
                        let after = if answer.is_ok() { w.chance.ms(0, 300) } else { 1_000 };
                        w.inside(after, World::clear_all_unnamed);
                    });
                }
            },
        );
    }

    pub(super) fn field_is_quiet(&self) -> bool {
        let clearing = |it: &crate::model::Snapshot| matches!(it.state, Pass::Clearing { .. });
        self.field.line.is_empty() && !self.rows.all_snapshots().any(clearing)
    }

    /// A mark is durable.
    pub(super) fn watch_mark(&mut self, mark: &Mark) {
        let passes = &mut self.truth.passes;
        if !mark.ends {
            passes.named = Some(BTreeSet::new());
            passes.to_clear.clear();
            return;
        }
        let Some(named) = passes.named.take() else { return };
        let active = self.truth.active_of_field();
        self.truth.passes.to_clear = active.difference(&named).cloned().collect();
    }

    /// The active occurrences of this source.
    pub(super) fn active_field(&self) -> BTreeSet<OccurrenceRef> {
        let rows = self.rows.all_alarms().filter(|it| it.active && it.at.alarm.source == FIELD);
        rows.map(|it| it.at.clone()).collect()
    }

    /// P1: a page is durable, which has taken these as cleared.
    pub(super) fn watch_page(&mut self, page: Vec<OccurrenceRef>) {
        for at in page {
            let id = at.alarm.id.clone();
            self.meet("alarms taken as cleared");
            if !self.truth.passes.to_clear.remove(&id) {
                return self.fail("P1", format!("{id} is taken as cleared, and must not be"));
            }
            self.truth.taken(&id);
        }
    }

    /// P2, at the end.
    pub(super) fn check_passes(&mut self) {
        let left = self.truth.passes.to_clear.first().cloned();
        if let Some(id) = left {
            self.fail("P2", format!("{id} was not named by a whole pass, and is not cleared"));
        }
    }
}
