//! The main promise: an accepted alarm is never lost, and a ticket is never made twice.

use crate::alarms::{ALARMS, EVENTS, MALFORMED, REPEATED, SYSTEMS, Stream, message, raised, rules};
use crate::dice::Dice;
use crate::programs::{Publisher, Subscriber};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::json;
use std::time::Duration;
use ticketgate::simulate::faults::Faults;
use tokio::time::sleep;

/// Of the events: which come twice, and where.
const STREAM_SEED: u64 = 11;
/// Of the kills, unless `TICKETGATE_TEST_SEED` gives another.
const KILLS_SEED: u64 = 7;
/// `kill -9` of the service.
const KILLS: usize = 10;
/// Messages a second at most, so that events still arrive while the last kills happen.
const RATE: u32 = 150;

/// Four ticketing systems that lose one answer in fifty after the work was done.
fn setting(url: String, prefix: &str) -> Setting {
    let faults = Faults { latency_ms: 20, lost_answer_rate: 0.02, ..Faults::default() };
    let lane = "timeout = \"1s\"\nindex_lag = \"100ms\"";
    Setting {
        broker: Some((url, prefix.to_owned())),
        backends: ["b0", "b1", "b2", "b3"].map(|id| (id, faults.clone(), lane)).into(),
        config: rules(),
        ..Setting::default()
    }
}

fn dice_of_kills() -> Dice {
    let given = std::env::var("TICKETGATE_TEST_SEED").ok();
    let seed = given.map_or(KILLS_SEED, |seed| seed.parse().expect("a seed is a number"));
    eprintln!("seed of the kills: {seed}");
    Dice::new(seed)
}

/// Gives how many messages are parked.
async fn nothing_is_lost_or_doubled(
    world: &World,
    node: &Rabbit,
    stream: &Stream,
    subscriber: &Subscriber,
) -> usize {
    world.settled(ALARMS).await;
    verdict::every_alarm_has_its_ticket(world, stream);
    let requests = world.figure("ticketgate_requests").await;
    assert_eq!(requests, Some(ALARMS as f64), "the sum over all states");
    let told = verdict::everything_is_heard(world, subscriber).await;
    assert_eq!(told.events.len(), ALARMS);
    verdict::every_ticket_is_written_back(world, stream, &told);
    let parked = verdict::every_mistake_is_parked(world, stream).await;
    verdict::the_broker_is_empty(world, node).await;
    let injected = world.ledger().report().faults_injected;
    assert!(injected["lost_answer"] > 10, "the systems were too well-behaved: {injected:?}");
    parked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_events_give_every_ticket_exactly_once_though_answers_are_lost() {
    let node = Rabbit::shared().await;
    let world = World::started(setting(node.url(), "once")).await;
    let subscriber = Subscriber::listening(&world, "all", &["#"]).await;
    let mut stream = Stream::of(STREAM_SEED);
    Publisher::send(&world, std::mem::take(&mut stream.messages)).await;
    let parked = nothing_is_lost_or_doubled(&world, node, &stream, &subscriber).await;
    assert_eq!(parked, MALFORMED);
    let repeats = world.figure("ticketgate_events_repeated_total").await;
    assert!(repeats >= Some(REPEATED as f64), "{repeats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_though_service_and_broker_are_killed() {
    let mut dice = dice_of_kills();
    let mut node = Rabbit::started().await;
    let mut world = World::started(setting(node.url(), "killed")).await;
    let subscriber = Subscriber::listening(&world, "all", &["#"]).await;
    let mut stream = Stream::of(STREAM_SEED);
    let messages = std::mem::take(&mut stream.messages);
    let sent = messages.len();
    let mut publisher = Publisher::start(&world, Some(RATE));
    publisher.publish(messages);

    // A moment is told by how far the work has come, and a little time more.
    let mut moments = [(); KILLS].map(|()| dice.within(20..ALARMS - 100) as u64);
    moments.sort_unstable();
    let broker_goes_after = dice.within(2..KILLS - 2);
    for (n, tickets) in moments.into_iter().enumerate() {
        let made = async || (world.ledger().report().tickets >= tickets).then_some(());
        world.until(&format!("{tickets} tickets are made"), made).await;
        sleep(Duration::from_millis(dice.within(0..250) as u64)).await;
        world.kill9();
        world.start().await;
        if n == broker_goes_after {
            let confirmed = publisher.confirmed();
            eprintln!("the broker is killed with {confirmed} of {sent} messages confirmed");
            assert!(confirmed < EVENTS, "the broker is killed too late to matter");
            node.restart().await;
        }
    }
    publisher.has_sent(&world, sent).await;
    nothing_is_lost_or_doubled(&world, &node, &stream, &subscriber).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raise_update_and_clear_end_in_one_closed_ticket_each_though_the_service_is_killed() {
    const LIVES: usize = 200;
    let mut dice = dice_of_kills();
    let node = Rabbit::shared().await;
    let faults = Faults {
        latency_ms: 10,
        busy_rate: 0.005,
        error_after_rate: 0.03,
        lost_answer_rate: 0.03,
        ..Faults::default()
    };
    let mut setting = setting(node.url(), "lives");
    setting.backends.iter_mut().for_each(|(_, backend, _)| *backend = faults.clone());
    let mut world = World::started(setting).await;
    let subscriber = Subscriber::listening(&world, "all", &["#"]).await;

    let said = |state: &str, second: usize| {
        let event = |n: usize| {
            let mut body = raised(SYSTEMS[n % SYSTEMS.len()].0, &format!("L{n}"));
            body["state"] = json!(state);
            body["changed_at"] = json!(format!("2026-11-21T10:00:0{second}Z"));
            body["text"] = json!(format!("{state} at {second}"));
            message(&format!("{state}-{n}"), ["msgpack", "json"][n % 2], body)
        };
        (0..LIVES).map(event).collect::<Vec<_>>()
    };
    let messages = [said("raised", 0), said("updated", 1), said("cleared", 2)].concat();
    let sent = messages.len();
    let mut publisher = Publisher::start(&world, Some(RATE));
    publisher.publish(messages);
    // Each ticket costs two writes at least.
    let mut moments = [(); 5].map(|()| dice.within(20..2 * LIVES - 50) as u64);
    moments.sort_unstable();
    for writes in moments {
        let made = async || {
            let calls = world.ledger().report().calls;
            (calls.create + calls.update >= writes).then_some(())
        };
        world.until(&format!("{writes} writes are made"), made).await;
        sleep(Duration::from_millis(dice.within(0..250) as u64)).await;
        world.kill9();
        world.start().await;
    }
    publisher.has_sent(&world, sent).await;
    verdict::the_broker_is_empty(&world, node).await;
    world.settled(LIVES).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!(report.tickets, LIVES as u64);
    assert_eq!(report.by_state.get("closed"), Some(&(LIVES as u64)), "{:?}", report.by_state);
    let told = verdict::everything_is_heard(&world, &subscriber).await;
    for (key, events) in told.events {
        let last = events.last().expect("a ticket has events");
        assert_eq!(last.body["event"], "closed", "{key}: {last:?}");
    }
}
