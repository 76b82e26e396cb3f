//! The bus when no broker is configured: everything inside this process.
//!
//! Inward, a publish returns after the commit. Outward, an event is offered to who listens right
//! now; nothing is kept for who comes later, and a listener that does not keep up is cut off, so
//! that it knows that it missed something. Messages look as they would on the broker.

use crate::wire::{self, Encoding};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use ticketgate_actors::logic::topic;
use ticketgate_actors::ports::{Bus, Delivery, Inlet, Outgoing, PublishFailed, Soon, Verdict};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::warn;

/// Messages that one listener may be behind: a burst of a few seconds.
const MAX_BEHIND: usize = 1024;

/// A message as a listener gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// For example `ticket.crm.incident.created`.
    pub routing_key: String,
    /// CloudEvents attributes.
    pub headers: Vec<(&'static str, String)>,
    /// What the body is.
    pub content_type: &'static str,
    /// The event's id: stable across re-publication.
    pub message_id: String,
    /// The body.
    pub body: Bytes,
}

struct Listener {
    bindings: Vec<String>,
    to: mpsc::Sender<Arc<Delivered>>,
}

/// The bus inside this process.
pub struct InprocBus {
    node: String,
    encoding: Encoding,
    inlet: Arc<dyn Inlet>,
    /// Where beats go, which come back here as they do from a broker.
    heartbeats: Option<Arc<dyn Inlet>>,
    listeners: Mutex<Vec<Listener>>,
}

impl InprocBus {
    /// A bus that brings alarms to `inlet`.
    pub fn new(node: &str, encoding: Encoding, inlet: Arc<dyn Inlet>) -> Self {
        Self {
            node: node.to_owned(),
            encoding,
            inlet,
            heartbeats: None,
            listeners: Mutex::default(),
        }
    }

    /// Brings every beat that is published to `inlet` too.
    pub fn with_heartbeats(mut self, inlet: Arc<dyn Inlet>) -> Self {
        self.heartbeats = Some(inlet);
        self
    }

    /// Takes a message in. `Settled`: it is committed. `GiveBack`: the store did not take it, and
    /// nothing here remembers it; whoever sent it has to send it again.
    pub async fn publish_in(&self, delivery: Delivery) -> Verdict {
        let verdicts = self.inlet.take(vec![delivery]).await;
        verdicts.first().copied().unwrap_or(Verdict::GiveBack)
    }

    /// Listens to what is published from now on under routing keys that one of the topic patterns
    /// matches. The end of the channel means that the listener was too slow and was cut off.
    pub fn subscribe(&self, bindings: &[&str]) -> mpsc::Receiver<Arc<Delivered>> {
        let (to, from) = mpsc::channel(MAX_BEHIND);
        let bindings = bindings.iter().map(|&binding| binding.to_owned()).collect();
        self.listeners().push(Listener { bindings, to });
        from
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for InprocBus {
    fn publish(&self, message: Outgoing) -> Soon<Result<(), PublishFailed>> {
        let encoded = wire::encode(&message, &self.node, self.encoding);
        let delivered = Arc::new(Delivered {
            routing_key: encoded.routing_key,
            headers: encoded.headers,
            content_type: encoded.content_type,
            message_id: encoded.message_id,
            body: encoded.body.into(),
        });
        self.listeners().retain(|listener| offer(listener, &delivered));
        if let Outgoing::Test(..) = message {
            let taken = self.inlet.take(vec![delivery("inproc.alarms", &delivered)]);
            return Box::pin(async move {
                match taken.await.first() {
                    Some(Verdict::Settled) => Ok(()),
                    _ => Err(PublishFailed("the store did not take it".to_owned())),
                }
            });
        }
        match (&self.heartbeats, message) {
            (Some(inlet), Outgoing::Beat(_)) => {
                let taken = inlet.take(vec![delivery("inproc.heartbeats", &delivered)]);
                Box::pin(async move {
                    // Volatile: whatever became of it, it is not published again.
                    let _ = taken.await;
                    Ok(())
                })
            }
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn connected(&self) -> bool {
        true
    }
}

/// A message that goes out, as it comes in again.
fn delivery(inlet: &str, message: &Delivered) -> Delivery {
    let header = |wanted: &str| {
        let found = message.headers.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.clone())
    };
    Delivery {
        inlet: inlet.into(),
        body: message.body.clone(),
        content_type: Some(message.content_type.to_owned()),
        message_id: Some(message.message_id.clone()),
        cloudevents_id: header("cloudEvents_id"),
        cloudevents_source: header("cloudEvents_source"),
        reply_to: None,
        correlation_id: None,
        dead_lettered: None,
    }
}

/// Does the listener stay?
fn offer(listener: &Listener, message: &Arc<Delivered>) -> bool {
    let hears = |binding: &String| topic::matches(binding, &message.routing_key);
    if !listener.bindings.iter().any(hears) {
        return !listener.to.is_closed();
    }
    match listener.to.try_send(Arc::clone(message)) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(_)) => {
            warn!(bindings = ?listener.bindings, "a listener is too slow and is cut off");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticketgate_actors::model::{EventId, Timestamp};

    struct Nowhere;
    impl Inlet for Nowhere {
        fn take(&self, _: Vec<Delivery>) -> Soon<Vec<Verdict>> {
            Box::pin(std::future::ready(Vec::new()))
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_cut_off_after_what_it_was_given() {
        let bus = InprocBus::new("n1", Encoding::Json, Arc::new(Nowhere));
        let mut slow = bus.subscribe(&["lane.#"]);
        let notice = |n: usize| Outgoing::Ops {
            event_id: EventId(uuid::Uuid::from_u128(n as u128)),
            key: "lane.crm.paused".into(),
            at: Timestamp::default(),
            body: n.into(),
        };
        for n in 0..=MAX_BEHIND {
            bus.publish(notice(n)).await.unwrap();
        }
        let mut heard = 0;
        while slow.recv().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, MAX_BEHIND);
        assert!(bus.listeners().is_empty());
    }
}
