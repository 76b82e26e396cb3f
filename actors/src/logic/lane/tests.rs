//! The lane by example. `Bench` plays the store and the clock; each test plays the backend.

mod hands;
mod offered;
mod primed;

use super::judge::{Judged, Look};
use super::*;
use crate::changes::{Applied, Change, ChangeSet, Concluded, Level};
use crate::model::{
    AlarmRef, CorrelationKey, Doubt, Fields, Found, Kind, MadeBy, OccurrenceRef, Op, Origin,
    RequestId, State, TicketError, TicketKey, TicketStatus, Timestamp,
};
use crate::ports::{Call, Reading, StoreError, Work};
use crate::testing::at;
use uuid::Uuid;

struct Dull(u128);
impl Dice for Dull {
    fn event_id(&mut self) -> EventId {
        self.0 += 1;
        EventId(Uuid::from_u128(self.0))
    }
    fn chance(&mut self) -> f64 {
        1.0
    }
}

fn settings() -> LaneSettings {
    LaneSettings {
        capability: Capability::Searchable,
        readable: true,
        timeout: Duration::from_secs(10),
        index_lag: Duration::from_secs(2),
        retries: 1,
        ..LaneSettings::default()
    }
}

pub(super) fn ticket(n: u64) -> Ticket {
    let key = TicketKey(Uuid::from_u128(u128::from(n)));
    let place = (BackendId::new("crm"), Kind::Incident);
    let origin = Origin::Command { id: n.to_string() };
    let ticket = Ticket::pending(key, place, CorrelationKey(format!("tg{n}")), origin, "n", at(0));
    Ticket { backend_id: Some(format!("INC{n}")), ..ticket }
}

pub(super) fn request(n: u64, op: Op) -> Request {
    let alarm = AlarmRef { source: "probe".into(), id: n.to_string() };
    let made_by = MadeBy::Level { at: OccurrenceRef { alarm, occurrence: 1 }, version: 1 };
    let place = (BackendId::new("crm"), TicketKey(Uuid::from_u128(u128::from(n))));
    let fields = Fields::from_iter([("summary".to_owned(), "s".into())]);
    let id = RequestId(Uuid::from_u128(1_000 + u128::from(n)));
    Request { n, ..Request::accepted(id, place, op, made_by, fields, at(1_000_000)) }
}

/// A lane with a store that does what it is told, in memory.
struct Bench {
    lane: Lane,
    now: Moment,
    dice: Dull,
    requests: Vec<Request>,
    calls: Vec<(Turn, Call)>,
    sets: Vec<ChangeSet>,
    others: Vec<Effect>,
    store_down: bool,
}

impl Bench {
    fn new(settings: LaneSettings) -> Self {
        let mut bench = Self {
            lane: Lane::new(BackendId::new("crm"), settings),
            now: Moment { wall: at(1_000_000), mono: Mono(500_000) },
            dice: Dull(0),
            requests: vec![],
            calls: vec![],
            sets: vec![],
            others: vec![],
            store_down: false,
        };
        bench.feed(Input::Taken {
            epoch: Epoch(1),
            pause: None,
            doubts: vec![],
            unconfirmed: vec![],
            held: vec![],
        });
        bench
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.lane.step(input, self.now, &mut self.dice) {
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Load(class) => {
                let ready = |request: &&Request| {
                    request.state == State::Wait
                        && class_of(request.op) == class
                        && request.ready_at <= self.now.wall
                };
                let requests = Some(self.requests.iter().filter(ready).cloned().collect());
                return Some(Input::Loaded { class, requests, all: true, next_ready: None });
            }
            Effect::Call(turn, call) => self.calls.push((turn, *call)),
            Effect::Store(turn, set) => {
                self.sets.push(set.clone());
                let result = if self.store_down {
                    Err(StoreError::Down("full".into()))
                } else {
                    Ok(set.0.iter().map(|change| self.apply(change)).collect())
                };
                return Some(Input::Stored(turn, result));
            }
            Effect::WakeAt(_) => {}
            other => self.others.push(other),
        }
        None
    }

    fn apply(&mut self, change: &Change) -> Applied {
        let row = |requests: &mut Vec<Request>, id| {
            requests.iter().position(|request| request.id == id).expect("it was submitted")
        };
        match change {
            Change::Intend(it) => {
                let n = row(&mut self.requests, it.request);
                let request = &mut self.requests[n];
                request.state = State::Intent;
                request.attempts += 1;
                request.doubt = None;
                Applied::Intended(Box::new(request.clone()), Box::new(ticket(request.n)))
            }
            Change::Conclude(it) => {
                let n = row(&mut self.requests, it.request);
                let request = &mut self.requests[n];
                assert_eq!(it.attempt, request.attempts);
                match &it.end {
                    End::Wait { ready_at, counted, .. } => {
                        request.state = State::Wait;
                        request.ready_at = *ready_at;
                        request.refusals += u32::from(*counted);
                    }
                    End::NotSent(_) => {
                        request.state = State::Wait;
                        request.attempts -= 1;
                    }
                    End::InDoubt { look_at, .. } => {
                        request.state = State::InDoubt;
                        request.doubt = Some(Doubt {
                            since: self.now.wall,
                            reason: String::new(),
                            absent_looks: 0,
                            look_at: *look_at,
                        });
                    }
                    End::AbsentOnce { look_at } => {
                        let doubt = request.doubt.as_mut().unwrap();
                        doubt.absent_looks += 1;
                        doubt.look_at = *look_at;
                    }
                    End::Acknowledged { .. } => request.state = State::Acknowledged,
                    End::Done(_) => request.state = State::Done,
                    End::Adopted(_) => request.state = State::Adopted,
                    End::Rejected(_) => request.state = State::Rejected,
                    End::Failed(_) => request.state = State::Failed,
                    End::Cancelled(_) => request.state = State::Cancelled,
                    End::Superseded(_) => request.state = State::Superseded,
                    End::Undecided(_) => request.state = State::Undecided,
                }
                Applied::Concluded(Box::new(Concluded {
                    request: request.clone(),
                    ticket: ticket(request.n),
                    next: None,
                    due: None,
                    events: false,
                }))
            }
            _ => Applied::Done,
        }
    }

    fn submit(&mut self, n: u64, op: Op) {
        let request = request(n, op);
        self.requests.push(request.clone());
        self.feed(Input::Submitted(Box::new(request)));
    }

    fn pass(&mut self, span: Duration) {
        self.now.mono = self.now.mono.plus(span);
        self.now.wall = self.now.wall.plus(span);
        self.feed(Input::Tick);
    }

    /// The call under way, and only one.
    fn call(&mut self) -> (Turn, Call) {
        assert_eq!(self.calls.len(), 1, "{:?}", self.calls);
        self.calls.remove(0)
    }

    fn answer(&mut self, answer: Answer) {
        let (turn, _) = self.call();
        self.feed(Input::Answered(turn, answer.into()));
    }

    fn state(&self, n: u64) -> State {
        self.requests.iter().find(|request| request.n == n).unwrap().state
    }
}

fn done(id: &str) -> Answer {
    Answer::Done(Found { backend_id: id.into(), ..Found::default() })
}
fn lost() -> Answer {
    Answer::InDoubt(TicketError::because("no answer"))
}
fn found(keys: &[&str]) -> Answer {
    let tickets = keys.iter().map(|key| Found {
        backend_id: format!("id-{key}"),
        correlation_key: Some((*key).to_owned()),
        ..Found::default()
    });
    Answer::Read(Reading { tickets: tickets.collect(), ..Reading::default() })
}
const SETTLE: Duration = Duration::from_secs(22);

#[test]
fn the_intent_is_stored_before_the_call_and_shares_its_set_with_the_outcome_before() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    assert!(matches!(bench.sets[0].0[..], [Change::Intend(_)]));
    bench.submit(2, Op::Create);
    assert_eq!(bench.calls.len(), 1, "one call at a time");
    bench.answer(done("INC1"));
    assert!(matches!(bench.sets[1].0[..], [Change::Conclude(_), Change::Intend(_)]));
    assert_eq!((bench.state(1), bench.state(2)), (State::Done, State::Intent));
}

#[test]
fn creates_go_before_closes_before_updates_and_what_is_aged_before_all() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Update); // goes at once: the lane is idle
    for (n, op) in [(2, Op::Update), (3, Op::Close), (4, Op::Create)] {
        bench.submit(n, op);
    }
    let mut order = vec![];
    for _ in 0..4 {
        let (turn, call) = bench.call();
        order.push(call.request.unwrap().0.as_u128() - 1_000);
        bench.feed(Input::Answered(turn, done("x").into()));
    }
    assert_eq!(order, [1, 4, 3, 2]);

    bench.submit(5, Op::Update);
    bench.submit(6, Op::Update);
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(61));
    bench.now.wall = bench.now.wall.plus(Duration::from_secs(61));
    let mut fresh = request(7, Op::Create);
    fresh.ready_at = bench.now.wall;
    bench.requests.push(fresh.clone());
    bench.feed(Input::Submitted(Box::new(fresh)));
    bench.answer(done("x"));
    assert_eq!((bench.state(6), bench.state(7)), (State::Intent, State::Accepted));
}

#[test]
fn what_was_not_sent_costs_no_attempt_and_holds_the_lane() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    for _ in 0..5 {
        bench.answer(Answer::NotSent("connection refused".into()));
        assert!(bench.calls.is_empty(), "the lane holds");
        bench.pass(Duration::from_secs(61));
    }
    assert_eq!(bench.requests[0].refusals, 0);
    bench.answer(done("INC1"));
    assert_eq!(bench.state(1), State::Done);
}

#[test]
fn a_busy_backend_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    let error = TicketError::because("busy");
    bench.answer(Answer::Busy { error, retry_after: Some(Duration::from_secs(7)) });
    bench.pass(Duration::from_millis(6_900));
    assert!(bench.calls.is_empty());
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.calls.len(), 1);
}

#[test]
fn retries_count_what_the_backend_refused_and_then_it_has_failed() {
    let mut bench = Bench::new(settings()); // one retry
    bench.submit(1, Op::Create);
    let again = || Answer::Retryable {
        error: TicketError::because("try later"),
        retry_after: Some(Duration::ZERO),
    };
    bench.answer(again());
    assert_eq!(bench.state(1), State::Intent, "the second attempt is under way");
    bench.answer(again());
    assert_eq!(bench.state(1), State::Failed);
}

#[test]
fn a_lost_create_settles_is_looked_for_twice_and_only_then_sent_again() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    assert_eq!(bench.state(1), State::InDoubt);
    bench.pass(SETTLE - Duration::from_millis(1));
    assert!(bench.calls.is_empty(), "a look before it has settled proves nothing");
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.calls[0].1.work, Work::Search { .. }));
    bench.answer(found(&[]));
    bench.pass(Duration::from_millis(1_999));
    assert!(bench.calls.is_empty(), "looks stand at least the index lag apart");
    bench.pass(Duration::from_millis(1));
    bench.answer(found(&[]));
    assert!(matches!(bench.calls[0].1.work, Work::Create { .. }));
    bench.answer(done("INC1"));
    assert_eq!((bench.state(1), bench.requests[0].attempts), (State::Done, 2));
}

#[test]
fn every_call_of_a_request_goes_by_the_service_that_it_was_accepted_for() {
    let mut bench = Bench::new(settings());
    let two = Request { service: Some("two".into()), ..request(1, Op::Create) };
    bench.requests.push(two.clone());
    bench.feed(Input::Submitted(Box::new(two)));
    let by = |bench: &Bench| (bench.calls[0].1.via.clone(), bench.calls[0].1.ticket.is_some());
    let two = (Via::Accepted(Some("two".into())), true);
    assert_eq!(by(&bench), two);
    bench.answer(lost());
    bench.pass(SETTLE);
    assert!(matches!(bench.calls[0].1.work, Work::Search { .. }));
    assert_eq!(by(&bench), two, "the look for its doubt");
    bench.answer(found(&["tg1"]));
    // What was accepted before there were services, and what nobody accepted.
    bench.submit(2, Op::Update);
    assert_eq!(by(&bench), (Via::Accepted(None), true));
    bench.answer(done("INC2"));
    let work = Work::Get { backend_id: "INC2".into(), kind: Kind::Incident };
    bench.feed(Input::Asked(Read { id: 1, work, deadline: Mono(u64::MAX) }));
    assert_eq!(by(&bench), (Via::Selected, false));
}

#[test]
fn a_lost_create_that_is_found_is_ours() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(SETTLE);
    bench.answer(found(&["tg1"]));
    assert_eq!((bench.state(1), bench.requests[0].attempts), (State::Adopted, 1));
}

#[test]
fn a_failed_or_ambiguous_look_never_reads_as_absent() {
    let refused = || Answer::Refused(TicketError::because("400"));
    for look in [found(&["tg1", "tg1"]), found(&["another"]), refused(), done("INC9")] {
        let mut bench = Bench::new(settings());
        bench.submit(1, Op::Create);
        bench.answer(lost());
        bench.pass(SETTLE);
        bench.answer(look.clone());
        assert_eq!(bench.state(1), State::Undecided, "{look:?}");
    }
}

#[test]
fn unanswered_looks_are_repeated_and_end_undecided_but_an_outage_is_waited_out() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(SETTLE);
    for _ in 0..20 {
        bench.answer(Answer::NotSent("connection refused".into()));
        bench.pass(Duration::from_secs(61));
    }
    assert_eq!(bench.state(1), State::InDoubt);
    // Nothing was answered since: these are the breaker's probes, and there is more patience.
    for _ in 0..59 {
        bench.answer(lost());
        bench.pass(Duration::from_secs(61));
    }
    assert_eq!(bench.state(1), State::InDoubt);
    bench.answer(lost());
    assert_eq!(bench.state(1), State::Undecided);
}

#[test]
fn looks_that_are_not_answered_while_others_are_end_undecided_sooner() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(SETTLE);
    for n in 2..2 + u64::from(judge::UNANSWERED_LOOKS_MAX) {
        assert_eq!(bench.state(1), State::InDoubt);
        bench.answer(lost());
        bench.submit(n, Op::Create);
        bench.answer(done("x"));
        bench.pass(Duration::from_secs(61));
    }
    assert_eq!(bench.state(1), State::Undecided);
}

#[test]
fn where_nothing_can_be_known_a_person_is_asked_unless_the_config_says_otherwise() {
    let none = LaneSettings { capability: Capability::None, ..settings() };
    let mut bench = Bench::new(none.clone());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    assert_eq!(bench.state(1), State::Undecided);

    let mut bench = Bench::new(LaneSettings { retry_may_duplicate: true, ..none });
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(Duration::from_secs(61));
    assert_eq!(bench.calls.len(), 1, "sent again, by explicit config");
}

#[test]
fn an_idempotent_backend_is_simply_asked_again_within_the_keys_life() {
    let keyed = LaneSettings {
        capability: Capability::IdempotencyKey,
        key_ttl: Duration::from_secs(100),
        ..settings()
    };
    let mut bench = Bench::new(keyed);
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(Duration::from_secs(2));
    assert!(matches!(bench.calls[0].1.work, Work::Create { .. }));
    bench.answer(lost());
    bench.pass(Duration::from_secs(101));
    assert_eq!(bench.state(1), State::Undecided, "the backend may have forgotten the key");
}

#[test]
fn a_lost_update_is_read_back_and_sent_again_only_if_it_is_not_there() {
    for (summary, state, calls) in [("s", State::Done, 0), ("old", State::Intent, 1)] {
        let mut bench = Bench::new(settings());
        bench.submit(1, Op::Update);
        bench.answer(lost());
        bench.pass(SETTLE);
        let mut shown = Found { backend_id: "INC1".into(), ..Found::default() };
        shown.fields.insert("summary".into(), summary.into());
        bench.answer(Answer::Read(Reading { tickets: vec![shown], ..Reading::default() }));
        assert_eq!((bench.state(1), bench.calls.len()), (state, calls), "{summary}");
    }
}

#[test]
fn refused_credentials_cost_one_call_and_pause_the_lane_until_a_person_resumes_it() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.submit(2, Op::Create);
    bench.answer(Answer::Unauthorised(TicketError::because("401")));
    bench.pass(Duration::from_secs(3_600));
    assert!(bench.calls.is_empty());
    assert!(bench.sets.iter().flat_map(|s| &s.0).any(|c| matches!(c, Change::PauseLane(..))));
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Ops("paused", _))));
    bench.feed(Input::Resumed);
    bench.answer(done("INC1"));
    bench.answer(done("INC2"));
    assert_eq!((bench.state(1), bench.state(2)), (State::Done, State::Done));
}

#[test]
fn an_answer_of_an_old_turn_changes_nothing() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    let (turn, _) = bench.call();
    bench.feed(Input::Answered(turn, done("INC1").into()));
    let sets = bench.sets.len();
    bench.feed(Input::Answered(turn, lost().into()));
    assert_eq!(bench.sets.len(), sets);
    assert_eq!(bench.state(1), State::Done);
}

#[test]
fn with_max_in_doubt_no_more_writes_go_out() {
    let mut bench = Bench::new(LaneSettings { max_in_doubt: 2, ..settings() });
    for n in 1..=3 {
        bench.submit(n, Op::Create);
    }
    bench.answer(lost());
    bench.answer(lost());
    assert!(bench.calls.is_empty(), "two doubts are enough");
    assert!(bench.lane.glance(bench.now).held.is_some());
    bench.pass(SETTLE);
    bench.answer(found(&["tg1"]));
    bench.answer(found(&["tg2"]));
    assert_eq!(bench.state(3), State::Intent, "the doubts have ended: it goes on");
}

#[test]
fn an_outcome_that_the_store_could_not_take_is_given_again() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.store_down = true;
    bench.answer(done("INC1"));
    assert_eq!(bench.state(1), State::Intent);
    bench.store_down = false;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.state(1), State::Done);
    assert!(bench.calls.is_empty(), "it was not called again");
}

#[test]
fn a_level_that_moved_on_is_rendered_again_or_superseded() {
    for (level, expected) in
        [(Some(Level { version: 2, fields: Fields::new() }), "intent"), (None, "superseded")]
    {
        let mut lane = Lane::new(BackendId::new("crm"), settings());
        let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
        let mut dice = Dull(0);
        lane.step(
            Input::Taken {
                epoch: Epoch(1),
                pause: None,
                doubts: vec![],
                unconfirmed: vec![],
                held: vec![],
            },
            now,
            &mut dice,
        );
        let moved = Box::new(request(1, Op::Update));
        let effects = lane.step(Input::Submitted(moved.clone()), now, &mut dice);
        let Some(Effect::Store(turn, _)) =
            effects.into_iter().find(|e| matches!(e, Effect::Store(..)))
        else {
            panic!("an intent was expected")
        };
        let alarm = crate::logic::occurrence::absorb(
            None,
            &crate::testing::alarm_event("probe", "1"),
            &crate::logic::policy::Routing::default(),
            Timestamp::default(),
        );
        let crate::logic::occurrence::Absorbed::Opened(alarm) = alarm else { panic!("it is new") };
        let stale = Applied::Stale(moved, Box::new(alarm), Vec::new());
        let effects = lane.step(Input::Stored(turn, Ok(vec![stale])), now, &mut dice);
        let Some(Effect::Render(turn, ..)) =
            effects.into_iter().find(|e| matches!(e, Effect::Render(..)))
        else {
            panic!("a rendering was expected")
        };
        let effects = lane.step(Input::Rendered(turn, level), now, &mut dice);
        let set = effects.iter().find_map(|effect| match effect {
            Effect::Store(_, set) => Some(&set.0[0]),
            _ => None,
        });
        match (set.unwrap(), expected) {
            (Change::Intend(it), "intent") => assert_eq!(it.level.as_ref().unwrap().version, 2),
            (Change::Conclude(it), "superseded") => {
                assert!(matches!(it.end, End::Superseded(_)));
            }
            (change, _) => panic!("{change:?}"),
        }
    }
}

#[test]
fn after_a_take_over_old_doubts_settle_anew_and_nothing_is_called_before() {
    let mut bench = Bench::new(settings());
    let mut doubtful = request(1, Op::Create);
    doubtful.state = State::InDoubt;
    doubtful.attempts = 1;
    doubtful.doubt = Some(Doubt {
        since: at(0),
        reason: String::new(),
        absent_looks: 0,
        look_at: at(0), // long past by the wall clock
    });
    bench.requests.push(doubtful.clone());
    let doubts = vec![(doubtful, ticket(1))];
    bench.feed(Input::Taken {
        epoch: Epoch(2),
        pause: None,
        doubts,
        unconfirmed: vec![],
        held: vec![],
    });
    bench.pass(SETTLE - Duration::from_millis(1));
    assert!(bench.calls.is_empty());
    bench.pass(Duration::from_millis(1));
    bench.answer(found(&["tg1"]));
    assert_eq!(bench.state(1), State::Adopted);
}

#[test]
fn searches_go_last_are_bounded_and_give_up_at_their_time() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    let search = || Work::Search {
        by: crate::ports::SearchBy::Fields(Fields::new()),
        kind: Kind::Incident,
        limit: 1,
    };
    for id in 0..=READS_MAX as u64 {
        let deadline = bench.now.mono.plus(Duration::from_secs(30));
        bench.feed(Input::Asked(Read { id, work: search(), deadline }));
    }
    let answered =
        |bench: &Bench| bench.others.iter().filter(|e| matches!(e, Effect::AnswerRead(..))).count();
    assert_eq!(answered(&bench), 1, "one too many");
    bench.submit(2, Op::Create);
    bench.answer(done("INC1"));
    assert_eq!(bench.state(2), State::Intent, "the create goes before 256 searches");
    bench.pass(Duration::from_secs(30));
    assert_eq!(answered(&bench), 1 + READS_MAX);
}

#[test]
fn what_changed_is_read_in_the_lane_like_a_search_and_its_clock_comes_along() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    let work = Work::Changes { cursor: Some("c-1".into()), since: None, offset: 0, limit: 9 };
    let deadline = bench.now.mono.plus(Duration::from_secs(300));
    bench.feed(Input::Asked(Read { id: 7, work: work.clone(), deadline }));
    assert_eq!(bench.calls.len(), 1, "one call at a time");
    bench.answer(done("INC1"));
    let (turn, call) = bench.calls.pop().unwrap();
    assert_eq!((&call.work, call.ticket, call.request), (&work, None, None));
    assert_eq!(bench.lane.glance(bench.now).in_flight.as_deref(), Some("changes"));
    let refused = Answer::Refused(TicketError::because("no such cursor"));
    let heard = Heard { clock: Some(at(5)), ..refused.into() };
    bench.feed(Input::Answered(turn, heard.clone()));
    assert!(bench.others.contains(&Effect::AnswerRead(7, heard)), "{:?}", bench.others);
    assert!(bench.lane.quiet());
}

/// What a crash left open is done again at once: nothing of it can be elsewhere.
#[test]
fn a_partners_lane_has_no_doubt_and_its_ticket_needs_no_id_of_theirs() {
    let settings = LaneSettings {
        capability: Capability::Partner,
        readable: false,
        ..LaneSettings::default()
    };
    for op in [Op::Create, Op::Update, Op::Close, Op::Reopen] {
        let mut asked = request(1, op);
        asked.state = State::InDoubt;
        let made = Ticket { backend_id: None, status: TicketStatus::Acknowledged, ..ticket(1) };
        assert!(
            made.is_made() && !Ticket { status: TicketStatus::Pending, ..made.clone() }.is_made()
        );
        let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
        assert_eq!(judge::look(&settings, &asked, &made, now), Look::SendAgain, "{op:?}");
        let judged = judge::answer(&settings, &asked, lost(), false, now, 1.0);
        assert!(matches!(judged, Judged::End(End::InDoubt { .. })), "{op:?}: {judged:?}");
    }
    assert_eq!((settings.settle(), settings.watch_looks()), (Duration::ZERO, 0));
}

#[test]
fn a_draining_lane_makes_no_new_intent() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.submit(2, Op::Create);
    bench.feed(Input::Drain);
    assert!(!bench.lane.quiet());
    bench.answer(done("INC1"));
    assert!(bench.lane.quiet() && bench.calls.is_empty());
    assert_eq!(bench.state(2), State::Accepted);
}

/// A load reads the rows as they are at the store, where an intent that was just given may not be
/// kept yet. A request that came back like this, and was in doubt by then, was sent a second time.
#[test]
fn a_load_that_overtakes_an_intent_does_not_bring_its_request_back() {
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    let mut step = |input| lane.step(input, now, &mut Dull(0));
    step(Input::Taken {
        epoch: Epoch(1),
        pause: None,
        doubts: vec![],
        unconfirmed: vec![],
        held: vec![],
    });
    let loaded = |class, requests: &[Request], all| Input::Loaded {
        class,
        requests: Some(requests.to_vec()),
        all,
        next_ready: None,
    };
    step(loaded(1, &[], true));
    step(loaded(2, &[], true));
    // With one fewer the window runs low: the intent of the first goes to the store, and a load
    // begins beside it.
    let rows: Vec<_> = (1..=16).map(|n| request(n, Op::Create)).collect();
    let effects = step(loaded(0, &rows, false));
    assert!(matches!(effects[..], [Effect::Store(..), Effect::Load(0), ..]), "{effects:?}");
    let mut overtaking = Some(loaded(0, &rows, true));
    let mut intended = vec![];
    let mut effects = VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Store(turn, set) => {
                let mut applied = vec![];
                for change in &set.0 {
                    let Change::Intend(it) = change else {
                        applied.push(Applied::Done);
                        continue;
                    };
                    intended.push(it.request);
                    let mut row = rows.iter().find(|row| row.id == it.request).unwrap().clone();
                    (row.state, row.attempts) = (State::Intent, 1);
                    let ticket = ticket(row.n);
                    applied.push(Applied::Intended(Box::new(row), Box::new(ticket)));
                }
                effects.extend(overtaking.take().into_iter().flat_map(&mut step));
                effects.extend(step(Input::Stored(turn, Ok(applied))));
            }
            Effect::Call(turn, _) => {
                effects.extend(step(Input::Answered(turn, done("x").into())));
            }
            _ => {}
        }
    }
    let expected: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(intended, expected, "each once");
}

#[test]
fn a_row_that_turned_out_to_be_old_makes_the_lane_look_at_the_store_again() {
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    lane.step(
        Input::Taken {
            epoch: Epoch(1),
            pause: None,
            doubts: vec![],
            unconfirmed: vec![],
            held: vec![],
        },
        now,
        &mut Dull(0),
    );
    for class in 0..3 {
        let none = Input::Loaded { class, requests: Some(vec![]), all: true, next_ready: None };
        lane.step(none, now, &mut Dull(0));
    }
    let submitted = Input::Submitted(Box::new(request(1, Op::Create)));
    let effects = lane.step(submitted, now, &mut Dull(0));
    let [Effect::Store(turn, _), ..] = effects[..] else { panic!("{effects:?}") };
    let effects = lane.step(Input::Stored(turn, Ok(vec![Applied::Skipped])), now, &mut Dull(0));
    assert!(effects.contains(&Effect::Load(0)), "{effects:?}");
}

#[test]
fn a_glance_shows_whether_the_lane_gets_on() {
    let mut bench = Bench::new(settings());
    let start = bench.lane.glance(bench.now);
    assert!(start.taken && start.calling_since.is_none() && start.held.is_none());
    bench.requests.push(request(1, Op::Create));
    bench.feed(Input::Submitted(Box::new(request(1, Op::Create))));
    let calling = bench.lane.glance(bench.now);
    assert_eq!(calling.calling_since, Some(bench.now.mono));
    assert!(calling.progress > start.progress, "its intent was stored");
    let (turn, _) = bench.calls.pop().unwrap();
    bench.feed(Input::Answered(turn, Answer::NotSent("refused".into()).into()));
    let held = bench.lane.glance(bench.now);
    assert!(held.progress > calling.progress, "the call came back and was stored");
    assert!(held.calling_since.is_none() && held.held_until.is_some());
    bench.feed(Input::Drain);
    let draining = bench.lane.glance(bench.now);
    assert_eq!(
        (draining.held.as_deref(), draining.held_until),
        (Some("the service is stopping"), None,)
    );
}

#[test]
fn what_is_tried_again_and_again_hides_nobody_who_has_waited_longer() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create); // goes at once
    bench.submit(2, Op::Update);
    bench.submit(3, Op::Update);
    bench.pass(Duration::from_secs(61));
    // The second one has just been tried: it stands first in its class, and is the youngest.
    let mut tried = request(2, Op::Update);
    tried.ready_at = bench.now.wall;
    bench.feed(Input::Submitted(Box::new(tried)));
    bench.answer(done("x"));
    assert_eq!((bench.state(2), bench.state(3)), (State::Accepted, State::Intent));
}

#[test]
fn a_failed_read_does_not_cut_short_what_the_backend_asked_for() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    let error = TicketError::because("busy");
    bench.answer(Answer::Busy { error, retry_after: Some(Duration::from_secs(7)) });
    bench.feed(Input::Loaded { class: 0, requests: None, all: false, next_ready: None });
    bench.pass(Duration::from_millis(6_900));
    assert!(bench.calls.is_empty());
}

#[test]
fn a_lane_that_was_resumed_while_it_was_being_taken_is_not_paused() {
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let pause = Pause { since: at(0), reason: "401".into(), by: "ticketgate".into() };
    lane.step(Input::Resumed, now, &mut Dull(0));
    let taken = Input::Taken {
        epoch: Epoch(1),
        pause: Some(pause.clone()),
        doubts: vec![],
        unconfirmed: vec![],
        held: vec![],
    };
    lane.step(taken, now, &mut Dull(0));
    assert_eq!(lane.glance(now).held, None);
    let again = Input::Taken {
        epoch: Epoch(2),
        pause: Some(pause),
        doubts: vec![],
        unconfirmed: vec![],
        held: vec![],
    };
    lane.step(again, now, &mut Dull(0));
    assert!(lane.glance(now).held.is_some(), "a later pause counts");
}

#[test]
fn an_intent_that_was_skipped_makes_the_lane_look_at_the_rows_again() {
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    lane.step(
        Input::Taken {
            epoch: Epoch(1),
            pause: None,
            doubts: vec![],
            unconfirmed: vec![],
            held: vec![],
        },
        now,
        &mut Dull(0),
    );
    for class in 0..3 {
        let nothing = Input::Loaded { class, requests: Some(vec![]), all: true, next_ready: None };
        lane.step(nothing, now, &mut Dull(0));
    }
    let old_copy = Input::Submitted(Box::new(request(1, Op::Create)));
    let effects = lane.step(old_copy, now, &mut Dull(0));
    let Some(Effect::Store(turn, _)) = effects.first() else { panic!("{effects:?}") };
    let skipped = Input::Stored(*turn, Ok(vec![Applied::Skipped]));
    assert!(lane.step(skipped, now, &mut Dull(0)).contains(&Effect::Load(0)));
}

/// Whatever is said of the second call says nothing of the first, which may have made a ticket.
#[test]
fn a_create_that_is_sent_again_by_its_key_stays_in_doubt_until_it_is_known() {
    let keyed = LaneSettings { capability: Capability::IdempotencyKey, ..settings() };
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let mut sent_again = request(1, Op::Create);
    sent_again.doubt =
        Some(Doubt { since: at(0), reason: String::new(), absent_looks: 0, look_at: at(0) });
    let no = || TicketError::because("no");
    for (answer, undecided) in [
        (Answer::NotSent("connection refused".into()), false),
        (Answer::Busy { error: no(), retry_after: None }, false),
        (Answer::Retryable { error: no(), retry_after: None }, false),
        (Answer::Unauthorised(no()), false),
        (Answer::InDoubt(no()), false),
        (Answer::Refused(no()), true),
    ] {
        let judged = judge::answer(&keyed, &sent_again, answer.clone(), false, now, 1.0);
        let (Judged::End(end) | Judged::Pause(end, _)) = judged;
        let fits = match end {
            End::InDoubt { .. } => !undecided,
            End::Undecided(_) => undecided,
            _ => false,
        };
        assert!(fits, "{answer:?}");
    }
}

#[test]
fn a_key_that_may_die_before_the_backend_has_done_it_is_not_used() {
    let keyed = LaneSettings {
        capability: Capability::IdempotencyKey,
        key_ttl: Duration::from_secs(100),
        ..settings()
    };
    // 5 s to send it, 2 x 10 s to do it.
    for (age, again) in [(74, true), (75, false)] {
        let mut sent = request(1, Op::Create);
        let since = sent.accepted_at;
        let reason = "the answer was lost".to_owned();
        sent.doubt = Some(Doubt { since, reason, absent_looks: 0, look_at: since });
        let now = Moment { wall: since.plus(Duration::from_secs(age)), mono: Mono(500_000) };
        let look = judge::look(&keyed, &sent, &ticket(1), now);
        assert_eq!(look == Look::SendAgain, again, "{age} s");
        // Its intent may be stored late: the key is asked for once more.
        assert_eq!(judge::key_forgotten(&keyed, &sent, now).is_none(), again, "{age} s");
    }
}

#[test]
fn a_wall_clock_that_jumps_while_an_outcome_is_stored_does_not_cut_its_settling_short() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.store_down = true;
    bench.answer(lost());
    bench.now.wall = bench.now.wall.plus(Duration::from_secs(3_600));
    bench.store_down = false;
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.state(1), State::InDoubt);
    bench.pass(SETTLE - Duration::from_millis(2_001));
    assert!(bench.calls.is_empty());
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.calls[0].1.work, Work::Search { .. }));
}

/// T4: the outcome cannot be kept as it was told, and must not be forgotten.
#[test]
fn an_answer_that_names_another_ticket_of_ours_is_for_a_person() {
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    let mut step = |input| lane.step(input, now, &mut Dull(0));
    step(Input::Taken {
        epoch: Epoch(1),
        pause: None,
        doubts: vec![],
        unconfirmed: vec![],
        held: vec![],
    });
    let effects = step(Input::Submitted(Box::new(request(1, Op::Create))));
    let Some(Effect::Store(turn, _)) = effects.first() else { panic!("{effects:?}") };
    let mut row = request(1, Op::Create);
    (row.state, row.attempts) = (State::Intent, 1);
    let intended = Applied::Intended(Box::new(row), Box::new(ticket(1)));
    let effects = step(Input::Stored(*turn, Ok(vec![intended])));
    let Some(Effect::Call(turn, _)) = effects.first() else { panic!("{effects:?}") };
    let effects = step(Input::Answered(*turn, done("INC1").into()));
    let Some(Effect::Store(turn, _)) = effects.first() else { panic!("{effects:?}") };
    let refused = StoreError::Refused(crate::changes::Refusal::Conflict);
    let effects = step(Input::Stored(*turn, Err(refused)));
    let Some(Effect::Store(_, set)) = effects.first() else { panic!("{effects:?}") };
    let [Change::Conclude(conclude)] = &set.0[..] else { panic!("{set:?}") };
    assert!(matches!(conclude.end, End::Undecided(_)));
}
