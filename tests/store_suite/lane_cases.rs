//! Lanes, requests and the outbox: what every store does with them.

use crate::cases::refused;
use crate::world::{World, alarm_ref, found, later, noc, raise, take_in};
use std::time::Duration;
use ticketgate_actors::changes::{Applied, Change, End, PersonSays, Refusal, Settle};
use ticketgate_actors::model::{
    AlarmState, Epoch, EventName, Op, State, TicketError, TicketStatus,
};
use ticketgate_actors::ports::{DueMost, LaneCounts, Page, Pause};

pub async fn a_whole_way_from_alarm_to_confirmed_event(world: &mut World) {
    let epoch = world.take_lane().await;
    assert_eq!(world.reads.lane(noc()).await.unwrap().epoch, epoch);
    world.apply(raise("a")).await;
    assert_eq!(
        world.reads.due_alarms(noc(), world.now(), DueMost::of_each(10)).await.unwrap().len(),
        1
    );

    let accepted = world.decided("a", world.create("tg-a")).await;
    assert!(accepted.n > 0);
    let alarm = world.alarm("a").await;
    assert_eq!((alarm.ticket, alarm.request), (Some(accepted.ticket), Some(accepted.id)));
    assert_eq!(world.reads.due_alarms(noc(), world.now(), DueMost::of_each(10)).await.unwrap(), []);
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready[..], *std::slice::from_ref(&accepted));
    let ticket = world.reads.ticket(accepted.ticket).await.unwrap().unwrap();
    assert_eq!((ticket.status, ticket.sequence), (TicketStatus::Pending, 0));
    assert_eq!(ticket.home_node, "node-1");

    let intended = world.intended(epoch, accepted.id).await;
    assert_eq!((intended.n, intended.state, intended.attempts), (accepted.n, State::Intent, 1));
    assert_eq!(world.reads.request(accepted.id).await.unwrap(), Some(intended.clone()));
    assert_eq!(world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap(), []);

    world.clock.advance(Duration::from_secs(13));
    let concluded = world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert!(concluded.events && concluded.next.is_none() && concluded.due.is_none());
    let request = world.reads.request(accepted.id).await.unwrap().unwrap();
    assert_eq!((request.state, request.ended_at), (State::Done, Some(world.now())));
    let alarm = world.alarm("a").await;
    assert_eq!((alarm.settled_version, alarm.request, alarm.due_at), (1, None, None));
    let ticket = world.reads.ticket(accepted.ticket).await.unwrap().unwrap();
    assert_eq!(ticket.backend_id.as_deref(), Some("INC1"));
    assert_eq!((ticket.status, ticket.sequence), (TicketStatus::Acknowledged, 1));

    let [event] = &world.reads.unsent_events(0, 10).await.unwrap()[..] else {
        panic!("one event");
    };
    assert_eq!((event.event, event.sequence), (EventName::Created, 1));
    assert_eq!((event.request_id, &event.alarms[..]), (Some(accepted.id), &[alarm_ref("a")][..]));
    world.apply(Change::Sent(vec![event.n])).await;
    assert_eq!(world.reads.unsent_events(0, 10).await.unwrap(), []);
    let sent = world.reads.events_of(accepted.ticket).await.unwrap();
    assert_eq!(sent, [(event.clone(), Some(world.now()))]);
}

/// G13.
pub async fn news_from_an_older_epoch_is_refused(world: &mut World) {
    let old = world.take_lane().await;
    let request = world.accepted("a").await;
    let intended = world.intended(old, request.id).await;
    let new = world.take_lane().await;
    assert!(new > old);
    let before = world.reads.request(request.id).await.unwrap();
    for change in [
        world.conclude(old, request.id, intended.attempts, End::Done(found("INC1"))),
        world.intend(old, request.id).await,
        Change::PauseLane(
            noc(),
            old,
            Pause { since: world.now(), reason: "401".into(), by: "ticketgate".into() },
        ),
    ] {
        assert_eq!(world.try_apply(change).await, refused(Refusal::StaleEpoch));
    }
    assert_eq!(world.reads.request(request.id).await.unwrap(), before);
    assert_eq!(world.reads.ticket(request.ticket).await.unwrap().unwrap().backend_id, None);
    assert_eq!(world.reads.lane(noc()).await.unwrap().pause, None);
}

pub async fn taking_a_lane_puts_its_open_intent_in_doubt(world: &mut World) {
    let epoch = world.take_lane().await;
    let waiting = world.accepted("b").await;
    let request = world.accepted("a").await;
    world.intended(epoch, request.id).await;
    let epoch = world.take_lane().await;
    let [doubt] = &world.reads.requests_in(noc(), State::InDoubt).await.unwrap()[..] else {
        panic!("one doubt")
    };
    assert_eq!((doubt.id, doubt.state, doubt.attempts), (request.id, State::InDoubt, 1));
    let look_at = world.now().plus(Duration::from_secs(30));
    assert_eq!(doubt.doubt.as_ref().unwrap().look_at, look_at);
    let counts = LaneCounts { pending: 1, in_doubt: 1, ..LaneCounts::default() };
    assert_eq!(world.reads.lane_counts(noc()).await.unwrap(), counts);
    let events = world.reads.unsent_events(0, 10).await.unwrap();
    assert_eq!(events.iter().map(|it| it.event).collect::<Vec<_>>(), [EventName::InDoubt]);
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready.iter().map(|it| it.id).collect::<Vec<_>>(), [waiting.id]);

    // A look finds it.
    let ended = world.concluded(epoch, doubt, End::Adopted(found("INC1"))).await.request;
    assert_eq!(ended.state, State::Adopted);
    assert_eq!(world.reads.requests_in(noc(), State::InDoubt).await.unwrap(), []);
}

/// There is one at most; but a lane that does not start would be worse than a second one.
pub async fn a_lane_with_two_open_intents_can_be_taken(world: &mut World) {
    let epoch = world.take_lane().await;
    for id in ["a", "b"] {
        let accepted = world.accepted(id).await;
        world.intended(epoch, accepted.id).await;
    }
    world.take_lane().await;
    assert_eq!(world.reads.requests_in(noc(), State::InDoubt).await.unwrap().len(), 2);
    assert_eq!(world.reads.unsent_events(0, 10).await.unwrap().len(), 2);
}

pub async fn a_pause_is_kept_until_a_person_ends_it(world: &mut World) {
    let epoch = world.take_lane().await;
    let pause = Pause { since: world.now(), reason: "401".into(), by: "ticketgate".into() };
    world.apply(Change::PauseLane(noc(), epoch, pause.clone())).await;
    assert_eq!(world.reads.lane(noc()).await.unwrap().pause, Some(pause));
    let newer = world.take_lane().await;
    let lane = world.reads.lane(noc()).await.unwrap();
    assert_eq!((lane.epoch, lane.pause.is_some()), (newer, true));
    let resume = Change::ResumeLane { backend: noc(), who: "ann".into(), reason: "fixed".into() };
    assert_eq!(world.apply(resume).await, Applied::Done);
    let lane = world.reads.lane(noc()).await.unwrap();
    assert_eq!((lane.epoch, lane.pause), (newer, None));
}

pub async fn a_request_that_waits_is_ready_in_its_time(world: &mut World) {
    let epoch = world.take_lane().await;
    let first = world.accepted("a").await;
    let second = world.accepted("b").await;
    let intended = world.intended(epoch, first.id).await;
    let ready_at = world.now().plus(Duration::from_secs(60));
    let error = TicketError::because("busy");
    let waits = End::Wait { ready_at, counted: true, error };
    let waiting = world.concluded(epoch, &intended, waits).await.request;
    assert_eq!((waiting.state, waiting.refusals), (State::Wait, 1));

    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready[..], *std::slice::from_ref(&second));
    let next = async || world.reads.next_ready(noc(), world.now()).await.unwrap();
    assert_eq!(next().await, Some(ready_at), "the ready one is not counted");
    let intended = world.intended(epoch, second.id).await;
    world.concluded(epoch, &intended, End::Done(found("INC2"))).await;
    assert_eq!(next().await, Some(ready_at));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(next().await, None, "it is ready");
    let third = world.accepted("c").await;
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready, [waiting.clone(), third], "in order of acceptance");
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 1).await.unwrap();
    assert_eq!(ready, [waiting]);
    for class in [1, 2] {
        let ready = world.reads.ready_requests(noc(), class, world.now(), 10).await.unwrap();
        assert_eq!(ready, []);
    }
}

pub async fn a_level_that_moved_on_makes_no_intent(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    world.take_in("news", later("a", AlarmState::Updated, 1)).await;
    let applied = world.apply(world.intend(epoch, accepted.id).await).await;
    assert!(matches!(applied, Applied::Stale(_, alarm, _) if alarm.wanted_version == 2));
    assert_eq!(world.reads.request(accepted.id).await.unwrap(), Some(accepted));
}

/// Its lane has stored it ahead, and could not make the call.
pub async fn an_intent_that_is_given_back_leaves_no_trace_but_its_story(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    let intended = world.intended(epoch, accepted.id).await;
    assert!(intended.frozen && intended.attempts == 1);
    let back = End::NotSent("its lane is paused".into());
    let row = world.concluded(epoch, &intended, back).await.request;
    assert_eq!((row.state, row.attempts, row.refusals, row.frozen), (State::Wait, 0, 0, false));
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready, [row]);
    // It follows its alarm again.
    world.take_in("news", later("a", AlarmState::Updated, 1)).await;
    let applied = world.apply(world.intend(epoch, accepted.id).await).await;
    assert!(matches!(applied, Applied::Stale(_, alarm, _) if alarm.wanted_version == 2));
}

/// G7: the lane may hold a copy from before the call whose answer was lost.
pub async fn an_old_copy_of_a_request_makes_no_intent(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    let old_copy = world.intend(epoch, accepted.id).await;
    let intended = world.intended(epoch, accepted.id).await;
    let lost = End::InDoubt { look_at: world.now(), error: TicketError::because("no answer") };
    let in_doubt = world.concluded(epoch, &intended, lost).await.request;
    assert_eq!(world.apply(old_copy).await, Applied::Skipped);
    assert_eq!(world.reads.request(accepted.id).await.unwrap(), Some(in_doubt));
}

pub async fn a_person_settles_a_doubt(world: &mut World) {
    let epoch = world.take_lane().await;
    let request = world.accepted("a").await;
    let intended = world.intended(epoch, request.id).await;
    let undecided = End::Undecided(TicketError::because("two tickets carry the key"));
    world.concluded(epoch, &intended, undecided).await;
    assert_eq!(world.reads.lane_counts(noc()).await.unwrap().undecided, 1);
    let settle = |says| {
        Change::Settle(Box::new(Settle {
            request: request.id,
            says,
            seen: None,
            unverified: None,
            who: "ann".into(),
            reason: "asked the desk".into(),
            event_id: world.event_id(),
            watch_looks: 0,
        }))
    };
    assert_eq!(world.try_apply(settle(PersonSays::Done)).await, refused(Refusal::NoBackendId));
    world.apply(settle(PersonSays::Found("INC9".into()))).await;
    let ticket = world.reads.ticket(request.ticket).await.unwrap().unwrap();
    assert_eq!(ticket.backend_id.as_deref(), Some("INC9"));
    assert_eq!(world.try_apply(settle(PersonSays::Drop)).await, refused(Refusal::WrongState));
    assert_ne!(epoch, Epoch::default());
}

/// A close is settled: done, on its own ticket; another number never becomes its ticket's.
pub async fn a_write_that_a_person_settles_keeps_its_ticket(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(take_in("over", later("a", AlarmState::Cleared, 1))).await;
    let close = world.decided("a", world.write(Op::Close, made.ticket)).await;
    let intended = world.intended(epoch, close.id).await;
    let lost = End::Undecided(TicketError::because("the answer was lost"));
    world.concluded(epoch, &intended, lost).await;
    let settle = |says, unverified: Option<&str>| {
        Change::Settle(Box::new(Settle {
            request: close.id,
            says,
            seen: None,
            unverified: unverified.map(str::to_owned),
            who: "ann".into(),
            reason: "asked the desk".into(),
            event_id: world.event_id(),
            watch_looks: 0,
        }))
    };
    let other = settle(PersonSays::Found("INC9".into()), None);
    assert_eq!(world.try_apply(other).await, refused(Refusal::AnotherTicket));
    let before = world.reads.ticket(made.ticket).await.unwrap().unwrap();
    assert_eq!(before.backend_id.as_deref(), Some("INC1"));
    assert!(!before.status.ended());
    world.apply(settle(PersonSays::Done, Some("noc is away"))).await;
    let row = world.reads.request(close.id).await.unwrap().unwrap();
    assert_eq!(row.state, State::Done);
    let told = row.story.steps().iter().map(|step| step.what.as_str()).collect::<Vec<_>>();
    let said = "settled by ann: the close was done, not verified: noc is away";
    assert!(told.contains(&said), "{told:?}");
    let ticket = world.reads.ticket(made.ticket).await.unwrap().unwrap();
    assert_eq!(ticket.backend_id.as_deref(), Some("INC1"));
    assert!(ticket.status.ended());
    let (event, _) = world.reads.events_of(made.ticket).await.unwrap().pop().unwrap();
    assert_eq!(event.event, EventName::Closed);
    let page = Page { before: None, after: None, limit: 1 };
    let audit = world.reads.audited(None, page).await.unwrap().pop().unwrap();
    assert!(audit.what.contains("not verified: noc is away"), "{audit:?}");
}

/// O1, O2.
pub async fn an_unconfirmed_event_stays_in_the_outbox(world: &mut World) {
    let epoch = world.take_lane().await;
    for (id, backend_id) in [("a", "INC1"), ("b", "INC2"), ("c", "INC3")] {
        world.done(epoch, id, backend_id).await;
    }
    let numbers = |events: Vec<ticketgate_actors::model::TicketEvent>| -> Vec<u64> {
        events.into_iter().map(|event| event.n).collect()
    };
    let all = numbers(world.reads.unsent_events(0, 10).await.unwrap());
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers(world.reads.unsent_events(0, 2).await.unwrap()), all[..2]);
    assert_eq!(numbers(world.reads.unsent_events(all[0], 10).await.unwrap()), all[1..]);
    world.apply(Change::Sent(vec![all[1]])).await;
    let unsent = numbers(world.reads.unsent_events(0, 10).await.unwrap());
    assert_eq!(unsent, [all[0], all[2]]);
    // A second confirm changes nothing.
    let first_confirm = world.now();
    world.clock.advance(Duration::from_secs(1));
    world.apply(Change::Sent(vec![all[1], 999])).await;
    let ticket = world.alarm("b").await.ticket.unwrap();
    assert_eq!(world.reads.events_of(ticket).await.unwrap()[0].1, Some(first_confirm));
}
