//! Calls to a service of a backend's table: its address, its user, its time-out.

use super::*;
use ticketgate_actors::model::Service;

fn service(url: &str, path: &str) -> Service {
    let url: reqwest::Url = url.parse().unwrap();
    Service {
        name: "two".to_owned(),
        host: url.host_str().unwrap().to_owned(),
        port: url.port().unwrap(),
        path: path.to_owned(),
        tls: false,
        user: None,
        timeout: None,
    }
}

const BASIC: &str = "[auth]\ntype = 'basic'\nuser = 'own'\npassword = 'secret'";

#[tokio::test]
async fn a_call_goes_to_its_service_and_no_other_call_does() {
    let made = serde_json::json!({"id": "X-1", "status": "open"});
    let own = Canned::with_json(201, &made.to_string()).await;
    let two = Canned::with_json(201, &made.to_string()).await;
    let backend = adapter(&simulated(&own.url, BASIC));
    let service = Service { user: Some("other".to_owned()), ..service(&two.url, "/deeper") };
    backend.check_service(&service).unwrap();
    let to_two = Call { service: Some(Box::new(service)), ..call(create("s")) };
    let heard = backend.call(to_two).await;
    assert_eq!((kind(&heard.answer).0, heard.http_status), ("done", Some(201)));
    backend.call(call(create("s"))).await;
    let (own, two) = (own.heard(), two.heard());
    assert_eq!(lines(&two), ["POST /deeper/tickets"]);
    assert_eq!(lines(&own), ["POST /api/tickets"]);
    let sign_in = |said: &str| {
        let line = said.lines().find(|line| line.to_lowercase().starts_with("authorization"));
        line.unwrap().split(' ').next_back().unwrap().to_owned()
    };
    let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    assert_eq!(sign_in(&own[0]), base64("own:secret"));
    assert_eq!(sign_in(&two[0]), base64("other:secret"));
}

#[tokio::test]
async fn a_services_time_out_may_be_shorter_than_the_backends() {
    let (listener, url) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    };
    let backend = adapter(&simulated(&url, ""));
    let quick = Service { timeout: Some(SHORT), ..service(&url, "") };
    let heard = backend.call(Call { service: Some(Box::new(quick)), ..call(create("s")) });
    // The backend's own time-out is longer than that.
    let heard = tokio::time::timeout(PATIENCE, heard).await.expect("it is given up in time");
    assert_eq!(kind(&heard.answer).0, "in doubt", "{heard:?}");
    drop(listener);
}

#[tokio::test]
async fn what_a_service_cannot_be_is_told_by_its_field() {
    let backend = adapter(&simulated("http://127.0.0.1:1/x", ""));
    let good = service("http://127.0.0.1:1", "");
    assert_eq!(backend.check_service(&good), Ok(()));
    for (service, field) in [
        (Service { host: "a b".to_owned(), ..good.clone() }, "host"),
        (Service { user: Some("x".to_owned()), ..good.clone() }, "user"),
        (Service { timeout: Some(Duration::from_secs(3_600)), ..good.clone() }, "timeout"),
    ] {
        assert_eq!(backend.check_service(&service).map_err(|it| it.0), Err(field));
    }
    // Over TLS, though the backend itself is not.
    let tls = Service { tls: true, ..good };
    let heard = backend.call(Call { service: Some(Box::new(tls)), ..call(create("s")) }).await;
    assert_eq!(kind(&heard.answer).0, "not sent", "{heard:?}");
}
