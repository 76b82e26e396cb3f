//! An account that is locked out (rule G12): one call, a lane that is paused for all to see, and
//! nothing lost when a person lets it go on.

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::programs::{Heard, Subscriber};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

/// Alarms for the backend that is locked, and as many for the other one, before and after it is
/// seen to be paused.
const ALARMS: usize = 20;

async fn post(world: &World, source: &str, first: usize) {
    let ids = (first..first + ALARMS).map(|n| format!("A{n}"));
    let alarms: Vec<_> = ids.map(|id| raised(source, &id)).collect();
    let (status, answer) = world.post("/api/v1/alarms", json!(alarms).to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

fn tickets(world: &World, backend: &str) -> u64 {
    world.ledger().report_of(backend).expect("it was set up").tickets
}

/// The other backend's tickets come all the same: as long as that takes, the locked one is let be.
async fn others_get_theirs(world: &World, count: usize) {
    let there = async || (tickets(world, "other") == count as u64).then_some(());
    world.until(&format!("the other backend has {count} tickets"), there).await;
    let locked = world.ledger().report_of("locked").expect("it was set up");
    assert_eq!((locked.calls.create, locked.calls.search), (1, 0), "exactly one call");
    assert_eq!(locked.unauthorised, 1);
}

fn lane(shell: &Shell<'_>) -> Value {
    let lanes = shell.json(&["lane", "list"]);
    let mut lanes = lanes["items"].as_array().expect("a list").iter();
    lanes.find(|lane| lane["id"] == "locked").expect("it has a lane").clone()
}

async fn hears(world: &World, operator: &Subscriber, key: &str) -> Heard {
    let heard = async || operator.heard().into_iter().find(|one| one.routing_key == key);
    world.until(&format!("operators hear {key}"), heard).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_account_sees_one_call_and_everything_is_done_after_a_resume() {
    let node = Rabbit::shared().await;
    let locked = Faults { unauthorised: true, ..Faults::default() };
    let config = "[policy]\ndefault_backend = \"locked\"\n\
                  [[policy.rule]]\nname = \"o\"\nsource = \"other\"\nbackend = \"other\"\n";
    let mut world = World::started(Setting {
        broker: Some((node.url(), "locked".to_owned())),
        backends: vec![("locked", locked, ""), ("other", Faults::default(), "")],
        config: config.to_owned(),
        ..Setting::default()
    })
    .await;
    let operator = Subscriber::listening_to(&world, "ops", "operator", &["lane.#"]).await;
    for source in ["probe", "other"] {
        post(&world, source, 0).await;
    }
    let paused = hears(&world, &operator, "lane.locked.paused").await;
    let reason = paused.body["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("credentials were refused") && reason.contains("401"), "{paused:?}");

    // However much more comes, and whoever starts the service again.
    others_get_theirs(&world, ALARMS).await;
    for source in ["probe", "other"] {
        post(&world, source, ALARMS).await;
    }
    others_get_theirs(&world, 2 * ALARMS).await;
    world.kill9();
    world.start().await;
    post(&world, "other", 2 * ALARMS).await;
    others_get_theirs(&world, 3 * ALARMS).await;

    let shell = Shell(&world);
    let seen = async || {
        let seen = lane(&shell);
        (seen["pending"] == 2 * ALARMS).then_some(seen)
    };
    let seen = world.until("all that was accepted waits in the lane", seen).await;
    assert_eq!(seen["held"], format!("paused: {reason}"), "{seen}");
    assert_eq!(seen["gait"], "held", "{seen}");
    assert!(shell.says(&["lane", "list"]).contains("credentials were refused"));
    let waits = world.look("/api/v1/requests?backend=locked&state=accepted").await;
    let alarm = waits["items"][0]["made_for"].clone();
    let (source, id) = (alarm["source"].as_str().unwrap(), alarm["id"].as_str().unwrap());
    let verdict = world.explain(source, id).await["verdict"].to_string();
    assert!(verdict.contains("ticketgate lane resume locked"), "{verdict}");
    let settled = ["failed", "rejected", "undecided", "in_doubt", "cancelled"];
    for state in settled {
        let path = format!("/api/v1/requests?backend=locked&state={state}");
        assert_eq!(world.look(&path).await["items"], json!([]), "{state}");
    }

    world.ledger().set_faults("locked", Faults::default()).expect("the faults make sense");
    let resume = ["lane", "resume", "locked", "--reason", "the account is unlocked"];
    let resumed = shell.says(&resume);
    assert!(resumed.starts_with("it goes on (it was held back: paused: "), "{resumed}");
    hears(&world, &operator, "lane.locked.resumed").await;
    world.settled(5 * ALARMS).await;
    let report = verdict::ledger_is_clean(&world);
    let locked = &report.backends["locked"];
    assert_eq!((locked.tickets, locked.calls.create), (2 * ALARMS as u64, 1 + 2 * ALARMS as u64));
    let seen = lane(&shell);
    assert_eq!(seen["held"], Value::Null);
    assert_ne!(seen["gait"], "held", "{seen}");
    // What was wrong is over: it is not told as if it were so now.
    assert_eq!((&seen["last_error"], &seen["last_error_at"]), (&Value::Null, &Value::Null));
}
