//! A ticketing system. An adapter judges every answer once, at this edge, into what the lane
//! will do about it.

use super::Soon;
use crate::model::{
    AlarmRef, CorrelationKey, Fields, Found, Kind, Mono, RequestId, Service, TicketError,
    TicketKey, Timestamp,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The ticket that a call is about.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketTarget {
    /// Ours.
    pub key: TicketKey,
    /// What makes it findable.
    pub correlation_key: CorrelationKey,
    /// Incident, change or problem.
    pub kind: Kind,
    /// Theirs; none before the create.
    pub backend_id: Option<String>,
}

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchBy {
    /// Tickets that carry our key.
    CorrelationKey(CorrelationKey),
    /// Tickets whose fields equal these.
    Fields(Fields),
}

/// What a call does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Make the ticket.
    Create {
        /// Which.
        ticket: TicketTarget,
        /// With what.
        fields: Fields,
    },
    /// Set fields.
    Update {
        /// Which.
        ticket: TicketTarget,
        /// To what.
        fields: Fields,
    },
    /// Close it.
    Close {
        /// Which.
        ticket: TicketTarget,
        /// With what fields set at the same time.
        fields: Fields,
    },
    /// Open it again.
    Reopen {
        /// Which.
        ticket: TicketTarget,
        /// With what fields set at the same time.
        fields: Fields,
    },
    /// Read one ticket by its backend id.
    Get {
        /// Theirs.
        backend_id: String,
        /// Incident, change or problem.
        kind: Kind,
    },
    /// Find tickets.
    Search {
        /// By what.
        by: SearchBy,
        /// Incident, change or problem.
        kind: Kind,
        /// At most so many.
        limit: u32,
    },
    /// One page of what changed at the backend, oldest change first. A row that does not say which
    /// ticket it is comes with an empty `backend_id`, so that one bad row neither stops the feed nor is
    /// lost without a word.
    Changes {
        /// The source's own place, opaque to us; none: from its beginning.
        cursor: Option<String>,
        /// Changed at or after this time, on the backend's clock; none: everything.
        since: Option<Timestamp>,
        /// Rows of that answer to leave out at its beginning.
        offset: u32,
        /// At most so many. Only a source by cursor that does not heed it gives more: what lies before
        /// its next cursor would else be lost.
        limit: u32,
    },
    /// Find out whether it answers, with whatever changes nothing there: the canary's way.
    Probe,
}

impl Work {
    /// The ticket that it writes.
    pub fn ticket(&self) -> Option<TicketKey> {
        match self {
            Self::Create { ticket, .. }
            | Self::Update { ticket, .. }
            | Self::Close { ticket, .. }
            | Self::Reopen { ticket, .. } => Some(ticket.key),
            Self::Get { .. } | Self::Search { .. } | Self::Changes { .. } | Self::Probe => None,
        }
    }
}

/// Which of its backend's services a call is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The one that is selected when it is sent; without a table of them the backend's own address.
    #[default]
    Selected,
    /// The one that its request was accepted for; none: the backend's own address.
    Accepted(Option<String>),
}

/// One outbound call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which service it is for.
    pub via: Via,
    /// Where that is: bound by who sends it, just before. None: the backend's own address.
    pub service: Option<Box<Service>>,
    /// Our ticket, where it is about one.
    pub ticket: Option<TicketKey>,
    /// Which attempt of its request; 0 where it has none.
    pub attempt: u32,
    /// For logs and idempotency headers; none for a flow's search.
    pub request: Option<RequestId>,
    /// The alarm that made the request, for logs.
    pub alarm: Option<AlarmRef>,
    /// What to do.
    pub work: Work,
    /// The adapter looks at the clock just before the first byte; past this it answers
    /// [`Answer::NotSent`] (rule G3).
    pub send_by: Mono,
    /// From the first byte to the end of the answer; then the connection is closed.
    pub timeout: Duration,
}

/// What came of a read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The tickets found; of changes the rows in their order, a ticket as often as it is in them.
    pub tickets: Vec<Found>,
    /// There are more than were asked for.
    pub more: bool,
    /// Where the next page begins, in the source's own words; only of changes, and only by cursor.
    pub cursor: Option<String>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A write was done; what the answer shows of the ticket.
    Done(Found),
    /// A write was taken; what became of it is said later (CONTRACT 1.5).
    Acknowledged {
        /// Theirs, under which the later answer comes, where they give one.
        backend_ref: Option<String>,
    },
    /// A read was answered. `Get` of a ticket that is not there: no tickets.
    Read(Reading),
    /// Nothing left this machine: connect, DNS or TLS failed, or `send_by` had passed.
    NotSent(String),
    /// Not done for sure, come back later (429, or described as busy). Costs no attempt.
    Busy {
        /// What was said.
        error: TicketError,
        /// Not before this span (Retry-After).
        retry_after: Option<Duration>,
    },
    /// Not done for sure, may work another time. Costs an attempt.
    Retryable {
        /// What was said.
        error: TicketError,
        /// Not before this span (Retry-After).
        retry_after: Option<Duration>,
    },
    /// The backend said no to this request, for good.
    Refused(TicketError),
    /// Our credentials were refused: nothing was done, and nothing will be until a person acts.
    Unauthorised(TicketError),
    /// It may have been done.
    InDoubt(TicketError),
}

/// An answer, and what came with it of calls to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The answer.
    pub answer: Answer,
    /// The backend wants no further call for so long (X-RateLimit), whatever it answered.
    pub quiet: Option<Duration>,
    /// The HTTP status of the last answer, where there was one.
    pub http_status: Option<u16>,
    /// The backend's clock as its last answer told it (HTTP `Date`, whole seconds).
    pub clock: Option<Timestamp>,
}

impl From<Answer> for Heard {
    fn from(answer: Answer) -> Self {
        Self { answer, quiet: None, http_status: None, clock: None }
    }
}

/// How a backend tells what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangesBy {
    /// By a cursor of its own: [`Work::Changes`] gives the last one back.
    Cursor,
    /// By time: `since`, and `offset` for all pages but the first.
    Time,
    /// Only by all of its tickets, page by page by `offset`: what changed shows by comparing.
    Scan,
}

/// How a backend is asked what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesPage {
    /// How it tells.
    pub by: ChangesBy,
    /// The most rows of one page: a greater `limit` gets no more.
    pub size: u32,
}

/// What whoever fills in a form for a new ticket must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Fields that a create needs, with the values that there are; none: any.
    pub needs: BTreeMap<String, Vec<String>>,
    /// Fields by which tickets are found; empty: by any. None: there is no search.
    pub finds_by: Option<Vec<String>>,
}

/// What a backend is, for people. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The preset that its description began with.
    pub preset: Option<String>,
    /// How it speaks: `rest`, `soap`.
    pub speaks: &'static str,
    /// The operations that it is described with.
    pub operations: Vec<&'static str>,
    /// It can be searched by our key.
    pub searches_by_key: bool,
    /// How we say who we are: `none`, `basic`, `header`, `bearer`, `oauth2`, `wsse`.
    pub auth: &'static str,
    /// The token, where one is requested.
    pub token: Option<TokenState>,
}

/// How it stands with a token that is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenState {
    /// Until when the one at hand is good; none: there is none.
    pub expires: Option<Timestamp>,
    /// The last failure to get one, until one is got.
    pub error: Option<(Timestamp, String)>,
}

/// A ticketing system.
pub trait Backend: Send + Sync {
    /// Makes one call, and only one: no redirects, no retries of its own (rule G10). Dropping
    /// the future closes the connection.
    fn call(&self, call: Call) -> Soon<Heard>;

    /// What it is, for people.
    fn about(&self) -> About {
        About { auth: "none", ..About::default() }
    }

    /// Drops the token at hand and requests a new one: until when that is good, or why there is none.
    /// None: no token is requested for this backend.
    fn authenticate(&self, timeout: Duration) -> Soon<Option<Result<Timestamp, String>>> {
        let _ = timeout;
        Box::pin(std::future::ready(None))
    }

    /// Could calls go to this service? Opens no connection.
    ///
    /// # Errors
    /// The field at fault, and what is wrong with it.
    fn check_service(&self, service: &Service) -> Result<(), (&'static str, String)> {
        let _ = service;
        Ok(())
    }

    /// Can it be asked what changed, and how? None: [`Work::Changes`] is refused.
    fn changes(&self) -> Option<ChangesPage> {
        None
    }

    /// Reads a file as if it were the answer to [`Work::Changes`].
    ///
    /// # Errors
    /// Why it cannot be.
    fn read_changes(&self, body: &[u8]) -> Result<Reading, String> {
        let _ = body;
        Err("this backend has no feed of changes".to_owned())
    }

    /// What a form for a new ticket asks for. Makes no call.
    fn form(&self) -> Form {
        Form::default()
    }
}
