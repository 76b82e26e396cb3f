//! The seeded simulator: the whole cast over a store in memory, under a virtual clock, through
//! crashes, lies and delays, at thousands of seeds a minute.
//!
//! One seed is one world: its alarms, its ticketing systems, its policy, its faults, and the order
//! in which everything happens. The machines are the real ones (lane, flow, locks, outbox), and
//! so are the transactions (`changes`); the thin actors around them are mirrored in `cast`.
//! What must exist comes from the generator (`truth`) and from the ledgers of the simulated
//! systems (`system`), never from the code that is tested. A failure tells its seed, the rule, and
//! what happened last; [`shrink`] makes its plan smaller.
//!
//! | rule | how it is checked | |
//! |---|---|---|
//! | T1 | un-ended level-made requests of each ticket are counted | |
//! | T2 | every decision that was applied is compared with the rows before it | |
//! | T3 | no two requests for one version of an alarm; at the end nothing is unsettled | |
//! | T5 | identities, un-ended requests and links are there at the end; then everything that is over goes, and nothing else | |
//! | C2 | at the end every write that ended has its history rows | |
//! | L1 L2 L6–L9 L12 | every grant is compared with the simulator's own list of holders and waiters | |
//! | L3 | no decision and no command is applied under a lock that is over or was given to another | |
//! | L4 | settling is measured in true time while the wall clock jumps; what a script was told that it holds, it holds in full after a restart | |
//! | L5 | every renewal is compared with the list of holders | |
//! | L10 | nothing is applied under a lock that a person took away; the audit has it | |
//! | L11 | no flow decides that began before its client was set to not busy | |
//! | G1 | at the end every accepted request has ended, and no doubt was forgotten | |
//! | G3 | calls in flight of each lane are counted; the clock before the first byte | |
//! | G4 | first bytes and ledgers follow the order of acceptance; who waits is told behind whom | |
//! | G5 | one command id has one request, whatever comes again, and with whatever body | |
//! | G6 | the intent is durable at the first byte (rule of *run*, free to check here) | |
//! | G7 G9 | every create whose fate was unknown is held against the table of doubt | |
//! | G8 | the ledgers hold one ticket a correlation key; what a backend did later than it promised is reported | |
//! | G10 | retries are counted and timed at the ledgers, and so are pauses, paces and the budget | |
//! | G11 | after so many failures in a row: one call after each pause | |
//! | G13 | the epoch of every change that was applied | |
//! | G14 | heads and searches in memory; un-ended requests of each backend | |
//! | G17 | nobody waits over a minute while a younger one goes | |
//! | I1 | acknowledged is durable; arrivals are counted once | |
//! | I2 | the level at the end is that of the newest event | |
//! | O3 | publishes in flight and sequences, by a subscriber | |
//! | H1 H3 | other nodes beat, die and come back over a failing link; every word on them is compared with what was heard | |
//! | H2 | calls that do not end are told at the second look | |
//! | U1–U5 | groups, and links by hand: every create of a group and every close is held against the rows; at the end every shared ticket against its alarms and the ledger | |
//! | P1 P2 | snapshots: what a pass named, and what was raised since its end, stays; what a whole one left out is cleared | |
//! | K1–K3 | the canary: one round is under way, nothing of it stays, a dead flow is told once | |
//! | S1–S8 | | not yet: there is no sync |

mod beats;
mod cast;
mod ends;
mod hand;
mod outside;
mod passes;
mod past;
mod plan;
mod rules;
mod scripts;
mod shrink;
mod stage;
mod system;
#[cfg(test)]
mod tests;
mod truth;

pub use plan::{Fault, Plan};
pub use shrink::shrink;

use crate::logic::policy::Policy;
use crate::model::BackendId;
use crate::testing::Rows;
use beats::Beats;
use cast::Service;
use outside::Bus;
use passes::Field;
use rules::Watch;
use scripts::Order;
use stage::{Chance, Entry};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use system::System;
use truth::Truth;

/// The installation's name in correlation keys.
const INSTANCE: &str = "simulated";
/// After the faults are over everything must come to rest within this time.
const REST_WITHIN: u64 = 6 * 3_600 * 1_000;
/// More steps than any healthy world takes.
const STEPS_MAX: u64 = 3_000_000;
/// Lines of the trace that a failure shows.
const LINES_SHOWN: usize = 80;

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number in the design.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

/// What became of a world.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// None: every rule held.
    pub broken: Option<Broken>,
    /// What happened last, or everything, if it was traced.
    pub trace: VecDeque<String>,
    /// How often what was seen: a simulator that never meets a doubt proves nothing.
    pub met: BTreeMap<&'static str, u64>,
    /// How many things happened.
    pub steps: u64,
}

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: the fastest.
    Off,
    /// The last lines.
    Last,
    /// Everything.
    All,
}

/// Plays a plan to its end.
pub fn play(plan: &Plan, trace: Trace) -> Report {
    let mut world = World::new(plan, trace);
    world.begin();
    while world.broken.is_none() && !world.over && world.play_next() {
        if world.steps > STEPS_MAX {
            world.fail("G1", "it never comes to rest: too many steps".to_owned());
        }
    }
    if world.broken.is_none() {
        world.check_end();
    }
    let World { broken, lines: trace, met, steps, .. } = world;
    Report { broken, trace, met, steps }
}

/// Everything there is in a run.
struct World {
    plan: Plan,
    chance: Chance,
    policy: Policy,
    /// True time in milliseconds.
    now: u64,
    wall_off: i64,
    queue: BinaryHeap<Entry>,
    turns: u64,
    steps: u64,

    // The process: what dies with it, and what it finds again.
    service: Service,
    life: u32,
    up: bool,
    born: u64,
    frozen_until: u64,
    rows: Rows,
    disk_full_until: u64,
    /// The process dies when so many effects more have been carried out.
    dies_in: u64,

    systems: BTreeMap<BackendId, System>,
    bus: Bus,
    orders: Vec<Order>,
    beats: Beats,
    field: Field,
    truth: Truth,
    watch: Watch,
    calm: bool,
    over: bool,
    broken: Option<Broken>,
    tracing: Trace,
    lines: VecDeque<String>,
    met: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(plan: &Plan, tracing: Trace) -> Self {
        let mut chance = Chance::new(plan.seed);
        let policy = plan::policy(&mut chance.rng, &plan.faults);
        let systems: BTreeMap<_, _> = (0..plan.backends)
            .map(|n| {
                let id = plan::backend(n);
                (id.clone(), System::new(id, plan::lane_settings(&mut chance.rng, &plan.faults)))
            })
            .collect();
        let clients = chance.rng.usize(1..6);
        let service = Service::new(&systems, clients);
        Self {
            plan: plan.clone(),
            chance,
            policy,
            now: 0,
            wall_off: 0,
            queue: BinaryHeap::new(),
            turns: 0,
            steps: 0,
            service,
            life: 0,
            up: false,
            born: 0,
            frozen_until: 0,
            rows: Rows::default(),
            disk_full_until: 0,
            dies_in: u64::MAX,
            systems,
            bus: Bus::default(),
            orders: Vec::new(),
            beats: Beats::default(),
            field: Field::default(),
            truth: Truth::default(),
            watch: Watch::default(),
            calm: false,
            over: false,
            broken: None,
            tracing,
            lines: VecDeque::new(),
            met: BTreeMap::new(),
        }
    }

    fn fail(&mut self, rule: &'static str, what: String) {
        if self.broken.is_none() {
            self.note(|| format!("BROKEN {rule}: {what}"));
            self.broken = Some(Broken { rule, what });
        }
    }

    fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.tracing == Trace::Off {
            return;
        }
        if self.tracing == Trace::Last && self.lines.len() >= LINES_SHOWN {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>10} {}", self.now, line()));
    }

    /// Does this kind of fault strike now?
    fn strikes(&mut self, fault: Fault, one_in: u64) -> bool {
        !self.calm && self.plan.faults.contains(&fault) && self.chance.one_in(one_in)
    }

    fn system(&mut self, backend: &BackendId) -> &mut System {
        self.systems.get_mut(backend).expect("every lane has its system")
    }
}
