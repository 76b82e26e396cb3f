//! What faces may wait for, instead of asking the store again and again. Missing one is no harm to
//! the truth: who waits looks at the store first, and again at the end of its time.

use crate::model::RequestId;
use tokio::sync::broadcast;

/// Moves that a slow waiter may be behind before it has to look at the store itself.
const BEHIND_MAX: usize = 4_096;

/// News of requests.
#[derive(Debug)]
pub struct Notices {
    /// A request has moved: to its end, or into doubt.
    pub ended: broadcast::Sender<RequestId>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { ended: broadcast::Sender::new(BEHIND_MAX) }
    }
}

impl Notices {
    /// Says that a request has moved.
    pub fn moved(&self, request: RequestId) {
        // Nobody may be waiting.
        let _ = self.ended.send(request);
    }
}
