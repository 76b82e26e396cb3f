//! What must exist: from the generator's events, in the order in which they were committed. Knows
//! CONTRACT 1.3 and nothing of the code that is tested.

use super::hand::Wishes;
use super::passes::{FIELD, Passes};
use crate::model::{AlarmEvent, AlarmState, TicketKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

type Age = (i64, u8, u64);

/// One occurrence that must be known.
#[derive(Debug)]
pub(super) struct Occurrence {
    /// It began with something else than a clear.
    pub wants_ticket: bool,
    pub active: bool,
    pub text: Option<String>,
    pub events: u64,
    newest: Age,
    /// That it is over was concluded from a snapshot.
    taken: bool,
}

/// All alarms by their id.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub alarms: BTreeMap<String, Vec<Occurrence>>,
    /// What people decided.
    pub by_hand: Wishes,
    /// Tickets to which, or off which, people have taken alarms.
    pub touched: BTreeSet<TicketKey>,
    /// What snapshots ask for.
    pub passes: Passes,
}

impl Truth {
    /// Active alarms of the source that sends snapshots.
    pub fn active_of_field(&self) -> BTreeSet<String> {
        let active = |of: &Vec<Occurrence>| of.last().is_some_and(|it| it.active);
        let ids = self.alarms.iter().filter(|(id, of)| id.starts_with('f') && active(of));
        ids.map(|(id, _)| id.clone()).collect()
    }

    /// An alarm was taken as cleared: a millisecond after its last event, by its source's clock.
    pub fn taken(&mut self, id: &str) {
        let of = self.alarms.get_mut(id).and_then(|of| of.last_mut());
        if let Some(last) = of {
            let at = last.newest.0 + 1_000_000;
            (last.active, last.taken, last.newest) = (false, true, (at, 2, 0));
            last.events += 1;
        }
    }

    /// A delivery of an event was committed; `repeat`: not for the first time.
    pub fn delivered(&mut self, event: &AlarmEvent, repeat: bool) {
        let field = event.alarm.source == FIELD;
        let id = event.alarm.id.clone();
        let cleared = event.state == AlarmState::Cleared;
        let open = self.passes.named.is_some();
        if let Some(named) = self.passes.named.as_mut().filter(|_| field) {
            named.insert(id.clone());
        }
        let last = self.alarms.get(&id).and_then(|of| of.last());
        let again = last.filter(|it| field && open && it.taken && !it.active && !cleared);
        let millisecond = again.map(|it| it.newest.0 + 1_000_000);
        if repeat && millisecond.is_none() {
            return;
        }
        let news = match millisecond {
            Some(at) => {
                let at = Some(Timestamp::from_nanos(at));
                self.take(&AlarmEvent { changed_at: at, ..event.clone() })
            }
            None => self.take(event),
        };
        if news && field {
            self.passes.to_clear.remove(&id);
        }
    }

    /// An event was committed for the first time. True: it is newer than what was known.
    fn take(&mut self, event: &AlarmEvent) -> bool {
        let rank = match event.state {
            AlarmState::Raised => 0,
            AlarmState::Updated => 1,
            AlarmState::Cleared => 2,
        };
        let at = event.changed_at.map_or(0, |at| at.as_nanos());
        let age: Age = (at, rank, event.body_hash);
        let cleared = event.state == AlarmState::Cleared;
        let of = self.alarms.entry(event.alarm.id.clone()).or_default();
        if let Some(last) = of.last_mut() {
            if age <= last.newest {
                last.events += 1;
                return false;
            }
            if last.active || cleared {
                last.events += 1;
                last.newest = age;
                last.active = !cleared;
                last.taken = false;
                if event.details.text.is_some() {
                    last.text.clone_from(&event.details.text);
                }
                return true;
            }
        }
        of.push(Occurrence {
            wants_ticket: !cleared,
            active: !cleared,
            text: event.details.text.clone(),
            events: 1,
            newest: age,
            taken: false,
        });
        true
    }
}
