//! What comes in at a lane's one door, and what goes out.

use crate::changes::{Applied, ChangeSet, Decide, Level};
use crate::model::{
    Alarm, Epoch, Mono, Op, Request, RequestId, Ticket, TicketKey, Timestamp, Watched,
};
use crate::ports::{Call, Heard, Pause, StoreError, Work};
use std::time::Duration;

/// Names one asynchronous step of the lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn(pub u64);

/// A flow's search, or the sync's read of what changed, waiting for its place in the lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The asker's own number for it.
    pub id: u64,
    /// What to ask.
    pub work: Work,
    /// When the asker gives up.
    pub deadline: Mono,
}

/// Everything that can happen to a lane.
#[derive(Debug)]
pub enum Input {
    /// The lease is ours. `doubts` are all requests in doubt, with their tickets.
    Taken {
        /// Under which epoch.
        epoch: Epoch,
        /// Paused by a person or by us, before.
        pause: Option<Pause>,
        /// What is in doubt.
        doubts: Vec<(Request, Ticket)>,
        /// What the backend took and has yet to answer.
        unconfirmed: Vec<Request>,
        /// Tickets that a person holds.
        held: Vec<TicketKey>,
    },
    /// A request was journaled and is first in line of its ticket.
    Submitted(Box<Request>),
    /// A flow has decided to make a new ticket. Where nothing goes before its request, the decision is
    /// stored together with the intent of the call, else it is declined.
    Offered(Box<Decide>),
    /// A flow wants to search, or the sync to read what changed.
    Asked(Read),
    /// Rows of one class.
    Loaded {
        /// Which class.
        class: u8,
        /// In order; none if the read failed.
        requests: Option<Vec<Request>>,
        /// There are no others that are ready.
        all: bool,
        /// When the next row that waits becomes ready, from now.
        next_ready: Option<Duration>,
    },
    /// A page of the watched tickets; none: it could not be read.
    Watched(Option<Vec<(u64, Watched, Ticket)>>),
    /// Another hand has moved this request: a later answer came.
    Moved(RequestId),
    /// A change set was applied, or not.
    Stored(Turn, Result<Vec<Applied>, StoreError>),
    /// Policy has rendered a newer level; none: the request is no longer needed.
    Rendered(Turn, Option<Level>),
    /// A call came back.
    Answered(Turn, Heard),
    /// A request that begins in doubt was journaled: a person has it done again.
    Doubted(Box<Request>, Box<Ticket>),
    /// A person paused the lane.
    Paused(Pause),
    /// A person holds this ticket (true), or lets it go on.
    Held(TicketKey, bool),
    /// A person resumed the lane.
    Resumed,
    /// No more intents: the service is stopping.
    Drain,
    /// Time has passed.
    Tick,
}

/// Everything that a lane can want.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Read one class's ready rows.
    Load(u8),
    /// Read watched tickets from after that place, then say [`Input::Watched`].
    LoadWatched(u64),
    /// Apply this, then say [`Input::Stored`].
    Store(Turn, ChangeSet),
    /// Make this call, then say [`Input::Answered`].
    Call(Turn, Box<Call>),
    /// Render the level of the alarm, and of those that share its ticket, for this request, then say [`Input::Rendered`].
    Render(Turn, Box<Request>, Box<Alarm>, Vec<Alarm>),
    /// The answer to a read, with what came along with it.
    AnswerRead(u64, Heard),
    /// An offered decision that is to be stored alone, and its request to be submitted.
    Declined(Box<Decide>),
    /// Alarms of this lane's backend have become due.
    WakeFlows,
    /// Events were stored.
    WakeOutbox,
    /// Operators should know this of the lane, and why. That a request is undecided they hear when
    /// it is committed, from whoever stores it.
    Ops(&'static str, String),
    /// A fact for the log: one line per failed attempt, where it is decided.
    Note(Note),
    /// The lease was lost: take it again.
    Lost,
    /// Say [`Input::Tick`] at that time, if nothing came before.
    WakeAt(Mono),
}

/// What became of an attempt, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which request.
    pub request: RequestId,
    /// Create, update, …
    pub op: Op,
    /// Which attempt.
    pub attempt: u32,
    /// The state that it leads to.
    pub state: &'static str,
    /// Why.
    pub reason: String,
}

/// Looks for one doubt that were not answered, since the lane was taken. They are not stored: a backend that
/// is away for a day would be a write every minute that nobody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Of which request.
    pub request: RequestId,
    /// How many.
    pub times: u32,
    /// The last one.
    pub last: Timestamp,
    /// What was seen instead of an answer.
    pub why: String,
}

/// What a lane is doing, for faces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneGlance {
    /// Ready heads in memory.
    pub heads: usize,
    /// In doubt.
    pub in_doubt: usize,
    /// Taken by the backend, which has yet to answer.
    pub unconfirmed: usize,
    /// Searches that wait.
    pub reads: usize,
    /// What is in flight.
    pub in_flight: Option<String>,
    /// Intents that are stored, whose calls follow that one.
    pub primed: usize,
    /// Since when.
    pub calling_since: Option<Mono>,
    /// Why it makes no calls, if it makes none.
    pub held: Option<String>,
    /// The pause itself, where it is paused.
    pub pause: Option<Pause>,
    /// Tickets that a person holds.
    pub held_tickets: usize,
    /// When that ends by itself.
    pub held_until: Option<Mono>,
    /// So many calls in a row failed that only probes are made.
    pub breaker_open: bool,
    /// Since when.
    pub probes_since: Option<Mono>,
    /// Looks for doubts that were not answered; at most `max_in_doubt`.
    pub looks: Vec<Unanswered>,
    /// It is leased to this node.
    pub taken: bool,
    /// A change set of it is at the store, or a level at policy.
    pub storing: bool,
    /// Grows with each call that came back and each change set that was stored: a lane that has
    /// work and does not grow hangs (rule H2).
    pub progress: u64,
}
