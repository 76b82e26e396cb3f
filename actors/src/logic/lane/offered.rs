//! A flow's decision and the intent of its call in one change set: a commit less between an alarm and its
//! ticket, where nothing waits in the lane.
//!
//! What always holds: taken is only what the lane would send next if it had been journaled and submitted: at once, or
//! with its intent [`primed`](super::primed) beside a call.
//! All else is declined, and goes that way. What was taken and is not stored is forgotten here: its flow
//! hears why, and runs again where it has to.

use super::{Dice, Effect, Lane};
use crate::changes::{Applied, Change, ChangeSet, Decide, Intend};
use crate::model::{Moment, Mono};

/// Is this the set of a decision that was taken?
pub(super) fn is(set: &ChangeSet) -> bool {
    matches!(set.0.first(), Some(Change::Decide(_)))
}

impl Lane {
    pub(super) fn offered(&mut self, it: Box<Decide>, now: Moment, effects: &mut Vec<Effect>) {
        if !self.takes_offers(now) {
            return effects.push(Effect::Declined(it));
        }
        let intend = Intend {
            backend: self.backend.clone(),
            epoch: self.epoch,
            request: it.request,
            attempts: 0,
            level: None,
            with_decision: true,
        };
        self.store(vec![Change::Decide(it), Change::Intend(Box::new(intend))], now, effects);
    }

    /// Would a create go now, and is there nothing that would go before it?
    fn takes_offers(&self, now: Moment) -> bool {
        let free = self.idle() || self.ours && self.primes_a_create(now);
        let open = self.gate.lets_through(&self.settings, now.mono);
        let over = |at: Option<Mono>| at.is_some_and(|at| at <= now.mono);
        free && open
            && !self.draining
            && self.pause.is_none()
            && !self.too_many_doubts()
            && !self.too_many_unconfirmed()
            && !over(self.unconfirmed.next())
            && !over(self.reload_at)
            && self.heads.none_anywhere()
            && self.reads.is_empty()
            // A look that is due, a page of the sweep.
            && self.choose(now).is_none()
    }

    /// The decision stands, and the intent with it or not: nothing was made (its alarm joined a ticket, a
    /// storm), or what was made may not go at once.
    pub(super) fn journaled(
        &mut self,
        set: &ChangeSet,
        applied: Vec<Applied>,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let mut made = None;
        for (change, one) in set.0.iter().zip(applied) {
            match one {
                Applied::Decided { request, first, events } => {
                    made = request.map(|request| (request, first));
                    effects.extend(events.then_some(Effect::WakeOutbox));
                }
                Applied::Skipped => {
                    if let Some((request, first)) = made.take() {
                        if first {
                            self.put(request, now);
                        }
                        self.heads.lost(change);
                    }
                }
                intended => self.applied(intended, now, now, dice, effects),
            }
        }
    }
}
