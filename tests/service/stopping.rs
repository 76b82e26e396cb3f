//! SIGTERM while calls are under way (rule G16): what can be kept is kept, and nothing is lost.

use crate::alarms::{message, raised};
use crate::programs::{Publisher, Subscriber};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

const ALARMS: [&str; 6] = ["A0", "A1", "A2", "A3", "A4", "A5"];

async fn two_backends(faults: Faults, lane: &'static str) -> World {
    let config = "[policy]\ndefault_backend = \"one\"\n\
                  [[policy.rule]]\nname = \"o\"\nsource = \"other\"\nbackend = \"other\"\n";
    let backends = vec![("one", faults.clone(), lane), ("other", faults, lane)];
    let config = config.to_owned();
    World::started(Setting { backends, config, ..Setting::default() }).await
}

/// Three alarms for each backend; a create is under way at both.
async fn creates_are_under_way(world: &World) {
    let alarms: Vec<_> = ALARMS.iter().enumerate().map(|(n, id)| alarm(n, id)).collect();
    let (status, answer) = world.post("/api/v1/alarms", json!(alarms).to_string()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(6)), "{answer}");
    let at_both = async || {
        let report = world.ledger().report();
        report.backends.values().all(|one| one.calls.create == 1).then_some(())
    };
    world.until("a create is under way at both backends", at_both).await;
}

fn source(n: usize) -> &'static str {
    ["probe", "other"][n % 2]
}

fn alarm(n: usize, id: &str) -> Value {
    raised(source(n), id)
}

/// What became of an alarm's create, step by step.
async fn steps(world: &World, n: usize) -> String {
    let explained = world.explain(source(n), ALARMS[n]).await;
    let steps = explained["occurrences"][0]["steps"].as_array().expect("steps");
    let step = |step: &Value| format!("{}: {} ({})", step["of"], step["what"], step["why"]);
    steps.iter().map(step).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_keeps_the_outcome_of_running_calls_and_the_rest_is_done_after_the_next_start() {
    let faults = Faults { latency_ms: 1_500, ..Faults::default() };
    let mut world = two_backends(faults, "").await;
    creates_are_under_way(&world).await;
    let status = world.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let report = world.ledger().report();
    assert_eq!(report.tickets, 2, "the calls under way ended, and no others began: {report:#?}");
    assert!(world.log().contains("stopped"));

    for backend in ["one", "other"] {
        let faults = Faults::default();
        world.ledger().set_faults(backend, faults).expect("the faults make sense");
    }
    world.start().await;
    world.settled(ALARMS.len()).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!((report.tickets, report.calls.create), (6, 6), "nothing was sent twice");
    for n in 0..ALARMS.len() {
        let steps = steps(&world, n).await;
        assert!(!steps.contains("doubt"), "the outcome was not kept:\n{steps}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_grace_is_in_doubt_after_the_next_start_and_found_out() {
    // Done, and never answered: without the stop it would be waited for a minute.
    let faults = Faults { hang_rate: 1.0, at_most: Some(1), ..Faults::default() };
    let mut world = two_backends(faults, "timeout = \"60s\"").await;
    creates_are_under_way(&world).await;
    let status = world.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(world.ledger().report().tickets, 2);

    world.change_config("timeout = \"60s\"", "timeout = \"500ms\"");
    world.start().await;
    world.settled(ALARMS.len()).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!((report.tickets, report.calls.create), (6, 6), "nothing was sent twice");
    let mut found_out = 0;
    for n in 0..ALARMS.len() {
        found_out += usize::from(steps(&world, n).await.contains("doubt"));
    }
    assert_eq!(found_out, 2, "one call was under way at each backend");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_alarms_arrive_from_the_broker_loses_none_and_leaves_no_doubt() {
    const MANY: usize = 300;
    let node = Rabbit::shared().await;
    let faults = Faults { latency_ms: 10, ..Faults::default() };
    let setting = Setting {
        broker: Some((node.url(), "stop".to_owned())),
        backends: vec![("crm", faults, "")],
        config: "[policy]\ndefault_backend = \"crm\"\n".to_owned(),
        ..Setting::default()
    };
    let mut world = World::started(setting).await;
    let subscriber = Subscriber::listening(&world, "all", &["#"]).await;
    let messages =
        (0..MANY).map(|n| message(&format!("m{n}"), "msgpack", raised("probe", &format!("A{n}"))));
    let mut publisher = Publisher::start(&world, Some(100));
    publisher.publish(messages.collect());
    for sent in [60, 140, 220] {
        publisher.has_sent(&world, sent).await;
        let status = world.stop().await;
        assert_eq!(status.code(), Some(0), "{status}");
        world.start().await;
    }
    publisher.has_sent(&world, MANY).await;
    verdict::the_broker_is_empty(&world, node).await;
    world.settled(MANY).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!((report.tickets, report.calls.create), (MANY as u64, MANY as u64));
    assert_eq!(report.calls.search, 0, "nothing had to be found out");
    let told = verdict::everything_is_heard(&world, &subscriber).await;
    let events: usize = told.events.values().map(Vec::len).sum();
    assert_eq!(events, MANY);
}
