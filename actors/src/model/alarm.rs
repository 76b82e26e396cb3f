//! Alarms: the event as it came in, and the occurrence that it belongs to.

use super::{BackendId, Fields, Kind, Origin, RequestId, Story, TicketKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An alarm's name: its source, and its root id there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmRef {
    /// The alarm system.
    pub source: String,
    /// The alarm's root id, unique within its source, kept through updates and clear.
    pub id: String,
}

impl fmt::Display for AlarmRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.id)
    }
}

/// One occurrence of an alarm: from its raise to its clear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OccurrenceRef {
    /// The alarm.
    pub alarm: AlarmRef,
    /// `raised_at` in milliseconds of the event that opened it, or the last + 1.
    pub occurrence: u64,
}

/// What an event says of its alarm. The order is the rank among events of equal age
/// (CONTRACT 1.3): cleared over updated over raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmState {
    /// It began.
    Raised,
    /// It goes on, with other details.
    Updated,
    /// It ended.
    Cleared,
}

impl AlarmState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Updated => "updated",
            Self::Cleared => "cleared",
        }
    }
}

/// X.733 severities without `cleared`, which is a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Service is down.
    Critical,
    /// Service is degraded, urgent.
    Major,
    /// A fault without effect on service.
    Minor,
    /// A fault may come.
    Warning,
    /// The source cannot say.
    Indeterminate,
}

impl Severity {
    /// Every severity, gravest first.
    pub const ALL: [Self; 5] =
        [Self::Critical, Self::Major, Self::Minor, Self::Warning, Self::Indeterminate];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Warning => "warning",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// What an alarm system may ask of its ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wishes {
    /// The backend to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendId>,
    /// Incident, change or problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Fields that override what the policy fills in.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

/// What is known of an alarm's nature, in the words of X.733 and TMF642.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Absent only on a clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// When the alarm began, by its source.
    pub raised_at: Timestamp,
    /// The managed object.
    pub object: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// X.733 alarm type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_type: Option<String>,
    /// X.733 probable cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probable_cause: Option<String>,
    /// X.733 specific problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specific_problem: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The measured value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Free properties.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub properties: Fields,
    /// Wishes for the ticket.
    #[serde(default)]
    pub wishes: Wishes,
}

/// One checked alarm event.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmEvent {
    /// Whose event.
    pub alarm: AlarmRef,
    /// Raised, updated or cleared.
    pub state: AlarmState,
    /// When the source changed it; absent: see CONTRACT 1.3.
    pub changed_at: Option<Timestamp>,
    /// Everything else.
    pub details: Details,
    /// First eight bytes of the body's SHA-256: the last tie-break between events of equal age.
    pub body_hash: u64,
}

/// What names one delivery of an event: its message id or CloudEvents id with its source, else a
/// hash of its body; always folded to 16 bytes of SHA-256, so that it has one length in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 16]);

/// One occurrence of an alarm, as stored: its level, and what it wants of its ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Which occurrence of which alarm.
    #[serde(flatten)]
    pub at: OccurrenceRef,
    /// Still raised?
    pub active: bool,
    /// The newest event's age and tie-breaks.
    pub changed_at: Timestamp,
    /// When the newest event arrived here; the default where it was not written down yet.
    #[serde(default)]
    pub heard_at: Timestamp,
    /// State of the newest event (tie-break).
    pub state: AlarmState,
    /// Body hash of the newest event (tie-break).
    pub body_hash: u64,
    /// The level. Shared, because an alarm is copied much more often than it changes.
    pub details: Arc<Details>,
    /// Grows with each event that changes what the ticket should say.
    pub wanted_version: u64,
    /// The version that the last ended decision or request took care of.
    pub settled_version: u64,
    /// Where policy sends it; none: no rule wants a ticket.
    pub backend: Option<BackendId>,
    /// Which kind of ticket.
    pub kind: Kind,
    /// Its ticket, once a create or an adoption was accepted.
    pub ticket: Option<TicketKey>,
    /// Tickets that a person took it off, oldest first: they stay as they are at their backends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<TicketKey>,
    /// The un-ended request made for this level.
    pub request: Option<RequestId>,
    /// A person wants no ticket for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_ticket: bool,
    /// A person took it off a ticket: it goes on with none of an occurrence before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_off: bool,
    /// By a rule of policy no ticket is made before this time, nor if it is over by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_until: Option<Timestamp>,
    /// The rule of policy that decided for it; none: no rule matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// With the others of that rule and group it shares a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// From its clear to the close, in milliseconds, as said when it was last raised or changed: a
    /// clear often says too little to find the rule.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub close_delay_ms: u64,
    /// From the clear of the occurrence before to the beginning of this one, by the source's clock, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_clear_ms: Option<u64>,
    /// That it is over was concluded from a snapshot that did not name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_as_cleared: bool,
    /// It waits for the end of a request that another alarm of its ticket has made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// When a flow should look at it; none: nothing to do.
    pub due_at: Option<Timestamp>,
    /// Number of tickets that this occurrence has been given (part of the correlation key).
    pub tickets_made: u32,
    /// Why it stands as it stands: the last decision in plain words.
    pub reason: Option<String>,
    /// First arrival of any event of this occurrence.
    pub first_seen: Timestamp,
    /// Events of this occurrence that were applied or found too old.
    pub arrivals: u64,
    /// Step by step.
    pub story: Story,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Tickets that an alarm was taken off and that are still told of: the newest. Nobody does that often.
const LEFT_MAX: usize = 8;

impl Alarm {
    /// A person took it off this ticket.
    pub fn leave(&mut self, ticket: TicketKey) {
        self.left.retain(|before| *before != ticket);
        if self.left.len() >= LEFT_MAX {
            self.left.remove(0);
        }
        self.left.push(ticket);
    }

    /// From its clear to the close of its ticket.
    pub fn close_delay(&self) -> Duration {
        Duration::from_millis(self.close_delay_ms)
    }

    /// Gives it another ticket, or none. Its level as it is now counts as taken care of; a flow that
    /// has read it before decides again, since its version has moved.
    pub fn take_care_of(&mut self, ticket: Option<TicketKey>) {
        self.ticket = ticket;
        self.tickets_made += u32::from(ticket.is_some());
        self.no_ticket = false;
        self.waits = false;
        // What a person decides is not undone by the rule that had put it among others.
        if !mutant!(BackToItsGroup) {
            self.group = None;
        }
        self.wanted_version += 1;
        self.settled_version = self.wanted_version;
        self.due_at = None;
    }

    /// Where the next ticket that is made for it comes from.
    pub fn next_origin(&self) -> Origin {
        let number = self.tickets_made + 1;
        match (&self.rule, &self.group) {
            (Some(rule), Some(value)) => Origin::Group {
                rule: rule.clone(),
                value: value.clone(),
                first: self.at.clone(),
                number,
            },
            _ => Origin::Alarm { at: self.at.clone(), number },
        }
    }

    /// When work that is left after a request's end is due: a close waits as after any clear.
    pub fn due_after(&self, end: Timestamp) -> Option<Timestamp> {
        let due = if self.active { end } else { end.plus(self.close_delay()) };
        self.unsettled().then_some(due)
    }

    /// Is there a difference that makes work?
    pub fn unsettled(&self) -> bool {
        self.wanted_version > self.settled_version
    }
}
