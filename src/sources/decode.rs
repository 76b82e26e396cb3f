//! The `Decode` port for queues in which foreign systems speak, in front of that for our own words.

use super::Source;
use std::collections::HashMap;
use std::sync::Arc;
use ticketgate_actors::model::{BackendId, Beat, Command, Identity, Said};
use ticketgate_actors::ports::{BadCommand, Decode, Delivery, Later, Malformed, SyncSaid};
use uuid::Uuid;

/// Reads each queue in its own words.
pub struct ByQueue<D> {
    /// Whoever speaks our words.
    pub ours: D,
    /// Foreign systems, by queue.
    pub sources: HashMap<String, Arc<Source>>,
    /// The configured backends.
    pub known_backends: Vec<BackendId>,
}

impl<D: Decode> Decode for ByQueue<D> {
    fn decode(&self, delivery: &Delivery) -> Vec<Result<(Identity, Said), Malformed>> {
        let Some(source) = self.sources.get(delivery.inlet.as_ref()) else {
            return self.ours.decode(delivery);
        };
        let on_a_queue: Option<fn() -> Uuid> = None;
        let read = source.read(delivery, &self.known_backends, on_a_queue);
        read.unwrap_or_else(|whole| vec![Err(whole)])
    }

    fn source_of(&self, delivery: &Delivery) -> Option<String> {
        match self.sources.get(delivery.inlet.as_ref()) {
            Some(source) => Some(source.name.clone()),
            None => self.ours.source_of(delivery),
        }
    }

    fn command(&self, delivery: &Delivery) -> Result<Command, Box<BadCommand>> {
        self.ours.command(delivery)
    }

    fn later(&self, delivery: &Delivery) -> Result<Later, Malformed> {
        self.ours.later(delivery)
    }

    fn sync(&self, delivery: &Delivery) -> Result<SyncSaid, Malformed> {
        self.ours.sync(delivery)
    }

    fn decode_beat(&self, delivery: &Delivery) -> Result<Beat, Malformed> {
        self.ours.decode_beat(delivery)
    }
}
