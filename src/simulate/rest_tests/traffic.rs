//! When calls and connections begin and end, and what a stop leaves behind.

use super::*;

#[actix::test]
async fn a_hung_call_ends_when_the_client_gives_up() {
    let world = World::with(Faults { hang_rate: 1.0, ..Faults::default() });
    let (sent, _) = tokio::join!(world.create_in_a_hurry("k1"), async {
        world.until("the call is under way", |report| report.in_flight == 1).await
    });
    assert!(sent.unwrap_err().is_timeout());
    let report = world.until("the call has ended", |report| report.in_flight == 0).await;
    assert_eq!((report.tickets, report.max_in_flight, report.faults_injected["hang"]), (1, 1, 1));
    world.until("the connection is gone", |report| report.connections == 0).await;
}

#[actix::test]
async fn a_call_whose_body_does_not_come_is_under_way_until_the_client_closes() {
    let world = World::with(Faults::default());
    let mut stream = tokio::net::TcpStream::connect(world.running.address).await.unwrap();
    let head = "POST /osb/tickets HTTP/1.1\r\nHost: sim\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    world.until("the call is under way", |report| report.in_flight == 1).await;
    drop(stream);
    let report = world.until("the call has ended", |report| report.in_flight == 0).await;
    assert_eq!(report.tickets, 0);
}

#[actix::test]
async fn calls_at_once_are_counted_by_backend_and_over_all() {
    let world = World::with(Faults { hang_rate: 1.0, ..Faults::default() });
    let other = World { running: start(RestSettings::default()).unwrap(), client: client() };
    let two = async {
        world.until("two calls are under way", |report| report.in_flight == 2).await;
    };
    tokio::select! {
        _ = world.create("k1") => panic!("the first must hang"),
        _ = world.create("k2") => panic!("the second must hang"),
        () = two => assert_eq!(world.running.ledger.report().in_flight, 2),
    }
    let report = world.until("both have ended", |report| report.in_flight == 0).await;
    assert_eq!((report.max_in_flight, report.max_connections), (2, 2));
    assert_eq!(other.running.ledger.report().max_in_flight, 0);
}

#[actix::test]
async fn a_client_that_gives_up_and_calls_again_is_never_two_calls_once_it_has_closed() {
    let world = World::with(Faults { hang_rate: 1.0, ..Faults::default() });
    let body = r#"{"correlation_key":"k1","summary":"s"}"#;
    let head = "POST /osb/tickets HTTP/1.1\r\nHost: sim\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    for number in 1..=200 {
        let mut stream = tokio::net::TcpStream::connect(world.running.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        world.until("the ticket is made", |report| report.tickets == number).await;
        drop(stream);
    }
    let report = world.until("the last has ended", |report| report.in_flight == 0).await;
    assert_eq!((report.max_in_flight, report.max_connections), (1, 1));
}

#[actix::test]
async fn a_stop_ends_hung_calls_and_writes_that_would_come_late() {
    let faults = Faults { late_apply_rate: 1.0, late_apply_ms: 60_000, ..Faults::default() };
    let world = World::with(faults);
    let World { running, client } = world;
    let ledger = running.ledger.clone();
    let ticket = json!({"correlation_key": "k1", "summary": "s"});
    let call = client.post(format!("{}/tickets", running.url("osb"))).json(&ticket).send();
    let call = actix::spawn(call);
    while ledger.report().in_flight == 0 {
        sleep(Duration::from_millis(2)).await;
    }
    timeout(Duration::from_secs(2), running.stop()).await.expect("a stop waits for nobody");
    assert!(is_lost(call.await.unwrap()));
    assert_eq!((ledger.report().tickets, ledger.report().in_flight), (0, 0));
}

#[tokio::test]
async fn it_runs_without_an_actix_system_and_frees_its_port_when_stopped() {
    let world = World::with(Faults::default());
    world.create("k1").await.unwrap();
    let World { running, .. } = world;
    let (address, ledger) = (running.address, running.ledger.clone());
    running.stop().await;
    // A client of its own: the other may still believe in the connection that it has kept.
    let gone = client().get(format!("http://{address}/ledger")).send().await;
    let error = gone.expect_err("nobody listens");
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(ledger.report().tickets, 1);
    let again = start(RestSettings { listen: address, ..RestSettings::default() }).unwrap();
    assert_eq!(again.address, address);
}
