//! How much is broken, and when: seeded, and told by the work that is done, not by the clock.

use crate::dice::Dice;
use std::collections::BTreeMap;

/// Lives of alarms for each `kill -9` of the service: work for all that breaks meanwhile.
const LIVES_PER_KILL: usize = 24;
/// Of the kills of the service: for so many there is one freeze of it, and so on.
const KILLS_PER_FREEZE: usize = 10;
const KILLS_PER_FULL_DISK: usize = 20;
/// Of the kills of the broker.
const BROKER_KILLS_PER_FREEZE: usize = 4;

/// What is done to the service and to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    KillService,
    /// Both at once, as when a machine loses its power.
    KillBoth,
    KillBroker,
    FreezeService,
    FreezeBroker,
    FullDisk,
    /// The service is killed while its disk is full.
    KillOnFullDisk,
}

impl Blow {
    /// Its name among the faults.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillService => "service killed",
            Self::KillBoth => "service and broker killed",
            Self::KillBroker => "broker killed",
            Self::FreezeService => "service frozen",
            Self::FreezeBroker => "broker frozen",
            Self::FullDisk => "disk full",
            Self::KillOnFullDisk => "service killed on a full disk",
        }
    }

    pub fn kills_service(self) -> bool {
        matches!(self, Self::KillService | Self::KillBoth | Self::KillOnFullDisk)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// `kill -9` of the service, at least.
    pub kills: usize,
    /// `kill -9` of the broker.
    pub broker_kills: usize,
    /// Of everything: lives, blows, and what the ticketing systems do.
    pub seed: u64,
}

impl Plan {
    /// Alarms whose lives are told.
    pub fn lives(&self) -> usize {
        self.kills * LIVES_PER_KILL
    }

    /// All blows, each with the number of tickets after which it falls.
    pub fn blows(&self, tickets: usize, dice: &mut Dice) -> Vec<(usize, Blow)> {
        // One in two kills of the broker takes the service with it.
        let both = self.broker_kills / 2;
        let full = self.kills.div_ceil(KILLS_PER_FULL_DISK);
        let mut blows = Vec::new();
        for (blow, times) in [
            (Blow::KillService, self.kills.saturating_sub(both + full)),
            (Blow::KillBoth, both),
            (Blow::KillBroker, self.broker_kills - both),
            (Blow::FreezeService, self.kills.div_ceil(KILLS_PER_FREEZE)),
            (Blow::FreezeBroker, self.broker_kills.div_ceil(BROKER_KILLS_PER_FREEZE)),
            (Blow::FullDisk, full),
            (Blow::KillOnFullDisk, full),
        ] {
            // Neither at the very start nor when hardly anything is left to do.
            blows.extend((0..times).map(|_| (dice.within(1..tickets * 9 / 10), blow)));
        }
        blows.sort_unstable();
        blows
    }
}

/// How often each fault fell.
pub type Faults = BTreeMap<String, u64>;
