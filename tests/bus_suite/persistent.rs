//! What only a broker does: it keeps messages, sets them aside, and refuses what does not fit.

use crate::cases::ticket;
use crate::rabbit::Rabbit;
use crate::shelf::{Shelf, until};
use crate::world::{World, connect, settings};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::sync::Arc;
use std::time::Duration;
use ticketgate::amqp::{AmqpBus, AmqpSettings, Hears, Inlets, StartError, Subscription};
use ticketgate_actors::model::{EventName, Kind};
use ticketgate_actors::testing::CountedIds;

/// One node for all cases, each with a prefix of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_keeps_sets_aside_and_refuses() {
    let node = Rabbit::started().await;
    events_wait_for_a_subscriber_that_comes_later(&node).await;
    a_message_is_acknowledged_only_after_its_commit(&node).await;
    a_message_that_is_too_large_ends_whole_at_the_parked_inlet(&node).await;
    headers_that_are_longer_than_a_frame_are_taken(&node).await;
    a_message_that_is_never_taken_does_not_stop_the_others(&node).await;
    what_is_under_way_at_the_stop_is_settled_and_the_rest_stays_at_the_broker(&node).await;
    a_queue_with_other_arguments_is_a_clear_error_at_start(&node).await;
    a_wrong_password_is_never_shown(&node).await;
}

async fn events_wait_for_a_subscriber_that_comes_later(node: &Rabbit) {
    let subscription = Subscription {
        queue: "noc".into(),
        exchange: Hears::Tickets,
        bindings: vec!["ticket.*.incident.created".into()],
        max_length: 2,
        ttl: Some(Duration::from_secs(3600)),
    };
    let settings = AmqpSettings { subscriptions: vec![subscription], ..settings(node, "later") };
    let world = World::rabbit_with(settings.clone()).await;
    until("the bus is connected", || world.bus.connected()).await;
    for n in 1..=3 {
        world.bus.publish(ticket(n, EventName::Created, Kind::Incident)).await.unwrap();
        world.bus.publish(ticket(n + 9, EventName::Closed, Kind::Incident)).await.unwrap();
    }
    // Declared a second time with the same arguments, by a second node.
    let again = World::rabbit_with(settings).await;
    until("the second bus is connected", || again.bus.connected()).await;
    let mut late = world.listen("noc").await;
    for n in 2..=3 {
        let expected = uuid::Uuid::from_u128(n).to_string();
        assert_eq!(late.next().await.message_id, expected, "the oldest over the limit are dropped");
    }
    again.amqp().close(Duration::from_secs(5)).await;
}

async fn a_message_is_acknowledged_only_after_its_commit(node: &Rabbit) {
    let world = World::rabbit(node, "commit").await;
    world.alarms.set_open(false);
    world.publish_in("m1", b"{}".to_vec()).await;
    until("it is offered", || world.alarms.offered() == 1).await;
    world.intake_holds(node, 1).await;
    world.alarms.set_open(true);
    world.nothing_is_left(node).await;
}

async fn a_message_that_is_too_large_ends_whole_at_the_parked_inlet(node: &Rabbit) {
    let world = World::rabbit(node, "large").await;
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(2 * 1024 * 1024).collect();
    world.publish_in("large", body.clone()).await;
    world.publish_in("small", b"{}".to_vec()).await;
    until("the large one is parked", || !world.parked.taken().is_empty()).await;
    until("the small one is taken", || !world.alarms.taken().is_empty()).await;
    let parked = world.parked.taken().remove(0);
    assert_eq!(parked.body, body);
    assert_eq!(parked.inlet.as_ref(), world.named("alarms.intake"));
    assert_eq!(parked.message_id.as_deref(), Some("large"));
    let why = parked.dead_lettered.unwrap();
    assert_eq!(why, "rejected: it has 2097152 bytes; 262144 are allowed");
    assert_eq!(world.alarms.ids(), ["small"]);
    world.nothing_is_left(node).await;
}

/// The broker cuts bodies to the length of a frame that was agreed on, and headers it does not.
async fn headers_that_are_longer_than_a_frame_are_taken(node: &Rabbit) {
    let world = World::rabbit(node, "headers").await;
    let mut headers = FieldTable::default();
    headers.insert("note".into(), AMQPValue::LongString("x".repeat(100 * 1024).into()));
    let properties = BasicProperties::default()
        .with_message_id("noted".into())
        .with_content_type("application/json".into())
        .with_headers(headers);
    let (_connection, channel) = connect(&node.url()).await.unwrap();
    let (exchange, key) = (world.named("alarms"), "alarm.probe.major");
    let options = BasicPublishOptions::default();
    let published =
        channel.basic_publish(exchange.into(), key.into(), options, b"{}", properties).await;
    assert!(published.unwrap().await.unwrap().is_ack());
    world.publish_in("after", b"{}".to_vec()).await;
    until("both are taken", || world.alarms.taken().len() == 2).await;
    world.nothing_is_left(node).await;
}

async fn a_message_that_is_never_taken_does_not_stop_the_others(node: &Rabbit) {
    let world = World::rabbit(node, "poison").await;
    world.alarms.refuse_always(Some("poison"));
    world.publish_in("poison", b"{}".to_vec()).await;
    for n in 0..3 {
        let id = format!("m{n}");
        world.publish_in(&id, b"{}".to_vec()).await;
        until("it is taken", || world.alarms.ids().contains(&id)).await;
    }
    world.alarms.refuse_always(None);
    until("the last is taken", || world.alarms.ids().contains(&"poison".to_owned())).await;
    world.nothing_is_left(node).await;
}

async fn what_is_under_way_at_the_stop_is_settled_and_the_rest_stays_at_the_broker(node: &Rabbit) {
    let world = World::rabbit(node, "stop").await;
    world.alarms.set_open(false);
    world.publish_in("under way", b"{}".to_vec()).await;
    until("it is offered", || world.alarms.offered() == 1).await;
    let stopping = world.amqp().stop_consuming(Duration::from_secs(20));
    let committing = async {
        tokio::task::yield_now().await;
        world.alarms.set_open(true);
    };
    tokio::join!(stopping, committing);
    assert_eq!(world.alarms.ids(), ["under way"]);
    world.publish_in("too late", b"{}".to_vec()).await;
    world.bus.publish(ticket(1, EventName::Created, Kind::Incident)).await.unwrap();
    assert!(world.bus.connected(), "publishing goes on");
    world.intake_holds(node, 1).await;
    assert_eq!(world.alarms.offered(), 1);
    world.amqp().close(Duration::from_secs(5)).await;
    assert!(!world.bus.connected());
    let late = world.bus.publish(ticket(2, EventName::Created, Kind::Incident)).await;
    assert!(late.is_err(), "nothing goes out after the close");
}

async fn a_queue_with_other_arguments_is_a_clear_error_at_start(node: &Rabbit) {
    let (_connection, channel) = connect(&node.url()).await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel
        .queue_declare("t.mismatch.alarms.intake".into(), options, FieldTable::default())
        .await;
    declared.unwrap();
    match start(settings(node, "mismatch")).await {
        Err(StartError::Mismatch { what, broker_says }) => {
            assert_eq!(what, "queue t.mismatch.alarms.intake");
            assert!(broker_says.contains("inequivalent arg"), "{broker_says}");
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it started"),
    }
}

async fn a_wrong_password_is_never_shown(node: &Rabbit) {
    let url = node.url().replace("guest:guest", "guest:s3cret");
    let settings = AmqpSettings { url: url.into(), ..settings(node, "password") };
    let bus = start(settings).await.expect("the broker may let us in later");
    until("it says what is wrong", || bus.trouble().is_some()).await;
    let trouble = bus.trouble().unwrap();
    assert!(trouble.contains("ACCESS_REFUSED") && !trouble.contains("s3cret"), "{trouble}");
    assert!(trouble.contains("refuses user guest: wrong password?"), "{trouble}");
    let bad = AmqpSettings { url: "http//u:s3cret@h".into(), ..AmqpSettings::default() };
    let error = start(bad).await.err().expect("it is no URL").to_string();
    assert!(error.contains("amqp.url") && !error.contains("s3cret"), "{error}");
}

async fn start(settings: AmqpSettings) -> Result<AmqpBus, StartError> {
    let shelf = || Arc::new(Shelf::default());
    let inlets = Inlets {
        alarms: shelf(),
        commands: shelf(),
        answers: shelf(),
        sync: shelf(),
        parked: shelf(),
        heartbeats: shelf(),
    };
    AmqpBus::start(settings, "n1", inlets, Arc::new(CountedIds::default())).await
}
