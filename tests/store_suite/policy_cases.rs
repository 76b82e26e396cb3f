//! What policy wants, from the event to the journal, by the very flow that the service runs: groups,
//! storms, flapping, tickets that a person closed (rules T1, T3).

use crate::by_hand_cases::by_hand;
use crate::command_cases::{command, take, update};
use crate::past_cases::{retire, send_all};
use crate::world::{World, found, identity, later, noc};
use std::time::Duration;
use ticketgate_actors::changes::{
    Admission, Applied, Change, Decide, End, Level, TakeIn, Wanted, Write,
};
use ticketgate_actors::logic::expression::Expression;
use ticketgate_actors::logic::flow::{Flow, Next};
use ticketgate_actors::logic::policy::{
    NAMES, PersonClosed, Policy, RaisedAgain, Rule, Storm, Ways,
};
use ticketgate_actors::model::{
    AlarmEvent, AlarmState, Epoch, Op, Origin, Request, TicketError, TicketName, TicketStatus,
};
use ticketgate_actors::ports::{DueAlarm, DueMost};
use ticketgate_actors::testing::alarm_event;

fn policy() -> Policy {
    Policy { default_backend: Some(noc()), ..Policy::default() }
}

/// Alarms of one object share a ticket.
fn grouped(ways: Ways) -> Policy {
    let by_object = Rule {
        name: "site".into(),
        group_by: Some(Expression::new("object", &NAMES).unwrap()),
        ways,
        ..Rule::default()
    };
    Policy { rules: vec![by_object], ..policy() }
}

async fn send(world: &World, policy: &Policy, event: AlarmEvent) {
    let name = format!("{} {:?} {:?}", event.alarm, event.state, event.changed_at);
    let routing = policy.route(&event, world.now());
    let take = TakeIn { identity: identity(&name), event, routing, parked_at: None };
    world.apply(Change::TakeIn(Box::new(take))).await;
}

async fn raise(world: &World, policy: &Policy, id: &str) {
    send(world, policy, alarm_event("probe", id)).await;
}

async fn clear(world: &World, policy: &Policy, id: &str, millis: i64) {
    send(world, policy, later(id, AlarmState::Cleared, millis)).await;
}

/// What is due now, as the flows read it.
async fn due(world: &World) -> Vec<DueAlarm> {
    world.reads.due_alarms(noc(), world.now(), DueMost::of_each(100)).await.unwrap()
}

/// What one flow decides on what it has read, and what is journaled then. What has changed meanwhile makes a turn
/// void, and the next round decides again.
async fn flow(world: &World, policy: &Policy, due: &DueAlarm) -> Option<Request> {
    let fresh = world.ticket_key();
    let Next::Decide(decided) =
        (Flow { due, policy, instance: "test", fresh, now: world.now() }).start()
    else {
        panic!("nothing is searched")
    };
    let decide = Decide {
        at: due.alarm.at.clone(),
        version: due.alarm.wanted_version,
        ticket: decided.read,
        lock: world.lock(),
        request: world.request_id(),
        event_id: world.event_id(),
        decision: decided.decision,
        reason: decided.reason,
        along: decided.along,
        admission: Admission::default(),
        storm: policy.storm,
    };
    let applied = world.try_apply(Change::Decide(Box::new(decide))).await.ok()?;
    match applied.into_iter().next() {
        Some(Applied::Decided { request, .. }) => request.map(|it| *it),
        _ => None,
    }
}

/// One flow over each alarm that is due, as the ticket clients carry them; what they journal.
async fn flows(world: &World, policy: &Policy) -> Vec<Request> {
    let mut made = Vec::new();
    for due in due(world).await {
        made.extend(flow(world, policy, &due).await);
    }
    made
}

/// Flows until there is nothing to do now.
async fn settled(world: &World, policy: &Policy) -> Vec<Request> {
    let mut made = Vec::new();
    for _ in 0..10 {
        made.extend(flows(world, policy).await);
    }
    made
}

async fn done(world: &World, epoch: Epoch, request: &Request, backend_id: &str) {
    let intended = world.intended(epoch, request.id).await;
    world.concluded(epoch, &intended, End::Done(found(backend_id))).await;
}

/// A ticket that is made for that alarm; its create.
async fn made(world: &World, policy: &Policy, epoch: Epoch, id: &str, theirs: &str) -> Request {
    raise(world, policy, id).await;
    let create = settled(world, policy).await.pop().unwrap();
    assert_eq!(create.op, Op::Create);
    done(world, epoch, &create, theirs).await;
    create
}

/// The same, of an alarm that is cleared then, so that it is closed.
async fn closed(world: &World, policy: &Policy, epoch: Epoch, id: &str, theirs: &str) -> Request {
    let create = made(world, policy, epoch, id, theirs).await;
    clear(world, policy, id, 1).await;
    let close = settled(world, policy).await.pop().unwrap();
    assert_eq!(close.op, Op::Close);
    done(world, epoch, &close, theirs).await;
    create
}

/// The alarm's next occurrence.
fn again(id: &str, millis: i64) -> AlarmEvent {
    let mut event = later(id, AlarmState::Raised, millis);
    event.details.raised_at = event.changed_at.unwrap();
    event
}

/// What goes on with a ticket of its group is rendered anew when it is sent.
async fn sent_anew(world: &World, epoch: Epoch, request: &Request, of: &str) -> Request {
    let Change::Intend(mut intend) = world.intend(epoch, request.id).await else { panic!() };
    let version = world.alarm(of).await.wanted_version;
    intend.level = Some(Level { version, fields: request.fields.clone() });
    let Applied::Intended(sent, _) = world.apply(Change::Intend(intend)).await else { panic!() };
    *sent
}

fn text<'a>(request: &'a Request, field: &str) -> &'a str {
    request.fields.get(field).and_then(|it| it.as_str()).unwrap_or_default()
}

pub async fn alarms_of_a_group_share_a_ticket(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    raise(world, &policy, "a").await;
    let create = settled(world, &policy).await.pop().unwrap();
    let ticket = world.reads.ticket(create.ticket).await.unwrap().unwrap();
    assert!(matches!(&ticket.origin, Origin::Group { value, .. } if value == "tx/1"));

    // While it is being made, the others wait for it, and no clock has to tell them when it is there.
    raise(world, &policy, "b").await;
    raise(world, &policy, "c").await;
    assert_eq!(settled(world, &policy).await, []);
    assert_eq!(world.alarm("b").await.ticket, Some(create.ticket));
    assert!(world.alarm("b").await.waits && world.alarm("c").await.waits);
    done(world, epoch, &create, "INC1").await;

    // One update tells of all of them.
    let told = settled(world, &policy).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].op, told[0].ticket), (Op::Update, create.ticket));
    assert!(text(&told[0], "summary").starts_with("3 alarms: "));
    for id in ["a", "b", "c"] {
        assert!(text(&told[0], "alarms").contains(&format!("probe/{id}")));
        assert!(world.alarm(id).await.request.is_some() || !world.alarm(id).await.unsettled());
    }
    done(world, epoch, &told[0], "INC1").await;
    assert_eq!(settled(world, &policy).await, []);
}

pub async fn the_ticket_of_a_group_is_closed_after_the_last_of_its_alarms(world: &mut World) {
    let delay = Duration::from_secs(60);
    let (policy, epoch) =
        (grouped(Ways { close_delay: delay, ..Ways::default() }), world.take_lane().await);
    let create = made(world, &policy, epoch, "a", "INC1").await;
    raise(world, &policy, "b").await;
    let joined = settled(world, &policy).await.pop().unwrap();
    done(world, epoch, &joined, "INC1").await;

    clear(world, &policy, "a", 1).await;
    world.clock.advance(Duration::from_secs(50));
    clear(world, &policy, "b", 2).await;
    world.clock.advance(Duration::from_secs(11));
    // The first has waited long enough, the last has not.
    assert_eq!(settled(world, &policy).await, []);
    world.clock.advance(Duration::from_secs(50));
    let close = settled(world, &policy).await.pop().unwrap();
    assert_eq!((close.op, close.ticket), (Op::Close, create.ticket));

    // While it is being closed, and from then on, the group begins anew.
    raise(world, &policy, "c").await;
    let anew = settled(world, &policy).await.pop().unwrap();
    assert_eq!(anew.op, Op::Create);
    assert_ne!(anew.ticket, create.ticket);
    done(world, epoch, &close, "INC1").await;
    assert_eq!(settled(world, &policy).await, []);
}

/// U1: the group has begun another ticket while that one was being closed; it was never made.
pub async fn a_group_goes_on_with_the_ticket_whose_close_was_refused(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    let no = || End::Rejected(TicketError::because("a field is missing"));
    let first = made(world, &policy, epoch, "a", "INC1").await;
    clear(world, &policy, "a", 1).await;
    let close = settled(world, &policy).await.pop().unwrap();
    raise(world, &policy, "b").await;
    let beside = settled(world, &policy).await.pop().unwrap();
    assert_eq!(beside.op, Op::Create);
    let intended = world.intended(epoch, beside.id).await;
    world.concluded(epoch, &intended, no()).await;
    let intended = world.intended(epoch, close.id).await;
    world.concluded(epoch, &intended, no()).await;

    // Neither is its create tried again, nor is one made for who comes now.
    send(world, &policy, later("b", AlarmState::Updated, 2)).await;
    raise(world, &policy, "c").await;
    let told = settled(world, &policy).await;
    assert!(!told.is_empty());
    assert!(told.iter().all(|it| (it.op, it.ticket) == (Op::Update, first.ticket)), "{told:?}");
    assert_eq!(world.alarm("b").await.ticket, Some(first.ticket));
    assert_eq!(world.alarm("c").await.ticket, Some(first.ticket));
    done(world, epoch, &told[0], "INC1").await;

    // It is closed with the last of them, and only then the group begins anew.
    clear(world, &policy, "b", 3).await;
    clear(world, &policy, "c", 3).await;
    let close = settled(world, &policy).await.pop().unwrap();
    assert_eq!((close.op, close.ticket), (Op::Close, first.ticket));
    done(world, epoch, &close, "INC1").await;
    raise(world, &policy, "d").await;
    assert_eq!(settled(world, &policy).await.pop().unwrap().op, Op::Create);
}

/// U4, for a ticket that the group did not make for it.
pub async fn an_alarm_taken_off_what_it_went_on_with_stays_out_of_its_group(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    send(world, &policy, again("a", 2)).await;
    let reopen = settled(world, &policy).await.pop().unwrap();
    assert_eq!((reopen.op, reopen.ticket), (Op::Reopen, create.ticket));
    let reopen = sent_anew(world, epoch, &reopen, "a").await;
    world.concluded(epoch, &reopen, End::Done(found("INC1"))).await;

    by_hand(world, "a", Wanted::Unlink).await;
    let mut worse = later("a", AlarmState::Updated, 3);
    worse.details.text = Some("worse".into());
    send(world, &policy, worse).await;
    let own = settled(world, &policy).await.pop().unwrap();
    assert_eq!(own.op, Op::Create);
    assert_ne!(own.ticket, create.ticket);
}

pub async fn an_alarm_that_a_person_takes_off_its_groups_ticket_gets_its_own(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    let create = made(world, &policy, epoch, "a", "INC1").await;
    raise(world, &policy, "b").await;
    let joined = settled(world, &policy).await.pop().unwrap();
    done(world, epoch, &joined, "INC1").await;
    by_hand(world, "b", Wanted::Unlink).await;
    let own = settled(world, &policy).await.pop().unwrap();
    assert_eq!(own.op, Op::Create);
    assert_ne!(own.ticket, create.ticket);
    let ticket = world.reads.ticket(own.ticket).await.unwrap().unwrap();
    assert!(matches!(ticket.origin, Origin::Alarm { number: 2, .. }), "{:?}", ticket.origin);
}

pub async fn what_a_person_took_off_its_ticket_is_not_put_back_by_its_ways(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (Policy { ways, ..policy() }, world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    send(world, &policy, again("a", 2)).await;
    let reopen = settled(world, &policy).await.pop().unwrap();
    assert_eq!((reopen.op, reopen.ticket), (Op::Reopen, create.ticket));
    done(world, epoch, &reopen, "INC1").await;
    by_hand(world, "a", Wanted::Unlink).await;
    let own = settled(world, &policy).await.pop().unwrap();
    assert_eq!(own.op, Op::Create);
    assert_ne!(own.ticket, create.ticket);
}

pub async fn a_group_has_one_open_ticket_though_an_alarm_goes_on_with_an_older_one(
    world: &mut World,
) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    closed(world, &policy, epoch, "a", "INC1").await;
    raise(world, &policy, "b").await;
    let second = settled(world, &policy).await.pop().unwrap();
    assert_eq!(second.op, Op::Create);
    done(world, epoch, &second, "INC2").await;
    // The group has begun another ticket since: this one is not opened beside it.
    send(world, &policy, again("a", 2)).await;
    let joined = settled(world, &policy).await.pop().unwrap();
    assert_eq!((joined.op, joined.ticket), (Op::Update, second.ticket));
    done(world, epoch, &joined, "INC2").await;
}

pub async fn who_comes_to_a_group_gets_the_ticket_that_one_of_it_has_opened_again(
    world: &mut World,
) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    let mut first = None;
    for (id, theirs) in [("a", "INC1"), ("b", "INC2")] {
        raise(world, &policy, id).await;
        let create = settled(world, &policy).await.pop().unwrap();
        assert_eq!(create.op, Op::Create);
        done(world, epoch, &create, theirs).await;
        clear(world, &policy, id, 1).await;
        let close = settled(world, &policy).await.pop().unwrap();
        done(world, epoch, &close, theirs).await;
        first.get_or_insert(create.ticket);
    }
    send(world, &policy, again("a", 2)).await;
    let reopen = settled(world, &policy).await.pop().unwrap();
    assert_eq!((reopen.op, Some(reopen.ticket)), (Op::Reopen, first));
    raise(world, &policy, "c").await;
    assert_eq!(settled(world, &policy).await, [], "it waits for the end of that");
    assert_eq!(world.alarm("c").await.ticket, first);
}

/// U1. The group had begun another ticket while that was over.
pub async fn a_groups_ticket_that_an_alarm_without_it_opens_again_is_the_groups(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let alone = Policy { ways: ways.clone(), ..policy() };
    let (policy, epoch) = (Policy { ways: ways.clone(), ..grouped(ways) }, world.take_lane().await);
    raise(world, &policy, "a").await;
    raise(world, &alone, "x").await;
    let creates = settled(world, &policy).await;
    for (create, theirs) in creates.iter().zip(["INC1", "INC2"]) {
        done(world, epoch, create, theirs).await;
    }
    let first = world.alarm("a").await.ticket.unwrap();
    by_hand(world, "x", Wanted::Link(TicketName::Key(first))).await;
    for id in ["a", "x"] {
        send(world, if id == "a" { &policy } else { &alone }, later(id, AlarmState::Cleared, 1))
            .await;
    }
    let close = settled(world, &policy).await.pop().unwrap();
    assert_eq!((close.op, close.ticket), (Op::Close, first));
    done(world, epoch, &close, "INC1").await;
    raise(world, &policy, "b").await;
    let second = settled(world, &policy).await.pop().unwrap();
    assert_eq!(second.op, Op::Create);
    done(world, epoch, &second, "INC3").await;
    send(world, &alone, again("x", 2)).await;
    let reopen = settled(world, &policy).await.pop().unwrap();
    assert_eq!((reopen.op, reopen.ticket), (Op::Reopen, first));
    done(world, epoch, &reopen, "INC1").await;
    clear(world, &policy, "b", 3).await;
    let close = settled(world, &policy).await.pop().unwrap();
    assert_eq!((close.op, close.ticket), (Op::Close, second.ticket));
    done(world, epoch, &close, "INC3").await;
    raise(world, &policy, "c").await;
    settled(world, &policy).await;
    assert_eq!(world.alarm("c").await.ticket, Some(first), "no third ticket");
}

/// U1. A command's update stands before what opens it again.
pub async fn a_groups_ticket_that_will_be_opened_again_is_waited_for(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    take(world, &command(world, 1, update(create.ticket))).await;
    send(world, &policy, again("a", 2)).await;
    assert_eq!(settled(world, &policy).await.pop().unwrap().op, Op::Reopen);
    raise(world, &policy, "b").await;
    assert_eq!(settled(world, &policy).await, [], "no second ticket for the group");
    assert_eq!(world.alarm("b").await.ticket, Some(create.ticket));
}

/// U1. No alarm of it wants that, and another request stands before it.
pub async fn a_groups_ticket_that_a_command_will_open_again_is_waited_for(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    take(world, &command(world, 1, update(create.ticket))).await;
    let reopen = Write::Change(Op::Reopen, TicketName::Key(create.ticket));
    take(world, &command(world, 2, reopen)).await;
    raise(world, &policy, "b").await;
    assert_eq!(settled(world, &policy).await, [], "no second ticket for the group");
    assert_eq!(world.alarm("b").await.ticket, Some(create.ticket));
}

/// U5.
pub async fn an_alarm_cleared_while_its_groups_ticket_is_opened_again_is_told(world: &mut World) {
    let ways = Ways { raised_again: RaisedAgain::Reopen, ..Ways::default() };
    let (policy, epoch) = (grouped(ways), world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    send(world, &policy, again("a", 2)).await;
    let reopen = settled(world, &policy).await.pop().unwrap();
    raise(world, &policy, "b").await;
    assert_eq!(settled(world, &policy).await, []);
    assert_eq!((reopen.op, world.alarm("b").await.ticket), (Op::Reopen, Some(create.ticket)));
    // With b, which is active.
    let reopen = sent_anew(world, epoch, &reopen, "a").await;
    clear(world, &policy, "b", 3).await;
    assert_eq!(settled(world, &policy).await, [], "there is no open ticket to write to yet");
    world.concluded(epoch, &reopen, End::Done(found("INC1"))).await;
    let told = settled(world, &policy).await.pop().unwrap();
    assert_eq!((told.op, told.ticket), (Op::Update, create.ticket));
    assert!(text(&told, "alarms").contains("cleared: probe/b"), "{told:?}");
}

/// U5.
pub async fn an_alarm_cleared_while_its_groups_ticket_is_tried_again_is_told(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    raise(world, &policy, "a").await;
    let create = settled(world, &policy).await.pop().unwrap();
    raise(world, &policy, "b").await;
    assert_eq!(settled(world, &policy).await, []);
    let intended = world.intended(epoch, create.id).await;
    let refused = End::Rejected(TicketError::because("a field is missing"));
    world.concluded(epoch, &intended, refused).await;
    // It is tried again for b, of which it did not tell; as of now, with a, which is active.
    let b = due(world).await.pop().unwrap();
    clear(world, &policy, "a", 2).await;
    let a = due(world).await.into_iter().find(|due| due.alarm.at.alarm.id == "a").unwrap();
    let again = flow(world, &policy, &b).await.unwrap();
    assert_eq!((again.op, again.ticket), (Op::Create, create.ticket));
    // As far as a's flow knows, there is no ticket.
    assert_eq!(flow(world, &policy, &a).await, None);
    done(world, epoch, &again, "INC1").await;
    let told = settled(world, &policy).await.pop().unwrap();
    assert_eq!((told.op, told.ticket), (Op::Update, create.ticket));
    assert!(text(&told, "alarms").contains("cleared: probe/a"), "{told:?}");
}

pub async fn an_occurrence_waits_for_the_request_of_the_one_before(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    made(world, &policy, epoch, "a", "INC1").await;
    send(world, &policy, later("a", AlarmState::Updated, 1)).await;
    let update = settled(world, &policy).await.pop().unwrap();
    let sent = world.intended(epoch, update.id).await;
    clear(world, &policy, "a", 2).await;
    send(world, &policy, again("a", 3)).await;
    // It shares the group's ticket, and waits; a flow that is refused would run again at once.
    assert_eq!(settled(world, &policy).await, []);
    assert!(world.alarm("a").await.waits);
    world.concluded(epoch, &sent, End::Done(found("INC1"))).await;
    let next = settled(world, &policy).await;
    assert_eq!(next.iter().map(|it| it.op).collect::<Vec<_>>(), [Op::Update]);
    done(world, epoch, &next[0], "INC1").await;
    assert_eq!(settled(world, &policy).await, [], "nothing is closed under an active alarm");
}

pub async fn a_clear_within_a_group_is_told_while_others_go_on(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    made(world, &policy, epoch, "a", "INC1").await;
    raise(world, &policy, "b").await;
    let joined = settled(world, &policy).await.pop().unwrap();
    done(world, epoch, &joined, "INC1").await;
    clear(world, &policy, "a", 1).await;
    let told = settled(world, &policy).await.pop().unwrap();
    assert_eq!(told.op, Op::Update);
    assert!(text(&told, "alarms").contains("cleared: probe/a"), "{told:?}");
    assert_eq!(text(&told, "alarm_id"), "b");
}

pub async fn a_storm_makes_no_more_tickets_than_it_may(world: &mut World) {
    let storm = Storm { tickets: 2, within: Duration::from_secs(60) };
    let policy = Policy { storm: Some(storm), ..policy() };
    for id in ["a", "b", "c", "d"] {
        raise(world, &policy, id).await;
    }
    assert_eq!(settled(world, &policy).await.len(), 2);
    let reason = world.alarm("d").await.reason.unwrap();
    assert!(reason.contains("storm: 2 tickets were made"), "{reason}");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(settled(world, &policy).await.len(), 2);
    assert_eq!(settled(world, &policy).await, []);
}

pub async fn an_alarm_that_flaps_keeps_its_ticket(world: &mut World) {
    let ways = Ways {
        flapping: Duration::from_secs(30),
        close_delay: Duration::from_secs(60),
        ..Ways::default()
    };
    assert_eq!(ways.raised_again, RaisedAgain::New);
    let (policy, epoch) = (Policy { ways, ..policy() }, world.take_lane().await);
    let create = made(world, &policy, epoch, "a", "INC1").await;
    let again = |millis: i64| {
        let mut event = later("a", AlarmState::Raised, millis);
        event.details.raised_at = event.changed_at.unwrap();
        event
    };
    // The close still waits: it is not made at all.
    clear(world, &policy, "a", 1).await;
    send(world, &policy, again(2)).await;
    let update = settled(world, &policy).await.pop().unwrap();
    assert_eq!((update.op, update.ticket), (Op::Update, create.ticket));
    done(world, epoch, &update, "INC1").await;
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(settled(world, &policy).await, [], "nothing is closed under an active alarm");

    // It is closed, and was cleared long ago: a new ticket.
    let now = world.now().as_millis() - 1_000;
    clear(world, &policy, "a", now).await;
    world.clock.advance(Duration::from_secs(61));
    let close = settled(world, &policy).await.pop().unwrap();
    assert_eq!(close.op, Op::Close);
    done(world, epoch, &close, "INC1").await;
    send(world, &policy, again(world.now().as_millis())).await;
    let new = settled(world, &policy).await.pop().unwrap();
    assert_eq!(new.op, Op::Create);
}

pub async fn a_ticket_that_a_person_closed_is_left_reopened_or_replaced(world: &mut World) {
    let epoch = world.take_lane().await;
    for (id, ways, op) in [
        ("leave", PersonClosed::Leave, None),
        ("reopen", PersonClosed::Reopen, Some(Op::Reopen)),
        ("new", PersonClosed::New, Some(Op::Create)),
    ] {
        let ways = Ways { person_closed: ways, ..Ways::default() };
        let policy = Policy { ways, ..policy() };
        raise(world, &policy, id).await;
        let create = settled(world, &policy).await.pop().unwrap();
        let intended = world.intended(epoch, create.id).await;
        let mut seen = found(&format!("INC-{id}"));
        seen.status = Some(TicketStatus::Closed);
        world.concluded(epoch, &intended, End::Done(seen)).await;
        assert_eq!(settled(world, &policy).await, [], "what the backend shows wakes nothing (T3)");
        send(world, &policy, later(id, AlarmState::Updated, 1)).await;
        let next = settled(world, &policy).await.pop();
        assert_eq!(next.as_ref().map(|it| it.op), op, "{id}");
        if op == Some(Op::Create) {
            assert_ne!(next.unwrap().ticket, create.ticket);
        }
    }
}

pub async fn only_named_fields_cause_an_update(world: &mut World) {
    let names = ["severity".to_owned(), "properties.site".to_owned()];
    let ways = Ways { update_on: Some(names.into()), ..Ways::default() };
    let (policy, epoch) = (Policy { ways, ..policy() }, world.take_lane().await);
    made(world, &policy, epoch, "a", "INC1").await;
    send(world, &policy, later("a", AlarmState::Updated, 1)).await;
    assert_eq!(settled(world, &policy).await, [], "only its text is another");
    let mut moved = later("a", AlarmState::Updated, 2);
    moved.details.properties.insert("site".into(), "north".into());
    send(world, &policy, moved).await;
    assert_eq!(settled(world, &policy).await.len(), 1);
}

/// T5: the group's ticket has gone, having been over for long.
pub async fn a_group_begins_anew_once_its_ticket_has_gone(world: &mut World) {
    let (policy, epoch) = (grouped(Ways::default()), world.take_lane().await);
    let create = closed(world, &policy, epoch, "a", "INC1").await;
    send_all(world).await;
    world.clock.advance(Duration::from_secs(91 * 86_400));
    assert_eq!(retire(world, 9).await, [2, 1, 0]);
    raise(world, &policy, "b").await;
    let anew = settled(world, &policy).await.pop().unwrap();
    assert_eq!(anew.op, Op::Create);
    assert_ne!(anew.ticket, create.ticket);
}
