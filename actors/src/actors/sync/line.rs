//! What waits for a connector is told to it as it changes: `credit.<backend>` (CONTRACT 1.7).

use crate::actors::Outside;
use crate::logic::sync::Plan;
use crate::model::{EventId, Kind, Mono};
use crate::ports::{Outgoing, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What waits is looked at so often though nothing seems to have happened.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What waits is counted up to so many.
const WAITING_COUNTED_MAX: u32 = 10_000;

/// A ticket that could not be read once more is not asked for again before this, and then twice that ...
const UNREAD_PAUSE: Duration = Duration::from_secs(30);
/// ... up to this: its failing must not look like a backend that is away.
const UNREAD_PAUSE_MAX: Duration = Duration::from_secs(600);

/// What was seen and said last.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Events that were stored then.
    events: Option<u64>,
    /// At this moment.
    at: Option<Mono>,
    looking: Option<(u64, Mono)>,
    /// What the connector was told to wait.
    waiting: Option<u64>,
    /// Tickets that were asked for once more without an answer: the pause, and its end. There are no more
    /// than tickets that wait for that.
    unread: BTreeMap<String, (Duration, Mono)>,
}

impl Line {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of tickets that are to be read once more, those of which it is time.
    pub(super) fn to_read(
        &self,
        mut tickets: Vec<(String, Kind)>,
        now: Mono,
    ) -> Vec<(String, Kind)> {
        let unread = &mut self.seen().unread;
        let waiting: BTreeSet<&String> = tickets.iter().map(|(id, _)| id).collect();
        unread.retain(|id, _| waiting.contains(id));
        tickets.retain(|(id, _)| unread.get(id).is_none_or(|(_, until)| *until <= now));
        tickets
    }

    /// It was asked for, and there was no answer.
    pub(super) fn was_not_read(&self, id: &str, now: Mono) {
        let unread = &mut self.seen().unread;
        let pause = unread.get(id).map_or(UNREAD_PAUSE, |(pause, _)| *pause * 2);
        let pause = pause.min(UNREAD_PAUSE_MAX);
        unread.insert(id.to_owned(), (pause, now.plus(pause)));
    }

    /// Has anything been stored since the last look, or is that long ago?
    pub(super) fn is_due(&self, outside: &Outside) -> bool {
        let events = *outside.views.events_stored.borrow();
        let now = outside.clock.now().mono;
        let mut seen = self.seen();
        let old = seen.at.is_none_or(|at| now.since(at) >= LOOK_EVERY);
        seen.looking = Some((events, now));
        old || seen.events != Some(events)
    }

    /// A look has ended well.
    pub(super) fn looked(&self) {
        let mut seen = self.seen();
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
        if self.seen().waiting == Some(waiting) {
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
                self.seen().waiting = Some(waiting);
            }
            Err(error) => tracing::debug!(sync = %plan.name, %error, "credit was not published"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_does_not_keep_others_from_being_read() {
        let line = Line::default();
        let both = || vec![("1".to_owned(), Kind::Incident), ("2".to_owned(), Kind::Incident)];
        let ids = |now| -> Vec<String> {
            line.to_read(both(), now).into_iter().map(|(id, _)| id).collect()
        };
        let mut now = Mono(0);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(ids(now), ["1", "2"]);
            line.was_not_read("1", now);
            assert_eq!(ids(now), ["2"]);
            let before = now;
            while ids(now).len() < 2 {
                now = now.plus(Duration::from_secs(10));
            }
            pauses.push(now.since(before).as_secs());
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600]);
        // It was read, or taken otherwise: it waits no more, and begins anew.
        line.was_not_read("1", now);
        line.to_read(Vec::new(), now);
        assert_eq!(ids(now), ["1", "2"]);
    }
}
