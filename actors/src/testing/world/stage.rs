//! Time and chance: a queue of what happens when, two clocks, and one source of dice.

use super::World;
use crate::logic::lane::Dice;
use crate::model::{EventId, Moment, Mono, Timestamp};
use fastrand::Rng;
use std::cmp::Ordering;
use uuid::Uuid;

/// Something that will happen.
pub(super) type Act = Box<dyn FnOnce(&mut World)>;

pub(super) struct Entry {
    pub at: u64,
    turn: u64,
    /// Whose: that process's, which may be dead by then; or nobody's.
    pub life: Option<u32>,
    pub act: Act,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// The earliest is the greatest: the heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.turn).cmp(&(self.at, self.turn))
    }
}

/// All chance and all identities of a run.
pub(super) struct Chance {
    pub rng: Rng,
    ids: u128,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), ids: 0 }
    }
    pub fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }
    pub fn event_id(&mut self) -> EventId {
        EventId(self.uuid())
    }
    /// Milliseconds, both ends included.
    pub fn ms(&mut self, from: u64, to: u64) -> u64 {
        self.rng.u64(from..=to.max(from))
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.rng.u64(..n) == 0
    }
}

impl Dice for Chance {
    fn event_id(&mut self) -> EventId {
        Chance::event_id(self)
    }
    fn chance(&mut self) -> f64 {
        self.rng.f64()
    }
}

/// The wall clock at the beginning.
const BEGINNING: i64 = 1_800_000_000_000;

impl World {
    /// Both clocks, as the process reads them.
    pub(super) fn clocks(&self) -> Moment {
        let wall = BEGINNING + i64::try_from(self.now).unwrap_or(0) + self.wall_off;
        Moment { wall: Timestamp::from_millis(wall), mono: self.mono() }
    }

    /// The process's monotonic clock: begins anew with each life, at another number.
    pub(super) fn mono(&self) -> Mono {
        let first = crate::model::MONO_BEGINS.0 + 1_000 * u64::from(self.life % 7);
        Mono(self.now - self.born + first)
    }

    /// The true time in milliseconds as a wall time of an exact clock.
    pub(super) fn true_wall(&self) -> i64 {
        BEGINNING + i64::try_from(self.now).unwrap_or(0)
    }

    /// Happens in this life of the process, or never.
    pub(super) fn inside(&mut self, after: u64, act: impl FnOnce(&mut World) + 'static) {
        self.push(self.now + after, Some(self.life), Box::new(act));
    }

    /// Happens whatever becomes of the process.
    pub(super) fn outside(&mut self, after: u64, act: impl FnOnce(&mut World) + 'static) {
        self.push(self.now + after, None, Box::new(act));
    }

    pub(super) fn push(&mut self, at: u64, life: Option<u32>, act: Act) {
        self.turns += 1;
        self.queue.push(Entry { at, turn: self.turns, life, act });
    }

    /// Plays one entry of the queue.
    pub(super) fn play_next(&mut self) -> bool {
        let Some(entry) = self.queue.pop() else { return false };
        self.now = self.now.max(entry.at);
        match entry.life {
            Some(life) if life != self.life || !self.up => {}
            Some(life) if self.now < self.frozen_until => {
                let at = self.frozen_until;
                self.push(at, Some(life), entry.act);
            }
            _ => {
                self.steps += 1;
                (entry.act)(self);
            }
        }
        true
    }
}
