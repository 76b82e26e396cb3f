//! The subscriber of a run: counts ticket events, and how long each took since its alarm.

use crate::{alarms, broker};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the count is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the subscriber has heard.
#[derive(Default)]
struct Heard {
    events: AtomicU64,
    last_us: AtomicU64,
    took_us: Mutex<Vec<u64>>,
}

/// A subscriber that listens until it is dropped.
pub struct Listener {
    _connection: Connection,
    heard: Arc<Heard>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Deserialize)]
struct Event {
    alarm: AlarmRef,
}

#[derive(Deserialize)]
struct AlarmRef {
    id: String,
}

impl Listener {
    /// Listens to ticket events; with `timed` each one's alarm is looked at.
    pub async fn start(url: &str, prefix: &str, timed: bool) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let none = FieldTable::default;
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), exclusive, none()).await?;
        let (name, from) = (queue.name().clone(), broker::tickets(prefix));
        let bind = QueueBindOptions::default();
        channel.queue_bind(name.clone(), from.into(), "ticket.#".into(), bind, none()).await?;
        let unacknowledged = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut consumer = channel.basic_consume(name, "".into(), unacknowledged, none()).await?;
        let heard = Arc::new(Heard::default());
        let mine = heard.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let now = alarms::now_us();
                mine.events.fetch_add(1, Ordering::Relaxed);
                mine.last_us.store(now, Ordering::Relaxed);
                if timed && let Some(at) = published(&delivery.data) {
                    let mut took = mine.took_us.lock().unwrap_or_else(PoisonError::into_inner);
                    took.push(now.saturating_sub(at));
                }
            }
            drop(channel);
        });
        Ok(Self { _connection: connection, heard, task })
    }

    /// How many events were heard, and when the last one was.
    pub fn heard(&self) -> (u64, u64) {
        (self.heard.events.load(Ordering::Relaxed), self.heard.last_us.load(Ordering::Relaxed))
    }

    /// Waits until so many were heard; false: not in that time.
    pub async fn hears(&self, events: u64, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.heard().0 < events {
            if Instant::now() > deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// How long each event took since its alarm, in microseconds, in order of size; from the `skip`th on.
    pub fn took_us(&self, skip: usize) -> Vec<u64> {
        let took = self.heard.took_us.lock().unwrap_or_else(PoisonError::into_inner);
        let mut took: Vec<u64> = took.iter().skip(skip).copied().collect();
        took.sort_unstable();
        took
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Events are MessagePack, or JSON from programs that do not know better.
fn published(body: &[u8]) -> Option<u64> {
    let event: Event = match body.first() {
        Some(b'{') => serde_json::from_slice(body).ok()?,
        _ => rmp_serde::from_slice(body).ok()?,
    };
    alarms::published_us(&event.alarm.id)
}
