//! For tests and the simulator: a store in memory, a clock that is set by hand, ids that count.

mod clock;
mod memory;
pub mod mutants;
pub mod pair;
pub mod world;

pub use clock::{CountedIds, ManualClock};
pub use memory::{MemoryStore, Rows};

use crate::model::{
    AlarmEvent, AlarmRef, AlarmState, Details, Fields, Severity, Timestamp, Wishes,
};

/// A moment in milliseconds.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A plain raise.
pub fn alarm_event(source: &str, id: &str) -> AlarmEvent {
    AlarmEvent {
        alarm: AlarmRef { source: source.into(), id: id.into() },
        state: AlarmState::Raised,
        changed_at: Some(at(1_000)),
        details: Details {
            severity: Some(Severity::Major),
            raised_at: at(1_000),
            object: "tx/1".into(),
            object_name: None,
            alarm_type: None,
            probable_cause: None,
            specific_problem: None,
            text: Some("loss of signal".into()),
            value: None,
            properties: Fields::new(),
            wishes: Wishes::default(),
        },
        body_hash: 1,
    }
}
