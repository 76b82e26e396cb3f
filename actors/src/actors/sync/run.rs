//! A run over a feed: pages until there are no more, then what nobody told of.

use super::SyncSettings;
use super::line::Line;
use crate::actors::gateway::{Ask, Submit};
use crate::actors::keeper::Post;
use crate::actors::outbox::Woken;
use crate::actors::{Gateway, Outbox, Outside};
use crate::changes::{Applied, Change, Page, Record, Refusal, Sweep, Synced, Where};
use crate::logic::sync::{From, Known, anew, before, decide, first_twin, next_place, wanted};
use crate::model::{
    EventId, Fields, Found, Kind, Place, RequestId, STATUS, State, SyncRow, TicketKey, Timestamp,
    Told,
};
use crate::ports::{Answer, ChangesBy, FreshIds, Heard, Reading, StoreError, Work};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A page is waited for so long at most: its place in the lane, and its call.
const PAGE_WITHIN: Duration = Duration::from_secs(180);
/// Rows of one page of a sweep.
const SWEEP_PAGE: usize = 256;
/// Records of one transaction of a file, or of what was held.
const RECORDS_AT_ONCE: usize = 500;
/// Tickets that are read once more at one look: each is a call in the lane, and others wait there.
const AGAIN_MAX: usize = 16;
/// The backend's clock is told in whole seconds: less than this is no difference.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// Why a run stopped. What was merged before is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunFailed {
    /// The backend did not give the page.
    #[error("{0}")]
    Backend(String),
    /// The store did not take it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Somebody else has moved the place meanwhile.
    #[error("the place was moved while it was read: the next run begins there")]
    Moved,
}

/// What a dry run says of one ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct DrySaid {
    /// The ticket, by their id.
    pub id: String,
    /// `created`, `merged`, `verified`, `deleted`, `skipped`, `held`.
    pub what: &'static str,
    /// Fields that would change here, with their new values.
    pub ours: Vec<(String, Value)>,
    /// Fields that would be written to the home backend.
    pub written: Vec<(String, Value)>,
}

/// Carries out an order of one sync, as it worked when the order came.
pub(super) struct Runner {
    pub(super) outside: Arc<Outside>,
    settings: SyncSettings,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
    line: Arc<Line>,
}

impl Runner {
    pub(super) fn new(
        outside: Arc<Outside>,
        settings: SyncSettings,
        gateway: Post<Gateway>,
        outbox: Post<Outbox>,
        line: Arc<Line>,
    ) -> Self {
        Self { outside, settings, gateway, outbox, line }
    }

    fn name(&self) -> String {
        self.settings.plan.name.clone()
    }

    pub(super) async fn row(&self) -> Result<SyncRow, StoreError> {
        self.outside.reads.sync_row(self.name()).await
    }

    pub(super) async fn audit(
        &self,
        who: String,
        what: &str,
        why: String,
    ) -> Result<(), StoreError> {
        let what = format!("sync {}: {what}", self.name());
        self.outside.store.apply(Change::Audit { who, what, why }.into()).await.map(drop)
    }

    /// One whole run. A cursor that its source refuses begins anew, once (rule S3).
    pub(super) async fn run(&self) -> Result<(), RunFailed> {
        let From::Feed(by, size) = self.settings.plan.from else { return Ok(()) };
        let mut anew = false;
        loop {
            match self.pages(by, size).await {
                Ok(()) => break,
                Err(Stopped::CursorRefused(reason)) if !anew => {
                    tracing::warn!(sync = %self.name(), reason,
                        "the source does not know its cursor any more: a full pass begins");
                    anew = true;
                    self.failed(format!("the cursor was refused: {reason}"), true).await;
                }
                Err(Stopped::CursorRefused(reason)) => {
                    self.failed(reason.clone(), false).await;
                    return Err(RunFailed::Backend(reason));
                }
                Err(Stopped::Failed(error)) => {
                    tracing::warn!(sync = %self.name(), %error, "a run stopped");
                    if !matches!(error, RunFailed::Moved) {
                        self.failed(error.to_string(), false).await;
                    }
                    return Err(error);
                }
            }
        }
        self.sweep().await?;
        Ok(())
    }

    async fn pages(&self, by: ChangesBy, size: u32) -> Result<(), Stopped> {
        let limit = self.settings.batch.min(size).max(1);
        let mut begins = true;
        loop {
            let from = self.row().await.map_err(RunFailed::from)?.place;
            // A scan that was torn begins anew: rows may have moved.
            let place = match by {
                ChangesBy::Scan if begins => Place::default(),
                _ => from.clone(),
            };
            let asked_at = self.outside.clock.now().wall;
            let (reading, heard_at, clock) = self.page(by, &place, limit).await?;
            let turn = match self.has_slipped(by, &place).await? {
                true => anew(&place, &reading),
                false => next_place(by, &place, &reading, (self.settings.plan.overlap, clock)),
            };
            let records = self.records(reading, heard_at, clock);
            let at = Where::Feed {
                from: Box::new(from),
                to: Box::new(turn.place),
                begins,
                ends: !turn.more,
                complete: by == ChangesBy::Scan,
                asked_at,
            };
            self.apply(Page { plan: self.settings.plan.clone(), records, at }).await?;
            begins = false;
            if !turn.more {
                return Ok(());
            }
        }
    }

    /// Reads a page; with it the time of its arrival, and of the source's clock then.
    async fn page(
        &self,
        by: ChangesBy,
        place: &Place,
        limit: u32,
    ) -> Result<(Reading, Timestamp, Timestamp), Stopped> {
        self.ask(wanted(by, place, self.settings.plan.overlap, limit)).await
    }

    /// Have rows before the page that was just read moved away, so that one behind them may have come to
    /// stand before it, unread?
    async fn has_slipped(&self, by: ChangesBy, place: &Place) -> Result<bool, Stopped> {
        let Some((work, last)) = before(by, place) else { return Ok(false) };
        let (reading, ..) = self.ask(work).await?;
        let same = reading.tickets.first().is_some_and(|row| row.backend_id == last);
        if !same {
            tracing::debug!(sync = %self.name(), "rows of one time moved: they are read again");
        }
        Ok(!same)
    }

    async fn ask(&self, work: Work) -> Result<(Reading, Timestamp, Timestamp), Stopped> {
        let has_cursor = matches!(&work, Work::Changes { cursor: Some(_), .. });
        let heard = self.hear(work).await;
        let now = self.outside.clock.now().wall;
        match heard.answer {
            Answer::Read(reading) => Ok((reading, now, heard.clock.unwrap_or(now))),
            Answer::Refused(error) if has_cursor => Err(Stopped::CursorRefused(error.in_words())),
            Answer::NotSent(reason) => Err(RunFailed::Backend(reason).into()),
            Answer::Busy { error, .. }
            | Answer::Retryable { error, .. }
            | Answer::Refused(error)
            | Answer::Unauthorised(error)
            | Answer::InDoubt(error) => Err(RunFailed::Backend(error.in_words()).into()),
            Answer::Done(_) | Answer::Acknowledged { .. } => {
                Err(RunFailed::Backend("a read was answered as a write".to_owned()).into())
            }
        }
    }

    /// What its source answers, asked through its lane.
    async fn hear(&self, work: Work) -> Heard {
        let deadline = self.outside.clock.now().mono.plus(PAGE_WITHIN);
        let ask = Ask { backend: self.settings.plan.source.clone(), work, deadline };
        let heard = self.gateway.ask(ask).await;
        let gone = || Heard::from(Answer::NotSent("the gateway is being replaced".to_owned()));
        heard.unwrap_or_else(gone)
    }

    fn records(&self, reading: Reading, now: Timestamp, clock: Timestamp) -> Vec<Record> {
        let told = reading.tickets.into_iter().map(|found| told_of_feed(found, now, clock));
        told.map(|told| Record { told, ids: self.ids() }).collect()
    }

    pub(super) fn ids(&self) -> FreshIds {
        fresh(&self.outside)
    }

    /// Applies a page and hands on what came of it.
    async fn apply(&self, page: Page) -> Result<Synced, RunFailed> {
        let applied = self.outside.store.apply(Change::SyncPage(Box::new(page)).into()).await;
        let applied = applied.map_err(|error| match error {
            StoreError::Refused(Refusal::StaleVersion) => RunFailed::Moved,
            error => RunFailed::Store(error),
        })?;
        let Some(Applied::Synced(synced)) = applied.into_iter().next() else {
            return Ok(Synced::default());
        };
        hand_on(&self.gateway, &self.outbox, &synced);
        Ok(*synced)
    }

    async fn failed(&self, reason: String, lost: bool) {
        let failed = Change::SyncFailed { name: self.name(), reason, lost };
        if let Err(error) = self.outside.store.apply(failed.into()).await {
            tracing::warn!(sync = %self.name(), %error, "a failed run was not written down");
        }
    }

    /// Takes a file as if the source had sent it.
    pub(super) async fn replay(
        &self,
        told: Vec<Result<Told, (String, String)>>,
    ) -> Result<(), RunFailed> {
        let mut records = told.into_iter().map(|told| Record { told, ids: self.ids() }).peekable();
        while records.peek().is_some() {
            let records: Vec<_> = records.by_ref().take(RECORDS_AT_ONCE).collect();
            let plan = self.settings.plan.clone();
            self.apply(Page { plan, records, at: Where::File }).await?;
        }
        Ok(())
    }

    /// What the next page would do. Nothing is written.
    pub(super) async fn dry_run(&self, cursor: Option<String>) -> Result<Vec<DrySaid>, RunFailed> {
        let From::Feed(by, size) = self.settings.plan.from else { return Ok(Vec::new()) };
        let row = self.row().await?;
        let place = match cursor {
            Some(cursor) => Place { cursor: Some(cursor), ..Place::default() },
            None => row.place.clone(),
        };
        let read = self.page(by, &place, self.settings.batch.min(size).max(1)).await;
        let (reading, now, clock) = read.map_err(|stopped| match stopped {
            Stopped::CursorRefused(reason) => RunFailed::Backend(reason),
            Stopped::Failed(error) => error,
        })?;
        let mut said = Vec::new();
        for record in self.records(reading, now, clock) {
            said.push(self.would(&row, record).await?);
        }
        Ok(said)
    }

    async fn would(&self, row: &SyncRow, record: Record) -> Result<DrySaid, StoreError> {
        let plan = &self.settings.plan;
        let nothing = |id: String, what| DrySaid { id, what, ours: vec![], written: vec![] };
        let told = match record.told {
            Ok(told) => plan.read(told),
            Err((id, _)) => return Ok(nothing(id, "held")),
        };
        let id = told.id();
        if row.skip.contains(&id) {
            return Ok(nothing(id, "skipped"));
        }
        let reads = &self.outside.reads;
        let theirs = told.backend_id.clone().unwrap_or_default();
        let mut known = Known::default();
        if let Some(ticket) = reads.ticket_by_backend_id(plan.home.clone(), theirs).await? {
            let twin = reads.twin_of(plan.name.clone(), ticket.key).await?;
            let first = || first_twin(plan, &ticket, &told, &Fields::new());
            known.twin = twin.or_else(|| Some(first()));
            let front = reads.first_open_request(ticket.key).await?;
            let front = front.filter(|it| it.state != State::Accepted || it.frozen);
            known.busy = front.is_some();
            known.writing = front.map(|it| it.fields).unwrap_or_default();
            known.ticket = Some(ticket);
        } else if !plan.takes_over {
            return Ok(nothing(id, "unknown"));
        }
        let now = self.outside.clock.now().wall;
        Ok(match decide(plan, &told, known, record.ids.ticket, "", now) {
            None => nothing(id, "held"),
            Some(outcome) => DrySaid {
                id,
                what: outcome.event.as_str(),
                ours: outcome.changes.into_iter().map(|(name, value, _)| (name, value)).collect(),
                written: outcome.write.unwrap_or_default().into_iter().collect(),
            },
        })
    }

    /// Looks after what waits: what was held, what nobody told of, and how much its connector is told
    /// that waits. Asks the store only where something has happened since.
    pub(super) async fn mind(&self) {
        if !self.line.is_due(&self.outside) {
            return;
        }
        let looked = async {
            self.take_held().await?;
            if self.settings.plan.from == From::Connector {
                self.sweep().await?;
                self.line.tell_credit(&self.outside, &self.settings.plan).await?;
            }
            Ok::<_, RunFailed>(())
        };
        match looked.await {
            Ok(()) => self.line.looked(),
            Err(error) => {
                tracing::warn!(sync = %self.name(), %error, "what waits was not looked at")
            }
        }
    }

    async fn take_held(&self) -> Result<(), RunFailed> {
        let mut after = String::new();
        let mut again = Vec::new();
        let first = self.outside.reads.held_list(self.name(), String::new(), 1).await?;
        if first.is_empty() {
            return Ok(());
        }
        loop {
            let limit = u32::try_from(RECORDS_AT_ONCE).unwrap_or(u32::MAX);
            let none = Err((String::new(), String::new()));
            let blank = || Record { told: none.clone(), ids: self.ids() };
            let records = (0..RECORDS_AT_ONCE).map(|_| blank()).collect();
            let at = Where::Held { after, limit };
            let synced = self.apply(Page { plan: self.settings.plan.clone(), records, at }).await?;
            again.extend(synced.again);
            match synced.after {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut again = self.line.to_read(again, self.outside.clock.now().mono);
        again.truncate(AGAIN_MAX);
        self.read_again(again).await
    }

    /// Reads tickets of which only they can say how they are. What is not answered is asked again later.
    async fn read_again(&self, tickets: Vec<(String, Kind)>) -> Result<(), RunFailed> {
        let mut records = Vec::new();
        for (id, kind) in tickets {
            let heard = self.hear(Work::Get { backend_id: id.clone(), kind }).await;
            let now = self.outside.clock.now().wall;
            let told = match heard.answer {
                Answer::Read(reading) => match <[Found; 1]>::try_from(reading.tickets) {
                    Ok([found]) => {
                        let found = Found { backend_id: id, ..found };
                        told_of_feed(found, now, heard.clock.unwrap_or(now))
                    }
                    Err(_) => Err((id, "is not shown when it is read".to_owned())),
                },
                Answer::Refused(error) => Err((id, error.in_words())),
                _ => {
                    self.line.was_not_read(&id, self.outside.clock.now().mono);
                    continue;
                }
            };
            if let Err((id, reason)) = &told {
                tracing::warn!(sync = %self.name(), id, reason,
                    "a ticket cannot be read once more: what was written counts");
            }
            records.push(Record { told, ids: self.ids() });
        }
        if !records.is_empty() {
            self.apply(Page { plan: self.settings.plan.clone(), records, at: Where::Again })
                .await?;
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<(), RunFailed> {
        loop {
            let ids = (0..SWEEP_PAGE).map(|_| self.ids()).collect();
            let sweep = Sweep { plan: self.settings.plan.clone(), ids };
            let applied =
                self.outside.store.apply(Change::SyncSweep(Box::new(sweep)).into()).await?;
            let Some(Applied::SyncSwept(done)) = applied.into_iter().next() else { return Ok(()) };
            if done.events {
                self.outbox.tell(Woken);
            }
            if !done.more {
                return Ok(());
            }
        }
    }
}

/// Why pages stopped.
enum Stopped {
    CursorRefused(String),
    Failed(RunFailed),
}

impl std::convert::From<RunFailed> for Stopped {
    fn from(error: RunFailed) -> Self {
        Self::Failed(error)
    }
}

pub(in crate::actors) fn fresh(outside: &Outside) -> FreshIds {
    let now = outside.clock.now().wall;
    let uuid = || outside.ids.uuid(now);
    FreshIds {
        ticket: TicketKey(uuid()),
        request: RequestId(uuid()),
        second: RequestId(uuid()),
        events: [EventId(uuid()), EventId(uuid())],
    }
}

/// Requests go to their lanes, events to the bus.
pub(in crate::actors) fn hand_on(gateway: &Post<Gateway>, outbox: &Post<Outbox>, synced: &Synced) {
    for request in &synced.submit {
        gateway.tell(Submit::from(Box::new(request.clone())));
    }
    if synced.events {
        outbox.tell(Woken);
    }
}

/// A row of a feed, its time by our clock too.
///
/// # Errors
/// Its id, and what is wrong with it.
pub fn told_of_feed(
    found: Found,
    now: Timestamp,
    clock: Timestamp,
) -> Result<Told, (String, String)> {
    if found.backend_id.is_empty() {
        return Err((String::new(), "has no id".to_owned()));
    }
    let said_at = found.changed_at.unwrap_or(clock);
    let mut fields = found.fields;
    if let Some(status) = found.status {
        fields.insert(STATUS.into(), status.as_str().into());
    }
    Ok(Told {
        backend_id: Some(found.backend_id),
        key: None,
        correlation_key: found.correlation_key,
        kind: crate::model::Kind::default(),
        fields,
        backend_status: found.backend_status,
        url: found.url,
        changed_at: by_our_clock(said_at, now, clock),
        said_at,
        deleted: found.deleted,
    })
}

/// A time of another clock by ours, and never later than now.
pub(super) fn by_our_clock(at: Timestamp, now: Timestamp, clock: Timestamp) -> Timestamp {
    let clock = if mutant!(SkewTrusted) { now } else { clock };
    let ahead = clock.since(now);
    let behind = now.since(clock);
    let ours = if ahead >= CLOCK_GRAIN {
        at.minus(ahead)
    } else if behind >= CLOCK_GRAIN {
        at.plus(behind)
    } else {
        at
    };
    ours.min(now)
}
