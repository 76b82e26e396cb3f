//! Later answers of backends come in (CONTRACT 1.5), from a bus and over HTTP: each is given to its
//! request by the gateway, whose lane hears of it.
//!
//! What cannot be read, names nothing that we know, or contradicts what is known, is parked with its
//! reason where it came from a bus, and refused where a caller can be told.

use super::{Gateway, Outside, Post, TakeAnswer};
use crate::changes::{Change, LaterAnswer};
use crate::model::{EventId, Parked, Request};
use crate::ports::{Decode, Delivery, Inlet, Later, Malformed, Soon, StoreError, Verdict};
use std::sync::Arc;

/// Where later answers come in.
pub struct Answers {
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    decode: Arc<dyn Decode>,
}

impl Answers {
    /// A desk that hands on to this gateway.
    pub fn new(outside: Arc<Outside>, gateway: Post<Gateway>, decode: Arc<dyn Decode>) -> Self {
        Self { outside, gateway, decode }
    }

    /// What a delivery says, read as it would be if it came now; nothing is taken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_again(&self, delivery: &Delivery) -> Result<Later, Malformed> {
        self.decode.later(delivery)
    }

    /// Gives an answer to its request. The request as it is now; none: nothing new was said.
    ///
    /// # Errors
    /// It names nothing that we know, contradicts what is known, or the store did not take it.
    pub async fn take(&self, later: Later) -> Result<Option<Request>, StoreError> {
        let now = self.outside.clock.now().wall;
        let seat = self.outside.backends.get(&later.backend);
        let take = TakeAnswer(LaterAnswer {
            identity: later.identity,
            asked: later.asked,
            outcome: later.outcome,
            event_id: EventId(self.outside.ids.uuid(now)),
            watch_looks: seat.map_or(0, |seat| seat.settings.watch_looks()),
            backend: later.backend,
        });
        let gone = || Err(StoreError::Down("the gateway is being replaced".to_owned()));
        self.gateway.ask(take).await.unwrap_or_else(gone)
    }

    async fn take_delivery(&self, delivery: &Delivery) -> Verdict {
        let later = match self.decode.later(delivery) {
            Ok(later) => later,
            Err(malformed) => return self.park(delivery, malformed).await,
        };
        let backend = later.backend.clone();
        match self.take(later).await {
            Ok(moved) => {
                tracing::info!(%backend, request = moved.map(|it| tracing::field::display(it.id)),
                    "a later answer came");
                Verdict::Settled
            }
            Err(StoreError::Refused(refusal)) => {
                let reason = format!("this answer fits no request that waits: {refusal}");
                self.park(delivery, Malformed { field: None, reason }).await
            }
            Err(StoreError::Down(reason)) => {
                tracing::warn!(%backend, reason, "a later answer was given back");
                Verdict::GiveBack
            }
        }
    }

    async fn park(&self, delivery: &Delivery, malformed: Malformed) -> Verdict {
        let Malformed { field, reason } = malformed;
        tracing::warn!(inlet = %delivery.inlet, field, reason, "a later answer is parked");
        let parked = Parked {
            n: 0,
            at: self.outside.clock.now().wall,
            inlet: delivery.inlet.to_string(),
            message_id: delivery.message_id.clone(),
            content_type: delivery.content_type.clone(),
            reason,
            field,
            mended: 0,
            place: None,
            original: None,
            body: delivery.body.to_vec(),
        };
        match self.outside.store.apply(Change::Park(Box::new(parked)).into()).await {
            Ok(_) => Verdict::Settled,
            Err(_) => Verdict::GiveBack,
        }
    }
}

/// Later answers from a bus.
pub struct AnswerInlet(pub Arc<Answers>);

impl Inlet for AnswerInlet {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        let answers = self.0.clone();
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(batch.len());
            // In their order: of two answers to one request the first counts.
            for delivery in &batch {
                verdicts.push(answers.take_delivery(delivery).await);
            }
            verdicts
        })
    }
}
