//! Commands: what programs from outside ask for, and what they are told (CONTRACT 1.5).

use super::{
    AlarmRef, BackendId, ClientNumber, CommandId, Fence, Fields, Found, Kind, RequestId, TicketKey,
    TicketView, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// A place on the broker: an exchange (empty: the default one) and a routing key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The exchange; empty: the default one, where the key is a queue's name.
    #[serde(default)]
    pub exchange: String,
    /// The routing key.
    pub key: String,
}

/// How a sender wants to be answered on the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Where to; none: the route configured for the backend, if there is one.
    pub to: Option<Route>,
    /// Given back with every answer.
    pub correlation_id: Option<String>,
    /// The encoding of the command, which its answers share.
    pub content_type: String,
}

/// The lock that a command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockName {
    /// Which lock.
    pub guid: Uuid,
    /// Which grant of it.
    pub fence: Fence,
}

/// Which ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketName {
    /// By our key.
    Key(TicketKey),
    /// By theirs; the kind counts only where we do not know the ticket.
    Theirs(BackendId, String, Kind),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Make a ticket.
    Create {
        /// Where.
        backend: BackendId,
        /// Incident, change or problem.
        kind: Kind,
        /// Its fields.
        fields: Fields,
        /// The alarm that it is for.
        alarm: Option<AlarmRef>,
    },
    /// Set fields.
    Update {
        /// Of which ticket.
        ticket: TicketName,
        /// To what.
        fields: Fields,
    },
    /// Close a ticket.
    Close {
        /// Which.
        ticket: TicketName,
        /// Fields that are set at the same time.
        fields: Fields,
    },
    /// Read one ticket with all its fields.
    Query(TicketName),
    /// Find tickets.
    Search {
        /// Where.
        backend: BackendId,
        /// Of which kind.
        kind: Kind,
        /// Fields that must be equal.
        by: Fields,
        /// At most so many.
        limit: u32,
    },
    /// Take a ticket client.
    Acquire {
        /// Names the lock.
        guid: Uuid,
        /// For how long.
        timeout: Duration,
        /// How long to wait for a free one.
        wait: Duration,
        /// Who wants it, for people.
        holder: String,
    },
    /// Hold it for longer.
    Renew {
        /// Which lock.
        guid: Uuid,
        /// From now on.
        timeout: Duration,
    },
    /// Give it back.
    Release {
        /// Which lock.
        guid: Uuid,
    },
}

impl Order {
    /// The command's name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Close { .. } => "close",
            Self::Query(_) => "query",
            Self::Search { .. } => "search",
            Self::Acquire { .. } => "lock.acquire",
            Self::Renew { .. } => "lock.renew",
            Self::Release { .. } => "lock.release",
        }
    }
}

/// One checked command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its sender's idempotency key.
    pub id: CommandId,
    /// First 16 bytes of the SHA-256 of its canonical body: tells a repeat from another command
    /// under the same id.
    pub body_hash: [u8; 16],
    /// What is to be done.
    pub order: Order,
    /// The lock that it rests on, if it names one.
    pub lock: Option<LockName>,
    /// How to answer on the broker; none: the asker waits for the answer itself.
    pub reply: Option<Reply>,
}

/// What is kept of an accepted write command, for 90 days after its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The idempotency key.
    pub id: CommandId,
    /// See [`Command::body_hash`].
    pub body_hash: [u8; 16],
    /// What it became.
    pub request: RequestId,
    /// When.
    pub accepted_at: Timestamp,
}

/// An external lock as stored, so that it outlives the process (rule L4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLock {
    /// Names the lock.
    pub guid: Uuid,
    /// On which client.
    pub client: ClientNumber,
    /// Which grant.
    pub fence: Fence,
    /// What its holder asked for: given anew, in full, after a restart.
    pub timeout: Duration,
    /// Who holds it.
    pub holder: String,
}

/// The two answers to a write; everything else has only the final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Durable here, not yet known at the backend.
    Accepted,
    /// Nothing more will come.
    Final,
}

impl Stage {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Final => "final",
        }
    }
}

/// The closed list of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The command is wrong; `field` says where.
    Invalid,
    /// No backend has that name.
    UnknownBackend,
    /// No such ticket, alarm, command or lock.
    NotFound,
    /// The lock is not held any more.
    LockLost,
    /// The id was used for another command.
    IdReused,
    /// Accepted, waiting behind the request that `field` names. Not final.
    BlockedBy,
    /// Too much is waiting: later.
    Busy,
    /// The backend said no.
    Rejected,
    /// It did not succeed, and is not tried again.
    Failed,
    /// Its answer was lost; being found out. Not final.
    InDoubt,
    /// It cannot be found out: a person must say. Not final.
    Undecided,
    /// A person dropped it.
    Cancelled,
    /// Its time was over.
    Timeout,
}

impl Code {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::UnknownBackend => "unknown_backend",
            Self::NotFound => "not_found",
            Self::LockLost => "lock_lost",
            Self::IdReused => "id_reused",
            Self::BlockedBy => "blocked_by",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::InDoubt => "in_doubt",
            Self::Undecided => "undecided",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }
}

/// Why a command did not do what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// One of the closed list.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The field at fault; for [`Code::BlockedBy`] the request in front.
    pub field: Option<String>,
}

impl CommandError {
    /// An error.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }
    /// An error of a field.
    pub fn of(field: &str, code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: Some(field.to_owned()) }
    }
}

/// A lock that a script holds, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Which ticket client.
    pub client: ClientNumber,
    /// Names the lock.
    pub guid: Uuid,
    /// Which grant.
    pub fence: Fence,
    /// When it ends if it is not renewed. Information: what counts is this service's own clock.
    pub expires_at: Timestamp,
}

/// A ticket at its backend.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundTicket {
    /// Ours, if we know it.
    pub key: Option<TicketKey>,
    /// Where.
    pub backend: BackendId,
    /// Of which kind.
    pub kind: Kind,
    /// As the backend shows it.
    pub found: Found,
}

/// What a command gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Nothing more than that it was done.
    Nothing,
    /// A write is durable here.
    Accepted,
    /// A ticket that was made, or found to be there.
    Made {
        /// Theirs.
        backend_id: Option<String>,
        /// Where people look at it.
        url: Option<String>,
    },
    /// A ticket as it is now.
    Ticket(Box<TicketView>),
    /// A ticket as its backend shows it.
    Found(Box<FoundTicket>),
    /// Tickets as their backend shows them, and whether there are more.
    Tickets(Vec<FoundTicket>, bool),
    /// A lock.
    Locked(Granted),
}

/// An answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandAnswer {
    /// Whose; none for the final answer to work that an alarm made.
    pub id: Option<CommandId>,
    /// The request and the ticket that it is about, where there are any.
    pub about: Option<(RequestId, TicketKey)>,
    /// Accepted or final.
    pub stage: Stage,
    /// What was given, or why not.
    pub said: Result<Given, CommandError>,
}

impl CommandAnswer {
    /// A final answer that is about no request.
    pub fn done(id: CommandId, said: Result<Given, CommandError>) -> Self {
        Self { id: Some(id), about: None, stage: Stage::Final, said }
    }
}
