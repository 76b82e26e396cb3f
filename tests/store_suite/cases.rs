//! Alarms, decisions and sets: what every store does with them.

use crate::world::{World, alarm_ref, found, identity, later, noc, raise, routing, take_in};
use serde_json::json;
use std::time::Duration;
use ticketgate_actors::changes::{Applied, Change, Decision, End, Refusal, TakeIn, TakenIn, Work};
use ticketgate_actors::logic::ahead::Kind;
use ticketgate_actors::logic::occurrence::{Absorbed, absorb};
use ticketgate_actors::logic::policy::Routing;
use ticketgate_actors::model::{
    AlarmEvent, AlarmState, ClientNumber, CorrelationKey, EventName, Fence, Fields, Op, State,
    Timestamp,
};
use ticketgate_actors::ports::{AlarmFilter, DueAlarm, DueMost, Page, RequestFilter, StoreError};
use ticketgate_actors::testing::alarm_event;

pub fn refused(why: Refusal) -> Result<Vec<Applied>, StoreError> {
    Err(StoreError::Refused(why))
}

pub async fn a_repeat_has_no_second_effect(world: &mut World) {
    let first = world.take_in("delivery 1", alarm_event("probe", "a")).await;
    assert!(!first.repeat);
    let due = first.due.unwrap();
    assert_eq!((due.backend, due.at), (noc(), world.now()));
    let before = world.alarm("a").await;
    let again = world.take_in("delivery 1", later("a", AlarmState::Cleared, 9)).await;
    assert!(again.repeat);
    assert_eq!(world.alarm("a").await, before);

    // Also when both stand in one group.
    let answers = world.apply_each(vec![vec![raise("b")], vec![raise("b")]]).await;
    let repeats: Vec<bool> = answers
        .into_iter()
        .map(|answer| matches!(&answer.unwrap()[0], Applied::TakenIn(taken) if taken.repeat))
        .collect();
    assert_eq!(repeats, [false, true]);
}

async fn work(world: &World, event: AlarmEvent, routing: Routing) -> Option<Work> {
    let identity = identity(&format!("{event:?}"));
    let take = TakeIn { identity, event, routing, parked_at: None };
    match world.apply(Change::TakeIn(Box::new(take))).await {
        Applied::TakenIn(taken) => taken.due,
        other => panic!("{other:?}"),
    }
}

pub async fn what_is_handed_over_is_what_a_read_would_give(world: &mut World) {
    let handed = work(world, alarm_event("probe", "a"), routing()).await.unwrap();
    let alarm = *handed.whole.unwrap();
    let read = world.reads.due_alarms(noc(), world.now(), DueMost::of_each(9)).await.unwrap();
    assert_eq!(read, [DueAlarm { alarm, ticket: None, others: Vec::new() }]);

    // A read would give more, or something else: the next state, the ticket before, the others of the group.
    let read = |work: Option<Work>| work.map(|it| (it.kind, it.whole.is_none()));
    let changed = work(world, later("a", AlarmState::Updated, 1), routing()).await;
    assert_eq!(read(changed), Some((Kind::New, true)));
    world.decided("a", world.create("key-a")).await;
    assert_eq!(read(work(world, later("a", AlarmState::Updated, 2), routing()).await), None);
    world.take_in("b", alarm_event("probe", "b")).await;
    world.take_in("b over", later("b", AlarmState::Cleared, 1)).await;
    let again = work(world, later("b", AlarmState::Raised, 2), routing()).await;
    assert_eq!(read(again), Some((Kind::New, true)));
    let shared = Routing { rule: Some("site".into()), group: Some("a".into()), ..routing() };
    let of_group = work(world, alarm_event("probe", "c"), shared).await;
    assert_eq!(read(of_group), Some((Kind::New, true)));

    // It is not due yet.
    let create_delay = Duration::from_secs(1);
    let mut taken =
        work(world, alarm_event("probe", "d"), Routing { create_delay, ..routing() }).await;
    let due = taken.as_ref().map(|work| (work.at, work.whole.is_none()));
    assert_eq!(due, Some((world.now().plus(create_delay), true)));
    let mut taken = TakenIn { repeat: false, older: false, due: taken.take() };
    assert_eq!(taken.due_by(world.now()), None);
    assert!(taken.due_by(world.now().plus(create_delay)).is_some());
}

pub async fn an_identity_is_forgotten_only_when_it_is_old(world: &mut World) {
    world.apply(raise("old 1")).await;
    world.apply(raise("old 2")).await;
    world.clock.advance(Duration::from_secs(60));
    let before = world.now();
    world.apply(raise("new")).await;
    for gone in [1, 1, 0] {
        let forget = Change::ForgetIdentities { before, limit: 1 };
        assert_eq!(world.apply(forget).await, Applied::Count(gone));
    }
    assert!(world.take_in("new", alarm_event("probe", "new")).await.repeat);
    assert!(!world.take_in("old 1", alarm_event("probe", "old 1")).await.repeat);
}

pub async fn an_alarm_comes_back_to_the_byte(world: &mut World) {
    let mut event = alarm_event("probe \u{1F514} \"quoted\" \0", "a/'1'; --");
    event.body_hash = u64::MAX;
    event.changed_at = Some(Timestamp::from_nanos(1_800_000_000_123_456_789));
    event.details.raised_at = Timestamp::from_nanos(1_700_000_000_000_000_001);
    event.details.text = Some("zwei\nZeilen\tund \u{7} mehr \u{10FFFF}".into());
    event.details.properties.insert("nested".into(), json!({"z": [1, {"a": null}], "b": true}));
    event.details.properties.insert("whole".into(), json!([u64::MAX, i64::MIN, 0, -1]));
    event
        .details
        .properties
        .insert("real".into(), json!([0.1, -2.5e-7, 1e300, -120.65487365123505]));
    event.details.wishes.backend = Some(noc());
    let Absorbed::Opened(expected) = absorb(None, &event, &routing(), world.now()) else {
        panic!("a first event opens an occurrence");
    };
    let at = event.alarm.clone();
    world.take_in("delivery", event).await;
    let kept = world.reads.occurrences(at).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0], expected);
    let text = |alarm| serde_json::to_string(alarm).unwrap();
    assert_eq!(text(&kept[0]), text(&expected));
}

/// T1 and D4.
pub async fn a_second_level_made_request_is_refused_and_its_neighbours_are_not(world: &mut World) {
    let first = world.accepted("a").await;
    world.apply(raise("b")).await;
    let before = world.alarm("b").await;
    let again = Decision::CreateAgain { ticket: first.ticket, fields: Fields::new() };
    let second = world.decide("b", again).await;
    let answers = world
        .apply_each(vec![
            vec![raise("left")],
            // Its first change is undone with it.
            vec![raise("with it"), Change::Decide(Box::new(second))],
            vec![raise("right")],
        ])
        .await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], refused(Refusal::Conflict));
    assert!(answers[2].is_ok());
    assert_eq!(world.alarm("b").await, before);
    assert_eq!(world.reads.occurrences(alarm_ref("with it")).await.unwrap(), []);
    world.alarm("left").await;
    world.alarm("right").await;
    let all = Page { before: None, after: None, limit: 10 };
    let requests = world.reads.requests(RequestFilter::default(), all).await.unwrap();
    assert_eq!(requests, [first]);
}

/// T2.
pub async fn a_decision_on_an_old_version_leaves_no_trace(world: &mut World) {
    world.apply(raise("a")).await;
    let decide = world.decide("a", world.create("tg-a")).await;
    let Decision::Create { ticket, .. } = decide.decision else { panic!("it is a create") };
    world.take_in("news", later("a", AlarmState::Updated, 1)).await;
    let before = world.alarm("a").await;
    let answer = world.try_apply(Change::Decide(Box::new(decide.clone()))).await;
    assert_eq!(answer, refused(Refusal::StaleVersion));
    assert_eq!(world.alarm("a").await, before);
    assert_eq!(world.reads.ticket(ticket).await.unwrap(), None);
    assert_eq!(world.reads.request(decide.request).await.unwrap(), None);
    world.decided("a", decide.decision).await;
}

/// T4.
pub async fn two_tickets_cannot_have_one_backend_id(world: &mut World) {
    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    let second = world.accepted("b").await;
    let second = world.intended(epoch, second.id).await;
    let (alarm, events) = (world.alarm("b").await, world.reads.unsent_events(0, 10).await.unwrap());
    let end = End::Done(found("INC1"));
    let conclude = world.conclude(epoch, second.id, second.attempts, end);
    assert_eq!(world.try_apply(conclude).await, refused(Refusal::Conflict));
    assert_eq!(world.reads.request(second.id).await.unwrap().unwrap(), second);
    assert_eq!(world.alarm("b").await, alarm);
    assert_eq!(world.reads.unsent_events(0, 10).await.unwrap(), events);
    assert_eq!(world.reads.ticket(second.ticket).await.unwrap().unwrap().backend_id, None);
    world.concluded(epoch, &second, End::Done(found("INC2"))).await;
}

/// G8.
pub async fn two_tickets_cannot_have_one_correlation_key(world: &mut World) {
    world.apply(raise("a")).await;
    world.apply(raise("b")).await;
    world.decided("a", world.create("tg-same")).await;
    let second = world.decide("b", world.create("tg-same")).await;
    let answer = world.try_apply(Change::Decide(Box::new(second))).await;
    assert_eq!(answer, refused(Refusal::Conflict));
}

/// L2.
pub async fn fences_only_grow(world: &mut World) {
    let mut last = Fence(0);
    for count in [1, 1_000, 1] {
        let Applied::Fences(first) = world.apply(Change::TakeFences(count)).await else {
            panic!("fences were asked for");
        };
        assert!(first > last, "{first} is not above {last}");
        last = Fence(first.0 + count - 1);
    }
}

/// L3, L10.
pub async fn nothing_is_written_under_a_fence_below_the_barrier(world: &mut World) {
    world.apply(raise("a")).await;
    let before = world.alarm("a").await;
    world.apply(Change::RaiseBarrier(ClientNumber(1), Fence(5))).await;
    // A barrier never falls.
    world.apply(Change::RaiseBarrier(ClientNumber(1), Fence(3))).await;
    let mut decide = world.decide("a", world.create("tg-a")).await;
    decide.lock.fence = Fence(4);
    let answer = world.try_apply(Change::Decide(Box::new(decide.clone()))).await;
    assert_eq!(answer, refused(Refusal::LockLost));
    assert_eq!(world.alarm("a").await, before);
    decide.lock.fence = Fence(5);
    world.apply(Change::Decide(Box::new(decide))).await;

    // Another client's barrier is its own.
    world.apply(raise("b")).await;
    let mut decide = world.decide("b", world.create("tg-b")).await;
    decide.lock.client = ClientNumber(2);
    world.apply(Change::Decide(Box::new(decide))).await;
}

pub async fn a_set_is_applied_whole_or_not_at_all(world: &mut World) {
    let epoch = world.take_lane().await;
    let nobody = world.conclude(epoch, world.request_id(), 1, End::Done(found("INC1")));
    for lonely in [true, false] {
        let mut sets = vec![vec![raise("a"), Change::TakeFences(5), nobody.clone()]];
        if !lonely {
            sets.push(vec![raise("neighbour")]);
        }
        let answers = world.apply_each(sets).await;
        assert_eq!(answers[0], refused(Refusal::NotFound));
        assert!(answers[1..].iter().all(Result::is_ok));
        assert_eq!(world.reads.occurrences(alarm_ref("a")).await.unwrap(), []);
    }
    // Not even its identity was kept.
    assert!(!world.take_in("a", alarm_event("probe", "a")).await.repeat);
}

pub async fn a_set_sees_what_it_wrote_itself(world: &mut World) {
    let clear = take_in("clear", later("a", AlarmState::Cleared, 1));
    let answers = world.apply_each(vec![vec![raise("a"), clear, raise("a")]]).await;
    let applied = answers[0].as_ref().unwrap();
    assert!(matches!(&applied[2], Applied::TakenIn(taken) if taken.repeat));
    let alarm = world.alarm("a").await;
    assert_eq!((alarm.active, alarm.arrivals, alarm.wanted_version), (false, 2, 2));
}

pub async fn many_sets_are_answered_in_their_order(world: &mut World) {
    assert_eq!(world.apply_each(vec![]).await, []);
    assert_eq!(world.apply_each(vec![vec![]]).await, [Ok(vec![])]);
    // More than any group or queue takes at once.
    let sets = 5_000;
    let answers = world.apply_each(vec![vec![Change::TakeFences(1)]; sets]).await;
    assert_eq!(answers.len(), sets);
    let mut last = Fence(0);
    for answer in answers {
        let [Applied::Fences(fence)] = answer.unwrap()[..] else { panic!("one fence a set") };
        assert!(fence > last);
        last = fence;
    }
}

pub async fn a_ticket_of_the_backend_is_adopted(world: &mut World) {
    for id in ["a", "b"] {
        world.apply(raise(id)).await;
        let decision = Decision::Adopt {
            ticket: world.ticket_key(),
            correlation_key: CorrelationKey(format!("tg-{id}")),
            found: Box::new(found("INC7")),
            ours: false,
        };
        let decide = world.decide(id, decision).await;
        let applied = world.apply(Change::Decide(Box::new(decide))).await;
        assert_eq!(applied, Applied::Decided { request: None, first: true, events: true });
    }
    // The second alarm was linked to the ticket of the first.
    let (a, b) = (world.alarm("a").await, world.alarm("b").await);
    assert_eq!(a.ticket, b.ticket);
    let ticket = world.reads.ticket(a.ticket.unwrap()).await.unwrap().unwrap();
    assert!(ticket.adopted);
    assert_eq!((ticket.backend_id.as_deref(), ticket.sequence), (Some("INC7"), 2));
    let events = world.reads.events_of(ticket.key).await.unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|(event, _)| event.event == EventName::Adopted));
    assert_eq!(events[1].0.alarms, [alarm_ref("a"), alarm_ref("b")]);
    let filter = RequestFilter { state: Some(State::Adopted), ..RequestFilter::default() };
    let page = Page { before: None, after: None, limit: 10 };
    assert_eq!(world.reads.requests(filter, page).await.unwrap().len(), 2);
    assert_eq!(world.reads.alarms(AlarmFilter::default(), page).await.unwrap().len(), 2);
}

/// T2: an old flow that searched for long must not decide for an alarm that has a ticket by now.
pub async fn a_decision_that_saw_no_ticket_is_refused_once_there_is_one(world: &mut World) {
    let epoch = world.take_lane().await;
    world.apply(raise("a")).await;
    let adopt = Decision::Adopt {
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey("tg-a".into()),
        found: Box::new(found("INC1")),
        ours: true,
    };
    let slow = world.decide("a", adopt).await;
    let create = world.create("tg-a");
    let request = world.decided("a", create).await;
    let slow_answer =
        async |world: &World| world.try_apply(Change::Decide(Box::new(slow.clone()))).await;
    assert_eq!(slow_answer(world).await, refused(Refusal::StaleVersion), "while it is under way");
    let intended = world.intended(epoch, request.id).await;
    world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    let before = world.alarm("a").await;
    assert_eq!(slow_answer(world).await, refused(Refusal::StaleVersion), "and after it is done");
    assert_eq!(world.alarm("a").await, before);
}

/// A ticket passes to the next occurrence only when the one before is done with it.
pub async fn a_ticket_is_taken_over_when_the_occurrence_before_is_done(world: &mut World) {
    let epoch = world.take_lane().await;
    let ticket = world.done(epoch, "a", "INC1").await.ticket;
    world.take_in("clear", later("a", AlarmState::Cleared, 1)).await;
    let first = world.alarm("a").await;
    world.take_in("again", later("a", AlarmState::Raised, 2)).await;
    let or_at = world.now().plus(Duration::from_secs(5));
    let take_over = Decision::TakeOver {
        op: Op::Update,
        ticket,
        fields: Default::default(),
        or_at,
        instead_of_close: false,
    };
    let decide = world.decide("a", take_over.clone()).await;
    let applied = world.apply(Change::Decide(Box::new(decide))).await;
    assert!(matches!(applied, Applied::Decided { request: None, .. }), "its close is still due");
    assert_eq!(world.alarm("a").await.due_at, Some(or_at));

    let mut nothing = world.decide("a", Decision::Nothing).await;
    (nothing.at, nothing.version) = (first.at, first.wanted_version);
    nothing.ticket = Some((ticket, world.reads.ticket(ticket).await.unwrap().unwrap().sequence));
    world.apply(Change::Decide(Box::new(nothing))).await;
    let request = world.decided("a", take_over).await;
    assert_eq!((request.op, request.ticket), (Op::Update, ticket));
    assert_eq!(world.alarm("a").await.ticket, Some(ticket));
}
