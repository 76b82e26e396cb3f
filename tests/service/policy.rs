//! Policy from the outside: alarms that share a ticket by where they lie, and snapshots that end what
//! nobody cleared; over RabbitMQ.

use crate::alarms::{message, raised};
use crate::programs::Publisher;
use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

const RULES: &str = r#"
[topology]
csv = "TOPOLOGY"

[[policy.rule]]
name = "by node"
when = "topology.found"
group_by = "topology.last.node"
backend = "crm"
[policy.rule.fields]
summary = "{{ topology.last.node }}: {{ count }} alarms"

[[policy.rule]]
name = "elsewhere"
backend = "crm"
cleared_first = "skip"
"#;

const TOPOLOGY: &str = "object,path,hop,node,owner\n\
    site-1/cell-1,A,1,edge-1,field\n\
    site-1/cell-1,A,2,core-7,backbone\n\
    site-2/cell-1,A,1,core-7,backbone\n";

fn mark(state: &str, pass: &str) -> Value {
    json!({ "source": "probe", "state": format!("snapshot_{state}"), "id": pass })
}

/// In one line, by one publisher, as a source sends its snapshot.
async fn publish(world: &World, bodies: Vec<Value>, tag: &str) {
    let named = bodies.into_iter().enumerate();
    let messages: Vec<_> =
        named.map(|(n, body)| message(&format!("{tag}-{n}"), "json", body)).collect();
    let sent = messages.len();
    let mut publisher = Publisher::start(world, None);
    publisher.publish(messages);
    publisher.has_sent(world, sent).await;
}

async fn tickets(world: &World, what: &str, is: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    world
        .until(what, async || {
            let tickets = world.all("/api/v1/tickets").await;
            is(&tickets).then_some(tickets)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_a_node_share_a_ticket_and_a_snapshot_ends_what_it_does_not_name() {
    let node = Rabbit::shared().await;
    let mut world = World::prepared(Setting {
        broker: Some((node.url(), "policy".to_owned())),
        backends: vec![("crm", Faults::default(), "")],
        config: RULES.to_owned(),
        ..Setting::default()
    })
    .await;
    std::fs::write(world.file("topology.csv"), TOPOLOGY).unwrap();
    world.change_config("TOPOLOGY", world.file("topology.csv").to_str().unwrap());
    world.start().await;

    publish(&world, (1..=3).map(|n| raised("probe", &n.to_string())).collect(), "raise").await;
    let grouped = |it: &[Value]| {
        it.len() == 2
            && it.iter().any(|it| it["fields"]["summary"] == "core-7: 2 alarms")
            && it.iter().all(|it| it["backend_id"].is_string())
    };
    let made = tickets(&world, "two alarms share a ticket", grouped).await;
    let shared = made.iter().find(|it| it["fields"]["alarm_count"] == 2).expect("it says so");
    let explained = world.explain("probe", "1").await;
    let told = &explained["occurrences"][0];
    assert_eq!(told["topology"]["hops"][1]["node"], "core-7", "{explained}");
    let elsewhere = world.explain("probe", "3").await;
    assert_eq!(elsewhere["occurrences"][0]["topology"]["found"], false);

    // A snapshot that names one of the two: the ticket stays. An end that nobody began is parked.
    publish(&world, vec![mark("end", "p0")], "astray").await;
    let parked = async || {
        let parked = world.all("/api/v1/parked").await;
        parked.iter().any(|it| it["reason"].as_str().unwrap().contains("no snapshot")).then_some(())
    };
    world.until("the end is parked", parked).await;
    let pass = vec![mark("begin", "p1"), raised("probe", "2"), mark("end", "p1")];
    publish(&world, pass, "p1").await;
    let one_left = |it: &[Value]| {
        let is = |it: &Value| it["key"] == shared["key"] && it["fields"]["alarm_count"] == 1;
        it.iter().any(is) && it.iter().any(|it| it["status"] == "closed")
    };
    tickets(&world, "the third alarm's ticket is closed, the shared one stays", one_left).await;
    let snapshots = world.look("/api/v1/snapshots").await;
    assert_eq!(snapshots["items"][0]["cleared"], 2, "{snapshots}");

    // One that names nothing ends the rest.
    publish(&world, vec![mark("begin", "p2"), mark("end", "p2")], "p2").await;
    let all = |it: &[Value]| it.iter().all(|it| it["status"] == "closed");
    tickets(&world, "all tickets are closed", all).await;
    let report = world.ledger().report_of("crm").expect("the system is there");
    assert_eq!((report.tickets, report.by_state["closed"]), (2, 2));
    let explained = world.explain("probe", "1").await.to_string();
    assert!(explained.contains("snapshot p1 of probe did not name it"), "{explained}");
    let path = world.look("/api/v1/clients/1/path").await;
    assert!(path["path"]["object"].is_string(), "{path}");
}
