//! The canary: whether the flow is alive, told by one figure, and what it leaves behind: nothing.

use crate::world::{World, soon};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::clock::{RandomIds, SystemClock};
use ticketgate::inproc::{Delivered, InprocBus};
use ticketgate::stores::{SqliteSettings, SqliteStore};
use ticketgate::tripwire::FileTripwire;
use ticketgate::wire::{Decoder, Encoding};
use ticketgate_actors::actors::{
    BackendSeat, Backends, CanaryPlan, Cast, CastSettings, GiveBack, Notices, Outside, StoreLeases,
    Views, acquire,
};
use ticketgate_actors::logic::canary::CanarySettings;
use ticketgate_actors::logic::lane::LaneSettings;
use ticketgate_actors::logic::locks::{Holder, Wish};
use ticketgate_actors::logic::policy::Policy;
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{
    Answer, Backend, Bus, Call, Clock, Delivery, Heard, Ids, Inlet, Outgoing, PublishFailed,
    Reading, Soon, Verdict, Work,
};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

const QUICK: &str = "[heartbeats]\ninterval = \"100ms\"\n[canary]\nevery = \"200ms\"\n\
                     dead_after = \"30s\"";

#[actix::test]
async fn a_canary_goes_all_the_way_round_and_leaves_nothing_behind() {
    let world = World::with(QUICK).await;
    let bus = world.service.inproc.clone().unwrap();
    let mut events = bus.subscribe(&["canary.#"]);
    let mut others = bus.subscribe(&["ticket.#", "writeback.#", "flow.#", "message.#"]);
    let rounds = |lanes: &Value| lanes["items"][0]["canary"]["rounds"].as_u64() >= Some(3);
    let lanes = world.until("/api/v1/lanes", rounds).await;
    let canary = &lanes["items"][0]["canary"];
    assert_eq!((&canary["dead"], &canary["given_up"]), (&json!(false), &json!(0)), "{canary}");
    for _ in 0..3 {
        let event = soon("an event of the canary", events.recv()).await.unwrap();
        assert_eq!(event.routing_key, "canary.crm");
    }
    let aged = |list: &Value| {
        let own = list["items"].as_array().unwrap().iter().find(|it| it["origin"] == "n.1");
        own.is_some_and(|it| {
            it["detail"]["canary_age_ms"].is_u64()
                && it["detail"]["lanes"]["crm"]["canary_age_ms"].is_u64()
        })
    };
    world.until("/api/v1/heartbeats", aged).await;
    let metrics = world.ask("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("ticketgate_canary_age_seconds{backend=\"crm\"} 0."), "{metrics}");
    assert!(metrics.contains("ticketgate_flow_dead{backend=\"crm\"} 0"), "{metrics}");
    assert!(metrics.contains("ticketgate_alarms 0"), "{metrics}");
    assert_eq!(world.get("/readyz").await["flows_dead"], json!([]));

    // Nobody sees a test alarm among alarms, tickets, requests or calls.
    let mut lists = vec!["alarms", "tickets", "requests", "parked", "communication", "audit"];
    lists.extend(["history/status", "history/tickets", "history/failed"]);
    for list in lists {
        let answer = world.ask(&format!("/api/v1/{list}")).await;
        if answer.status() == 404 {
            continue;
        }
        let rows: Value = answer.json().await.unwrap();
        assert_eq!(rows["items"], json!([]), "{list}");
    }
    assert!(others.try_recv().is_err(), "no ticket event, no write-back, no news");
    // A backend whose canary is well has no call in the log, but it was reached.
    assert!(lanes["items"][0]["calls"].as_u64() >= Some(3), "{lanes}");
    let reads = world.service.cast.outside.reads.clone();
    world.service.stop().await;
    assert_eq!(reads.events_after(0, 10).await.unwrap(), []);
}

#[actix::test]
async fn nobody_else_sends_test_alarms() {
    let world = World::with("").await;
    let event = json!({
        "id": "x", "source": "ticketgate.canary", "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
        "properties": {"node": "n.1", "backend": "crm", "round": Uuid::nil()},
    });
    let post = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = post.post(world.url("/api/v1/alarms")).json(&event).send().await.unwrap();
    assert_eq!(sent.status(), 400);
    // Over the bus: one that is not under way is of an earlier life, or another's. Nothing is kept.
    let bus = world.service.inproc.clone().unwrap();
    let delivery = |body: &Value, dead_lettered: Option<&str>| Delivery {
        inlet: "test".into(),
        body: body.to_string().into_bytes().into(),
        content_type: Some("application/json".into()),
        message_id: Some("m".into()),
        cloudevents_id: None,
        cloudevents_source: None,
        reply_to: None,
        correlation_id: None,
        dead_lettered: dead_lettered.map(str::to_owned),
    };
    assert_eq!(bus.publish_in(delivery(&event, None)).await, Verdict::Settled);
    let inlet = ticketgate_actors::actors::ParkedInlet(world.service.cast.intake.clone());
    let dead = delivery(&event, Some("delivery_limit"));
    assert_eq!(inlet.take(vec![dead]).await, [Verdict::Settled]);
    assert_eq!(world.get("/api/v1/parked").await["items"], json!([]));
    assert_eq!(world.get("/api/v1/alarms").await["items"], json!([]));
    // Somebody else's alarms under the canary's name are no test alarms.
    let mut wrong = event.clone();
    wrong["properties"] = json!({});
    assert_eq!(bus.publish_in(delivery(&wrong, None)).await, Verdict::Settled);
    let parked = world.get("/api/v1/parked").await;
    assert_eq!(parked["items"][0]["field"], "properties.node", "{parked}");
    world.service.stop().await;
}

/// What does not work.
const NOTHING: u8 = 0;
/// The bus takes nothing.
const BUS: u8 = 1;
/// What comes in is lost on its way.
const INTAKE: u8 = 2;
/// The backend never answers.
const LANE: u8 = 3;
/// Events are not confirmed.
const OUTBOX: u8 = 4;
/// Somebody holds all the ticket clients.
const POOL: u8 = 5;

/// A bus, and a backend, of which something does not work.
struct Broken {
    what: AtomicU8,
    bus: OnceLock<InprocBus>,
}

impl Broken {
    fn is(&self, what: u8) -> bool {
        self.what.load(Ordering::SeqCst) == what
    }
}

struct BrokenBus(Arc<Broken>);
struct BrokenBackend(Arc<Broken>);

impl Bus for BrokenBus {
    fn publish(&self, message: Outgoing) -> Soon<Result<(), PublishFailed>> {
        let swallowed = self.0.is(INTAKE) && matches!(message, Outgoing::Test(..));
        let refused = self.0.is(BUS) || self.0.is(OUTBOX) && matches!(message, Outgoing::Ticket(_));
        match (swallowed, refused) {
            (true, _) => Box::pin(async { Ok(()) }),
            (_, true) => Box::pin(async { Err(PublishFailed("not connected".to_owned())) }),
            _ => self.0.bus.get().unwrap().publish(message),
        }
    }

    fn connected(&self) -> bool {
        !self.0.is(BUS)
    }
}

impl Backend for BrokenBackend {
    fn call(&self, call: Call) -> Soon<Heard> {
        assert_eq!(call.work, Work::Probe, "nothing else is asked, nothing is written");
        let broken = self.0.clone();
        Box::pin(async move {
            while broken.is(LANE) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Answer::Read(Reading::default()).into()
        })
    }
}

#[derive(Default)]
struct Late(OnceLock<Arc<dyn Inlet>>);

impl Inlet for Late {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        self.0.get().unwrap().take(batch)
    }
}

async fn told(from: &mut Receiver<Arc<Delivered>>) -> (String, Value) {
    let message = soon("news of the flow", from.recv()).await.expect("the bus is there");
    (message.routing_key.clone(), serde_json::from_slice(&message.body).unwrap())
}

/// Breaks something, hears of it once, mends it, and hears of that once.
async fn breaks(what: u8, stage: &str) {
    let folder = TempDir::with_prefix("ticketgate-canary").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let store = SqliteSettings::new(folder.path());
    let store = Arc::new(SqliteStore::open(store, clock.clone(), "n1".into()).unwrap());
    let broken = Arc::new(Broken { what: AtomicU8::new(NOTHING), bus: OnceLock::new() });
    let late = Arc::new(Late::default());
    broken.bus.set(InprocBus::new("n1", Encoding::Json, late.clone())).ok().unwrap();
    let crm = BackendId::new("crm");
    let seat = BackendSeat {
        port: Arc::new(BrokenBackend(broken.clone())),
        settings: LaneSettings::default(),
    };
    let outside = Arc::new(Outside {
        leases: Arc::new(StoreLeases {
            store: store.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        }),
        clock: clock.clone(),
        ids,
        reads: store.clone(),
        store: store.clone(),
        bus: Arc::new(BrokenBus(broken.clone())),
        backends: Backends::new(HashMap::from([(crm.clone(), seat)])),
        policy: RwLock::new(Arc::new(Policy::default())),
        instance: "test".into(),
        routes: RwLock::default(),
        notices: Notices::default(),
        views: Views::default(),
    });
    let plan = CanaryPlan {
        settings: CanarySettings {
            every: Duration::from_millis(200),
            dead_after: Duration::from_secs(2),
        },
        backends: Vec::new(),
        node: "n1".into(),
        flow_timeout: Duration::from_secs(30),
    };
    let settings = CastSettings { clients: 1, canary: Some(plan), ..CastSettings::default() };
    let decoder = Arc::new(Decoder { known_backends: vec![crm.clone()] });
    let tripwire = Arc::new(FileTripwire::open_in(folder.path()).unwrap());
    let cast = Cast::start(outside.clone(), &settings, decoder, tripwire);
    late.0.set(Arc::new(cast.intake.clone())).ok().unwrap();
    let mut news = broken.bus.get().unwrap().subscribe(&["flow.#"]);
    let rounds = || outside.views.canaries.get(&crm).map_or(0, |sight| sight.rounds);
    let whole = async |from: u64| {
        while rounds() < from {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("two whole rounds", whole(2)).await;

    broken.what.store(what, Ordering::SeqCst);
    let guid = Uuid::from_u128(1);
    if what == POOL {
        let wish = Wish {
            guid,
            holder: Holder::Script("somebody".into()),
            timeout: Duration::from_secs(600),
            wait_until: clock.now().mono.plus(Duration::from_secs(20)),
        };
        acquire(&cast.pool, wish).await.unwrap().unwrap();
    }
    let dead = async || {
        while !outside.views.canaries.get(&crm).is_some_and(|sight| sight.dead) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the flow is dead", dead()).await;
    // At least one look after that.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let row = outside.reads.lane(crm.clone()).await.unwrap().canary;
    assert!(outside.reads.unsent_count(100).await.unwrap() <= 1, "one at the most: {row:?}");
    broken.what.store(NOTHING, Ordering::SeqCst);
    if what == POOL {
        assert_eq!(cast.pool.ask(GiveBack(guid)).await, Some(true));
    }

    let (key, body) = told(&mut news).await;
    assert_eq!((key.as_str(), &body["stage"]), ("flow.dead", &json!(stage)), "{body}");
    assert_eq!((&body["backend"], &body["told_by"]), (&json!("crm"), &json!("n1")));
    assert!(body["age_ms"].as_u64() >= Some(2_000) && body["reason"].is_string(), "{body}");
    let (key, body) = told(&mut news).await;
    assert_eq!(key, "flow.alive", "{body}");
    soon("it goes on", whole(rounds() + 2)).await;
    assert!(news.try_recv().is_err(), "each was told once");
    cast.stop().await;
    let quiet = async || {
        // A round that was under way at the stop has left its row; nothing else.
        assert_eq!(outside.reads.figures().await.unwrap().alarms, 0);
        assert!(outside.reads.events_after(0, 10).await.unwrap().len() <= 1);
    };
    quiet().await;
}

#[actix::test]
async fn a_dead_bus_is_told_when_it_is_back() {
    breaks(BUS, "begun").await;
}

#[actix::test]
async fn alarms_that_do_not_come_in_are_told() {
    breaks(INTAKE, "published").await;
}

#[actix::test]
async fn ticket_clients_that_somebody_holds_are_told() {
    breaks(POOL, "stored").await;
}

#[actix::test]
async fn a_hung_lane_is_told() {
    breaks(LANE, "carried").await;
}

#[actix::test]
async fn events_that_are_not_confirmed_are_told() {
    breaks(OUTBOX, "told").await;
}
