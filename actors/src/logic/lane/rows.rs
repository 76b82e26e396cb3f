//! What a lane has the store keep, and how it goes on once it is kept.

use super::{
    ASKED_PAUSE_MAX, Dice, DoubtHead, Effect, Lane, STORE_RETRY, Turn, earliest, judge, offered,
};
use crate::changes::{
    Applied, Change, ChangeSet, Conclude, Concluded, End, Intend, Level, Refusal,
};
use crate::model::{MadeBy, Moment, Mono, Op, Request, RequestId, State, TicketError};
use crate::ports::{Answer, StoreError};

/// What is at the store, or at policy before it goes there.
#[derive(Debug)]
pub(super) enum Kept {
    /// A set; what it holds is kept in case it must be given again.
    Storing {
        turn: Turn,
        set: ChangeSet,
        retry_at: Option<Mono>,
        /// When its outcome was judged: its times were said by this wall clock, which may have jumped by
        /// the time it is stored (rule L4).
        judged: Moment,
    },
    /// Policy is rendering a level again.
    Rendering(Turn, Box<Request>),
}

impl Kept {
    fn turn(&self) -> Turn {
        match self {
            Self::Storing { turn, .. } | Self::Rendering(turn, _) => *turn,
        }
    }

    /// The requests whose intents are on their way: their rows still say that they wait.
    pub(super) fn intended(&self) -> impl Iterator<Item = RequestId> {
        let (changes, rendering) = match self {
            Self::Storing { set, .. } => (&set.0[..], None),
            Self::Rendering(_, request) => (&[][..], Some(request.id)),
        };
        let intends = changes.iter().filter_map(|change| match change {
            Change::Intend(it) => Some(it.request),
            _ => None,
        });
        intends.chain(rendering)
    }

    /// Does it bring a doubt?
    pub(super) fn is_doubt(&self) -> bool {
        let Self::Storing { set, .. } = self else { return false };
        set.0.iter().any(|change| match change {
            Change::Conclude(it) => matches!(it.end, End::InDoubt { .. }),
            _ => false,
        })
    }

    /// When it is given to the store again.
    pub(super) fn retry_at(&self) -> Option<Mono> {
        match self {
            Self::Storing { retry_at, .. } => *retry_at,
            Self::Rendering(..) => None,
        }
    }

    /// Gives it to the store again, if it is time to.
    pub(super) fn again(&mut self, now: Mono) -> Option<Effect> {
        let Self::Storing { turn, set, retry_at, .. } = self else { return None };
        retry_at.take_if(|at| *at <= now)?;
        Some(Effect::Store(*turn, set.clone()))
    }
}

impl Lane {
    pub(super) fn intend_head(&mut self, class: u8, n: u64) -> Option<Change> {
        let request = self.heads.take(class, n)?;
        Some(self.intend(&request, None))
    }

    pub(super) fn intend(&self, request: &Request, level: Option<Level>) -> Change {
        Change::Intend(Box::new(Intend {
            backend: self.backend.clone(),
            epoch: self.epoch,
            request: request.id,
            attempts: request.attempts,
            level,
            with_decision: false,
        }))
    }

    pub(super) fn conclude(&self, request: &Request, end: End, dice: &mut dyn Dice) -> Change {
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

    pub(super) fn store(
        &mut self,
        changes: Vec<Change>,
        judged: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let set = ChangeSet(changes);
        let turn = self.next_turn();
        self.kept.push(Kept::Storing { turn, set: set.clone(), retry_at: None, judged });
        effects.push(Effect::Store(turn, set));
    }

    fn take_kept(&mut self, turn: Turn) -> Option<Kept> {
        let place = self.kept.iter().position(|kept| kept.turn() == turn)?;
        Some(self.kept.remove(place))
    }

    pub(super) fn stored(
        &mut self,
        turn: Turn,
        result: Result<Vec<Applied>, StoreError>,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Kept::Storing { set, judged, .. }) = self.take_kept(turn) else { return };
        self.progress += u64::from(!matches!(result, Err(StoreError::Down(_))));
        match result {
            Ok(applied) if offered::is(&set) => {
                self.journaled(&set, applied, now, dice, effects);
            }
            Err(StoreError::Down(reason)) if offered::is(&set) => {
                // Its flow runs again: this is not kept in memory.
                effects.push(Effect::Ops("store_down", reason));
                self.gate.hold("the store cannot write", STORE_RETRY, now.mono);
            }
            Ok(applied) => {
                for (change, one) in set.0.iter().zip(applied) {
                    if one == Applied::Skipped {
                        // What was here was an old copy; it may have pushed aside a newer one.
                        self.heads.lost(change);
                    }
                    self.applied(one, judged, now, dice, effects);
                }
            }
            Err(StoreError::Down(reason)) => {
                // An outcome that is known must not be forgotten: it is given again until kept.
                effects.push(Effect::Ops("store_down", reason));
                let retry_at = Some(now.mono.plus(STORE_RETRY));
                self.kept.push(Kept::Storing { turn, set, retry_at, judged });
            }
            Err(StoreError::Refused(Refusal::StaleEpoch)) => self.lose(effects),
            Err(StoreError::Refused(Refusal::Conflict))
                if let Some(instead) = undecided_instead(&set) =>
            {
                self.store(instead, judged, effects);
            }
            // Nothing of it is in the store, and its flow hears that.
            Err(StoreError::Refused(_)) if offered::is(&set) => {}
            Err(StoreError::Refused(_)) => self.moved_by_another(set, judged, effects),
        }
    }

    /// Somebody else holds the lane: what was under way here is in doubt there.
    fn lose(&mut self, effects: &mut Vec<Effect>) {
        self.ours = false;
        self.kept.clear();
        self.primed.clear();
        self.heads.forget();
        self.doubts.clear();
        self.unconfirmed.clear();
        self.sweep.stop();
        self.lost = self.flight.is_some();
        if !self.lost {
            effects.push(Effect::Lost);
        }
    }

    /// Another hand (a person, a later answer) has moved the request that is concluded first in this
    /// set; its row is right. What was to be stored with that goes on: an intent that is merely left
    /// out would leave its request to the next load, behind younger ones.
    fn moved_by_another(&mut self, mut set: ChangeSet, judged: Moment, effects: &mut Vec<Effect>) {
        let others = set.0.split_off(1.min(set.0.len()));
        if others.is_empty() {
            for change in &set.0 {
                self.heads.lost(change);
            }
        } else {
            self.store(others, judged, effects);
        }
    }

    pub(super) fn applied(
        &mut self,
        applied: Applied,
        judged: Moment,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        match applied {
            Applied::Intended(request, ticket) if request.op != Op::Create && !ticket.is_made() => {
                // Its create ended without a ticket while this one waited in line behind it.
                let error = TicketError::because("the ticket was never made at the backend");
                self.wrote(&request, Answer::Refused(error), false, now, dice, effects);
            }
            Applied::Intended(request, _)
                if let Some(error) = judge::key_forgotten(&self.settings, &request, now) =>
            {
                let change = self.conclude(&request, End::Undecided(error), dice);
                self.store(vec![change], now, effects);
            }
            Applied::Intended(request, ticket) => self.intended(request, ticket, now),
            Applied::Stale(request, alarm, others) => {
                let turn = self.next_turn();
                self.kept.push(Kept::Rendering(turn, request.clone()));
                effects.push(Effect::Render(turn, request, alarm, others));
            }
            Applied::Concluded(concluded) => self.concluded(*concluded, judged, now, effects),
            Applied::Swept { events: true } => {
                let why = "a ticket exists twice at the backend; its story says which".to_owned();
                effects.push(Effect::Ops("duplicate", why));
                effects.push(Effect::WakeOutbox);
            }
            _ => {}
        }
    }

    pub(super) fn concluded(
        &mut self,
        concluded: Concluded,
        judged: Moment,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Concluded { request, ticket, next, due, events } = concluded;
        self.heads.touch(request.id);
        match request.state {
            State::Wait => {
                let longest = ASKED_PAUSE_MAX.max(self.settings.backoff_max);
                let wait = request.ready_at.since(judged.wall).min(longest);
                let ready_at = judged.mono.plus(wait);
                if ready_at <= now.mono {
                    self.put(Box::new(request), now);
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
                let look_at = request.doubt.as_ref().map_or(judged.wall, |doubt| doubt.look_at);
                self.doubts.push(DoubtHead {
                    look_at: judged.mono.plus(look_at.since(judged.wall).min(longest)),
                    request: Box::new(request),
                    ticket: Box::new(ticket),
                    unanswered: 0,
                    looked: None,
                    absent: false,
                });
            }
            _ => {}
        }
        if let Some(next) = next.filter(|n| matches!(n.state, State::Accepted | State::Wait)) {
            self.put(Box::new(next), now);
        }
        if due.is_some() {
            effects.push(Effect::WakeFlows);
        }
        if events {
            effects.push(Effect::WakeOutbox);
        }
    }

    pub(super) fn rendered(
        &mut self,
        turn: Turn,
        level: Option<Level>,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Kept::Rendering(_, request)) = self.take_kept(turn) else { return };
        let change = match level {
            Some(level) => self.intend(&request, Some(level)),
            None => {
                let why = match &request.made_by {
                    MadeBy::Level { version, .. } => format!("version {version} is out of date"),
                    MadeBy::Command { .. } | MadeBy::Sync { .. } => "out of date".to_owned(),
                };
                self.conclude(&request, End::Superseded(why), dice)
            }
        };
        self.store(vec![change], now, effects);
    }
}

/// The backend named a ticket that is another one's here (rule T4): which of the two is wrong only a
/// person can say. Whatever else was to be stored with it is stored with this instead.
fn undecided_instead(set: &ChangeSet) -> Option<Vec<Change>> {
    let Change::Conclude(conclude) = set.0.first()? else { return None };
    let (End::Done(found) | End::Adopted(found)) = &conclude.end else { return None };
    let error = TicketError::because(format!(
        "the backend answered with {}, which is another ticket's here",
        found.backend_id
    ));
    let instead = Conclude { end: End::Undecided(error), ..*conclude.clone() };
    let instead = Change::Conclude(Box::new(instead));
    Some(std::iter::once(instead).chain(set.0.iter().skip(1).cloned()).collect())
}
