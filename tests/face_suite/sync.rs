//! Two-way sync through a whole service: TIXNGO's feed into S-360, a connector's messages, and a Redmine
//! whose tickets a connector shares.

use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::{RestSettings, System};

pub fn system(system: System) -> Running {
    let token = Some("right".into());
    start(RestSettings { system, token, ..RestSettings::default() }).unwrap()
}

pub fn backend(preset: &str, running: &Running, auth: &str) -> String {
    let url = running.url("one");
    format!(
        "\n[[backend]]\nid = '{preset}'\npreset = '{preset}'\nbase_url = '{url}'\n\
         timeout = '5s'\n{auth}\n"
    )
}

/// What only a test does over there: by its own calls.
pub async fn there(running: &Running, method: &str, path: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let url = format!("{}{path}", running.url("one"));
    let request = client.request(method, url).bearer_auth("right");
    let request = request.header("X-Redmine-API-Key", "right");
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap_or_default()
}

pub async fn order(world: &World, path: &str, body: Value) -> (u16, Value) {
    let answer = world.send("POST", path).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// The whole of TIXNGO to S-360: what the feed says of a ticket is written to the ticket of the same id, once;
/// a skipped one is left alone until it is taken off the list.
#[actix::test]
async fn what_tixngo_says_of_a_ticket_stands_in_s360() {
    let (tixngo, s360) = (system(System::Tixngo), system(System::S360));
    let sync = "[[sync]]\nname = 'feedback'\nbackend = 'tixngo'\norganizer = 'opera'\n\
                target = 's360'\nlaunch = 'manual'\n\
                [[sync.field]]\nname = 'mobile_status'\nmaster = 'theirs'\n\
                [[sync.field]]\nname = 'owner'\nmaster = 'theirs'\n\
                [[sync.field]]\nname = 'beneficiary'\nmaster = 'theirs'\n";
    let auth = "auth = { type = 'bearer', token = 'right' }";
    let config =
        format!("{sync}{}{}", backend("tixngo", &tixngo, auth), backend("s360", &s360, auth));
    let world = World::with(&config).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let put = json!({"mobileStatus": "INJECTED", "owner": format!("anna {n}")});
        let made = there(&tixngo, "POST", "/tickets", put).await;
        there(&s360, "POST", "/tickets", json!({})).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let reason = json!({"reason": "the first one"});
    let skip = json!({"ids": [ids[2]], "reason": "a test ticket"});
    assert_eq!(order(&world, "/api/v1/sync/feedback/skip", skip).await.0, 200);

    let (status, dry) = order(&world, "/api/v1/sync/feedback/dry-run", json!({})).await;
    assert_eq!(status, 200, "{dry}");
    let what: Vec<_> = dry["items"].as_array().unwrap().iter().map(|it| &it["what"]).collect();
    assert_eq!(what, ["created", "created", "skipped"], "{dry}");

    let (status, ran) = order(&world, "/api/v1/sync/feedback/run", reason.clone()).await;
    assert_eq!(status, 200, "{ran}");
    let counted = &ran["last_run"]["counters"];
    assert_eq!((&counted["read"], &counted["skipped"]), (&json!(3), &json!(1)), "{ran}");
    assert!(ran["cursor"].is_string(), "{ran}");
    let done = |sync: &Value| sync["counters"]["written"] == 2;
    world.until("/api/v1/sync/feedback", done).await;
    for (n, id) in ids.iter().enumerate() {
        let shown = there(&s360, "GET", &format!("/tickets/{id}"), Value::Null).await;
        let owner = if n < 2 { json!(format!("anna {n}")) } else { Value::Null };
        assert_eq!(shown["owner"], owner, "{shown}");
    }

    // Nothing new: nothing is written again.
    let (_, ran) = order(&world, "/api/v1/sync/feedback/run", reason.clone()).await;
    assert_eq!(ran["counters"]["written"], 2, "{ran}");
    let unskip = json!({"ids": [ids[2]], "reason": "no test ticket"});
    assert_eq!(order(&world, "/api/v1/sync/feedback/unskip", unskip).await.0, 200);
    world.until("/api/v1/sync/feedback", |sync| sync["counters"]["written"] == 3).await;
    let (status, _) = order(&world, "/api/v1/sync/nobody/run", reason).await;
    assert_eq!(status, 404);
    world.service.stop().await;
}

pub fn message(id: &str, tickets: Value, more: Value) -> Value {
    let mut message = json!({"id": id, "polled_at": "2026-11-22T10:00:00Z", "tickets": tickets});
    message.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    message
}

fn said(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |it: &Value| (text(&it["event"]), text(&it["ticket"]["backend_id"]));
    answer["events"].as_array().unwrap().iter().map(one).collect()
}

/// The table of DataMiner's gateway, as a connector sees it.
#[actix::test]
async fn a_connector_is_answered_as_the_table_says() {
    let config = "[[sync]]\nname = 'element'\nbackend = 'dm'\n\
                  states = { Open = 'acknowledged', Done = 'closed' }\n\
                  [[sync.field]]\nname = 'summary'\nmaster = 'ours'\n\
                  [[sync.field]]\nname = 'owner'\nmaster = 'theirs'\n\
                  [[sync.field]]\nname = 'note'\n\
                  [[sync.field]]\nname = 'status'\n\
                  [[backend]]\nid = 'dm'\npreset = 'dataminer'\n";
    let world = World::with(config).await;
    let path = "/api/v1/sync/element/messages";
    let ticket = |at: &str, summary: &str, owner: &str, note: &str| {
        json!([{"changed_at": at, "ticket": {"backend_id": "7/1", "status": "Open",
                "fields": {"summary": summary, "owner": owner, "note": note}}}])
    };
    let first = message("m1", ticket("2026-11-22T09:00:00Z", "a", "b", "c"), json!({}));
    let (status, answer) = order(&world, path, first.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(said(&answer), [("created".to_owned(), "7/1".to_owned())], "theirs, not ours");
    let (_, again) = order(&world, path, first).await;
    assert_eq!(again, answer, "a repeat of an id gets the same answer");

    let equal = message("m2", ticket("2026-11-22T09:00:00Z", "a", "b", "c"), json!({}));
    let (_, answer) = order(&world, path, equal).await;
    assert_eq!(said(&answer), [("verified".to_owned(), "7/1".to_owned())]);

    let differs = message("m3", ticket("2026-11-22T09:30:00Z", "A", "B", "C"), json!({}));
    let (_, answer) = order(&world, path, differs).await;
    assert_eq!(said(&answer), [("merged".to_owned(), "7/1".to_owned())]);
    let fields = &answer["events"][0]["ticket"]["fields"];
    assert_eq!(*fields, json!({"summary": "a", "owner": "B", "note": "C"}), "each from its master");
    let key = answer["events"][0]["ticket"]["key"].as_str().unwrap().to_owned();
    let history = world.get(&format!("/api/v1/tickets/{key}/changes")).await;
    assert!(history["items"].as_array().unwrap().len() >= 5, "{history}");
    assert_eq!(history["sync"][0]["verified_at"], Value::Null, "not before an equal pass");

    // A ticket of ours that is not there is sent after a complete pass, by our key.
    let mut keys = Vec::new();
    for summary in ["ours", "ours too"] {
        let create = json!({"command": "create", "id": uuid::Uuid::new_v4(), "backend": "dm",
                            "kind": "incident", "fields": {"summary": summary}});
        let (status, made) = order(&world, "/api/v1/commands?wait=20s", create).await;
        assert_eq!(status, 200, "{made}");
        keys.push(made["key"].clone());
    }
    // The one that was sent last counts until the next message says that it was taken.
    world.until("/api/v1/sync/element", |sync| sync["waiting"] == 3).await;
    let (_, answer) = order(&world, path, message("m4", json!([]), json!({"credit": 1}))).await;
    assert_eq!((answer["events"].as_array().unwrap().len(), &answer["more"]), (1, &json!(true)));
    let on = json!({"cursor": answer["cursor"], "credit": 5});
    let (_, rest) = order(&world, path, message("m5", json!([]), on)).await;
    assert_eq!(rest["more"], false, "never more than the credit, and the rest by the cursor");
    let both = [&answer["events"][0], &rest["events"][0]];
    for event in both {
        assert_eq!(event["event"], "verified", "ours, not theirs: {event}");
        assert_eq!(event["ticket"]["backend_id"], Value::Null, "{event}");
    }
    assert_eq!(both.map(|it| &it["ticket"]["key"]), [&keys[0], &keys[1]]);

    // One bad ticket is held, and the others are taken.
    let bad = json!([{"ticket": {"fields": {}}},
                     {"changed_at": "2026-11-22T09:40:00Z", "deleted": true,
                      "ticket": {"backend_id": "7/1"}}]);
    let (_, answer) = order(&world, path, message("m6", bad, json!({}))).await;
    assert_eq!(said(&answer), [("deleted".to_owned(), "7/1".to_owned())]);
    let held = world.get("/api/v1/sync/element/held").await;
    assert_eq!(held["items"][0]["because"], "unreadable", "{held}");
    world.service.stop().await;
}

/// Edits in a Redmine reach a connector that shares its tickets, and the other way round.
#[actix::test]
async fn a_redmine_and_a_connector_agree() {
    let redmine = system(System::Redmine);
    let config = format!(
        "[[sync]]\nname = 'desk'\nbackend = 'redmine'\nevery = '1s'\nthree_way = true\n\
         [[sync.field]]\nname = 'summary'\n\
         [[sync]]\nname = 'element'\nbackend = 'redmine'\nfrom = 'connector'\nthree_way = true\n\
         [[sync.field]]\nname = 'summary'\n{}",
        backend(
            "redmine",
            &redmine,
            "auth = { type = 'header', name = 'X-Redmine-API-Key', value = 'right' }"
        )
    );
    let world = World::with(&config).await;
    let create = json!({"command": "create", "id": uuid::Uuid::new_v4(), "backend": "redmine",
                        "kind": "incident", "fields": {"summary": "one"}});
    let (status, made) = order(&world, "/api/v1/commands?wait=20s", create).await;
    assert_eq!(status, 200, "{made}");
    let id = made["result"]["backend_id"].as_str().unwrap().to_owned();
    let path = "/api/v1/sync/element/messages";
    world.until("/api/v1/sync/element", |sync| sync["waiting"] == 1).await;
    let (_, answer) = order(&world, path, message("m1", json!([]), json!({}))).await;
    assert_eq!(answer["events"][0]["ticket"]["fields"]["summary"], "one", "{answer}");

    let edit = json!({"issue": {"subject": "two"}});
    there(&redmine, "PUT", &format!("/issues/{id}.json"), edit).await;
    let key = made["key"].as_str().unwrap();
    let read = |ticket: &Value| ticket["fields"]["summary"] == "two";
    world.until(&format!("/api/v1/tickets/{key}"), read).await;
    let (_, answer) = order(&world, path, message("m2", json!([]), json!({}))).await;
    assert_eq!(answer["events"][0]["ticket"]["fields"]["summary"], "two", "{answer}");

    let now = world.service.cast.outside.clock.now().wall.to_string();
    let told =
        json!([{"changed_at": now, "ticket": {"backend_id": id, "fields": {"summary": "three"}}}]);
    let told = message("m3", told, json!({"polled_at": now}));
    let (_, answer) = order(&world, path, told).await;
    assert_eq!(answer["events"][0]["event"], "merged", "{answer}");
    let written = |sync: &Value| sync["counters"]["written"] == 1;
    world.until("/api/v1/sync/element", written).await;
    let shown = there(&redmine, "GET", &format!("/issues/{id}.json"), Value::Null).await;
    assert_eq!(shown["issue"]["subject"], "three", "{shown}");
    // It settles: what was written comes back from the feed, and is equal.
    let verified = |changes: &Value| {
        let twins = changes["sync"].as_array().unwrap();
        twins.iter().any(|twin| twin["sync"] == "desk" && twin["verified_at"].is_string())
    };
    world.until(&format!("/api/v1/tickets/{key}/changes"), verified).await;
    let sync = world.get("/api/v1/sync/desk").await;
    assert_eq!(sync["counters"]["written"], 0, "no echo is written back: {sync}");
    world.service.stop().await;
}
