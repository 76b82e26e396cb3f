//! The acts that are rarely needed: what has failed is tried again, a client is set to not busy, what has
//! ended is offloaded; and how a list is leafed through.

use crate::browser::Browser;
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::start;
use ticketgate::simulate::settings::RestSettings;

#[actix::test]
async fn a_failed_request_is_tried_again() {
    ticketgate::backends::install_tls();
    let busy = Faults { busy_rate: 1.0, at_most: Some(1), ..Faults::default() };
    let systems = start(RestSettings { faults: busy, ..RestSettings::default() }).unwrap();
    let world = World::with(&format!(
        "[[backend]]\nid = 'noc'\npreset = 'simulated-rest'\nbase_url = '{}'\nretries = 0\n\
         failure = [{{ status = [503], means = 'retryable' }}]\n",
        systems.url("noc")
    ))
    .await;
    let reject = Some("by hand".to_owned());
    let faults = Faults { reject_summary_containing: reject, ..Faults::default() };
    world.crm.ledger.set_faults("crm", faults).unwrap();
    let create = json!({
        "command": "create", "id": "0196c3c0-0000-7000-8000-000000000003", "backend": "crm",
        "kind": "incident", "fields": { "summary": "by hand" },
    });
    world.try_post("/api/v1/commands?wait=30s", create).await;
    let rejected = world.get("/api/v1/requests?state=rejected").await;
    let id = rejected["items"][0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::open(world.base()).await;
    browser.go(&format!("/#/requests/{id}")).await;
    // What the backend refused is refused again: only what has failed is tried again.
    let greyed = "[...document.querySelectorAll('button')].find((it) => it.textContent === 'Try again…').disabled";
    browser.until("it is greyed", greyed).await;
    browser.go("/#/history/failed").await;
    browser.says("contains what is not allowed").await;

    let create = json!({
        "command": "create", "id": "0196c3c0-0000-7000-8000-000000000005", "backend": "noc",
        "kind": "incident", "fields": { "summary": "busy at first" },
    });
    let (_, told) = world.try_post("/api/v1/commands?wait=30s", create).await;
    assert_eq!(told["error"]["code"], "failed", "{told}");
    let failed = world.get("/api/v1/requests?state=failed").await;
    let id = failed["items"][0]["id"].as_str().unwrap().to_owned();
    browser.go(&format!("/#/requests/{id}")).await;
    browser.press("Try again…").await;
    browser.shot("try-again").await;
    browser.confirm("they are back", "Try again").await;
    browser.says("Tried again by").await;
    world.until("/api/v1/tickets?backend=noc", |it| it["items"][0]["backend_id"].is_string()).await;
    browser.close(&[]).await;
    world.stop().await;
}

#[actix::test]
async fn a_client_that_hangs_is_set_to_not_busy_and_keeps_its_lock() {
    let world = World::start().await;
    let guid = "0196c3c0-0000-7000-8000-000000000001";
    let lock = json!({ "guid": guid, "timeout_ms": 600_000, "holder": "a script" });
    let lock = world.post("/api/v1/locks", lock).await;
    world.crm.ledger.set_faults("crm", Faults { latency_ms: 8_000, ..Faults::default() }).unwrap();
    let search = json!({
        "command": "search", "id": "0196c3c0-0000-7000-8000-000000000004", "backend": "crm",
        "kind": "incident", "where": { "object": "mux/1" },
        "lock": { "guid": guid, "fence": lock["fence"] },
    });
    let client = lock["client"].as_u64().unwrap();
    let asked = async { world.try_post("/api/v1/commands?wait=30s", search).await };
    let forced = async {
        let browser = Browser::open(world.base()).await;
        browser.go(&format!("/#/clients/{client}")).await;
        browser.says("reading").await;
        browser.press("Not busy…").await;
        browser.shot("not-busy").await;
        browser.confirm("it hangs", "Set not busy").await;
        browser.says_no_more("reading").await;
        browser.says(guid).await;
        // Its path is read when it is asked for.
        browser.press("Read again").await;
        browser.says("No flow has looked up a path").await;
        browser.close(&[]).await;
    };
    let ((_, answer), ()) = tokio::join!(asked, forced);
    assert_eq!(answer["error"]["code"], "cancelled", "{answer}");
    let shown = world.get(&format!("/api/v1/clients/{client}")).await;
    assert_eq!((&shown["busy"], &shown["guid"]), (&json!(false), &json!(guid)));
    world.stop().await;
}

#[actix::test]
async fn what_has_ended_is_offloaded_now_and_the_log_level_says_why_it_is_not_set() {
    let folder = tempfile::TempDir::with_prefix("ticketgate-offload").unwrap();
    let config = format!(
        "[offload]\nenabled = true\npath = {:?}\nmax_rows = 2\namount = 1\ncheck_every = '1d'\n",
        folder.path()
    );
    let world = World::with(&config).await;
    for id in ["A1", "A2", "A3"] {
        world.ticket(id).await;
    }
    let browser = Browser::open(world.base()).await;
    browser.go("/#/history/status").await;
    browser.says("3 rows").await;
    browser.press("Offload now…").await;
    browser.shot("offload").await;
    browser.confirm("before the audit", "Offload").await;
    browser.says("1 rows").await;
    let told = "document.querySelector('.toast').textContent.includes('2 of status')";
    browser.until("it says how many", told).await;
    let left = world.get("/api/v1/history?list=tickets").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);

    // In this process logging is off; what the service says is shown.
    browser.go("/#/config").await;
    browser.says("offload.max_rows").await;
    browser.press("Set").await;
    browser
        .until("why", "document.querySelector('.toast.bad').textContent.includes('logging is off')")
        .await;
    // The filter leaves what it names.
    browser.run("const it = document.querySelector('[aria-label=\"Filter the configuration\"]'); it.value = 'max_rows'; it.dispatchEvent(new Event('input'));").await;
    browser.says_no_more("policy.default_backend").await;
    browser.close(&["/config/log-level"]).await;
    world.stop().await;
}

#[actix::test]
async fn a_long_list_is_leafed_through_sorted_and_filtered() {
    let world = World::start().await;
    let alarms: Vec<Value> = (0..60)
        .map(|n| {
            json!({
                "id": format!("Q{n:02}"), "source": "quiet", "state": "raised", "severity": "minor",
                "raised_at": "2026-11-21T10:00:00Z", "object": format!("mux/{n:02}"),
            })
        })
        .collect();
    world.post("/api/v1/alarms", json!(alarms)).await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/alarms").await;
    browser.says("50 rows").await;
    browser.says("quiet/Q59").await;
    browser.press("Next page").await;
    browser.says("10 rows, not the first page").await;
    browser.says("quiet/Q00").await;
    browser.says_no_more("quiet/Q59").await;
    browser.press("Page before").await;
    browser.says("quiet/Q59").await;
    let first =
        |id: &str| format!("document.querySelector('tbody tr').innerText.includes({})", json!(id));
    browser.press("Object").await;
    browser.until("it is sorted", &first("quiet/Q10")).await;
    browser.write("Order", "oldest first").await;
    browser.until("it begins with the oldest", &first("quiet/Q00")).await;
    browser.says_no_more("quiet/Q59").await;
    browser.write("State", "cleared").await;
    browser.says("No alarm matches").await;
    // The address holds the filters.
    browser.until("they are kept", "location.hash.includes('state=cleared')").await;

    browser.go("/#/alarms").await;
    let theme = "document.documentElement.dataset.theme";
    for expected in ["light", "dark"] {
        browser.run("document.querySelector('header button.plain').click();").await;
        browser.until("the theme", &format!("{theme} === '{expected}'")).await;
    }
    browser.wide(700).await;
    browser.press("Menu").await;
    browser.until("the pages", "document.querySelector('.side.open')").await;
    browser.press("Backends").await;
    browser.says("A lost create").await;
    browser.close(&[]).await;
    world.stop().await;
}

#[actix::test]
async fn a_ticket_is_released_on_its_own_page() {
    let world = World::start().await;
    world.ticket("A1").await;
    let key = world.get("/api/v1/alarms/probe/A1").await["ticket"].as_str().unwrap().to_owned();
    world.post("/api/v1/lanes/crm/hold", json!({ "ticket": key, "reason": "theirs" })).await;
    let browser = Browser::open(world.base()).await;
    browser.go(&format!("/#/tickets/{key}")).await;
    browser.says("Held by operator: theirs").await;
    browser.press("Release…").await;
    browser.confirm("they are done", "Release").await;
    browser.says_no_more("Held by operator").await;
    browser.close(&[]).await;
    world.stop().await;
}
