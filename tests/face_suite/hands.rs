//! What people do by hand over HTTP: pause and hold, retry and cancel, mend and replay.

use crate::world::{Process, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::start;
use ticketgate::simulate::settings::RestSettings;

const WHY: &str = "they upgrade";

async fn act(user: &crate::world::User, path: &str, body: Value) -> (u16, Value) {
    let sent = user.send("POST", path).json(&body).send().await.unwrap();
    let status = sent.status().as_u16();
    (status, sent.json().await.unwrap_or_default())
}

fn because() -> Value {
    json!({ "reason": WHY })
}

/// The request of that alarm, once it is in that state.
async fn request_of(user: &crate::world::User, alarm: &str, state: &str) -> Value {
    let path = format!("/api/v1/alarms/probe/{alarm}");
    let shown = user.until(&path, |alarm| alarm["ticket"].is_string()).await;
    let path = format!("/api/v1/requests?ticket={}", shown["ticket"].as_str().unwrap());
    let is = |list: &Value| list["items"][0]["state"] == state;
    user.until(&path, is).await["items"][0].clone()
}

#[actix::test]
async fn a_lane_that_a_person_paused_stays_paused_over_a_restart() {
    let world = Process::start().await;
    let (status, told) = act(&world, "/api/v1/lanes/crm/pause", because()).await;
    assert_eq!(
        (status, &told["pause"]["reason"], &told["pause"]["by"]),
        (200, &json!(WHY), &json!("operator"))
    );
    let (status, told) = act(&world, "/api/v1/lanes/crm/pause", because()).await;
    assert_eq!((status, &told["detail"]), (409, &json!("the lane is paused already")));
    world.raise("probe", "a").await;
    request_of(&world, "a", "accepted").await;

    let world = world.restart().await;
    let lanes = world.until("/api/v1/lanes", |it| it["items"][0]["pause"].is_object()).await;
    assert_eq!(lanes["items"][0]["pause"]["reason"], WHY);
    assert_eq!(lanes["items"][0]["held"], format!("paused: {WHY}"));
    let told = world.get("/api/v1/alarms/probe/a/explain").await;
    assert!(told["verdict"].as_str().unwrap().contains("is paused (they upgrade)"), "{told}");
    let (status, _) = act(&world, "/api/v1/lanes/crm/resume", because()).await;
    assert_eq!(status, 200);
    request_of(&world, "a", "done").await;
    let audit = world.get("/api/v1/audit").await;
    let told: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(told, ["lane crm resumed", "lane crm paused"]);
    let (status, _) = act(&world, "/api/v1/lanes/nobody/pause", because()).await;
    assert_eq!(status, 404);
    let (status, told) = act(&world, "/api/v1/lanes/crm/pause", json!({ "reason": " " })).await;
    assert_eq!((status, &told["field"]), (400, &json!("reason")));
}

#[actix::test]
async fn one_ticket_is_held_while_others_go_on_and_one_is_cancelled() {
    let world = World::with("").await;
    act(&world, "/api/v1/lanes/crm/pause", because()).await;
    for alarm in ["held", "other", "unwanted"] {
        world.raise("probe", alarm).await;
    }
    let held = request_of(&world, "held", "accepted").await;
    let unwanted = request_of(&world, "unwanted", "accepted").await;
    request_of(&world, "other", "accepted").await;
    let hold = json!({ "ticket": held["ticket"], "reason": WHY });
    let (status, told) = act(&world, "/api/v1/lanes/crm/hold", hold.clone()).await;
    assert_eq!((status, &told["held"]["by"]), (200, &json!("operator")), "{told}");
    let (status, _) = act(&world, "/api/v1/lanes/crm/hold", hold.clone()).await;
    assert_eq!(status, 409);
    let list = world.get("/api/v1/lanes/crm/held").await;
    assert_eq!(list["items"][0]["ticket"], held["ticket"]);
    let path = format!("/api/v1/tickets/{}", held["ticket"].as_str().unwrap());
    assert_eq!(world.get(&path).await["held"]["reason"], WHY);

    let path = format!("/api/v1/requests/{}/cancel", unwanted["id"].as_str().unwrap());
    let (status, told) = act(&world, &path, because()).await;
    assert_eq!((status, &told["state"]), (200, &json!("cancelled")), "{told}");
    let (status, told) = act(&world, &path, because()).await;
    assert_eq!(status, 409, "{told}");

    act(&world, "/api/v1/lanes/crm/resume", because()).await;
    request_of(&world, "other", "done").await;
    assert_eq!(request_of(&world, "held", "accepted").await["attempts"], 0);
    let lanes = world.get("/api/v1/lanes").await;
    assert_eq!(lanes["items"][0]["held_tickets"], 1);
    let told = world.get("/api/v1/alarms/probe/held/explain").await;
    assert!(told["verdict"].as_str().unwrap().contains("a person holds its ticket"), "{told}");
    let (status, _) = act(&world, "/api/v1/lanes/crm/release", hold).await;
    assert_eq!(status, 200);
    request_of(&world, "held", "done").await;
    let made = world.get("/api/v1/tickets?status=acknowledged").await;
    assert_eq!(made["items"].as_array().unwrap().len(), 2, "{made}");
}

#[actix::test]
async fn a_failed_create_is_done_again_once() {
    ticketgate::backends::install_tls();
    let faults = Faults { busy_rate: 1.0, at_most: Some(1), ..Faults::default() };
    let systems = start(RestSettings { faults, ..RestSettings::default() }).unwrap();
    let more = format!(
        "[[backend]]\nid = \"noc\"\npreset = \"simulated-rest\"\nbase_url = \"{}\"\nretries = 0\n\
         failure = [{{ status = [503], means = \"retryable\" }}]\n",
        systems.url("noc")
    );
    let world = World::with(&more).await;
    let command = json!({
        "command": "create", "id": "0193e5a4-0000-7000-8000-000000000001", "backend": "noc",
        "kind": "incident", "fields": { "summary": "by hand" },
    });
    let (status, told) = act(&world, "/api/v1/commands?wait=30s", command).await;
    assert_eq!((status, &told["error"]["code"]), (502, &json!("failed")), "{told}");
    let failed = world.get("/api/v1/requests?state=failed").await["items"][0].clone();
    let path = format!("/api/v1/requests/{}/retry", failed["id"].as_str().unwrap());
    let (status, fresh) = act(&world, &path, because()).await;
    assert_eq!((status, &fresh["retry_of"]), (200, &failed["id"]), "{fresh}");
    assert_eq!(fresh["ticket"], failed["ticket"]);
    let (status, told) = act(&world, &path, because()).await;
    assert_eq!(status, 409, "{told}");
    let done = format!("/api/v1/requests/{}", fresh["id"].as_str().unwrap());
    world.until(&done, |request| request["state"] == "done").await;
    let report = systems.ledger.report_of("noc").unwrap();
    assert_eq!(report.tickets, 1);
    let id = fresh["made_for"]["id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/api/v1/commands/{id}")).await["ok"], true);
}

#[actix::test]
async fn a_parked_alarm_is_mended_and_taken_as_of_when_it_was_parked() {
    let source = "[[source]]\nname = \"foreign\"\npreset = \"alertmanager\"\n";
    let world = World::with(source).await;
    let alert = |severity: &str| {
        json!({
            "version": "4", "status": "firing", "groupKey": "g", "receiver": "r",
            "alerts": [{
                "status": "firing", "fingerprint": "f1", "startsAt": "not a time",
                "labels": { "alertname": "Down", "severity": severity, "instance": "tx/1" },
                "annotations": { "summary": "it is down" },
            }],
        })
    };
    let (status, told) = act(&world, "/webhooks/foreign", alert("critical")).await;
    assert_eq!((status, &told["parked"]), (202, &json!(1)), "{told}");
    let parked = world.get("/api/v1/parked?inlet=/webhooks/foreign").await["items"][0].clone();
    let n = parked["n"].as_u64().unwrap();
    let (status, told) = act(&world, &format!("/api/v1/parked/{n}/replay"), because()).await;
    assert_eq!(status, 409, "it still cannot be read: {told}");
    let mut good = alert("critical");
    good["alerts"][0]["startsAt"] = json!("2026-11-21T10:00:00Z");
    let mend = |body: String| json!({ "body": body, "reason": WHY });
    let path = format!("/api/v1/parked/{n}/mend");
    // The wrong file: nothing is changed, unless the person insists; what came is never lost.
    let (status, told) = act(&world, &path, mend("{".into())).await;
    assert_eq!(status, 409, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("cannot be read either"), "{told}");
    let shown = world.get(&format!("/api/v1/parked/{n}")).await;
    assert_eq!((&shown["mended"], &shown["original"]), (&json!(0), &Value::Null), "{shown}");
    let mut insists = mend("{".into());
    insists["force"] = json!(true);
    let (status, told) = act(&world, &path, insists).await;
    assert_eq!((status, &told["reads"]["works"]), (200, &json!(false)), "{told}");
    assert_eq!(told["original"]["text"], alert("critical").to_string());
    let (status, told) = act(&world, &path, mend(good.to_string())).await;
    assert_eq!((status, &told["reads"]["works"]), (200, &json!(true)), "{told}");
    assert_eq!(told["mended"], 2);
    let listed = world.get("/api/v1/parked").await["items"][0].clone();
    assert_eq!(listed["reads"]["works"], true, "the list says that it can be read now: {listed}");
    let (status, told) = act(&world, &format!("/api/v1/parked/{n}/replay"), because()).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(1)), "{told}");
    assert_eq!(world.get("/api/v1/parked").await["items"], json!([]));
    let alarms = world.get("/api/v1/alarms").await;
    assert_eq!(alarms["items"].as_array().unwrap().len(), 1, "{alarms}");
    let (status, _) = act(&world, &format!("/api/v1/parked/{n}/replay"), because()).await;
    assert_eq!(status, 404);

    act(&world, "/webhooks/foreign", alert("major")).await;
    let n = world.get("/api/v1/parked").await["items"][0]["n"].as_u64().unwrap();
    let path = format!("/api/v1/parked/{n}/discard");
    let (status, _) = act(&world, &path, because()).await;
    assert_eq!(status, 200);
    assert_eq!(world.get("/api/v1/parked").await["items"], json!([]));
}

#[actix::test]
async fn a_replay_takes_only_what_was_parked_and_raises_nothing_that_is_over() {
    let source = "[[source]]\nname = \"foreign\"\npreset = \"alertmanager\"\n";
    let world = World::with(source).await;
    let alert = |print: &str, severity: &str, status: &str| {
        json!({
            "status": status, "fingerprint": print, "startsAt": "2026-11-21T10:00:00Z",
            "labels": { "alertname": "Down", "severity": severity, "instance": "tx/1" },
            "annotations": { "summary": "it is down" },
        })
    };
    let batch = |alerts: Vec<Value>| json!({ "version": "4", "groupKey": "g", "receiver": "r", "alerts": alerts });
    let bad = "no such word";
    let both = batch(vec![alert("good", "critical", "firing"), alert("bad", bad, "firing")]);
    let (status, told) = act(&world, "/webhooks/foreign", both).await;
    assert_eq!((status, &told["accepted"], &told["parked"]), (202, &json!(1), &json!(1)));
    let over = batch(vec![alert("good", "critical", "resolved")]);
    act(&world, "/webhooks/foreign", over).await;
    let path = "/api/v1/alarms/foreign/good";
    world.until(path, |it| it["state"] == "cleared").await;

    let parked = world.get("/api/v1/parked").await["items"][0].clone();
    assert_eq!(parked["place"], 1, "{parked}");
    let n = parked["n"].as_u64().unwrap();
    let mended = batch(vec![alert("good", "critical", "firing"), alert("bad", "major", "firing")]);
    let body = json!({ "body": mended.to_string(), "reason": WHY });
    let (status, told) = act(&world, &format!("/api/v1/parked/{n}/mend"), body).await;
    assert_eq!(status, 200, "{told}");
    let (status, told) = act(&world, &format!("/api/v1/parked/{n}/replay"), because()).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(1)), "{told}");
    assert_eq!(world.get("/api/v1/alarms/foreign/bad").await["state"], "active");
    let good = world.get(path).await;
    assert_eq!((&good["state"], &good["occurrences"]), (&json!("cleared"), &json!(1)), "{good}");
}

#[actix::test]
async fn an_update_that_is_replayed_after_its_clear_changes_nothing() {
    let source = "[[source]]\nname = \"foreign\"\npreset = \"alertmanager\"\n";
    let world = World::with(source).await;
    let say = |severity: &str, status: &str| {
        json!({ "version": "4", "groupKey": "g", "receiver": "r", "alerts": [{
            "status": status, "fingerprint": "f1", "startsAt": "2026-11-21T10:00:00Z",
            "labels": { "alertname": "Down", "severity": severity, "instance": "tx/1" },
            "annotations": {},
        }] })
    };
    act(&world, "/webhooks/foreign", say("critical", "firing")).await;
    act(&world, "/webhooks/foreign", say("no such word", "firing")).await;
    let n = world.get("/api/v1/parked").await["items"][0]["n"].as_u64().unwrap();
    act(&world, "/webhooks/foreign", say("critical", "resolved")).await;
    let path = "/api/v1/alarms/foreign/f1";
    world.until(path, |it| it["state"] == "cleared").await;
    let body = json!({ "body": say("major", "firing").to_string(), "reason": WHY });
    act(&world, &format!("/api/v1/parked/{n}/mend"), body).await;
    let (status, told) = act(&world, &format!("/api/v1/parked/{n}/replay"), because()).await;
    assert_eq!((status, &told["older"]), (200, &json!(1)), "{told}");
    let alarm = world.get(path).await;
    assert_eq!((&alarm["state"], &alarm["occurrences"]), (&json!("cleared"), &json!(1)), "{alarm}");
    let steps = world.get(&format!("{path}/explain")).await["occurrences"][0]["steps"].to_string();
    assert!(steps.contains("updated ignored") && steps.contains("parked at"), "{steps}");
}

#[actix::test]
async fn a_backend_is_shown_checked_and_asked_for_a_new_token_without_its_secret() {
    use ticketgate::simulate::settings::System;
    ticketgate::backends::install_tls();
    let settings = RestSettings { system: System::Oceane, ..RestSettings::default() };
    let systems = start(settings).unwrap();
    let url = systems.url("oce");
    let more = format!(
        "[[backend]]\nid = \"oce\"\npreset = \"oceane\"\nbase_url = \"{url}\"\n\
         auth = {{ token_url = \"{url}/oauth/token\", client_secret = \"right-secret-9\" }}\n"
    );
    let world = World::with(&more).await;
    let list = world.get("/api/v1/backends").await;
    let of = |id: &str| {
        let items = list["items"].as_array().unwrap();
        items.iter().find(|it| it["id"] == id).unwrap().clone()
    };
    assert_eq!(
        (of("crm")["preset"].clone(), of("crm")["auth"]["type"].clone()),
        (json!("simulated-rest"), json!("none"))
    );
    assert_eq!(of("oce")["auth"]["has_token"], true);
    let (status, told) = act(&world, "/api/v1/backends/crm/check", json!({})).await;
    assert_eq!((status, &told["works"]), (200, &json!(true)), "{told}");
    let (status, _) = act(&world, "/api/v1/backends/crm/authenticate", because()).await;
    assert_eq!(status, 409, "it has no token");
    let (status, told) = act(&world, "/api/v1/backends/oce/authenticate", because()).await;
    assert!(status == 200 && told["expires_at"].is_string(), "{status} {told}");
    let list = world.ask("/api/v1/backends").await.text().await.unwrap();
    assert!(!list.contains("right-secret-9"), "{list}");
    let list = world.get("/api/v1/backends").await;
    let until = &list["items"][1]["auth"]["expires_at"];
    assert_eq!(*until, told["expires_at"]);
}

#[actix::test]
async fn lists_run_from_either_end_page_by_page() {
    let world = World::with("").await;
    for alarm in ["a", "b", "c"] {
        world.raise("probe", alarm).await;
    }
    let ids = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = world.get("/api/v1/alarms?limit=2").await;
    assert_eq!(ids(&first), ["c", "b"]);
    let next = format!("/api/v1/alarms?limit=2&before={}", first["next"]);
    assert_eq!(ids(&world.get(&next).await), ["a"]);
    let first = world.get("/api/v1/alarms?limit=2&order=oldest").await;
    assert_eq!(ids(&first), ["a", "b"]);
    let next = format!("/api/v1/alarms?limit=2&order=oldest&after={}", first["next"]);
    assert_eq!(ids(&world.get(&next).await), ["c"]);
    let wrong = world.ask("/api/v1/alarms?after=3").await;
    assert_eq!(wrong.status(), 400);
}
