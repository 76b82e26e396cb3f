//! Mirrors the backend adapters: one look at the clock, one call, one time-out.

use crate::logic::lane::{Input, Turn};
use crate::model::BackendId;
use crate::ports::{Answer, Call, Heard};
use crate::testing::world::World;
use crate::testing::world::plan::Fault;
use crate::testing::world::rules::told_call;
use crate::testing::world::system::written;
use std::rc::Rc;
use std::time::Duration;

impl World {
    pub(crate) fn call(&mut self, backend: BackendId, turn: Turn, call: Call) {
        self.watch_call_begun(&backend);
        let stall = match self.strikes(Fault::StallCall, 10) {
            true => self.chance.ms(0, 6_000),
            false => self.chance.ms(0, 3),
        };
        self.gateway(stall, move |w| w.first_byte(backend, turn, call));
    }

    fn first_byte(&mut self, backend: BackendId, turn: Turn, call: Call) {
        let me = self.service.gateway;
        if self.mono() > call.send_by {
            let answer = Answer::NotSent("its time to be sent was over".into());
            self.watch_not_sent(&backend);
            return self.gateway(1, move |w| w.heard(backend, turn, &call, answer));
        }
        self.watch_first_byte(&backend, &call);
        let faults: Vec<_> = if self.calm { Vec::new() } else { self.plan.faults.clone() };
        let now = self.now;
        let system = self.systems.get_mut(&backend).expect("every lane has its system");
        let fate = system.fate(&call, now, &faults, &mut self.chance);
        self.note(|| {
            let (done, heard) = (fate.done_after, fate.heard_after);
            let what = told_call(&call);
            format!(
                "-> {backend} {what}: done after {done:?}, heard after {heard} {:?}",
                fate.heard
            )
        });
        let hang = match self.strikes(Fault::Hang, 40) {
            true => self.chance.ms(20_000, 200_000),
            false => 0,
        };
        let (life, at) = (self.life, self.now + fate.heard_after + hang);
        let call = Rc::new(call);
        let told = fate.heard.is_some();
        if let Some(answer) = fate.heard {
            let (backend, call) = (backend.clone(), call.clone());
            let hear = move |w: &mut World| w.heard_by(me, backend, turn, &call, answer);
            self.push(at, Some(life), Box::new(hear));
        }
        if let Some(later) = fate.later {
            self.answers_later(&backend, &call, later);
        }
        let Some(done_after) = fate.done_after else { return };
        let key = written(&call.work).map(|ticket| ticket.key);
        self.system(&backend).pending.extend(key);
        self.outside(done_after, move |w| {
            let system = w.systems.get_mut(&backend).expect("every lane has its system");
            let truth = system.act(&call, w.now, &mut w.chance);
            if let Some(place) = key.and_then(|key| system.pending.iter().position(|it| *it == key))
            {
                system.pending.swap_remove(place);
            }
            w.watch_done(&backend, &call);
            if !told {
                let hear = move |w: &mut World| w.heard_by(me, backend, turn, &call, truth);
                w.push(w.now + 5 + hang, Some(life), Box::new(hear));
            }
        });
    }

    fn heard_by(&mut self, me: u32, backend: BackendId, turn: Turn, call: &Call, answer: Answer) {
        if self.service.gateway == me {
            self.heard(backend, turn, call, answer);
        }
    }

    fn heard(&mut self, backend: BackendId, turn: Turn, call: &Call, answer: Answer) {
        if self.dies() {
            return;
        }
        self.note(|| format!("<- {backend} {}: {}", told_call(call), told(&answer)));
        self.watch_heard(&backend, call, &answer);
        let quiet = self.strikes(Fault::Busy, 25).then(|| {
            let span = Duration::from_secs(self.chance.rng.u64(1..15));
            self.watch_quiet(&backend, span);
            span
        });
        self.feed(&backend, Input::Answered(turn, Heard { quiet, ..answer.into() }));
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Done(found) => format!("done {}", found.backend_id),
        Answer::Read(reading) => {
            let ids: Vec<_> = reading.tickets.iter().map(|it| it.backend_id.as_str()).collect();
            format!("read {ids:?} more {}", reading.more)
        }
        other => format!("{other:?}"),
    }
}
