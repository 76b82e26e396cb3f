//! What subscribers hear: ticket events and write-backs (CONTRACT 1.4).

use super::{
    AlarmRef, BackendId, CommandId, CorrelationKey, EventId, Fields, Kind, Reply, RequestId,
    Ticket, TicketError, TicketKey, TicketStatus, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The names of ticket events. The list may grow; subscribers accept names they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// Made at the backend.
    Created,
    /// Found at the backend, not made.
    Adopted,
    /// Fields were set.
    Updated,
    /// It was closed.
    Closed,
    /// It was opened again.
    Reopened,
    /// The backend said no.
    Rejected,
    /// Retries spent: final, never per attempt.
    Failed,
    /// An answer was missed: being found out.
    InDoubt,
    /// It cannot be found out: a person must say.
    Undecided,
    /// A person dropped it.
    Cancelled,
    /// More than one ticket carries the correlation key.
    DuplicateDetected,
    /// Both sides of a sync are equal.
    Verified,
    /// The two sides of a sync differed, and were merged.
    Merged,
    /// Both sides had changed a field of which neither is the master; what was kept is said.
    Conflict,
    /// The other side of a sync has it no more.
    Deleted,
    /// A test alarm has come to the end of its way. Of no ticket, and on no list.
    Canary,
}

impl EventName {
    /// The word on the wire and in routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Updated => "updated",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::InDoubt => "in_doubt",
            Self::Undecided => "undecided",
            Self::Cancelled => "cancelled",
            Self::DuplicateDetected => "duplicate_detected",
            Self::Verified => "verified",
            Self::Merged => "merged",
            Self::Conflict => "conflict",
            Self::Deleted => "deleted",
            Self::Canary => "canary",
        }
    }
    /// Does the alarm's own system need to hear of it? A write-back carries the ticket's id, link
    /// and state; a doubt is none of the alarm console's business until it ends.
    pub fn written_back(self) -> bool {
        !matches!(
            self,
            Self::InDoubt
                | Self::DuplicateDetected
                | Self::Verified
                | Self::Conflict
                | Self::Canary
        )
    }
}

/// The ticket as an event shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketView {
    /// Ours.
    pub key: TicketKey,
    /// Which system.
    pub backend: BackendId,
    /// Theirs.
    pub backend_id: Option<String>,
    /// Incident, change or problem.
    pub kind: Kind,
    /// In TMF621's words.
    pub status: TicketStatus,
    /// In theirs.
    pub backend_status: Option<String>,
    /// Where people look at it.
    pub url: Option<String>,
    /// Fields as last written.
    pub fields: Fields,
    /// Where it was made.
    pub home_node: String,
}

impl From<&Ticket> for TicketView {
    fn from(ticket: &Ticket) -> Self {
        Self {
            key: ticket.key,
            backend: ticket.backend.clone(),
            backend_id: ticket.backend_id.clone(),
            kind: ticket.kind,
            status: ticket.status,
            backend_status: ticket.backend_status.clone(),
            url: ticket.url.clone(),
            fields: ticket.fields.clone(),
            home_node: ticket.home_node.clone(),
        }
    }
}

/// One stored ticket event. Its write-backs follow from it, one per alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketEvent {
    /// Place in the outbox, given by the store; 0 before.
    #[serde(skip)]
    pub n: u64,
    /// Stable across re-publication.
    pub event_id: EventId,
    /// What happened.
    pub event: EventName,
    /// When.
    pub at: Timestamp,
    /// Per ticket, from 1.
    pub sequence: u64,
    /// Which request; none: it comes from a sync.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// Our key at the backend.
    pub correlation_key: CorrelationKey,
    /// All linked alarms; the first is the one that the ticket was made for.
    pub alarms: Vec<AlarmRef>,
    /// The ticket then.
    pub ticket: TicketView,
    /// On failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TicketError>,
    /// The command that made it, and how its sender is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<(CommandId, Reply)>,
    /// Of a conflict: the fields that both sides had changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// A field that both sides of a sync had changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Which.
    pub field: String,
    /// What it was here.
    pub ours: serde_json::Value,
    /// What it was there.
    pub theirs: serde_json::Value,
    /// Whose value was kept.
    pub kept: super::Side,
}

/// What an alarm's own system hears of its ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteBack {
    /// Derived from the event's id and the alarm's place in it, so that it is stable too.
    pub event_id: EventId,
    /// Whose.
    pub alarm: AlarmRef,
    /// Ours.
    pub key: TicketKey,
    /// Which system.
    pub backend: BackendId,
    /// Theirs.
    pub backend_id: Option<String>,
    /// In TMF621's words.
    pub status: TicketStatus,
    /// Where people look at it.
    pub url: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl TicketEvent {
    /// The write-backs that belong to this event, one per linked alarm (CONTRACT 1.4).
    pub fn write_backs(&self) -> Vec<WriteBack> {
        if !self.event.written_back() {
            return Vec::new();
        }
        let stable = |alarm: &AlarmRef| {
            EventId(uuid::Uuid::from_u128(
                self.event_id.0.as_u128() ^ crate::logic::correlation::fold(alarm),
            ))
        };
        self.alarms
            .iter()
            .map(|alarm| WriteBack {
                event_id: stable(alarm),
                alarm: alarm.clone(),
                key: self.ticket.key,
                backend: self.ticket.backend.clone(),
                backend_id: self.ticket.backend_id.clone(),
                status: self.ticket.status,
                url: self.ticket.url.clone(),
                at: self.at,
            })
            .collect()
    }
}
