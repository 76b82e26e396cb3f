//! Mirrors `actors/gateway`.

use super::{Journaled, Told};
use crate::changes::{
    Applied, Change, ChangeSet, Concluded, Decide, LaterAnswer, Settle, TakeLane,
};
use crate::logic::lane::{Effect, HEADS_MAX, Input, SWEEP_PAGE, Turn};
use crate::model::{BackendId, Mono, Request, RequestId};
use crate::ports::StoreError;
use crate::testing::world::World;
use std::collections::VecDeque;

impl World {
    pub(crate) fn start_gateway(&mut self) {
        self.service.gateway += 1;
        self.watch.at_store.clear();
        let backends: Vec<_> = self.service.seats.keys().cloned().collect();
        for backend in backends {
            self.take_lane(backend);
        }
    }

    /// Only while the same gateway lives.
    pub(crate) fn gateway(&mut self, after: u64, act: impl FnOnce(&mut World) + 'static) {
        let me = self.service.gateway;
        self.inside(after, move |w| {
            if w.service.gateway == me {
                act(w);
            }
        });
    }

    fn take_lane(&mut self, backend: BackendId) {
        let settle = self.systems[&backend].settings.settle();
        let event_id = self.chance.event_id();
        let take = Change::TakeLane(TakeLane { backend: backend.clone(), settle, event_id });
        let me = self.service.gateway;
        self.apply(take, move |w, taken| {
            if w.service.gateway != me {
                return;
            }
            let Ok([Applied::LaneTaken(epoch, pause)]) = taken.as_deref() else {
                return w.gateway(1_000, move |w| w.take_lane(backend));
            };
            let (epoch, pause, of) = (*epoch, pause.clone(), backend.clone());
            w.read(
                move |w| {
                    let doubts = w.rows.in_state(&of, crate::model::State::InDoubt);
                    let with = |request: Request| {
                        w.rows.ticket_row(request.ticket).map(|ticket| (request, ticket.clone()))
                    };
                    let doubts = doubts.into_iter().filter_map(with).collect::<Vec<_>>();
                    (doubts, w.rows.in_state(&of, crate::model::State::Acknowledged))
                },
                move |w, rows| {
                    if w.service.gateway != me {
                        return;
                    }
                    match rows {
                        Some((doubts, unconfirmed)) => {
                            w.watch.lane_taken = w.now;
                            let held = Vec::new();
                            let taken = Input::Taken { epoch, pause, doubts, unconfirmed, held };
                            w.feed(&backend, taken);
                            w.wake_outbox();
                        }
                        None => w.gateway(1_000, move |w| w.take_lane(backend)),
                    }
                },
            );
        });
    }

    pub(crate) fn feed(&mut self, backend: &BackendId, input: Input) {
        let (life, me) = (self.life, self.service.gateway);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.clocks();
            let Some(seat) = self.service.seats.get_mut(backend) else { return };
            let effects = seat.lane.step(input, now, &mut self.chance);
            self.watch_lane(backend);
            for effect in effects {
                if self.dies() || self.life != life || self.service.gateway != me {
                    return;
                }
                inputs.extend(self.perform(backend, effect));
            }
        }
    }

    fn perform(&mut self, backend: &BackendId, effect: Effect) -> Option<Input> {
        match effect {
            Effect::LoadWatched(after) => self.load_watched(backend.clone(), after),
            Effect::Load(class) => self.load(backend.clone(), class),
            Effect::Store(turn, set) => self.store(backend.clone(), turn, set),
            Effect::Call(turn, call) => self.call(backend.clone(), turn, *call),
            Effect::Render(turn, request, alarm, others) => {
                let level = self.policy.level(request.op, &alarm, &others);
                return Some(Input::Rendered(turn, level));
            }
            Effect::AnswerRead(id, heard) => {
                if let Some(asker) = self.service.searches.remove(&id) {
                    let after = self.chance.ms(0, 3);
                    self.inside(after, move |w| asker(w, heard.answer));
                }
            }
            Effect::Declined(decide) => self.journaled(decide.request, Told::Alone(decide)),
            Effect::WakeFlows => {
                let backend = backend.clone();
                self.inside(1, move |w| w.wake_flows(&backend));
            }
            Effect::WakeOutbox => self.wake_outbox(),
            Effect::Ops(what, why) => self.note(|| format!("ops {backend} {what}: {why}")),
            Effect::Note(it) => {
                self.note(|| format!("{backend} {} is {}: {}", it.request, it.state, it.reason));
            }
            Effect::Lost => {
                self.note(|| format!("{backend} lost its lane"));
                self.take_lane(backend.clone());
            }
            Effect::WakeAt(at) => self.wake_lane_at(backend, at),
        }
        None
    }

    fn load(&mut self, backend: BackendId, class: u8) {
        let now = self.clocks().wall;
        let me = self.service.gateway;
        let (of, limit) = (backend.clone(), HEADS_MAX as u32);
        self.read(
            move |w| (w.rows.ready_requests(&of, class, now, limit), w.rows.next_ready(&of, now)),
            move |w, rows| {
                if w.service.gateway != me {
                    return;
                }
                let input = match rows {
                    Some((requests, next)) => Input::Loaded {
                        class,
                        all: requests.len() < HEADS_MAX,
                        requests: Some(requests),
                        next_ready: next.map(|at| at.since(now)),
                    },
                    None => Input::Loaded { class, all: false, requests: None, next_ready: None },
                };
                w.feed(&backend, input);
            },
        );
    }

    fn load_watched(&mut self, backend: BackendId, after: u64) {
        let me = self.service.gateway;
        let of = backend.clone();
        self.read(
            move |w| w.rows.watched_of(&of, after, SWEEP_PAGE),
            move |w, rows| {
                if w.service.gateway == me {
                    w.feed(&backend, Input::Watched(rows));
                }
            },
        );
    }

    fn store(&mut self, backend: BackendId, turn: Turn, set: ChangeSet) {
        let me = self.service.gateway;
        let decided = set.0.iter().find_map(|change| match change {
            Change::Decide(decide) => Some(decide.request),
            _ => None,
        });
        let moved = set.0.iter().filter_map(|change| match change {
            Change::Intend(it) => Some(it.request),
            Change::Conclude(it) => Some(it.request),
            _ => None,
        });
        let moved: Vec<_> = moved.collect();
        self.watch.at_store.extend(&moved);
        self.apply(set, move |w, answer| {
            if w.service.gateway == me {
                w.watch.at_store.retain(|id| !moved.contains(id));
                if let Some(request) = decided {
                    let intended = |it: &Applied| matches!(it, Applied::Intended(..));
                    if answer.iter().flatten().any(intended) {
                        w.meet("decisions with their intent");
                    }
                    let told = answer.as_ref().map(drop).map_err(StoreError::clone);
                    w.journaled(request, Told::Stored(told));
                }
                w.feed(&backend, Input::Stored(turn, answer));
            }
        });
    }

    /// `Handler<Journal>`.
    pub(super) fn offer(&mut self, backend: &BackendId, decide: Box<Decide>, then: Journaled) {
        self.service.decisions.insert(decide.request, then);
        self.feed(backend, Input::Offered(decide));
    }

    fn journaled(&mut self, request: RequestId, what: Told) {
        if let Some(asker) = self.service.decisions.remove(&request) {
            let after = self.chance.ms(0, 3);
            self.inside(after, move |w| asker(w, what));
        }
    }

    fn wake_lane_at(&mut self, backend: &BackendId, at: Mono) {
        let now = self.mono();
        let Some(seat) = self.service.seats.get_mut(backend) else { return };
        if seat.timer.is_some_and(|set_for| set_for <= at) {
            return;
        }
        seat.timer = Some(at);
        let backend = backend.clone();
        self.gateway(at.0.saturating_sub(now.0) + 1, move |w| {
            let Some(seat) = w.service.seats.get_mut(&backend) else { return };
            if seat.timer == Some(at) {
                seat.timer = None;
                w.feed(&backend, Input::Tick);
            }
        });
    }

    pub(crate) fn submit(&mut self, request: Request) {
        let backend = request.backend.clone();
        self.feed(&backend, Input::Submitted(Box::new(request)));
    }

    /// `Handler<Resume>`.
    pub(crate) fn resume(&mut self, backend: BackendId) {
        let (who, reason) = ("ann".to_owned(), "a new password".to_owned());
        let change = Change::ResumeLane { backend: backend.clone(), who, reason };
        let me = self.service.gateway;
        self.apply(change, move |w, answer| {
            if answer.is_ok() && w.service.gateway == me {
                w.watch_resumed(&backend);
                w.feed(&backend, Input::Resumed);
            }
        });
    }

    /// `Handler<SettleRequest>`.
    pub(crate) fn settle(&mut self, settle: Settle) {
        self.apply(Change::Settle(Box::new(settle)), move |w, answer| {
            if let Some(Applied::Concluded(it)) = answer.ok().and_then(|mut it| it.pop()) {
                w.moved(*it);
            }
        });
    }

    /// `Handler<TakeAnswer>`; the bus brings it again until it is stored.
    pub(crate) fn take_answer(&mut self, answer: LaterAnswer) {
        if !self.up || self.now < self.frozen_until {
            return self.outside(1_000, move |w| w.take_answer(answer));
        }
        let life = self.life;
        let again = answer.clone();
        // Should the process die before it is stored, nobody is told: it comes again.
        self.outside(60_000, move |w| {
            if w.life != life && !w.rows.knows(&again.identity) {
                w.take_answer(again);
            }
        });
        let again = answer.clone();
        self.apply(Change::LaterAnswer(Box::new(answer)), move |w, applied| match applied {
            Ok(mut applied) => {
                if let Some(Applied::Later(Some(it))) = applied.pop() {
                    w.moved(*it);
                }
            }
            Err(StoreError::Refused(_)) => w.meet("later answers parked"),
            Err(StoreError::Down(_)) => w.inside(1_000, move |w| w.take_answer(again)),
        });
    }

    fn moved(&mut self, concluded: Concluded) {
        self.wake_outbox();
        if let Some(due) = &concluded.due {
            self.wake_flows(due);
        }
        let backend = concluded.request.backend.clone();
        self.feed(&backend, Input::Moved(concluded.request.id));
        if let Some(next) = concluded.next {
            self.submit(next);
        }
    }
}
