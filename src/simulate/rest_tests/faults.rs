//! Each fault, as it looks to a client and in the ledger.

use super::*;

#[actix::test]
async fn faults_before_the_work_answer_and_do_nothing() {
    let world = World::with(Faults::default());
    for (faults, name, status, retry_after) in [
        (Faults { busy_rate: 1.0, ..Faults::default() }, "busy", 503, true),
        (Faults { too_many_rate: 1.0, ..Faults::default() }, "too_many", 429, true),
        (Faults { error_before_rate: 1.0, ..Faults::default() }, "error_before", 500, false),
        (Faults { html_rate: 1.0, ..Faults::default() }, "html", 200, false),
        (Faults { unauthorised: true, ..Faults::default() }, "unauthorised", 401, false),
    ] {
        world.set(faults);
        let answer = world.create("k1").await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}");
        assert_eq!(answer.headers().contains_key("Retry-After"), retry_after, "{name}");
        let html = answer.headers()["Content-Type"].to_str().unwrap().starts_with("text/html");
        assert_eq!(html, name == "html", "{name}");
        assert_eq!(answer.text().await.unwrap().contains(r#""code":"busy""#), name == "busy");
        let report = world.report();
        assert_eq!((report.tickets, report.faults_injected[name]), (0, 1), "{name}");
    }
}

#[actix::test]
async fn an_error_after_the_work_leaves_a_ticket() {
    let world = World::with(Faults { error_after_rate: 1.0, ..Faults::default() });
    let status = world.create("k1").await.unwrap().status().as_u16();
    assert!([500, 504].contains(&status), "{status}");
    assert_eq!(world.search("correlation_key=k1").await["tickets"][0]["id"], "OSB-1");
    assert_eq!(world.report().faults_injected["error_after"], 1);
}

#[actix::test]
async fn a_lost_answer_is_an_error_to_the_client_and_leaves_a_ticket() {
    let world = World::with(Faults { lost_answer_rate: 1.0, ..Faults::default() });
    assert!(is_lost(world.create("k1").await));
    let report = world.report();
    assert_eq!((report.tickets, report.in_flight, report.connections), (1, 0, 0));
    // On the next connection, and on one that has carried a call before.
    assert_eq!(world.search("correlation_key=k1").await["tickets"][0]["id"], "OSB-1");
    assert!(is_lost(world.update("OSB-1", json!({"note": "x"})).await));
    assert_eq!(world.search("note=x").await["tickets"][0]["id"], "OSB-1");
    let report = world.report();
    assert_eq!(report.faults_injected["lost_answer"], 2);
    assert_eq!((report.max_in_flight, report.max_connections), (1, 1));
}

#[actix::test]
async fn a_lost_answer_has_not_one_byte() {
    let world = World::with(Faults { lost_answer_rate: 1.0, ..Faults::default() });
    let mut stream = tokio::net::TcpStream::connect(world.running.address).await.unwrap();
    let body = r#"{"correlation_key":"k1","summary":"s"}"#;
    let head = "POST /osb/tickets HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it must close");
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(world.report().tickets, 1);
}

#[actix::test]
async fn a_late_write_lands_after_the_client_has_gone() {
    let late_apply_ms = 1_500;
    let faults = Faults { late_apply_rate: 1.0, late_apply_ms, ..Faults::default() };
    let world = World::with(faults);
    assert!(world.create_in_a_hurry("k1").await.unwrap_err().is_timeout());
    let report = world.until("the call has ended", |report| report.in_flight == 0).await;
    assert_eq!(report.tickets, 0);
    assert_eq!(world.search("correlation_key=k1").await["tickets"], json!([]));
    world.until("the write lands", |report| report.tickets == 1).await;
    let list = world.running.ledger.report_with_tickets("osb").unwrap().ticket_list.unwrap();
    assert!(list[0].history[0].at_ms >= late_apply_ms);
}

#[actix::test]
async fn latency_holds_every_answer_and_what_was_begun_is_done() {
    let world = World::with(Faults { latency_ms: 60, latency_jitter_ms: 20, ..Faults::default() });
    let began = Instant::now();
    assert_eq!(world.create("k1").await.unwrap().status(), StatusCode::CREATED);
    assert!(began.elapsed() >= Duration::from_millis(60));

    world.set(Faults { latency_ms: 800, ..Faults::default() });
    assert!(world.create_in_a_hurry("k2").await.unwrap_err().is_timeout());
    world.until("the second is made, client or not", |report| report.tickets == 2).await;
}

#[actix::test]
async fn a_search_lags_behind_while_a_look_by_id_does_not() {
    let world = World::with(Faults { index_lag_ms: 60_000, ..Faults::default() });
    world.create("k1").await.unwrap();
    assert_eq!(world.search("correlation_key=k1").await["tickets"], json!([]));
    let got = world.client.get(format!("{}/OSB-1", world.tickets())).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::OK);
    assert_eq!(world.report().faults_injected["index_lag"], 1);
    world.set(Faults::default());
    assert_eq!(world.search("correlation_key=k1").await["tickets"][0]["id"], "OSB-1");
}

#[actix::test]
async fn a_backend_that_is_down_closes_and_the_others_go_on() {
    let world = World::with(Faults::default());
    world.create("k1").await.unwrap();
    world.set(Faults { down: true, ..Faults::default() });
    assert!(is_lost(world.create("k2").await));
    assert!(is_lost(world.create("k2").await));
    let other = format!("{}/tickets", world.running.url("usms"));
    assert_eq!(world.client.get(other).send().await.unwrap().status(), StatusCode::OK);
    world.set(Faults::default());
    assert_eq!(world.create("k2").await.unwrap().status(), StatusCode::CREATED);
    let report = world.report();
    assert_eq!((report.tickets, report.faults_injected["down"]), (2, 2));
}

#[actix::test]
async fn a_poison_ticket_is_refused_made_or_changed() {
    let poison = Some("link".to_owned());
    let world = World::with(Faults::default());
    world.create("k1").await.unwrap();
    world.set(Faults { reject_summary_containing: poison, ..Faults::default() });
    let (status, body) = status_and_body(world.create("k2").await).await;
    assert_eq!((status, &body["error"]["field"]), (422, &json!("summary")));
    assert_eq!(world.update("OSB-1", json!({"note": "x"})).await.unwrap().status().as_u16(), 422);
    let repaired = world.update("OSB-1", json!({"summary": "fine"})).await.unwrap();
    assert_eq!(repaired.status(), StatusCode::OK);
    assert_eq!(world.report().faults_injected["reject_summary"], 2);
}

#[actix::test]
async fn faults_are_changed_at_run_time_for_one_and_for_all() {
    let world = World::with(Faults::default());
    let one = format!("{}/faults", world.running.url("osb"));
    let all = format!("http://{}/faults", world.running.address);
    let set = json!({"busy_rate": 1.0, "latency_ms": 5});
    let (status, faults) = status_and_body(world.client.put(&one).json(&set).send().await).await;
    assert_eq!((status, &faults["busy_rate"], &faults["down"]), (200, &json!(1.0), &json!(false)));
    assert_eq!(world.create("k1").await.unwrap().status().as_u16(), 503);

    let patch = json!({"busy_rate": 0.0});
    let merged = status_and_body(world.client.patch(&one).json(&patch).send().await).await.1;
    assert_eq!((&merged["busy_rate"], &merged["latency_ms"]), (&json!(0.0), &json!(5)));
    let down = json!({"down": true});
    assert_eq!(world.client.put(&all).json(&down).send().await.unwrap().status().as_u16(), 200);
    let now: Faults = world.client.get(&one).send().await.unwrap().json().await.unwrap();
    assert_eq!(now, Faults { down: true, ..Faults::default() });

    for wrong in [json!({"busy_rate": 2}), json!({"bussy_rate": 0.1}), json!([])] {
        let refused = world.client.put(&one).json(&wrong).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 422, "{wrong}");
    }
}
