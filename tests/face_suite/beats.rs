//! Heartbeats: our own, those of others, and a lane that hangs (rules H1 to H3).

use crate::world::{World, soon};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::clock::{RandomIds, SystemClock};
use ticketgate::inproc::{Delivered, InprocBus};
use ticketgate::stores::{SqliteSettings, SqliteStore};
use ticketgate::tripwire::FileTripwire;
use ticketgate::wire::{self, Decoder, Encoding};
use ticketgate_actors::actors::{
    BackendSeat, Backends, Cast, CastSettings, HeartbeatSettings, Notices, Outside, StoreLeases,
    Views,
};
use ticketgate_actors::logic::lane::LaneSettings;
use ticketgate_actors::logic::policy::Policy;
use ticketgate_actors::model::{BackendId, Beat, BeatStatus, Fields};
use ticketgate_actors::ports::{
    Backend, Bus, Call, Clock, Delivery, Heard, Ids, Inlet, Outgoing, Soon, Verdict,
};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

const QUICK: &str = "[heartbeats]\ninterval = \"100ms\"\ntimeout = \"1s\"\nexpect = [\"far\"]";

async fn next(from: &mut Receiver<Arc<Delivered>>) -> (String, Value) {
    let message = soon("a message", from.recv()).await.expect("the bus is there");
    let body = match message.content_type {
        "application/json" => serde_json::from_slice(&message.body).unwrap(),
        _ => rmp_serde::from_slice(&message.body).unwrap(),
    };
    (message.routing_key.clone(), body)
}

#[actix::test]
async fn a_node_beats_hears_itself_and_tells_once_who_is_gone_and_who_is_back() {
    let world = World::with(QUICK).await;
    let bus = world.service.inproc.clone().unwrap();
    let mut bells = bus.subscribe(&["heartbeat.*.down", "heartbeat.*.up"]);
    let own = |list: &Value, verdict: &str| {
        let item = list["items"].as_array().unwrap().iter().find(|item| item["origin"] == "n.1");
        item.is_some_and(|item| item["verdict"] == verdict && item["beats"].as_u64() > Some(2))
    };
    let list = world.until("/api/v1/heartbeats", |list| own(list, "ok")).await;
    let item = list["items"].as_array().unwrap().iter().find(|it| it["origin"] == "n.1").unwrap();
    assert_eq!((&item["status"], &item["interval_ms"]), (&json!("ok"), &json!(100)));
    assert_eq!(item["detail"]["lanes"]["crm"]["state"], "idle");
    assert_eq!(item["detail"]["events_unsent"], 0);

    // `far` is expected, and silent.
    let (key, down) = next(&mut bells).await;
    assert_eq!(key, "heartbeat.far.down");
    assert_eq!((&down["origin"], &down["told_by"]), (&json!("far"), &json!("n.1")));
    assert!(down["at"].is_string() && down["reason"].is_string(), "{down}");
    let beat = |sequence| Beat {
        origin: "far".into(),
        boot_id: Uuid::from_u128(1 << 64),
        sequence,
        sent_at: world.service.cast.outside.clock.now().wall,
        interval: Duration::from_secs(10),
        status: BeatStatus::Degraded,
        detail: Fields::new(),
    };
    bus.publish(Outgoing::Beat(Arc::new(beat(1)))).await.unwrap();
    assert_eq!(next(&mut bells).await.0, "heartbeat.far.up");
    let list = world.get("/api/v1/heartbeats").await;
    let far = list["items"].as_array().unwrap().iter().find(|it| it["origin"] == "far").unwrap();
    assert_eq!((&far["verdict"], &far["status"]), (&json!("ok"), &json!("degraded")));
    assert_eq!(far["outages"], 1);
    // A repeat is no beat: the next that is told is that it is gone again.
    bus.publish(Outgoing::Beat(Arc::new(beat(1)))).await.unwrap();
    assert_eq!(next(&mut bells).await.0, "heartbeat.far.down");

    let metrics = world.ask("/metrics").await;
    let metrics = metrics.text().await.unwrap();
    for line in [
        "ticketgate_heartbeat_up{origin=\"n.1\"} 1",
        "ticketgate_heartbeat_up{origin=\"far\"} 0",
        "ticketgate_heartbeats_repeated_total{origin=\"far\"} 1",
        "ticketgate_lane_hung{backend=\"crm\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    world.service.stop().await;
}

#[actix::test]
async fn operators_hear_of_parked_messages_once_a_second() {
    let world = World::with("").await;
    let bus = world.service.inproc.clone().unwrap();
    let mut bells = bus.subscribe(&["message.parked"]);
    for n in 0..20 {
        let delivery = Delivery {
            inlet: "test".into(),
            body: format!("rubbish {n}").into_bytes().into(),
            content_type: None,
            message_id: Some(n.to_string()),
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        };
        assert_eq!(bus.publish_in(delivery).await, Verdict::Settled);
    }
    let (mut heard, mut told) = (0, 0);
    while told < 20 {
        let (_, body) = next(&mut bells).await;
        (heard, told) = (heard + 1, told + body["count"].as_u64().unwrap());
        assert_eq!(body["inlet"], "test");
        assert!(body["reason"].as_str().unwrap().contains("cannot be read"), "{body}");
        let row = world.get(&format!("/api/v1/parked/{}", body["n"])).await;
        assert_eq!(row["message_id"], body["message_id"]);
    }
    assert!(heard < 20, "one event may tell of many");
    world.service.stop().await;
}

/// A backend whose calls never come back, whatever their time-out.
struct Hanging;

impl Backend for Hanging {
    fn call(&self, _: Call) -> Soon<Heard> {
        Box::pin(std::future::pending())
    }
}

struct Nowhere;

impl Inlet for Nowhere {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        Box::pin(async move { vec![Verdict::Settled; batch.len()] })
    }
}

/// H2.
#[actix::test]
async fn a_hung_lane_is_degraded_within_two_periods() {
    const PERIOD: Duration = Duration::from_millis(500);
    let folder = TempDir::with_prefix("ticketgate-hung").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let settings = SqliteSettings::new(folder.path());
    let store = Arc::new(SqliteStore::open(settings, clock.clone(), "n1".into()).unwrap());
    let bus = Arc::new(InprocBus::new("n1", Encoding::Json, Arc::new(Nowhere)));
    let crm = BackendId::new("crm");
    let lane =
        LaneSettings { timeout: PERIOD, send_within: Duration::ZERO, ..LaneSettings::default() };
    let seat = BackendSeat { port: Arc::new(Hanging), settings: lane };
    let policy = Policy { default_backend: Some(crm.clone()), ..Policy::default() };
    let outside = Arc::new(Outside {
        leases: Arc::new(StoreLeases {
            store: store.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        }),
        clock,
        ids,
        reads: store.clone(),
        store,
        bus: bus.clone(),
        backends: Backends::new(HashMap::from([(crm.clone(), seat)])),
        policy: RwLock::new(Arc::new(policy)),
        instance: "test".into(),
        routes: RwLock::default(),
        notices: Notices::default(),
        views: Views::default(),
    });
    let heartbeat =
        HeartbeatSettings { origin: "n1".into(), interval: PERIOD, timeout: None, expect: vec![] };
    let settings = CastSettings { heartbeat: Some(heartbeat), ..CastSettings::default() };
    let decoder = Arc::new(Decoder { known_backends: vec![crm.clone()] });
    let tripwire = Arc::new(FileTripwire::open_in(folder.path()).unwrap());
    let cast = Cast::start(outside, &settings, decoder, tripwire);
    let mut beats = bus.subscribe(&["heartbeat.n1"]);
    assert_eq!(next(&mut beats).await.1["status"], "ok");

    let alarm = json!({
        "id": "a1", "source": "probe", "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
    });
    let events = wire::alarms_from_json(alarm.to_string().as_bytes(), &[crm]).unwrap();
    cast.intake.accept(events).await.unwrap();
    let mut calling = 0;
    loop {
        let (_, beat) = next(&mut beats).await;
        let lane = &beat["detail"]["lanes"]["crm"];
        calling += u32::from(lane["calling"] == true);
        if beat["status"] == "degraded" {
            assert_eq!(lane["state"], "hung");
            let problem = beat["detail"]["problems"][0].as_str().unwrap();
            assert_eq!(problem, "lane crm: a call has outlived its time-out");
            break;
        }
        // One period is the call's own, then it hangs, and within two more that is told.
        assert!(calling < 4, "not told: {beat}");
    }
}
