//! Alarms through a whole service to simulated systems of every preset, which lose answers: each alarm
//! has one ticket there, closed when the alarm is gone.

use crate::world::{PATIENCE, World, free_address};
use serde_json::{Value, json};
use std::time::Duration;
use ticketgate::simulate::callbacks::CallbackSettings;
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::report::Report;
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::{RestSettings, System};
use tokio::time::{Instant, sleep};

const ALARMS: u64 = 6;

/// Preset, system, path below the simulated backend, sign-in.
const SYSTEMS: [(&str, System, &str, &str); 5] = [
    ("usms", System::Usms, "/usms", "auth = { type = 'wsse', user = 'u', password = 'right' }"),
    (
        "telenet-osb",
        System::TelenetOsb,
        "/ticketing",
        "auth = { type = 'bearer', token = 'right' }",
    ),
    (
        "oceane",
        System::Oceane,
        "",
        "auth = { token_url = 'URL/oauth/token', client_secret = 'right' }",
    ),
    ("request-tracker", System::RequestTracker, "", "auth = { value = 'right' }"),
    ("redmine", System::Redmine, "", "auth = { value = 'right' }"),
];

async fn tell(world: &World, backend: &str, id: u64, state: &str) {
    let event = json!({
        "id": format!("{backend}-{id}"), "source": "probe", "state": state, "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1", "text": "it's <lost> & \\ gone",
        "ticket": {"backend": backend, "fields": {
            "urgency": "high", "technical_impact": "degraded",
            "priority": if backend == "oceane" { json!("P2") } else { Value::Null },
        }},
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(world.url("/api/v1/alarms")).json(&event).send().await.unwrap();
    assert_eq!(sent.status(), 202);
}

async fn until(running: &Running, name: &str, is_so: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = running.ledger.report_of("one").unwrap();
        if is_so(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{name} did not become right: {report:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[actix::test]
async fn each_alarm_has_one_ticket_in_every_system_though_answers_are_lost() {
    let lossy = Faults {
        lost_answer_rate: 0.3,
        error_after_rate: 0.2,
        too_many_rate: 0.2,
        at_most: Some(3),
        ..Faults::default()
    };
    let address = free_address();
    let mut systems = Vec::new();
    let mut config = String::new();
    for (preset, system, path, auth) in SYSTEMS {
        // Océane cannot be asked: what became of a lost answer there, a person must say.
        let faults = if preset == "oceane" { Faults::default() } else { lossy.clone() };
        let token = Some("right".into());
        let callback = format!("http://{address}/callbacks/{preset}");
        let callbacks = Some(CallbackSettings { url: callback, token: None });
        let settings = RestSettings { system, token, faults, callbacks, ..RestSettings::default() };
        let running = start(settings).unwrap();
        let url = running.url("one");
        config.push_str(&format!(
            "\n[[backend]]\nid = '{preset}'\npreset = '{preset}'\nbase_url = '{url}{path}'\n\
             timeout = '1s'\nbackoff = '50ms'\n{}\n",
            auth.replace("URL", &url)
        ));
        systems.push((preset, running));
    }
    let world = World::at(address, &config).await;
    for state in ["raised", "cleared"] {
        for (preset, _) in &systems {
            for id in 0..ALARMS {
                tell(&world, preset, id, state).await;
            }
        }
        for (preset, running) in &systems {
            let closed = if state == "raised" { 0 } else { ALARMS };
            let closed = |report: &Report| *report.by_state.get("closed").unwrap_or(&0) >= closed;
            let report = until(running, preset, |r| r.tickets >= ALARMS && closed(r)).await;
            assert_eq!(report.tickets, ALARMS, "{preset}: {report:#?}");
            assert!(report.duplicates.is_empty(), "{preset}: {report:#?}");
            // Only Telenet's searches may go beside the lane's one call.
            assert!(*preset == "telenet-osb" || report.max_in_flight == 1, "{preset}: {report:#?}");
        }
    }
    for (preset, running) in &systems {
        let report = running.ledger.report_of("one").unwrap();
        let faults: u64 = report.faults_injected.values().sum();
        assert!(*preset == "oceane" || faults > 0, "{preset}: {report:#?}");
    }
    world.service.stop().await;
}
