//! Intake: takes a delivery, checks it, stores it, and only then lets it be acknowledged
//! (docs/rules.md, "The way of an alarm", 1; rules G2, I1, I3).
//!
//! Not an actor: it keeps no state but counters, and runs on the thread of whoever delivers. Bad
//! input from the bus is parked with its reason; from HTTP it is refused by the caller, which uses
//! [`Intake::accept`] with events that are checked already.

use super::parked_bell::{self, Notice, ParkedBell};
use super::{Dispatcher, Outside, Post, Wake};
use crate::changes::{Applied, ByHand, Change, ChangeSet, TakeIn};
use crate::logic::correlation::digest_16;
use crate::model::{Alarm, AlarmEvent, BackendId, Identity, Parked, Timestamp};
use crate::ports::{Decode, Delivery, Inlet, Malformed, Soon, StoreError, Tripwire, Verdict};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A message that was open in so many crashes is parked unread.
const CRASHES_MAX: u32 = 3;
/// A source's clock may be so far ahead before it is counted.
const CLOCK_AHEAD_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Why events from HTTP were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The service is stopping.
    #[error("the service is stopping")]
    Closed,
    /// The store did not take them: nothing was accepted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of the events of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Committed.
    pub accepted: u64,
    /// Here before.
    pub repeats: u64,
    /// Could not be read, and are parked.
    pub parked: u64,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct IntakeFigures {
    /// Events committed.
    pub accepted: AtomicU64,
    /// Deliveries that were here before.
    pub repeats: AtomicU64,
    /// Messages parked.
    pub parked: AtomicU64,
    /// Events of a source whose clock is over 10 minutes ahead.
    pub clock_ahead: AtomicU64,
}

/// The intake of a node.
pub struct Intake {
    outside: Arc<Outside>,
    decode: Arc<dyn Decode>,
    tripwire: Arc<dyn Tripwire>,
    dispatcher: Post<Dispatcher>,
    closed: AtomicBool,
    parked_bell: Arc<ParkedBell>,
    /// Counters.
    pub figures: Arc<IntakeFigures>,
}

impl Intake {
    /// An intake that wakes this dispatcher.
    pub fn new(
        outside: Arc<Outside>,
        decode: Arc<dyn Decode>,
        tripwire: Arc<dyn Tripwire>,
        dispatcher: Post<Dispatcher>,
    ) -> Self {
        Self {
            outside,
            decode,
            tripwire,
            dispatcher,
            closed: AtomicBool::new(false),
            parked_bell: Arc::default(),
            figures: Arc::default(),
        }
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Takes checked events, all or nothing: Ok means committed. Gives for each whether it was
    /// here before.
    pub fn accept(
        self: &Arc<Self>,
        events: Vec<(Identity, AlarmEvent)>,
    ) -> Soon<Result<Vec<bool>, IntakeError>> {
        if self.closed.load(Ordering::SeqCst) {
            return Box::pin(async { Err(IntakeError::Closed) });
        }
        let set = ChangeSet(
            events.into_iter().map(|(identity, event)| self.take_in(identity, event)).collect(),
        );
        let applied = self.outside.store.apply(set);
        let me = self.clone();
        Box::pin(async move {
            let applied = applied.await?;
            let mut due = HashSet::new();
            let repeats = applied.iter().map(|one| me.note(one, &mut due)).collect();
            me.wake(due);
            Ok(repeats)
        })
    }

    /// What a person decides about an alarm; gives the alarm as it is then.
    ///
    /// # Errors
    /// The store refused it, or did not take it.
    pub async fn by_hand(self: &Arc<Self>, it: ByHand) -> Result<Alarm, StoreError> {
        let applied = self.outside.store.apply(Change::ByHand(Box::new(it)).into()).await?;
        let Some(Applied::ByHand(alarm)) = applied.into_iter().next() else {
            return Err(StoreError::Down("the store answered oddly".to_owned()));
        };
        self.wake(alarm.backend.iter().filter(|_| alarm.due_at.is_some()).cloned().collect());
        Ok(*alarm)
    }

    fn take_in(&self, identity: Identity, event: AlarmEvent) -> Change {
        let now = self.outside.clock.now().wall;
        let said = event.changed_at.unwrap_or(event.details.raised_at);
        if said.since(now) > CLOCK_AHEAD_MAX {
            self.figures.clock_ahead.fetch_add(1, Ordering::Relaxed);
        }
        let routing = self.outside.policy().route(&event, now);
        Change::TakeIn(Box::new(TakeIn { identity, event, routing }))
    }

    /// Counts what was applied; true: it was here before.
    fn note(&self, applied: &Applied, due: &mut HashSet<BackendId>) -> bool {
        let Applied::TakenIn(taken) = applied else { return false };
        let counter = if taken.repeat { &self.figures.repeats } else { &self.figures.accepted };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some((backend, _)) = &taken.due {
            due.insert(backend.clone());
        }
        taken.repeat
    }

    /// Applies sets of which some park a message, and tells operators of those that are parked.
    async fn apply_each(&self, sets: Vec<ChangeSet>) -> Vec<Result<Vec<Applied>, StoreError>> {
        let notices: Vec<Option<Notice>> = sets.iter().map(parked_bell::notice).collect();
        let applied = self.outside.store.apply_each(sets).await;
        for (notice, applied) in notices.into_iter().zip(&applied) {
            if let (Some(notice), Ok([Applied::Count(n)])) = (notice, applied.as_deref()) {
                self.parked_bell.add(&self.outside, notice, *n);
            }
        }
        applied
    }

    fn wake(&self, due: HashSet<BackendId>) {
        for backend in due {
            self.dispatcher.tell(Wake(backend));
        }
    }

    /// Takes what a foreign system sent, read already; what could not be read is parked, since its
    /// sender would only drop it. Ok means committed, all of it.
    ///
    /// # Errors
    /// The service is stopping, or the store did not take all of it: to be sent again.
    pub async fn accept_read(
        self: &Arc<Self>,
        delivery: Delivery,
        read: Vec<Result<(Identity, AlarmEvent), Malformed>>,
    ) -> Result<Accepted, IntakeError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(IntakeError::Closed);
        }
        let now = self.outside.clock.now().wall;
        let mut due = HashSet::new();
        let mut count = Accepted::default();
        for applied in self.apply_each(self.sets(&delivery, read, now)).await {
            for one in applied? {
                let counter = match &one {
                    Applied::TakenIn(taken) if taken.repeat => &mut count.repeats,
                    Applied::TakenIn(_) => &mut count.accepted,
                    _ => &mut count.parked,
                };
                *counter += 1;
                self.note(&one, &mut due);
            }
        }
        self.wake(due);
        Ok(count)
    }

    /// What a delivery becomes: events that are taken in, and parked messages.
    fn read(&self, delivery: &Delivery, crashes: u32, now: Timestamp) -> Vec<ChangeSet> {
        let read = if crashes >= CRASHES_MAX {
            let reason = format!("the service died {crashes} times while reading it");
            vec![Err(Malformed { field: None, reason })]
        } else {
            self.decode.decode(delivery)
        };
        self.sets(delivery, read, now)
    }

    /// One set for the events, and one for each message that is parked.
    fn sets(
        &self,
        delivery: &Delivery,
        read: Vec<Result<(Identity, AlarmEvent), Malformed>>,
        now: Timestamp,
    ) -> Vec<ChangeSet> {
        let (mut events, mut sets) = (Vec::new(), Vec::new());
        for one in read {
            match one {
                Ok((identity, event)) => events.push(self.take_in(identity, event)),
                Err(malformed) => sets.push(self.park(delivery, malformed, now).into()),
            }
        }
        if !events.is_empty() {
            sets.push(ChangeSet(events));
        }
        sets
    }

    fn park(&self, delivery: &Delivery, why: Malformed, now: Timestamp) -> Change {
        self.figures.parked.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            inlet = %delivery.inlet,
            message_id = delivery.message_id.as_deref(),
            field = why.field.as_deref(),
            reason = %why.reason,
            "a message is parked"
        );
        Change::Park(Box::new(parked(delivery, why, now)))
    }

    async fn take_batch(self: Arc<Self>, batch: Vec<Delivery>) -> Vec<Verdict> {
        if self.closed.load(Ordering::SeqCst) {
            return vec![Verdict::GiveBack; batch.len()];
        }
        // After a crash, the messages that were open are read one at a time, so that only the one
        // that kills its reader collects crashes.
        let at_once = if self.tripwire.careful() { 1 } else { batch.len().max(1) };
        let mut verdicts = Vec::with_capacity(batch.len());
        for part in batch.chunks(at_once) {
            let now = self.outside.clock.now().wall;
            let hashes: Vec<_> = part.iter().map(|delivery| digest_16(&delivery.body)).collect();
            let crashes = self.tripwire.open(&hashes);
            let read: Vec<Vec<ChangeSet>> = part
                .iter()
                .zip(crashes)
                .map(|(delivery, crashes)| self.read(delivery, crashes, now))
                .collect();
            let of_each: Vec<usize> = read.iter().map(Vec::len).collect();
            let mut applied =
                self.apply_each(read.into_iter().flatten().collect()).await.into_iter();
            self.tripwire.close(&hashes);
            let mut due = HashSet::new();
            for sets in of_each {
                verdicts.push(self.judge(applied.by_ref().take(sets), &mut due));
            }
            self.wake(due);
        }
        verdicts
    }
}

impl Intake {
    /// A delivery is settled once all of it is stored; what comes again is known by its identity.
    fn judge(
        &self,
        applied: impl Iterator<Item = Result<Vec<Applied>, StoreError>>,
        due: &mut HashSet<BackendId>,
    ) -> Verdict {
        let mut verdict = Verdict::Settled;
        for result in applied {
            match result {
                Ok(applied) => applied.iter().for_each(|one| {
                    self.note(one, due);
                }),
                Err(error) => {
                    tracing::warn!(%error, "a delivery was given back");
                    verdict = Verdict::GiveBack;
                }
            }
        }
        verdict
    }
}

fn parked(delivery: &Delivery, why: Malformed, now: Timestamp) -> Parked {
    Parked {
        n: 0,
        at: now,
        inlet: delivery.inlet.to_string(),
        message_id: delivery.message_id.clone(),
        content_type: delivery.content_type.clone(),
        reason: why.reason,
        field: why.field,
        body: delivery.body.to_vec(),
    }
}

/// Alarm deliveries from a bus.
impl Inlet for Arc<Intake> {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        Box::pin(self.clone().take_batch(batch))
    }
}

/// What the broker dead-lettered: kept whole in the parked table, the one truth.
pub struct ParkedInlet(pub Arc<Intake>);

impl Inlet for ParkedInlet {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        let intake = self.0.clone();
        Box::pin(async move {
            let now = intake.outside.clock.now().wall;
            let sets = batch
                .iter()
                .map(|delivery| {
                    let why = delivery.dead_lettered.as_deref().unwrap_or("no reason given");
                    let why = Malformed {
                        field: None,
                        reason: format!("dead-lettered by the broker: {why}"),
                    };
                    intake.park(delivery, why, now).into()
                })
                .collect();
            let applied = intake.apply_each(sets).await;
            let verdict = |result: &Result<_, StoreError>| {
                if result.is_ok() { Verdict::Settled } else { Verdict::GiveBack }
            };
            applied.iter().map(verdict).collect()
        })
    }
}
