//! The sync's pages with real data: a pair of simulated systems, and a connector.

use crate::browser::Browser;
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::{RestSettings, System};

/// TIXNGO's feed into S-360, by hand; and a connector whose sync keeps what either side has changed.
fn config(tixngo: &Running, s360: &Running) -> String {
    let field = |name: &str, master: &str| format!("[[sync.field]]\nname = '{name}'\n{master}\n");
    let theirs = "master = 'theirs'";
    let backend = |name: &str, running: &Running| {
        format!(
            "[[backend]]\nid = '{name}'\npreset = '{name}'\nbase_url = '{}'\ntimeout = '5s'\n\
             auth = {{ type = 'bearer', token = 'right' }}\n",
            running.url("one")
        )
    };
    [
        "[[sync]]\nname = 'feedback'\nbackend = 'tixngo'\norganizer = 'opera'\n\
         target = 's360'\nlaunch = 'manual'\n",
        &field("mobile_status", theirs),
        &field("owner", theirs),
        "[[sync]]\nname = 'element'\nbackend = 'dm'\nthree_way = true\n",
        &field("note", ""),
        &backend("tixngo", tixngo),
        &backend("s360", s360),
        "[[backend]]\nid = 'dm'\npreset = 'dataminer'\n",
    ]
    .concat()
}

fn system(system: System) -> Running {
    let token = Some("right".into());
    start(RestSettings { system, token, ..RestSettings::default() }).unwrap()
}

/// What only a test does over there: by its own calls.
async fn there(running: &Running, method: &str, path: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = client.request(method, format!("{}{path}", running.url("one")));
    let request = request.bearer_auth("right");
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap_or_default()
}

/// What was counted, in the last run and in all.
fn counted(name: &str, last: u64, in_all: u64) -> String {
    format!(
        "[...document.querySelectorAll('tr[data-key={name}] td.num')].map((it) => it.innerText).join() \
         === '{last},{in_all}'"
    )
}

struct Pair {
    tixngo: Running,
    s360: Running,
    world: World,
    ids: Vec<String>,
}

async fn pair() -> Pair {
    let (tixngo, s360) = (system(System::Tixngo), system(System::S360));
    let world = World::with(&config(&tixngo, &s360)).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let put = json!({ "mobileStatus": "INJECTED", "owner": format!("anna {n}") });
        let made = there(&tixngo, "POST", "/tickets", put).await;
        there(&s360, "POST", "/tickets", json!({})).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    Pair { tixngo, s360, world, ids }
}

#[actix::test]
async fn a_feed_is_looked_at_run_and_steered() {
    let Pair { tixngo: _tixngo, s360, world, ids } = pair().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/sync").await;
    for words in ["feedback", "tixngo → s360", "opera", "has not run yet", "at the beginning"] {
        browser.says(words).await;
    }
    browser.until("it has its place among the pages", "press('Sync')").await;
    browser.is_accessible("the syncs").await;
    browser.shot("sync").await;

    browser.go("/#/sync/feedback").await;
    browser.says("No ticket is skipped").await;
    browser.press("Skip tickets…").await;
    browser.write("Ticket IDs", &ids[2]).await;
    browser.shot("sync-skip").await;
    browser.confirm("a test ticket", "Skip").await;
    browser.says_no_more("No ticket is skipped").await;

    // What a run would do is shown, and is not done.
    browser.press("Dry run").await;
    browser.says("What a run would do now").await;
    browser.says("2 created, 1 skipped").await;
    browser.says("anna 0").await;
    browser.is_accessible("a dry run").await;
    browser.shot("sync-dry-run").await;
    assert_eq!(world.get("/api/v1/sync/feedback").await["cursor"], Value::Null);
    browser.press("Close").await;

    browser.press("Run now…").await;
    browser.confirm("the first one", "Run").await;
    browser.says("in step").await;
    browser.until("what was read", &counted("read", 3, 3)).await;
    browser.until("what was skipped", &counted("skipped", 1, 1)).await;
    let told = world.until("/api/v1/sync/feedback", |it| it["counters"]["written"] == 2).await;
    browser.until("what was written", &counted("written", 0, 2)).await;
    browser.says(told["cursor"].as_str().unwrap()).await;
    browser.says("told of since").await;
    browser.is_accessible("a sync").await;
    browser.shot("sync-one").await;

    browser.press("Take off…").await;
    browser.confirm("no test ticket", "Take off").await;
    browser.says("No ticket is skipped").await;
    world.until("/api/v1/sync/feedback", |it| it["counters"]["written"] == 3).await;
    let owner = |id: &str| {
        let path = format!("/tickets/{id}");
        let s360 = &s360;
        async move { there(s360, "GET", &path, Value::Null).await["owner"].clone() }
    };
    assert_eq!(owner(&ids[2]).await, "anna 2");

    // A page of the feed from a file.
    let file = world.config().with_file_name("page.json");
    let row = json!({ "id": ids[0], "status": "INJECTED", "owner": "berta",
                      "updatedAt": "2099-01-01T00:00:00Z" });
    let page = json!({ "tickets": [row], "cursor": "c-9", "hasMore": false });
    std::fs::write(&file, page.to_string()).unwrap();
    browser.press("Replay a file…").await;
    browser.write("File", file.to_str().unwrap()).await;
    browser.confirm("they lost it", "Replay").await;
    world.until("/api/v1/sync/feedback", |it| it["counters"]["written"] == 4).await;
    assert_eq!(owner(&ids[0]).await, "berta");

    // The cursor: only after a look at what a run from there would do.
    browser.press("Move the cursor…").await;
    browser.write("Cursor", "made up").await;
    browser.press("Dry run from there").await;
    let refused = "document.querySelector('.toast.bad')";
    browser.until("the source does not know it", refused).await;
    browser.press("Move the cursor…").await;
    browser.write("Cursor", "").await;
    browser.press("Dry run from there").await;
    browser.says("What a run from there would do").await;
    browser.shot("sync-cursor").await;
    browser.press("Move it there…").await;
    browser.confirm("once more from the beginning", "Move the cursor").await;
    browser.says("at the beginning").await;
    assert_eq!(world.get("/api/v1/sync/feedback").await["cursor"], Value::Null);

    let audit = world.get("/api/v1/audit").await.to_string();
    for why in ["a test ticket", "the first one", "no test ticket", "they lost it", "once more"] {
        assert!(audit.contains(why), "{why}: {audit}");
    }
    browser.go("/#/sync/nobody").await;
    browser.says("There is no such sync").await;
    browser.close(&["/dry-run", "/api/v1/sync/nobody"]).await;
    world.stop().await;
}

fn message(id: &str, tickets: Value) -> Value {
    json!({ "id": id, "polled_at": "2026-11-22T10:00:00Z", "tickets": tickets })
}

fn told(at: &str, note: &str) -> Value {
    json!([{ "changed_at": at, "ticket": { "backend_id": "7/1",
             "fields": { "note": note } } }])
}

#[actix::test]
async fn a_conflict_shows_both_values_and_a_ticket_its_versions() {
    let Pair { tixngo: _tixngo, s360: _s360, world, .. } = pair().await;
    let path = "/api/v1/sync/element/messages";
    let made = world.post(path, message("m1", told("2026-11-22T09:00:00Z", "first"))).await;
    let key = made["events"][0]["ticket"]["key"].as_str().unwrap().to_owned();
    world.post(path, message("m2", told("2026-11-22T09:00:00Z", "first"))).await;
    let update = json!({ "command": "update", "id": "0196c3c0-0000-7000-8000-000000000009",
                         "key": key, "fields": { "note": "what we say" } });
    world.post("/api/v1/commands?wait=20s", update).await;
    world.post(path, message("m3", told("2026-11-22T09:30:00Z", "what they say"))).await;
    // One that cannot be read.
    world.post(path, message("m4", json!([{ "ticket": { "fields": {} } }]))).await;

    let browser = Browser::open(world.base()).await;
    browser.go("/#/sync/element").await;
    for words in ["what we say", "what they say", "cannot be taken", "messages of a connector"] {
        browser.says(words).await;
    }
    let greyed = "[...document.querySelectorAll('button')].find((it) => it.textContent === 'Run now…').disabled";
    browser.until("a connector cannot be run", greyed).await;
    browser.is_accessible("conflicts").await;
    browser.shot("sync-conflicts").await;
    // The link of the conflict leads to the ticket, with its history and how it stands.
    browser.press("7/1").await;
    for words in ["History: versions of its fields", "what we say", "Kept in step", "element"] {
        browser.says(words).await;
    }
    browser.is_accessible("a ticket in step").await;
    browser.shot("ticket-in-step").await;
    browser.close(&[]).await;
    world.stop().await;
}

#[actix::test]
async fn the_overview_says_how_old_the_canary_is_and_where() {
    let world = World::with("[canary]\nevery = '1s'\n").await;
    let browser = Browser::open(world.base()).await;
    browser.go("/").await;
    let tile = "[...document.querySelectorAll('.tile')].find((it) => it.innerText.startsWith('Canary') && \
                it.checkVisibility() && /^oldest: (crm|oceane)/.test(it.querySelector('.note').textContent))";
    browser.until("the tile", tile).await;
    browser.shot("overview-canary").await;
    browser.go("/#/lanes").await;
    browser.says("Canary").await;
    browser.close(&[]).await;
    world.stop().await;
}
