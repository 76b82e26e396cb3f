//! Snapshots: a source names all its active alarms, between two marks (CONTRACT 1.3).

use super::{AlarmEvent, CANARY_SOURCE, TestAlarm, Timestamp};
use serde::{Deserialize, Serialize};

/// What a message on an alarm queue says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An alarm event.
    Alarm(Box<AlarmEvent>),
    /// A snapshot begins or ends.
    Mark(Mark),
    /// The canary's test alarm.
    Test(TestAlarm),
}

impl Said {
    /// The alarm system.
    pub fn source(&self) -> &str {
        match self {
            Self::Alarm(event) => &event.alarm.source,
            Self::Mark(mark) => &mark.source,
            Self::Test(_) => CANARY_SOURCE,
        }
    }
}

impl From<AlarmEvent> for Said {
    fn from(event: AlarmEvent) -> Self {
        Self::Alarm(Box::new(event))
    }
}

/// The beginning or the end of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose alarms.
    pub source: String,
    /// Which pass: its end names the same as its beginning.
    pub pass: String,
    /// Its end; else its beginning.
    pub ends: bool,
    /// When, by the source's clock, where it says.
    pub at: Option<Timestamp>,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Its alarms are coming in.
    Open,
    /// It has ended, and what it did not name is being taken as cleared.
    Clearing {
        /// Rows up to this number are done.
        after: u64,
    },
    /// It is over.
    Done,
    /// Not all of it could be read: nothing was taken as cleared.
    Torn,
}

/// The newest snapshot of a source, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose.
    pub source: String,
    /// Grows with each snapshot of the source; alarms remember the last one that named them.
    pub number: u64,
    /// What its sender calls it.
    pub pass: String,
    /// When it began, by our clock.
    pub begun_at: Timestamp,
    /// When it began, by the source's clock, where it says.
    pub at: Option<Timestamp>,
    /// When its end came.
    pub ended_at: Option<Timestamp>,
    /// How far it is.
    pub state: Pass,
    /// Messages of the source that could not be read since it began. With one of them absence says
    /// nothing any more.
    pub unread: u64,
    /// Alarms that were taken as cleared.
    pub cleared: u64,
}
