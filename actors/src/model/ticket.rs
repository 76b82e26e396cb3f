//! Tickets: ours by `key`, theirs by `backend_id`.

use super::{BackendId, CorrelationKey, Fields, OccurrenceRef, Story, TicketKey, Timestamp};
use serde::{Deserialize, Serialize};

/// ITIL's three kinds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something is broken.
    #[default]
    Incident,
    /// Something is to be changed.
    Change,
    /// Why things break.
    Problem,
}

impl Kind {
    /// The word on the wire and in routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Change => "change",
            Self::Problem => "problem",
        }
    }
}

/// TMF621's ticket states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TicketStatus {
    /// The backend has it.
    Acknowledged,
    /// The backend refused it, or its creation failed for good.
    Rejected,
    /// Accepted here, not yet known at the backend; or waiting there.
    Pending,
    /// Work on it is suspended.
    Held,
    /// Somebody works on it.
    InProgress,
    /// Withdrawn.
    Cancelled,
    /// Done and verified.
    Closed,
    /// Solved.
    Resolved,
}

impl TicketStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::InProgress => "inProgress",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Resolved => "resolved",
        }
    }
    /// The status by its word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Acknowledged,
            Self::Rejected,
            Self::Pending,
            Self::Held,
            Self::InProgress,
            Self::Cancelled,
            Self::Closed,
            Self::Resolved,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }
    /// Will nobody work on it any more?
    pub fn ended(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled | Self::Closed | Self::Resolved)
    }
}

/// Where a ticket comes from: hashed into its correlation key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The nth ticket of one occurrence of an alarm.
    Alarm {
        /// Which occurrence.
        at: OccurrenceRef,
        /// 1, unless a policy or a person asked for another.
        number: u32,
    },
    /// Alarms that share it by a rule of policy.
    Group {
        /// The rule.
        rule: String,
        /// What they have in common.
        value: String,
        /// The first of them.
        first: OccurrenceRef,
        /// 1, unless a policy or a person asked for another.
        number: u32,
    },
    /// A command, by its sender's id.
    Command {
        /// The command's id.
        id: String,
    },
    /// A sync: the other side had it first.
    Sync {
        /// Which sync.
        sync: String,
        /// The ticket, by their id.
        id: String,
    },
}

/// A ticket as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Ours.
    pub key: TicketKey,
    /// Which system holds it.
    pub backend: BackendId,
    /// Incident, change or problem.
    pub kind: Kind,
    /// What we write into the backend to find it again.
    pub correlation_key: CorrelationKey,
    /// What it was made for.
    pub origin: Origin,
    /// Theirs; none until known.
    pub backend_id: Option<String>,
    /// Where people look at it.
    pub url: Option<String>,
    /// In TMF621's words.
    pub status: TicketStatus,
    /// In theirs.
    pub backend_status: Option<String>,
    /// The fields as last written or read.
    pub fields: Fields,
    /// Number of its last event, from 1; 0: none yet.
    pub sequence: u64,
    /// Found at the backend, not made by us.
    pub adopted: bool,
    /// It is known here only because somebody has linked an alarm to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_linked: bool,
    /// The ticket that its group had when this one was begun: that was being closed, and is open still if
    /// its close was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_beside: Option<TicketKey>,
    /// A later answer of a request that has ended may yet come: what names only this ticket's key
    /// may mean that one.
    #[serde(default)]
    pub answers_astray: bool,
    /// A sync keeps it in step with another side.
    #[serde(default)]
    pub synced: bool,
    /// When its fields last changed, on whichever side: the more recent side of a merge wins.
    #[serde(default)]
    pub edited_at: Timestamp,
    /// Grows with each change that its history tells of.
    #[serde(default)]
    pub version: u64,
    /// When its first request was accepted.
    pub accepted_at: Timestamp,
    /// When it last changed here.
    pub changed_at: Timestamp,
    /// The node where it was made.
    pub home_node: String,
    /// Step by step.
    pub story: Story,
}

impl Ticket {
    /// When its fields last changed, as far as is known.
    pub fn edited(&self) -> Timestamp {
        if self.edited_at == Timestamp::default() { self.changed_at } else { self.edited_at }
    }

    /// Is it there? A partner's ticket is ours until its connector fetches it, and has no id of theirs
    /// before.
    pub fn is_made(&self) -> bool {
        let never = [TicketStatus::Pending, TicketStatus::Rejected, TicketStatus::Cancelled];
        self.backend_id.is_some() || !never.contains(&self.status)
    }

    /// A ticket that is to be made, and is not known to its backend yet.
    pub fn pending(
        key: TicketKey,
        (backend, kind): (BackendId, Kind),
        correlation_key: CorrelationKey,
        origin: Origin,
        home_node: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            key,
            backend,
            kind,
            correlation_key,
            origin,
            backend_id: None,
            url: None,
            status: TicketStatus::Pending,
            backend_status: None,
            fields: Fields::new(),
            sequence: 0,
            adopted: false,
            only_linked: false,
            begun_beside: None,
            answers_astray: false,
            synced: false,
            edited_at: now,
            version: 0,
            accepted_at: now,
            changed_at: now,
            home_node: home_node.to_owned(),
            story: Story::default(),
        }
    }
}

/// A ticket as a backend shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Theirs.
    pub backend_id: String,
    /// Our key in it, where the backend gave it back.
    pub correlation_key: Option<String>,
    /// Where people look at it.
    pub url: Option<String>,
    /// Mapped to TMF621, where the description maps it.
    pub status: Option<TicketStatus>,
    /// Their own word.
    pub backend_status: Option<String>,
    /// Fields, by the names that we use.
    pub fields: Fields,
    /// When it last changed, on the backend's clock, where the answer says it.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
    /// The answer says that it is not there any more.
    #[serde(default)]
    pub deleted: bool,
}
