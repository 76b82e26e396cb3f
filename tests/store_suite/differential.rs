//! The store in memory, which carries the simulator, against SQLite: any sequence of change sets
//! gets the same answers from both, and leaves the same rows.
//!
//! A step is drawn as plain numbers and becomes a change only against the rows as they are then,
//! so that most changes have something to meet: the right version, or one beside it.

use crate::past_cases::span;
use crate::world::{alarm_ref, found, noc, open_requests, routing};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::stores::{SqliteSettings, SqliteStore};
use ticketgate_actors::changes::{
    Admission, Asked, Change, ChangeSet, Conclude, Decide, Decision, End, Intend, LaterAnswer,
    Level, LockProof, Outcome, Past, PersonSays, Retire, Settle, Swept, TakeIn, TakeLane, Walk,
};
use ticketgate_actors::logic::policy::{Routing, Storm};
use ticketgate_actors::model::{
    AlarmState, BackendId, ClientNumber, CorrelationKey, Epoch, EventId, Fence, Fields,
    HistoryList, Mono, Op, Parked, RequestId, State, TicketError, TicketKey, Timestamp,
};
use ticketgate_actors::ports::{
    AlarmFilter, Clock, DueMost, Leaving, Page, Pause, Reads, RequestFilter, Store, TicketFilter,
};
use ticketgate_actors::testing::{ManualClock, MemoryStore, alarm_event};
use uuid::Uuid;

const ALL: Page = Page { before: None, after: None, limit: 10_000 };

/// A step as numbers: what to do, and what to choose on the way.
type Draw = (u8, [u8; 5]);

/// Sets of steps; each group is given to the store at once.
fn groups() -> impl Strategy<Value = Vec<Vec<Vec<Draw>>>> {
    let draw = (0u8..37, any::<[u8; 5]>());
    let set = prop::collection::vec(draw, 1..3);
    prop::collection::vec(prop::collection::vec(set, 1..4), 5..40)
}

struct Pair {
    clock: Arc<ManualClock>,
    memory: Arc<MemoryStore>,
    sqlite: Arc<SqliteStore>,
    next_id: u128,
    folder: TempDir,
}

impl Pair {
    /// `written`: new tickets that are written to their tables at once, and that may be only journaled;
    /// bytes of the journal.
    fn new(written: (usize, usize, usize)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let (written_at_once, unwritten_max, journal_bytes) = written;
        let settings = SqliteSettings::new(folder.path());
        let settings = SqliteSettings { written_at_once, unwritten_max, journal_bytes, ..settings };
        let sqlite = SqliteStore::open(settings, clock.clone(), "node-1".into()).unwrap();
        Self {
            memory: Arc::new(MemoryStore::new(clock.clone(), "node-1")),
            sqlite: Arc::new(sqlite),
            clock,
            next_id: 0,
            folder,
        }
    }

    /// Mostly new; now and then one that is taken.
    fn id(&mut self, pick: u8) -> Uuid {
        if !pick.is_multiple_of(16) {
            self.next_id += 1;
        }
        Uuid::from_u128(self.next_id.max(1))
    }

    async fn change(&mut self, (what, pick): Draw) -> Change {
        let now = self.clock.now().wall;
        match what {
            0..=6 => take_in(pick, now),
            7..=13 => self.decide(pick).await,
            14..=17 => self.intend(pick).await,
            18..=22 => self.conclude(pick).await,
            23 => Change::TakeLane(TakeLane {
                backend: backend(pick[0]),
                settle: Duration::from_secs(u64::from(pick[1])),
                event_id: EventId(self.id(pick[2])),
            }),
            24 => self.settle(pick).await,
            25 => Change::Sent(vec![u64::from(pick[0] % 8), u64::from(pick[1] % 32)]),
            26 => match pick[0] % 3 {
                0 => Change::TakeFences(u64::from(pick[1] % 7) + 1),
                1 => Change::RaiseBarrier(ClientNumber(1), Fence(u64::from(pick[1] % 3))),
                _ => Change::ForgetIdentities { before: now, limit: u32::from(pick[1] % 9) },
            },
            27 => Change::Park(Box::new(Parked {
                n: 0,
                at: now,
                inlet: "alarms".into(),
                message_id: None,
                content_type: Some("text/plain".into()),
                reason: "not a map".into(),
                field: None,
                mended: 0,
                place: None,
                original: None,
                body: pick.to_vec(),
            })),
            29..=31 => self.later(pick).await,
            32 | 33 => self.swept(pick).await,
            34 => Change::Retire(Retire {
                walk: Walk::ALL[usize::from(pick[0] % 3)],
                after: u64::from(pick[1] % 3),
                before: now,
                limit: u32::from(pick[2] % 5),
            }),
            35 | 36 => Change::Past(past(pick, now)),
            28 => {
                let pause = Pause { since: now, reason: "401".into(), by: "ticketgate".into() };
                let epoch = self.epoch(&backend(pick[0]), pick[1]).await;
                Change::PauseLane(backend(pick[0]), epoch, pause)
            }
            _ => Change::ResumeLane {
                backend: backend(pick[0]),
                who: "ann".into(),
                reason: "a new password".into(),
            },
        }
    }

    async fn epoch(&self, backend: &BackendId, pick: u8) -> Epoch {
        let is = self.memory.lane(backend.clone()).await.unwrap().epoch;
        if pick.is_multiple_of(8) { Epoch(is.0 + 1) } else { is }
    }

    async fn any_request(&self, pick: u8) -> Option<ticketgate_actors::model::Request> {
        let rows = self.memory.requests(RequestFilter::default(), ALL).await.unwrap();
        // The newest ones are met most often.
        rows.get(usize::from(pick) % rows.len().clamp(1, 4)).cloned()
    }

    async fn decide(&mut self, pick: [u8; 5]) -> Change {
        let alarm = self.memory.occurrences(alarm_ref(name(pick[0]))).await.unwrap().pop();
        // A flow runs only for a routed alarm.
        let Some(alarm) = alarm.filter(|alarm| alarm.backend.is_some()) else {
            return take_in(pick, self.clock.now().wall);
        };
        let tickets = self.memory.tickets(TicketFilter::default(), ALL).await.unwrap();
        let some = tickets.get(usize::from(pick[2]) % tickets.len().max(1));
        let ticket = alarm.ticket.or(some.map(|(_, ticket)| ticket.key));
        let key = TicketKey(self.id(pick[3]));
        let fields = Fields::from_iter([("summary".to_owned(), pick[4].into())]);
        let correlation_key = CorrelationKey(format!("tg{}", pick[3] % 64));
        let decision = match (pick[1] % 10, ticket) {
            (0, _) if pick[4].is_multiple_of(3) => {
                Decision::Wait(self.clock.now().wall.plus(Duration::from_secs(60)))
            }
            (0, _) => Decision::Nothing,
            (1, _) => Decision::Later(self.clock.now().wall.plus(Duration::from_secs(5))),
            (2, _) => Decision::Adopt {
                ticket: key,
                correlation_key,
                found: Box::new(found(&format!("INC{}", pick[4] % 8))),
                ours: pick[4].is_multiple_of(2),
            },
            (3, Some(ticket)) => Decision::CreateAgain { ticket, fields },
            (4..=6, Some(ticket)) => {
                let op = [Op::Update, Op::Close, Op::Reopen][usize::from(pick[4] % 3)];
                Decision::Write { op, ticket, fields }
            }
            _ => Decision::Create { ticket: key, correlation_key, fields },
        };
        let read = tickets.iter().find(|(_, it)| Some(it.key) == ticket);
        let other = self.memory.occurrences(alarm_ref(name(pick[2]))).await.unwrap().pop();
        let along = other.map(|other| (other.at, other.wanted_version)).into_iter().collect();
        Change::Decide(Box::new(Decide {
            at: alarm.at,
            version: alarm.wanted_version - u64::from(pick[4] % 9 == 1),
            ticket: read.map(|(_, it)| (it.key, it.sequence + u64::from(pick[4] % 9 == 2))),
            lock: LockProof {
                client: ClientNumber(1),
                fence: Fence(u64::from(pick[3] % 4)),
                expires: Mono(if pick[4] % 9 == 3 { 0 } else { u64::MAX }),
            },
            request: RequestId(self.id(pick[1])),
            event_id: EventId(self.id(pick[2])),
            decision,
            reason: "the draw wants it".into(),
            along,
            storm: (pick[4] % 9 == 4)
                .then_some(Storm { tickets: 2, within: Duration::from_secs(5) }),
            admission: admission(),
        }))
    }

    async fn intend(&mut self, pick: [u8; 5]) -> Change {
        let Some(request) = self.any_request(pick[0]).await else {
            return take_in(pick, self.clock.now().wall);
        };
        let level = (pick[1].is_multiple_of(2)).then(|| Level {
            version: u64::from(pick[2] % 4),
            fields: Fields::from_iter([("revision".to_owned(), pick[2].into())]),
        });
        Change::Intend(Box::new(Intend {
            epoch: self.epoch(&request.backend, pick[3]).await,
            backend: request.backend,
            request: request.id,
            attempts: request.attempts + u32::from(pick[4].is_multiple_of(16)),
            level,
            with_decision: pick[3].is_multiple_of(4),
        }))
    }

    /// The intent that half of the decisions share their set with.
    async fn at_once(&mut self, set: &[Change], pick: [u8; 5]) -> Option<Change> {
        let Some(Change::Decide(decide)) = set.last() else { return None };
        let alarm = self.memory.occurrences(decide.at.alarm.clone()).await.unwrap().pop();
        let backend = alarm.and_then(|alarm| alarm.backend).filter(|_| pick[2] % 2 == 1)?;
        Some(Change::Intend(Box::new(Intend {
            epoch: self.epoch(&backend, pick[4]).await,
            backend,
            request: decide.request,
            attempts: 0,
            level: None,
            with_decision: true,
        })))
    }

    async fn conclude(&mut self, pick: [u8; 5]) -> Change {
        let Some(request) = self.any_request(pick[0]).await else {
            return take_in(pick, self.clock.now().wall);
        };
        let later = self.clock.now().wall.plus(Duration::from_secs(u64::from(pick[2] % 8)));
        let error = TicketError::because("it says so");
        let found = Box::new(found(&format!("INC{}", pick[2] % 8)));
        let end = match pick[1] % 13 {
            11 => End::Acknowledged { backend_ref: Some(format!("r{}", pick[2] % 3)) },
            0 => End::Rejected(error),
            1 => End::Failed(error),
            2 => End::Cancelled("dropped".into()),
            3 => End::Superseded("newer".into()),
            4 => End::Wait { ready_at: later, counted: pick[2].is_multiple_of(2), error },
            5 => End::InDoubt { look_at: later, error },
            6 => End::AbsentOnce { look_at: later },
            7 => End::Undecided(error),
            8 => End::Adopted(*found),
            _ => End::Done(*found),
        };
        Change::Conclude(Box::new(Conclude {
            epoch: self.epoch(&request.backend, pick[3]).await,
            backend: request.backend,
            request: request.id,
            attempt: request.attempts + u32::from(pick[4].is_multiple_of(8)),
            end,
            event_ids: [EventId(self.id(pick[2])), EventId(self.id(1))],
            by_later_answer: false,
            watch_looks: u32::from(pick[4] % 3),
        }))
    }

    async fn later(&mut self, pick: [u8; 5]) -> Change {
        let Some(request) = self.any_request(pick[0]).await else {
            return take_in(pick, self.clock.now().wall);
        };
        let tickets = self.memory.tickets(TicketFilter::default(), ALL).await.unwrap();
        let ticket = tickets.iter().find(|(_, it)| it.key == request.ticket).unwrap();
        let asked = match pick[1] % 3 {
            0 => Asked::Request(request.id),
            1 => Asked::Correlation(ticket.1.correlation_key.clone()),
            _ => Asked::Reference(format!("r{}", pick[2] % 3)),
        };
        let outcome = match pick[2] % 4 {
            0 => Outcome::Rejected(TicketError::because("later")),
            1 => Outcome::Done(found("")),
            _ => Outcome::Done(found(&format!("INC{}", pick[2] % 8))),
        };
        Change::LaterAnswer(Box::new(LaterAnswer {
            identity: crate::world::identity(&format!("answer {}", pick[3] % 32)),
            backend: request.backend,
            asked,
            outcome,
            event_id: EventId(self.id(pick[4])),
            watch_looks: u32::from(pick[4] % 3),
        }))
    }

    async fn swept(&mut self, pick: [u8; 5]) -> Change {
        let watched = self.memory.watched(backend(pick[0]), 0, 100).await.unwrap();
        let Some((_, watched, _)) = watched.into_iter().nth(usize::from(pick[1] % 2)) else {
            return self.later(pick).await;
        };
        Change::Swept(Box::new(Swept {
            epoch: self.epoch(&watched.backend, pick[3]).await,
            backend: watched.backend,
            ticket: watched.ticket,
            found: (0..pick[2] % 3).map(|n| format!("INC{n}")).collect(),
            event_id: EventId(self.id(pick[4])),
        }))
    }

    async fn settle(&mut self, pick: [u8; 5]) -> Change {
        let filter = RequestFilter { state: Some(State::Undecided), ..RequestFilter::default() };
        let undecided = self.memory.requests(filter, ALL).await.unwrap().pop();
        let request = undecided.map_or(RequestId(Uuid::from_u128(1)), |request| request.id);
        let says = match pick[0] % 4 {
            0 => PersonSays::Found(format!("INC{}", pick[1] % 8)),
            1 => PersonSays::Absent,
            2 => PersonSays::Done,
            _ => PersonSays::Drop,
        };
        Change::Settle(Box::new(Settle {
            request,
            says,
            seen: None,
            unverified: (pick[2].is_multiple_of(2)).then(|| "it is away".into()),
            who: "ann".into(),
            reason: "I looked".into(),
            event_id: EventId(self.id(pick[2])),
            watch_looks: 0,
        }))
    }

    /// Everything that can be read, from both.
    async fn assert_same(&self) {
        assert_alike(&dump(&*self.memory, &*self.clock).await, &*self.sqlite, &*self.clock).await;
    }

    /// What flows ask for again and again, which has nothing written first.
    async fn assert_same_due(&self) {
        let now = self.clock.now().wall;
        for backend in [noc(), BackendId::new("crm")] {
            for most in [DueMost::of_each(2), DueMost { new: 1, known: 0 }] {
                let one = self.memory.due_alarms(backend.clone(), now, most).await;
                assert_eq!(one, self.sqlite.due_alarms(backend.clone(), now, most).await);
            }
            let one = open_requests(&*self.memory, &backend).await;
            assert_eq!(one, open_requests(&*self.sqlite, &backend).await);
        }
    }

    /// What goes on from the last that was read.
    async fn assert_same_events(&self) {
        let one = self.memory.events_after(0, 100).await;
        assert_eq!(one, self.sqlite.events_after(0, 100).await);
        let one = self.memory.newest_event().await;
        assert_eq!(one, self.sqlite.newest_event().await);
    }

    /// A service that is killed now finds all of it when it starts again.
    async fn assert_recovers(&self) {
        let copy = tempfile::tempdir().unwrap();
        for file in ["ticketgate.db", "ticketgate.db-wal"] {
            std::fs::copy(self.folder.path().join(file), copy.path().join(file)).unwrap();
        }
        let settings = SqliteSettings::new(copy.path());
        let again = SqliteStore::open(settings, self.clock.clone(), "node-1".into()).unwrap();
        assert_alike(&dump(&*self.memory, &*self.clock).await, &again, &*self.clock).await;
    }
}

async fn assert_alike(one: &[String], other: &dyn Reads, clock: &dyn Clock) {
    let other = dump(other, clock).await;
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
}

/// Small, so that draws meet it.
fn admission() -> Admission {
    Admission { creates_only_at: 1, max_open: 3 }
}

fn past(pick: [u8; 5], now: Timestamp) -> Past {
    let list = HistoryList::ALL[usize::from(pick[0] % 3)];
    let upto = u64::from(pick[1] % 4);
    let limit = u32::from(pick[2] % 4);
    match pick[3] % 6 {
        0 => Past::Limit { list, most: upto, before: None, limit },
        1 => Past::Limit { list, most: 99, before: Some(now), limit },
        2 => Past::Stay(list),
        3 => Past::Leave(list, Leaving { upto, span: span(now) }),
        _ => Past::Left { list, upto, limit },
    }
}

fn name(pick: u8) -> &'static str {
    ["a", "b", "c"][usize::from(pick % 3)]
}

fn backend(pick: u8) -> BackendId {
    if pick.is_multiple_of(4) { BackendId::new("crm") } else { noc() }
}

fn take_in(pick: [u8; 5], now: Timestamp) -> Change {
    let mut event = alarm_event("probe", name(pick[0]));
    event.state =
        [AlarmState::Raised, AlarmState::Updated, AlarmState::Cleared][usize::from(pick[1] % 3)];
    let said = Timestamp::from_millis(1_000 + i64::from(pick[2]));
    event.changed_at = (!pick[2].is_multiple_of(5)).then_some(said);
    event.details.text = Some(format!("{:?}", pick[2]));
    event.details.raised_at = said;
    event.body_hash = u64::from(pick[3]);
    let routing = Routing {
        backend: (!pick[4].is_multiple_of(8)).then(|| backend(pick[4])),
        create_delay: Duration::from_secs(u64::from(pick[3] % 3)),
        // Half of the alarms share their tickets.
        rule: (pick[4] % 4 > 1).then(|| "site".to_owned()),
        group: (pick[4] % 4 > 1).then(|| format!("g{}", pick[4] % 2)),
        ..routing()
    };
    let identity = crate::world::identity(&format!("{} {now}", pick[4] % 16));
    Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at: None }))
}

async fn dump(reads: &dyn Reads, clock: &dyn Clock) -> Vec<String> {
    let now = clock.now().wall;
    // What was just committed is handed out once, from memory, to the outbox, which alone marks it as sent.
    // These draws mark what nobody was handed.
    drop(reads.unsent_events(0, 10_000).await);
    let mut out = vec![
        format!("{:#?}", reads.alarms(AlarmFilter::default(), ALL).await),
        format!("{:#?}", reads.requests(RequestFilter::default(), ALL).await),
        format!("{:#?}", reads.unsent_events(3, 10_000).await),
        format!("{:#?}", reads.parked(None, ALL).await),
        format!("{:#?}", reads.figures().await),
    ];
    for list in HistoryList::ALL {
        out.push(format!("{:#?}", reads.history(list, ALL).await));
        out.push(format!("{:#?}", reads.history_count(list).await));
        out.push(format!("{:#?}", reads.nth_history(list, 2).await));
        out.push(format!("{:#?}", reads.leaving(list).await));
    }
    let tickets = reads.tickets(TicketFilter::default(), ALL).await.unwrap();
    for (_, ticket) in &tickets {
        out.push(format!("{:#?}", reads.events_of(ticket.key).await));
    }
    out.push(format!("{tickets:#?}"));
    for backend in [noc(), BackendId::new("crm")] {
        for class in 0..3 {
            let ready = reads.ready_requests(backend.clone(), class, now, 3).await;
            out.push(format!("{ready:#?}"));
        }
        out.push(format!(
            "{:#?}",
            reads.due_alarms(backend.clone(), now, DueMost::of_each(2)).await
        ));
        out.push(format!("{:#?}", reads.next_ready(backend.clone(), now).await));
        out.push(format!("{:#?}", reads.requests_in(backend.clone(), State::InDoubt).await));
        out.push(format!(
            "{:#?}",
            reads.due_alarms(backend.clone(), now, DueMost { new: 2, known: 0 }).await
        ));
        out.push(format!("{}", open_requests(reads, &backend).await));
        out.push(format!("{:#?}", reads.watched(backend.clone(), 0, 100).await));
        out.push(format!("{:#?}", reads.lane(backend.clone()).await));
        out.push(format!("{:#?}", reads.lane_counts(backend).await));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_answer_alike(groups in groups(), written in (1usize..4, 1usize..9, 0usize..20_000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new(written);
            for (n, group) in groups.into_iter().enumerate() {
                let mut sets = Vec::new();
                for draws in group {
                    let mut set = Vec::new();
                    for draw in draws {
                        set.push(pair.change(draw).await);
                        let intend = pair.at_once(&set, draw.1).await;
                        set.extend(intend);
                    }
                    sets.push(ChangeSet(set));
                }
                let one = pair.memory.apply_each(sets.clone()).await;
                let other = pair.sqlite.apply_each(sets.clone()).await;
                assert_eq!(one, other, "{sets:#?}");
                pair.clock.advance(Duration::from_millis(700));
                match n % 8 {
                    0 | 3 => pair.assert_same_due().await,
                    6 => pair.assert_same_events().await,
                    _ => {}
                }
            }
            pair.assert_recovers().await;
            pair.assert_same().await;
        });
    }
}

#[test]
fn the_draws_reach_every_answer() {
    // A property over changes that are all refused would hold for any two stores.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let groups = groups().new_tree(&mut runner).unwrap().current();
        runtime.block_on(async {
            let mut pair = Pair::new((1, 1, 0));
            for draw in groups.into_iter().flatten().flatten() {
                let change = pair.change(draw).await;
                let answer = pair.memory.apply(change.into()).await;
                seen.insert(match answer {
                    Ok(applied) => format!("{:?}", std::mem::discriminant(&applied[0])),
                    Err(error) => error.to_string(),
                });
                pair.clock.advance(Duration::from_millis(700));
            }
        });
    }
    let refused = seen.iter().filter(|it| it.starts_with("refused")).count();
    assert_eq!(refused, 9, "every refusal but none else: {seen:?}");
    assert!(seen.len() - refused >= 9, "{seen:?}");
}
