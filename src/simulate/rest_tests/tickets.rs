//! Tickets and the ledger of a system that behaves.

use super::*;

#[actix::test]
async fn a_ticket_is_made_changed_found_and_closed() {
    let world = World::with(Faults::default());
    let (status, ticket) = status_and_body(world.create("k1").await).await;
    assert_eq!(status, 201);
    assert_eq!(ticket["id"], "OSB-1");
    assert_eq!(ticket["status"], "open");
    assert_eq!(ticket["severity"], 2);
    assert_eq!(ticket["url"], format!("{}/OSB-1", world.tickets()));

    let changes = json!({"severity": 1, "revision": 2});
    let (status, ticket) = status_and_body(world.update("OSB-1", changes).await).await;
    assert_eq!(
        (status, &ticket["severity"], &ticket["summary"]),
        (200, &json!(1), &json!("link down"))
    );
    let closed = world.update("OSB-1", json!({"status": "closed", "revision": 3})).await;
    assert_eq!(status_and_body(closed).await.1["status"], "closed");

    let got: Value = world
        .client
        .get(ticket["url"].as_str().unwrap())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(got["status"], "closed");
    let found = world.search("correlation_key=k1&limit=5").await;
    assert_eq!((found["tickets"].as_array().unwrap().len(), &found["more"]), (1, &json!(false)));
    assert_eq!(world.search("correlation_key=k1&status=open").await["tickets"], json!([]));
    assert_eq!(status_and_body(world.update("OSB-9", json!({})).await).await.0, 404);

    let report = world.report();
    assert_eq!((report.tickets, report.by_state["closed"], report.max_in_flight), (1, 1, 1));
    let calls = report.calls;
    assert_eq!((calls.create, calls.update, calls.get, calls.search), (1, 3, 1, 2));
    assert!(report.order_faults.is_empty() && report.duplicates.is_empty());
}

#[actix::test]
async fn a_ticket_without_key_or_summary_is_refused_by_field() {
    let world = World::with(Faults::default());
    for (body, expected, field) in [
        (r#"{"summary": "s"}"#, 422, json!("correlation_key")),
        (r#"{"correlation_key": "k"}"#, 422, json!("summary")),
        ("[1]", 400, Value::Null),
        ("no json", 400, Value::Null),
    ] {
        let sent = world.client.post(world.tickets()).body(body).send().await;
        let (status, answer) = status_and_body(sent).await;
        assert_eq!((status, &answer["error"]["field"]), (expected, &field), "{body}");
    }
    assert_eq!(world.report().tickets, 0);
}

#[actix::test]
async fn duplicates_and_broken_order_are_in_the_ledger() {
    let world = World::with(Faults::default());
    for key in ["k1", "k1", "k2"] {
        world.create(key).await.unwrap();
    }
    for changes in [
        json!({"revision": 5}),
        json!({"revision": 4}),
        json!({"status": "closed"}),
        json!({"note": "x"}),
    ] {
        world.update("OSB-1", changes).await.unwrap();
    }
    let url = format!("http://{}/ledger?tickets=true", world.running.address);
    let all: Report = world.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(all.duplicates, ["k1"]);
    let rules: Vec<_> = all.order_faults.iter().map(|fault| fault.rule).collect();
    assert_eq!(rules, [OrderRule::OlderRevision, OrderRule::AfterClose]);
    let tickets = all.backends["osb"].ticket_list.as_ref().unwrap();
    assert_eq!(tickets.len(), 3);
    let statuses: Vec<_> = tickets[0].history.iter().map(|since| since.status.as_str()).collect();
    assert_eq!(statuses, ["open", "closed"]);
    assert!(world.report().ticket_list.is_none());
}

#[actix::test]
async fn without_the_token_nothing_is_done_and_the_ledger_stays_open() {
    let token = Some("T".into());
    let world = World::start(RestSettings { token, ..RestSettings::default() });
    assert_eq!(world.create("k1").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let wrong = world.client.get(world.tickets()).bearer_auth("X").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let right = world.client.get(world.tickets()).bearer_auth("T").send().await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
    let url = format!("{}/ledger", world.running.url("osb"));
    let report: Report = world.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!((report.unauthorised, report.tickets), (2, 0));
}

#[actix::test]
async fn only_the_given_backends_exist() {
    let backends = vec!["a".to_owned()];
    let world = World::start(RestSettings { backends, ..RestSettings::default() });
    let (status, body) = status_and_body(world.create("k1").await).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("unknown_backend")));
}

#[actix::test]
async fn an_idempotency_key_counts_only_where_it_is_honoured() {
    let world = World::with(Faults::default());
    let send = || async {
        let ticket = json!({"correlation_key": "k1", "summary": "s"});
        let call = world.client.post(world.tickets()).header("Idempotency-Key", "i1").json(&ticket);
        status_and_body(call.send().await).await
    };
    assert_eq!((send().await.0, send().await.0), (201, 201));
    world.set(Faults { idempotent: true, ..Faults::default() });
    assert_eq!(send().await.1["id"], "OSB-3");
    let (status, repeated) = send().await;
    assert_eq!((status, &repeated["id"]), (200, &json!("OSB-3")));
    assert_eq!(world.report().tickets, 3);
}
