//! The simulated REST ticketing system as a client sees it: over a real connection.

mod faults;
mod tickets;
mod traffic;

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::faults::Faults;
use super::report::{OrderRule, Report};
use super::rest::{Running, start};
use super::settings::RestSettings;

/// No test waits longer for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// What an impatient client grants a call that will not be answered.
const SHORT: Duration = Duration::from_millis(400);

struct World {
    running: Running,
    client: Client,
}

impl World {
    fn with(faults: Faults) -> Self {
        Self::start(RestSettings { faults, ..RestSettings::default() })
    }

    fn start(settings: RestSettings) -> Self {
        Self { running: start(settings).unwrap(), client: client() }
    }

    fn tickets(&self) -> String {
        format!("{}/tickets", self.running.url("osb"))
    }

    async fn create(&self, key: &str) -> reqwest::Result<Response> {
        let ticket = json!({"correlation_key": key, "summary": "link down", "severity": 2});
        self.client.post(self.tickets()).json(&ticket).send().await
    }

    /// As `create`, by a client that gives up soon.
    async fn create_in_a_hurry(&self, key: &str) -> reqwest::Result<Response> {
        let ticket = json!({"correlation_key": key, "summary": "link down"});
        self.client.post(self.tickets()).timeout(SHORT).json(&ticket).send().await
    }

    async fn update(&self, id: &str, changes: Value) -> reqwest::Result<Response> {
        let url = format!("{}/{id}", self.tickets());
        self.client.patch(url).json(&changes).send().await
    }

    async fn search(&self, query: &str) -> Value {
        let url = format!("{}?{query}", self.tickets());
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    fn set(&self, faults: Faults) {
        self.running.ledger.set_faults("osb", faults).unwrap();
    }

    fn report(&self) -> Report {
        self.running.ledger.report_of("osb").unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if is_so(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "never happened: {what}; {report:#?}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

async fn status_and_body(response: reqwest::Result<Response>) -> (u16, Value) {
    let response = response.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A lost answer: an error that is neither a status nor a time-out nor a refused connection.
fn is_lost(result: reqwest::Result<Response>) -> bool {
    let error = result.expect_err("there must be no answer");
    error.status().is_none() && !error.is_timeout() && !error.is_connect()
}
