//! A test alarm in the store: it comes to an end, and nothing of it stays.

use crate::cases::refused;
use crate::world::{World, noc};
use ticketgate_actors::changes::{Applied, CanaryStep, Change, ChangeSet, LockProof, Refusal};
use ticketgate_actors::model::{Mono, TestAlarm, TestRow};
use uuid::Uuid;

fn test(round: u128) -> TestAlarm {
    TestAlarm { node: "n1".into(), backend: noc(), round: Uuid::from_u128(round) }
}

async fn step(world: &World, round: u128, step: CanaryStep) {
    let applied = world.apply(Change::Canary(test(round), step)).await;
    assert_eq!(applied, Applied::Canary(test(round)));
}

async fn row(world: &World) -> Option<TestRow> {
    world.reads.lane(noc()).await.unwrap().canary
}

async fn told(world: &World, round: u128) -> u64 {
    step(world, round, CanaryStep::TakeIn).await;
    step(world, round, CanaryStep::Carry(world.lock())).await;
    step(world, round, CanaryStep::Tell(world.event_id())).await;
    let unsent = world.reads.unsent_events(0, 10).await.unwrap();
    assert_eq!(unsent.len(), 1, "{unsent:?}");
    assert_eq!(TestAlarm::of_event(&unsent[0]), Some(test(round)));
    unsent[0].n
}

pub async fn a_test_alarm_goes_its_way_and_nothing_of_it_stays(world: &mut World) {
    let epoch = world.take_lane().await;
    let n = told(world, 1).await;
    let sent = [Change::Sent(vec![n]), Change::Canary(test(1), CanaryStep::Told)];
    world.store.apply(ChangeSet(sent.to_vec())).await.unwrap();
    assert_eq!(row(world).await, None);
    assert_eq!(world.reads.events_after(0, 10).await.unwrap(), []);
    let figures = world.reads.figures().await.unwrap();
    assert_eq!((figures.alarms, figures.tickets, figures.unsent_events), (0, 0, 0));
    assert_eq!(figures.requests.iter().map(|(.., n)| n).sum::<u64>(), 0);
    // What its lane is otherwise has not changed.
    assert_eq!(world.reads.lane(noc()).await.unwrap().epoch, epoch);
}

pub async fn a_new_test_alarm_takes_the_place_of_one_that_came_to_no_end(world: &mut World) {
    world.take_lane().await;
    let old = told(world, 1).await;
    // A copy changes nothing.
    step(world, 1, CanaryStep::TakeIn).await;
    assert_eq!(world.reads.unsent_events(0, 10).await.unwrap().len(), 1);
    step(world, 2, CanaryStep::TakeIn).await;
    assert_eq!(world.reads.unsent_events(0, 10).await.unwrap(), []);
    // The outbox has the old one in flight still.
    let sent = [Change::Sent(vec![old]), Change::Canary(test(1), CanaryStep::Told)];
    world.store.apply(ChangeSet(sent.to_vec())).await.unwrap();
    assert_eq!(row(world).await, Some(TestRow { round: Uuid::from_u128(2), carried: false }));
    step(world, 1, CanaryStep::GiveUp).await;
    assert!(row(world).await.is_some(), "of another round");
    step(world, 2, CanaryStep::GiveUp).await;
    assert_eq!(row(world).await, None);
}

pub async fn a_test_alarm_is_told_only_if_it_was_carried_under_a_lock(world: &mut World) {
    world.take_lane().await;
    step(world, 1, CanaryStep::TakeIn).await;
    let tell = Change::Canary(test(1), CanaryStep::Tell(world.event_id()));
    assert_eq!(world.try_apply(tell.clone()).await, refused(Refusal::NotFound));
    let over = LockProof { expires: Mono(0), ..world.lock() };
    let carry = Change::Canary(test(1), CanaryStep::Carry(over));
    assert_eq!(world.try_apply(carry).await, refused(Refusal::LockLost));
    let other = Change::Canary(test(2), CanaryStep::Carry(world.lock()));
    assert_eq!(world.try_apply(other).await, refused(Refusal::NotFound));
    step(world, 1, CanaryStep::Carry(world.lock())).await;
    world.try_apply(tell).await.unwrap();
}
