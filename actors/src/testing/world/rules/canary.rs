//! What must hold of the canary: K1 one round a backend is under way; K2 nothing of it stays; K3 a flow
//! that is dead is told once, when it is, and its way back once.

use crate::logic::canary::{Bell, Effect};
use crate::model::{BackendId, TestAlarm};
use crate::testing::world::World;
use crate::testing::world::cast::canary::DEAD_AFTER;
use crate::testing::world::rules::millis;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Ticks further apart than this say that the process stood still.
const STOOD_STILL: u64 = 5_000;
/// A tick more than the machine may need to see it.
const SLACK: u64 = 3_000;

/// One canary as seen from outside, in one life of it.
#[derive(Default)]
pub(crate) struct CanaryWatch {
    under_way: Option<Uuid>,
    /// Time in which the process ran since the last whole round.
    silent: u64,
    last_tick: u64,
    heard: BTreeSet<Uuid>,
    told_dead: bool,
}

impl World {
    pub(crate) fn watch_canaries_begin(&mut self) {
        self.watch.canaries.clear();
        for backend in self.systems.keys() {
            let begun = CanaryWatch { last_tick: self.now, ..CanaryWatch::default() };
            self.watch.canaries.insert(backend.clone(), begun);
        }
    }

    pub(crate) fn watch_canary_tick(&mut self, backend: &BackendId) {
        let now = self.now;
        let Some(it) = self.watch.canaries.get_mut(backend) else { return };
        let passed = now - std::mem::replace(&mut it.last_tick, now);
        if passed <= STOOD_STILL {
            it.silent += passed;
        }
    }

    pub(crate) fn watch_canary(&mut self, backend: &BackendId, effect: &Effect) {
        let Some(it) = self.watch.canaries.get_mut(backend) else { return };
        match effect {
            Effect::Publish(round) => {
                if let Some(other) = it.under_way.replace(*round).filter(|other| other != round) {
                    let what = format!("{backend}: {round} begins while {other} is under way");
                    self.fail("K1", what);
                }
            }
            Effect::GiveUp(_) => it.under_way = None,
            _ => {}
        }
    }

    pub(crate) fn watch_canary_died(&mut self, backend: &BackendId) {
        let silent = self.watch.canaries.get(backend).map_or(0, |it| it.silent);
        if silent + SLACK < millis(DEAD_AFTER) {
            self.fail("K3", format!("{backend} is told as dead after {silent} ms"));
        }
    }

    pub(crate) fn watch_canary_whole(&mut self, backend: &BackendId) {
        let Some(it) = self.watch.canaries.get_mut(backend) else { return };
        it.silent = 0;
        let round = it.under_way.take();
        self.watch.whole.extend(round);
    }

    /// Operators hear news; drops repeats as they do.
    pub(crate) fn watch_canary_heard(&mut self, backend: &BackendId, bell: &Bell) {
        self.meet(if bell.dead { "flows dead" } else { "flows alive again" });
        let Some(it) = self.watch.canaries.get_mut(backend) else { return };
        if it.heard.insert(bell.id) && std::mem::replace(&mut it.told_dead, bell.dead) == bell.dead
        {
            let word = if bell.dead { "dead" } else { "alive" };
            self.fail("K3", format!("{backend} is told as {word} twice"));
        }
    }

    /// A flow that is dead is known as dead.
    pub(crate) fn check_canaries(&mut self) {
        let late = self.watch.canaries.iter().find(|(backend, it)| {
            let known = self.service.canaries.get(backend).is_none_or(|it| it.sight().dead);
            it.silent > millis(DEAD_AFTER) + SLACK && !known
        });
        if let Some((backend, silent)) = late.map(|(backend, it)| (backend.clone(), it.silent)) {
            self.fail("K3", format!("{backend} is silent for {silent} ms, and nobody is told"));
        }
    }

    /// K2, at the end: nothing is left of a round that was whole. What is left of one that was given up
    /// while the store took nothing, or whose process died, makes room for the next.
    pub(crate) fn check_canary_rows(&mut self) {
        let rows = self.systems.keys().filter_map(|it| self.rows.lane_row(it).canary);
        let events = self.rows.all_events().filter_map(|row| TestAlarm::of_event(&row.0));
        let rounds = rows.map(|row| row.round).chain(events.map(|test| test.round));
        let left = rounds.into_iter().find(|round| self.watch.whole.contains(round));
        if let Some(round) = left {
            self.fail("K2", format!("the round {round} is over, and something of it is stored"));
        }
    }
}
