//! What every bus does.

use crate::shelf::until;
use crate::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use ticketgate::wire::Decoder;
use ticketgate_actors::model::{
    AlarmRef, BackendId, Beat, BeatStatus, CorrelationKey, EventId, EventName, Fields, Kind,
    RequestId, TicketEvent, TicketKey, TicketStatus, TicketView, Timestamp,
};
use ticketgate_actors::ports::{Decode, Outgoing};
use uuid::Uuid;

/// A ticket event of the backend `crm`.
pub fn event(n: u128, name: EventName, kind: Kind) -> TicketEvent {
    TicketEvent {
        n: 0,
        event_id: EventId(Uuid::from_u128(n)),
        event: name,
        at: Timestamp::from_millis(1_800_000_000_000),
        sequence: 1,
        request_id: Some(RequestId(Uuid::from_u128(2))),
        correlation_key: CorrelationKey("tgabc".into()),
        alarms: vec![AlarmRef { source: "probe".into(), id: "a1".into() }],
        ticket: TicketView {
            key: TicketKey(Uuid::from_u128(3)),
            backend: BackendId::new("crm"),
            backend_id: Some("INC1".into()),
            kind,
            status: TicketStatus::Acknowledged,
            backend_status: None,
            url: None,
            fields: Fields::new(),
            home_node: "n1".into(),
        },
        error: None,
        command: None,
        conflicts: Vec::new(),
    }
}

pub fn ticket(n: u128, name: EventName, kind: Kind) -> Outgoing {
    Outgoing::Ticket(Arc::new(event(n, name, kind)))
}

fn created(n: u128) -> Outgoing {
    ticket(n, EventName::Created, Kind::Incident)
}

pub async fn what_is_published_in_reaches_the_inlet_and_is_settled_after_the_commit(world: &World) {
    world.alarms.set_open(false);
    let publishing = world.publish_in("m1", b"{\"a\":1}".to_vec());
    let committing = async {
        until("it is offered", || world.alarms.offered() == 1).await;
        assert!(world.alarms.taken().is_empty());
        world.alarms.set_open(true);
    };
    tokio::join!(publishing, committing);
    until("it is taken", || !world.alarms.taken().is_empty()).await;
    let delivery = world.alarms.taken().remove(0);
    assert_eq!(delivery.body.as_ref(), b"{\"a\":1}");
    assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
    assert_eq!(delivery.message_id.as_deref(), Some("m1"));
    assert_eq!(delivery.cloudevents_id.as_deref(), Some("m1"));
    assert_eq!(delivery.cloudevents_source.as_deref(), Some("urn:test"));
    assert_eq!(delivery.dead_lettered, None);
    assert_eq!(world.alarms.offered(), 1, "it was settled once and came once");
}

pub async fn what_the_store_did_not_take_comes_again(world: &World) {
    world.alarms.refuse(2);
    world.publish_in("m1", b"{}".to_vec()).await;
    until("it is taken", || !world.alarms.taken().is_empty()).await;
    assert_eq!(world.alarms.offered(), 3);
    assert_eq!(world.alarms.ids(), ["m1"]);
}

pub async fn many_come_in_and_each_is_taken(world: &World) {
    let ids: BTreeSet<String> = (0..50).map(|n| format!("m{n}")).collect();
    join_all(ids.iter().map(|id| world.publish_in(id, b"{}".to_vec()))).await;
    until("all are taken", || world.alarms.taken().len() >= ids.len()).await;
    assert_eq!(world.alarms.ids().into_iter().collect::<BTreeSet<_>>(), ids);
}

pub async fn an_event_reaches_every_subscriber(world: &World) {
    let mut one = world.subscribe(&["ticket.#"]).await;
    let mut two = world.subscribe(&["#"]).await;
    world.bus.publish(created(1)).await.unwrap();
    let (one, two) = (one.next().await, two.next().await);
    assert_eq!(one.message_id, Uuid::from_u128(1).to_string());
    assert_eq!((one.message_id, one.body), (two.message_id, two.body));
}

pub async fn a_binding_hears_only_what_it_names(world: &World) {
    let mut subscriber = world.subscribe(&["ticket.*.incident.created", "writeback.#"]).await;
    for message in [
        ticket(1, EventName::Closed, Kind::Incident),
        ticket(2, EventName::Created, Kind::Change),
        created(3),
        Outgoing::WriteBack(event(4, EventName::Created, Kind::Incident).write_backs().remove(0)),
        created(5),
    ] {
        world.bus.publish(message).await.unwrap();
    }
    for key in ["ticket.crm.incident.created", "writeback.probe", "ticket.crm.incident.created"] {
        assert_eq!(subscriber.next().await.routing_key, key);
    }
}

pub async fn a_message_out_carries_its_headers_and_keeps_its_id(world: &World) {
    let mut subscriber = world.subscribe(&["#"]).await;
    for _ in 0..2 {
        world.bus.publish(created(7)).await.unwrap();
        let heard = subscriber.next().await;
        let id = Uuid::from_u128(7).to_string();
        assert_eq!(heard.message_id, id);
        assert_eq!(heard.content_type, "application/msgpack");
        for (name, value) in [
            ("cloudEvents_specversion", "1.0"),
            ("cloudEvents_id", id.as_str()),
            ("cloudEvents_type", "ticketgate.ticket.created"),
            ("cloudEvents_source", "ticketgate/n1"),
            ("cloudEvents_subject", "00000000-0000-0000-0000-000000000003"),
            ("cloudEvents_time", "2027-01-15T08:00:00.000Z"),
        ] {
            assert_eq!(heard.headers.get(name).map(String::as_str), Some(value), "{name}");
        }
        let body: Value = rmp_serde::from_slice(&heard.body).unwrap();
        assert_eq!(body["event_id"], json!(id));
        assert_eq!(body["ticket"]["backend_id"], json!("INC1"));
    }
}

pub async fn messages_are_written_as_json_where_that_is_configured(world: &World) {
    let world = world.writing_json().await;
    let mut subscriber = world.subscribe(&["#"]).await;
    world.bus.publish(created(7)).await.unwrap();
    let heard = subscriber.next().await;
    assert_eq!(heard.content_type, "application/json");
    let body: Value = serde_json::from_slice(&heard.body).unwrap();
    assert_eq!(body["event"], json!("created"));
}

pub async fn an_event_without_subscriber_is_no_failure(world: &World) {
    world.bus.publish(created(1)).await.unwrap();
    let notice = Outgoing::Ops {
        event_id: EventId(Uuid::from_u128(2)),
        key: "lane.crm.paused".into(),
        at: Timestamp::default(),
        body: json!({}),
    };
    world.bus.publish(notice).await.unwrap();
}

pub async fn a_beat_is_heard_by_monitors_and_comes_back_to_its_node(world: &World) {
    let mut monitor = world.subscribe_to("heartbeats", &["heartbeat.n_1"]).await;
    let beat = Beat {
        origin: "n.1".into(),
        boot_id: Uuid::from_u128(1 << 64),
        sequence: 2,
        sent_at: Timestamp::from_millis(1_800_000_000_000),
        interval: std::time::Duration::from_secs(10),
        status: BeatStatus::Degraded,
        detail: Fields::from_iter([("lanes".to_owned(), json!({}))]),
    };
    world.bus.publish(Outgoing::Beat(Arc::new(beat.clone()))).await.unwrap();
    until("it comes back", || !world.heartbeats.taken().is_empty()).await;
    let decoder = Decoder { known_backends: Vec::new() };
    assert_eq!(decoder.decode_beat(&world.heartbeats.taken()[0]).unwrap(), beat);
    let heard = monitor.next().await;
    assert_eq!(heard.routing_key, "heartbeat.n_1");
    assert_eq!(heard.message_id, beat.event_id().to_string());
    assert_eq!(heard.headers["cloudEvents_type"], "ticketgate.heartbeat");
    assert_eq!(heard.headers["cloudEvents_subject"], "n.1");
    assert!(world.alarms.taken().is_empty(), "a beat is no alarm");
}
