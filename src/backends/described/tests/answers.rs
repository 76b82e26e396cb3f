//! What every answer means, by hand.

use super::*;
use serde_json::json;
use ticketgate_actors::model::TicketStatus;

const HTML: &str = "content-type: text/html; charset=utf-8\r\n";
const JSON: &str = "content-type: application/json\r\n";

async fn answer_to(work: Work, answer: Vec<u8>, more: &str) -> Answer {
    let canned = Canned::answering(answer).await;
    let answer = calls(&adapter(&simulated(&canned.url, more)), work).await;
    assert_eq!(canned.heard().len(), 1, "one call, whatever the answer");
    answer
}

/// A write in doubt is compared with what a get shows: a field that is not in that was not written.
#[tokio::test]
async fn a_get_shows_every_field_that_is_read_and_other_answers_only_what_they_say() {
    let ticket = || http(200, JSON, r#"{"id":"1","status":"open"}"#);
    let Answer::Read(reading) = answer_to(get("1"), ticket(), "").await else { panic!("a get") };
    assert_eq!(reading.tickets[0].fields.get("summary"), Some(&json!(null)));
    let Answer::Done(found) = answer_to(create("x"), ticket(), "").await else { panic!("done") };
    assert_eq!(found.fields.get("summary"), None);
}

#[tokio::test]
async fn undescribed_answers_are_judged_to_be_safe() {
    let ticket = r#"{"id":"1","status":"open"}"#;
    let redirect = "location: /login\r\n";
    let date = "retry-after: Fri, 15 Jan 2027 08:00:09 GMT\r\n";
    for (status, headers, body, create_is, update_is, get_is, search_is) in [
        (201, JSON, ticket, "done", "done", "read", "in doubt"),
        (200, "", ticket, "done", "done", "read", "in doubt"),
        (202, JSON, ticket, "in doubt", "done", "read", "in doubt"),
        (200, JSON, "{}", "in doubt", "done", "in doubt", "in doubt"),
        (200, JSON, r#"{"id":null}"#, "in doubt", "done", "in doubt", "in doubt"),
        (200, JSON, r#"{"tickets":[]}"#, "in doubt", "done", "in doubt", "read"),
        (200, JSON, r#"{"tickets":{}}"#, "in doubt", "done", "in doubt", "in doubt"),
        (200, JSON, r#"{"tickets":[{"a":1}]}"#, "in doubt", "done", "in doubt", "in doubt"),
        (204, "", "", "in doubt", "done", "in doubt", "in doubt"),
        (200, HTML, "<html>", "in doubt", "in doubt", "in doubt", "in doubt"),
        (200, JSON, "oops", "in doubt", "in doubt", "in doubt", "in doubt"),
        (302, redirect, "", "in doubt", "in doubt", "in doubt", "in doubt"),
        (307, redirect, "", "in doubt", "in doubt", "in doubt", "in doubt"),
        (304, "", "", "in doubt", "in doubt", "in doubt", "in doubt"),
        (400, JSON, "{}", "refused", "refused", "refused", "refused"),
        (401, "", "", "unauthorised", "unauthorised", "unauthorised", "unauthorised"),
        (403, JSON, "{}", "unauthorised", "unauthorised", "unauthorised", "unauthorised"),
        (404, "", "", "refused", "refused", "read", "refused"),
        (404, HTML, "<html>", "refused", "refused", "in doubt", "refused"),
        (407, "", "", "unauthorised", "unauthorised", "unauthorised", "unauthorised"),
        (408, "", "", "in doubt", "in doubt", "in doubt", "in doubt"),
        (409, "", "", "refused", "refused", "refused", "refused"),
        (429, "", "", "busy", "busy", "busy", "busy"),
        (429, date, "", "busy", "busy", "busy", "busy"),
        (500, JSON, "{}", "in doubt", "in doubt", "in doubt", "in doubt"),
        (502, HTML, "<html>", "in doubt", "in doubt", "in doubt", "in doubt"),
        (503, "retry-after: 1\r\n", "", "in doubt", "in doubt", "in doubt", "in doubt"),
    ] {
        for (work, expected) in [
            (create("x"), create_is),
            (update("1", "x"), update_is),
            (get("1"), get_is),
            (look(), search_is),
        ] {
            let name = format!("{status} {headers:?} {body} to {work:?}");
            let answer = answer_to(work, http(status, headers, body), "").await;
            assert_eq!(kind(&answer).0, expected, "{name}: {answer:?}");
            if let Answer::Busy { retry_after, .. } = answer {
                // The clock stands at 2027-01-15T08:00:00Z.
                let seconds = (!headers.is_empty()).then_some(9);
                assert_eq!(retry_after.map(|span| span.as_secs()), seconds, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_cut_too_long_or_no_http_is_in_doubt() {
    let ticket = r#"{"id":"1"}"#;
    let mut cut = http(201, JSON, ticket);
    cut.truncate(cut.len() - 3);
    let chunks = "transfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n";
    let long = format!(r#"{{"id":"1","more":"{}"}}"#, "x".repeat(70_000));
    for (name, answer, says) in [
        ("cut", cut, "cut"),
        ("cut chunks", format!("HTTP/1.1 201 X\r\n{chunks}").into_bytes(), "cut"),
        ("cut head", b"HTTP/1.1 201 X\r\ncontent-".to_vec(), "no answer"),
        ("nothing", Vec::new(), "no answer"),
        ("no http", b"SSH-2.0-x\r\n".to_vec(), "no answer"),
        ("too long", http(201, JSON, &long), "65536 bytes"),
        ("a refusal, too long", http(422, JSON, &long), "65536 bytes"),
    ] {
        for work in [create("x"), get("1")] {
            let answer = answer_to(work, answer.clone(), "max_answer = '64KiB'").await;
            let (kind, reason) = kind(&answer);
            assert!(kind == "in doubt" && reason.contains(says), "{name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn described_failures_come_first() {
    let failures = r#"
        [[failure]]
        status = [500]
        means = "in_doubt"
        [[failure]]
        status = [403]
        when_body_contains = "queue"
        means = "refused"
        [[failure]]
        when_body_contains = "session"
        means = "unauthorised"
        [[create.failure]]
        status = [500]
        when_body_contains = "lock"
        means = "retryable"
        [[create.failure]]
        status = [200]
        when_body_contains = "isn't a valid status"
        means = "refused"
        [[get.failure]]
        status = [400]
        means = "absent"
        [[failure]]
        status = [410]
        means = "absent"
    "#;
    for (status, body, create_is, get_is) in [
        (500, "a lock", "retryable", "in doubt"),
        (500, "", "in doubt", "in doubt"),
        (403, "no such queue", "refused", "refused"),
        (403, "", "unauthorised", "unauthorised"),
        (200, "your session ended", "unauthorised", "unauthorised"),
        (200, r#"["x isn't a valid status"]"#, "refused", "in doubt"),
        (400, "", "refused", "read"),
        (410, "", "refused", "read"),
    ] {
        for (work, expected) in [(create("x"), create_is), (get("1"), get_is)] {
            let answer = answer_to(work, http(status, "", body), failures).await;
            assert_eq!(kind(&answer).0, expected, "{status} {body}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn success_is_what_the_description_says() {
    let more = r#"
        [update.success]
        status = [200, 409]
        required = ["$.ok"]
        [close.success]
        any_body = true
    "#;
    let close = Work::Close { ticket: target(Some("1")), fields: Fields::new() };
    for (work, status, body, expected) in [
        (update("1", "x"), 200, r#"{"ok":true}"#, "done"),
        (update("1", "x"), 409, r#"{"ok":1}"#, "done"),
        (update("1", "x"), 200, r#"{"ok":null}"#, "in doubt"),
        (update("1", "x"), 200, "", "in doubt"),
        (update("1", "x"), 201, r#"{"ok":true}"#, "in doubt"),
        (update("1", "x"), 409, "{}", "refused"),
        (close.clone(), 200, "closed, thank you", "done"),
        (close, 500, "", "in doubt"),
    ] {
        let answer = answer_to(work, http(status, "", body), more).await;
        assert_eq!(kind(&answer).0, expected, "{status} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn ids_may_be_numbers_and_parts_lie_deep() {
    let more = r#"
        [read]
        id = "$.issue.id"
        status = "$.issue.status.id"
        fields = { summary = "$.issue.subject", site = "$.issue.cf[?@.id==3].value", none = "$.x" }
        [statuses]
        5 = "closed"
    "#;
    let issue = json!({"issue": {
        "id": 4711, "status": {"id": 5}, "subject": "s",
        "cf": [{"id": 2, "value": "a"}, {"id": 3, "value": "b"}],
    }});
    let answer = answer_to(create("x"), http(201, JSON, &issue.to_string()), more).await;
    let Answer::Done(found) = answer else { panic!("{answer:?}") };
    assert_eq!((found.backend_id.as_str(), found.status), ("4711", Some(TicketStatus::Closed)));
    assert_eq!(found.backend_status.as_deref(), Some("5"));
    assert_eq!(found.fields, fields(json!({"summary": "s", "site": "b"})));
}

#[tokio::test]
async fn a_search_says_whether_there_is_more() {
    let list = |count: usize, rest: &str| {
        let items: Vec<_> = (1..=count).map(|id| json!({"id": id})).collect();
        let mut body = json!({ "tickets": items });
        body.as_object_mut().unwrap().extend(fields(rest.parse().unwrap()));
        http(200, JSON, &body.to_string())
    };
    let total = "[search.read]\nitems = '$.tickets[*]'\ntotal = '$.total'\nmore = '$.next'";
    for (answer, more, expected) in [
        (list(1, "{}"), "", ("read", "1")),
        (list(0, "{}"), "", ("read", "")),
        (list(1, r#"{"more":true}"#), "", ("more", "1")),
        // The backend does not heed the limit of 2.
        (list(3, "{}"), "", ("more", "1")),
        (list(1, r#"{"total":1,"next":null}"#), total, ("read", "1")),
        (list(1, r#"{"total":7}"#), total, ("more", "1")),
        (list(1, r#"{"total":1,"next":"/page/2"}"#), total, ("more", "1")),
    ] {
        assert_eq!(kind(&answer_to(look(), answer, more).await), expected, "{more}");
    }
    let Answer::Read(reading) = answer_to(look(), list(3, "{}"), "").await else { panic!() };
    assert_eq!(reading.tickets.len(), 2);
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_and_its_length_is_that_of_the_text() {
    // gzip of {"id":"OSB-1","status":"open"}
    const PACKED: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0xca, 0x4c, 0x51,
        0xb2, 0x52, 0xf2, 0x0f, 0x76, 0xd2, 0x35, 0x54, 0xd2, 0x51, 0x2a, 0x2e, 0x49, 0x2c, 0x29,
        0x2d, 0x06, 0x0a, 0xe4, 0x17, 0xa4, 0xe6, 0x29, 0xd5, 0x02, 0x00, 0xc6, 0xa2, 0x00, 0x85,
        0x1e, 0x00, 0x00, 0x00,
    ];
    let mut answer = format!(
        "HTTP/1.1 201 X\r\ncontent-encoding: gzip\r\n{JSON}content-length: {}\r\n\r\n",
        PACKED.len()
    )
    .into_bytes();
    answer.extend_from_slice(PACKED);
    assert_eq!(kind(&answer_to(create("x"), answer.clone(), "").await), ("done", "OSB-1"));
    let answer = answer_to(create("x"), answer, "max_answer = '20B'").await;
    assert_eq!(kind(&answer).0, "in doubt");
}

#[tokio::test]
async fn reasons_hold_neither_bodies_nor_addresses_nor_secrets() {
    let body = json!({"error": {"code": "c".repeat(999), "message": "é".repeat(999)}, "b": "BODY"});
    let auth = "auth = { type = 'basic', user = 'u', password = 'SECRET' }";
    let more = format!("{auth}\n[create]\nquery = [['q', 'QUERY']]");
    for status in [200, 302, 401, 422, 429, 500] {
        let answer = answer_to(create("x"), http(status, JSON, &body.to_string()), &more).await;
        let told = format!("{answer:?}");
        for hidden in ["BODY", "SECRET", "QUERY", "127.0.0.1"] {
            assert!(!told.contains(hidden), "{told}");
        }
        let error = match answer {
            Answer::Busy { error, .. } => error,
            Answer::InDoubt(error) | Answer::Refused(error) | Answer::Unauthorised(error) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(error.http_status, Some(status));
        assert_eq!(error.description.unwrap().chars().count(), 500);
        assert_eq!(error.code.unwrap().len(), 100);
    }
    let gone = simulated("http://127.0.0.1:1/QUERY", &more);
    for (description, expected) in [(&gone, "not sent")] {
        let answer = calls(&adapter(description), create("x")).await;
        assert_eq!(kind(&answer).0, expected);
        assert!(!format!("{answer:?}").contains("QUERY"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_or_does_not_end_is_not_sent() {
    let plain = Canned::with_json(201, r#"{"id":"1"}"#).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("https://{}/x", silent.local_addr().unwrap());
    for url in [plain.url.replace("http:", "https:"), silent_url] {
        let backend = adapter(&simulated(&url, "connect_timeout = '200ms'"));
        let answer = calls(&backend, create("x")).await;
        assert_eq!(kind(&answer).0, "not sent", "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let proxy = Canned::with_json(201, r#"{"id":"1"}"#).await;
    let address = proxy.url.trim_end_matches("/api");
    let description = simulated("http://crm.invalid/api", &format!("proxy = '{address}'"));
    assert_eq!(kind(&calls(&adapter(&description), create("x")).await).0, "done");
    assert!(proxy.heard()[0].starts_with("POST http://crm.invalid/api/tickets HTTP/1.1"));
}
