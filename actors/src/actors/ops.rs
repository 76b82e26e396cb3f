//! The bell for operators' tools: events on the ops exchange (CONTRACT 1.1).
//!
//! Only a bell: what it tells of stands in the store, in the views or in the log, and a bell that
//! the bus did not take within a few tries is not rung again.

use super::Outside;
use crate::model::{EventId, Fields};
use crate::ports::Outgoing;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Tries of one event, and the pause between them: together longer than a broker's short breath.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
/// Events on their way at once; more are only logged.
const RINGING_MAX: usize = 256;

/// The fields of an object.
pub(super) fn fields(object: Value) -> Fields {
    Fields::of(object)
}

/// Publishes an event under that key; every body carries `event` (the key) and `at`. Needs a tokio
/// runtime around it, and does not wait.
pub(super) fn ring(outside: &Arc<Outside>, key: String, mut body: Fields) {
    let at = outside.clock.now().wall;
    body.insert("event".to_owned(), key.clone().into());
    body.insert("at".to_owned(), at.to_string().into());
    let message = Outgoing::Ops {
        event_id: EventId(outside.ids.uuid(at)),
        key: key.clone(),
        at,
        body: body.into(),
    };
    let ringing = &outside.views.ops_events_ringing;
    if ringing.fetch_add(1, Ordering::Relaxed) >= RINGING_MAX {
        ringing.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(key, "too many ops events wait for the bus: this one is not published");
        return;
    }
    let outside = outside.clone();
    tokio::spawn(async move {
        for attempt in 1..=TRIES {
            match outside.bus.publish(message.clone()).await {
                Ok(()) => break,
                Err(error) if attempt == TRIES => {
                    tracing::warn!(%error, key, "an ops event was not published");
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        outside.views.ops_events_ringing.fetch_sub(1, Ordering::Relaxed);
    });
}
