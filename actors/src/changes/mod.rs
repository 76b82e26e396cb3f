//! What a transaction means: one file a change, written once over [`Tx`], run by every store.
//!
//! Always: a change checks its preconditions (versions, fence, epoch, state) against the rows as
//! they are when it is *applied*, and a refused change leaves no trace. A [`ChangeSet`] is atomic.
//! Nothing here calls out, waits or logs; ids and times are arguments.

mod admission;
mod by_hand;
mod canary;
mod command;
mod conclude;
mod decide;
mod history;
mod hold;
mod import;
mod intend;
mod lane;
mod later;
mod locks;
mod parked;
mod retire;
mod retry;
mod routes;
mod services;
mod settle;
mod snapshot;
mod sync;
mod take_in;
mod watch;

pub use admission::Admission;
pub use by_hand::{ByHand, Wanted};
pub use canary::CanaryStep;
pub use command::{CommandTaken, Guard, Named, TakeCommand, Write};
pub use conclude::{Conclude, Concluded, End};
pub use decide::{Decide, Decision, LockProof};
pub use history::Past;
pub use hold::{HELD_MAX, HoldTicket};
pub use import::Import;
pub use intend::{Intend, Level};
pub use lane::TakeLane;
pub use later::{Asked, LaterAnswer, Outcome};
pub use locks::ForceUnlock;
pub use parked::{Mend, Unpark};
pub use retire::{Retire, Retired, Walk};
pub use retry::{Cancel, Retry};
pub use routes::SetRoute;
pub use services::{ImportServices, SelectService};
pub use settle::{PersonSays, Settle};
pub use sync::{
    Answered, Message, Page, PersonSync, PlanRef, Record, Steer, Sweep, SweepDone, Synced, Where,
};
pub use take_in::{TakeIn, TakenIn, Work};
pub use watch::Swept;

use crate::logic::import::Brought;
use crate::model::{
    Alarm, BackendId, ClientNumber, Epoch, Fence, Identity, KeptLock, Mark, Moment, Parked,
    Request, TestAlarm, Ticket, Timestamp,
};
use crate::ports::{Pause, Tx, TxError};
use uuid::Uuid;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An alarm event comes in.
    TakeIn(Box<TakeIn>),
    /// A snapshot of a source begins or ends.
    Mark(Identity, Mark),
    /// What a snapshot did not name is taken as cleared, a page at a time.
    ClearUnnamed {
        /// Whose snapshot.
        source: String,
        /// Alarms in one go.
        limit: u32,
    },
    /// Something of that source, or of an unknown one, could not be read.
    Unread(Option<String>),
    /// A message that cannot be read is kept.
    Park(Box<Parked>),
    /// A write command comes in.
    Command(Box<TakeCommand>),
    /// A flow has decided.
    Decide(Box<Decide>),
    /// A lane is about to call.
    Intend(Box<Intend>),
    /// A lane knows more of a request.
    Conclude(Box<Conclude>),
    /// The broker confirmed these events.
    Sent(Vec<u64>),
    /// A backend's later answer to a write that it took.
    LaterAnswer(Box<LaterAnswer>),
    /// A ticket that may exist twice was looked at.
    Swept(Box<Swept>),
    /// A node takes a lane over.
    TakeLane(TakeLane),
    /// A lane stops calling, with a reason that people see.
    PauseLane(BackendId, Epoch, Pause),
    /// A person pauses a lane.
    PauseByHand {
        /// Whose lane.
        backend: BackendId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person holds one ticket of a lane, or lets it go on.
    HoldTicket(Box<HoldTicket>),
    /// A person lets a lane go on.
    ResumeLane {
        /// Whose lane.
        backend: BackendId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person ends a doubt.
    Settle(Box<Settle>),
    /// A person has a failed request done again.
    Retry(Box<Retry>),
    /// A person cancels a request before it is sent.
    Cancel(Box<Cancel>),
    /// A person replaces the body of a parked message.
    Mend(Box<Mend>),
    /// A parked message goes.
    Unpark(Box<Unpark>),
    /// A person decides about an alarm.
    ByHand(Box<ByHand>),
    /// An open ticket of an old system is brought along.
    Import(Box<Import>),
    /// A block of fences for the pool's grants.
    TakeFences(u64),
    /// Nothing of an older fence is accepted from this client any more.
    RaiseBarrier(ClientNumber, Fence),
    /// An external lock is granted, or renewed.
    KeepLock(KeptLock),
    /// An external lock has ended: that grant of it, which its name may have outlived.
    DropLock(Uuid, Fence),
    /// A person takes a lock away.
    ForceUnlock(ForceUnlock),
    /// A person brings a backend's table of services.
    ImportServices(Box<ImportServices>),
    /// A person selects a service.
    SelectService(Box<SelectService>),
    /// A person sets or removes a backend's route.
    SetRoute(Box<SetRoute>),
    /// Who did what, and why, where nothing else is written.
    Audit {
        /// Who.
        who: String,
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// Identities older than the time within which repeats are recognized go.
    ForgetIdentities {
        /// Kept before this time.
        before: Timestamp,
        /// At most so many in one go.
        limit: u32,
    },
    /// History rows go to a file, or go.
    Past(Past),
    /// What has been over for long goes.
    Retire(Retire),
    /// Tickets that another side told of are merged.
    SyncPage(Box<Page>),
    /// A connector's message is merged and answered.
    SyncMessage(Box<Message>),
    /// Tickets that a sync did not hear of.
    SyncSweep(Box<Sweep>),
    /// A person steers a sync.
    SyncSteer(Box<PersonSync>),
    /// A run of a sync stopped early.
    SyncFailed {
        /// Which sync.
        name: String,
        /// Why.
        reason: String,
        /// The source knows its place no more: the next run begins anew (rule S3).
        lost: bool,
    },
    /// Answers to connectors go that were given before that time.
    ForgetSyncAnswers {
        /// Kept since this time.
        before: Timestamp,
        /// At most so many in one go.
        limit: u32,
    },
    /// A test alarm takes a step on its way.
    Canary(TestAlarm, CanaryStep),
}

/// Changes that are applied together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSet(pub Vec<Change>);

impl From<Change> for ChangeSet {
    fn from(change: Change) -> Self {
        Self(vec![change])
    }
}

/// What a change did; stands at its change's place.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// Of [`Change::TakeIn`].
    TakenIn(TakenIn),
    /// Of [`Change::Mark`].
    Marked {
        /// The same delivery was here before; nothing changed.
        repeat: bool,
        /// What was not named is to be taken as cleared now.
        ended: bool,
    },
    /// Of [`Change::ClearUnnamed`]: whose flows have work.
    Cleared(Vec<BackendId>),
    /// Of [`Change::Command`].
    Command(Box<CommandTaken>),
    /// Of [`Change::Decide`].
    Decided {
        /// The request that was journaled, if the decision made one.
        request: Option<Box<Request>>,
        /// It is the first un-ended one of its ticket: it may go to its lane.
        first: bool,
        /// Events were stored.
        events: bool,
    },
    /// Of [`Change::Intend`]: the request as it will be sent, and its ticket.
    Intended(Box<Request>, Box<Ticket>),
    /// Of [`Change::Intend`]: nothing was written, the level has moved on; with the alarms that share
    /// the ticket by a rule.
    Stale(Box<Request>, Box<Alarm>, Vec<Alarm>),
    /// Of [`Change::Intend`]: nothing was written, the request is not waiting for that attempt.
    Skipped,
    /// Of [`Change::PauseByHand`] and [`Change::HoldTicket`].
    Held(Pause),
    /// Of [`Change::Mend`]: the message as it is now.
    Mended(Box<Parked>),
    /// Of [`Change::Conclude`], [`Change::Settle`], [`Change::Retry`] and [`Change::Cancel`].
    Concluded(Box<Concluded>),
    /// Of [`Change::LaterAnswer`]; none: it said nothing new.
    Later(Option<Box<Concluded>>),
    /// Of [`Change::Swept`].
    Swept {
        /// Events were stored.
        events: bool,
    },
    /// Of [`Change::Import`].
    Imported(Brought),
    /// Of [`Change::ByHand`]: the alarm as it is now.
    ByHand(Box<Alarm>),
    /// Of [`Change::TakeLane`].
    LaneTaken(Epoch, Option<Pause>),
    /// Of [`Change::TakeFences`]: the first of the block.
    Fences(Fence),
    /// Of [`Change::ForgetIdentities`] and [`Change::Past`]: how many went. Of [`Change::Park`]: the
    /// row's number.
    Count(u64),
    /// Of [`Change::ImportServices`]: nothing was written, un-ended requests name a service that the
    /// new table does not have.
    ServiceInUse {
        /// Which.
        service: String,
        /// How many.
        requests: u64,
    },
    /// Of [`Change::Retire`].
    Retired(Retired),
    /// Of [`Change::SyncPage`] and [`Change::SyncSteer`].
    Synced(Box<Synced>),
    /// Of [`Change::SyncMessage`].
    SyncAnswered(Box<Answered>),
    /// Of [`Change::SyncSweep`].
    SyncSwept(SweepDone),
    /// Of [`Change::Canary`].
    Canary(TestAlarm),
    /// Of the others.
    Done,
}

/// A precondition that did not hold. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The alarm or ticket has changed since it was read (T2).
    #[error("what was read has changed since")]
    StaleVersion,
    /// The lock's fence is old or its time is over (L3).
    #[error("the lock is no longer held")]
    LockLost,
    /// Another holder has taken the lane (G13).
    #[error("the lane has a newer holder")]
    StaleEpoch,
    /// No such row.
    #[error("not found")]
    NotFound,
    /// The request is not in the state that this needs.
    #[error("the request is in another state")]
    WrongState,
    /// The command's id was used for another command (CONTRACT 1.5).
    #[error("the id was used for another command")]
    IdReused,
    /// No such alarm.
    #[error("no such alarm")]
    UnknownAlarm,
    /// The end of a snapshot that was not begun, or is over.
    #[error("no snapshot of that pass is open")]
    NoSnapshot,
    /// The alarm has a ticket that is not closed.
    #[error("the alarm has a ticket already")]
    HasTicket,
    /// The alarm has no ticket to be taken off.
    #[error("the alarm has no ticket")]
    NotLinked,
    /// A request of the alarm has not ended.
    #[error("a request of the alarm is under way: wait for its end")]
    UnderWay,
    /// The lane is paused.
    #[error("the lane is paused already")]
    AlreadyPaused,
    /// The ticket is held.
    #[error("the ticket is held already")]
    AlreadyHeld,
    /// The ticket is not held.
    #[error("the ticket is not held")]
    NotHeld,
    /// So many tickets of the backend are held that no more may be.
    #[error("too many tickets of this backend are held: pause its lane instead")]
    TooManyHeld,
    /// Another request does again what this one failed to do.
    #[error("it was retried already")]
    AlreadyRetried,
    /// Something newer has taken its place.
    #[error("its alarm or its ticket has moved on since")]
    MovedOn,
    /// The ticket is closed.
    #[error("the ticket is closed")]
    Closed,
    /// A request that closes the ticket was accepted.
    #[error("the ticket is being closed: link to another, or wait for its end")]
    BeingClosed,
    /// The ticket's create has ended without a ticket.
    #[error("the ticket was never made at the backend")]
    NeverMade,
    /// A later answer names a ticket of which more than one request may be meant.
    #[error("it names only the ticket, and more than one of its requests may be meant")]
    Astray,
    /// A later answer says that a ticket was made, and not which.
    #[error("it says that a ticket was made and gives no backend_id")]
    NoBackendId,
    /// The backend has too many un-ended requests (G14).
    #[error("the backend has too many open requests")]
    Full,
    /// A person settles a write with a number that is not its ticket's.
    #[error("it is about a ticket with another number")]
    AnotherTicket,
    /// A unique rule (T1, T4) says no.
    #[error("another row holds that place")]
    Conflict,
}

/// What a change set is applied with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Now, read when the set is applied.
    pub now: Moment,
    /// This node's name.
    pub node: &'a str,
}

/// Why a set stopped half-way; the adapter rolls it back.
#[derive(Debug)]
pub enum Halt {
    /// A precondition did not hold.
    Refused(Refusal),
    /// The database failed.
    Broken(String),
}

impl From<TxError> for Halt {
    fn from(error: TxError) -> Self {
        match error {
            TxError::Conflict(_) => Self::Refused(Refusal::Conflict),
            TxError::Broken(reason) => Self::Broken(reason),
        }
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Applies a change set inside the adapter's transaction. On `Err` the adapter must roll back.
pub fn perform(
    tx: &mut dyn Tx,
    set: &ChangeSet,
    context: Context<'_>,
) -> Result<Vec<Applied>, Halt> {
    set.0.iter().map(|change| perform_one(tx, change, context)).collect()
}

fn perform_one(tx: &mut dyn Tx, change: &Change, context: Context<'_>) -> Result<Applied, Halt> {
    let now = context.now.wall;
    match change {
        Change::TakeIn(it) => take_in::perform(tx, it, now).map(Applied::TakenIn),
        Change::Park(message) => Ok(Applied::Count(tx.park(message)?)),
        Change::Mark(identity, it) => snapshot::mark(tx, identity, it, now),
        Change::ClearUnnamed { source, limit } => snapshot::clear(tx, source, *limit, now),
        Change::Unread(source) => snapshot::unread(tx, source.as_deref()),
        Change::Command(it) => command::perform(tx, it, context),
        Change::Decide(it) => decide::perform(tx, it, context),
        Change::Intend(it) => intend::perform(tx, it, now),
        Change::Conclude(it) => conclude::perform(tx, it, now),
        Change::Sent(numbers) => {
            numbers.iter().try_for_each(|n| tx.mark_sent(*n, now))?;
            Ok(Applied::Done)
        }
        Change::LaterAnswer(it) => later::perform(tx, it, now),
        Change::Swept(it) => watch::perform(tx, it, now),
        Change::TakeLane(it) => lane::take(tx, it, now),
        Change::PauseLane(backend, epoch, pause) => lane::pause(tx, backend, *epoch, pause),
        Change::PauseByHand { backend, who, reason } => {
            hold::pause(tx, backend, (who, reason), now)
        }
        Change::HoldTicket(it) => hold::ticket(tx, it, now),
        Change::Retry(it) => retry::retry(tx, it, now),
        Change::Cancel(it) => retry::cancel(tx, it, now),
        Change::Mend(it) => parked::mend(tx, it, now),
        Change::Unpark(it) => parked::unpark(tx, it, now),
        Change::ResumeLane { backend, who, reason } => lane::resume(tx, backend, who, reason, now),
        Change::Settle(it) => settle::perform(tx, it, now),
        Change::Import(it) => import::perform(tx, it, context),
        Change::ByHand(it) => by_hand::perform(tx, it, context),
        Change::TakeFences(count) => Ok(Applied::Fences(tx.take_fences(*count)?)),
        Change::RaiseBarrier(client, to) => {
            if !mutant!(NoBarrier) {
                tx.raise_barrier(*client, *to)?;
            }
            Ok(Applied::Done)
        }
        Change::KeepLock(lock) => locks::keep(tx, lock),
        Change::DropLock(guid, fence) => locks::drop(tx, *guid, *fence),
        Change::ForceUnlock(it) => locks::force_unlock(tx, it, now),
        Change::ImportServices(it) => services::import(tx, it, now),
        Change::SelectService(it) => services::select(tx, it, now),
        Change::SetRoute(it) => routes::set(tx, it, now),
        Change::Audit { who, what, why } => {
            tx.audit(now, who, what, why)?;
            Ok(Applied::Done)
        }
        Change::ForgetIdentities { before, limit } => {
            Ok(Applied::Count(tx.forget_identities(*before, *limit)?))
        }
        Change::Past(it) => history::perform(tx, it),
        Change::Retire(it) => retire::perform(tx, it),
        Change::SyncPage(it) => sync::page(tx, it, context),
        Change::SyncMessage(it) => sync::answer(tx, it, context),
        Change::SyncSweep(it) => sync::sweep(tx, it, context),
        Change::SyncSteer(it) => sync::steer(tx, it, context),
        Change::SyncFailed { name, reason, lost } => {
            let mut row = tx.sync(name)?;
            row.last.ended_at = Some(now);
            row.last.error = Some(reason.clone());
            if *lost && !mutant!(LostIsKept) {
                row.place = crate::model::Place::default();
            }
            tx.put_sync(&row)?;
            Ok(Applied::Done)
        }
        Change::ForgetSyncAnswers { before, limit } => {
            Ok(Applied::Count(tx.forget_sync_answers(*before, *limit)?))
        }
        Change::Canary(it, step) => canary::perform(tx, it, step, (now, context.now.mono)),
    }
}
