//! Who hears what: every subscriber all that it is bound to, and nothing else; and nobody has to
//! be there when it is said, where a queue is configured.

use crate::alarms::{message, raised};
use crate::programs::{Heard, Publisher, Subscriber, drain};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

/// Half of them want an incident, the others a problem.
const ALARMS: usize = 12;
const KINDS: [&str; 2] = ["incident", "problem"];

async fn world(node: &Rabbit, prefix: &str, more: &str) -> World {
    let backends = vec![("crm", Faults::default(), "")];
    let config = format!("{more}\n[policy]\ndefault_backend = \"crm\"\n");
    let broker = Some((node.url(), prefix.to_owned()));
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}

fn alarm(n: usize) -> Value {
    let mut body = raised("probe", &format!("A{n}"));
    body["ticket"] = json!({ "kind": KINDS[n % 2] });
    body
}

/// Every alarm is raised, and a third of them is cleared.
async fn alarms_come_and_go(world: &World) {
    let come = (0..ALARMS).map(|n| message(&format!("m{n}"), "msgpack", alarm(n)));
    Publisher::send(world, come.collect()).await;
    world.settled(ALARMS).await;
    let cleared = (0..ALARMS).step_by(3).map(|n| {
        let mut body = alarm(n);
        body["state"] = json!("cleared");
        message(&format!("c{n}"), "json", body)
    });
    Publisher::send(world, cleared.collect()).await;
    let all_closed = async || {
        let report = world.ledger().report();
        (report.by_state.get("closed") == Some(&(ALARMS as u64 / 3))).then_some(())
    };
    world.until("a third of the tickets is closed", all_closed).await;
    world.settled(ALARMS).await;
}

/// Each heard event with its kind and its alarm.
fn gist(heard: &[Heard]) -> Vec<(String, String, String)> {
    let text = |one: &Heard, pointer: &str| {
        one.body.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned()
    };
    let gist = |one| (text(one, "/event"), text(one, "/ticket/kind"), text(one, "/alarm/id"));
    let mut gists: Vec<_> = heard.iter().map(gist).collect();
    gists.sort();
    gists
}

fn incidents_created() -> Vec<(String, String, String)> {
    let gist = |n| ("created".to_owned(), "incident".to_owned(), format!("A{n}"));
    let mut gists: Vec<_> = (0..ALARMS).step_by(2).map(gist).collect();
    gists.sort();
    gists
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscribers_with_their_own_queues_both_hear_every_event() {
    let node = Rabbit::shared().await;
    let world = world(node, "both", "").await;
    let one = Subscriber::listening(&world, "one", &["#"]).await;
    let other = Subscriber::listening(&world, "other", &["ticket.#", "writeback.#"]).await;
    alarms_come_and_go(&world).await;
    for subscriber in [&one, &other] {
        let told = verdict::everything_is_heard(&world, subscriber).await;
        assert_eq!(told.events.len(), ALARMS, "{}", subscriber.queue());
        let events: usize = told.events.values().map(Vec::len).sum();
        assert_eq!(events, ALARMS + ALARMS / 3, "created, and closed where cleared");
    }
    assert!(one.heard().iter().all(|heard| heard.exchange == "both.tickets"));
    verdict::the_broker_is_empty(&world, node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_bound_to_new_incidents_hears_of_nothing_else() {
    let node = Rabbit::shared().await;
    let world = world(node, "bound", "").await;
    let everything = Subscriber::listening(&world, "all", &["#"]).await;
    let new_incidents =
        Subscriber::listening(&world, "incidents", &["ticket.*.incident.created"]).await;
    alarms_come_and_go(&world).await;
    verdict::everything_is_heard(&world, &everything).await;
    // What it was given it has said before it acknowledged it, so that an empty queue means all.
    verdict::the_broker_is_empty(&world, node).await;
    assert_eq!(gist(&new_incidents.heard()), incidents_created());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_queue_keeps_events_for_a_subscriber_that_comes_later() {
    let node = Rabbit::shared().await;
    let queue = "[[subscriptions]]\nqueue = \"later.noc\"\n\
                 bindings = [\"ticket.*.incident.created\"]\n";
    let mut world = world(node, "later", queue).await;
    alarms_come_and_go(&world).await;
    // It outlives the service too.
    assert!(world.stop().await.success());
    let heard = drain(&world, "later.noc");
    assert_eq!(gist(&heard), incidents_created());
    assert!(heard.iter().all(|one| !one.redelivered), "{heard:?}");
    assert_eq!(drain(&world, "later.noc").len(), 0);
    verdict::the_broker_is_empty(&world, node).await;
}
