//! Ticket clients: how many flows run at once, and that they do not become calls at once.

use crate::alarms::raised;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use ticketgate::simulate::faults::Faults;

const TWO_CLIENTS: &str = "[clients]\nnumber = 2\n[policy]\nsearch_first = true\n";

/// Long enough for several looks while a search is under way.
fn slow() -> Faults {
    Faults { latency_ms: 1_000, ..Faults::default() }
}

async fn post_alarms(world: &World, source: &str, ids: &[&str]) {
    let events: Vec<_> = ids.iter().map(|id| raised(source, id)).collect();
    let (status, answer) = world.post("/api/v1/alarms", json!(events).to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

/// The alarms whose flows search, once there are that many: `source/id`.
async fn searching(world: &World, flows: usize) -> BTreeSet<String> {
    world
        .until(&format!("{flows} flows search"), async || {
            let clients = world.look("/api/v1/clients").await;
            let text = |client: &Value| {
                assert!(client["busy"] == false || client["lock_status"] == "locked", "{client}");
                let (alarm, what) = client["processing"].as_str()?.split_once(": ")?;
                (what == "searching the backend").then(|| alarm.to_owned())
            };
            let clients = clients["items"].as_array().expect("a list");
            assert_eq!(clients.len(), 2);
            let alarms: BTreeSet<_> = clients.iter().filter_map(text).collect();
            (alarms.len() == flows).then_some(alarms)
        })
        .await
}

async fn has_no_ticket_yet(world: &World, source: &str, id: &str) {
    let explained = world.explain(source, id).await;
    let verdict = explained["verdict"].as_str().unwrap_or_default();
    assert!(verdict.starts_with("it has no ticket yet"), "{explained:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_clients_two_flows_run_the_third_waits_and_calls_stay_one_at_a_time() {
    let backends = vec![("crm", slow(), "")];
    let config = format!("{TWO_CLIENTS}default_backend = \"crm\"\n");
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let ids = ["A1", "A2", "A3"];
    post_alarms(&world, "probe", &ids).await;

    let running = searching(&world, 2).await;
    let third = ids.iter().find(|id| !running.contains(&format!("probe/{id}")));
    has_no_ticket_yet(&world, "probe", third.expect("two of three run")).await;

    world.settled(ids.len()).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!((report.calls.search, report.calls.create, report.tickets), (3, 3, 3));
    let flows = world.look("/api/v1/clients").await;
    let flows: u64 = flows["items"].as_array().into_iter().flatten().filter_map(flows_of).sum();
    assert_eq!(flows, 3);
}

fn flows_of(client: &Value) -> Option<u64> {
    client["flows"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_from_the_clients_run_beside_each_other_where_that_is_configured() {
    let backends = vec![("crm", slow(), "reads = \"client\"")];
    let config = format!("{TWO_CLIENTS}default_backend = \"crm\"\n");
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    post_alarms(&world, "probe", &["A1", "A2", "A3"]).await;
    let two_at_once = async || (world.ledger().report().in_flight == 2).then_some(());
    world.until("two searches are under way at the backend", two_at_once).await;
    assert_eq!(world.ledger().report().calls.search, 2, "the third waits for a client");
    world.settled(3).await;
    let report = world.ledger().report();
    assert_eq!((report.calls.search, report.calls.create, report.tickets), (3, 3, 3));
    // Two clients' searches, and the lane's one call.
    assert!(report.max_in_flight <= 3, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_backend_holds_half_of_the_clients_and_the_other_backend_goes_on() {
    let rule = "[[policy.rule]]\nname = \"q\"\nsource = \"quick\"\nbackend = \"quick\"\n";
    let config = format!("{TWO_CLIENTS}default_backend = \"slow\"\n{rule}");
    let backends = vec![("slow", slow(), ""), ("quick", Faults::default(), "")];
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    post_alarms(&world, "slow", &["S1", "S2", "S3", "S4"]).await;
    searching(&world, 1).await;
    post_alarms(&world, "quick", &["Q1", "Q2", "Q3"]).await;
    let quick = async || (world.ledger().report_of("quick").ok()?.tickets == 3).then_some(());
    world.until("the quick backend's tickets are made", quick).await;
    let slow = world.ledger().report_of("slow").expect("it is known");
    assert!(slow.tickets < 4, "it was too quick to be in the way: {slow:#?}");
    world.settled(7).await;
    assert_eq!(verdict::ledger_is_clean(&world).tickets, 7);
}
