//! Requests: what was accepted, and how far it is on its way to a backend.

use super::{
    AlarmRef, BackendId, CommandId, Fields, OccurrenceRef, Reply, RequestId, Story, TicketError,
    TicketKey, Timestamp,
};
use serde::{Deserialize, Serialize};

/// What a request does to its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Make it.
    Create,
    /// Set fields.
    Update,
    /// Close it.
    Close,
    /// Open it again.
    Reopen,
}

impl Op {
    /// The word on faces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Close => "close",
            Self::Reopen => "reopen",
        }
    }
}

/// Who wanted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// The level of an alarm: freezes at its intent, may be superseded before.
    Level {
        /// Which occurrence.
        at: OccurrenceRef,
        /// The version that it takes care of.
        version: u64,
    },
    /// A command: frozen at acceptance, never superseded.
    Command {
        /// The sender's idempotency key.
        id: CommandId,
        /// How its sender wants to be answered.
        #[serde(default)]
        reply: Reply,
    },
    /// A sync: what the other side has, or must have; freezes at its intent.
    Sync {
        /// Which.
        name: String,
    },
}

/// How far a request is. The picture is in docs/rules.md, "States of a request".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Durable, waiting for its turn.
    Accepted,
    /// The next call is about to be made, or is being made.
    Intent,
    /// The backend took it and answers later; holds its ticket, not its lane.
    Acknowledged,
    /// Not done for sure; waits for its next attempt.
    Wait,
    /// Nobody knows whether it was done; being found out.
    InDoubt,
    /// Cannot be found out: a person must say.
    Undecided,
    /// Done.
    Done,
    /// The ticket was found at the backend instead of made.
    Adopted,
    /// The backend said no.
    Rejected,
    /// Retries spent. Final; only a person retries it.
    Failed,
    /// A person dropped it.
    Cancelled,
    /// A newer level made it unnecessary before its intent.
    Superseded,
}

impl State {
    /// Every state, in the order of the picture.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Intent,
        Self::Acknowledged,
        Self::Wait,
        Self::InDoubt,
        Self::Undecided,
        Self::Done,
        Self::Adopted,
        Self::Rejected,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
    ];
    /// The word on faces and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Intent => "intent",
            Self::Acknowledged => "acknowledged",
            Self::Wait => "wait",
            Self::InDoubt => "in_doubt",
            Self::Undecided => "undecided",
            Self::Done => "done",
            Self::Adopted => "adopted",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
    /// The state by its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
    /// Is there nothing more to come?
    pub fn ended(self) -> bool {
        matches!(
            self,
            Self::Done
                | Self::Adopted
                | Self::Rejected
                | Self::Failed
                | Self::Cancelled
                | Self::Superseded
        )
    }
}

/// What is known of a doubt, and when it is looked at next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When the answer was missed.
    pub since: Timestamp,
    /// What was seen instead of an answer.
    pub reason: String,
    /// Looks so far that found nothing.
    pub absent_looks: u32,
    /// The earliest time of the next look or send: settling is over then.
    pub look_at: Timestamp,
}

/// A request as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Order of acceptance, given by the store; 0 before.
    #[serde(skip)]
    pub n: u64,
    /// Its name.
    pub id: RequestId,
    /// Whose lane.
    pub backend: BackendId,
    /// Which ticket.
    pub ticket: TicketKey,
    /// What to do.
    pub op: Op,
    /// How far.
    pub state: State,
    /// For whom.
    pub made_by: MadeBy,
    /// The business fields; final once frozen.
    pub fields: Fields,
    /// Fields may no longer change: it was, or may have been, sent.
    pub frozen: bool,
    /// Calls that were intended so far.
    pub attempts: u32,
    /// Attempts that the backend answered as retryable (these are limited by `retries`).
    pub refusals: u32,
    /// Not before this time.
    pub ready_at: Timestamp,
    /// Set while in doubt or undecided, and while a create is sent again of which an earlier call
    /// may have been done.
    pub doubt: Option<Doubt>,
    /// It was in doubt at least once: a create may then have been done twice.
    #[serde(default)]
    pub doubted: bool,
    /// The backend took it at least once: a later answer is to come, or has come.
    #[serde(default)]
    pub taken: bool,
    /// Theirs, under which the later answer comes.
    #[serde(default)]
    pub backend_ref: Option<String>,
    /// Which of its calls, counted by `attempts`, they gave that for; 0: not known.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub backend_ref_of: u32,
    /// The backend's service that it was accepted for; none: there was no table of them then.
    #[serde(default)]
    pub service: Option<String>,
    /// The failed request that a person had done again by this one.
    #[serde(default)]
    pub retry_of: Option<RequestId>,
    /// The request by which a person had this failed one done again.
    #[serde(default)]
    pub retried_by: Option<RequestId>,
    /// The last error, for people and for the failure event.
    pub error: Option<TicketError>,
    /// When.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Step by step.
    pub story: Story,
}

fn is_none_of_them(call: &u32) -> bool {
    *call == 0
}

impl Request {
    /// A request that has just been accepted, in line behind all others of its ticket. A command's
    /// fields are final from now on; a level's may still change until it is sent.
    pub fn accepted(
        id: RequestId,
        (backend, ticket): (BackendId, TicketKey),
        op: Op,
        made_by: MadeBy,
        fields: Fields,
        now: Timestamp,
    ) -> Self {
        Self {
            n: 0,
            id,
            backend,
            ticket,
            op,
            state: State::Accepted,
            frozen: matches!(made_by, MadeBy::Command { .. }),
            made_by,
            fields,
            attempts: 0,
            refusals: 0,
            ready_at: now,
            doubt: None,
            doubted: false,
            taken: false,
            backend_ref: None,
            backend_ref_of: 0,
            service: None,
            retry_of: None,
            retried_by: None,
            error: None,
            accepted_at: now,
            ended_at: None,
            story: Story::default(),
        }
    }

    /// The alarm that made it; none if a command did.
    pub fn alarm(&self) -> Option<&AlarmRef> {
        match &self.made_by {
            MadeBy::Level { at, .. } => Some(&at.alarm),
            MadeBy::Command { .. } | MadeBy::Sync { .. } => None,
        }
    }
}
