//! Snapshots of a source: absence counts only over a set that is whole (CONTRACT 1.3).

use crate::cases::refused;
use crate::world::{World, identity, later, raise, take_in};
use ticketgate_actors::changes::{Applied, Change, Refusal};
use ticketgate_actors::model::{AlarmState, Mark, Pass, Snapshot, Timestamp};
use ticketgate_actors::testing::alarm_event;

fn mark(pass: &str, ends: bool) -> Change {
    let name = format!("{pass} {ends}");
    let mark = Mark { source: "probe".into(), pass: pass.into(), ends, at: None };
    Change::Mark(identity(&name), mark)
}

async fn begin(world: &World, pass: &str) {
    world.apply(mark(pass, false)).await;
}

async fn end(world: &World, pass: &str) -> bool {
    match world.apply(mark(pass, true)).await {
        Applied::Marked { ended, repeat: false } => ended,
        other => panic!("{other:?}"),
    }
}

async fn clear(world: &World, limit: u32) -> usize {
    match world.apply(Change::ClearUnnamed { source: "probe".into(), limit }).await {
        Applied::Cleared(due) => due.len(),
        other => panic!("{other:?}"),
    }
}

async fn snapshot(world: &World) -> Snapshot {
    world.reads.snapshots().await.unwrap().pop().unwrap()
}

pub async fn what_a_snapshot_does_not_name_is_cleared(world: &mut World) {
    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    for id in ["b", "c"] {
        world.apply(raise(id)).await;
    }
    let mut other = alarm_event("elsewhere", "x");
    other.details.object = "y".into();
    world.apply(take_in("x", other)).await;

    begin(world, "p1").await;
    // One is named by the very event that raised it, one by news of it.
    world.apply(raise("b")).await;
    world.apply(take_in("news", later("c", AlarmState::Updated, 5))).await;
    assert!(end(world, "p1").await);
    assert_eq!(clear(world, 100).await, 1);
    assert!(!world.alarm("a").await.active, "it was not named");
    assert!(world.alarm("b").await.active && world.alarm("c").await.active);
    let elsewhere =
        ticketgate_actors::model::AlarmRef { source: "elsewhere".into(), id: "x".into() };
    assert!(world.reads.occurrences(elsewhere).await.unwrap()[0].active, "it is another's");
    assert!(world.alarm("a").await.unsettled(), "its ticket is to be closed");
    let done = snapshot(world).await;
    assert_eq!((done.state, done.cleared, done.number), (Pass::Done, 1, 1));

    // It was older than whatever its source says next.
    let mut again = later("a", AlarmState::Raised, 2);
    again.details.raised_at = again.changed_at.unwrap();
    world.apply(take_in("again", again)).await;
    assert!(world.alarm("a").await.active);
}

/// The pages come after the end; what is raised in between is active.
pub async fn what_is_raised_while_a_snapshot_is_cleared_stays(world: &mut World) {
    for id in ["old", "newer"] {
        world.apply(raise(id)).await;
    }
    begin(world, "p1").await;
    assert!(end(world, "p1").await);
    world.apply(raise("new")).await;
    world.apply(take_in("news", later("newer", AlarmState::Updated, 5))).await;
    // A delivery that comes again is no news.
    world.apply(raise("old")).await;
    clear(world, 10).await;
    assert!(world.alarm("new").await.active && world.alarm("newer").await.active);
    assert!(!world.alarm("old").await.active);
}

pub async fn an_alarm_that_one_pass_left_out_is_raised_by_the_next_that_names_it(
    world: &mut World,
) {
    world.apply(raise("a")).await;
    begin(world, "p1").await;
    end(world, "p1").await;
    clear(world, 10).await;
    assert!(!world.alarm("a").await.active);
    world.apply(raise("a")).await;
    assert!(!world.alarm("a").await.active, "outside of a pass it is only a repeat");
    begin(world, "p2").await;
    // By the very event that raised it.
    world.apply(raise("a")).await;
    assert!(end(world, "p2").await);
    clear(world, 10).await;
    assert!(world.alarm("a").await.active);
    // What its source has cleared itself is not raised by an old event.
    world.apply(take_in("end", later("a", AlarmState::Cleared, 9))).await;
    begin(world, "p3").await;
    world.apply(raise("a")).await;
    assert!(!world.alarm("a").await.active);
}

pub async fn a_snapshot_is_cleared_page_by_page(world: &mut World) {
    for id in ["a", "b", "c", "d", "e"] {
        world.apply(raise(id)).await;
    }
    begin(world, "p1").await;
    world.apply(raise("c")).await;
    assert!(end(world, "p1").await);
    for cleared in [2, 3, 4, 4] {
        clear(world, 2).await;
        assert_eq!(snapshot(world).await.cleared, cleared);
    }
    assert_eq!(snapshot(world).await.state, Pass::Done);
    assert!(world.alarm("c").await.active && !world.alarm("e").await.active);
}

pub async fn absence_counts_only_after_the_end_of_the_same_pass(world: &mut World) {
    world.apply(raise("a")).await;
    let no_pass = refused(Refusal::NoSnapshot);
    assert_eq!(world.try_apply(mark("p1", true)).await, no_pass, "never begun");
    begin(world, "p1").await;
    assert_eq!(clear(world, 10).await, 0, "not ended");
    begin(world, "p2").await;
    assert_eq!(world.try_apply(mark("p1", true)).await, no_pass, "another has begun");
    // What the first pass named does not count for the second.
    assert!(end(world, "p2").await);
    clear(world, 10).await;
    assert!(!world.alarm("a").await.active);
    assert!(matches!(
        world.apply(mark("p2", true)).await,
        Applied::Marked { repeat: true, ended: false }
    ));
}

pub async fn a_snapshot_of_which_something_could_not_be_read_clears_nothing(world: &mut World) {
    for (pass, source) in [("p1", Some("probe".to_owned())), ("p2", None)] {
        world.apply(raise(pass)).await;
        begin(world, pass).await;
        world.apply(Change::Unread(source)).await;
        assert!(!end(world, pass).await);
        clear(world, 10).await;
        assert!(world.alarm(pass).await.active);
        assert_eq!((snapshot(world).await.state, snapshot(world).await.unread), (Pass::Torn, 1));
    }
    begin(world, "p3").await;
    world.apply(Change::Unread(Some("elsewhere".to_owned()))).await;
    assert!(end(world, "p3").await, "what another source says is not its business");
}

/// A source whose clock is far behind ours must be able to raise again.
pub async fn a_clear_by_a_snapshot_keeps_to_the_sources_clock(world: &mut World) {
    let long_ago = Timestamp::from_millis(1_000);
    assert!(world.now().as_millis() >= long_ago.as_millis());
    world.apply(raise("a")).await;
    begin(world, "p1").await;
    end(world, "p1").await;
    clear(world, 10).await;
    let cleared = world.alarm("a").await;
    assert_eq!(cleared.changed_at.as_millis(), 1_001);
}
