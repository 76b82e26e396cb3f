//! The process: the machines, and a thin mirror of the actors that carry out their effects.
//!
//! Each part says which actor it mirrors. What an actor awaits is here a delayed act that dies with
//! the process, or with the part that was replaced (its `incarnation`). Between any two effects the
//! process may die.

mod calls;
pub(crate) mod canary;
mod flows;
mod gateway;
mod outbox;
mod pool;
mod writer;

use super::World;
use super::beats::Heartbeat;
use super::plan::Fault;
use super::system::System;
use crate::changes::{Applied, ChangeSet, Decide};
use crate::logic::desk::Desk;
use crate::logic::lane::Lane;
use crate::logic::locks::Grant;
use crate::logic::outbox::Outbox;
use crate::logic::turns::Turns;
use crate::model::{BackendId, ClientNumber, Mono, RequestId};
use crate::ports::{Answer, StoreError};
use canary::Canaries;
use pool::Pool;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A flow's lock; short, so that stalls outlive it.
pub(crate) const FLOW_TIMEOUT: Duration = Duration::from_secs(30);

type Answered = Result<Vec<Applied>, StoreError>;
type Then = Box<dyn FnOnce(&mut World, Answered)>;
type Granted = Box<dyn FnOnce(&mut World, Option<Grant>)>;
type Journaled = Box<dyn FnOnce(&mut World, Told)>;
type Searched = Box<dyn FnOnce(&mut World, Answer)>;

/// Mirrors `Journaled` of `actors/gateway`.
enum Told {
    Stored(Result<(), StoreError>),
    Alone(Box<Decide>),
    Unknown,
}

/// One lane and its timer.
pub(crate) struct Seat {
    pub lane: Lane,
    timer: Option<Mono>,
}

/// What dies with the process.
pub(crate) struct Service {
    pub seats: BTreeMap<BackendId, Seat>,
    /// Grows with each gateway.
    pub gateway: u32,
    searches: HashMap<u64, Searched>,
    last_search: u64,
    /// Who waits for a decision, by the request that it makes.
    decisions: BTreeMap<RequestId, Journaled>,
    pub pool: Pool,
    pools: u32,
    /// Of each client.
    pub turns: BTreeMap<ClientNumber, Turns>,
    pub heartbeat: Heartbeat,
    dispatcher: u32,
    desks: BTreeMap<BackendId, Desk>,
    pub outbox: Outbox,
    pub outboxes: u32,
    outbox_timer: Option<Mono>,
    /// Grows with each canary actor.
    pub canary: u32,
    pub canaries: Canaries,
    sets: Vec<(ChangeSet, Then)>,
    committing: bool,
    pub clients: usize,
}

fn seats(systems: &BTreeMap<BackendId, System>) -> BTreeMap<BackendId, Seat> {
    let seat = |system: &System| Seat {
        lane: Lane::new(system.id.clone(), system.settings.clone()),
        timer: None,
    };
    systems.iter().map(|(id, system)| (id.clone(), seat(system))).collect()
}

fn desks(systems: &BTreeMap<BackendId, System>) -> BTreeMap<BackendId, Desk> {
    let desk = || {
        let mut desk = Desk::default();
        desk.look();
        desk
    };
    systems.keys().map(|id| (id.clone(), desk())).collect()
}

impl Service {
    pub fn new(systems: &BTreeMap<BackendId, System>, clients: usize) -> Self {
        Self {
            seats: seats(systems),
            gateway: 0,
            searches: HashMap::new(),
            last_search: 0,
            decisions: BTreeMap::new(),
            pool: Pool::new(clients, systems.len()),
            pools: 0,
            turns: BTreeMap::new(),
            heartbeat: Heartbeat::new(),
            dispatcher: 0,
            desks: desks(systems),
            outbox: Outbox::new(),
            outboxes: 0,
            outbox_timer: None,
            canary: 0,
            canaries: Canaries::new(),
            sets: Vec::new(),
            committing: false,
            clients,
        }
    }
}

/// The process as such.
impl World {
    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.up = true;
        self.born = self.now;
        self.frozen_until = 0;
        self.service = Service::new(&self.systems, self.service.clients);
        self.watch_pool_gone();
        self.watch.locks.voids.clear();
        self.note(|| "the process starts".to_owned());
        if self.plan.faults.contains(&Fault::Crash) && !self.calm {
            self.dies_in = self.chance.ms(1, 400);
        }
        self.start_pool();
        self.start_gateway();
        self.start_outbox();
        self.look_for_due();
        self.start_heartbeat();
        self.start_canary();
        self.field_again();
    }

    /// Everything volatile is gone, and the connections with it.
    pub(crate) fn crash(&mut self, why: &str) {
        if !self.up {
            return;
        }
        self.note(|| format!("CRASH: {why}"));
        self.meet("crashes");
        self.up = false;
        self.rows.crash();
        self.dies_in = u64::MAX;
        self.watch_lost_calls();
        self.watch_pool_gone();
        self.watch_outbox_gone();
        self.bus_lost_consumer();
        let after = self.chance.ms(100, 20_000);
        self.outside(after, World::start);
    }

    /// One more effect is carried out, unless the process dies before it.
    fn dies(&mut self) -> bool {
        if self.calm || self.dies_in == u64::MAX {
            return !self.up;
        }
        self.dies_in -= 1;
        if self.dies_in == 0 {
            self.crash("between two effects");
        }
        !self.up
    }

    /// The keeper: one actor panicked and is replaced. What the others had asked of it is gone.
    pub(crate) fn replace_one(&mut self) {
        if !self.up {
            return;
        }
        self.meet("replacements");
        match self.chance.rng.u8(..5) {
            4 => {
                self.note(|| "the canary is replaced".to_owned());
                self.start_canary();
            }
            0 => {
                self.note(|| "the gateway is replaced".to_owned());
                self.watch_lost_calls();
                self.service.seats = seats(&self.systems);
                for (_, asker) in std::mem::take(&mut self.service.searches) {
                    self.inside(1, |w| asker(w, Answer::NotSent("the lane went away".into())));
                }
                for (_, asker) in std::mem::take(&mut self.service.decisions) {
                    self.inside(1, |w| asker(w, Told::Unknown));
                }
                self.start_gateway();
            }
            1 => {
                self.note(|| "the pool is replaced".to_owned());
                self.watch_pool_gone();
                self.replace_pool();
            }
            2 => {
                self.note(|| "the dispatcher is replaced".to_owned());
                self.service.dispatcher += 1;
                self.service.desks = desks(&self.systems);
                self.look_for_due();
            }
            _ => {
                self.note(|| "the outbox is replaced".to_owned());
                self.watch_outbox_gone();
                self.start_outbox();
            }
        }
    }
}
