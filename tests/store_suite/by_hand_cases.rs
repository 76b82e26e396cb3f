//! What a person decides about an alarm, and tickets with several alarms (rules T1, T2).

use crate::cases::refused;
use crate::command_cases::{command, take};
use crate::hand_cases::cancel;
use crate::world::{Answer, World, alarm_ref, found, later, noc, raise, take_in};
use ticketgate_actors::changes::{
    Applied, ByHand, Change, Decide, Decision, End, Import, Named, Refusal, Wanted, Write,
};
use ticketgate_actors::logic::import::Brought;
use ticketgate_actors::model::{
    Alarm, AlarmState, CorrelationKey, Found, Kind, OccurrenceRef, Op, Origin, TicketError,
    TicketKey, TicketName, TicketStatus,
};
use ticketgate_actors::ports::DueMost;

async fn try_decide(world: &World, id: &str, wanted: Wanted) -> Answer {
    decide_on(world, id, wanted, None).await
}

async fn decide_on(world: &World, id: &str, wanted: Wanted, seen: Option<Found>) -> Answer {
    let key = world.ticket_key();
    let row = Named {
        ticket: key,
        correlation_key: CorrelationKey(format!("tg-{key}")),
        origin: Origin::Command { id: key.to_string() },
    };
    let (who, reason) = ("ann".to_owned(), "I know better".to_owned());
    let alarm = alarm_ref(id);
    let it = ByHand { alarm, wanted, row, seen: seen.map(Box::new), unverified: None, who, reason };
    world.try_apply(Change::ByHand(Box::new(it))).await
}

pub async fn by_hand(world: &World, id: &str, wanted: Wanted) -> Alarm {
    match try_decide(world, id, wanted).await.unwrap().pop().unwrap() {
        Applied::ByHand(alarm) => *alarm,
        other => panic!("{other:?}"),
    }
}

async fn is_due(world: &World, id: &str) -> bool {
    let due = world.reads.due_alarms(noc(), world.now(), DueMost::of_each(100)).await.unwrap();
    due.iter().any(|due| due.alarm.at.alarm == alarm_ref(id))
}

fn theirs(id: &str) -> Wanted {
    Wanted::Link(TicketName::Theirs(noc(), id.to_owned(), Kind::Incident))
}

pub async fn a_linked_alarm_is_taken_care_of_and_speaks_to_its_ticket_later(world: &mut World) {
    world.apply(raise("a")).await;
    let read = world.decide("a", world.create("tg-1")).await;
    let linked = by_hand(world, "a", theirs("INC7")).await;
    assert!(!linked.unsettled() && !is_due(world, "a").await);
    let ticket = world.reads.ticket(linked.ticket.unwrap()).await.unwrap().unwrap();
    assert_eq!((ticket.backend_id.as_deref(), ticket.adopted), (Some("INC7"), true));
    // A flow that had read it before makes no ticket.
    let stale = world.try_apply(Change::Decide(Box::new(read))).await;
    assert_eq!(stale, refused(Refusal::StaleVersion));
    world.apply(take_in("news", later("a", AlarmState::Updated, 1))).await;
    assert!(is_due(world, "a").await);
    let update = world.decided("a", world.write(Op::Update, ticket.key)).await;
    assert_eq!(update.ticket, ticket.key);
    // While that is under way, nobody moves the alarm.
    assert_eq!(try_decide(world, "a", Wanted::Unlink).await, refused(Refusal::UnderWay));
}

/// U3: nobody else would close its ticket.
pub async fn an_alarm_that_is_linked_to_its_own_ticket_still_closes_it(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(take_in("over", later("a", AlarmState::Cleared, 1))).await;
    let linked = by_hand(world, "a", theirs("INC1")).await;
    assert_eq!(linked.ticket, Some(made.ticket));
    assert!(linked.unsettled() && is_due(world, "a").await);
    let close = world.decided("a", world.write(Op::Close, made.ticket)).await;
    assert_eq!(close.op, Op::Close);
}

pub async fn a_link_tells_what_the_backend_showed_and_what_was_left(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    let shown = |status| Found {
        backend_id: "INC7".into(),
        status: Some(status),
        url: Some("http://noc/INC7".into()),
        ..Found::default()
    };
    let closed = decide_on(world, "a", theirs("INC7"), Some(shown(TicketStatus::Closed))).await;
    assert_eq!(closed, refused(Refusal::Closed), "it would never be closed by us");
    assert_eq!(world.alarm("a").await.ticket, Some(made.ticket), "nothing of it is left");
    let open = decide_on(world, "a", theirs("INC7"), Some(shown(TicketStatus::InProgress))).await;
    assert!(open.is_ok(), "{open:?}");
    let linked = world.alarm("a").await;
    assert_eq!(linked.left, [made.ticket]);
    let why = linked.reason.as_deref().unwrap_or_default();
    assert!(why.contains("; was INC1 at noc, left there acknowledged by ann"), "{why}");
    let ticket = world.reads.ticket(linked.ticket.unwrap()).await.unwrap().unwrap();
    assert_eq!((ticket.status, ticket.url.is_some()), (TicketStatus::InProgress, true));
}

pub async fn a_number_that_was_only_linked_is_free_again(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(raise("b")).await;
    let there = |id: &'static str| world.reads.ticket_by_backend_id(noc(), id.to_owned());
    by_hand(world, "a", theirs("INC7")).await;
    by_hand(world, "b", theirs("INC7")).await;
    by_hand(world, "a", Wanted::Link(TicketName::Key(made.ticket))).await;
    assert!(there("INC7").await.unwrap().is_some(), "another alarm has it");
    by_hand(world, "b", Wanted::Unlink).await;
    assert!(there("INC7").await.unwrap().is_none());
    // What was made, or written to, stays.
    by_hand(world, "a", Wanted::NoTicket).await;
    assert!(there("INC1").await.unwrap().is_some());
    // The create that made it there can say so.
    let create = world.decided("b", world.create("tg-b")).await;
    let intended = world.intended(epoch, create.id).await;
    let found = Found { backend_id: "INC7".into(), ..Found::default() };
    let done = world.concluded(epoch, &intended, End::Done(found)).await;
    assert_eq!(done.ticket.backend_id.as_deref(), Some("INC7"));
    // One that was brought along is there for itself.
    world.apply(import(world, "old", "OLD1", TicketStatus::InProgress)).await;
    by_hand(world, "old", Wanted::Unlink).await;
    assert!(there("OLD1").await.unwrap().is_some());
}

pub async fn no_alarm_is_linked_to_a_ticket_that_is_being_closed(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(take_in("over", later("a", AlarmState::Cleared, 1))).await;
    let close = world.decided("a", world.write(Op::Close, made.ticket)).await;
    world.apply(raise("b")).await;
    // Accepted, or sent: the ticket would be closed under it.
    let link = || Wanted::Link(TicketName::Key(made.ticket));
    assert_eq!(try_decide(world, "b", link()).await, refused(Refusal::BeingClosed));
    world.intended(epoch, close.id).await;
    assert_eq!(try_decide(world, "b", link()).await, refused(Refusal::BeingClosed));
    assert!(is_due(world, "b").await, "it stays as it was");
}

pub async fn no_alarm_is_linked_to_a_ticket_whose_close_waits_its_turn(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    let on = |op| Write::Change(op, TicketName::Key(made.ticket));
    let update = take(world, &command(world, 1, on(Op::Update))).await.request;
    let close = take(world, &command(world, 2, on(Op::Close))).await.request;
    world.apply(raise("b")).await;
    let link = || Wanted::Link(TicketName::Key(made.ticket));
    assert_eq!(try_decide(world, "b", link()).await, refused(Refusal::BeingClosed));
    let intended = world.intended(epoch, update.id).await;
    world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert_eq!(try_decide(world, "b", link()).await, refused(Refusal::BeingClosed));
    // One that was refused stands in nobody's way.
    let intended = world.intended(epoch, close.id).await;
    let no = TicketError::because("a field is missing");
    world.concluded(epoch, &intended, End::Rejected(no)).await;
    assert_eq!(by_hand(world, "b", link()).await.ticket, Some(made.ticket));
}

pub async fn no_alarm_is_linked_to_a_ticket_of_which_one_of_two_closes_is_dropped(
    world: &mut World,
) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    let on = |op| Write::Change(op, TicketName::Key(made.ticket));
    take(world, &command(world, 1, on(Op::Update))).await;
    take(world, &command(world, 2, on(Op::Close))).await;
    let second = take(world, &command(world, 3, on(Op::Close))).await.request;
    world.apply(cancel(world, second.id)).await;
    world.apply(raise("b")).await;
    let link = Wanted::Link(TicketName::Key(made.ticket));
    assert_eq!(try_decide(world, "b", link).await, refused(Refusal::BeingClosed));
}

pub async fn an_alarm_that_is_unlinked_is_due_again_under_another_key(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    let free = by_hand(world, "a", Wanted::Unlink).await;
    assert_eq!((free.ticket, free.tickets_made), (None, 1));
    assert!(is_due(world, "a").await);
    assert_eq!(try_decide(world, "a", Wanted::Unlink).await, refused(Refusal::NotLinked));
    // And back again, by our key.
    let back = by_hand(world, "a", Wanted::Link(TicketName::Key(made.ticket))).await;
    assert_eq!((back.ticket, back.tickets_made), (Some(made.ticket), 2));
    let nowhere = Wanted::Link(TicketName::Key(TicketKey(uuid::Uuid::from_u128(9))));
    assert_eq!(try_decide(world, "a", nowhere).await, refused(Refusal::NotFound));
    assert_eq!(try_decide(world, "z", theirs("INC1")).await, refused(Refusal::UnknownAlarm));
}

pub async fn no_ticket_holds_for_this_occurrence_and_for_no_other(world: &mut World) {
    world.apply(raise("a")).await;
    let left = by_hand(world, "a", Wanted::NoTicket).await;
    assert!(left.no_ticket && left.reason.is_some_and(|why| why.contains("I know better")));
    world.apply(take_in("news", later("a", AlarmState::Updated, 1))).await;
    world.apply(take_in("end", later("a", AlarmState::Cleared, 2))).await;
    assert!(!is_due(world, "a").await);
    let mut again = later("a", AlarmState::Raised, 9);
    again.details.raised_at = again.changed_at.unwrap();
    world.apply(take_in("again", again)).await;
    assert!(is_due(world, "a").await && !world.alarm("a").await.no_ticket);
}

pub async fn a_ticket_of_two_alarms_is_closed_with_the_last(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(raise("b")).await;
    by_hand(world, "b", Wanted::Link(TicketName::Key(made.ticket))).await;
    world.apply(take_in("a ends", later("a", AlarmState::Cleared, 5))).await;
    let close: Decide = world.decide("a", world.write(Op::Close, made.ticket)).await;
    match world.apply(Change::Decide(Box::new(close))).await {
        Applied::Decided { request: None, .. } => {}
        other => panic!("{other:?}"),
    }
    let first = world.alarm("a").await;
    assert!(!first.unsettled() && first.reason.is_some_and(|why| why.contains("other alarms")));
    world.apply(take_in("b ends", later("b", AlarmState::Cleared, 6))).await;
    let close = world.decided("b", world.write(Op::Close, made.ticket)).await;
    assert_eq!(close.op, Op::Close);
}

pub async fn a_close_that_waited_for_an_alarm_is_due_when_that_is_unlinked(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(raise("b")).await;
    by_hand(world, "b", Wanted::Link(TicketName::Key(made.ticket))).await;
    world.apply(take_in("a ends", later("a", AlarmState::Cleared, 5))).await;
    let close = world.decide("a", world.write(Op::Close, made.ticket)).await;
    world.apply(Change::Decide(Box::new(close))).await;
    assert!(!is_due(world, "a").await, "it waits for the other");
    by_hand(world, "b", Wanted::NoTicket).await;
    assert!(is_due(world, "a").await);
    let close = world.decided("a", world.write(Op::Close, made.ticket)).await;
    assert_eq!(close.op, Op::Close);
}

pub async fn two_alarms_of_a_ticket_write_one_after_the_other(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    world.apply(raise("b")).await;
    by_hand(world, "b", Wanted::Link(TicketName::Key(made.ticket))).await;
    for id in ["a", "b"] {
        world.apply(take_in(&format!("{id} says"), later(id, AlarmState::Updated, 5))).await;
    }
    world.decided("a", world.write(Op::Update, made.ticket)).await;
    let second = world.decide(
        "b",
        Decision::Write {
            op: Op::Update,
            ticket: made.ticket,
            fields: ticketgate_actors::model::Fields::new(),
        },
    );
    let second = second.await;
    match world.apply(Change::Decide(Box::new(second))).await {
        Applied::Decided { request: None, .. } => {}
        other => panic!("{other:?}"),
    }
    let waits = world.alarm("b").await;
    assert!(waits.unsettled() && waits.due_at.is_some_and(|at| at > world.now()));
}

fn import(world: &World, id: &str, backend_id: &str, status: TicketStatus) -> Change {
    let alarm = alarm_ref(id);
    let key = world.ticket_key();
    let origin =
        Origin::Alarm { at: OccurrenceRef { alarm: alarm.clone(), occurrence: 0 }, number: 0 };
    let row = Named { ticket: key, correlation_key: CorrelationKey(format!("tg-{key}")), origin };
    let (who, reason) = ("ann".to_owned(), "taken over".to_owned());
    let (backend, backend_id, kind) = (noc(), backend_id.to_owned(), Kind::Incident);
    Change::Import(Box::new(Import { alarm, backend, backend_id, kind, status, row, who, reason }))
}

pub async fn a_ticket_that_is_brought_along_is_found_by_the_first_event(world: &mut World) {
    world.apply(raise("known")).await;
    let open = TicketStatus::InProgress;
    for (id, backend_id, status, expected) in [
        ("old", "OLD1", open, Brought::Registered),
        ("old", "OLD1", open, Brought::Known),
        ("known", "OLD2", open, Brought::Linked),
        ("over", "OLD3", TicketStatus::Closed, Brought::LeftOut),
        ("old", "OLD4", open, Brought::Refused("the alarm has another ticket here")),
    ] {
        let applied = world.apply(import(world, id, backend_id, status)).await;
        assert_eq!(applied, Applied::Imported(expected), "{id} {backend_id}");
    }
    assert!(!is_due(world, "old").await && !is_due(world, "known").await);
    assert_eq!(world.reads.occurrences(alarm_ref("over")).await.unwrap(), []);
    let theirs = world.reads.ticket_by_backend_id(noc(), "OLD1".into()).await.unwrap().unwrap();
    assert_eq!((theirs.status, theirs.adopted), (open, true));
    // The old system's alarm comes again: its ticket is told, and no other is made.
    world.apply(raise("old")).await;
    let alarm = world.alarm("old").await;
    assert_eq!(alarm.ticket, Some(theirs.key));
    assert!(is_due(world, "old").await);
    world.decided("old", world.write(Op::Update, theirs.key)).await;
}
