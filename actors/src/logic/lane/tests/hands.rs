//! What a person's hand does to a lane: pause it, hold a ticket of it, have something done again.

use super::*;

fn pause() -> Pause {
    Pause { since: at(0), reason: "they upgrade".into(), by: "ann".into() }
}

fn key(n: u64) -> TicketKey {
    TicketKey(Uuid::from_u128(u128::from(n)))
}

#[test]
fn a_paused_lane_ends_its_call_and_makes_no_other_until_it_is_resumed() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.submit(2, Op::Create);
    bench.feed(Input::Paused(pause()));
    bench.answer(done("INC1"));
    assert_eq!(bench.state(1), State::Done, "what was under way ends as it began");
    bench.pass(Duration::from_secs(3_600));
    assert!(bench.calls.is_empty());
    let glance = bench.lane.glance(bench.now);
    assert_eq!(
        (glance.held.as_deref(), glance.pause),
        (Some("paused: they upgrade"), Some(pause()))
    );
    bench.feed(Input::Resumed);
    bench.answer(done("INC2"));
    assert_eq!(bench.state(2), State::Done);
}

#[test]
fn a_paused_lane_looks_for_nothing_and_sends_nothing_again() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.pass(SETTLE);
    bench.answer(found(&[]));
    bench.pass(Duration::from_secs(2));
    // The second look is under way: what it says is kept, and not acted on.
    bench.feed(Input::Paused(pause()));
    bench.answer(found(&[]));
    assert!(bench.calls.is_empty());
    bench.pass(Duration::from_secs(3_600));
    assert!(bench.calls.is_empty());
    bench.feed(Input::Resumed);
    assert!(matches!(bench.call().1.work, Work::Create { .. }));
}

#[test]
fn refused_credentials_do_not_take_the_place_of_a_persons_pause() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.feed(Input::Paused(pause()));
    bench.answer(Answer::Unauthorised(TicketError::because("401")));
    assert_eq!(bench.lane.glance(bench.now).pause, Some(pause()));
}

#[test]
fn what_a_person_says_while_a_lane_is_taken_counts_more_than_what_was_read() {
    let mut lane = Lane::new(BackendId::new("crm"), settings());
    let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
    let taken = |n: u64, held| Input::Taken {
        epoch: Epoch(n),
        pause: None,
        doubts: vec![],
        unconfirmed: vec![],
        held,
    };
    lane.step(Input::Paused(pause()), now, &mut Dull(0));
    lane.step(Input::Held(key(1), true), now, &mut Dull(0));
    lane.step(Input::Held(key(2), false), now, &mut Dull(0));
    lane.step(taken(1, vec![key(2), key(3)]), now, &mut Dull(0));
    let glance = lane.glance(now);
    assert_eq!((glance.pause, glance.held_tickets), (Some(pause()), 2));
    assert!(lane.held.has(key(1)) && !lane.held.has(key(2)) && lane.held.has(key(3)));
    lane.step(taken(2, vec![]), now, &mut Dull(0));
    assert_eq!(lane.glance(now).pause, None, "a later take-over reads what is true then");
    assert_eq!(lane.glance(now).held_tickets, 0);
}

#[test]
fn a_held_ticket_is_passed_over_and_others_go_on() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.submit(2, Op::Create);
    bench.submit(3, Op::Create);
    bench.feed(Input::Held(key(2), true));
    bench.answer(done("INC1"));
    bench.answer(done("INC3"));
    bench.pass(Duration::from_secs(3_600));
    assert!(bench.calls.is_empty());
    assert_eq!(bench.lane.glance(bench.now).heads, 0, "it takes no place in memory");
    // One that is submitted meanwhile waits in the store as well.
    let again = request(2, Op::Create);
    bench.feed(Input::Submitted(Box::new(again)));
    assert!(bench.calls.is_empty());
    let row = bench.requests.iter_mut().find(|request| request.n == 2).unwrap();
    row.state = State::Wait;
    bench.feed(Input::Held(key(2), false));
    bench.answer(done("INC2"));
    assert_eq!(bench.state(2), State::Done);
}

#[test]
fn a_doubt_of_a_held_ticket_is_looked_at_once_it_is_released() {
    let mut bench = Bench::new(settings());
    bench.submit(1, Op::Create);
    bench.answer(lost());
    bench.feed(Input::Held(key(1), true));
    let effects = bench.lane.step(Input::Tick, bench.now, &mut Dull(0));
    assert!(!effects.iter().any(|it| matches!(it, Effect::Call(..))));
    bench.pass(SETTLE);
    bench.pass(Duration::from_secs(60));
    assert!(bench.calls.is_empty());
    let effects = bench.lane.step(Input::Tick, bench.now, &mut Dull(0));
    let soon = bench.now.mono.plus(Duration::from_secs(1));
    let wakes = |it: &Effect| matches!(it, Effect::WakeAt(at) if *at <= soon);
    assert!(!effects.iter().any(wakes), "a lane that may not look does not wake for it");
    bench.feed(Input::Held(key(1), false));
    bench.answer(found(&["tg1"]));
    assert_eq!(bench.state(1), State::Adopted);
}

/// G7.
#[test]
fn what_is_done_again_in_doubt_is_looked_for_twice_before_it_is_sent() {
    let mut bench = Bench::new(settings());
    let mut fresh = request(1, Op::Create);
    fresh.state = State::InDoubt;
    fresh.retry_of = Some(RequestId(Uuid::from_u128(9)));
    let look_at = bench.now.wall.plus(SETTLE);
    let (since, reason) = (bench.now.wall, "may have been done".to_owned());
    fresh.doubt = Some(Doubt { since, reason, absent_looks: 0, look_at });
    bench.requests.push(fresh.clone());
    bench.feed(Input::Doubted(Box::new(fresh), Box::new(ticket(1))));
    assert!(bench.calls.is_empty());
    bench.pass(SETTLE);
    bench.answer(found(&[]));
    bench.pass(Duration::from_secs(2));
    bench.answer(found(&[]));
    assert!(matches!(bench.call().1.work, Work::Create { .. }));
}

/// Its key may be another than that of the calls before it.
#[test]
fn what_is_done_again_in_doubt_is_for_a_person_where_only_a_key_would_tell() {
    let capability = Capability::IdempotencyKey;
    let mut bench = Bench::new(LaneSettings { capability, ..settings() });
    let mut fresh = request(1, Op::Create);
    fresh.state = State::InDoubt;
    fresh.retry_of = Some(RequestId(Uuid::from_u128(9)));
    let (since, reason) = (bench.now.wall, "may have been done".to_owned());
    fresh.doubt = Some(Doubt { since, reason, absent_looks: 0, look_at: since });
    bench.requests.push(fresh.clone());
    bench.feed(Input::Doubted(Box::new(fresh), Box::new(ticket(1))));
    bench.pass(SETTLE);
    assert!(bench.calls.is_empty());
    assert_eq!(bench.state(1), State::Undecided);
}
