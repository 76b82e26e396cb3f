//! What waits for a connector is told to it as it changes: `credit.<backend>` (CONTRACT 1.7).

use crate::actors::Outside;
use crate::logic::sync::Plan;
use crate::model::EventId;
use crate::ports::{Outgoing, StoreError};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// What waits is looked at so often though nothing seems to have happened.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What waits is counted up to so many.
const WAITING_COUNTED_MAX: u32 = 10_000;

/// What was seen and said last.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Events that were stored then.
    events: Option<u64>,
    /// At this moment.
    at: Option<crate::model::Mono>,
    looking: Option<(u64, crate::model::Mono)>,
    /// What the connector was told to wait.
    waiting: Option<u64>,
}

impl Line {
    /// Has anything been stored since the last look, or is that long ago?
    pub(super) fn is_due(&self, outside: &Outside) -> bool {
        let events = *outside.views.events_stored.borrow();
        let now = outside.clock.now().mono;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = seen.at.is_none_or(|at| now.since(at) >= LOOK_EVERY);
        seen.looking = Some((events, now));
        old || seen.events != Some(events)
    }

    /// A look has ended well.
    pub(super) fn looked(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((events, at)) = seen.looking.take() {
            (seen.events, seen.at) = (Some(events), Some(at));
        }
    }

    /// Tells the connector what waits, if that is news.
    pub(super) async fn tell_credit(
        &self,
        outside: &Outside,
        plan: &Plan,
    ) -> Result<(), StoreError> {
        let name = plan.name.clone();
        let waiting = outside.reads.sync_waiting(name, WAITING_COUNTED_MAX).await?;
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting == Some(waiting) {
            return Ok(());
        }
        let at = outside.clock.now().wall;
        let credit = Outgoing::Credit {
            event_id: EventId(outside.ids.uuid(at)),
            at,
            backend: plan.source.clone(),
            credit: plan.credit,
            waiting,
        };
        match outside.bus.publish(credit).await {
            Ok(()) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting = Some(waiting);
            }
            Err(error) => tracing::debug!(sync = %plan.name, %error, "credit was not published"),
        }
        Ok(())
    }
}
