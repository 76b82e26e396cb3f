//! Mirrors `actors/canary`, with its part of the intake and of the outbox.

use super::FLOW_TIMEOUT;
use crate::changes::{CanaryStep, Change, LockProof};
use crate::logic::canary::{Canary, CanarySettings, Effect, Input};
use crate::logic::locks::{Holder, Wish};
use crate::model::{BackendId, TestAlarm};
use crate::ports::{Answer, Work};
use crate::testing::world::World;
use crate::testing::world::plan::Fault;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const EVERY: Duration = Duration::from_secs(10);
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(40);
const TICK: u64 = 1_000;

pub(crate) type Canaries = BTreeMap<BackendId, Canary>;

impl World {
    pub(crate) fn start_canary(&mut self) {
        self.service.canary += 1;
        self.service.canaries.clear();
        self.watch_canaries_begin();
        if !self.plan.faults.contains(&Fault::Canary) {
            return;
        }
        let now = self.mono();
        let settings = CanarySettings { every: EVERY, dead_after: DEAD_AFTER };
        for backend in self.systems.keys() {
            let canary = Canary::new(settings, now.plus(EVERY), now);
            self.service.canaries.insert(backend.clone(), canary);
        }
        let backends: Vec<_> = self.systems.keys().cloned().collect();
        backends.into_iter().for_each(|backend| self.clear_up(backend));
        self.canaries_tick();
    }

    /// What is left of an earlier canary goes, or makes room for the next round.
    fn clear_up(&mut self, of: BackendId) {
        let backend = of.clone();
        self.read(
            move |w| w.rows.lane_row(&of).canary,
            move |w, left| {
                if let Some(Some(left)) = left {
                    w.canary_step(&backend, left.round, CanaryStep::GiveUp, |_, _| {});
                }
            },
        );
    }

    fn canaries_tick(&mut self) {
        let me = self.service.canary;
        self.inside(TICK, move |w| {
            if w.service.canary != me {
                return;
            }
            let backends: Vec<_> = w.service.canaries.keys().cloned().collect();
            for backend in backends {
                w.watch_canary_tick(&backend);
                w.feed_canary(&backend, Input::Tick);
            }
            w.check_canaries();
            w.canaries_tick();
        });
    }

    fn feed_canary(&mut self, backend: &BackendId, input: Input) {
        let (life, now) = (self.life, self.clocks());
        let Some(canary) = self.service.canaries.get_mut(backend) else { return };
        let (before, was_dead) = (canary.sight().rounds, canary.sight().dead);
        let chance = &mut self.chance;
        let effects = canary.step(input, now, &mut || chance.uuid());
        let died = canary.sight().dead && !was_dead;
        if canary.sight().rounds > before {
            self.meet("canary's rounds");
            self.watch_canary_whole(backend);
        }
        if died {
            self.watch_canary_died(backend);
        }
        for effect in effects {
            if self.dies() || self.life != life {
                return;
            }
            self.watch_canary(backend, &effect);
            self.perform_canary(backend, effect);
        }
    }

    /// Says something to the canary that asked, if that is still there.
    fn tell_canary(&mut self, me: u32, backend: &BackendId, input: Input) {
        if self.service.canary == me {
            self.feed_canary(backend, input);
        }
    }

    fn perform_canary(&mut self, backend: &BackendId, effect: Effect) {
        let (me, backend) = (self.service.canary, backend.clone());
        match effect {
            Effect::Publish(round) => {
                let (lost, unconfirmed) =
                    (self.strikes(Fault::BusLoss, 4), self.strikes(Fault::BusLoss, 4));
                if !lost {
                    let copies = if self.strikes(Fault::Repeat, 3) { 2 } else { 1 };
                    for copy in 0..copies {
                        let after = self.chance.ms(0, 200) + copy * self.chance.ms(0, 60_000);
                        let test = test(&backend, round);
                        self.outside(after, move |w| w.test_alarm_arrives(test));
                    }
                }
                let after = self.chance.ms(1, 100);
                self.inside(after, move |w| {
                    let said = match lost || unconfirmed {
                        true => Err("not confirmed".to_owned()),
                        false => Ok(()),
                    };
                    w.tell_canary(me, &backend, Input::Published(round, said));
                });
            }
            Effect::Carry(round) => {
                let wish = Wish {
                    guid: self.chance.uuid(),
                    holder: Holder::Flow(backend.clone()),
                    timeout: FLOW_TIMEOUT,
                    wait_until: self.mono().plus(DEAD_AFTER),
                };
                self.acquire(wish, Rc::default(), move |w, grant| {
                    let Some(grant) = grant else {
                        let no = Err("no ticket client".to_owned());
                        return w.tell_canary(me, &backend, Input::Carried(round, no));
                    };
                    let (client, fence, expires) = (grant.client, grant.fence, grant.expires);
                    let lock = LockProof { client, fence, expires };
                    let (guid, of) = (grant.guid, backend.clone());
                    w.canary_step(&of, round, CanaryStep::Carry(lock), move |w, said| {
                        w.release(guid);
                        w.tell_canary(me, &backend, Input::Carried(round, said));
                    });
                });
            }
            Effect::Ask(round) => {
                let deadline = self.mono().plus(DEAD_AFTER);
                let of = backend.clone();
                let answered = move |w: &mut World, said| {
                    w.tell_canary(me, &backend, Input::Answered(round, said));
                };
                let answered = Rc::new(answered);
                let late = answered.clone();
                self.ask(&of, Work::Probe, deadline, move |w, answer| {
                    let said = match answer {
                        Answer::Read(_) => Ok(()),
                        _ => Err("no answer".to_owned()),
                    };
                    answered(w, said);
                });
                // The actor's own end of the wait: a lane that hangs answers nobody.
                let wait = u64::try_from(DEAD_AFTER.as_millis()).unwrap_or(u64::MAX) + 20_000;
                self.inside(wait, move |w| late(w, Err("the lane does not answer".to_owned())));
            }
            Effect::Tell(round) => {
                let step = CanaryStep::Tell(self.chance.event_id());
                self.canary_step(&backend.clone(), round, step, move |w, said| {
                    if said.is_ok() {
                        w.wake_outbox();
                    }
                    w.tell_canary(me, &backend, Input::Told(round, said));
                });
            }
            Effect::Look(round) => {
                let of = backend.clone();
                self.read(
                    move |w| w.rows.lane_row(&of).canary,
                    move |w, row| {
                        if row.is_some_and(|row| row.is_none_or(|it| it.round != round)) {
                            w.tell_canary(me, &backend, Input::Confirmed(round));
                        }
                    },
                );
            }
            Effect::GiveUp(round) => {
                self.meet("canary's rounds given up");
                self.canary_step(&backend, round, CanaryStep::GiveUp, |_, _| {});
            }
            Effect::Ring(bell) => {
                let taken = !self.strikes(Fault::BusLoss, 3);
                let confirmed = taken && !self.strikes(Fault::BusLoss, 3);
                if taken {
                    self.watch_canary_heard(&backend, &bell);
                }
                let after = self.chance.ms(1, 60);
                self.inside(after, move |w| {
                    w.tell_canary(me, &backend, Input::Rung(bell.id, confirmed));
                });
            }
        }
    }

    fn canary_step(
        &mut self,
        backend: &BackendId,
        round: Uuid,
        step: CanaryStep,
        then: impl FnOnce(&mut World, Result<(), String>) + 'static,
    ) {
        self.apply(Change::Canary(test(backend, round), step), move |w, answer| {
            then(w, answer.map(drop).map_err(|error| error.to_string()));
        });
    }

    /// The broker brings a test alarm to whatever process is there; mirrors the intake's part.
    fn test_alarm_arrives(&mut self, test: TestAlarm) {
        if !self.up {
            return self.outside(1_000, move |w| w.test_alarm_arrives(test));
        }
        let known = self.service.canaries.get(&test.backend);
        if known.is_none_or(|canary| canary.awaits() != Some(test.round)) {
            self.meet("test alarms of rounds that are over");
            return;
        }
        let (backend, round) = (test.backend.clone(), test.round);
        // A crash before the answer brings it again.
        let life = self.life;
        let again = test.clone();
        self.outside(5_000, move |w| {
            if w.life != life {
                w.test_alarm_arrives(again);
            }
        });
        let change = Change::Canary(test.clone(), CanaryStep::TakeIn);
        // Looked at and queued in one step, as the intake does.
        let taken: super::Then = Box::new(move |w, answer| match answer {
            Ok(_) => {
                let me = w.service.canary;
                w.tell_canary(me, &backend, Input::CameIn(round));
            }
            Err(_) => w.outside(1_000, move |w| w.test_alarm_arrives(test)),
        });
        self.queue_set(change.into(), taken);
    }

    /// The outbox says that the event of a test alarm is confirmed; its word may be lost with it.
    pub(crate) fn canary_confirmed(&mut self, test: &TestAlarm) {
        let me = self.service.canary;
        if !self.strikes(Fault::Replace, 4) {
            self.tell_canary(me, &test.backend, Input::Confirmed(test.round));
        }
    }
}

fn test(backend: &BackendId, round: Uuid) -> TestAlarm {
    TestAlarm { node: "node-1".to_owned(), backend: backend.clone(), round }
}
