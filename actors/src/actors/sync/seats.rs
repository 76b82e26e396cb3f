//! The configured syncs: how each works now, and where its actor is.
//!
//! Which there are, and between whom, is fixed while the service runs; how they work is not. What a
//! reload changes counts from the next run, look or message on: a run under way ends as it began.

use super::{Sync, SyncSettings};
use crate::actors::keeper::Post;
use crate::model::BackendId;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

/// How one sync works now.
#[derive(Clone, Debug)]
pub struct InForce(Arc<RwLock<SyncSettings>>);

impl InForce {
    fn new(settings: SyncSettings) -> Self {
        Self(Arc::new(RwLock::new(settings)))
    }

    /// As it is at this moment.
    pub fn now(&self) -> SyncSettings {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, settings: SyncSettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// One of them.
#[derive(Clone)]
pub struct SyncSeat {
    /// How it works.
    pub in_force: InForce,
    /// Its actor.
    pub post: Post<Sync>,
    /// Notices of its source that were taken since the start.
    pub noticed: Arc<AtomicU64>,
}

impl SyncSeat {
    /// How it works at this moment.
    pub fn settings(&self) -> SyncSettings {
        self.in_force.now()
    }
}

/// All of them, in the config's order.
#[derive(Clone)]
pub struct Syncs(Arc<[SyncSeat]>);

impl Syncs {
    /// Seats whose actors are yet to come.
    pub fn new(settings: &[SyncSettings]) -> Self {
        let seat = |settings: &SyncSettings| SyncSeat {
            in_force: InForce::new(settings.clone()),
            post: Post::default(),
            noticed: Arc::default(),
        };
        Self(settings.iter().map(seat).collect())
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &SyncSeat> {
        self.0.iter()
    }

    /// The one of that name.
    pub fn find(&self, name: &str) -> Option<&SyncSeat> {
        self.iter().find(|seat| seat.settings().plan.name == name)
    }

    /// Those to which this backend's changes come in.
    pub fn of_source<'a>(&'a self, source: &'a BackendId) -> impl Iterator<Item = &'a SyncSeat> {
        self.iter().filter(move |seat| seat.settings().plan.source == *source)
    }

    /// They work so from now on, by their names; one that is not there is passed over.
    pub fn replace(&self, settings: Vec<SyncSettings>) {
        for one in settings {
            if let Some(seat) = self.find(&one.plan.name) {
                seat.in_force.replace(one);
            }
        }
    }
}
