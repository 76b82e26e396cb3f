//! Whatever is wrong is said clearly, and what can wait waits.

use crate::alarms::{message, raised};
use crate::process;
use crate::programs::Publisher;
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::process::Output;
use ticketgate::simulate::faults::Faults;

/// One well-behaved ticketing system; quick to try it again.
fn one_backend() -> Setting {
    let lane = "backoff = \"100ms\"\nbackoff_max = \"500ms\"";
    Setting {
        backends: vec![("crm", Faults::default(), lane)],
        config: "[policy]\ndefault_backend = \"crm\"\n".to_owned(),
        ..Setting::default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `serve` says to a config.
fn serve(config: &str) -> (String, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml").display().to_string();
    std::fs::write(
        &path,
        config.replace("DATA", &folder.path().join("data").display().to_string()),
    )
    .expect("the config");
    let output = process::run(&["serve", "--config", &path]);
    (path, output)
}

#[test]
fn a_wrong_config_ends_with_78_and_says_file_line_key_and_what_is_allowed() {
    let crm = "[[backend]]\nid = \"crm\"\npreset = \"simulated-rest\"\n\
               base_url = \"http://127.0.0.1:1/crm\"\n";
    let cases = [
        ("[policy]\nsearch_fist = true\n", 2, "policy.search_fist", "search_first"),
        ("\n[clients]\nnumber = 0\n", 3, "clients.number", "1 to 1000"),
        ("[http]\nlisten = \"0.0.0.0:80\"\n", 2, "http.listen", "use 127.0.0.1"),
        ("[policy]\ndefault_backend = \"x\"\n", 2, "policy.default_backend", "known"),
        ("[log]\nlevel = \"a=b=c\"\n", 2, "log.level", "error, warn, info, debug or trace"),
        (&format!("{crm}timeout = \"soon\"\n"), 5, "backend[0].timeout", "30s"),
        (&format!("{crm}capability = \"magic\"\n"), 5, "backend[0].capability", "searchable"),
        ("[amqp]\nheartbeat = \"1500ms\"\n", 2, "amqp.heartbeat", "whole seconds"),
        ("[amqp]\nprefix = \"\"\n", 2, "amqp.prefix", "empty"),
        ("[amqp]\nurl = \"amqp//u:s3cret@h\"\n", 2, "amqp.url", "amqp://user:password@host"),
        (
            "[amqp]\n[[subscriptions]]\nqueue = \"q\"\nbindings = []\n",
            4,
            "subscriptions[0].bindings",
            "hears nothing",
        ),
    ];
    for (config, line, key, allowed) in cases {
        let (path, output) = serve(config);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{config}\n{said}");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 1, "{config}\n{said}");
        assert!(lines[0].starts_with(&format!("{path}:{line}: {key}: ")), "{config}\n{said}");
        assert!(lines[0].contains(allowed), "{config}\n{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let (_, output) = serve(&format!("instance = \"\"\n[clients]\nnumber = 0\n{crm}{crm}"));
    assert_eq!(text(&output.stderr).lines().count(), 3, "a line an error");
}

#[test]
fn a_config_that_is_not_there_ends_with_78_and_wrong_usage_with_2() {
    let missing = process::run(&["serve", "--config", "/nowhere/t.toml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(text(&missing.stderr).starts_with("/nowhere/t.toml: cannot be read"), "{missing:?}");
    assert_eq!(process::run(&["serve"]).status.code(), Some(2));
    assert_eq!(process::run(&["serv"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_broker_the_service_starts_says_so_and_catches_up() {
    let mut node = Rabbit::prepared();
    let broker = Some((node.url(), "ticketgate".to_owned()));
    let world = World::started(Setting { broker, ..one_backend() }).await;
    assert_eq!(world.look("/readyz").await["bus_connected"], false);
    let said = async || world.log().contains("the broker is not there").then_some(());
    world.until("the log says that the broker is away", said).await;
    // Alarms over HTTP get their tickets all the same; their events wait.
    let (status, _) = world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    assert_eq!(status, 202);
    let made = async |tickets| (world.ledger().report().tickets == tickets).then_some(());
    world.until("the ticket is made without a broker", async || made(1).await).await;
    assert_eq!(world.figure("ticketgate_bus_connected").await, Some(0.0));
    assert_eq!(world.figure("ticketgate_events_unsent").await, Some(1.0));

    node.start().await;
    let connected = async || (world.look("/readyz").await["bus_connected"] == true).then_some(());
    world.until("the bus is connected", connected).await;
    Publisher::send(&world, vec![message("m2", "msgpack", raised("probe", "A2"))]).await;
    world.settled(2).await;
    assert_eq!(verdict::ledger_is_clean(&world).tickets, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_us_is_told_by_check_by_the_log_once_and_by_the_overview() {
    let url = Rabbit::shared().await.url().replace("guest:guest", "guest:s3cret");
    let broker = Some((url, "refused".to_owned()));
    let world = World::started(Setting { broker, ..one_backend() }).await;
    let config = world.config_file();
    let check = |path: &std::path::Path| {
        let output = process::run(&["check", "--config", path.to_str().expect("a plain name")]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, said) = check(&config);
    let line = said.lines().find(|line| line.starts_with("broker: ")).unwrap_or_default();
    assert!(line.contains("refuses user guest: wrong password?"), "{said}");
    assert!(code == Some(1) && !said.contains("s3cret"), "{said}");

    // Several tries of two links.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let log = world.log();
    let told = log.matches("wrong password?").count();
    assert!(told == 1 && !log.contains("io_loop") && !log.contains("s3cret"), "{told}: {log}");
    assert!(!log.contains('\u{1b}'), "no colours in a file: {log}");
    let overview = world.look("/api/v1/overview").await;
    let trouble = overview["bus_trouble"].as_str().unwrap_or_default();
    assert!(trouble.contains("refuses user guest: wrong password?"), "{overview}");

    let right = std::fs::read_to_string(&config).expect("the config").replace("s3cret", "guest");
    let other = world.file("right.toml");
    std::fs::write(&other, right).expect("the config");
    let (code, said) = check(&other);
    let signed_in = "broker: signed in at the broker at 127.0.0.1:";
    assert!(code == Some(0) && said.contains(signed_in), "{said}");
    assert!(said.contains("as guest, virtual host /"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_backend_the_service_starts_says_so_and_makes_the_ticket_later() {
    let setting = Setting { systems_are_away: true, ..one_backend() };
    let world = World::started(setting).await;
    let (status, _) = world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    assert_eq!(status, 202);
    let held = world
        .until("the lane is held", async || {
            let ready = world.look("/readyz").await;
            let held = ready["lanes_held"].get(0)?.clone();
            Some(held)
        })
        .await;
    assert_eq!(held["backend"], "crm");
    assert!(held["why"].as_str().is_some_and(|why| why.contains("connect")), "{held}");
    // The lane knows it a moment before the store does; between two of its calls it says when the next is.
    world
        .until("the verdict says how it goes on", async || {
            let explained = world.explain("probe", "A1").await;
            let verdict = explained["verdict"].as_str()?.to_owned();
            let goes_on =
                ["create at crm is tried again", "lane resume crm --reason …` tries at once"];
            goes_on.iter().any(|words| verdict.contains(words)).then_some(())
        })
        .await;

    world.start_systems();
    world.settled(1).await;
    let report = verdict::ledger_is_clean(&world);
    assert_eq!((report.tickets, report.calls.create), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_backend_is_parked_from_the_broker_and_refused_over_http() {
    let node = Rabbit::shared().await;
    let broker = Some((node.url(), "unknown".to_owned()));
    let world = World::started(Setting { broker, ..one_backend() }).await;
    let mut wishful = raised("probe", "A1");
    wishful["ticket"] = json!({ "backend": "cmr" });
    let good = raised("probe", "A2");

    let (status, answer) = world.post("/api/v1/alarms", wishful.to_string()).await;
    let reason = "ticket.backend \"cmr\" is not one of: crm";
    assert_eq!((status, &answer["field"]), (400, &json!("ticket.backend")), "{answer}");
    assert_eq!((&answer["index"], &answer["detail"]), (&json!(0), &json!(reason)), "{answer}");

    let messages = vec![message("m1", "msgpack", wishful), message("m2", "json", good)];
    Publisher::send(&world, messages).await;
    world.settled(1).await;
    let parked = parked(&world, 1).await;
    assert_eq!(parked[0]["field"], "ticket.backend");
    assert_eq!(parked[0]["reason"], reason);
    assert_eq!(parked[0]["message_id"], "m1");
    assert_eq!(world.ledger().report().tickets, 1);
    verdict::the_broker_is_empty(&world, node).await;
}

async fn parked(world: &World, rows: usize) -> Vec<Value> {
    let parked = async || {
        let parked = world.all("/api/v1/parked").await;
        (parked.len() == rows).then_some(parked)
    };
    world.until(&format!("{rows} messages are parked"), parked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_parked_whole_while_the_queue_flows_on() {
    let node = Rabbit::shared().await;
    let broker = Some((node.url(), "large".to_owned()));
    let world = World::started(Setting { broker, ..one_backend() }).await;
    let mut large = raised("probe", "L1");
    large["properties"] = json!({ "trace": "0123456789abcdef".repeat(20_000) });
    let messages = vec![
        message("m1", "json", raised("probe", "A1")),
        message("m2", "json", large.clone()),
        message("m3", "msgpack", raised("probe", "A2")),
    ];
    Publisher::send(&world, messages).await;
    world.settled(2).await;
    let row = parked(&world, 1).await.remove(0);
    assert_eq!(row["message_id"], "m2");
    assert_eq!(row["inlet"], "large.alarms.intake");
    let bytes = row["bytes"].as_u64().expect("a number");
    let reason = format!("rejected: it has {bytes} bytes; 262144 are allowed");
    assert!(row["reason"].as_str().is_some_and(|said| said.contains(&reason)), "{row}");
    let whole = world.look(&format!("/api/v1/parked/{}", row["n"])).await;
    let body = whole["body"]["text"].as_str().expect("it is text");
    assert_eq!(body.len() as u64, bytes);
    assert_eq!(serde_json::from_str::<Value>(body).expect("it is whole"), large);
    assert_eq!(world.ledger().report().tickets, 2);
    verdict::the_broker_is_empty(&world, node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_store_or_port_is_refused_with_1() {
    let world = World::started(one_backend()).await;
    let data = world.file("data").display().to_string();
    let (_, same_store) =
        serve(&format!("[store]\ndir = {data:?}\n[http]\nlisten = \"127.0.0.1:0\"\n"));
    let (_, same_port) =
        serve(&format!("[store]\ndir = \"DATA\"\n[http]\nlisten = \"{}\"\n", world.at()));
    let in_use = format!("ticketgate: the data folder {data} is in use by another service");
    let listens = format!("ticketgate: cannot listen on {}", world.at());
    for (output, reason) in [(same_store, in_use), (same_port, listens)] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&reason) && said.lines().count() == 1, "{said}");
    }
    // The first one has not noticed.
    let (status, _) = world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    assert_eq!(status, 202);
    world.settled(1).await;
}
