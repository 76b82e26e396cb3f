//! One backend's lane: strictly one call in flight; order, priority, retry, doubt (rules G1–G17).
//!
//! A machine without IO: [`Lane::step`] takes an input and the time and gives effects. What always
//! holds:
//! * an intent is durable before its call, and is written for the next call only, or for the few after it
//!   (`primed`);
//! * an outcome and the next intent share a change set;
//! * a decision shares one with the intent of its call, where nothing waits (`offered`);
//! * whatever is asynchronous carries its turn, and an old turn changes nothing;
//! * a doubt holds its ticket, never the lane.
//!
//! Looks go first, since they free tickets and there are at most `max_in_doubt` of them; then
//! creates, closes, updates and the flows' searches; whatever waited over a minute goes before all.

mod calls;
mod door;
mod gate;
mod heads;
mod held;
mod judge;
mod offered;
mod primed;
mod rows;
mod settings;
mod shows;
mod sweep;
mod unconfirmed;

pub use door::{Effect, Input, LaneGlance, Note, Read, Turn, Unanswered};
pub use gate::ASKED_PAUSE_MAX;
pub use heads::{CLASSES, HEADS_MAX, class_of};
pub use primed::PRIMED_MAX;
pub use settings::{Capability, LaneSettings, Rate, ReadsFrom};
pub use shows::{Shows, shows};
pub use sweep::{SWEEP_PAGE, WATCH_LOOKS};
pub use unconfirmed::UNCONFIRMED_MAX;

use crate::changes::End;
use crate::model::{BackendId, Epoch, EventId, Moment, Mono, Request, Ticket, Watched};
use crate::ports::{Answer, Call, Heard, Pause, Via, Work};
use gate::Gate;
use heads::Heads;
use held::Held;
use primed::Primed;
use rows::Kept;
use std::collections::VecDeque;
use std::time::Duration;
use sweep::Sweep;
use unconfirmed::Unconfirmed;

/// What has waited longer than this goes before everything else (rule G17).
pub const AGED_AFTER: Duration = Duration::from_secs(60);
/// Searches of flows, and the sync's reads, that wait in one lane; more are answered as not sent.
pub const READS_MAX: usize = 256;
/// The pause before a change set that the store could not take is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct DoubtHead {
    request: Box<Request>,
    ticket: Box<Ticket>,
    look_at: Mono,
    unanswered: u32,
    /// The looks that were not answered, for people.
    looked: Option<Unanswered>,
    /// It is not there: to be sent again, when a call may be made.
    absent: bool,
}

impl DoubtHead {
    /// A look was not answered.
    fn not_answered(&mut self, why: String, now: Moment) {
        let times = self.looked.as_ref().map_or(0, |before| before.times) + 1;
        let request = self.request.id;
        self.looked = Some(Unanswered { request, times, last: now.wall, why });
    }

    /// What must not be asked: its time by the wall clock.
    fn by_wall(&self, now: Moment) -> bool {
        self.request.doubt.as_ref().is_some_and(|doubt| doubt.look_at <= now.wall)
    }
}

#[derive(Debug)]
enum InFlight {
    Write(Box<Request>),
    Look(DoubtHead),
    /// Whose, and what it is called.
    Read(u64, &'static str),
    Sweep(Box<(Watched, Ticket)>),
}

/// The lane of one backend.
#[derive(Debug)]
pub struct Lane {
    backend: BackendId,
    settings: LaneSettings,
    epoch: Epoch,
    turn: Turn,
    /// The lease is ours.
    ours: bool,
    /// It was lost while a call was under way: it is taken again when that has ended (G3).
    lost: bool,
    /// The one call, and its turn.
    flight: Option<(Turn, InFlight)>,
    /// What is at the store, or at policy before it goes there.
    kept: Vec<Kept>,
    primed: Primed,
    heads: Heads,
    doubts: Vec<DoubtHead>,
    unconfirmed: Unconfirmed,
    sweep: Sweep,
    reads: VecDeque<(Read, Mono)>,
    pause: Option<Pause>,
    /// What a person said while the lane was being taken, to pause it or to let it go on: the pause
    /// that the take-over read may be older than that.
    said: Option<Option<Pause>>,
    held: Held,
    draining: bool,
    gate: Gate,
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
            ours: false,
            lost: false,
            flight: None,
            kept: Vec::new(),
            primed: Primed::default(),
            heads: Heads::default(),
            doubts: Vec::new(),
            unconfirmed: Unconfirmed::default(),
            sweep: Sweep::default(),
            reads: VecDeque::new(),
            pause: None,
            said: None,
            held: Held::default(),
            draining: false,
            reload_at: None,
            calling_since: Mono::default(),
            progress: 0,
        }
    }

    /// Goes by other settings from now on; what is under way ends as it began.
    pub fn settle_on(&mut self, settings: LaneSettings) {
        self.settings = settings;
    }

    /// The one door.
    pub fn step(&mut self, input: Input, now: Moment, dice: &mut dyn Dice) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.take(input, now, dice, &mut effects);
        self.go_on(now, dice, &mut effects);
        while let Some(class) = self.ours.then(|| self.heads.wants_load()).flatten() {
            // What is read may be older than the intents that are at the store now.
            for request in self.kept.iter().flat_map(Kept::intended) {
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
        let flight = self.flight.as_ref().map(|(_, flight)| flight);
        LaneGlance {
            heads: self.heads.len(),
            in_doubt: self.doubts.len(),
            unconfirmed: self.unconfirmed.len(),
            reads: self.reads.len(),
            in_flight: flight.map(|flight| match flight {
                InFlight::Write(request) => format!("{} {}", request.op.as_str(), request.id),
                InFlight::Look(doubt) => format!("look {}", doubt.request.id),
                InFlight::Read(_, what) => (*what).to_owned(),
                InFlight::Sweep(of) => format!("sweep {}", of.0.ticket),
            }),
            primed: self.primed.len(),
            calling_since: flight.map(|_| self.calling_since),
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
            pause: self.pause.clone(),
            held_tickets: self.held.len(),
            held_until: match &self.pause {
                None if !self.draining => hold.map(|(until, _)| until),
                _ => None,
            },
            breaker_open: self.gate.is_open(),
            probes_since: self.gate.open_since(),
            looks: self.doubts.iter().filter_map(|doubt| doubt.looked.clone()).collect(),
            taken: self.ours,
            storing: !self.kept.is_empty(),
            progress: self.progress,
        }
    }

    /// Requests of each class that wait for a call, as far as they are in memory.
    pub fn waiting(&self) -> [usize; CLASSES] {
        self.heads.of_each()
    }

    /// Nothing is under way: a stop may go on.
    pub fn quiet(&self) -> bool {
        self.flight.is_none() && self.kept.is_empty() && self.primed.is_empty()
    }

    /// The lane is ours, and nothing is under way.
    fn idle(&self) -> bool {
        self.ours && self.quiet()
    }

    /// Those that are on their way to the store count already.
    fn in_doubt(&self) -> usize {
        self.doubts.len() + self.kept.iter().filter(|kept| kept.is_doubt()).count()
    }

    fn too_many_doubts(&self) -> bool {
        self.in_doubt() >= self.settings.max_in_doubt
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
            Input::Taken { epoch, pause, doubts, unconfirmed, held } => {
                self.held.begin(held);
                self.taken(epoch, pause, doubts, now);
                self.unconfirmed.begin(unconfirmed, self.settings.confirm_within, now.mono);
            }
            Input::Watched(rows) => self.sweep.loaded(rows, now.mono),
            Input::Moved(id) => {
                self.unconfirmed.forget(id);
                self.primed.forget(id);
                self.doubts.retain(|doubt| doubt.request.id != id);
                self.heads.drop(id);
            }
            Input::Submitted(request) => self.put(request, now),
            Input::Doubted(request, ticket) => {
                let look_at = now.mono.plus(self.settings.settle());
                self.doubts.push(DoubtHead {
                    request,
                    ticket,
                    look_at,
                    unanswered: 0,
                    looked: None,
                    absent: false,
                });
            }
            Input::Held(ticket, held) => {
                self.held.set(ticket, held, self.ours);
                match held {
                    true => self.heads.leave(ticket),
                    false => self.heads.reload(),
                }
            }
            Input::Offered(decide) => self.offered(decide, now, effects),
            Input::Asked(read) if self.reads.len() >= READS_MAX => {
                effects.push(Effect::AnswerRead(read.id, not_sent("the lane's searches are full")))
            }
            Input::Asked(read) => self.reads.push_back((read, now.mono)),
            Input::Loaded { class, requests: Some(requests), all, next_ready } => {
                let requests =
                    requests.into_iter().filter(|it| !self.held.has(it.ticket)).collect();
                self.heads.loaded(class, requests, all, now);
                let next =
                    next_ready.map(|wait| now.mono.plus(wait.min(self.settings.backoff_max)));
                self.reload_at = earliest(self.reload_at, next);
            }
            Input::Loaded { class, requests: None, .. } => {
                self.heads.load_failed(class);
                self.gate.hold("the store cannot be read", STORE_RETRY, now.mono);
            }
            Input::Stored(turn, result) => self.stored(turn, result, now, dice, effects),
            Input::Rendered(turn, level) => self.rendered(turn, level, now, dice, effects),
            Input::Answered(turn, answer) => self.answered(turn, answer, now, dice, effects),
            Input::Paused(pause) => {
                self.said = (!self.ours).then(|| Some(pause.clone()));
                self.pause = Some(pause);
            }
            Input::Resumed => {
                self.said = (!self.ours).then_some(None);
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
        self.pause = self.said.take().unwrap_or(pause);
        self.ours = true;
        self.kept.clear();
        self.primed.clear();
        self.heads.forget();
        if self.settings.capability == Capability::Searchable {
            self.sweep.begin(self.settings.sweep_every, now.mono);
        }
        // Wall times of another life say nothing sure about how long a doubt has settled: anew.
        let look_at = now.mono.plus(self.settings.settle());
        // What was journaled in doubt while the lane was being taken may not have been read with it.
        let mut doubts = doubts;
        for it in std::mem::take(&mut self.doubts) {
            if !doubts.iter().any(|(request, _)| request.id == it.request.id) {
                doubts.push((*it.request, *it.ticket));
            }
        }
        self.doubts = doubts
            .into_iter()
            .map(|(request, ticket)| DoubtHead {
                request: Box::new(request),
                ticket: Box::new(ticket),
                look_at,
                unanswered: 0,
                looked: None,
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
        effects.extend(self.kept.iter_mut().filter_map(|kept| kept.again(now.mono)));
        while let Some(late) = self.reads.iter().position(|(read, _)| read.deadline <= now.mono) {
            if let Some((read, _)) = self.reads.remove(late) {
                let why = "its time was over before its turn in the lane";
                effects.push(Effect::AnswerRead(read.id, not_sent(why)));
            }
        }
    }

    /// Takes a request that may go, unless its ticket is held: then it stays in the store.
    fn put(&mut self, request: Box<Request>, now: Moment) {
        if !self.held.has(request.ticket) {
            self.heads.put(request, now);
        }
    }

    /// Begins what comes next, if it may.
    fn go_on(&mut self, now: Moment, dice: &mut dyn Dice, effects: &mut Vec<Effect>) {
        self.call_primed(now, dice, effects);
        let calling = self.flight.is_some() && mutant!(TwoCalls);
        if !self.idle() && !calling {
            return self.prime(now, effects);
        }
        if let Some(request) = self.unconfirmed.take_overdue(now.mono)
            && !mutant!(NeverOverdue)
        {
            let end = judge::unconfirmed(&self.settings, &request, now, dice.chance());
            note(&request, &end, effects);
            let change = self.conclude(&request, end, dice);
            return self.store(vec![change], now, effects);
        }
        match self.choose(now) {
            None => {}
            Some(Choice::Sweep) => {
                if let Some(of) = self.sweep.take() {
                    let work = judge::sweep(&of.1);
                    let via = Via::Accepted(of.0.service.clone());
                    let ticket = Some(of.0.ticket);
                    let call = Call { via, ticket, ..self.call(None, work, now) };
                    self.begin_call(InFlight::Sweep(Box::new(of)), call, now, effects);
                }
            }
            Some(Choice::Write(class, n)) => {
                if let Some(change) = self.intend_head(class, n) {
                    self.store(vec![change], now, effects);
                }
            }
            Some(Choice::Look(at)) => self.begin_look(at, now, dice, effects),
            Some(Choice::Read) => {
                if let Some((read, _)) = self.reads.pop_front() {
                    let what = match &read.work {
                        Work::Changes { .. } => "changes",
                        _ => "search",
                    };
                    let call = self.call(None, read.work, now);
                    self.begin_call(InFlight::Read(read.id, what), call, now, effects);
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
            .filter(|(_, doubt)| !self.held.has(doubt.request.ticket))
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
        // Not only among the firsts: one that is tried again and again must hide nobody. By age first, which
        // is at hand: the requests themselves are touched only where one is that old.
        let aged = |since: Mono| now.mono.since(since) > AGED_AFTER && !mutant!(NoAging);
        let oldest = self.heads.oldest(|head| aged(head.ready_since) && may(head));
        let oldest = oldest.map(write).filter(|_| !self.gate.is_open());
        let read = self.reads.front().map(|(_, since)| (*since, Choice::Read));
        let sweep = self.sweep.waits_since().map(|since| (since, Choice::Sweep));
        let candidates: Vec<_> =
            look.into_iter().chain(first).chain(read).chain(sweep).chain(oldest).collect();
        let oldest = candidates.iter().enumerate().min_by_key(|(_, (since, _))| *since)?;
        let place = if aged(oldest.1.0) { oldest.0 } else { 0 };
        candidates.into_iter().nth(place).map(|(_, choice)| choice)
    }

    fn next_wake(&self, now: Moment) -> Option<Mono> {
        let later = |at: Mono| at.max(Mono(now.mono.0 + 1));
        // While something is under way, or while no call may be made, its end wakes the lane.
        let idle = self.idle();
        let waits = idle && !self.draining && self.pause.is_none();
        let hold = self.gate.opens_at(&self.settings, now.mono);
        let looks = self.doubts.iter().filter(|doubt| !self.held.has(doubt.request.ticket));
        let looks = looks.map(|doubt| doubt.look_at).min();
        let (hold, looks) = match (waits, hold) {
            (false, _) => (None, None),
            (true, Some(hold)) => (Some(hold), None),
            (true, None) => (None, earliest(looks, self.gate.retry_at())),
        };
        let reads = self.reads.iter().map(|(read, _)| read.deadline).min();
        let retry = self.kept.iter().filter_map(Kept::retry_at).min();
        let overdue = self.unconfirmed.next().filter(|_| idle);
        let sweep = self.sweep.next();
        [hold, looks, reads, retry, overdue, sweep, self.reload_at, self.primed.until()]
            .into_iter()
            .flatten()
            .min()
            .map(later)
    }
}

fn not_sent(why: &str) -> Heard {
    Answer::NotSent(why.to_owned()).into()
}

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
        | End::NotSent(_)
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

#[cfg(test)]
mod tests;
