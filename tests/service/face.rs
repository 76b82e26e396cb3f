//! The HTTP face, and the command line that asks it.

use crate::alarms::raised;
use crate::process;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

async fn world() -> World {
    let backends = vec![("crm", Faults::default(), "")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    World::started(Setting { backends, config, ..Setting::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_posted_one_or_many_and_all_or_none_are_taken() {
    let world = world().await;
    let one = raised("probe", "A1").to_string();
    let (status, answer) = world.post("/api/v1/alarms", one.clone()).await;
    assert_eq!((status, answer), (202, json!({ "accepted": 1, "repeats": 0 })));
    let (status, answer) = world.post("/api/v1/alarms", one).await;
    assert_eq!((status, answer), (202, json!({ "accepted": 0, "repeats": 1 })));

    let many = json!([raised("probe", "A2"), raised("probe", "A3"), raised("probe", "A1")]);
    let (status, answer) = world.post("/api/v1/alarms", many.to_string()).await;
    assert_eq!((status, answer), (202, json!({ "accepted": 2, "repeats": 1 })));

    let mut bad = raised("probe", "A5");
    bad["severity"] = json!("awful");
    let (status, answer) =
        world.post("/api/v1/alarms", json!([raised("probe", "A4"), bad]).to_string()).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!((&answer["index"], &answer["field"]), (&json!(1), &json!("severity")), "{answer}");
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("\"awful\" is not one of: critical, major"), "{answer}");

    for (body, index) in [("", 0), ("[", 0), ("[1]", 0), ("{\"id\":", 0)] {
        let (status, answer) = world.post("/api/v1/alarms", body).await;
        assert_eq!((status, &answer["index"]), (400, &json!(index)), "{body:?}: {answer}");
    }
    world.settled(3).await;
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create), (3, 3), "A4 came with a bad neighbour");
    let (status, answer) = world.get("/api/v1/alarms/probe/A4").await;
    assert_eq!(status, 404, "{answer}");
    assert_eq!(world.look("/api/v1/alarms/probe/A3").await["state"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_every_step_with_its_time_and_every_decision_with_its_reason() {
    let world = world().await;
    let mut event = raised("probe", "A1");
    world.post("/api/v1/alarms", event.to_string()).await;
    world.settled(1).await;
    event["state"] = json!("updated");
    event["text"] = json!("worse");
    event["changed_at"] = json!("2026-11-21T10:00:01Z");
    world.post("/api/v1/alarms", event.to_string()).await;
    let worse = async || {
        let tickets = world.ledger().report_with_tickets("crm").ok()?.ticket_list?;
        (tickets.first()?.revision? == 2).then_some(())
    };
    world.until("the update has reached the backend", worse).await;
    event["state"] = json!("cleared");
    event["changed_at"] = json!("2026-11-21T10:00:02Z");
    world.post("/api/v1/alarms", event.to_string()).await;
    let closed = async || world.ledger().report().by_state.get("closed").copied();
    world.until("the ticket is closed", closed).await;
    world.settled(1).await;

    let explained = world.explain("probe", "A1").await;
    let verdict = explained["verdict"].as_str().unwrap_or_default();
    assert!(verdict.contains("at crm, closed"), "{explained:#}");
    let occurrence = &explained["occurrences"][0];
    let operations: Vec<_> =
        occurrence["requests"].as_array().into_iter().flatten().map(|one| &one["op"]).collect();
    assert_eq!(operations, ["create", "update", "close"], "{explained:#}");
    let steps = occurrence["steps"].as_array().expect("steps");
    let text = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let mut before = String::new();
    for step in steps {
        let at = text(step, "at");
        assert!(at.len() == 24 && at.ends_with('Z') && at >= before, "{step} after {before}");
        // A fact from outside needs no reason; whatever was decided here has one.
        let what = text(step, "what");
        let facts =
            ["attempt 1 is being sent", "done by the backend as CRM-1", "updated", "cleared"];
        assert!(facts.contains(&what.as_str()) || !text(step, "why").is_empty(), "{step}");
        before = at;
    }
    for event in ["created (sequence 1)", "updated (sequence 2)", "closed (sequence 3)"] {
        let what = format!("event {event}");
        let told = steps.iter().any(|step| {
            text(step, "what") == what && text(step, "why").starts_with("confirmed by the bus")
        });
        assert!(told, "{what} is not told: {steps:#?}");
    }

    // The same on the command line.
    let url = world.url();
    let table = process::run(&["explain", "probe", "A1", "--url", &url]);
    let said = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    assert!(said.starts_with(&format!("probe/A1: {verdict}")), "{said}");
    assert!(said.contains("closed (sequence 3)"), "{said}");
    let whole = process::run(&["explain", "probe", "A1", "--json", "--url", &url]);
    let whole: Value = serde_json::from_slice(&whole.stdout).expect("it is JSON");
    assert_eq!(whole, explained);
    let unknown = process::run(&["explain", "probe", "nobody", "--url", &url]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("no event of alarm probe/nobody has ever arrived here"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_show_what_was_done() {
    let world = world().await;
    let (status, _) = world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    assert_eq!(status, 202);
    world.settled(1).await;
    let (_, text) = world.get("/metrics").await;
    for line in [
        "ticketgate_alarms 1",
        "ticketgate_alarms_unsettled 0",
        "ticketgate_tickets 1",
        "ticketgate_events_unsent 0",
        "ticketgate_parked_messages 0",
        "ticketgate_requests{backend=\"crm\",state=\"done\"} 1",
        "ticketgate_requests{backend=\"crm\",state=\"intent\"} 0",
        "ticketgate_backend_calls_total{backend=\"crm\"} 1",
        "ticketgate_lane_held{backend=\"crm\"} 0",
        "ticketgate_clients_locked 0",
        "ticketgate_clients_waiting 0",
        "ticketgate_events_accepted_total 1",
        "ticketgate_events_repeated_total 0",
        "ticketgate_messages_parked_total 0",
        "ticketgate_events_published_total 1",
        "ticketgate_bus_connected 1",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
    }
    let foreign = text.lines().find(|line| {
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("ticketgate_")
    });
    assert_eq!(foreign, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_level_changes_while_the_service_runs() {
    let world = world().await;
    let lines = || world.log().lines().count();
    let set = async |level: &str| {
        let body = json!({ "level": level }).to_string();
        world.post("/api/v1/config/log-level", body).await
    };
    let made = async |id: &str, all: usize| {
        world.post("/api/v1/alarms", raised("probe", id).to_string()).await;
        world.settled(all).await;
    };
    assert_eq!(set("error").await.0, 200);
    let quiet = lines();
    made("A1", 1).await;
    assert_eq!(lines(), quiet, "{}", world.log());
    assert_eq!(set("info,ticketgate=debug").await.0, 200);
    made("A2", 2).await;
    let told = async || world.log().contains("a request ended").then_some(());
    world.until("the log tells of the request", told).await;

    let (status, answer) = set("a=b=c").await;
    assert_eq!((status, &answer["field"]), (400, &json!("level")), "{answer}");
    let (status, answer) = world.post("/api/v1/config/log-level", "{\"lvl\":1}").await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_nobody_else_gets_more_than_whether_the_service_is_well() {
    const TOKEN: &str = "correct-horse-battery-staple";
    let backends = vec![("crm", Faults::default(), "")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    let mut world = World::prepared(Setting { backends, config, ..Setting::default() }).await;
    let file = world.file("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("the token's file");
    let with_token = format!("[http]\ntoken_file = {file:?}\n");
    world.change_config("[http]\n", &with_token);
    world.start().await;

    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
    let closed = ["/", "/metrics", "/api/v1/alarms", "/api/v1/nothing", "/nothing", "/healthz/x"];
    for path in closed {
        let (status, text) = world.get(path).await;
        let problem: Value = serde_json::from_str(&text).expect("a problem detail");
        assert_eq!((status, &problem["status"]), (401, &json!(401)), "{path}: {text}");
    }
    let event = raised("probe", "A1").to_string();
    assert_eq!(world.post("/api/v1/alarms", event.clone()).await.0, 401);

    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let post = async |token: &str| {
        let request = http.post(world.url() + "/api/v1/alarms").bearer_auth(token);
        let answer = request.body(event.clone()).send().await.expect("an answer");
        let asks = answer.headers().get("www-authenticate").is_some();
        (answer.status().as_u16(), asks)
    };
    assert_eq!(post("correct-horse-battery-stapler").await, (401, true));
    assert_eq!(post(TOKEN).await, (202, false));

    let explain = |name: &str, value: &str| {
        let mut command = process::ticketgate();
        command.args(["explain", "probe", "A1", "--url", &world.url()]).env(name, value);
        command.output().expect("the binary starts")
    };
    let file = file.to_string_lossy().into_owned();
    for (name, value) in [("TICKETGATE_TOKEN", TOKEN), ("TICKETGATE_TOKEN_FILE", &file)] {
        let told = explain(name, value);
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success() && said.starts_with("probe/A1: "), "{said}");
    }
    let refused = explain("TICKETGATE_TOKEN", "not-the-token");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the service does not know the token that was brought"), "{said}");
    assert!(said.contains("TICKETGATE_TOKEN_FILE"), "{said}");
    assert!(process::run(&["health", "--url", &world.url()]).status.success());
    assert!(!world.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_on_the_command_line_tells_by_its_exit_code() {
    let mut world = world().await;
    let url = world.url();
    let well = process::run(&["health", "--url", &url]);
    let said: Value = serde_json::from_slice(&well.stdout).expect("it is JSON");
    assert_eq!((well.status.code(), &said["status"]), (Some(0), &json!("ready")));
    assert!(world.stop().await.success());
    for args in [&["health"][..], &["explain", "probe", "A1"]] {
        let gone = process::run(&[args, &["--url", &url]].concat());
        let said = String::from_utf8_lossy(&gone.stderr).into_owned();
        assert_eq!(gone.status.code(), Some(1), "{said}");
        assert!(said.contains("no service answers at"), "{said}");
    }
}
