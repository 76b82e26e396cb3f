//! SOAP: what is said, what is heard, and what is refused within bounds.

use super::*;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const SOAP: &str = r#"
    id = "soap"
    type = "soap"
    capability = "searchable"
    [soap]
    version = "1.1"
    namespaces = { t = "urn:t" }
    header = "<t:Trace>{{ request_id }}</t:Trace>"
    [read]
    ticket = "/t:Made"
    id = "t:Id"
    correlation_key = "t:Key"
    fields = { summary = "t:Summary" }
    [[failure]]
    select = "//t:Retry"
    is = ["yes"]
    means = "retryable"
    [[failure]]
    select = "//t:Retry"
    is = ["no"]
    means = "refused"
    [create]
    action = "urn:make/{{ kind }}"
    body = "<t:Make a=\"{{ fields.summary }}\"><t:Key>{{ correlation_key }}</t:Key>{{ element('t:Summary', fields.summary) }}</t:Make>"
    [search]
    body = "<t:Find>{{ correlation_key }}</t:Find>"
    read = { items = "/t:Found/t:Ticket" }
"#;

const TEXT: &str = "content-type: text/xml; charset=utf-8\r\n";

fn speaking(url: &str, more: &str) -> Arc<dyn Backend> {
    let mut table: toml::Table = SOAP.parse().unwrap();
    table.insert("base_url".to_owned(), url.to_owned().into());
    let table = crate::backends::presets::overlay(table, more.parse().unwrap());
    adapter(&load(table).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

fn envelope(body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/' xmlns:x='urn:t'><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn fault(detail: &str) -> String {
    envelope(&format!(
        "<s:Fault><faultcode>s:Server</faultcode><faultstring>words</faultstring><detail>{detail}</detail></s:Fault>"
    ))
}

#[tokio::test]
async fn an_envelope_carries_its_body_its_action_and_values_without_harm() {
    let nasty = "</t:Make> & \"x\" <!-- ]]> {{ x }}\r\n\t'é'\u{1}";
    let made = envelope("<x:Made><x:Id>7</x:Id></x:Made>");
    for (more, content_type, action) in [
        ("", "content-type: text/xml; charset=utf-8\r\n", "soapaction: \"urn:make/incident\"\r\n"),
        (
            "[soap]\nversion = '1.2'",
            "content-type: application/soap+xml; charset=utf-8; action=\"urn:make/incident\"\r\n",
            "",
        ),
    ] {
        let canned = Canned::answering(http(200, TEXT, &made)).await;
        let answer = calls(&speaking(&canned.url, more), create(nasty)).await;
        assert_eq!(kind(&answer), ("done", "7"), "{answer:?}");
        let heard = canned.heard().pop().unwrap();
        assert!(heard.contains(content_type) && heard.contains(action), "{heard}");
        let body = heard.split_once("\r\n\r\n").unwrap().1;
        // Another reader than ours finds exactly the values.
        let document = roxmltree::Document::parse(body).unwrap();
        let make =
            document.descendants().find(|node| node.has_tag_name(("urn:t", "Make"))).unwrap();
        let kept = nasty.replace('\u{1}', "\u{fffd}");
        assert_eq!(make.attribute("a"), Some(kept.as_str()));
        let summary = make.children().find(|node| node.has_tag_name(("urn:t", "Summary"))).unwrap();
        assert_eq!(summary.text(), Some(kept.as_str()));
        assert!(body.contains("<soap:Header><t:Trace>00000000"), "{body}");
    }
}

#[tokio::test]
async fn faults_and_successes_are_told_apart_whatever_their_status() {
    let made = envelope("<x:Made><x:Id>7</x:Id></x:Made>");
    let found = |tickets: &str| envelope(&format!("<x:Found>{tickets}</x:Found>"));
    for (status, body, create_is, search_is) in [
        (200, made, "done", "in doubt"),
        (200, found(""), "in doubt", "read"),
        (200, found("<x:Ticket><x:Id>1</x:Id></x:Ticket>"), "in doubt", "read"),
        (200, found("<x:Ticket/>"), "in doubt", "in doubt"),
        (200, envelope("<x:Other/>"), "in doubt", "in doubt"),
        (200, envelope(""), "in doubt", "in doubt"),
        (200, String::new(), "in doubt", "in doubt"),
        (200, "{}".to_owned(), "in doubt", "in doubt"),
        (200, "<x:Made xmlns:x='urn:t'><x:Id>7</x:Id></x:Made>".to_owned(), "in doubt", "in doubt"),
        (200, fault(""), "in doubt", "in doubt"),
        (200, fault("<x:Retry>yes</x:Retry>"), "retryable", "retryable"),
        (200, fault("<x:Retry>no</x:Retry>"), "refused", "refused"),
        (500, fault(""), "in doubt", "in doubt"),
        (500, fault("<x:Retry>yes</x:Retry>"), "retryable", "retryable"),
        (500, fault("<Retry>yes</Retry>"), "in doubt", "in doubt"),
        (500, String::new(), "in doubt", "in doubt"),
        (401, String::new(), "unauthorised", "unauthorised"),
        (404, String::new(), "refused", "refused"),
    ] {
        for (work, expected) in [(create("x"), create_is), (look(), search_is)] {
            let canned = Canned::answering(http(status, TEXT, &body)).await;
            let answer = calls(&speaking(&canned.url, ""), work).await;
            assert_eq!(kind(&answer).0, expected, "{status} {body}: {answer:?}");
        }
    }
    let canned = Canned::answering(http(500, TEXT, &fault(""))).await;
    let Answer::InDoubt(error) = calls(&speaking(&canned.url, ""), create("x")).await else {
        panic!()
    };
    assert_eq!(
        (error.code.as_deref(), error.description.as_deref()),
        (Some("s:Server"), Some("words"))
    );
}

#[tokio::test]
async fn what_is_no_honest_xml_is_in_doubt() {
    let whole = envelope("<x:Made><x:Id>7</x:Id></x:Made>");
    let attributes: String = (0..60_000).map(|n| format!(" a{n}='x'")).collect();
    let bomb = "<!DOCTYPE l [<!ENTITY a \"haha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let nested = format!("{}{}", "<x:a>".repeat(50_000), "</x:a>".repeat(50_000));
    let latin = whole.replace('7', "\u{e9}").chars().map(|c| c as u8).collect::<Vec<_>>();
    let utf_16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, body) in [
        (
            "60,000 attributes",
            envelope(&format!("<x:Made{attributes}><x:Id>7</x:Id></x:Made>")).into_bytes(),
        ),
        ("nested", envelope(&nested).into_bytes()),
        ("entities", format!("{bomb}{whole}").into_bytes()),
        ("torn", whole.as_bytes()[..whole.len() - 9].to_vec()),
        ("another charset", latin),
        ("utf-16", utf_16),
        (
            "says another charset",
            format!("<?xml version='1.0' encoding='windows-1252'?>{whole}").into_bytes(),
        ),
    ] {
        let mut answer =
            format!("HTTP/1.1 200 X\r\n{TEXT}content-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(&body);
        let canned = Canned::answering(answer).await;
        for work in [create("x"), look()] {
            let answer = calls(&speaking(&canned.url, "max_answer = '2MiB'"), work).await;
            assert_eq!(kind(&answer).0, "in doubt", "{name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_honest_json_is_in_doubt() {
    let deep = format!("{{\"id\":\"1\",\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let latin = b"{\"id\":\"1\",\"x\":\"\xE9\"}".to_vec();
    let utf_16: Vec<u8> = "{\"id\":\"1\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, body) in [
        ("nested", deep.into_bytes()),
        ("another charset", latin),
        ("utf-16", utf_16),
        ("torn", b"{\"id\":\"1\"".to_vec()),
        ("trailing", b"{\"id\":\"1\"}{}".to_vec()),
    ] {
        let mut answer =
            format!("HTTP/1.1 201 X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(&body);
        let canned = Canned::answering(answer).await;
        for work in [create("x"), look()] {
            let answer = calls(&adapter(&simulated(&canned.url, "")), work).await;
            assert_eq!(kind(&answer).0, "in doubt", "{name}: {answer:?}");
        }
    }
}

/// A hundred MiB, in JSON and in XML, and never held in one place.
#[tokio::test]
async fn an_endless_body_is_left_at_its_limit() {
    const CHUNK: &[u8] = &[b' '; 64 * 1024];
    const CHUNKS: usize = 1_600;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut said = Vec::new();
            while !is_whole(&said) && socket.read_buf(&mut said).await.unwrap_or(0) > 0 {}
            let head =
                format!("HTTP/1.1 200 X\r\n{TEXT}content-length: {}\r\n\r\n", CHUNKS * CHUNK.len());
            if socket.write_all(head.as_bytes()).await.is_err() {
                continue;
            }
            for _ in 0..CHUNKS {
                if socket.write_all(CHUNK).await.is_err() {
                    break;
                }
                counter.fetch_add(CHUNK.len(), Ordering::Relaxed);
            }
        }
    });
    let rest = adapter(&simulated(&url, ""));
    for backend in [speaking(&url, ""), rest] {
        sent.store(0, Ordering::Relaxed);
        let answer = calls(&backend, create("x")).await;
        let (kind, reason) = kind(&answer);
        assert!(kind == "in doubt" && reason.contains("max_answer"), "{answer:?}");
        // What the sockets hold besides.
        assert!(sent.load(Ordering::Relaxed) < 32 * 1024 * 1024, "the rest is never taken");
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_not_sent() {
    let canned = Canned::answering(http(200, TEXT, "")).await;
    let backend = speaking(
        &canned.url,
        "capability = 'none'\n[create]\nbody = '<t:A>{{ fields.x | safe }}{{ fields.y }}</t:A>'",
    );
    for (x, y, says) in [("<t:open>", json!("y"), "envelope"), ("", json!(null), "missing")] {
        let given = fields(json!({ "x": x, "y": y }));
        let work = Work::Create { ticket: target(None), fields: given };
        let answer = calls(&backend, work).await;
        let (kind, reason) = kind(&answer);
        assert!(kind == "refused" && reason.contains(says), "{answer:?}");
    }
    assert!(canned.heard().is_empty());
}
