//! Telenet's bus end to end: the binary as the service, and the binary as the bus, which takes writes
//! with an ACK and calls back later.

use crate::alarms::raised;
use crate::process::{Process, ticketgate};
use crate::rabbit::free_port;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::report::Report;

const TOKEN: &str = "the-buss-own-token";

struct Bus {
    url: String,
    _process: Process,
    http: reqwest::Client,
}

impl Bus {
    /// A bus that calls back at `callbacks`.
    fn start(at: u16, callbacks: &str) -> Self {
        let mut command = ticketgate();
        let listen = format!("127.0.0.1:{at}");
        command.args(["simulate", "telenet-osb", "--listen", &listen]);
        command.args(["--callback-url", callbacks, "--callback-token", TOKEN]);
        command.args(["--callback-delay", "200ms"]);
        let process = Process::start(&mut command);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: format!("http://{listen}"), _process: process, http }
    }

    async fn report(&self) -> Option<Report> {
        let answer = self.http.get(format!("{}/noc/ledger?tickets=true", self.url)).send();
        answer.await.ok()?.json().await.ok()
    }

    async fn behaves(&self, faults: Value) {
        let put = self.http.put(format!("{}/noc/faults", self.url)).json(&faults).send().await;
        assert_eq!(put.unwrap().status(), 200, "{faults}");
    }
}

async fn world() -> (World, Bus) {
    let home = tempfile::TempDir::with_prefix("ticketgate-telenet").unwrap().keep();
    let token = home.join("callback.token");
    std::fs::write(&token, TOKEN).unwrap();
    let port = free_port();
    let config = format!(
        r#"
[policy]
default_backend = "noc"
[[callbacks]]
backend = "noc"
token_file = {token:?}
[[backend]]
id = "noc"
preset = "telenet-osb"
base_url = "http://127.0.0.1:{port}/noc/ticketing"
timeout = "1s"
confirm_within = "1s"
"#
    );
    let world = World::started(Setting { config, ..Setting::default() }).await;
    let bus = Bus::start(port, &format!("{}/callbacks/{{backend}}", world.url()));
    world.until("the bus answers", async || bus.report().await).await;
    (world, bus)
}

async fn tell(world: &World, alarm: &Value) {
    let (status, answer) = world.post("/api/v1/alarms", alarm.to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

/// The last request's states, as its story tells them, once it has ended so.
async fn ended(world: &World, count: usize, state: &str) -> Value {
    let what = format!("{count} requests are there and the last is {state}");
    world
        .until(&what, async || {
            let rows = world.all("/api/v1/requests").await;
            (rows.len() == count && rows[0]["state"] == state).then(|| rows[0].clone())
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_answer_of_the_bus_ends_what_its_ack_only_took() {
    let (world, bus) = world().await;
    let quick = json!({ "callback_delay_ms": 200 });

    tell(&world, &raised("probe", "1")).await;
    let made = ended(&world, 1, "done").await;
    let steps: Vec<_> = made["steps"].as_array().unwrap().iter().map(|it| &it["what"]).collect();
    assert!(steps.iter().any(|it| **it == json!("the backend's later answer came")), "{steps:?}");
    let mut cleared = raised("probe", "1");
    cleared["state"] = json!("cleared");
    tell(&world, &cleared).await;
    ended(&world, 2, "done").await;
    let report = bus.report().await.unwrap();
    assert_eq!((report.by_state["closed"], report.callbacks_taken), (1, 2), "{report:#?}");

    // Told twice: one ticket, one end.
    bus.behaves(json!({"callback_delay_ms": 200, "double_callback_rate": 1.0})).await;
    tell(&world, &raised("probe", "2")).await;
    ended(&world, 3, "done").await;
    world
        .until("both are taken", async || (bus.report().await?.callbacks_taken == 4).then_some(()))
        .await;

    // Refused after the ACK.
    bus.behaves(json!({"callback_delay_ms": 200, "nack_callback_rate": 1.0})).await;
    tell(&world, &raised("probe", "3")).await;
    let refused = ended(&world, 4, "rejected").await;
    let why = refused["error"]["reason"].as_str().unwrap();
    assert!(why.contains("refused it"), "{refused}");

    // Never told: out of time it is in doubt, looked for, and found.
    bus.behaves(json!({"no_callback_rate": 1.0, "at_most": 1})).await;
    tell(&world, &raised("probe", "4")).await;
    ended(&world, 5, "adopted").await;

    // Too late: it is in doubt by then, and the answer ends it all the same.
    bus.behaves(json!({ "callback_delay_ms": 2_000 })).await;
    tell(&world, &raised("probe", "5")).await;
    ended(&world, 6, "done").await;

    bus.behaves(quick).await;
    let report = bus.report().await.unwrap();
    assert_eq!((report.tickets, report.callbacks_refused), (4, 0), "{report:#?}");
    assert!(report.duplicates.is_empty(), "{report:#?}");
    let (status, _) = world.post("/callbacks/noc", "<a/>").await;
    assert_eq!(status, 401, "the bus has a secret of its own");
}
