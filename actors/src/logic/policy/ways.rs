//! How the tickets of some alarms are treated: `[policy]` says it for all, a rule for its own.

use crate::logic::expression::Template;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What happens when an alarm is cleared before its ticket was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearedFirst {
    /// The ticket is made and closed: every alarm leaves a trace in the ticketing system.
    #[default]
    Create,
    /// No ticket.
    Skip,
}

/// What a clear does to the ticket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClear {
    /// Close it.
    #[default]
    Close,
    /// Set its field `status` to `resolved`: somebody at the ticketing system closes it.
    Resolve,
    /// Set its fields, with a `note` that the alarm is cleared, and leave it open.
    Note,
    /// Set its fields (the level says `cleared`) and leave it open.
    Update,
    /// Leave it alone.
    Nothing,
}

impl OnClear {
    /// Is the ticket updated, rather than closed or left alone?
    pub fn updates(self) -> bool {
        matches!(self, Self::Resolve | Self::Note | Self::Update)
    }
}

/// What a new occurrence of an alarm does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaisedAgain {
    /// A new ticket.
    #[default]
    New,
    /// The ticket of the occurrence before is opened again.
    Reopen,
}

/// What the next change of an alarm does when a person has closed its ticket meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonClosed {
    /// The person has the last word.
    #[default]
    Leave,
    /// The ticket is opened again.
    Reopen,
    /// The alarm gets another ticket.
    New,
}

/// A field of the ticket that the config adds, or puts in place of ours.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// Always this.
    Fixed(Value),
    /// Text with expressions; where it comes out empty, the ticket has no such field.
    Written(Template),
}

/// No more tickets than so many within so long, a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// Tickets.
    pub tickets: u32,
    /// Within this time.
    pub within: Duration,
}

/// How the tickets of some alarms are treated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ways {
    /// Search the backend for the correlation key before a create.
    pub search_first: bool,
    /// Cleared before its ticket was made.
    pub cleared_first: ClearedFirst,
    /// What a clear does.
    pub on_clear: OnClear,
    /// What a new occurrence does.
    pub raised_again: RaisedAgain,
    /// Raised again within this time after its clear, it goes on with the ticket that it had.
    pub flapping: Duration,
    /// What a change does after a person has closed the ticket.
    pub person_closed: PersonClosed,
    /// May we close tickets that we found and did not make?
    pub close_adopted: bool,
    /// From an alarm's first event to its create.
    pub create_delay: Duration,
    /// From a change to the update.
    pub update_delay: Duration,
    /// From the clear to the close; of several alarms, from the last one's.
    pub close_delay: Duration,
    /// Changes of these fields of the alarm cause an update; none: of all but `properties`.
    pub update_on: Option<Arc<[String]>>,
    /// Fields of the ticket besides, or in place of, ours.
    pub fields: Arc<[(String, FieldValue)]>,
}
