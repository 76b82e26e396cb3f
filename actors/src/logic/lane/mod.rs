//! One backend's lane: strictly one call in flight; order, priority, retry, doubt (rules G1–G17).
//!
//! A machine without IO: [`Lane::step`] takes an input and the time and gives effects. What always
//! holds:
//! * an intent is durable before its call, and is written for the next call only;
//! * outcome *k* and intent *k+1* share a change set;
//! * whatever is asynchronous carries its turn, and an old turn changes nothing;
//! * a doubt holds its ticket, never the lane.
//!
//! Looks go first, since they free tickets and there are at most `max_in_doubt` of them; then
//! creates, closes, updates and the flows' searches; whatever waited over a minute goes before all.

mod gate;
mod heads;
mod judge;
mod settings;
mod sweep;
mod unconfirmed;

pub use gate::ASKED_PAUSE_MAX;
pub use heads::{CLASSES, HEADS_MAX, class_of};
pub use settings::{Capability, LaneSettings, Rate, ReadsFrom};
pub use sweep::{SWEEP_PAGE, WATCH_LOOKS};
pub use unconfirmed::UNCONFIRMED_MAX;

use crate::changes::{Applied, Change, ChangeSet, Conclude, Concluded, End, Intend, Level, Swept};
use crate::model::{
    Alarm, BackendId, Epoch, EventId, MadeBy, Moment, Mono, Op, Request, RequestId, State, Ticket,
    TicketError, Watched,
};
use crate::ports::{Answer, Call, Heard, Pause, StoreError, Work};
use gate::{Gate, Switched};
use heads::Heads;
use judge::{Judged, Look, Seen};
use std::collections::VecDeque;
use std::time::Duration;
use sweep::Sweep;
use unconfirmed::Unconfirmed;

/// What has waited longer than this goes before everything else (rule G17).
pub const AGED_AFTER: Duration = Duration::from_secs(60);
/// Searches of flows that wait in one lane; more are answered as not sent.
pub const READS_MAX: usize = 256;
/// The pause before a change set that the store could not take is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Names one asynchronous step of the lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn(pub u64);

/// A flow's search, waiting for its place in the lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The asker's own number for it.
    pub id: u64,
    /// What to ask.
    pub work: Work,
    /// When the asker gives up.
    pub deadline: Mono,
}

/// Everything that can happen to a lane.
#[derive(Debug)]
pub enum Input {
    /// The lease is ours. `doubts` are all requests in doubt, with their tickets.
    Taken {
        /// Under which epoch.
        epoch: Epoch,
        /// Paused by a person or by us, before.
        pause: Option<Pause>,
        /// What is in doubt.
        doubts: Vec<(Request, Ticket)>,
        /// What the backend took and has yet to answer.
        unconfirmed: Vec<Request>,
    },
    /// A request was journaled and is first in line of its ticket.
    Submitted(Box<Request>),
    /// A flow wants to search.
    Asked(Read),
    /// Rows of one class.
    Loaded {
        /// Which class.
        class: u8,
        /// In order; none if the read failed.
        requests: Option<Vec<Request>>,
        /// There are no others that are ready.
        all: bool,
        /// When the next row that waits becomes ready, from now.
        next_ready: Option<Duration>,
    },
    /// A page of the watched tickets; none: it could not be read.
    Watched(Option<Vec<(u64, Watched, Ticket)>>),
    /// Another hand has moved this request: a later answer came.
    Moved(RequestId),
    /// A change set was applied, or not.
    Stored(Turn, Result<Vec<Applied>, StoreError>),
    /// Policy has rendered a newer level; none: the request is no longer needed.
    Rendered(Turn, Option<Level>),
    /// A call came back.
    Answered(Turn, Heard),
    /// A person resumed the lane.
    Resumed,
    /// No more intents: the service is stopping.
    Drain,
    /// Time has passed.
    Tick,
}

/// Everything that a lane can want.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Read one class's ready rows.
    Load(u8),
    /// Read watched tickets from after that place, then say [`Input::Watched`].
    LoadWatched(u64),
    /// Apply this, then say [`Input::Stored`].
    Store(Turn, ChangeSet),
    /// Make this call, then say [`Input::Answered`].
    Call(Turn, Call),
    /// Render the level for this request, then say [`Input::Rendered`].
    Render(Turn, Box<Request>, Box<Alarm>),
    /// The answer to a flow's search.
    AnswerRead(u64, Answer),
    /// Alarms of this lane's backend have become due.
    WakeFlows,
    /// Events were stored.
    WakeOutbox,
    /// Operators should know this of the lane, and why. That a request is undecided they hear when
    /// it is committed, from whoever stores it.
    Ops(&'static str, String),
    /// A fact for the log: one line per failed attempt, where it is decided.
    Note(Note),
    /// The lease was lost: take it again.
    Lost,
    /// Say [`Input::Tick`] at that time, if nothing came before.
    WakeAt(Mono),
}

/// What became of an attempt, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which request.
    pub request: RequestId,
    /// Create, update, …
    pub op: Op,
    /// Which attempt.
    pub attempt: u32,
    /// The state that it leads to.
    pub state: &'static str,
    /// Why.
    pub reason: String,
}

#[derive(Debug)]
struct DoubtHead {
    request: Box<Request>,
    ticket: Box<Ticket>,
    look_at: Mono,
    unanswered: u32,
    /// It is not there: to be sent again, when a call may be made.
    absent: bool,
}

impl DoubtHead {
    /// What must not be asked: its time by the wall clock.
    fn by_wall(&self, now: Moment) -> bool {
        self.request.doubt.as_ref().is_some_and(|doubt| doubt.look_at <= now.wall)
    }
}

#[derive(Debug)]
enum Doing {
    /// Not ours yet, or lost.
    Out,
    Idle,
    /// A set is at the store; what it held is kept in case it must be given again.
    Storing {
        set: ChangeSet,
        retry_at: Option<Mono>,
    },
    /// Policy is rendering a level again.
    Rendering(Box<Request>),
    Calling(InFlight),
}

#[derive(Debug)]
enum InFlight {
    Write(Box<Request>),
    Look(DoubtHead),
    Read(u64),
    Sweep(Box<(Watched, Ticket)>),
}

/// What a lane is doing, for faces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneGlance {
    /// Ready heads in memory.
    pub heads: usize,
    /// In doubt.
    pub in_doubt: usize,
    /// Taken by the backend, which has yet to answer.
    pub unconfirmed: usize,
    /// Searches that wait.
    pub reads: usize,
    /// What is in flight.
    pub in_flight: Option<String>,
    /// Since when.
    pub calling_since: Option<Mono>,
    /// Why it makes no calls, if it makes none.
    pub held: Option<String>,
    /// When that ends by itself.
    pub held_until: Option<Mono>,
    /// So many calls in a row failed that only probes are made.
    pub breaker_open: bool,
    /// It is leased to this node.
    pub taken: bool,
    /// A change set of it is at the store, or a level at policy.
    pub storing: bool,
    /// Grows with each call that came back and each change set that was stored: a lane that has
    /// work and does not grow hangs (rule H2).
    pub progress: u64,
}

/// The lane of one backend.
#[derive(Debug)]
pub struct Lane {
    backend: BackendId,
    settings: LaneSettings,
    epoch: Epoch,
    turn: Turn,
    doing: Doing,
    heads: Heads,
    doubts: Vec<DoubtHead>,
    unconfirmed: Unconfirmed,
    sweep: Sweep,
    reads: VecDeque<(Read, Mono)>,
    pause: Option<Pause>,
    /// A person let the lane go on while it was being taken: the pause that the take-over read may
    /// be older than that.
    resumed: bool,
    draining: bool,
    gate: Gate,
    /// When the outcome that is being stored was judged: its times were said by this wall clock,
    /// which may have jumped by the time it is stored (rule L4).
    judged: Moment,
    /// When rows that wait become ready.
    reload_at: Option<Mono>,
    calling_since: Mono,
    progress: u64,
}

/// Randomness and identities for one step, made by the caller.
pub trait Dice {
    /// A fresh event id.
    fn event_id(&mut self) -> EventId;
    /// From 0 to 1.
    fn chance(&mut self) -> f64;
}

enum Choice {
    Look(usize),
    Write(u8, u64),
    Read,
    Sweep,
}

impl Lane {
    /// A lane that is not ours yet.
    pub fn new(backend: BackendId, settings: LaneSettings) -> Self {
        Self {
            backend,
            gate: Gate::new(&settings),
            settings,
            epoch: Epoch::default(),
            turn: Turn::default(),
            doing: Doing::Out,
            heads: Heads::default(),
            doubts: Vec::new(),
            unconfirmed: Unconfirmed::default(),
            sweep: Sweep::default(),
            reads: VecDeque::new(),
            pause: None,
            resumed: false,
            draining: false,
            judged: Moment::default(),
            reload_at: None,
            calling_since: Mono::default(),
            progress: 0,
        }
    }

    /// The one door.
    pub fn step(&mut self, input: Input, now: Moment, dice: &mut dyn Dice) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.take(input, now, dice, &mut effects);
        self.go_on(now, dice, &mut effects);
        while let Some(class) = self.ours().then(|| self.heads.wants_load()).flatten() {
            // What is read may be older than the intent that is at the store now.
            if let Some(request) = self.being_intended() {
                self.heads.touch(request);
            }
            effects.push(Effect::Load(class));
        }
        if let Some(after) = self.sweep.wants_load(now.mono) {
            effects.push(Effect::LoadWatched(after));
        }
        if let Some(at) = self.next_wake(now) {
            effects.push(Effect::WakeAt(at));
        }
        effects
    }

    /// For faces.
    pub fn glance(&self, now: Moment) -> LaneGlance {
        let hold = self.gate.held(now.mono);
        let calling = matches!(self.doing, Doing::Calling(_));
        LaneGlance {
            heads: self.heads.len(),
            in_doubt: self.doubts.len(),
            unconfirmed: self.unconfirmed.len(),
            reads: self.reads.len(),
            in_flight: match &self.doing {
                Doing::Calling(InFlight::Write(request)) => {
                    Some(format!("{} {}", request.op.as_str(), request.id))
                }
                Doing::Calling(InFlight::Look(doubt)) => Some(format!("look {}", doubt.request.id)),
                Doing::Calling(InFlight::Read(_)) => Some("search".to_owned()),
                Doing::Calling(InFlight::Sweep(of)) => Some(format!("sweep {}", of.0.ticket)),
                _ => None,
            },
            calling_since: calling.then_some(self.calling_since),
            held: match (&self.pause, hold) {
                (Some(pause), _) => Some(format!("paused: {}", pause.reason)),
                (None, _) if self.draining => Some("the service is stopping".to_owned()),
                (None, Some((_, why))) => Some(why.to_owned()),
                _ if self.too_many_doubts() => Some("too many requests in doubt".to_owned()),
                _ if self.too_many_unconfirmed() => {
                    Some("too many writes wait for a later answer".to_owned())
                }
                _ => None,
            },
            held_until: match &self.pause {
                None if !self.draining => hold.map(|(until, _)| until),
                _ => None,
            },
            breaker_open: self.gate.is_open(),
            taken: self.ours(),
            storing: matches!(self.doing, Doing::Storing { .. } | Doing::Rendering(_)),
            progress: self.progress,
        }
    }

    /// Nothing is under way: a stop may go on.
    pub fn quiet(&self) -> bool {
        matches!(self.doing, Doing::Idle | Doing::Out)
    }

    fn ours(&self) -> bool {
        !matches!(self.doing, Doing::Out)
    }

    /// The request whose intent is on its way to the store: its row there still says that it waits.
    fn being_intended(&self) -> Option<RequestId> {
        match &self.doing {
            Doing::Storing { set, .. } => set.0.iter().find_map(|change| match change {
                Change::Intend(it) => Some(it.request),
                _ => None,
            }),
            Doing::Rendering(request) => Some(request.id),
            Doing::Out | Doing::Idle | Doing::Calling(_) => None,
        }
    }

    fn too_many_doubts(&self) -> bool {
        self.doubts.len() >= self.settings.max_in_doubt
    }

    fn too_many_unconfirmed(&self) -> bool {
        self.unconfirmed.len() >= UNCONFIRMED_MAX
    }

    fn next_turn(&mut self) -> Turn {
        self.turn.0 += 1;
        self.turn
    }

    fn take(&mut self, input: Input, now: Moment, dice: &mut dyn Dice, effects: &mut Vec<Effect>) {
        match input {
            Input::Taken { epoch, pause, doubts, unconfirmed } => {
                self.taken(epoch, pause, doubts, now);
                self.unconfirmed.begin(unconfirmed, self.settings.confirm_within, now.mono);
            }
            Input::Watched(rows) => self.sweep.loaded(rows, now.mono),
            Input::Moved(id) => {
                self.unconfirmed.forget(id);
                self.doubts.retain(|doubt| doubt.request.id != id);
            }
            Input::Submitted(request) => self.heads.put(request, now),
            Input::Asked(read) if self.reads.len() >= READS_MAX => effects.push(
                Effect::AnswerRead(read.id, Answer::NotSent("the lane's searches are full".into())),
            ),
            Input::Asked(read) => self.reads.push_back((read, now.mono)),
            Input::Loaded { class, requests: Some(requests), all, next_ready } => {
                self.heads.loaded(class, requests, all, now);
                let next =
                    next_ready.map(|wait| now.mono.plus(wait.min(self.settings.backoff_max)));
                self.reload_at = earliest(self.reload_at, next);
            }
            Input::Loaded { class, requests: None, .. } => {
                self.heads.load_failed(class);
                self.gate.hold("the store cannot be read", STORE_RETRY, now.mono);
            }
            Input::Stored(turn, result) if turn == self.turn => {
                self.stored(result, now, dice, effects);
            }
            Input::Rendered(turn, level) if turn == self.turn => {
                self.rendered(level, dice, effects);
            }
            Input::Answered(turn, answer) if turn == self.turn => {
                self.answered(answer, now, dice, effects);
            }
            Input::Stored(..) | Input::Rendered(..) | Input::Answered(..) => {}
            Input::Resumed => {
                self.resumed = !self.ours();
                self.pause = None;
                self.gate.reset();
            }
            Input::Drain => self.draining = true,
            Input::Tick => self.tick(now, effects),
        }
    }

    fn taken(
        &mut self,
        epoch: Epoch,
        pause: Option<Pause>,
        doubts: Vec<(Request, Ticket)>,
        now: Moment,
    ) {
        self.epoch = epoch;
        self.pause = pause.filter(|_| !std::mem::take(&mut self.resumed));
        self.doing = Doing::Idle;
        self.next_turn();
        self.heads.forget();
        if self.settings.capability == Capability::Searchable {
            self.sweep.begin(self.settings.sweep_every, now.mono);
        }
        // Wall times of another life say nothing sure about how long a doubt has settled: anew.
        let look_at = now.mono.plus(self.settings.settle());
        self.doubts = doubts
            .into_iter()
            .map(|(request, ticket)| DoubtHead {
                request: Box::new(request),
                ticket: Box::new(ticket),
                look_at,
                unanswered: 0,
                absent: false,
            })
            .collect();
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.gate.tick(now.mono);
        if self.reload_at.is_some_and(|at| at <= now.mono) {
            self.reload_at = None;
            self.heads.reload();
        }
        if let Doing::Storing { set, retry_at: retry_at @ Some(_) } = &mut self.doing
            && retry_at.is_some_and(|at| at <= now.mono)
        {
            *retry_at = None;
            effects.push(Effect::Store(self.turn, set.clone()));
        }
        while let Some(late) = self.reads.iter().position(|(read, _)| read.deadline <= now.mono) {
            if let Some((read, _)) = self.reads.remove(late) {
                let reason = "its time was over before its turn in the lane".to_owned();
                effects.push(Effect::AnswerRead(read.id, Answer::NotSent(reason)));
            }
        }
    }

    /// If nothing is under way, begins what comes next.
    fn go_on(&mut self, now: Moment, dice: &mut dyn Dice, effects: &mut Vec<Effect>) {
        let calling = matches!(self.doing, Doing::Calling(_)) && mutant!(TwoCalls);
        if !matches!(self.doing, Doing::Idle) && !calling {
            return;
        }
        if let Some(request) = self.unconfirmed.take_overdue(now.mono)
            && !mutant!(NeverOverdue)
        {
            self.judged = now;
            let end = judge::unconfirmed(&self.settings, &request, now, dice.chance());
            note(&request, &end, effects);
            let change = self.conclude(&request, end, dice);
            return self.store(vec![change], effects);
        }
        match self.choose(now) {
            None => {}
            Some(Choice::Sweep) => {
                if let Some(of) = self.sweep.take() {
                    let work = judge::sweep(&of.1);
                    let call = self.call(None, work, now);
                    self.begin_call(InFlight::Sweep(Box::new(of)), call, now, effects);
                }
            }
            Some(Choice::Write(class, n)) => {
                if let Some(change) = self.intend_head(class, n) {
                    self.store(vec![change], effects);
                }
            }
            Some(Choice::Look(at)) => self.begin_look(at, now, dice, effects),
            Some(Choice::Read) => {
                if let Some((read, _)) = self.reads.pop_front() {
                    let call = self.call(None, read.work, now);
                    self.begin_call(InFlight::Read(read.id), call, now, effects);
                }
            }
        }
    }

    fn choose(&self, now: Moment) -> Option<Choice> {
        let open = self.gate.lets_through(&self.settings, now.mono);
        if self.draining || !open || self.pause.is_some() {
            return None;
        }
        let look = self
            .doubts
            .iter()
            .enumerate()
            .filter(|(_, doubt)| {
                doubt.look_at <= now.mono || mutant!(DoubtByWall) && doubt.by_wall(now)
            })
            .min_by_key(|(_, doubt)| doubt.look_at)
            .map(|(at, doubt)| (doubt.look_at, Choice::Look(at)));
        let write = |(class, head): (u8, &heads::Head)| {
            (head.ready_since, Choice::Write(class, head.request.n))
        };
        let may_write = !self.too_many_doubts() && !self.too_many_unconfirmed();
        let may_retry = self.gate.may_retry();
        let may = |head: &heads::Head| may_write && (may_retry || head.request.refusals == 0);
        let first = match self.gate.is_open() {
            false => self.heads.first(may).map(write),
            // What failed already is a poor probe: one poisoned request must not keep all closed.
            true => self.heads.least_tried(may).map(write),
        };
        // Not only among the firsts: one that is tried again and again must hide nobody.
        let oldest = self.heads.oldest(may).map(write).filter(|_| !self.gate.is_open());
        let read = self.reads.front().map(|(_, since)| (*since, Choice::Read));
        let sweep = self.sweep.waits_since().map(|since| (since, Choice::Sweep));
        let candidates: Vec<_> =
            look.into_iter().chain(first).chain(read).chain(sweep).chain(oldest).collect();
        let oldest = candidates.iter().enumerate().min_by_key(|(_, (since, _))| *since)?;
        let aged = now.mono.since(oldest.1.0) > AGED_AFTER && !mutant!(NoAging);
        let place = if aged { oldest.0 } else { 0 };
        candidates.into_iter().nth(place).map(|(_, choice)| choice)
    }

    fn intend_head(&mut self, class: u8, n: u64) -> Option<Change> {
        let request = self.heads.take(class, n)?;
        Some(self.intend(&request, None))
    }

    fn intend(&self, request: &Request, level: Option<Level>) -> Change {
        Change::Intend(Box::new(Intend {
            backend: self.backend.clone(),
            epoch: self.epoch,
            request: request.id,
            attempts: request.attempts,
            level,
        }))
    }

    fn conclude(&self, request: &Request, end: End, dice: &mut dyn Dice) -> Change {
        Change::Conclude(Box::new(Conclude {
            backend: self.backend.clone(),
            epoch: self.epoch,
            request: request.id,
            attempt: request.attempts,
            end,
            event_ids: [dice.event_id(), dice.event_id()],
            by_later_answer: false,
            watch_looks: self.settings.watch_looks(),
        }))
    }

    fn store(&mut self, changes: Vec<Change>, effects: &mut Vec<Effect>) {
        let set = ChangeSet(changes);
        let turn = self.next_turn();
        self.doing = Doing::Storing { set: set.clone(), retry_at: None };
        effects.push(Effect::Store(turn, set));
    }

    fn call(&self, request: Option<&Request>, work: Work, now: Moment) -> Call {
        Call {
            request: request.map(|request| request.id),
            alarm: request.and_then(Request::alarm).cloned(),
            work,
            send_by: now.mono.plus(self.settings.send_within),
            timeout: self.settings.timeout,
        }
    }

    fn begin_call(&mut self, flight: InFlight, call: Call, now: Moment, effects: &mut Vec<Effect>) {
        let turn = self.next_turn();
        let retry = matches!(&flight, InFlight::Write(request) if request.refusals > 0);
        self.gate.called(&self.settings, retry, now.mono);
        self.calling_since = now.mono;
        self.doing = Doing::Calling(flight);
        effects.push(Effect::Call(turn, call));
    }

    fn begin_look(
        &mut self,
        at: usize,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let doubt = self.doubts.swap_remove(at);
        if doubt.absent {
            let change = self.intend(&doubt.request, None);
            return self.store(vec![change], effects);
        }
        match judge::look(&self.settings, &doubt.request, &doubt.ticket, now) {
            Look::Ask(work) => {
                let call = self.call(Some(&doubt.request), work, now);
                self.begin_call(InFlight::Look(doubt), call, now, effects);
            }
            Look::SendAgain => {
                let change = self.intend(&doubt.request, None);
                self.store(vec![change], effects);
            }
            Look::Undecided(error) => {
                let change = self.conclude(&doubt.request, End::Undecided(error), dice);
                self.store(vec![change], effects);
            }
        }
    }

    fn answered(
        &mut self,
        heard: Heard,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Doing::Calling(flight) = std::mem::replace(&mut self.doing, Doing::Idle) else {
            return;
        };
        self.progress += 1;
        // As it was when the call was made: a probe that fails counts against nobody.
        let probe = self.gate.is_open();
        self.learn(&heard, now, dice, effects);
        let answer = heard.answer;
        match flight {
            InFlight::Read(id) => effects.push(Effect::AnswerRead(id, answer)),
            InFlight::Sweep(of) => self.swept(&of.1, answer, now, dice, effects),
            InFlight::Write(request) => self.wrote(&request, answer, probe, now, dice, effects),
            InFlight::Look(doubt) => self.looked(doubt, answer, probe, now, dice, effects),
        }
    }

    /// What the answer says of the backend's health.
    fn learn(
        &mut self,
        heard: &Heard,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let (health, reason, retry_after) = judge::health(&heard.answer);
        let asked = (retry_after, heard.quiet);
        let chance = dice.chance();
        let switched = self.gate.heard(&self.settings, health, reason, asked, now.mono, chance);
        match switched {
            None => {}
            Some(Switched::Opened(why)) => effects.push(Effect::Ops("breaker_open", why)),
            Some(Switched::Closed) => {
                let why = "a probe was answered".to_owned();
                effects.push(Effect::Ops("breaker_closed", why));
            }
        }
    }

    fn wrote(
        &mut self,
        request: &Request,
        answer: Answer,
        probe: bool,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        self.judged = now;
        let judged = judge::answer(&self.settings, request, answer, probe, now, dice.chance());
        let mut changes = Vec::with_capacity(2);
        let end = match judged {
            Judged::End(end) => end,
            Judged::Pause(end, error) => {
                changes.push(self.pause_for(&error, now, effects));
                end
            }
        };
        note(request, &end, effects);
        // This doubt counts already, though it stands among the others only after its commit.
        let full = matches!(end, End::InDoubt { .. })
            && self.doubts.len() + 1 >= self.settings.max_in_doubt;
        changes.insert(0, self.conclude(request, end, dice));
        if let Some(Choice::Write(class, n)) = self.choose(now).filter(|_| !full)
            && let Some(next) = self.intend_head(class, n)
        {
            changes.push(next);
        }
        self.store(changes, effects);
    }

    fn looked(
        &mut self,
        mut doubt: DoubtHead,
        answer: Answer,
        probe: bool,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        self.judged = now;
        let seen = judge::seen(&self.settings, &doubt.request, &doubt.ticket, answer, now);
        let change = match seen {
            Seen::SendAgain if !self.gate.lets_through(&self.settings, now.mono) => {
                doubt.absent = true;
                doubt.look_at = now.mono;
                self.doubts.push(doubt);
                return;
            }
            Seen::SendAgain => self.intend(&doubt.request, None),
            Seen::End(end) => {
                note(&doubt.request, &end, effects);
                self.conclude(&doubt.request, end, dice)
            }
            Seen::Pause(error) => {
                let change = self.pause_for(&error, now, effects);
                self.doubts.push(doubt);
                change
            }
            Seen::Away => {
                self.doubts.push(doubt);
                return;
            }
            Seen::Unanswered(error) => {
                let (cost, patience) = judge::impatience(probe);
                doubt.unanswered += cost;
                if doubt.unanswered < patience {
                    let looks = doubt.unanswered.div_ceil(cost);
                    let pause = self.settings.pause_after(looks, dice.chance());
                    doubt.look_at = now.mono.plus(pause);
                    self.doubts.push(doubt);
                    return;
                }
                let end = End::Undecided(TicketError {
                    reason: format!("the looks were not answered: {}", error.reason),
                    ..error
                });
                note(&doubt.request, &end, effects);
                self.conclude(&doubt.request, end, dice)
            }
        };
        self.store(vec![change], effects);
    }

    fn swept(
        &mut self,
        ticket: &Ticket,
        answer: Answer,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let change = match answer {
            Answer::Read(reading) => Change::Swept(Box::new(Swept {
                backend: self.backend.clone(),
                epoch: self.epoch,
                ticket: ticket.key,
                found: judge::carriers(ticket, reading),
                event_id: dice.event_id(),
            })),
            Answer::Unauthorised(error) => self.pause_for(&error, now, effects),
            // It says nothing; the next sweep asks again.
            _ => return,
        };
        self.store(vec![change], effects);
    }

    fn pause_for(&mut self, error: &TicketError, now: Moment, effects: &mut Vec<Effect>) -> Change {
        let pause = Pause {
            since: now.wall,
            reason: format!("credentials were refused: {}", error.reason),
            by: "ticketgate".to_owned(),
        };
        self.pause = Some(pause.clone());
        effects.push(Effect::Ops("paused", pause.reason.clone()));
        Change::PauseLane(self.backend.clone(), self.epoch, pause)
    }

    fn stored(
        &mut self,
        result: Result<Vec<Applied>, StoreError>,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Doing::Storing { set, .. } = std::mem::replace(&mut self.doing, Doing::Idle) else {
            return;
        };
        self.progress += u64::from(!matches!(result, Err(StoreError::Down(_))));
        match result {
            Ok(applied) => {
                for one in applied {
                    self.applied(one, now, dice, effects);
                }
            }
            Err(StoreError::Down(reason)) => {
                // An outcome that is known must not be forgotten: it is given again until kept.
                effects.push(Effect::Ops("store_down", reason));
                self.doing = Doing::Storing { set, retry_at: Some(now.mono.plus(STORE_RETRY)) };
            }
            Err(StoreError::Refused(crate::changes::Refusal::StaleEpoch)) => {
                self.doing = Doing::Out;
                self.heads.forget();
                self.doubts.clear();
                self.unconfirmed.clear();
                self.sweep.stop();
                effects.push(Effect::Lost);
            }
            Err(StoreError::Refused(crate::changes::Refusal::Conflict))
                if let Some(instead) = undecided_instead(&set) =>
            {
                self.store(vec![instead], effects);
            }
            Err(StoreError::Refused(_)) => {
                // Another hand (a person) has moved the request meanwhile; the rows are right.
                self.heads.reload();
            }
        }
    }

    fn applied(
        &mut self,
        applied: Applied,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        match applied {
            Applied::Intended(request, ticket)
                if request.op != Op::Create && ticket.backend_id.is_none() =>
            {
                // Its create ended without a ticket while this one waited in line behind it.
                let error = TicketError::because("the ticket was never made at the backend");
                self.wrote(&request, Answer::Refused(error), false, now, dice, effects);
            }
            Applied::Intended(request, ticket) => {
                let work = judge::work(&request, &ticket);
                let call = self.call(Some(&request), work, now);
                self.begin_call(InFlight::Write(request), call, now, effects);
            }
            Applied::Stale(request, alarm) => {
                let turn = self.next_turn();
                self.doing = Doing::Rendering(request.clone());
                effects.push(Effect::Render(turn, request, alarm));
            }
            Applied::Concluded(concluded) => self.concluded(*concluded, now, dice, effects),
            Applied::Swept { events: true } => {
                let why = "a ticket exists twice at the backend; its story says which".to_owned();
                effects.push(Effect::Ops("duplicate", why));
                effects.push(Effect::WakeOutbox);
            }
            // What was here was an old copy; a newer one may have been pushed aside by it.
            Applied::Skipped => self.heads.reload(),
            _ => {}
        }
    }

    fn concluded(
        &mut self,
        concluded: Concluded,
        now: Moment,
        _dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Concluded { request, ticket, next, due, events } = concluded;
        self.heads.touch(request.id);
        match request.state {
            State::Wait => {
                let longest = ASKED_PAUSE_MAX.max(self.settings.backoff_max);
                let wait = request.ready_at.since(self.judged.wall).min(longest);
                let ready_at = self.judged.mono.plus(wait);
                if ready_at <= now.mono {
                    self.heads.put(Box::new(request), now);
                } else {
                    self.reload_at = earliest(self.reload_at, Some(ready_at));
                }
            }
            State::Acknowledged => {
                self.unconfirmed.put(request, self.settings.confirm_within, now.mono);
            }
            State::InDoubt if mutant!(ForgetsDoubt) => {}
            State::InDoubt => {
                let longest = ASKED_PAUSE_MAX.max(self.settings.settle());
                let judged = self.judged;
                let look_at = request.doubt.as_ref().map_or(judged.wall, |doubt| doubt.look_at);
                self.doubts.push(DoubtHead {
                    look_at: judged.mono.plus(look_at.since(judged.wall).min(longest)),
                    request: Box::new(request),
                    ticket: Box::new(ticket),
                    unanswered: 0,
                    absent: false,
                });
            }
            _ => {}
        }
        if let Some(next) = next.filter(|n| matches!(n.state, State::Accepted | State::Wait)) {
            self.heads.put(Box::new(next), now);
        }
        if due.is_some() {
            effects.push(Effect::WakeFlows);
        }
        if events {
            effects.push(Effect::WakeOutbox);
        }
    }

    fn rendered(&mut self, level: Option<Level>, dice: &mut dyn Dice, effects: &mut Vec<Effect>) {
        let Doing::Rendering(request) = std::mem::replace(&mut self.doing, Doing::Idle) else {
            return;
        };
        let change = match level {
            Some(level) => self.intend(&request, Some(level)),
            None => {
                let why = match &request.made_by {
                    MadeBy::Level { version, .. } => format!("version {version} is out of date"),
                    MadeBy::Command { .. } => "out of date".to_owned(),
                };
                self.conclude(&request, End::Superseded(why), dice)
            }
        };
        self.store(vec![change], effects);
    }

    fn next_wake(&self, now: Moment) -> Option<Mono> {
        let later = |at: Mono| at.max(Mono(now.mono.0 + 1));
        // While something is under way, or while no call may be made, its end wakes the lane.
        let waits = matches!(self.doing, Doing::Idle) && !self.draining && self.pause.is_none();
        let hold = self.gate.opens_at(&self.settings, now.mono);
        let looks = self.doubts.iter().map(|doubt| doubt.look_at).min();
        let (hold, looks) = match (waits, hold) {
            (false, _) => (None, None),
            (true, Some(hold)) => (Some(hold), None),
            (true, None) => (None, earliest(looks, self.gate.retry_at())),
        };
        let reads = self.reads.iter().map(|(read, _)| read.deadline).min();
        let retry = match &self.doing {
            Doing::Storing { retry_at, .. } => *retry_at,
            _ => None,
        };
        let idle = matches!(self.doing, Doing::Idle);
        let overdue = self.unconfirmed.next().filter(|_| idle);
        let sweep = self.sweep.next();
        [hold, looks, reads, retry, overdue, sweep, self.reload_at]
            .into_iter()
            .flatten()
            .min()
            .map(later)
    }
}

/// The backend named a ticket that is another one's here (rule T4): which of the two is wrong only a
/// person can say. Whatever else was to be stored with it is left to the next step.
fn undecided_instead(set: &ChangeSet) -> Option<Change> {
    let Change::Conclude(conclude) = set.0.first()? else { return None };
    let (End::Done(found) | End::Adopted(found)) = &conclude.end else { return None };
    let error = TicketError::because(format!(
        "the backend answered with {}, which is another ticket's here",
        found.backend_id
    ));
    Some(Change::Conclude(Box::new(Conclude { end: End::Undecided(error), ..*conclude.clone() })))
}

#[cfg(test)]
mod tests;

fn earliest(one: Option<Mono>, other: Option<Mono>) -> Option<Mono> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn note(request: &Request, end: &End, effects: &mut Vec<Effect>) {
    let (state, reason) = match end {
        End::Rejected(error) => ("rejected", error.reason.clone()),
        End::Failed(error) => ("failed", error.reason.clone()),
        End::Wait { error, .. } => ("wait", error.reason.clone()),
        End::InDoubt { error, .. } => ("in_doubt", error.reason.clone()),
        End::Undecided(error) => ("undecided", error.reason.clone()),
        End::AbsentOnce { .. } => ("in_doubt", "a look did not find it".to_owned()),
        End::Done(_)
        | End::Adopted(_)
        | End::Acknowledged { .. }
        | End::Cancelled(_)
        | End::Superseded(_) => return,
    };
    effects.push(Effect::Note(Note {
        request: request.id,
        op: request.op,
        attempt: request.attempts,
        state,
        reason,
    }));
}
