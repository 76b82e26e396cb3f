//! The process: the machines, and a thin mirror of the actors that carry out their effects.
//!
//! Each part says which actor it mirrors. What an actor awaits is here a delayed act that dies with
//! the process, or with the part that was replaced (its `incarnation`). Between any two effects the
//! process may die.

use super::plan::Fault;
use super::system::System;
use super::{INSTANCE, World};
use crate::changes::{
    Applied, Change, ChangeSet, Concluded, Context, Decide, LaterAnswer, Level, LockProof, Refusal,
    Settle, TakeLane,
};
use crate::logic::flow::{Decided, Flow, Next};
use crate::logic::lane::{Effect, HEADS_MAX, Input, Lane, Read, SWEEP_PAGE, Turn};
use crate::logic::locks::{FENCE_BLOCK, Grant, Holder, Locks, Outcome, Wish};
use crate::logic::outbox::{Effect as Out, Input as In, Outbox};
use crate::logic::policy::OnClear;
use crate::model::{
    Alarm, BackendId, ClientNumber, Fence, Mono, OccurrenceRef, Op, Request, RequestId, TicketKey,
};
use crate::ports::{Answer, Call, DueAlarm, Heard, StoreError, Work};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

/// A flow's lock; short, so that stalls outlive it.
pub(super) const FLOW_TIMEOUT: Duration = Duration::from_secs(30);
const DUE_MAX: u32 = 128;

type Answered = Result<Vec<Applied>, StoreError>;
type Then = Box<dyn FnOnce(&mut World, Answered)>;
type Granted = Box<dyn FnOnce(&mut World, Option<Grant>)>;
type Searched = Box<dyn FnOnce(&mut World, Answer)>;

/// One lane and its timer.
pub(super) struct Seat {
    pub lane: Lane,
    timer: Option<Mono>,
}

#[derive(Default)]
struct Desk {
    queue: VecDeque<DueAlarm>,
    taken: BTreeSet<OccurrenceRef>,
    running: usize,
    loading: bool,
    more: bool,
}

/// What dies with the process.
pub(super) struct Service {
    pub seats: BTreeMap<BackendId, Seat>,
    /// Grows with each gateway.
    pub gateway: u32,
    searches: HashMap<u64, Searched>,
    last_search: u64,
    pub locks: Locks,
    pool: u32,
    pool_timer: Option<Mono>,
    waiting: HashMap<Uuid, Vec<Granted>>,
    dispatcher: u32,
    desks: BTreeMap<BackendId, Desk>,
    pub outbox: Outbox,
    pub outboxes: u32,
    outbox_timer: Option<Mono>,
    sets: Vec<(ChangeSet, Then)>,
    committing: bool,
    pub clients: usize,
}

fn seats(systems: &BTreeMap<BackendId, System>) -> BTreeMap<BackendId, Seat> {
    let seat = |system: &System| Seat {
        lane: Lane::new(system.id.clone(), system.settings.clone()),
        timer: None,
    };
    systems.iter().map(|(id, system)| (id.clone(), seat(system))).collect()
}

fn desks(systems: &BTreeMap<BackendId, System>) -> BTreeMap<BackendId, Desk> {
    systems.keys().map(|id| (id.clone(), Desk { more: true, ..Desk::default() })).collect()
}

impl Service {
    pub fn new(systems: &BTreeMap<BackendId, System>, clients: usize) -> Self {
        Self {
            seats: seats(systems),
            gateway: 0,
            searches: HashMap::new(),
            last_search: 0,
            locks: Locks::new(clients, systems.len()),
            pool: 0,
            pool_timer: None,
            waiting: HashMap::new(),
            dispatcher: 0,
            desks: desks(systems),
            outbox: Outbox::new(),
            outboxes: 0,
            outbox_timer: None,
            sets: Vec::new(),
            committing: false,
            clients,
        }
    }
}

/// The process as such.
impl World {
    pub(super) fn start(&mut self) {
        self.life += 1;
        self.up = true;
        self.born = self.now;
        self.frozen_until = 0;
        self.service = Service::new(&self.systems, self.service.clients);
        self.watch_pool_gone();
        self.note(|| "the process starts".to_owned());
        if self.plan.faults.contains(&Fault::Crash) && !self.calm {
            self.dies_in = self.chance.ms(1, 400);
        }
        self.start_pool();
        self.start_gateway();
        self.start_outbox();
        self.look_for_due();
    }

    /// Everything volatile is gone, and the connections with it.
    pub(super) fn crash(&mut self, why: &str) {
        if !self.up {
            return;
        }
        self.note(|| format!("CRASH: {why}"));
        self.meet("crashes");
        self.up = false;
        self.rows.crash();
        self.dies_in = u64::MAX;
        self.watch_lost_calls();
        self.watch_pool_gone();
        self.watch_outbox_gone();
        self.bus_lost_consumer();
        let after = self.chance.ms(100, 20_000);
        self.outside(after, World::start);
    }

    /// One more effect is carried out, unless the process dies before it.
    fn dies(&mut self) -> bool {
        if self.calm || self.dies_in == u64::MAX {
            return !self.up;
        }
        self.dies_in -= 1;
        if self.dies_in == 0 {
            self.crash("between two effects");
        }
        !self.up
    }

    /// The keeper: one actor panicked and is replaced. What the others had asked of it is gone.
    pub(super) fn replace_one(&mut self) {
        if !self.up {
            return;
        }
        self.meet("replacements");
        match self.chance.rng.u8(..4) {
            0 => {
                self.note(|| "the gateway is replaced".to_owned());
                self.watch_lost_calls();
                self.service.seats = seats(&self.systems);
                for (_, asker) in std::mem::take(&mut self.service.searches) {
                    self.inside(1, |w| asker(w, Answer::NotSent("the lane went away".into())));
                }
                self.start_gateway();
            }
            1 => {
                self.note(|| "the pool is replaced".to_owned());
                self.watch_pool_gone();
                self.service.locks = Locks::new(self.service.clients, self.systems.len());
                self.service.pool_timer = None;
                for asker in std::mem::take(&mut self.service.waiting).into_values().flatten() {
                    self.inside(1, |w| asker(w, None));
                }
                self.start_pool();
            }
            2 => {
                self.note(|| "the dispatcher is replaced".to_owned());
                self.service.dispatcher += 1;
                self.service.desks = desks(&self.systems);
                self.look_for_due();
            }
            _ => {
                self.note(|| "the outbox is replaced".to_owned());
                self.watch_outbox_gone();
                self.start_outbox();
            }
        }
    }
}

/// The store's writer: one group at a time; an answer only after the commit.
impl World {
    pub(super) fn apply(
        &mut self,
        set: impl Into<ChangeSet>,
        then: impl FnOnce(&mut World, Answered) + 'static,
    ) {
        if self.dies() {
            return;
        }
        let (set, then) = (set.into(), Box::new(then));
        if self.strikes(Fault::StallCall, 15) {
            // A sender that is paused just before it writes, also beyond its part's end.
            let after = self.chance.ms(0, 5_000);
            return self.inside(after, move |w| w.queue_set(set, then));
        }
        self.queue_set(set, then);
    }

    fn queue_set(&mut self, set: ChangeSet, then: Then) {
        self.service.sets.push((set, then));
        if !self.service.committing {
            self.service.committing = true;
            let slow = if self.chance.one_in(50) { 2_000 } else { 8 };
            let after = self.chance.ms(1, slow);
            self.inside(after, World::commit);
        }
    }

    fn commit(&mut self) {
        let group = std::mem::take(&mut self.service.sets);
        let mut answers: Vec<Answered> = Vec::with_capacity(group.len());
        let full = self.now < self.disk_full_until;
        for (set, _) in &group {
            if full {
                answers.push(Err(StoreError::Down("database or disk is full".into())));
                continue;
            }
            let before = self.watch_before(set);
            let now = self.clocks();
            let answer = self.rows.apply_now(set, Context { now, node: "node-1" });
            self.note(|| format!("  set {}", super::rules::told(set, &answer)));
            if let Ok(applied) = &answer {
                self.watch_applied(set, before, applied);
            }
            answers.push(answer);
        }
        if self.strikes(Fault::CommitFails, 30) {
            self.meet("commits failed");
            self.note(|| "the group was not committed".to_owned());
            self.rows.crash();
            answers = vec![Err(StoreError::Down("commit failed".into())); group.len()];
        } else if self.strikes(Fault::Crash, 200) {
            return self.crash("before the sync");
        } else {
            self.rows.sync();
            for ((set, _), answer) in group.iter().zip(&answers) {
                if let Ok(applied) = answer {
                    self.watch_durable(set, applied);
                }
            }
            self.watch_rows();
        }
        for ((_, then), answer) in group.into_iter().zip(answers) {
            let after = self.chance.ms(0, 3);
            self.inside(after, move |w| then(w, answer));
        }
        self.service.committing = !self.service.sets.is_empty();
        if self.service.committing {
            let after = self.chance.ms(1, 8);
            self.inside(after, World::commit);
        }
    }

    /// A reader: sees one moment of the committed rows, some time before its answer arrives.
    fn read<T: 'static>(
        &mut self,
        what: impl FnOnce(&World) -> T + 'static,
        then: impl FnOnce(&mut World, Option<T>) + 'static,
    ) {
        let (asked, answered) = (self.chance.ms(0, 5), self.chance.ms(0, 10));
        let fails = self.strikes(Fault::ReadFails, 10);
        self.inside(asked, move |w| {
            let rows = (!fails).then(|| what(w));
            w.inside(answered, move |w| then(w, rows));
        });
    }
}

/// Mirrors `actors/gateway`.
impl World {
    fn start_gateway(&mut self) {
        self.service.gateway += 1;
        let backends: Vec<_> = self.service.seats.keys().cloned().collect();
        for backend in backends {
            self.take_lane(backend);
        }
    }

    /// Only while the same gateway lives.
    fn gateway(&mut self, after: u64, act: impl FnOnce(&mut World) + 'static) {
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
                            let taken = Input::Taken { epoch, pause, doubts, unconfirmed };
                            w.feed(&backend, taken);
                            w.wake_outbox();
                        }
                        None => w.gateway(1_000, move |w| w.take_lane(backend)),
                    }
                },
            );
        });
    }

    pub(super) fn feed(&mut self, backend: &BackendId, input: Input) {
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
            Effect::Call(turn, call) => self.call(backend.clone(), turn, call),
            Effect::Render(turn, request, alarm) => {
                return Some(Input::Rendered(turn, self.render(&request, &alarm)));
            }
            Effect::AnswerRead(id, answer) => {
                if let Some(asker) = self.service.searches.remove(&id) {
                    let after = self.chance.ms(0, 3);
                    self.inside(after, move |w| asker(w, answer));
                }
            }
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
        self.apply(set, move |w, answer| {
            if w.service.gateway == me {
                w.feed(&backend, Input::Stored(turn, answer));
            }
        });
    }

    fn render(&self, request: &Request, alarm: &Alarm) -> Option<Level> {
        let still_wanted = match request.op {
            Op::Create => true,
            Op::Update => alarm.active || self.policy.on_clear == OnClear::Update,
            Op::Reopen => alarm.active,
            Op::Close => !alarm.active,
        };
        still_wanted
            .then(|| Level { version: alarm.wanted_version, fields: self.policy.fields(alarm) })
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

    pub(super) fn submit(&mut self, request: Request) {
        let backend = request.backend.clone();
        self.feed(&backend, Input::Submitted(Box::new(request)));
    }

    /// `Handler<Resume>`.
    pub(super) fn resume(&mut self, backend: BackendId) {
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
    pub(super) fn settle(&mut self, settle: Settle) {
        self.apply(Change::Settle(Box::new(settle)), move |w, answer| {
            if let Some(Applied::Concluded(it)) = answer.ok().and_then(|mut it| it.pop()) {
                w.moved(*it);
            }
        });
    }

    /// `Handler<TakeAnswer>`; the bus brings it again until it is stored.
    pub(super) fn take_answer(&mut self, answer: LaterAnswer) {
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

/// Mirrors the backend adapters: one look at the clock, one call, one time-out.
impl World {
    fn call(&mut self, backend: BackendId, turn: Turn, call: Call) {
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
            let what = super::rules::told_call(&call);
            format!(
                "-> {backend} {what}: done after {done:?}, heard after {heard} {:?}",
                fate.heard
            )
        });
        let (life, at) = (self.life, self.now + fate.heard_after);
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
        let key = super::system::written(&call.work).map(|ticket| ticket.key);
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
                w.push(w.now + 5, Some(life), Box::new(hear));
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
        self.note(|| format!("<- {backend} {}: {}", super::rules::told_call(call), told(&answer)));
        self.watch_heard(&backend, call, &answer);
        let quiet = self.strikes(Fault::Busy, 25).then(|| {
            let span = Duration::from_secs(self.chance.rng.u64(1..15));
            self.watch_quiet(&backend, span);
            span
        });
        self.feed(&backend, Input::Answered(turn, Heard { answer, quiet }));
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

/// Mirrors `actors/dispatcher`.
impl World {
    fn look_for_due(&mut self) {
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

    pub(super) fn wake_flows(&mut self, backend: &BackendId) {
        if let Some(desk) = self.service.desks.get_mut(backend) {
            desk.more = true;
        }
        self.serve_desk(backend);
    }

    fn serve_desk(&mut self, backend: &BackendId) {
        let share = Locks::flow_share(self.service.clients, self.systems.len());
        while let Some(desk) = self.service.desks.get_mut(backend)
            && desk.running < share
            && let Some(due) = desk.queue.pop_front()
        {
            desk.running += 1;
            self.begin_flow(backend.clone(), due);
        }
        let Some(desk) = self.service.desks.get_mut(backend) else { return };
        if desk.more && !desk.loading && desk.queue.len() < share {
            desk.loading = true;
            desk.more = false;
            let (now, me) = (self.clocks().wall, self.service.dispatcher);
            let (of, backend) = (backend.clone(), backend.clone());
            self.read(
                move |w| {
                    let admission = w.systems[&of].settings.admission;
                    let open = w.rows.open_of(&of);
                    let only_new = !admission.admits(Op::Update, open);
                    match only_new && !admission.admits(Op::Create, open) {
                        true => Vec::new(),
                        false => w.rows.due_alarms(&of, now, only_new, DUE_MAX),
                    }
                },
                move |w, rows| {
                    if w.service.dispatcher == me {
                        w.due(&backend, rows);
                    }
                },
            );
        }
    }

    fn due(&mut self, backend: &BackendId, rows: Option<Vec<DueAlarm>>) {
        let Some(desk) = self.service.desks.get_mut(backend) else { return };
        desk.loading = false;
        let rows = rows.unwrap_or_default();
        desk.more |= rows.len() >= DUE_MAX as usize;
        for due in rows {
            if desk.taken.insert(due.alarm.at.clone()) {
                desk.queue.push_back(due);
            }
        }
        self.serve_desk(backend);
    }

    fn begin_flow(&mut self, backend: BackendId, due: DueAlarm) {
        let wish = Wish {
            guid: self.chance.uuid(),
            holder: Holder::Flow(backend.clone()),
            timeout: FLOW_TIMEOUT,
            wait_until: self.mono().plus(FLOW_TIMEOUT),
        };
        self.acquire(wish, move |w, grant| match grant {
            Some(grant) => w.carry(backend, due, grant),
            None => w.inside(500, move |w| w.finished(&backend, &due.alarm.at, true)),
        });
    }

    fn finished(&mut self, backend: &BackendId, at: &OccurrenceRef, again: bool) {
        if let Some(desk) = self.service.desks.get_mut(backend) {
            desk.running = desk.running.saturating_sub(1);
            desk.taken.remove(at);
            desk.more |= again;
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
                Next::Decide(decided) => w.journal(backend, due, decided, grant),
                Next::Search(by, kind) => {
                    let work = Work::Search { by, kind, limit: 2 };
                    let deadline = grant.expires;
                    let of = backend.clone();
                    w.ask(&of, work, deadline, move |w, answer| {
                        let Next::Decide(decided) = step(w, &due, Some(answer)) else { return };
                        w.journal(backend, due, decided, grant);
                    });
                }
            }
        });
    }

    /// `Handler<Ask>` of the gateway.
    fn ask(
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

    fn journal(&mut self, backend: BackendId, due: DueAlarm, decided: Decided, grant: Grant) {
        let decide = Decide {
            at: due.alarm.at.clone(),
            version: due.alarm.wanted_version,
            ticket: decided.read,
            lock: LockProof { client: grant.client, fence: grant.fence, expires: grant.expires },
            request: RequestId(self.chance.uuid()),
            event_id: self.chance.event_id(),
            decision: decided.decision,
            reason: decided.reason,
            admission: self.systems[&backend].settings.admission,
        };
        let stall = self.stall();
        self.inside(stall, move |w| {
            w.apply(Change::Decide(Box::new(decide)), move |w, answer| {
                let full = StoreError::Refused(Refusal::Full);
                let again = answer.as_ref().is_err_and(|error| *error != full);
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
                w.release(grant.guid);
                w.finished(&backend, &due.alarm.at, again);
            });
        });
    }
}

/// Mirrors `actors/pool`.
impl World {
    fn start_pool(&mut self) {
        self.service.pool += 1;
        self.take_fences(true);
    }

    fn take_fences(&mut self, raise_barriers: bool) {
        let me = self.service.pool;
        self.apply(Change::TakeFences(FENCE_BLOCK), move |w, taken| {
            if w.service.pool != me {
                return;
            }
            let Ok([Applied::Fences(first)]) = taken.as_deref() else {
                return w.no_fences(raise_barriers);
            };
            let first: Fence = *first;
            if !raise_barriers {
                return w.refill(first);
            }
            let clients = 1..=w.service.clients as u64;
            let barriers = clients.map(|n| Change::RaiseBarrier(ClientNumber(n), first)).collect();
            w.apply(ChangeSet(barriers), move |w, raised| {
                if w.service.pool != me {
                } else if raised.is_ok() {
                    w.refill(first);
                } else {
                    w.no_fences(true);
                }
            });
        });
    }

    fn no_fences(&mut self, raise_barriers: bool) {
        let me = self.service.pool;
        self.inside(1_000, move |w| {
            if w.service.pool == me {
                w.take_fences(raise_barriers);
            }
        });
    }

    fn refill(&mut self, first: Fence) {
        let outcomes = self.service.locks.refill(first, self.mono());
        self.pool_perform(outcomes);
    }

    pub(super) fn acquire(
        &mut self,
        wish: Wish,
        then: impl FnOnce(&mut World, Option<Grant>) + 'static,
    ) {
        if !self.up {
            return;
        }
        self.service.waiting.entry(wish.guid).or_default().push(Box::new(then));
        self.watch_wish(&wish);
        let outcomes = self.service.locks.acquire(wish, self.mono());
        self.pool_perform(outcomes);
    }

    pub(super) fn release(&mut self, guid: Uuid) {
        self.watch_release(guid);
        let outcomes = self.service.locks.release(guid, self.mono());
        self.watch_released(guid);
        self.pool_perform(outcomes);
    }

    fn pool_perform(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            self.watch_outcome(&outcome);
            let (guid, grant) = match outcome {
                Outcome::Granted(grant) => (grant.guid, Some(grant)),
                Outcome::TimedOut(guid) | Outcome::Busy(guid) => (guid, None),
                Outcome::Expired(_) => continue,
                Outcome::NeedFences => {
                    self.take_fences(false);
                    continue;
                }
            };
            for asker in self.service.waiting.remove(&guid).unwrap_or_default() {
                let grant = grant.clone();
                self.inside(0, move |w| asker(w, grant));
            }
        }
        let Some(at) = self.service.locks.next_wake() else { return };
        if self.service.pool_timer.is_some_and(|set_for| set_for <= at) {
            return;
        }
        self.service.pool_timer = Some(at);
        let (me, wait) = (self.service.pool, at.0.saturating_sub(self.mono().0) + 1);
        self.inside(wait, move |w| {
            if w.service.pool == me && w.service.pool_timer == Some(at) {
                w.service.pool_timer = None;
                let outcomes = w.service.locks.tick(w.mono());
                w.pool_perform(outcomes);
            }
        });
    }
}

/// Mirrors `actors/outbox`.
impl World {
    fn start_outbox(&mut self) {
        self.service.outboxes += 1;
        self.service.outbox = Outbox::new();
        self.service.outbox_timer = None;
        self.feed_outbox(In::Woken);
    }

    fn wake_outbox(&mut self) {
        self.inside(1, |w| w.feed_outbox(In::Woken));
    }

    fn feed_outbox(&mut self, input: In) {
        let (life, me) = (self.life, self.service.outboxes);
        for effect in self.service.outbox.step(input, self.mono()) {
            if self.dies() || self.life != life {
                return;
            }
            match effect {
                Out::Load(after, limit) => self.read(
                    move |w| w.rows.unsent_events(after, limit),
                    move |w, rows| {
                        if w.service.outboxes == me {
                            let all = rows.as_ref().is_some_and(|it| it.len() < limit as usize);
                            w.feed_outbox(In::Loaded(rows, all));
                        }
                    },
                ),
                Out::Publish(event) => {
                    let n = event.n;
                    self.publish(&event, move |w, confirmed| {
                        if w.service.outboxes == me {
                            w.feed_outbox(if confirmed { In::Confirmed(n) } else { In::Failed(n) });
                        }
                    });
                }
                Out::Mark(numbers) => {
                    let sent = Change::Sent(numbers.clone());
                    self.apply(sent, move |w, answer| {
                        if w.service.outboxes == me {
                            w.feed_outbox(In::Marked(numbers, answer.is_ok()));
                        }
                    });
                }
                Out::WakeAt(at) => {
                    if self.service.outbox_timer.is_none_or(|set_for| set_for > at) {
                        self.service.outbox_timer = Some(at);
                        let wait = at.0.saturating_sub(self.mono().0) + 1;
                        self.inside(wait, move |w| {
                            if w.service.outboxes == me && w.service.outbox_timer == Some(at) {
                                w.service.outbox_timer = None;
                                w.feed_outbox(In::Tick);
                            }
                        });
                    }
                }
            }
        }
    }
}
