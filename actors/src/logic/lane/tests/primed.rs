//! Intents that are stored while the call before theirs is under way.

use super::*;
use crate::changes::Refusal;

const SHORT: Duration = Duration::from_millis(20);

impl Bench {
    /// One create was called and done within that time; the next ones wait.
    fn after_a_call_of(span: Duration, settings: LaneSettings, waiting: u64) -> Self {
        let mut bench = Self::new(settings);
        bench.submit(1, Op::Create);
        for n in 2..2 + waiting {
            bench.submit(n, Op::Create);
        }
        bench.pass(span);
        bench.answer(done("INC1"));
        bench
    }

    fn states(&self) -> Vec<State> {
        self.requests.iter().map(|request| request.state).collect()
    }

    /// What gives back, once the call under way has ended: none of those that were primed is called.
    fn gives_back(input: Input) {
        let mut bench = Self::after_a_call_of(SHORT, settings(), 3);
        assert_eq!(bench.states()[2..], [State::Intent, State::Intent]);
        bench.feed(input);
        bench.answer(done("INC2"));
        assert!(bench.calls.is_empty());
        assert_eq!(bench.states()[1..], [State::Done, State::Wait, State::Wait]);
        let tried = bench.requests.iter().map(|request| request.attempts).collect::<Vec<_>>();
        assert_eq!(tried, [1, 1, 0, 0]);
    }
}

#[test]
fn a_few_intents_are_stored_beside_a_call_and_each_is_called_when_the_one_before_has_ended() {
    let mut bench = Bench::after_a_call_of(SHORT, settings(), 5);
    let intents = bench.states().iter().filter(|state| **state == State::Intent).count();
    assert_eq!((bench.calls.len(), intents), (1, 1 + PRIMED_MAX));
    assert_eq!(bench.lane.glance(bench.now).primed, PRIMED_MAX);
    for n in 2..=6 {
        let (turn, call) = bench.call();
        assert_eq!(call.request, Some(request(n, Op::Create).id), "in order");
        let answered = Input::Answered(turn, done("x").into());
        let effects = bench.lane.step(answered, bench.now, &mut bench.dice);
        // Its own outcome is still to be stored.
        let calls = effects.iter().filter(|effect| matches!(effect, Effect::Call(..))).count();
        assert_eq!(calls, usize::from(n < 6));
        for effect in effects {
            if let Some(input) = bench.carry_out(effect) {
                bench.feed(input);
            }
        }
    }
    assert!(bench.states().iter().all(|state| *state == State::Done));
}

#[test]
fn nothing_is_primed_where_a_crash_would_leave_a_doubt_that_cannot_be_found_out() {
    let settings = LaneSettings { capability: Capability::None, ..settings() };
    let bench = Bench::after_a_call_of(SHORT, settings, 3);
    assert_eq!(bench.states()[1..], [State::Intent, State::Accepted, State::Accepted]);
}

#[test]
fn nothing_is_primed_whose_key_the_backend_would_not_know_any_more() {
    let key_ttl = Duration::from_secs(60);
    let settings = LaneSettings { capability: Capability::IdempotencyKey, key_ttl, ..settings() };
    let mut bench = Bench::after_a_call_of(SHORT, settings, 3);
    assert_eq!(bench.states()[1..], [State::Intent, State::Intent, State::Intent]);
    for n in 2..=4 {
        bench.submit(n + 3, Op::Create);
        bench.pass(Duration::from_secs(if n == 2 { 40 } else { 0 }) + SHORT);
        bench.answer(done("x"));
    }
    bench.answer(done("x"));
    assert_eq!(bench.states()[5..], [State::Intent, State::Accepted]);
}

#[test]
fn nothing_is_primed_where_calls_have_a_pace() {
    let rate = Rate { calls: 1_000, per: Duration::from_secs(1), burst: 1_000 };
    let bench = Bench::after_a_call_of(SHORT, LaneSettings { rate: Some(rate), ..settings() }, 3);
    assert_eq!(bench.states()[1..], [State::Intent, State::Accepted, State::Accepted]);
}

#[test]
fn nothing_is_primed_behind_calls_that_take_long() {
    let bench = Bench::after_a_call_of(Duration::from_millis(101), settings(), 3);
    assert_eq!(bench.states()[1..], [State::Intent, State::Accepted, State::Accepted]);
}

#[test]
fn no_more_is_primed_than_may_be_in_doubt() {
    let bench = Bench::after_a_call_of(SHORT, LaneSettings { max_in_doubt: 3, ..settings() }, 3);
    assert_eq!(bench.states()[1..], [State::Intent, State::Intent, State::Accepted]);
}

#[test]
fn what_is_primed_goes_back_where_no_call_may_be_made() {
    let why = || "they upgrade".to_owned();
    Bench::gives_back(Input::Paused(Pause { since: at(0), reason: why(), by: "ann".into() }));
    Bench::gives_back(Input::Drain);
}

#[test]
fn what_is_primed_for_a_held_ticket_goes_back_and_the_others_go_on() {
    let mut bench = Bench::after_a_call_of(SHORT, settings(), 3);
    bench.feed(Input::Held(TicketKey(Uuid::from_u128(3)), true));
    bench.answer(done("INC2"));
    assert_eq!(bench.call().1.request, Some(request(4, Op::Create).id));
    assert_eq!(bench.state(3), State::Wait);
}

#[test]
fn what_is_primed_goes_back_when_the_backend_wants_a_pause_and_goes_in_order_after_it() {
    let mut bench = Bench::after_a_call_of(SHORT, settings(), 3);
    let error = TicketError::because("busy");
    bench.answer(Answer::Busy { error, retry_after: Some(Duration::from_secs(7)) });
    assert!(bench.calls.is_empty());
    assert_eq!(bench.states()[1..], [State::Wait, State::Wait, State::Wait]);
    bench.pass(Duration::from_secs(7));
    for n in 2..=4 {
        assert_eq!(bench.calls[0].1.request, Some(request(n, Op::Create).id));
        bench.answer(done("x"));
    }
}

#[test]
fn what_is_primed_goes_back_when_the_call_before_it_takes_long() {
    let mut bench = Bench::after_a_call_of(SHORT, settings(), 3);
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.states()[2..], [State::Intent, State::Intent]);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.states()[1..], [State::Intent, State::Wait, State::Wait]);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.states()[2..], [State::Wait, State::Wait], "and nothing takes its place");
    bench.answer(done("INC2"));
    assert_eq!(bench.call().1.request, Some(request(3, Op::Create).id));
}

/// Else two calls would be under way: this one, and one of the next holder, which may be us.
#[test]
fn a_lane_that_is_lost_beside_a_call_is_taken_again_when_that_has_ended() {
    let mut bench = Bench::after_a_call_of(SHORT, settings(), 3);
    let (turn, _) = bench.call();
    bench.requests.push(request(9, Op::Create));
    let submitted = Input::Submitted(Box::new(request(9, Op::Create)));
    bench.lane.primed.clear();
    let effects = bench.lane.step(submitted, bench.now, &mut bench.dice);
    let [Effect::Store(stored, _), ..] = effects[..] else { panic!("{effects:?}") };
    let stale = Err(StoreError::Refused(Refusal::StaleEpoch));
    bench.feed(Input::Stored(stored, stale));
    let lost = |bench: &Bench| bench.others.contains(&Effect::Lost);
    assert!(!lost(&bench));
    bench.feed(Input::Answered(turn, done("INC2").into()));
    assert!(lost(&bench) && bench.calls.is_empty());
}
