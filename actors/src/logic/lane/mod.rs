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

mod heads;
mod judge;
mod settings;

pub use heads::{CLASSES, HEADS_MAX, class_of};
pub use settings::{Capability, LaneSettings, ReadsFrom};

use crate::changes::{Applied, Change, ChangeSet, Conclude, Concluded, End, Intend, Level};
use crate::model::{
    Alarm, BackendId, Epoch, EventId, MadeBy, Moment, Mono, Op, Request, RequestId, State, Ticket,
    TicketError,
};
use crate::ports::{Answer, Call, Pause, StoreError, Work};
use heads::Heads;
use judge::{Judged, Look, Seen, UNANSWERED_LOOKS_MAX};
use std::collections::VecDeque;
use std::time::Duration;

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
    /// A change set was applied, or not.
    Stored(Turn, Result<Vec<Applied>, StoreError>),
    /// Policy has rendered a newer level; none: the request is no longer needed.
    Rendered(Turn, Option<Level>),
    /// A call came back.
    Answered(Turn, Answer),
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
}

/// What a lane is doing, for faces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneGlance {
    /// Ready heads in memory.
    pub heads: usize,
    /// In doubt.
    pub in_doubt: usize,
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
    reads: VecDeque<(Read, Mono)>,
    pause: Option<Pause>,
    /// A person let the lane go on while it was being taken: the pause that the take-over read may
    /// be older than that.
    resumed: bool,
    draining: bool,
    /// No call before this time: the backend is away or asked us to wait.
    hold_until: Option<(Mono, String)>,
    /// Failures in a row that made the lane hold.
    holds_in_a_row: u32,
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
}

impl Lane {
    /// A lane that is not ours yet.
    pub fn new(backend: BackendId, settings: LaneSettings) -> Self {
        Self {
            backend,
            settings,
            epoch: Epoch::default(),
            turn: Turn::default(),
            doing: Doing::Out,
            heads: Heads::default(),
            doubts: Vec::new(),
            reads: VecDeque::new(),
            pause: None,
            resumed: false,
            draining: false,
            hold_until: None,
            holds_in_a_row: 0,
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
        if let Some(at) = self.next_wake(now) {
            effects.push(Effect::WakeAt(at));
        }
        effects
    }

    /// For faces.
    pub fn glance(&self, now: Moment) -> LaneGlance {
        let hold = self.hold_until.as_ref().filter(|(until, _)| *until > now.mono);
        let calling = matches!(self.doing, Doing::Calling(_));
        LaneGlance {
            heads: self.heads.len(),
            in_doubt: self.doubts.len(),
            reads: self.reads.len(),
            in_flight: match &self.doing {
                Doing::Calling(InFlight::Write(request)) => {
                    Some(format!("{} {}", request.op.as_str(), request.id))
                }
                Doing::Calling(InFlight::Look(doubt)) => Some(format!("look {}", doubt.request.id)),
                Doing::Calling(InFlight::Read(_)) => Some("search".to_owned()),
                _ => None,
            },
            calling_since: calling.then_some(self.calling_since),
            held: match (&self.pause, hold) {
                (Some(pause), _) => Some(format!("paused: {}", pause.reason)),
                (None, _) if self.draining => Some("the service is stopping".to_owned()),
                (None, Some((_, why))) => Some(why.clone()),
                _ if self.too_many_doubts() => Some("too many requests in doubt".to_owned()),
                _ => None,
            },
            held_until: match &self.pause {
                None if !self.draining => hold.map(|(until, _)| *until),
                _ => None,
            },
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

    fn next_turn(&mut self) -> Turn {
        self.turn.0 += 1;
        self.turn
    }

    fn take(&mut self, input: Input, now: Moment, dice: &mut dyn Dice, effects: &mut Vec<Effect>) {
        match input {
            Input::Taken { epoch, pause, doubts } => self.taken(epoch, pause, doubts, now),
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
                self.hold("the store cannot be read", STORE_RETRY, now);
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
                self.hold_until = None;
                self.holds_in_a_row = 0;
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
        // Wall times of another life say nothing sure about how long a doubt has settled: anew.
        let look_at = now.mono.plus(self.settings.settle());
        self.doubts = doubts
            .into_iter()
            .map(|(request, ticket)| DoubtHead {
                request: Box::new(request),
                ticket: Box::new(ticket),
                look_at,
                unanswered: 0,
            })
            .collect();
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
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
        match self.choose(now) {
            None => {}
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
        let held = self.hold_until.as_ref().is_some_and(|(until, _)| *until > now.mono);
        if self.draining || held || self.pause.is_some() {
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
        let may_write = !self.too_many_doubts();
        let first = self.heads.firsts().next().filter(|_| may_write).map(write);
        // Not only among the firsts: one that is tried again and again must hide nobody.
        let oldest = self.heads.oldest().filter(|_| may_write).map(write);
        let read = self.reads.front().map(|(_, since)| (*since, Choice::Read));
        let candidates: Vec<_> = look.into_iter().chain(first).chain(read).chain(oldest).collect();
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
        answer: Answer,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Doing::Calling(flight) = std::mem::replace(&mut self.doing, Doing::Idle) else {
            return;
        };
        self.progress += 1;
        match flight {
            InFlight::Read(id) => {
                self.after_read(&answer, now);
                effects.push(Effect::AnswerRead(id, answer));
            }
            InFlight::Write(request) => self.wrote(&request, answer, now, dice, effects),
            InFlight::Look(doubt) => self.looked(doubt, answer, now, dice, effects),
        }
    }

    fn after_read(&mut self, answer: &Answer, now: Moment) {
        match answer {
            Answer::NotSent(reason) => self.hold_after_failure(reason, None, now, 0.5),
            Answer::Busy { error, retry_after } => {
                self.hold_after_failure(&error.reason, *retry_after, now, 0.5);
            }
            _ => self.holds_in_a_row = 0,
        }
    }

    fn wrote(
        &mut self,
        request: &Request,
        answer: Answer,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        self.judged = now;
        let judged = judge::answer(&self.settings, request, answer, now, dice.chance());
        let mut changes = Vec::with_capacity(2);
        let end = match judged {
            Judged::End(end) => {
                self.holds_in_a_row = 0;
                end
            }
            Judged::Hold(end, retry_after) => {
                let reason = match &end {
                    End::Wait { error, .. } | End::InDoubt { error, .. } => error.reason.clone(),
                    _ => String::new(),
                };
                self.hold_after_failure(&reason, retry_after, now, dice.chance());
                end
            }
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
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        self.judged = now;
        let seen = judge::seen(&self.settings, &doubt.request, &doubt.ticket, answer, now);
        let change = match seen {
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
            Seen::Away(error, retry_after) => {
                self.hold_after_failure(&error.reason, retry_after, now, dice.chance());
                self.doubts.push(doubt);
                return;
            }
            Seen::Unanswered(error) => {
                doubt.unanswered += 1;
                if doubt.unanswered < UNANSWERED_LOOKS_MAX {
                    let pause = self.settings.pause_after(doubt.unanswered, dice.chance());
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

    fn hold_after_failure(
        &mut self,
        reason: &str,
        retry_after: Option<Duration>,
        now: Moment,
        chance: f64,
    ) {
        self.holds_in_a_row += 1;
        let pause = retry_after
            .unwrap_or_else(|| self.settings.pause_after(self.holds_in_a_row, chance))
            .min(self.settings.backoff_max);
        let pause = if mutant!(NoPause) { Duration::ZERO } else { pause };
        self.hold(reason, pause, now);
    }

    fn hold(&mut self, reason: &str, pause: Duration, now: Moment) {
        // Never shorter than what was asked for before, for example by a Retry-After.
        let until = now.mono.plus(pause);
        if self.hold_until.as_ref().is_none_or(|(before, _)| *before < until) {
            self.hold_until = Some((until, reason.to_owned()));
        }
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
                self.wrote(&request, Answer::Refused(error), now, dice, effects);
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
                let wait = request.ready_at.since(self.judged.wall).min(self.settings.backoff_max);
                let ready_at = self.judged.mono.plus(wait);
                if ready_at <= now.mono {
                    self.heads.put(Box::new(request), now);
                } else {
                    self.reload_at = earliest(self.reload_at, Some(ready_at));
                }
            }
            State::InDoubt if mutant!(ForgetsDoubt) => {}
            State::InDoubt => {
                let longest = self.settings.settle().max(self.settings.backoff_max);
                let judged = self.judged;
                let look_at = request.doubt.as_ref().map_or(judged.wall, |doubt| doubt.look_at);
                self.doubts.push(DoubtHead {
                    look_at: judged.mono.plus(look_at.since(judged.wall).min(longest)),
                    request: Box::new(request),
                    ticket: Box::new(ticket),
                    unanswered: 0,
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
        let hold = self.hold_until.as_ref().map(|(at, _)| *at).filter(|at| *at > now.mono);
        let looks = self.doubts.iter().map(|doubt| doubt.look_at).min();
        let (hold, looks) = match (waits, hold) {
            (false, _) => (None, None),
            (true, Some(hold)) => (Some(hold), None),
            (true, None) => (None, looks),
        };
        let reads = self.reads.iter().map(|(read, _)| read.deadline).min();
        let retry = match &self.doing {
            Doing::Storing { retry_at, .. } => *retry_at,
            _ => None,
        };
        [hold, looks, reads, retry, self.reload_at].into_iter().flatten().min().map(later)
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
        End::Done(_) | End::Adopted(_) | End::Cancelled(_) | End::Superseded(_) => return,
    };
    effects.push(Effect::Note(Note {
        request: request.id,
        op: request.op,
        attempt: request.attempts,
        state,
        reason,
    }));
}
