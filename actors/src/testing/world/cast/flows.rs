//! Mirrors `actors/dispatcher` and `actors/client`.

use super::{FLOW_TIMEOUT, Told};
use crate::changes::{Applied, Change, Decide, Decision, LockProof, Refusal, TakenIn};
use crate::logic::desk::{News, Page};
use crate::logic::flow::{Decided, Flow, Next};
use crate::logic::lane::{Input, Read};
use crate::logic::locks::{Grant, Holder, Locks, Wish};
use crate::logic::turns::Turn;
use crate::model::{BackendId, ClientNumber, Fence, Mono, OccurrenceRef, Op, RequestId, TicketKey};
use crate::ports::{Answer, DueAlarm, DueMost, StoreError, Work};
use crate::testing::world::plan::Fault;
use crate::testing::world::{INSTANCE, World};
use std::rc::Rc;

/// Mirrors `actors/dispatcher`.
impl World {
    pub(crate) fn look_for_due(&mut self) {
        let me = self.service.dispatcher;
        self.inside(500, move |w| {
            if w.service.dispatcher != me {
                return;
            }
            let backends: Vec<_> = w.service.desks.keys().cloned().collect();
            for backend in backends {
                w.wake_flows(&backend);
            }
            w.look_for_due();
        });
    }

    pub(crate) fn wake_flows(&mut self, backend: &BackendId) {
        if let Some(desk) = self.service.desks.get_mut(backend) {
            desk.look();
        }
        self.serve_desk(backend);
    }

    /// Mirrors `Intake::hand_over`.
    pub(crate) fn hand_over(&mut self, mut taken: TakenIn) {
        let Some(work) = taken.due_by(self.clocks().wall) else { return };
        let (backend, mut news) = (work.backend.clone(), News::default());
        news.add(work);
        // Until it arrives the row may have been read, decided on and changed.
        let late = if self.strikes(Fault::StallFlow, 8) { 40_000 } else { 3 };
        let after = self.chance.ms(0, late);
        self.inside(after, move |w| {
            if let Some(desk) = w.service.desks.get_mut(&backend) {
                desk.hand(news);
            }
            w.serve_desk(&backend);
        });
    }

    fn serve_desk(&mut self, backend: &BackendId) {
        let share = Locks::flow_share(self.service.clients, self.systems.len());
        while let Some(due) = self.service.desks.get_mut(backend).and_then(|it| it.begin(share)) {
            self.begin_flow(backend.clone(), due);
        }
        let most = self.service.desks.get_mut(backend).and_then(|desk| desk.read(share));
        let Some(most) = most else { return };
        let (now, me) = (self.clocks().wall, self.service.dispatcher);
        let (of, backend) = (backend.clone(), backend.clone());
        self.read(
            move |w| {
                let admission = w.systems[&of].settings.admission;
                let open = w.rows.open_of(&of);
                let admitted = |op, most| if admission.admits(op, open) { most } else { 0 };
                let (new, known) = (most.new, most.known);
                let most =
                    DueMost { new: admitted(Op::Create, new), known: admitted(Op::Update, known) };
                let rows = w.rows.due_alarms(&of, now, most);
                Page { rows, room: admission.room(Op::Create, open) }
            },
            move |w, page| {
                if w.service.dispatcher != me {
                    return;
                }
                if let Some(desk) = w.service.desks.get_mut(&backend) {
                    desk.found(page);
                }
                w.serve_desk(&backend);
            },
        );
    }

    fn begin_flow(&mut self, backend: BackendId, due: DueAlarm) {
        let wish = Wish {
            guid: self.chance.uuid(),
            holder: Holder::Flow(backend.clone()),
            timeout: FLOW_TIMEOUT,
            wait_until: self.mono().plus(FLOW_TIMEOUT),
        };
        self.acquire(wish, Rc::default(), move |w, grant| match grant {
            Some(grant) => w.carry(backend, due, grant),
            None => w.inside(500, move |w| w.finished(&backend, &due.alarm.at, true)),
        });
    }

    fn finished(&mut self, backend: &BackendId, at: &OccurrenceRef, again: bool) {
        if let Some(desk) = self.service.desks.get_mut(backend) {
            desk.finished(at, again);
        }
        self.serve_desk(backend);
    }
}

/// Mirrors `actors/client`: one flow under a lock.
impl World {
    fn stall(&mut self) -> u64 {
        if self.strikes(Fault::StallFlow, 12) {
            self.meet("flows stalled");
            return self.chance.ms(0, 60_000);
        }
        self.chance.ms(0, 4)
    }

    fn carry(&mut self, backend: BackendId, due: DueAlarm, grant: Grant) {
        let stall = self.stall();
        let turn = self.begin_turn(grant.client);
        self.inside(stall, move |w| {
            let fresh = TicketKey(w.chance.uuid());
            let now = w.clocks().wall;
            let step = move |w: &World, due: &DueAlarm, answer: Option<Answer>| {
                let flow = Flow { due, policy: &w.policy, instance: INSTANCE, fresh, now };
                match answer {
                    None => flow.start(),
                    Some(answer) => Next::Decide(flow.searched(answer)),
                }
            };
            match step(w, &due, None) {
                Next::Decide(decided) => w.journal(backend, due, decided, (grant, turn)),
                Next::Search(by, kind) => {
                    let work = Work::Search { by, kind, limit: 2 };
                    let deadline = grant.expires;
                    let of = backend.clone();
                    w.ask(&of, work, deadline, move |w, answer| {
                        let Next::Decide(decided) = step(w, &due, Some(answer)) else { return };
                        w.journal(backend, due, decided, (grant, turn));
                    });
                }
            }
        });
    }

    /// `Handler<Ask>` of the gateway.
    pub(crate) fn ask(
        &mut self,
        backend: &BackendId,
        work: Work,
        deadline: Mono,
        then: impl FnOnce(&mut World, Answer) + 'static,
    ) {
        self.service.last_search += 1;
        let id = self.service.last_search;
        self.service.searches.insert(id, Box::new(then));
        self.feed(backend, Input::Asked(Read { id, work, deadline }));
    }

    /// Also how often the client was set to not busy by then, as the watcher counts.
    fn begin_turn(&mut self, client: ClientNumber) -> (Turn, u64) {
        let voids = self.watch.locks.voids.get(&client).copied().unwrap_or(0);
        (self.service.turns.entry(client).or_default().begin(), voids)
    }

    fn journal(
        &mut self,
        backend: BackendId,
        due: DueAlarm,
        decided: Decided,
        (grant, (turn, voids)): (Grant, (Turn, u64)),
    ) {
        let decide = Box::new(Decide {
            at: due.alarm.at.clone(),
            version: due.alarm.wanted_version,
            ticket: decided.read,
            lock: LockProof { client: grant.client, fence: grant.fence, expires: grant.expires },
            request: RequestId(self.chance.uuid()),
            event_id: self.chance.event_id(),
            decision: decided.decision,
            reason: decided.reason,
            along: decided.along,
            storm: self.policy.storm,
            admission: self.systems[&backend].settings.admission,
        });
        let run = Run { backend, at: due.alarm.at, grant, turn, voids };
        // Lane and store must not rely on it that they are offered nothing but new tickets.
        let creates = matches!(decide.decision, Decision::Create { .. });
        let hands_over = creates || self.chance.one_in(4);
        let stall = self.stall();
        self.inside(stall, move |w| {
            if !w.stands(&run) {
                return w.ended(&run, true);
            }
            if !hands_over {
                return w.store_alone(run, decide);
            }
            let (me, hop) = (w.service.gateway, w.chance.ms(0, 2));
            w.inside(hop, move |w| {
                // A message to a gateway that is gone.
                if w.service.gateway != me {
                    return w.shut_out(run);
                }
                if !w.stands(&run) {
                    return w.ended(&run, true);
                }
                let of = run.backend.clone();
                let told = move |w: &mut World, told| match told {
                    Told::Stored(stored) => w.ended(&run, stored.is_err_and(runs_again)),
                    Told::Alone(_) if !w.stands(&run) => w.ended(&run, true),
                    Told::Alone(decide) => w.store_alone(run, decide),
                    Told::Unknown => w.shut_out(run),
                };
                w.offer(&of, decide, Box::new(told));
            });
        });
    }

    /// Has nobody made its turn void? Asked only where the decision is acted on at once.
    fn stands(&mut self, run: &Run) -> bool {
        let client = run.grant.client;
        if !self.service.turns.entry(client).or_default().stands(run.turn) {
            self.meet("turns made void");
            return false;
        }
        self.check_turn(client, run.voids);
        true
    }

    fn store_alone(&mut self, run: Run, decide: Box<Decide>) {
        self.apply(Change::Decide(decide), move |w, answer| {
            let again = answer.as_ref().is_err_and(|error| runs_again(error.clone()));
            for one in answer.into_iter().flatten() {
                let Applied::Decided { request, first, events } = one else { continue };
                if let Some(request) = request.filter(|_| first) {
                    // Between the commit and this message the lane may have read the row.
                    let late = if w.strikes(Fault::StallFlow, 12) { 40_000 } else { 3 };
                    let after = w.chance.ms(0, late);
                    w.inside(after, move |w| w.submit(*request));
                }
                if events {
                    w.wake_outbox();
                }
            }
            w.ended(&run, again);
        });
    }

    fn shut_out(&mut self, run: Run) {
        self.meet("decisions lost with their gateway");
        let barrier = Fence(run.grant.fence.0 + 1);
        self.apply(Change::RaiseBarrier(run.grant.client, barrier), move |w, raised| {
            let wait = match raised {
                Ok(_) => 0,
                Err(_) => run.grant.expires.0.saturating_sub(w.mono().0),
            };
            w.inside(wait, move |w| w.ended(&run, false));
        });
    }

    fn ended(&mut self, run: &Run, again: bool) {
        self.release(run.grant.guid);
        self.finished(&run.backend, &run.at, again);
    }
}

/// One flow that has decided.
struct Run {
    backend: BackendId,
    at: OccurrenceRef,
    grant: Grant,
    turn: Turn,
    /// How often its client was set to not busy before it, as the watcher counts.
    voids: u64,
}

fn runs_again(error: StoreError) -> bool {
    error != StoreError::Refused(Refusal::Full)
}
