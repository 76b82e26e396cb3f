//! Intake: takes a delivery, checks it, stores it, and only then lets it be acknowledged
//! (docs/rules.md, "The way of an alarm", 1; rules G2, I1, I3).
//!
//! Not an actor: it keeps no state but counters, and runs on the thread of whoever delivers. Bad
//! input from the bus is parked with its reason; from HTTP it is refused by the caller, which uses
//! [`Intake::accept`] with events that are checked already.

use super::canary::{CameIn, Canary, TestBoard};
use super::parked_bell::{self, Notice, ParkedBell};
use super::{Dispatcher, Handed, Outside, Post, Wake};
use crate::changes::Refusal::NoSnapshot;
use crate::changes::{Applied, ByHand, CanaryStep, Change, ChangeSet, TakeIn, Unpark};
use crate::logic::correlation::digest_16;
use crate::logic::desk::News;
use crate::model::{
    Alarm, BackendId, CANARY_SOURCE, Identity, Parked, Pass, Said, Snapshot, Timestamp,
};
use crate::ports::{Decode, Delivery, Inlet, Malformed, Soon, StoreError, Tripwire, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A message that was open in so many crashes is parked unread.
const CRASHES_MAX: u32 = 3;
/// A source's clock may be so far ahead before it is counted.
const CLOCK_AHEAD_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Alarms of a source that are looked at in one commit, once its snapshot has ended.
const CLEARED_AT_ONCE: u32 = 500;
/// A store that did not answer is asked again after this span.
const CLEAR_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

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

/// What was committed and makes work for flows, by their backends.
type DueNow = HashMap<BackendId, News>;

/// What became of the events of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Committed.
    pub accepted: u64,
    /// Here before.
    pub repeats: u64,
    /// Of those committed: older than what is known of their alarm, which stays as it was.
    pub older: u64,
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
    canary: Post<Canary>,
    tests: Arc<TestBoard>,
    /// Counters.
    pub figures: Arc<IntakeFigures>,
}

impl Intake {
    /// An intake that wakes this dispatcher, and tells this canary of the test alarms on its board.
    pub fn new(
        outside: Arc<Outside>,
        decode: Arc<dyn Decode>,
        tripwire: Arc<dyn Tripwire>,
        dispatcher: Post<Dispatcher>,
        (canary, tests): (Post<Canary>, Arc<TestBoard>),
    ) -> Self {
        Self {
            outside,
            decode,
            tripwire,
            dispatcher,
            closed: AtomicBool::new(false),
            parked_bell: Arc::default(),
            canary,
            tests,
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
        events: Vec<(Identity, Said)>,
    ) -> Soon<Result<Vec<bool>, IntakeError>> {
        if self.closed.load(Ordering::SeqCst) {
            return Box::pin(async { Err(IntakeError::Closed) });
        }
        let set = ChangeSet(
            events
                .into_iter()
                .filter_map(|(identity, said)| self.take_in(identity, said, None))
                .collect(),
        );
        let applied = self.outside.store.apply(set);
        let me = self.clone();
        Box::pin(async move {
            let mut applied = applied.await?;
            let mut due = DueNow::new();
            let repeats = applied.iter_mut().map(|one| me.note(one, &mut due)).collect();
            me.hand_over(due);
            me.clear_unnamed(&applied);
            Ok(repeats)
        })
    }

    /// What a delivery says, read as it would be if it came now; nothing is taken.
    pub fn read_again(&self, delivery: &Delivery) -> Vec<Result<(Identity, Said), Malformed>> {
        self.decode.decode(delivery)
    }

    /// Takes the events of a message that was parked at that time, and goes with the same commit. Each
    /// counts as if it had been taken then.
    ///
    /// # Errors
    /// The service is stopping, or the store did not take them: the message stays.
    pub async fn take_parked(
        self: &Arc<Self>,
        events: Vec<(Identity, Said)>,
        parked: Unpark,
        parked_at: Timestamp,
    ) -> Result<Accepted, IntakeError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(IntakeError::Closed);
        }
        let taken = |(identity, said)| self.take_in(identity, said, Some(parked_at));
        let events = events.into_iter().filter_map(taken);
        let changes = events.chain([Change::Unpark(Box::new(parked))]).collect();
        let mut applied = self.outside.store.apply(ChangeSet(changes)).await?;
        let mut due = DueNow::new();
        let mut count = Accepted::default();
        for one in &mut applied {
            let repeat = self.note(one, &mut due);
            match one {
                _ if repeat => count.repeats += 1,
                Applied::TakenIn(taken) => {
                    count.accepted += 1;
                    count.older += u64::from(taken.older);
                }
                Applied::Marked { .. } => count.accepted += 1,
                _ => {}
            }
        }
        self.hand_over(due);
        self.clear_unnamed(&applied);
        Ok(count)
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
        self.wake(alarm.backend.iter().filter(|_| alarm.due_at.is_some()));
        Ok(*alarm)
    }

    /// None: a test alarm of a round that is over, of which nothing is kept.
    fn take_in(
        &self,
        identity: Identity,
        said: Said,
        parked_at: Option<Timestamp>,
    ) -> Option<Change> {
        let event = match said {
            Said::Alarm(event) => *event,
            Said::Mark(mark) => return Some(Change::Mark(identity, mark)),
            Said::Test(test) => {
                let known = self.tests.has(&test);
                return known.then_some(Change::Canary(test, CanaryStep::TakeIn));
            }
        };
        let now = self.outside.clock.now().wall;
        let said = event.changed_at.unwrap_or(event.details.raised_at);
        if said.since(now) > CLOCK_AHEAD_MAX {
            self.figures.clock_ahead.fetch_add(1, Ordering::Relaxed);
        }
        let routing = self.outside.policy().route(&event, now);
        Some(Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at })))
    }

    /// Counts what was applied, and takes out what flows have to do; true: it was here before.
    fn note(&self, applied: &mut Applied, due: &mut DueNow) -> bool {
        let repeat = match applied {
            Applied::TakenIn(taken) => {
                if let Some(work) = taken.due_by(self.outside.clock.now().wall) {
                    due.entry(work.backend.clone()).or_default().add(work);
                }
                taken.repeat
            }
            Applied::Marked { repeat, .. } => *repeat,
            Applied::Canary(test) => {
                self.canary.tell(CameIn(test.clone()));
                return false;
            }
            _ => return false,
        };
        let counter = if repeat { &self.figures.repeats } else { &self.figures.accepted };
        counter.fetch_add(1, Ordering::Relaxed);
        repeat
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

    fn wake<'a>(&self, due: impl IntoIterator<Item = &'a BackendId>) {
        for backend in due {
            self.dispatcher.tell(Wake(backend.clone()));
        }
    }

    fn hand_over(&self, due: DueNow) {
        for (backend, news) in due {
            self.dispatcher.tell(Handed { backend, news });
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
        read: Vec<Result<(Identity, Said), Malformed>>,
    ) -> Result<Accepted, IntakeError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(IntakeError::Closed);
        }
        let now = self.outside.clock.now().wall;
        let mut due = DueNow::new();
        let mut count = Accepted::default();
        for applied in self.apply_each(self.sets(&delivery, read, now)).await {
            let mut applied = applied?;
            for one in &mut applied {
                let repeat = self.note(one, &mut due);
                match one {
                    Applied::Count(_) => count.parked += 1,
                    _ if repeat => count.repeats += 1,
                    Applied::TakenIn(_) | Applied::Marked { .. } => count.accepted += 1,
                    _ => {}
                }
            }
            self.clear_unnamed(&applied);
        }
        self.hand_over(due);
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
        read: Vec<Result<(Identity, Said), Malformed>>,
        now: Timestamp,
    ) -> Vec<ChangeSet> {
        let (mut events, mut sets) = (Vec::new(), Vec::new());
        let several = read.len() > 1;
        for (place, one) in read.into_iter().enumerate() {
            match one {
                Ok((identity, said)) => events.extend(self.take_in(identity, said, None)),
                Err(malformed) => {
                    let place = u32::try_from(place).ok().filter(|_| several);
                    // Before it is parked: a snapshot that is not whole must not end as one.
                    sets.push(Change::Unread(self.decode.source_of(delivery)).into());
                    sets.push(self.park(delivery, malformed, place, now).into());
                }
            }
        }
        if !events.is_empty() {
            sets.push(ChangeSet(events));
        }
        sets
    }

    /// `place`: which of the alarms in it could not be read, where there are several.
    fn park(
        &self,
        delivery: &Delivery,
        why: Malformed,
        place: Option<u32>,
        now: Timestamp,
    ) -> Change {
        self.figures.parked.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            inlet = %delivery.inlet,
            message_id = delivery.message_id.as_deref(),
            field = why.field.as_deref(),
            reason = %why.reason,
            "a message is parked"
        );
        Change::Park(Box::new(parked(delivery, why, place, now)))
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
            let mut due = DueNow::new();
            for (sets, delivery) in of_each.into_iter().zip(part) {
                let applied: Vec<_> = applied.by_ref().take(sets).collect();
                let verdict = match applied.contains(&Err(StoreError::Refused(NoSnapshot))) {
                    true => self.park_mark(delivery, now).await,
                    false => self.judge(applied, &mut due),
                };
                verdicts.push(verdict);
            }
            self.hand_over(due);
        }
        verdicts
    }
}

impl Intake {
    /// A delivery is settled once all of it is stored; what comes again is known by its identity.
    fn judge(
        self: &Arc<Self>,
        applied: Vec<Result<Vec<Applied>, StoreError>>,
        due: &mut DueNow,
    ) -> Verdict {
        let mut verdict = Verdict::Settled;
        for result in applied {
            match result {
                Ok(mut applied) => {
                    for one in &mut applied {
                        self.note(one, due);
                    }
                    self.clear_unnamed(&applied);
                }
                Err(error) => {
                    tracing::warn!(%error, "a delivery was given back");
                    verdict = Verdict::GiveBack;
                }
            }
        }
        verdict
    }
}

impl Intake {
    /// The end of a snapshot that nobody began is kept where people see it.
    async fn park_mark(&self, delivery: &Delivery, now: Timestamp) -> Verdict {
        let reason = NoSnapshot.to_string();
        let why = Malformed { field: Some("id".to_owned()), reason };
        let parked = self.apply_each(vec![self.park(delivery, why, None, now).into()]).await;
        if parked.iter().all(Result::is_ok) { Verdict::Settled } else { Verdict::GiveBack }
    }

    /// Goes on with what the snapshots that have just ended did not name.
    fn clear_unnamed(self: &Arc<Self>, applied: &[Applied]) {
        let ended = |one: &Applied| matches!(one, Applied::Marked { ended: true, .. });
        if applied.iter().any(ended) {
            tokio::spawn(self.clone().clear_all_unnamed());
        }
    }

    /// Takes what ended snapshots did not name as cleared, page by page, until none is left: also
    /// what the process before this one had not done.
    pub async fn clear_all_unnamed(self: Arc<Self>) {
        let open = |it: &Snapshot| matches!(it.state, Pass::Clearing { .. });
        loop {
            let snapshots = self.outside.reads.snapshots().await;
            let left = snapshots.map(|all| all.into_iter().find(open));
            let source = match left {
                Ok(None) => return,
                Ok(Some(snapshot)) => snapshot.source,
                Err(error) => {
                    tracing::warn!(%error, "snapshots could not be read");
                    tokio::time::sleep(CLEAR_AGAIN).await;
                    continue;
                }
            };
            let change = Change::ClearUnnamed { source: source.clone(), limit: CLEARED_AT_ONCE };
            match self.outside.store.apply(change.into()).await.as_deref() {
                Ok([Applied::Cleared(due)]) => self.wake(due),
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(source, %error, "a snapshot's clears were not stored");
                    tokio::time::sleep(CLEAR_AGAIN).await;
                }
            }
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

fn parked(delivery: &Delivery, why: Malformed, place: Option<u32>, now: Timestamp) -> Parked {
    Parked {
        n: 0,
        at: now,
        inlet: delivery.inlet.to_string(),
        message_id: delivery.message_id.clone(),
        content_type: delivery.content_type.clone(),
        reason: why.reason,
        field: why.field,
        mended: 0,
        place,
        original: None,
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
            // Of test alarms nothing is kept: the next round says what there is to say.
            let is_test =
                |it: &Delivery| intake.decode.source_of(it).is_some_and(|of| of == CANARY_SOURCE);
            let (tests, parked): (Vec<_>, Vec<_>) = batch.iter().partition(|it| is_test(it));
            if parked.is_empty() {
                return vec![Verdict::Settled; tests.len()];
            }
            // Nobody knows whose it was: no snapshot that is open is whole any more.
            let mut sets: Vec<ChangeSet> = vec![Change::Unread(None).into()];
            sets.extend(batch.iter().filter(|it| !is_test(it)).map(|delivery| {
                let why = delivery.dead_lettered.as_deref().unwrap_or("no reason given");
                let why = Malformed {
                    field: None,
                    reason: format!("dead-lettered by the broker: {why}"),
                };
                ChangeSet::from(intake.park(delivery, why, None, now))
            }));
            let mut applied = intake.apply_each(sets).await.split_off(1).into_iter();
            let verdict = |delivery: &Delivery| {
                let kept = is_test(delivery) || applied.next().is_some_and(|it| it.is_ok());
                if kept { Verdict::Settled } else { Verdict::GiveBack }
            };
            batch.iter().map(verdict).collect()
        })
    }
}
