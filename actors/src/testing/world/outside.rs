//! Everything around the process: sources, the bus both ways, people, scripts, and the faults.

use super::World;
use super::plan::Fault;
use super::system::{Later, written};
use crate::changes::{Applied, Asked, Change, LaterAnswer, Outcome, PersonSays, Settle, TakeIn};
use crate::logic::correlation::identity_by_id;
use crate::model::{
    AlarmEvent, AlarmState, BackendId, Found, Identity, Op, Severity, State, TicketEvent,
    TicketKey, Timestamp,
};
use crate::ports::Call;
use crate::testing::alarm_event;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// A message of a source in the broker's queue.
struct Message {
    identity: Identity,
    event: AlarmEvent,
    acknowledged: bool,
    /// Given to the process and not acknowledged.
    out: bool,
}

/// The broker.
#[derive(Default)]
pub(super) struct Bus {
    messages: Vec<Message>,
    /// What the sources have yet to publish.
    to_come: usize,
    /// Later answers that are on their way.
    pub answers: usize,
    /// Event ids that arrived.
    heard: HashSet<uuid::Uuid>,
    /// The last sequence that a subscriber heard of each ticket.
    sequences: BTreeMap<TicketKey, u64>,
    /// Unconfirmed publishes: ticket and outbox.
    pub unconfirmed: BTreeSet<(TicketKey, u64)>,
}

/// The generator: each alarm's life as its source tells it.
impl World {
    pub(super) fn begin(&mut self) {
        let backends: Vec<_> = self.systems.keys().cloned().collect();
        let span = self.plan.seconds * 1_000;
        for n in 0..self.plan.alarms {
            let backend = backends[n as usize % backends.len()].clone();
            self.source(n, backend, span);
        }
        self.start();
        self.people_look();
        if self.plan.faults.contains(&Fault::Scripts) {
            self.script_comes();
        }
        if self.plan.faults.contains(&Fault::Meddling) {
            self.person_steps_in();
        }
        if self.plan.faults.contains(&Fault::Snapshots) {
            self.field_begins();
        }
        if self.plan.faults.contains(&Fault::ByHand) {
            self.person_decides();
        }
        if self.plan.faults.contains(&Fault::Neighbours) {
            self.neighbours_begin();
        }
        self.fault_comes();
        self.outside(span, |w| {
            w.note(|| "calm".to_owned());
            w.calm = true;
            w.dies_in = u64::MAX;
            // Not as if it had never been full: what had been chosen before has waited.
            w.disk_full_until = w.disk_full_until.min(w.now);
            for system in w.systems.values_mut() {
                system.away_until = 0;
                system.locked_out = false;
            }
        });
        self.is_it_over(span + 1_000);
    }

    fn source(&mut self, n: u32, backend: BackendId, span: u64) {
        let skew = match self.plan.faults.contains(&Fault::Skew) {
            true => self.chance.rng.i64(-600_000..600_000),
            false => 0,
        };
        let disorder = self.plan.faults.contains(&Fault::Disorder);
        let repeats = self.plan.faults.contains(&Fault::Repeat);
        // A flood comes at once; others over the whole time.
        let mut at = self.chance.ms(0, if self.plan.alarms > 100 { 20_000 } else { span / 2 });
        let mut raised_at = 0;
        let mut active = false;
        let events = if self.plan.alarms > 100 { 1 } else { self.chance.rng.u32(1..8) };
        for number in 0..events {
            let clock = self.true_wall() + i64::try_from(at).unwrap_or(0) + skew;
            let state = match active {
                false => AlarmState::Raised,
                true if self.chance.one_in(2) => AlarmState::Cleared,
                true => AlarmState::Updated,
            };
            if state == AlarmState::Raised {
                raised_at = clock;
            }
            active = state != AlarmState::Cleared;
            let mut event = alarm_event("probe", &n.to_string());
            event.state = state;
            event.changed_at = Some(Timestamp::from_millis(clock));
            event.body_hash = self.chance.rng.u64(..);
            event.details.raised_at = Timestamp::from_millis(raised_at);
            event.details.severity = Some(Severity::Major);
            let silent = state == AlarmState::Cleared && self.chance.one_in(2);
            event.details.text = (!silent).then(|| format!("{} {number}", state.as_str()));
            event.details.wishes.backend = Some(backend.clone());
            event.details.object = super::plan::object(&self.plan, n);
            let identity = identity_by_id("probe", &format!("{n}.{number}"));
            let copies = if repeats && self.chance.one_in(3) { 2 } else { 1 };
            for copy in 0..copies {
                let late = match disorder && self.chance.one_in(3) || copy > 0 {
                    true => self.chance.ms(0, 30_000),
                    false => 0,
                };
                let event = event.clone();
                self.bus.to_come += 1;
                self.outside(at + late, move |w| {
                    w.bus.to_come -= 1;
                    let message = Message { identity, event, acknowledged: false, out: false };
                    w.bus.messages.push(message);
                    w.deliver(1);
                });
            }
            let pause = if self.chance.one_in(2) { 3_000 } else { 60_000 };
            at += self.chance.ms(0, pause);
        }
    }
}

/// The bus inward; mirrors `actors/intake`.
impl World {
    fn deliver(&mut self, after: u64) {
        self.inside(after, |w| {
            let waiting = w.bus.messages.iter().enumerate();
            let waiting = waiting.filter(|(_, it)| !it.acknowledged && !it.out).map(|(n, _)| n);
            let batch: Vec<usize> = waiting.take(5).collect();
            for n in batch {
                if !w.up {
                    return;
                }
                w.bus.messages[n].out = true;
                w.take_in(n);
            }
        });
    }

    fn take_in(&mut self, n: usize) {
        let Message { identity, event, .. } = &self.bus.messages[n];
        let (identity, event) = (*identity, event.clone());
        let routing = self.policy.route(&event, self.clocks().wall);
        self.apply(
            Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at: None })),
            move |w, answer| match answer {
                Ok(applied) => {
                    for one in applied {
                        if let Applied::TakenIn(taken) = one {
                            w.hand_over(taken);
                        }
                    }
                    w.acknowledge(n);
                }
                Err(_) => {
                    w.bus.messages[n].out = false;
                    w.deliver(1_000);
                }
            },
        );
    }

    pub(super) fn acknowledge(&mut self, n: usize) {
        let identity = self.bus.messages[n].identity;
        if !self.rows.knows(&identity) {
            self.fail("I1", format!("delivery {n} was acknowledged and is not durable"));
        }
        if self.strikes(Fault::BusLoss, 8) {
            self.meet("acknowledgements lost");
            self.note(|| format!("the acknowledgement of delivery {n} is lost"));
            self.bus.messages[n].out = false;
            return self.deliver(500);
        }
        self.bus.messages[n].acknowledged = true;
    }

    /// Whatever was not acknowledged comes again.
    pub(super) fn bus_lost_consumer(&mut self) {
        for message in &mut self.bus.messages {
            message.out = false;
        }
    }

    fn all_taken(&self) -> bool {
        self.field_is_quiet()
            && self.bus.to_come == 0
            && self.bus.messages.iter().all(|it| it.acknowledged)
    }
}

/// The bus outward, and a subscriber.
impl World {
    pub(super) fn publish(
        &mut self,
        event: &Arc<TicketEvent>,
        then: impl FnOnce(&mut World, bool) + 'static,
    ) {
        let key = event.ticket.key;
        let me = u64::from(self.service.outboxes);
        if !self.bus.unconfirmed.insert((key, me)) {
            self.fail("O3", format!("two unconfirmed events of ticket {key}"));
        }
        if self.bus.unconfirmed.len() > crate::logic::outbox::WINDOW {
            self.fail("O3", "more unconfirmed events than the window".to_owned());
        }
        let lost = self.strikes(Fault::BusLoss, 10);
        let unconfirmed = self.strikes(Fault::BusLoss, 10);
        if !lost {
            let event = event.clone();
            let after = self.chance.ms(0, 20);
            self.outside(after, move |w| w.hear(&event));
        }
        let after = self.chance.ms(20, 60);
        let confirmed = !lost && !unconfirmed;
        self.inside(after, move |w| {
            w.bus.unconfirmed.remove(&(key, me));
            then(w, confirmed);
        });
    }

    /// The subscriber: every event once by its id, each ticket's in sequence, without holes.
    fn hear(&mut self, event: &TicketEvent) {
        self.meet(event.event.as_str());
        if !self.bus.heard.insert(event.event_id.0) {
            return;
        }
        let last = self.bus.sequences.entry(event.ticket.key).or_default();
        let before = *last;
        *last = event.sequence;
        if event.sequence != before + 1 {
            let key = event.ticket.key;
            self.fail("O3", format!("ticket {key}: event {} after {before}", event.sequence));
        }
    }

    pub(super) fn heard_by_subscriber(&self, event: &TicketEvent) -> bool {
        self.bus.heard.contains(&event.event_id.0)
    }

    pub(super) fn watch_outbox_gone(&mut self) {
        self.bus.unconfirmed.clear();
    }
}

/// Backends that answer later.
impl World {
    pub(super) fn answers_later(&mut self, backend: &BackendId, call: &Call, later: Later) {
        let (Some(request), Some(ticket)) = (call.request, written(&call.work).cloned()) else {
            return;
        };
        let asked = match (later.reference, self.chance.rng.u8(..3)) {
            (Some(reference), 0) => Asked::Reference(reference),
            (_, 1) => Asked::Correlation(ticket.correlation_key),
            _ => Asked::Request(request),
        };
        let copies = if self.plan.faults.contains(&Fault::Repeat) { 2 } else { 1 };
        let identity = identity_by_id(backend.as_str(), &self.chance.uuid().to_string());
        for copy in 0..copies {
            let (backend, asked, refused) = (backend.clone(), asked.clone(), later.refused.clone());
            let late = self.chance.ms(0, 20_000) * copy;
            self.bus.answers += 1;
            self.outside(later.after + late, move |w| {
                w.bus.answers -= 1;
                w.meet("later answers");
                let made = w.systems[&backend].tickets.iter().find(|it| it.key == ticket.key);
                let found =
                    made.map(|made| Found { backend_id: made.id.clone(), ..Found::default() });
                let outcome = match refused {
                    Some(error) => Outcome::Rejected(error),
                    None => Outcome::Done(found.unwrap_or_default()),
                };
                let event_id = w.chance.event_id();
                let watch_looks = w.systems[&backend].settings.watch_looks();
                w.take_answer(LaterAnswer {
                    identity,
                    backend,
                    asked,
                    outcome,
                    event_id,
                    watch_looks,
                });
            });
        }
    }
}

/// People: settle what nobody can know, truthfully, and put credentials right.
impl World {
    fn people_look(&mut self) {
        self.outside(10_000, |w| {
            w.people_look();
            if !w.up || w.now < w.frozen_until {
                return;
            }
            let undecided: Vec<_> =
                w.rows.all_requests().filter(|it| it.state == State::Undecided).cloned().collect();
            for request in undecided {
                w.person_settles(&request);
            }
            let paused: Vec<_> = w
                .systems
                .values()
                .filter(|it| !it.locked_out && w.shown_as_paused(&it.id))
                .map(|it| it.id.clone())
                .collect();
            for backend in paused {
                w.meet("lanes resumed");
                w.resume(backend);
            }
        });
    }

    /// What a person sees is the lane itself.
    fn shown_as_paused(&self, backend: &BackendId) -> bool {
        let lane = self.service.seats.get(backend).map(|seat| seat.lane.glance(self.clocks()));
        lane.and_then(|it| it.held).is_some_and(|why| why.starts_with("paused"))
    }

    fn person_settles(&mut self, request: &crate::model::Request) {
        let system = &self.systems[&request.backend];
        // A person looks only when nothing of it can still happen.
        if system.pending.contains(&request.ticket) {
            return;
        }
        let made = system.tickets.iter().find(|made| made.key == request.ticket);
        let done = match request.op {
            Op::Create => made,
            _ => made.filter(|made| made.done.contains(&request.id)),
        };
        let says = match done {
            Some(_) if request.op != Op::Create => PersonSays::Done,
            Some(made) => PersonSays::Found(made.id.clone()),
            None if self.plan.faults.contains(&Fault::Drop) && self.chance.one_in(3) => {
                PersonSays::Drop
            }
            None => PersonSays::Absent,
        };
        self.meet("settled by a person");
        self.note(|| format!("a person says of {}: {says:?}", request.id));
        let settle = Settle {
            request: request.id,
            says,
            seen: None,
            unverified: None,
            who: "ann".into(),
            reason: "I looked".into(),
            event_id: self.chance.event_id(),
            watch_looks: self.systems[&request.backend].settings.watch_looks(),
        };
        self.settle(settle);
    }
}

/// What strikes from time to time.
impl World {
    fn fault_comes(&mut self) {
        let after = self.chance.ms(500, 20_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.fault_comes();
            let Some(fault) = w.chance.rng.choice(&w.plan.faults).copied() else { return };
            let length = w.chance.ms(100, 40_000);
            match fault {
                Fault::Crash => w.crash("killed"),
                Fault::Replace => w.replace_one(),
                Fault::Freeze => {
                    w.meet("freezes");
                    w.note(|| format!("the process stands still for {length} ms"));
                    // It stands still as a whole: until the later of two ends.
                    w.frozen_until = w.frozen_until.max(w.now + length);
                }
                Fault::Jump => {
                    let jump = w.chance.rng.i64(-600_000..600_000);
                    w.meet("clock jumps");
                    w.note(|| format!("the wall clock jumps by {jump} ms"));
                    w.wall_off += jump;
                    w.watch.jumped_at = Some(w.now);
                }
                Fault::DiskFull => {
                    w.meet("full disks");
                    w.note(|| format!("the disk is full for {length} ms"));
                    w.disk_full_until = w.now + length;
                }
                Fault::Outage => {
                    w.meet("outages");
                    w.note(|| format!("a backend is away for {length} ms"));
                    let until = w.now + length * if w.chance.one_in(4) { 10 } else { 1 };
                    w.any_system(move |system| system.away_until = until);
                }
                Fault::Unauthorised => {
                    w.meet("lock-outs");
                    w.any_system(|system| system.locked_out = true);
                    w.outside(length, |w| {
                        for system in w.systems.values_mut() {
                            system.locked_out = false;
                        }
                    });
                }
                _ => {}
            }
        });
    }

    fn any_system(&mut self, change: impl FnOnce(&mut super::System)) {
        let n = self.chance.rng.usize(..self.systems.len());
        self.systems.values_mut().nth(n).map(change);
    }

    /// Ends the run when nothing is left to do.
    fn is_it_over(&mut self, at: u64) {
        self.push(
            at,
            None,
            Box::new(move |w| {
                if w.up && w.all_taken() {
                    w.deliver(0);
                }
                let at_rest = w.calm && w.up && w.all_taken() && w.unfinished().is_none();
                if at_rest {
                    w.over = true;
                } else if w.now > w.plan.seconds * 1_000 + super::REST_WITHIN {
                    let (rule, what) = w.unfinished().unwrap_or(("I1", "deliveries".to_owned()));
                    w.fail(rule, format!("after six calm hours there is still {what}"));
                } else {
                    w.deliver(0);
                    w.is_it_over(w.now + 5_000);
                }
            }),
        );
    }
}
