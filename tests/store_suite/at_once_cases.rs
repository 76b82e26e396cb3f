//! A decision and the intent of its call in one set: what every store does with them.

use crate::cases::refused;
use crate::command_cases::{command, take, update};
use crate::hand_cases::{fails, hold};
use crate::world::{Answer, World, found, later, noc, open_requests, raise};
use ticketgate_actors::changes::{Applied, Change, Decide, Decision, End, Intend, Refusal};
use ticketgate_actors::model::{AlarmState, BackendId, Epoch, Fields, Op, Request, State};
use ticketgate_actors::ports::DueMost;

/// As the lane of that backend stores them.
async fn try_at_once(world: &World, backend: BackendId, epoch: Epoch, decide: Decide) -> Answer {
    let (request, attempts) = (decide.request, 0);
    let intend = Intend { backend, epoch, request, attempts, level: None, with_decision: true };
    let set = vec![Change::Decide(Box::new(decide)), Change::Intend(Box::new(intend))];
    world.apply_each(vec![set]).await.remove(0)
}

/// The request that was made, and whether it goes at once.
async fn at_once(world: &World, epoch: Epoch, decide: Decide) -> (Option<Request>, bool, bool) {
    let applied = try_at_once(world, noc(), epoch, decide).await.unwrap();
    let [Applied::Decided { request, first, .. }, then] = &applied[..] else {
        panic!("{applied:?}")
    };
    let goes = match then {
        Applied::Intended(..) => true,
        Applied::Skipped => false,
        other => panic!("{other:?}"),
    };
    (request.as_deref().cloned(), *first, goes)
}

/// G2, G6.
pub async fn a_decision_and_its_intent_share_a_commit(world: &mut World) {
    let epoch = world.take_lane().await;
    world.apply(raise("a")).await;
    let decide = world.decide("a", world.create("tg-a")).await;
    let (made, first, goes) = at_once(world, epoch, decide).await;
    assert!(first && goes);
    let row = world.reads.request(made.unwrap().id).await.unwrap().unwrap();
    assert_eq!((row.state, row.attempts, row.frozen), (State::Intent, 1, true));
    assert_eq!(world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap(), []);
    let done = world.concluded(epoch, &row, End::Done(found("INC1"))).await;
    assert!(done.events && done.request.state == State::Done);
    assert!(!world.alarm("a").await.unsettled());
}

/// T2, G13.
pub async fn neither_stands_where_one_is_refused(world: &mut World) {
    let old = world.take_lane().await;
    let epoch = world.take_lane().await;
    world.apply(raise("a")).await;
    let before = world.alarm("a").await;
    let decide = world.decide("a", world.create("tg-a")).await;
    let answer = try_at_once(world, noc(), old, decide.clone()).await;
    assert_eq!(answer, refused(Refusal::StaleEpoch));
    let stale = Decide { version: decide.version + 1, ..decide.clone() };
    let answer = try_at_once(world, noc(), epoch, stale).await;
    assert_eq!(answer, refused(Refusal::StaleVersion));
    assert_eq!(world.alarm("a").await, before);
    assert_eq!(world.reads.request(decide.request).await.unwrap(), None);
    let due = world.reads.due_alarms(noc(), world.now(), DueMost::of_each(10)).await.unwrap();
    assert_eq!(due.len(), 1, "its flow runs again");
    assert_eq!(open_requests(&*world.reads, &noc()).await, 0);
    // The same decision under the lane's own epoch, and never twice.
    assert!(at_once(world, epoch, decide.clone()).await.2);
    let answer = try_at_once(world, noc(), epoch, decide).await;
    assert_eq!(answer, refused(Refusal::StaleVersion));
}

/// G4.
pub async fn only_a_create_that_is_first_in_line_goes_with_its_decision(world: &mut World) {
    let epoch = world.take_lane().await;
    // An update.
    world.done(epoch, "a", "INC1").await;
    world.take_in("a2", later("a", AlarmState::Updated, 10)).await;
    let ticket = world.alarm("a").await.ticket.unwrap();
    let decide = world.decide("a", world.write(Op::Update, ticket)).await;
    let (made, first, goes) = at_once(world, epoch, decide).await;
    assert!(first && !goes, "it is submitted");
    let row = world.reads.request(made.unwrap().id).await.unwrap().unwrap();
    assert_eq!((row.state, row.attempts), (State::Accepted, 0));

    // A create that is sent again, behind a command for its ticket.
    let accepted = world.accepted("b").await;
    take(world, &command(world, 1, update(accepted.ticket))).await;
    fails(world, epoch, accepted.id).await;
    world.take_in("b2", later("b", AlarmState::Updated, 10)).await;
    let again = Decision::CreateAgain { ticket: accepted.ticket, fields: Fields::new() };
    let decide = world.decide("b", again).await;
    let (made, first, goes) = at_once(world, epoch, decide).await;
    assert!(made.is_some() && !first && !goes);

    // One whose ticket a person holds.
    let accepted = world.accepted("c").await;
    fails(world, epoch, accepted.id).await;
    world.apply(hold(accepted.ticket, true)).await;
    world.take_in("c2", later("c", AlarmState::Updated, 10)).await;
    let again = Decision::CreateAgain { ticket: accepted.ticket, fields: Fields::new() };
    let decide = world.decide("c", again).await;
    let (made, first, goes) = at_once(world, epoch, decide).await;
    assert!(made.is_some() && first && !goes);

    // One of another lane.
    world.apply(raise("d")).await;
    let decide = world.decide("d", world.create("tg-d")).await;
    let other = BackendId::new("other");
    let applied = try_at_once(world, other, Epoch::default(), decide).await.unwrap();
    assert_eq!(applied[1], Applied::Skipped);
}

pub async fn a_decision_that_makes_nothing_has_no_intent(world: &mut World) {
    let epoch = world.take_lane().await;
    world.apply(raise("a")).await;
    let decide = world.decide("a", Decision::Nothing).await;
    let (made, _, goes) = at_once(world, epoch, decide).await;
    assert!(made.is_none() && !goes);
    assert!(!world.alarm("a").await.unsettled());
}
