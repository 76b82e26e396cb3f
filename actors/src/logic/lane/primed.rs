//! Intents that are stored while the call before theirs is under way, so that no call waits for a commit.
//!
//! What always holds: a primed request was never sent, and the lane says so to the store where it may not go
//! after all: its backend wants a pause or is not called for a while, a person has paused the lane or holds the ticket, the
//! service is stopping, or the call before it takes long. So nothing is primed for longer than
//! [`PRIMED_FOR`].
//!
//! Should the process die, nobody knows which of a lane's intents was sent: all are in doubt, the one of the
//! call and those that were primed. So only what can be found out is primed, and only what was never sent
//! before; and only where calls are short, since beside a long one a commit is nothing, and what is primed
//! no longer follows its alarm.

use super::judge::{self, Judged};
use super::rows::Kept;
use super::{Choice, Dice, Effect, InFlight, Lane};
use crate::changes::{Change, End};
use crate::model::{Moment, Mono, Op, Request, RequestId, Ticket};
use crate::ports::{Answer, Call};
use std::collections::VecDeque;
use std::time::Duration;

/// Intents beside the one of the call under way, of one lane.
pub const PRIMED_MAX: usize = 2;
/// After a call that took longer nothing is primed.
const SHORT_CALL: Duration = Duration::from_millis(100);
/// What waits longer behind a call is given back.
const PRIMED_FOR: Duration = Duration::from_secs(1);

/// The requests of a lane whose intents are stored and that are not sent yet, in order.
#[derive(Debug, Default)]
pub(super) struct Primed {
    queue: VecDeque<One>,
    /// The last call was a short one.
    short: bool,
}

#[derive(Debug)]
struct One {
    request: Box<Request>,
    ticket: Box<Ticket>,
    /// When its intent was stored.
    since: Mono,
}

impl One {
    /// When it is given back, if the call before it is still under way.
    fn until(&self) -> Mono {
        self.since.plus(PRIMED_FOR)
    }
}

impl Primed {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// When the first is given back.
    pub fn until(&self) -> Option<Mono> {
        self.queue.front().map(One::until)
    }

    pub fn call_took(&mut self, span: Duration) {
        self.short = span <= SHORT_CALL;
    }

    pub fn forget(&mut self, id: RequestId) {
        self.queue.retain(|one| one.request.id != id);
    }

    pub fn clear(&mut self) {
        self.queue.clear();
    }
}

impl Lane {
    /// An intent is stored: its call is made when the one before it has ended, or now.
    pub(super) fn intended(&mut self, request: Box<Request>, ticket: Box<Ticket>, now: Moment) {
        self.primed.queue.push_back(One { request, ticket, since: now.mono });
    }

    fn write(&mut self, one: One, now: Moment, effects: &mut Vec<Effect>) {
        let work = judge::work(&one.request, &one.ticket);
        let send_by = one.since.plus(self.settings.send_within);
        let call = Call { send_by, ..self.call(Some(&one.request), work, now) };
        self.begin_call(InFlight::Write(one.request), call, now, effects);
    }

    /// Calls the next of those that are primed, and gives back what may not go.
    pub(super) fn call_primed(
        &mut self,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        while let Some(one) = self.primed.queue.front() {
            let free = self.flight.is_none();
            let back = match free {
                true => self.why_not(&one.request, now),
                false => (one.until() <= now.mono).then_some("the call before it takes long"),
            };
            if !free && back.is_none() {
                return;
            }
            let Some(one) = self.primed.queue.pop_front() else { return };
            match back {
                None => self.write(one, now, effects),
                Some(why) => self.give_back(&one.request, why, now, dice, effects),
            }
        }
    }

    /// It was not sent, and waits again. This says nothing of the backend.
    fn give_back(
        &mut self,
        request: &Request,
        why: &str,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let end = match request.attempts {
            1 if request.doubt.is_none() => End::NotSent(why.to_owned()),
            _ => {
                let answer = Answer::NotSent(why.to_owned());
                let chance = dice.chance();
                let judged = judge::answer(&self.settings, request, answer, false, now, chance);
                let (Judged::End(end) | Judged::Pause(end, _)) = judged;
                end
            }
        };
        let change = self.conclude(request, end, dice);
        self.store(vec![change], now, effects);
    }

    /// Why a primed request may not go now.
    fn why_not(&self, request: &Request, now: Moment) -> Option<&'static str> {
        if mutant!(PrimedGoes) {
            return None;
        }
        // What is sent again, to end a doubt, makes no further one.
        let fresh = request.attempts == 1;
        let forgotten = judge::key_forgotten(&self.settings, request, now).is_some();
        let gate_closed = !self.gate.lets_through(&self.settings, now.mono);
        [
            (self.draining, "the service is stopping"),
            (self.pause.is_some(), "its lane is paused"),
            (gate_closed, "its lane makes no calls for a while"),
            (self.held.has(request.ticket), "its ticket is held"),
            (fresh && self.too_many_doubts(), "too many requests are in doubt"),
            (fresh && self.too_many_unconfirmed(), "too many writes wait for a later answer"),
            (forgotten, "its key is too old"),
        ]
        .into_iter()
        .find_map(|(so, why)| so.then_some(why))
    }

    /// Stores the intents of the next calls beside the one that is under way.
    pub(super) fn prime(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.flight.is_none() || !self.ours {
            return;
        }
        let mut intents = Vec::new();
        while intents.len() < PRIMED_MAX
            && let Some(next) = self.next_intent(intents.len(), now)
        {
            intents.push(next);
        }
        if !intents.is_empty() {
            self.store(intents, now, effects);
        }
    }

    /// The intent of the next write, if it may be stored now; `beside`: with so many others of the same set.
    pub(super) fn next_intent(&mut self, beside: usize, now: Moment) -> Option<Change> {
        let ahead = self.ahead() + beside;
        if ahead > 0 && !self.may_prime(ahead, now) {
            return None;
        }
        let Some(Choice::Write(class, n)) = self.choose(now) else { return None };
        if ahead > 0 && !self.heads.get(class, n).is_some_and(|it| self.can_be_primed(it, now)) {
            return None;
        }
        self.intend_head(class, n)
    }

    /// Would the intent of a new create be stored beside what is under way?
    pub(super) fn primes_a_create(&self, now: Moment) -> bool {
        judge::can_be_found_out(&self.settings, Op::Create) && self.may_prime(self.ahead(), now)
    }

    /// Calls that are under way or whose intents are stored, or about to be.
    fn ahead(&self) -> usize {
        let at_store = self.kept.iter().flat_map(Kept::intended).count();
        self.primed.len() + at_store + usize::from(self.flight.is_some())
    }

    /// With so many calls before it.
    fn may_prime(&self, ahead: usize, now: Moment) -> bool {
        let long = self.flight.is_some() && now.mono.since(self.calling_since) > SHORT_CALL;
        // Else something goes first that needs the lane to itself for a moment.
        let alone = self.unconfirmed.next().is_none_or(|at| at > now.mono);
        ahead <= PRIMED_MAX
            // A pace that lets one call through says nothing of the next.
            && self.settings.rate.is_none()
            && self.settings.send_within >= PRIMED_FOR
            && self.primed.short
            && !long
            && self.kept.iter().all(|kept| kept.retry_at().is_none())
            && self.gate.is_well()
            && self.in_doubt() + ahead + 1 < self.settings.max_in_doubt
            && alone
    }

    fn can_be_primed(&self, request: &Request, now: Moment) -> bool {
        // An answer that names only its ticket may be one to the request before.
        let named = request.op == Op::Create || !self.settings.answers_later;
        request.attempts == 0
            && named
            && judge::can_be_found_out(&self.settings, request.op)
            && judge::knows_key(&self.settings, request, now)
    }
}
