//! The store's writer: one group at a time; an answer only after the commit.

use super::{Answered, Then};
use crate::changes::{ChangeSet, Context};
use crate::ports::StoreError;
use crate::testing::world::World;
use crate::testing::world::plan::Fault;

impl World {
    pub(crate) fn apply(
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

    pub(crate) fn queue_set(&mut self, set: ChangeSet, then: Then) {
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
        self.watch.left.clear();
        self.watch.pages.clear();
        let full = self.now < self.disk_full_until;
        for (set, _) in &group {
            if full {
                answers.push(Err(StoreError::Down("database or disk is full".into())));
                continue;
            }
            let before = self.watch_before(set);
            let now = self.clocks();
            let answer = self.rows.apply_now(set, Context { now, node: "node-1" });
            self.note(|| format!("  set {}", crate::testing::world::rules::told(set, &answer)));
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
    pub(crate) fn read<T: 'static>(
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
