//! Tells operators of parked messages: at most one event a second, however many are parked. A
//! source that sends rubbish must not flood the tools of those who are to mend it.

use super::{Outside, ops};
use crate::changes::{Change, ChangeSet};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The least time between two events.
const RING_EVERY: Duration = Duration::from_secs(1);

/// What an event says of a parked message.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    inlet: String,
    message_id: Option<String>,
    reason: String,
    field: Option<String>,
}

/// The notice of a set that parks one message.
pub(super) fn notice(set: &ChangeSet) -> Option<Notice> {
    match &set.0[..] {
        [Change::Park(parked)] => Some(Notice {
            inlet: parked.inlet.clone(),
            message_id: parked.message_id.clone(),
            reason: parked.reason.clone(),
            field: parked.field.clone(),
        }),
        _ => None,
    }
}

/// What was parked since the last event.
struct Waiting {
    count: u64,
    /// The first of them, and its number in the parked table.
    first: (Notice, u64),
    last: u64,
}

#[derive(Default)]
struct State {
    waiting: Option<Waiting>,
    /// A task is at work, or pauses.
    ringing: bool,
}

/// The bell.
#[derive(Default)]
pub(super) struct ParkedBell(Mutex<State>);

impl ParkedBell {
    /// Adds a message that is parked under number `n`.
    pub fn add(self: &Arc<Self>, outside: &Arc<Outside>, notice: Notice, n: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.waiting {
            Some(waiting) => {
                waiting.count += 1;
                waiting.last = n;
            }
            none => *none = Some(Waiting { count: 1, first: (notice, n), last: n }),
        }
        if !std::mem::replace(&mut state.ringing, true) {
            tokio::spawn(self.clone().ring(outside.clone()));
        }
    }

    async fn ring(self: Arc<Self>, outside: Arc<Outside>) {
        while let Some(waiting) = self.next() {
            let (notice, n) = waiting.first;
            let said = json!({
                "count": waiting.count,
                "n": n,
                "last_n": waiting.last,
                "inlet": notice.inlet,
                "message_id": notice.message_id,
                "reason": notice.reason,
                "field": notice.field,
            });
            ops::ring(&outside, "message.parked".to_owned(), ops::fields(said));
            tokio::time::sleep(RING_EVERY).await;
        }
    }

    fn next(&self) -> Option<Waiting> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = state.waiting.take();
        state.ringing = waiting.is_some();
        waiting
    }
}
