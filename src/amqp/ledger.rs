//! What became of each delivery of one channel: arrived, being taken, settled, acknowledged.
//!
//! What always holds: a delivery is acknowledged only after its verdict was `Settled` (rule I1);
//! one acknowledgement covers a prefix of which every delivery is settled or given back; and the
//! tag that it names is itself outstanding, since RabbitMQ takes a `multiple` ack of a tag that it
//! does not know as all of them and an error on top. No channel in here: the consumer carries out.

use std::collections::{BTreeMap, BTreeSet};
use ticketgate_actors::ports::{Delivery, Verdict};

/// A delivery's number on its channel.
pub(super) type Tag = u64;

/// Deliveries that go to the inlet together, in order.
pub(super) struct Batch {
    tags: Vec<Tag>,
    deliveries: Vec<Delivery>,
}

impl Batch {
    /// What the inlet gets. Kept here too: a batch that nothing was taken of is offered again.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.clone()
    }
}

/// What to do after an inlet's verdicts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Acknowledge everything up to and with this tag.
    pub ack: Option<Tag>,
    /// Give these back to the broker; it counts against their delivery limit, which is what ends
    /// a message that the store will never take.
    pub give_back: Vec<Tag>,
    /// The store took nothing at all: the batch waits here, uncounted, and is offered again. A
    /// store that is down for a night must not cost the alarms their delivery limit.
    pub held: bool,
}

/// The deliveries of one channel that are not acknowledged.
#[derive(Default)]
pub(super) struct Ledger {
    /// Arrived or held, in the order of arrival.
    waiting: BTreeMap<Tag, Delivery>,
    /// Being taken right now.
    taking: BTreeSet<Tag>,
    /// Settled, to be acknowledged when everything before them is.
    settled: BTreeSet<Tag>,
}

impl Ledger {
    /// A delivery came.
    pub fn arrived(&mut self, tag: Tag, delivery: Delivery) {
        self.waiting.insert(tag, delivery);
    }

    /// The next at most `max` deliveries for the inlet.
    pub fn next_batch(&mut self, max: usize) -> Option<Batch> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut batch = Batch { tags: Vec::new(), deliveries: Vec::new() };
        while batch.tags.len() < max
            && let Some((tag, delivery)) = self.waiting.pop_first()
        {
            self.taking.insert(tag);
            batch.tags.push(tag);
            batch.deliveries.push(delivery);
        }
        Some(batch)
    }

    /// The inlet judged a batch. A verdict that is missing counts as `GiveBack`.
    pub fn judged(&mut self, batch: Batch, verdicts: &[Verdict]) -> Orders {
        let settled = |place: usize| verdicts.get(place) == Some(&Verdict::Settled);
        let held = !(0..batch.tags.len()).any(settled);
        let mut give_back = Vec::new();
        for (place, (tag, delivery)) in batch.tags.into_iter().zip(batch.deliveries).enumerate() {
            self.taking.remove(&tag);
            if held {
                self.waiting.insert(tag, delivery);
            } else if settled(place) {
                self.settled.insert(tag);
            } else {
                give_back.push(tag);
            }
        }
        Orders { ack: self.acknowledgeable(), give_back, held }
    }

    fn acknowledgeable(&mut self) -> Option<Tag> {
        let first_open = [self.waiting.keys().next(), self.taking.first()];
        let first_open = first_open.into_iter().flatten().min().copied().unwrap_or(Tag::MAX);
        let still_behind = self.settled.split_off(&first_open);
        let ready = std::mem::replace(&mut self.settled, still_behind);
        ready.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{GiveBack, Settled};
    use proptest::prelude::*;

    fn delivery(tag: Tag) -> Delivery {
        Delivery {
            inlet: "q".into(),
            body: Vec::new().into(),
            content_type: None,
            message_id: Some(tag.to_string()),
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        }
    }

    fn ledger(tags: impl IntoIterator<Item = Tag>) -> Ledger {
        let mut ledger = Ledger::default();
        for tag in tags {
            ledger.arrived(tag, delivery(tag));
        }
        ledger
    }

    fn orders(ack: Option<Tag>, give_back: &[Tag], held: bool) -> Orders {
        Orders { ack, give_back: give_back.to_vec(), held }
    }

    #[test]
    fn a_settled_batch_is_acknowledged_at_once() {
        let mut ledger = ledger(1..=3);
        let batch = ledger.next_batch(256).unwrap();
        assert_eq!(ledger.judged(batch, &[Settled; 3]), orders(Some(3), &[], false));
        assert!(ledger.next_batch(256).is_none());
    }

    #[test]
    fn a_later_batch_waits_for_an_earlier_one() {
        let mut ledger = ledger(1..=4);
        let first = ledger.next_batch(2).unwrap();
        let second = ledger.next_batch(2).unwrap();
        assert_eq!(ledger.judged(second, &[Settled; 2]), orders(None, &[], false));
        assert_eq!(ledger.judged(first, &[Settled; 2]), orders(Some(4), &[], false));
    }

    #[test]
    fn what_is_not_taken_beside_others_is_given_back_and_never_named_in_an_ack() {
        let mut ledger = ledger(1..=3);
        let batch = ledger.next_batch(256).unwrap();
        let verdicts = [Settled, Settled, GiveBack];
        assert_eq!(ledger.judged(batch, &verdicts), orders(Some(2), &[3], false));
    }

    #[test]
    fn a_batch_of_which_nothing_was_taken_is_offered_again_in_its_order() {
        let mut ledger = ledger(1..=4);
        let first = ledger.next_batch(2).unwrap();
        let second = ledger.next_batch(2).unwrap();
        assert_eq!(ledger.judged(first, &[GiveBack; 2]), orders(None, &[], true));
        assert_eq!(ledger.judged(second, &[]), orders(None, &[], true));
        let again = ledger.next_batch(256).unwrap();
        assert_eq!(again.tags, [1, 2, 3, 4]);
        assert_eq!(ledger.judged(again, &[Settled; 4]), orders(Some(4), &[], false));
    }

    #[test]
    fn nothing_is_acknowledged_past_what_is_held() {
        let mut ledger = ledger(1..=2);
        let first = ledger.next_batch(1).unwrap();
        let second = ledger.next_batch(1).unwrap();
        assert_eq!(ledger.judged(first, &[GiveBack]), orders(None, &[], true));
        assert_eq!(ledger.judged(second, &[Settled]), orders(None, &[], false));
        let again = ledger.next_batch(1).unwrap();
        assert_eq!(ledger.judged(again, &[Settled]), orders(Some(2), &[], false));
    }

    /// One channel as the broker sees it.
    #[derive(Default)]
    struct Channel {
        next: Tag,
        outstanding: BTreeSet<Tag>,
        settled: BTreeSet<Tag>,
    }

    impl Channel {
        fn carry_out(&mut self, orders: &Orders) {
            for tag in &orders.give_back {
                assert!(self.outstanding.remove(tag) && !self.settled.contains(tag));
            }
            if let Some(tag) = orders.ack {
                assert!(self.outstanding.contains(&tag), "the broker knows the tag of an ack");
                let behind = self.outstanding.split_off(&(tag + 1));
                let covered = std::mem::replace(&mut self.outstanding, behind);
                assert!(covered.is_subset(&self.settled), "only what is settled is acknowledged");
            }
        }
    }

    proptest! {
        #[test]
        fn in_every_order_only_what_is_settled_is_acknowledged_and_all_of_it_in_the_end(
            steps in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), 1..4_usize,
                prop::collection::vec(any::<bool>(), 4)), 1..80),
        ) {
            let (mut ledger, mut channel) = (Ledger::default(), Channel::default());
            let mut taking: Vec<Batch> = Vec::new();
            for (step, which, size, settles) in steps {
                match step {
                    0 => {
                        channel.next += 1;
                        channel.outstanding.insert(channel.next);
                        ledger.arrived(channel.next, delivery(channel.next));
                    }
                    1 => taking.extend(ledger.next_batch(size)),
                    _ if taking.is_empty() => {}
                    _ => {
                        let batch = taking.remove(which.index(taking.len()));
                        let word = |&settles: &bool| if settles { Settled } else { GiveBack };
                        let verdicts: Vec<_> = settles.iter().map(word).collect();
                        let settled = batch.tags.iter().zip(&settles).filter(|(_, is)| **is);
                        channel.settled.extend(settled.map(|(tag, _)| *tag));
                        channel.carry_out(&ledger.judged(batch, &verdicts));
                    }
                }
            }
            while let Some(batch) = taking.pop().or_else(|| ledger.next_batch(256)) {
                channel.settled.extend(&batch.tags);
                let verdicts = vec![Settled; batch.tags.len()];
                channel.carry_out(&ledger.judged(batch, &verdicts));
            }
            prop_assert!(channel.outstanding.is_empty());
        }
    }
}
