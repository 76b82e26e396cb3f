//! What users copy and what operators type: the examples in both languages against a real broker,
//! each as a user with the rights that `docs/deployment.md` gives its role, and no more.
//!
//! Needs Debian's `rabbitmq-server`, `python3-pika` and `python3-msgpack`
//! (`scripts/install-test-needs`).

mod programs;
mod rights;

#[path = "../service/process.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod process;
#[path = "../support/rabbit.rs"]
mod rabbit;
#[path = "../service/world.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod world;

use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use programs::{Example, Language};
use rights::Rights;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

const CONFIG: &str = "
[[subscriptions]]
queue = \"ticketgate.noc\"
bindings = [\"ticket.#\"]
[policy]
default_backend = \"crm\"
";
/// Short, so that a doubt is settled while somebody waits.
const BACKEND: &str = "timeout = \"1s\"\nconnect_timeout = \"500ms\"";

/// A service that runs with its own user's rights, and the URL of each role.
async fn world(node: &Rabbit, rights: &Rights, faults: Faults) -> World {
    World::started(Setting {
        broker: Some((rights.url(node, "ticketgate"), "ticketgate".to_owned())),
        backends: vec![("crm", faults, BACKEND)],
        config: CONFIG.to_owned(),
        ..Setting::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_do_what_they_say_with_the_rights_of_their_roles() {
    let node = Rabbit::started().await;
    let rights = Rights::documented();
    rights.grant(&node).await;
    let world = world(&node, &rights, Faults::default()).await;
    for language in [Language::Rust, Language::Python] {
        let role = |role: &str| rights.url(&node, role);
        let id = format!("{language:?}");
        let queue = format!("subscriber.{language:?}");
        let bind = ["--queue", queue.as_str(), "--bind", "ticket.#", "--count", "3"];
        let follower =
            Example::start(&world, language, "follow_events", &role("subscriber"), &bind);
        follower.complains(&world, "listening on").await;

        let alarm = ["probe", id.as_str()];
        let publish = async |state: &str| {
            let args = [&[state][..], &alarm].concat();
            let publisher =
                Example::start(&world, language, "publish_alarm", &role("alarms"), &args);
            let (code, said) = publisher.ends(&world).await;
            assert!(code == 0 && said[0].starts_with("confirmed "), "{code} {said:?}");
        };
        publish("raised").await;
        let has_ticket = async || {
            let (status, text) = world.get(&format!("/api/v1/alarms/probe/{id}/explain")).await;
            let told: Value = serde_json::from_str(&text).ok()?;
            let verdict = told["verdict"].as_str()?.to_owned();
            (status == 200 && verdict.contains("it has ticket")).then_some(verdict)
        };
        world.until("the alarm has its ticket", has_ticket).await;
        publish("cleared").await;

        // Once the ticket is closed, the script makes another; and writes into that the next time.
        let closed = async || has_ticket().await.filter(|verdict| verdict.ends_with("closed"));
        world.until("the ticket is closed", closed).await;
        let script = async |note: &str| {
            let args = ["crm", id.as_str(), note];
            Example::start(&world, language, "locked_ticket", &role("script"), &args)
                .ends(&world)
                .await
        };
        let (code, said) = script("first").await;
        assert!(code == 0 && said[0].starts_with("created "), "{code} {said:?}");
        let made = said[0].replace("created", "updated");
        assert_eq!(script("second").await, (0, vec![made]));

        let (code, heard) = follower.ends(&world).await;
        let names: Vec<_> = heard.iter().map(|line| line.split(' ').next().unwrap_or("")).collect();
        assert_eq!(
            (code, names.as_slice()),
            (0, &["created", "closed", "created"][..]),
            "{heard:?}"
        );
        assert!(heard[0].contains(&format!("probe/{id}")), "{heard:?}");

        // The queue of [[subscriptions]] kept all of it for one that comes later.
        let late = ["--queue", "ticketgate.noc", "--count", "4"];
        let late = Example::start(&world, language, "follow_events", &role("subscriber"), &late);
        assert_eq!(late.ends(&world).await.1.len(), 4);
    }
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create), (4, 4), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_lives_through_a_lost_lock_a_lost_answer_a_lost_broker_and_a_refusal() {
    let mut node = Rabbit::started().await;
    let rights = Rights::documented();
    rights.grant(&node).await;
    let world = world(&node, &rights, Faults::default()).await;
    for language in [Language::Rust, Language::Python] {
        let url = rights.url(&node, "script");
        let object = format!("{language:?}");

        // A person takes the lock away while the script thinks: it begins again.
        let args = ["crm", object.as_str(), "x", "--think", "3", "--lock-timeout", "2"];
        let script = Example::start(&world, language, "locked_ticket", &url, &args);
        let locked = script.complains(&world, "locked: client ").await;
        let client: u64 = locked
            .split([' ', ','])
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("{locked}"));
        let path = format!("/api/v1/clients/{client}/unlock");
        let (status, answer) = world.post(&path, json!({ "reason": "a test" }).to_string()).await;
        assert!(status < 300, "{answer}");
        let (code, said) = script.ends(&world).await;
        assert!(code == 0 && said[0].starts_with("created "), "{code} {said:?}");
        script.complains(&world, "lock_lost").await;

        // The answer to its create is lost: it hears of the doubt, and then of the one ticket.
        let lost = Faults { lost_answer_rate: 1.0, at_most: Some(1), ..Faults::default() };
        world.ledger().set_faults("crm", lost).expect("the faults make sense");
        let object = format!("{language:?} in doubt");
        let script =
            Example::start(&world, language, "locked_ticket", &url, &["crm", &object, "x"]);
        let (code, said) = script.ends(&world).await;
        assert!(code == 0 && said[0].starts_with("created "), "{code} {said:?}");
        script.complains(&world, "in_doubt").await;
        world.ledger().set_faults("crm", Faults::default()).expect("the faults make sense");

        // The broker goes away while the script thinks.
        let object = format!("{language:?} alone");
        let args = ["crm", object.as_str(), "x", "--think", "3", "--lock-timeout", "60"];
        let script = Example::start(&world, language, "locked_ticket", &url, &args);
        script.complains(&world, "locked: client ").await;
        node.restart().await;
        let (code, said) = script.ends(&world).await;
        assert!(code == 0 && said[0].starts_with("created "), "{code} {said:?}");

        let refused = ["nowhere", "x", "x"];
        let script = Example::start(&world, language, "locked_ticket", &url, &refused);
        assert_eq!(script.ends(&world).await, (1, vec![]));
        script.complains(&world, "unknown_backend").await;
    }
    let report = world.ledger().report();
    assert_eq!(report.tickets, 6, "{report:#?}");
}

#[test]
fn an_example_without_its_library_says_what_it_needs() {
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python");
    for (name, needs) in [
        ("follow_events", "python3-pika python3-msgpack"),
        ("publish_alarm", "python3-pika"),
        ("locked_ticket", "python3-pika"),
    ] {
        // Neither the system's packages nor this user's.
        let mut python = std::process::Command::new("/usr/bin/python3");
        python.args(["-I", "-S", "-B"]).arg(scripts.join(name).with_extension("py"));
        let output = python.output().expect("python starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {complaint}");
        assert!(complaint.starts_with("needs ") && complaint.contains(needs), "{complaint}");
        assert!(!complaint.contains("Traceback"), "{complaint}");
    }
}
