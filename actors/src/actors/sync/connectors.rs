//! Where connectors' messages come in, from a bus and over HTTP: merged, answered, and only then
//! acknowledged.

use super::run::{by_our_clock, fresh, hand_on};
use super::{SyncSettings, Syncs};
use crate::actors::keeper::Post;
use crate::actors::{Gateway, Outbox, Outside};
use crate::changes::{Answered, Applied, Change, Message, Record};
use crate::logic::sync::From;
use crate::model::{BackendId, EventId, Parked, SyncAnswer, Told};
use crate::ports::{
    Decode, Delivery, Inlet, Malformed, Outgoing, Soon, StoreError, SyncSaid, Verdict,
};
use std::sync::Arc;

/// The desk for connectors' messages.
pub struct Connectors {
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
    decode: Arc<dyn Decode>,
    syncs: Syncs,
}

/// Why a connector's message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoConnector {
    /// No sync takes it.
    #[error("no sync takes messages of backend {0}{1}")]
    Unknown(BackendId, String),
    /// The sync is masked.
    #[error("sync {0} is masked: it takes no messages")]
    Masked(String),
    /// The store did not take it.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Connectors {
    /// A desk for these.
    pub fn new(
        outside: Arc<Outside>,
        gateway: Post<Gateway>,
        outbox: Post<Outbox>,
        decode: Arc<dyn Decode>,
        syncs: Syncs,
    ) -> Self {
        Self { outside, gateway, outbox, decode, syncs }
    }

    fn sync_of(&self, said: &SyncSaid) -> Result<SyncSettings, NoConnector> {
        let all = self.syncs.iter().map(super::SyncSeat::settings);
        let of = all
            .filter(|sync| sync.plan.from == From::Connector && sync.plan.source == said.backend);
        let fits = |sync: &SyncSettings| match &sync.element {
            Some(element) => said.element.as_ref() == Some(element),
            None => true,
        };
        // One that is in use goes before one that is not, one that names its element before one that
        // takes any.
        let best = of.filter(fits).max_by_key(|sync| (!sync.masked, sync.element.is_some()));
        let sync = best.ok_or_else(|| {
            let element = said.element.as_ref().map(|it| format!(" from element {it}"));
            NoConnector::Unknown(said.backend.clone(), element.unwrap_or_default())
        })?;
        match sync.masked {
            true => Err(NoConnector::Masked(sync.plan.name.clone())),
            false => Ok(sync),
        }
    }

    /// Takes a message. When it returns, what it told is durable, and so is the answer.
    ///
    /// # Errors
    /// No sync takes it, or the store does not.
    pub async fn take(&self, said: SyncSaid) -> Result<SyncAnswer, NoConnector> {
        let sync = self.sync_of(&said)?;
        let now = self.outside.clock.now().wall;
        let clock = said.polled_at.unwrap_or(now);
        let record = |told: Result<Told, (String, String)>| Record {
            told: told.map(|told| {
                // What lies in its sender's own future is of now.
                let said_at = told.said_at.min(clock.max(now));
                Told { changed_at: by_our_clock(told.said_at, now, clock), said_at, ..told }
            }),
            ids: fresh(&self.outside),
        };
        let message = Message {
            plan: sync.plan.clone(),
            id: said.id,
            polled_at: said.polled_at,
            records: said.tickets.into_iter().map(record).collect(),
            credit: said.credit,
            cursor: said.cursor,
            pass: said.pass,
            complete: said.complete,
        };
        let change = Change::SyncMessage(Box::new(message));
        let applied = self.outside.store.apply(change.into()).await?;
        let Some(Applied::SyncAnswered(answered)) = applied.into_iter().next() else {
            return Err(StoreError::Down("the store gave no answer".to_owned()).into());
        };
        let Answered { answer, synced, .. } = *answered;
        hand_on(&self.gateway, &self.outbox, &synced);
        Ok(answer)
    }

    async fn take_delivery(&self, delivery: &Delivery) -> Verdict {
        let said = match self.decode.sync(delivery) {
            Ok(said) => said,
            Err(malformed) => return self.park(delivery, malformed).await,
        };
        let backend = said.backend.clone();
        match self.take(said).await {
            Ok(answer) => self.answer(delivery, answer).await,
            Err(NoConnector::Store(StoreError::Down(reason))) => {
                tracing::warn!(%backend, reason, "a sync message was given back");
                Verdict::GiveBack
            }
            Err(error) => {
                let field = matches!(error, NoConnector::Unknown(..)).then(|| "backend".to_owned());
                self.park(delivery, Malformed { field, reason: error.to_string() }).await
            }
        }
    }

    /// An answer that could not be published is given again when its message is repeated.
    async fn answer(&self, delivery: &Delivery, answer: SyncAnswer) -> Verdict {
        let Some(queue) = &delivery.reply_to else { return Verdict::Settled };
        let at = self.outside.clock.now().wall;
        let out = Outgoing::SyncAnswer {
            event_id: EventId(self.outside.ids.uuid(at)),
            at,
            to: crate::model::Route { exchange: String::new(), key: queue.clone() },
            correlation_id: delivery.correlation_id.clone().or_else(|| Some(answer.id.clone())),
            content_type: delivery.content_type.clone().unwrap_or_default(),
            answer: Box::new(answer),
        };
        match self.outside.bus.publish(out).await {
            Ok(()) => Verdict::Settled,
            Err(error) => {
                tracing::warn!(%error, "the answer to a sync message was not published");
                Verdict::GiveBack
            }
        }
    }

    async fn park(&self, delivery: &Delivery, malformed: Malformed) -> Verdict {
        let Malformed { field, reason } = malformed;
        tracing::warn!(inlet = %delivery.inlet, field, reason, "a sync message is parked");
        let parked = Parked {
            n: 0,
            at: self.outside.clock.now().wall,
            inlet: delivery.inlet.to_string(),
            message_id: delivery.message_id.clone(),
            content_type: delivery.content_type.clone(),
            reason,
            field,
            body: delivery.body.to_vec(),
            mended: 0,
            place: None,
            original: None,
        };
        match self.outside.store.apply(Change::Park(Box::new(parked)).into()).await {
            Ok(_) => Verdict::Settled,
            Err(_) => Verdict::GiveBack,
        }
    }
}

/// Connectors' messages from a bus.
pub struct ConnectorInlet(pub Arc<Connectors>);

impl Inlet for ConnectorInlet {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        let connectors = self.0.clone();
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(batch.len());
            // In their order: a later page knows more.
            for delivery in &batch {
                verdicts.push(connectors.take_delivery(delivery).await);
            }
            verdicts
        })
    }
}
