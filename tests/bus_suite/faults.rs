//! The broker goes away, comes back, falls silent or takes nothing more.

use crate::cases::ticket;
use crate::rabbit::Rabbit;
use crate::shelf::{PATIENCE, until};
use crate::world::{World, connect, publish, settings};
use futures_util::StreamExt;
use futures_util::future::ready;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use ticketgate::amqp::{AmqpSettings, Hears, Subscription};
use ticketgate_actors::model::{EventName, Kind};
use ticketgate_actors::ports::Bus;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// Messages in each direction between two faults, at least.
const BETWEEN: usize = 300;
/// Publishes under way at once.
const WINDOW: usize = 64;
/// Between two publishes of one of them, so that the queue stays small enough to be read again.
const PACE: Duration = Duration::from_millis(20);
/// Rule A2.
const BACK_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_through_forced_closes_and_a_kill_of_the_broker() {
    let mut node = Rabbit::started().await;
    let subscription = Subscription {
        queue: "all".into(),
        exchange: Hears::Tickets,
        bindings: vec!["ticket.#".into()],
        max_length: 1_000_000,
        ttl: None,
    };
    let settings = AmqpSettings { subscriptions: vec![subscription], ..settings(&node, "faults") };
    let world = World::rabbit_with(settings).await;
    until("the bus is connected", || world.bus.connected()).await;
    let (out, into) = (Arc::new(Traffic::default()), Arc::new(Traffic::default()));
    let outbox = tokio::spawn(publish_out(Arc::clone(&world.bus), Arc::clone(&out)));
    let system = tokio::spawn(publish_in(node.url(), world.named("alarms"), Arc::clone(&into)));
    for _ in 0..3 {
        both_go_on(&out, &into).await;
        node.close_all_connections().await;
    }
    both_go_on(&out, &into).await;
    node.restart().await;
    let returned = Instant::now();
    until("the bus is connected again", || world.bus.connected()).await;
    assert!(returned.elapsed() < BACK_WITHIN, "{:?}", returned.elapsed());
    both_go_on(&out, &into).await;
    for traffic in [&out, &into] {
        traffic.enough.store(true, Ordering::Relaxed);
    }
    timeout(PATIENCE, outbox).await.expect("the outbox ends").unwrap();
    timeout(PATIENCE, system).await.expect("the alarm system ends").unwrap();

    let sent: BTreeSet<String> = (0..into.confirmed()).map(|n| n.to_string()).collect();
    until("every alarm is taken", || world.alarms.distinct() >= sent.len()).await;
    let taken: BTreeSet<String> = world.alarms.ids().into_iter().collect();
    assert_eq!(taken, sent);

    let mut subscriber = world.listen("all").await;
    let mut heard = BTreeSet::new();
    let mut messages = 0;
    let sent: BTreeSet<String> =
        (0..out.confirmed()).map(|n| Uuid::from_u128(n as u128).to_string()).collect();
    while heard.len() < sent.len() {
        heard.insert(subscriber.next().await.message_id);
        messages += 1;
    }
    assert_eq!(heard, sent);
    while subscriber.next_within(Duration::from_millis(500)).await.is_some() {
        messages += 1;
    }
    world.nothing_is_left(&node).await;
    eprintln!(
        "out: {} events, {messages} messages, {} failed publishes; in: {} alarms, {} deliveries",
        sent.len(),
        out.failed.load(Ordering::Relaxed),
        into.confirmed(),
        world.alarms.offered(),
    );
    assert!(out.failed.load(Ordering::Relaxed) > 0, "the faults were felt");
}

/// How far one direction is.
#[derive(Default)]
struct Traffic {
    confirmed: AtomicUsize,
    failed: AtomicUsize,
    enough: AtomicBool,
}

impl Traffic {
    fn confirmed(&self) -> usize {
        self.confirmed.load(Ordering::Relaxed)
    }
    fn enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }
}

async fn both_go_on(one: &Traffic, other: &Traffic) {
    let (first, second) = (one.confirmed() + BETWEEN, other.confirmed() + BETWEEN);
    until("both go on", || one.confirmed() >= first && other.confirmed() >= second).await;
}

/// As the outbox does: each until it is confirmed.
async fn publish_out(bus: Arc<dyn Bus>, traffic: Arc<Traffic>) {
    let publish = |n: usize| {
        let (bus, traffic) = (Arc::clone(&bus), Arc::clone(&traffic));
        async move {
            let message = ticket(n as u128, EventName::Created, Kind::Incident);
            while bus.publish(message.clone()).await.is_err() {
                traffic.failed.fetch_add(1, Ordering::Relaxed);
                sleep(PACE).await;
            }
            traffic.confirmed.fetch_add(1, Ordering::Relaxed);
            sleep(PACE).await;
        }
    };
    let endless = futures_util::stream::iter(0..).take_while(|_| ready(!traffic.enough()));
    endless.map(publish).buffer_unordered(WINDOW).for_each(|()| ready(())).await;
}

/// An alarm system that publishes each until it is confirmed, over one connection at a time.
async fn publish_in(url: String, exchange: String, traffic: Arc<Traffic>) {
    let mut link = connect(&url).await.ok();
    while !traffic.enough() {
        let id = traffic.confirmed().to_string();
        if let Some((_, channel)) = &link {
            let publishing = publish(channel, &exchange, &id, b"{}");
            if let Ok(Ok(())) = timeout(Duration::from_secs(5), publishing).await {
                traffic.confirmed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        }
        sleep(PACE).await;
        link = timeout(Duration::from_secs(5), connect(&url)).await.ok().and_then(Result::ok);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_late_falls_silent_or_is_full_is_caught_up_with() {
    let mut node = Rabbit::prepared();
    let settings = AmqpSettings {
        heartbeat: Duration::from_secs(1),
        confirm_timeout: Duration::from_secs(1),
        ..settings(&node, "late")
    };
    let world = World::rabbit_with(settings).await;
    assert!(!world.bus.connected());
    let message = || ticket(1, EventName::Created, Kind::Incident);
    assert!(world.bus.publish(message()).await.is_err(), "there is no broker");
    until("it says what is wrong", || world.amqp().trouble().is_some()).await;

    node.start().await;
    caught_up(&world, "late").await;

    // A broker that is short of memory takes nothing from publishers; it says so to nobody.
    node.ctl(&["set_vm_memory_high_watermark", "0.000001"]).await;
    let full = Instant::now();
    until_refused(&world).await;
    assert!(full.elapsed() < Duration::from_secs(10), "{:?}", full.elapsed());
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    caught_up(&world, "full").await;

    node.freeze();
    let frozen = Instant::now();
    until("the silence is noticed", || !world.bus.connected()).await;
    // Rule A4, with heartbeats of one second and the second at which they are counted.
    assert!(frozen.elapsed() < Duration::from_secs(4), "{:?}", frozen.elapsed());
    node.thaw();
    caught_up(&world, "silent").await;
}

/// The bus is connected in time, and messages go both ways.
async fn caught_up(world: &World, what: &str) {
    let returned = Instant::now();
    until("the bus is connected", || world.bus.connected()).await;
    world.publish_in(what, b"{}".to_vec()).await;
    until("an alarm is taken", || world.alarms.ids().contains(&what.to_owned())).await;
    while world.bus.publish(ticket(1, EventName::Created, Kind::Incident)).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(returned.elapsed() < BACK_WITHIN, "{what}: {:?}", returned.elapsed());
}

async fn until_refused(world: &World) {
    let deadline = Instant::now() + PATIENCE;
    while world.bus.publish(ticket(1, EventName::Created, Kind::Incident)).await.is_ok() {
        assert!(Instant::now() < deadline, "the broker takes everything");
    }
}
