//! A store in memory: the same ports and the same suite as the stores on disk.
//!
//! [`Rows`] is the synchronous core: it applies a change set now, and reads now, so that the
//! simulator needs no runtime. What was applied since the last [`Rows::sync`] is known to the
//! process and not yet durable; [`Rows::crash`] loses it. So group commit, its failure, and the
//! crash in its midst can be played. [`MemoryStore`] puts the asynchronous ports over it and syncs
//! before it answers.

mod past;
mod reads;
mod rows;
mod sync;
mod tx;

pub use rows::Rows;

use crate::changes::{Applied, ChangeSet, Context};
use crate::ports::{Clock, Soon, Store, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// [`Store`] and [`Reads`](crate::ports::Reads) in memory.
pub struct MemoryStore {
    rows: Mutex<Rows>,
    clock: Arc<dyn Clock>,
    node: String,
}

impl MemoryStore {
    /// An empty store. `clock` is read for each change set when it is applied.
    pub fn new(clock: Arc<dyn Clock>, node: impl Into<String>) -> Self {
        Self { rows: Mutex::default(), clock, node: node.into() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        let mut rows = self.rows();
        let apply = |set: &ChangeSet| {
            rows.apply_now(set, Context { now: self.clock.now(), node: &self.node })
        };
        let answers = sets.iter().map(apply).collect();
        rows.sync();
        Box::pin(std::future::ready(answers))
    }
}
