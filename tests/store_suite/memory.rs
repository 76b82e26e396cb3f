//! The store in memory, which carries the simulator.

use crate::world::World;
use std::sync::Arc;
use ticketgate_actors::testing::{ManualClock, MemoryStore};

pub fn world() -> World {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::new(clock.clone(), "node-1"));
    World::new(store.clone(), store, clock, ())
}
