//! A heartbeat: what a program says of itself at every interval (CONTRACT 1.6).

use super::{EventId, Fields, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How its sender says that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeatStatus {
    /// All is well.
    #[default]
    Ok,
    /// It lives, and something in it does not get on.
    Degraded,
}

impl BeatStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
        }
    }
}

/// One beat.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Who beats; the name never changes.
    pub origin: String,
    /// New with each start of its sender.
    pub boot_id: Uuid,
    /// Grows by one with each beat of a boot.
    pub sequence: u64,
    /// On its sender's wall clock, which may be wrong and may jump.
    pub sent_at: Timestamp,
    /// When the next one is due.
    pub interval: Duration,
    /// Its sender's own word.
    pub status: BeatStatus,
    /// Free: lanes, queue depths, last success per backend.
    pub detail: Fields,
}

impl Beat {
    /// The message's id. Follows from boot and sequence, so that a repeat has the same one.
    pub fn event_id(&self) -> EventId {
        EventId(Uuid::from_u128(self.boot_id.as_u128() ^ u128::from(self.sequence)))
    }
}
