//! Notices that something has changed at a backend: its sync reads it soon, and seldom enough.

use crate::sync::{backend, order, system, there};
use crate::world::World;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use ticketgate::simulate::settings::System;
use tokio::time::{Duration, Instant, sleep};

const AUTH: &str = "auth = { type = 'header', name = 'X-Redmine-API-Key', value = 'right' }";
const SECRET: &str = "0123456789abcdef";
/// The shortest that a config may have.
const PAUSE: Duration = Duration::from_secs(1);

/// A service whose sync would read its Redmine once an hour; with more keys of both sections.
async fn world(redmine: &str, notices: &str, sync: &str) -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let notices = notices.replace("SECRET", &secret.display().to_string());
    let config = format!(
        "[[sync]]\nname = 'desk'\nbackend = 'redmine'\nevery = '1h'\n{sync}\n\
         [[notices]]\nbackend = 'redmine'\npause = '1s'\n{notices}\n{redmine}"
    );
    (World::with(&config).await, folder)
}

async fn tell(world: &World, name: &str, headers: &[(&str, &str)], body: &str) -> StatusCode {
    let mut request = world.send("POST", &format!("/webhooks/{name}")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status()
}

fn has(subject: &'static str) -> impl Fn(&Value) -> bool {
    move |tickets| {
        let mut items = tickets["items"].as_array().unwrap().iter();
        items.any(|ticket| ticket["fields"]["summary"] == subject)
    }
}

#[actix::test]
async fn an_edit_and_a_notice_show_up_long_before_the_schedule_and_a_flood_makes_few_runs() {
    let redmine = system(System::Redmine);
    let described = backend("redmine", &redmine, AUTH);
    let (world, _folder) = world(&described, "token_file = 'SECRET'", "").await;
    let ran = |sync: &Value| sync["last_run"]["ended_at"].is_string();
    world.until("/api/v1/sync/desk", ran).await;

    let issue = json!({"issue": {"project_id": 1, "tracker_id": 4, "subject": "a new one"}});
    there(&redmine, "POST", "/issues.json", issue).await;
    let right = [("authorization", "Bearer 0123456789abcdef")];
    let wrong = [("authorization", "Bearer 0123456789abcdeF")];
    assert_eq!(tell(&world, "redmine", &wrong, "{}").await, StatusCode::UNAUTHORIZED);
    assert_eq!(tell(&world, "redmine", &[], "{}").await, StatusCode::UNAUTHORIZED);
    sleep(2 * PAUSE).await;
    let sync = world.get("/api/v1/sync/desk").await;
    assert_eq!((&sync["notices"], &sync["counters"]["read"]), (&json!(0), &json!(0)), "{sync}");
    // What it says is not read, only that it came.
    assert_eq!(tell(&world, "redmine", &right, "not even JSON").await, StatusCode::ACCEPTED);
    world.until("/api/v1/tickets", has("a new one")).await;
    let too_large = "x".repeat(5 << 20);
    assert_eq!(tell(&world, "redmine", &right, &too_large).await, StatusCode::PAYLOAD_TOO_LARGE);

    let searches = || redmine.ledger.report_of("one").unwrap().calls.search;
    let (before, began) = (searches(), Instant::now());
    for _ in 0..300 {
        assert_eq!(tell(&world, "redmine", &right, "").await, StatusCode::ACCEPTED);
    }
    sleep(PAUSE + PAUSE / 2).await;
    // One page a run; the last notice may have come just after a run had begun.
    let most = began.elapsed().as_secs() + 2;
    let made = searches() - before;
    assert!((1..=most).contains(&made), "{made} runs, {most} expected at most");
    let metrics = world.ask("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("ticketgate_sync_notices_total{sync=\"desk\"} 301"), "{metrics}");
    // It is quiet again.
    sleep(2 * PAUSE).await;
    let quiet = searches();
    sleep(2 * PAUSE).await;
    assert_eq!(searches(), quiet);
    world.service.stop().await;
}

#[actix::test]
async fn a_notice_may_be_signed_and_one_that_changes_nothing_is_told_so() {
    let redmine = system(System::Redmine);
    let described = backend("redmine", &redmine, AUTH);
    let signed = "hmac_file = 'SECRET'\nsignature_header = 'x-sig'";
    let (world, _folder) = world(&described, signed, "launch = 'manual'").await;
    let sign = |body: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let bytes = mac.chain_update(body).finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let body = json!({"issue": 1}).to_string();
    let good = sign(&body);
    let bad = sign("{}");
    assert_eq!(tell(&world, "redmine", &[("x-sig", &bad)], &body).await, StatusCode::UNAUTHORIZED);
    let path = "/webhooks/redmine";
    let told = world.send("POST", path).header("x-sig", &good).body(body).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::CONFLICT);
    let problem: Value = told.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("runs only by hand"), "{problem}");
    assert_eq!(tell(&world, "crm", &[], "{}").await, StatusCode::NOT_FOUND, "nothing reads it");
    assert_eq!(tell(&world, "nobody", &[], "{}").await, StatusCode::NOT_FOUND);
    let reason = json!({"reason": "by hand it runs"});
    assert_eq!(order(&world, "/api/v1/sync/desk/run", reason).await.0, 200);
    world.service.stop().await;
}

#[test]
fn notices_that_could_not_be_told_apart_or_would_change_nothing_are_refused() {
    let wrong = |text: &str| {
        let crm = "[[backend]]\nid = 'crm'\npreset = 'simulated-rest'\nbase_url = 'http://h'\n";
        let sync = "[[sync]]\nname = 's'\nbackend = 'crm'\n";
        let text = text.replace("SYNC", sync);
        let parsed = ticketgate::config::parse("t", &format!("{text}{crm}"), std::iter::empty());
        parsed.err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    let notices = "[[notices]]\nbackend = 'crm'\n";
    assert_eq!(wrong(&format!("SYNC{notices}")), "");
    for (text, what) in [
        ("[[notices]]\nbackend = 'x'\n".to_owned(), "unknown backend"),
        (notices.to_owned(), "no [[sync]] reads crm"),
        (format!("SYNC{notices}{notices}"), "has notices already"),
        (format!("SYNC{notices}pause = '2h'\n"), "must be 1s to 1h"),
        (format!("SYNC{notices}token_file = '/none'\n"), "notices[0].token_file"),
        (
            format!("SYNC{notices}[[source]]\nname = 'crm'\npreset = 'alertmanager'\n"),
            "/webhooks/crm is the [[source]]'s",
        ),
    ] {
        let told = wrong(&text);
        assert!(told.contains(what), "{text}: {told}");
    }
}
