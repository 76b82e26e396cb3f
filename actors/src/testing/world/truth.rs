//! What must exist: from the generator's events, in the order in which they were committed. Knows
//! CONTRACT 1.3 and nothing of the code that is tested.

use crate::model::{AlarmEvent, AlarmState};
use std::collections::BTreeMap;

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
}

/// All alarms by their id.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub alarms: BTreeMap<String, Vec<Occurrence>>,
}

impl Truth {
    /// An event was committed for the first time.
    pub fn take(&mut self, event: &AlarmEvent) {
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
                return;
            }
            if last.active || cleared {
                last.events += 1;
                last.newest = age;
                last.active = !cleared;
                if event.details.text.is_some() {
                    last.text.clone_from(&event.details.text);
                }
                return;
            }
        }
        of.push(Occurrence {
            wants_ticket: !cleared,
            active: !cleared,
            text: event.details.text.clone(),
            events: 1,
            newest: age,
        });
    }
}
