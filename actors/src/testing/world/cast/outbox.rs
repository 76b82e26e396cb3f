//! Mirrors `actors/outbox`.

use crate::changes::{CanaryStep, Change, ChangeSet};
use crate::logic::outbox::{Effect as Out, Input as In, Outbox};
use crate::model::TestAlarm;
use crate::testing::world::World;

impl World {
    pub(crate) fn start_outbox(&mut self) {
        self.service.outboxes += 1;
        self.service.outbox = Outbox::new();
        self.service.outbox_timer = None;
        self.feed_outbox(In::Woken);
    }

    pub(crate) fn wake_outbox(&mut self) {
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
                    let of = |n: &u64| self.rows.event_row(*n).and_then(TestAlarm::of_event);
                    let tests: Vec<TestAlarm> = numbers.iter().filter_map(of).collect();
                    let told = tests.iter().cloned();
                    let told = told.map(|test| Change::Canary(test, CanaryStep::Told));
                    let sent = std::iter::once(Change::Sent(numbers.clone())).chain(told);
                    self.apply(ChangeSet(sent.collect()), move |w, answer| {
                        if w.service.outboxes == me {
                            if answer.is_ok() {
                                tests.iter().for_each(|test| w.canary_confirmed(test));
                            }
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
