//! What a lane does with decisions that are offered to it.

use super::*;
use crate::changes::{Admission, Decide, Decision, LockProof, Refusal};
use crate::model::{ClientNumber, Fence};
use crate::ports::SearchBy;

fn decide(n: u64) -> Box<Decide> {
    let request = request(n, Op::Create);
    let alarm = AlarmRef { source: "probe".into(), id: n.to_string() };
    Box::new(Decide {
        at: OccurrenceRef { alarm, occurrence: 1 },
        version: 1,
        ticket: None,
        lock: LockProof { client: ClientNumber(1), fence: Fence(1), expires: Mono(u64::MAX) },
        request: request.id,
        event_id: EventId(Uuid::nil()),
        decision: Decision::Create {
            ticket: request.ticket,
            correlation_key: CorrelationKey(format!("tg{n}")),
            fields: request.fields,
        },
        reason: "raised".into(),
        along: vec![],
        admission: Admission::default(),
        storm: None,
    })
}

impl Bench {
    /// True: it was taken.
    fn offer(&mut self, n: u64) -> bool {
        let sets = self.sets.len();
        self.requests.push(request(n, Op::Create));
        self.feed(Input::Offered(decide(n)));
        let declined = self.others.iter().any(
            |effect| matches!(effect, Effect::Declined(it) if it.request == decide(n).request),
        );
        let taken = self.sets.len() > sets
            && matches!(&self.sets[sets].0[..], [Change::Decide(_), Change::Intend(it)]
                if it.with_decision && it.attempts == 0 && it.request == decide(n).request);
        assert_ne!(taken, declined, "it is one or the other");
        taken
    }

    /// Offers one to a lane whose store has yet to answer.
    fn offer_and_wait(&mut self, n: u64) -> Turn {
        let effects = self.lane.step(Input::Offered(decide(n)), self.now, &mut self.dice);
        let [Effect::Store(turn, _), ..] = effects[..] else { panic!("not taken: {effects:?}") };
        turn
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.lane.step(input, self.now, &mut self.dice)
    }
}

fn decided(request: Option<Request>) -> Applied {
    Applied::Decided { request: request.map(Box::new), first: true, events: false }
}

#[test]
fn an_idle_lane_stores_a_decision_with_the_intent_and_makes_the_call() {
    let mut bench = Bench::new(settings());
    assert!(bench.offer(1));
    assert_eq!((bench.sets.len(), bench.calls.len()), (1, 1));
    assert_eq!(bench.calls[0].1.request, Some(decide(1).request));
    assert!(!bench.offer(2), "one call at a time");
    bench.answer(done("INC1"));
    assert_eq!(bench.state(1), State::Done);
    assert!(bench.offer(3), "and it is idle again");
}

#[test]
fn nothing_is_taken_while_the_set_before_is_at_the_store() {
    let mut bench = Bench::new(settings());
    bench.offer_and_wait(1);
    assert!(!bench.offer(2));
}

#[test]
fn a_lane_of_short_calls_takes_a_few_decisions_beside_one() {
    let mut bench = Bench::new(settings());
    assert!(bench.offer(1));
    bench.answer(done("INC1"));
    assert!(bench.offer(2));
    for n in 3..3 + PRIMED_MAX as u64 {
        assert!(bench.offer(n), "beside the call of the second");
    }
    assert!(!bench.offer(9), "they are as many as may be");
    for n in 2..3 + PRIMED_MAX as u64 {
        assert_eq!(bench.calls[0].1.request, Some(decide(n).request));
        bench.answer(done("x"));
    }

    let mut bench = Bench::new(LaneSettings { capability: Capability::None, ..settings() });
    assert!(bench.offer(1));
    bench.answer(done("INC1"));
    assert!(bench.offer(2));
    assert!(!bench.offer(3), "a crash would leave two doubts for a person");
}

#[test]
fn a_lane_that_is_not_ours_or_paused_or_stopping_declines() {
    let mut bench = Bench::new(settings());
    bench.lane = Lane::new(BackendId::new("crm"), settings());
    assert!(!bench.offer(1), "not ours");

    let mut bench = Bench::new(settings());
    bench.feed(Input::Paused(Pause { since: at(0), reason: "r".into(), by: "ann".into() }));
    assert!(!bench.offer(1), "paused");
    bench.feed(Input::Resumed);
    assert!(bench.offer(2));

    let mut bench = Bench::new(settings());
    bench.feed(Input::Drain);
    assert!(!bench.offer(1), "stopping");
}

#[test]
fn a_lane_that_makes_no_calls_for_a_while_declines() {
    let mut bench = Bench::new(settings());
    assert!(bench.offer(1));
    let pause = Some(Duration::from_secs(5));
    let (turn, _) = bench.call();
    bench.feed(Input::Answered(turn, Heard { quiet: pause, ..done("INC1").into() }));
    assert!(!bench.offer(2), "the backend wants to be left alone");
    bench.pass(Duration::from_secs(6));
    assert!(bench.offer(3));

    let rate = Rate { calls: 1, per: Duration::from_secs(10), burst: 1 };
    let mut bench = Bench::new(LaneSettings { rate: Some(rate), ..settings() });
    assert!(bench.offer(1));
    bench.answer(done("INC1"));
    assert!(!bench.offer(2), "its rate is used up");

    let mut bench = Bench::new(LaneSettings { breaker_after: 1, ..settings() });
    assert!(bench.offer(1));
    bench.answer(lost());
    assert!(bench.lane.glance(bench.now).breaker_open);
    assert!(!bench.offer(2), "the breaker is open");
}

#[test]
fn a_lane_with_too_many_doubts_or_with_a_look_that_is_due_declines() {
    let mut bench = Bench::new(LaneSettings { max_in_doubt: 1, ..settings() });
    assert!(bench.offer(1));
    bench.answer(lost());
    assert!(!bench.offer(2), "too many doubts");

    let mut bench = Bench::new(settings());
    assert!(bench.offer(1));
    bench.answer(lost());
    assert!(bench.offer(2), "a doubt that settles holds nobody else");
    bench.answer(done("INC2"));
    // The clock has not told the lane yet.
    bench.now.mono = bench.now.mono.plus(SETTLE);
    assert!(!bench.offer(3), "its look goes first");
}

#[test]
fn a_lane_with_unconfirmed_writes_declines_where_they_are_too_many_or_overdue() {
    let settings = LaneSettings { confirm_within: Duration::from_secs(60), ..settings() };
    let mut bench = Bench::new(settings);
    let taken = (1..=UNCONFIRMED_MAX as u64).map(|n| request(n, Op::Update)).collect();
    bench.feed(Input::Taken {
        epoch: Epoch(2),
        pause: None,
        doubts: vec![],
        unconfirmed: taken,
        held: vec![],
    });
    assert!(!bench.offer(2_000), "too many");
    bench.feed(Input::Moved(request(1, Op::Update).id));
    assert!(bench.offer(2_001));
    bench.answer(done("INC1"));
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(61));
    let effects = bench.step(Input::Offered(decide(2_002)));
    assert!(matches!(effects[0], Effect::Declined(_)), "an overdue one goes first");
}

#[test]
fn a_lane_that_does_not_know_that_nothing_waits_declines() {
    let mut bench = Bench::new(settings());
    let taken = Input::Taken {
        epoch: Epoch(2),
        pause: None,
        doubts: vec![],
        unconfirmed: vec![],
        held: vec![],
    };
    assert!(bench.step(taken).iter().any(|effect| matches!(effect, Effect::Load(_))));
    let empty =
        |class| Input::Loaded { class, requests: Some(vec![]), all: true, next_ready: None };
    for class in 0..3 {
        let effects = bench.step(Input::Offered(decide(1)));
        assert!(matches!(effects[0], Effect::Declined(_)), "class {class} may have older ones");
        bench.step(empty(class));
    }
    assert!(bench.offer(1));
    bench.answer(done("INC1"));

    // Rows that wait have become ready, and nobody has looked.
    let next_ready = Some(Duration::from_secs(1));
    bench.feed(Input::Loaded { class: 2, requests: Some(vec![]), all: true, next_ready });
    assert!(bench.offer(2));
    bench.answer(done("INC2"));
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(2));
    let effects = bench.step(Input::Offered(decide(3)));
    assert!(matches!(effects[0], Effect::Declined(_)));
}

#[test]
fn what_waits_here_goes_before_what_is_offered() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.submit(2, Op::Update);
    assert!(!bench.offer(3));

    // Ready, and held back by the rate alone.
    let rate = Rate { calls: 1, per: Duration::from_secs(10), burst: 1 };
    let mut bench = Bench::new(LaneSettings { rate: Some(rate), ..settings() });
    bench.submit(1, Op::Create);
    bench.answer(done("INC1"));
    bench.submit(2, Op::Update);
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(11));
    assert!(!bench.offer(3), "the update has waited");

    let mut bench = Bench::new(LaneSettings { rate: Some(rate), ..settings() });
    bench.submit(1, Op::Create);
    bench.answer(done("INC1"));
    let work = Work::Search { by: SearchBy::Fields(Fields::new()), kind: Kind::Incident, limit: 2 };
    bench.feed(Input::Asked(Read { id: 1, work, deadline: Mono(u64::MAX) }));
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(11));
    assert!(!bench.offer(2), "the search has waited");
}

#[test]
fn what_the_store_refuses_is_forgotten_and_the_lane_goes_on() {
    let mut bench = Bench::new(settings());
    for (n, refusal) in [(1, Refusal::StaleVersion), (2, Refusal::Full), (3, Refusal::Conflict)] {
        let turn = bench.offer_and_wait(n);
        let effects = bench.step(Input::Stored(turn, Err(StoreError::Refused(refusal))));
        assert!(!effects.iter().any(|it| matches!(it, Effect::Store(..) | Effect::Load(_))));
        assert!(bench.lane.quiet());
    }
    assert!(bench.offer(4));
}

#[test]
fn a_lane_that_has_a_newer_holder_is_lost_with_what_it_took() {
    let mut bench = Bench::new(settings());
    let turn = bench.offer_and_wait(1);
    let effects = bench.step(Input::Stored(turn, Err(StoreError::Refused(Refusal::StaleEpoch))));
    assert!(effects.contains(&Effect::Lost));
    assert!(!bench.offer(2));
}

#[test]
fn what_a_store_that_is_down_did_not_take_is_not_given_again() {
    let mut bench = Bench::new(settings());
    bench.store_down = true;
    assert!(bench.offer(1));
    assert!(bench.lane.quiet() && bench.calls.is_empty());
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Ops("store_down", _))));
    assert!(!bench.offer(2), "not at once");
    bench.store_down = false;
    bench.pass(Duration::from_secs(2));
    assert_eq!((bench.sets.len(), bench.calls.len()), (1, 0));
    assert!(bench.offer(3));
}

#[test]
fn a_decision_that_made_nothing_leaves_the_lane_as_it_was() {
    let mut bench = Bench::new(settings());
    let turn = bench.offer_and_wait(1);
    let effects = bench.step(Input::Stored(turn, Ok(vec![decided(None), Applied::Skipped])));
    assert!(!effects.iter().any(|it| matches!(it, Effect::Store(..) | Effect::Load(_))));
    assert!(bench.lane.quiet());
    assert!(bench.offer(2));
}

#[test]
fn what_may_not_go_at_once_goes_as_what_is_submitted_does() {
    let mut bench = Bench::new(settings());
    let turn = bench.offer_and_wait(1);
    let made = request(1, Op::Update);
    bench.requests.push(made.clone());
    bench.feed(Input::Stored(turn, Ok(vec![decided(Some(made)), Applied::Skipped])));
    let [Change::Intend(it)] = &bench.sets[0].0[..] else { panic!("{:?}", bench.sets) };
    assert!(!it.with_decision);
    assert_eq!(bench.calls.len(), 1);

    // A person has held its ticket meanwhile: it stays in the store.
    let mut bench = Bench::new(settings());
    let turn = bench.offer_and_wait(1);
    let made = request(1, Op::Create);
    bench.feed(Input::Held(made.ticket, true));
    bench.feed(Input::Stored(turn, Ok(vec![decided(Some(made)), Applied::Skipped])));
    assert!(bench.sets.is_empty() && bench.calls.is_empty());
}

#[test]
fn events_of_a_decision_wake_the_outbox() {
    let mut bench = Bench::new(settings());
    let turn = bench.offer_and_wait(1);
    let told = Applied::Decided { request: None, first: true, events: true };
    let effects = bench.step(Input::Stored(turn, Ok(vec![told, Applied::Skipped])));
    assert!(effects.contains(&Effect::WakeOutbox));
}
