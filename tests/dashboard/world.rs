//! A service with two simulated ticketing systems: one that can be searched, and one that cannot, so that
//! a lost answer is undecided.

use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::app::{self, Service};
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::{self, Running};
use ticketgate::simulate::settings::{RestSettings, System};
use ticketgate::{backends, config, telemetry::LogLevel};
use ticketgate_actors::ports::{Delivery, Verdict};
use tokio::time::{Instant, sleep};

/// More than anything here should take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// An alarm text as somebody hostile, or careless, would write it.
pub const MARKUP: &str =
    "<img src=x onerror=\"document.title='hit'\"><script>1</script> & \"quoted\"";

pub struct World {
    service: Option<Service>,
    base: String,
    client: reqwest::Client,
    pub crm: Running,
    pub oceane: Running,
    folder: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines of config, which may begin sections.
    pub async fn with(more: &str) -> Self {
        backends::install_tls();
        let crm = rest::start(RestSettings::default()).unwrap();
        let settings = RestSettings {
            system: System::Oceane,
            token: Some("right-secret".into()),
            ..RestSettings::default()
        };
        let oceane = rest::start(settings).unwrap();
        let folder = TempDir::with_prefix("ticketgate-dashboard").unwrap();
        let path = folder.path().join("topology.csv");
        let rows = "object,path,hop,node,port,owner\nmux/1,main,1,hub-a,ge-0/1,backbone\n";
        std::fs::write(&path, rows).unwrap();
        let text = config_text(&folder, &crm, &oceane, more);
        let file = folder.path().join("ticketgate.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = config::load(&file).unwrap();
        let service = app::start(&loaded, LogLevel::fixed()).await.unwrap();
        let base = format!("http://{}", service.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { service: Some(service), base, client, crm, oceane, folder }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The config file that the service was started from.
    pub fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("ticketgate.toml")
    }

    pub async fn get(&self, path: &str) -> Value {
        let got = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        got.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let sent = self.client.post(format!("{}{path}", self.base)).json(&body).send().await;
        let answer = sent.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// What may be refused: the status, and the answer.
    pub async fn try_post(&self, path: &str, body: Value) -> (u16, Value) {
        let sent = self.client.post(format!("{}{path}", self.base)).json(&body).send().await;
        let answer = sent.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// An alarm event; `radio` alarms go to the system that cannot be searched, those of `quiet` get no
    /// ticket.
    pub async fn alarm(&self, source: &str, id: &str, state: &str) {
        self.post(
            "/api/v1/alarms",
            json!({
                "id": id, "source": source, "state": state, "severity": "major",
                "raised_at": "2026-11-21T10:00:00Z", "object": "mux/1", "object_name": "Mux 1",
                "specific_problem": "loss of signal", "text": MARKUP,
            }),
        )
        .await;
    }

    /// Waits until an answer of the API is as it should be.
    pub async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} did not become right: {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Raises an alarm, and waits for its ticket's number.
    pub async fn ticket(&self, id: &str) -> String {
        self.alarm("probe", id, "raised").await;
        let path = format!("/api/v1/alarms/probe/{id}/explain");
        let told = self.until(&path, has_number).await;
        told["occurrences"][0]["ticket"]["backend_id"].as_str().unwrap().to_owned()
    }

    /// Raises an alarm whose create is answered by nobody, and gives the request that is undecided.
    pub async fn doubt(&self, id: &str) -> String {
        let faults = Faults { lost_answer_rate: 1.0, at_most: Some(1), ..Faults::default() };
        self.oceane.ledger.set_faults("one", faults).unwrap();
        self.alarm("radio", id, "raised").await;
        let is = |told: &Value| {
            told["items"].as_array().and_then(|rows| {
                let row = rows.iter().find(|row| row["made_for"]["id"] == json!(id))?;
                Some(row["id"].as_str()?.to_owned())
            })
        };
        let path = "/api/v1/requests?state=undecided";
        let told = self.until(path, |told| is(told).is_some()).await;
        is(&told).unwrap()
    }

    /// A message that cannot be read comes over the bus; its number in the parked list.
    pub async fn park(&self, body: &str) -> u64 {
        let delivery = Delivery {
            inlet: Arc::from("test"),
            body: Bytes::copy_from_slice(body.as_bytes()),
            content_type: Some("application/json".to_owned()),
            message_id: None,
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        };
        let bus = self.service.as_ref().and_then(|service| service.inproc.clone()).unwrap();
        assert!(bus.publish_in(delivery).await == Verdict::Settled);
        self.get("/api/v1/parked").await["items"][0]["n"].as_u64().unwrap()
    }

    pub async fn stop(mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
        }
    }
}

fn has_number(told: &Value) -> bool {
    told["occurrences"][0]["ticket"]["backend_id"].is_string()
}

/// Below the ports from which connections go out.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 6_000).unwrap();
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::SeqCst)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn config_text(folder: &TempDir, crm: &Running, oceane: &Running, more: &str) -> String {
    let (data, topology) = (folder.path().join("data"), folder.path().join("topology.csv"));
    format!(
        "node = \"n.1\"\n[store]\ndir = {data:?}\n[http]\nlisten = \"127.0.0.1:0\"\n\
         debug_page = true\n[clients]\nnumber = 4\n[topology]\ncsv = {topology:?}\n\
         [heartbeats]\nexpect = [\"noc-b\"]\n\
         [policy]\ndefault_backend = \"crm\"\n\
         [[policy.rule]]\nname = \"radio\"\nsource = \"radio\"\nbackend = \"oceane\"\n\
         [policy.rule.fields]\npriority = \"P2\"\nurgency = \"high\"\n\
         technical_impact = \"degraded\"\n\
         [[policy.rule]]\nname = \"quiet\"\nsource = \"quiet\"\nno_ticket = \"planned work\"\n{more}\n\
         [[backend]]\nid = \"crm\"\npreset = \"simulated-rest\"\nbase_url = \"{}\"\n\
         [[backend]]\nid = \"oceane\"\npreset = \"oceane\"\nbase_url = \"{}\"\n\
         auth = {{ token_url = \"{}/oauth/token\", client_secret = \"right-secret\" }}\n",
        crm.url("crm"),
        oceane.url("one"),
        oceane.url("one"),
    )
}
