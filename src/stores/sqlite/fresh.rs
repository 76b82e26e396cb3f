//! Events that were just committed, handed to the outbox without being read back: under load every ticket
//! would cost a read of its own.
//!
//! Always: what is handed out is committed and was not handed out by here before. It is a short cut and no
//! truth: whoever asks from before where it begins is left to the tables.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use ticketgate_actors::model::TicketEvent;

/// Events that wait here at the most. An outbox that does not come for them (no broker) reads them later.
const WAITING: usize = 256;

/// What the transaction at work has to tell once it is committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    events: Vec<TicketEvent>,
    /// Of the set at work.
    set: Vec<TicketEvent>,
    /// What waits is not to be believed any more.
    forget: bool,
}

impl Group {
    /// The set at work has stored this event.
    pub(super) fn add(&mut self, event: TicketEvent) {
        self.set.push(event);
    }

    /// The set at work stands.
    pub(super) fn stands(&mut self) {
        self.events.append(&mut self.set);
    }

    /// The set at work was undone.
    pub(super) fn undone(&mut self) {
        self.set.clear();
    }

    /// The whole transaction was undone, or a new one begins.
    pub(super) fn begin(&mut self) {
        self.set.clear();
        self.events.clear();
    }

    /// Events went, or somebody else has written. Holds even if this transaction is undone.
    pub(super) fn forget(&mut self) {
        self.forget = true;
    }

    /// It is committed.
    pub(super) fn committed(&mut self, fresh: &Fresh) {
        if std::mem::take(&mut self.forget) {
            fresh.forget();
        }
        fresh.committed(std::mem::take(&mut self.events));
    }
}

/// The events that were committed last.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// All events from after this number on are here; none: nothing is known of any.
    from: Option<u64>,
    events: VecDeque<TicketEvent>,
}

impl Fresh {
    /// These were committed, in the order of their numbers.
    pub(super) fn committed(&self, events: Vec<TicketEvent>) {
        let Some(first) = events.first() else { return };
        let mut waiting = self.lock();
        let before = first.n.saturating_sub(1);
        waiting.from.get_or_insert(before);
        waiting.events.extend(events);
        if waiting.events.len() > WAITING {
            waiting.from = waiting.events.back().map(|last| last.n);
            waiting.events.clear();
        }
    }

    /// Nothing that is here counts any more: somebody else may have changed it.
    pub(super) fn forget(&self) {
        *self.lock() = Waiting::default();
    }

    /// The first of them from after that number, which are here no more then; none: the tables know.
    pub(super) fn take(&self, after: u64, limit: u32) -> Option<Vec<TicketEvent>> {
        let mut waiting = self.lock();
        waiting.from.filter(|from| *from <= after)?;
        let old = waiting.events.partition_point(|event| event.n <= after);
        waiting.events.drain(..old);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(waiting.events.len());
        let taken: Vec<_> = waiting.events.drain(..limit).collect();
        waiting.from = Some(taken.last().map_or(after, |last| last.n));
        Some(taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Each change of it is whole: what panicked while it held it has left nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticketgate_actors::model::{BackendId, EventId, TestAlarm, Timestamp};
    use uuid::Uuid;

    fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<TicketEvent> {
        let (backend, round) = (BackendId::new("noc"), Uuid::from_u128(1));
        let test = TestAlarm { node: "node-1".to_owned(), backend, round };
        let event = |n| test.event(EventId(Uuid::from_u128(n)), Timestamp::default());
        numbers.into_iter().map(|n| TicketEvent { n, ..event(n.into()) }).collect()
    }

    fn taken(fresh: &Fresh, after: u64, limit: u32) -> Option<Vec<u64>> {
        Some(fresh.take(after, limit)?.iter().map(|event| event.n).collect())
    }

    #[test]
    fn each_event_is_handed_out_once_and_what_came_before_is_left_to_the_tables() {
        let fresh = Fresh::default();
        assert_eq!(taken(&fresh, 0, 10), None);
        fresh.committed(events([7, 8, 10]));
        // 1 to 6 may wait there.
        assert_eq!(taken(&fresh, 5, 10), None);
        assert_eq!(taken(&fresh, 6, 2), Some(vec![7, 8]));
        // An outbox that begins anew.
        assert_eq!(taken(&fresh, 0, 10), None);
        assert_eq!(taken(&fresh, 8, 10), Some(vec![10]));
        assert_eq!(taken(&fresh, 10, 10), Some(vec![]));
        fresh.committed(events([11, 12]));
        // It has read 11 from the tables.
        assert_eq!(taken(&fresh, 11, 10), Some(vec![12]));
    }

    #[test]
    fn what_nobody_comes_for_is_left_to_the_tables() {
        let fresh = Fresh::default();
        let many = u64::try_from(WAITING).unwrap() + 1;
        fresh.committed(events(1..=many));
        assert_eq!(taken(&fresh, 0, 10), None);
        assert_eq!(taken(&fresh, many, 10), Some(vec![]));
        fresh.committed(events([many + 1]));
        fresh.forget();
        assert_eq!(taken(&fresh, many, 10), None);
    }

    #[test]
    fn only_what_stands_is_told_and_only_when_it_is_committed() {
        let (fresh, mut group) = (Fresh::default(), Group::default());
        let add = |group: &mut Group, n| events([n]).into_iter().for_each(|it| group.add(it));
        add(&mut group, 1);
        group.stands();
        add(&mut group, 2);
        group.undone();
        assert_eq!(taken(&fresh, 0, 10), None);
        group.committed(&fresh);
        assert_eq!(taken(&fresh, 0, 10), Some(vec![1]));
        group.begin();
        add(&mut group, 2);
        group.stands();
        group.begin();
        group.committed(&fresh);
        assert_eq!(taken(&fresh, 1, 10), Some(vec![]));
        group.forget();
        group.committed(&fresh);
        assert_eq!(taken(&fresh, 1, 10), None);
    }
}
