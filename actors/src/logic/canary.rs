//! The canary of one backend: a test alarm that goes the way of a real one, round after round. The
//! age of the last round that came all the way is the one figure that says whether the flow is
//! alive.
//!
//! What always holds:
//! * one round is under way at the most, and a new one has a new name: what is said of an old one
//!   changes nothing;
//! * time runs on our monotonic clock alone, and time in which we stood still is nobody's fault;
//! * a flow that dies is told once, with the last stage that was reached, and once when it is back.
//!   What is to be told is kept until the bus has taken it, in order: a dead broker must not
//!   swallow the news of it.
//!
//! The stages themselves are left to the actor.

use crate::model::{Moment, Mono, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// A publish that failed is tried again after this, or after `every` if that is shorter.
const PUBLISH_AGAIN: Duration = Duration::from_secs(10);
/// A test alarm that does not come in is published again, under its name, after `dead_after`, then
/// after twice that, and so on up to this: should a queue have been emptied, its loss is made good;
/// and where a queue stands still its copies do not pile up.
const COPIES_APART_MAX: Duration = Duration::from_secs(6 * 3_600);
/// Ticks come every second. One that is later than this says that we stood still.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// News that wait for the bus: a flow that comes and goes while the bus takes nothing.
const BELLS_MAX: usize = 16;

/// How the flow is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanarySettings {
    /// From the beginning of one round to that of the next.
    pub every: Duration,
    /// Without a whole round for this long the flow is dead.
    pub dead_after: Duration,
}

/// The last stage that a round has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has begun, and is not at the bus.
    #[default]
    Begun,
    /// The bus has it.
    Published,
    /// It came in and is stored.
    Stored,
    /// A ticket client has carried it.
    Carried,
    /// The backend has answered.
    Answered,
    /// Its event is in the outbox.
    Told,
    /// The bus has confirmed its event.
    Whole,
}

impl Stage {
    /// The word on every face.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Published => "published",
            Self::Stored => "stored",
            Self::Carried => "carried",
            Self::Answered => "answered",
            Self::Told => "told",
            Self::Whole => "whole",
        }
    }

    /// What it waits for, in words.
    pub fn waits_for(self) -> &'static str {
        match self {
            Self::Begun => "the bus did not take the test alarm",
            Self::Published => "the bus has the test alarm, and it does not come in",
            Self::Stored => "the test alarm came in and is stored, and no ticket client carries it",
            Self::Carried => {
                "a ticket client has carried the test alarm, and the lane gives no answer \
                              of the backend"
            }
            Self::Answered => "the backend has answered, and the event cannot be stored",
            Self::Told => "the event is in the outbox, and the bus does not confirm it",
            Self::Whole => "nothing",
        }
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Some time has passed: at least once a second.
    Tick,
    /// The bus took the test alarm, or did not.
    Published(Uuid, Result<(), String>),
    /// It came in and is stored.
    CameIn(Uuid),
    /// A ticket client has carried it; or why none did.
    Carried(Uuid, Result<(), String>),
    /// The backend has answered; or why there is no answer.
    Answered(Uuid, Result<(), String>),
    /// Its event is in the outbox; or why it is not.
    Told(Uuid, Result<(), String>),
    /// Its event is confirmed, and nothing of it is stored any more.
    Confirmed(Uuid),
    /// The bus took the news, or did not.
    Rung(Uuid, bool),
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publish the test alarm of this round, then say [`Input::Published`].
    Publish(Uuid),
    /// Have a ticket client carry it, then say [`Input::Carried`].
    Carry(Uuid),
    /// Ask the backend, through its lane, then say [`Input::Answered`].
    Ask(Uuid),
    /// Put its event into the outbox, then say [`Input::Told`].
    Tell(Uuid),
    /// Look whether it is still stored; if not, say [`Input::Confirmed`].
    Look(Uuid),
    /// The round is given up: take it out of the store.
    GiveUp(Uuid),
    /// Tell operators, then say [`Input::Rung`].
    Ring(Bell),
}

/// News for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Bell {
    /// Stable across tries.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The flow is dead; else it is alive again.
    pub dead: bool,
    /// The last stage that was reached.
    pub stage: Stage,
    /// What was said there.
    pub why: Option<String>,
    /// The age of the last whole round then; of one that there never was, since our start.
    pub age: Duration,
}

/// The flow to one backend as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// When the last whole round ended.
    pub last: Option<Moment>,
    /// The age is counted from here: from the last whole round, or from our start.
    pub since: Mono,
    /// Whole rounds since our start.
    pub rounds: u64,
    /// Rounds that were given up since our start.
    pub given_up: u64,
    /// It was told as dead.
    pub dead: bool,
    /// The last stage that was reached.
    pub stage: Stage,
    /// What was said there.
    pub why: Option<String>,
    /// A round is under way.
    pub under_way: bool,
}

impl Sight {
    /// How long ago the last whole round ended; without one: how long we run.
    pub fn age(&self, now: Mono) -> Duration {
        now.since(self.since)
    }
}

#[derive(Debug)]
struct Round {
    id: Uuid,
    stage: Stage,
    /// When it reached that stage.
    since: Mono,
    why: Option<String>,
    /// At that time the stage is tried again, or looked at.
    again_at: Option<Mono>,
    /// How long the next copy waits.
    patience: Duration,
}

/// The canary of one backend.
#[derive(Debug)]
pub struct Canary {
    settings: CanarySettings,
    round: Option<Round>,
    due: Mono,
    begun: Mono,
    sight: Sight,
    /// Time in which we stood still since the last whole round.
    uncounted: Duration,
    last_tick: Mono,
    /// Where the last round that was given up came to its end.
    obstacle: Option<(Stage, String)>,
    bells: VecDeque<Bell>,
    ringing: bool,
    ring_at: Mono,
}

impl Canary {
    /// Nothing is known yet; its first round begins at `first`.
    pub fn new(settings: CanarySettings, first: Mono, now: Mono) -> Self {
        Self {
            settings,
            round: None,
            due: first,
            begun: first,
            sight: Sight { since: now, ..Sight::default() },
            uncounted: Duration::ZERO,
            last_tick: now,
            obstacle: None,
            bells: VecDeque::new(),
            ringing: false,
            ring_at: now,
        }
    }

    /// The flow as it stands.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// The round that is under way.
    #[cfg(any(test, feature = "testing"))]
    pub fn round(&self) -> Option<Uuid> {
        self.round.as_ref().map(|round| round.id)
    }

    /// The round whose test alarm has yet to come in. A copy that comes later is of no more use, and
    /// must not be stored again when the round is over.
    pub fn awaits(&self) -> Option<Uuid> {
        let waits = |it: &&Round| matches!(it.stage, Stage::Begun | Stage::Published);
        self.round.as_ref().filter(waits).map(|round| round.id)
    }

    /// The one door. `fresh` gives new names.
    pub fn step(
        &mut self,
        input: Input,
        now: Moment,
        fresh: &mut dyn FnMut() -> Uuid,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Tick => self.tick(now, fresh, &mut effects),
            Input::Published(id, said) => self.published(id, said, now.mono),
            Input::CameIn(id) => {
                // It may come in before the bus has confirmed it.
                if self.at(id, &[Stage::Begun, Stage::Published]) {
                    self.reach(Stage::Stored, now.mono);
                    effects.push(Effect::Carry(id));
                }
            }
            Input::Carried(id, said) if self.at(id, &[Stage::Stored]) => {
                if self.go_on(Stage::Carried, said, now.mono, &mut effects) {
                    effects.push(Effect::Ask(id));
                }
            }
            Input::Answered(id, said) if self.at(id, &[Stage::Carried]) => {
                if self.go_on(Stage::Answered, said, now.mono, &mut effects) {
                    effects.push(Effect::Tell(id));
                }
            }
            Input::Told(id, said) if self.at(id, &[Stage::Answered]) => {
                if self.go_on(Stage::Told, said, now.mono, &mut effects) {
                    self.again_in(self.settings.every, now.mono);
                }
            }
            // It may be confirmed before we hear that it was stored.
            Input::Confirmed(id) if self.at(id, &[Stage::Answered, Stage::Told]) => {
                self.whole(now, fresh);
            }
            Input::Carried(..) | Input::Answered(..) | Input::Told(..) | Input::Confirmed(_) => {}
            Input::Rung(id, taken) => self.rung(id, taken, now.mono),
        }
        self.ring(now.mono, &mut effects);
        self.show();
        effects
    }

    fn at(&self, id: Uuid, stages: &[Stage]) -> bool {
        self.round.as_ref().is_some_and(|it| it.id == id && stages.contains(&it.stage))
    }

    fn reach(&mut self, stage: Stage, now: Mono) {
        if let Some(round) = &mut self.round {
            *round = Round { stage, since: now, why: None, again_at: None, ..*round };
        }
    }

    fn again_in(&mut self, span: Duration, now: Mono) {
        if let Some(round) = &mut self.round {
            round.again_at = Some(now.plus(span));
        }
    }

    fn published(&mut self, id: Uuid, said: Result<(), String>, now: Mono) {
        if !self.at(id, &[Stage::Begun, Stage::Published]) {
            return;
        }
        let again = self.settings.every.min(PUBLISH_AGAIN);
        let first = self.at(id, &[Stage::Begun]);
        match said {
            Ok(()) if first => {
                self.reach(Stage::Published, now);
                self.again_in(self.settings.dead_after, now);
            }
            Ok(()) => {}
            Err(why) => {
                if let Some(round) = &mut self.round {
                    round.why = first.then_some(why);
                }
                if first {
                    self.again_in(again, now);
                }
            }
        }
    }

    /// True: the round goes on to that stage.
    fn go_on(
        &mut self,
        stage: Stage,
        said: Result<(), String>,
        now: Mono,
        effects: &mut Vec<Effect>,
    ) -> bool {
        match said {
            Ok(()) => self.reach(stage, now),
            Err(why) => {
                let Some(round) = self.round.take() else { return false };
                self.obstacle = Some((round.stage, why));
                self.sight.given_up += 1;
                // From here on: a stage that took its whole time must not be asked at once again.
                self.due = now.plus(self.settings.every);
                effects.push(Effect::GiveUp(round.id));
                return false;
            }
        }
        true
    }

    fn whole(&mut self, now: Moment, fresh: &mut dyn FnMut() -> Uuid) {
        let age = self.sight.age(now.mono);
        self.round = None;
        self.obstacle = None;
        self.uncounted = Duration::ZERO;
        self.due = self.begun.plus(self.settings.every).max(now.mono);
        self.sight.last = Some(now);
        self.sight.since = now.mono;
        self.sight.rounds += 1;
        if std::mem::take(&mut self.sight.dead) {
            let (id, at) = (fresh(), now.wall);
            self.tell(Bell { id, at, dead: false, stage: Stage::Whole, why: None, age });
        }
    }

    fn tick(&mut self, now: Moment, fresh: &mut dyn FnMut() -> Uuid, effects: &mut Vec<Effect>) {
        let passed = now.mono.since(self.last_tick);
        self.last_tick = now.mono;
        if passed > STOOD_STILL {
            // Where a whole round came in between, only what lies behind it.
            let since = self.sight.age(now.mono);
            self.uncounted = self.uncounted.saturating_add(passed).min(since);
        }
        match &self.round {
            None if self.due <= now.mono => self.begin(now.mono, fresh(), effects),
            // Should a new round begin all the same, the old one would be under way too.
            Some(_) if mutant!(CanaryPilesUp) && self.due <= now.mono => {
                self.begin(now.mono, fresh(), effects);
            }
            _ => self.again(now.mono, effects),
        }
        let silent = self.sight.age(now.mono).saturating_sub(self.uncounted);
        if silent > self.settings.dead_after && (!self.sight.dead || mutant!(DeadAgain)) {
            self.sight.dead = true;
            let (stage, why) = self.reached(now.mono);
            let (id, at, age) = (fresh(), now.wall, self.sight.age(now.mono));
            self.tell(Bell { id, at, dead: true, stage, why, age });
        }
    }

    fn begin(&mut self, now: Mono, id: Uuid, effects: &mut Vec<Effect>) {
        self.begun = now;
        self.due = now.plus(self.settings.every);
        let again = now.plus(self.settings.dead_after);
        self.round = Some(Round {
            id,
            stage: Stage::Begun,
            since: now,
            why: None,
            // A publish has its deadline; should its answer be lost, this is ours.
            again_at: Some(again),
            patience: self.settings.dead_after,
        });
        effects.push(Effect::Publish(id));
    }

    /// What is to be tried again of the round that is under way.
    fn again(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        let Some(round) = &mut self.round else { return };
        if round.again_at.is_none_or(|at| at > now) {
            return;
        }
        match round.stage {
            Stage::Begun => {
                round.again_at = Some(now.plus(self.settings.dead_after));
                effects.push(Effect::Publish(round.id));
            }
            Stage::Published => {
                round.patience = (round.patience * 2).min(COPIES_APART_MAX);
                round.again_at = Some(now.plus(round.patience));
                effects.push(Effect::Publish(round.id));
            }
            Stage::Told => {
                round.again_at = Some(now.plus(self.settings.every));
                effects.push(Effect::Look(round.id));
            }
            Stage::Stored | Stage::Carried | Stage::Answered | Stage::Whole => {
                round.again_at = None;
            }
        }
    }

    /// The last stage that was reached: of the round that is under way, unless it has only just come
    /// there and the one before it was given up.
    fn reached(&self, now: Mono) -> (Stage, Option<String>) {
        match (&self.round, &self.obstacle) {
            (Some(round), None) => (round.stage, round.why.clone()),
            (Some(round), Some(_)) if now.since(round.since) >= self.settings.every => {
                (round.stage, round.why.clone())
            }
            (_, Some((stage, why))) => (*stage, Some(why.clone())),
            (None, None) => match self.sight.rounds {
                0 => (Stage::Begun, None),
                _ => (Stage::Whole, None),
            },
        }
    }

    fn show(&mut self) {
        let (stage, why) = self.reached(self.last_tick);
        self.sight.stage = stage;
        self.sight.why = why;
        self.sight.under_way = self.round.is_some();
    }

    fn tell(&mut self, bell: Bell) {
        // The oldest may be on its way already; a going and the coming after it leave together.
        if self.bells.len() >= BELLS_MAX {
            self.bells.drain(1..3);
        }
        self.bells.push_back(bell);
    }

    fn ring(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if self.ringing || self.ring_at > now {
            return;
        }
        if let Some(bell) = self.bells.front() {
            self.ringing = true;
            effects.push(Effect::Ring(bell.clone()));
        }
    }

    fn rung(&mut self, id: Uuid, taken: bool, now: Mono) {
        if self.bells.front().is_none_or(|bell| bell.id != id) {
            return;
        }
        self.ringing = false;
        match taken {
            true => drop(self.bells.pop_front()),
            false => self.ring_at = now.plus(self.settings.every.min(PUBLISH_AGAIN)),
        }
    }
}

#[cfg(test)]
mod tests;
