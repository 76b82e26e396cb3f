//! Several requests of one call: steps, pages, and what is told when one of them fails.

use super::*;
use serde_json::json;

const STEPS: &str = r#"
    id = "crm"
    type = "rest"
    [create]
    method = "POST"
    path = "/t"
    read = { id = { header = "Location", after = "/t/" } }
    success = { any_body = true }
    [[create.after]]
    name = "label"
    when = "fields.label"
    method = "PUT"
    path = "/t/{{ backend_id }}/label"
    json = { label = "{{ fields.label }}" }
    [update]
    method = "PUT"
    path = "/t/{{ backend_id }}"
    headers = { If-Match = "{{ kept.now.etag }}" }
    json = { s = "{{ fields.summary }}", was = "{{ kept.now.was }}" }
    [[update.before]]
    name = "now"
    method = "GET"
    path = "/t/{{ backend_id }}"
    keep = { etag = { header = "ETag" }, was = "$.s" }
    [[update.failure]]
    status = [412]
    means = "retryable"
    [[update.after]]
    name = "shown"
    method = "GET"
    path = "/t/{{ backend_id }}"
    shows = true
    [search]
    method = "GET"
    path = "/t"
    query = [["n", "{{ page_size }}"], ["p", "{{ page }}"], ["o", "{{ offset }}"], ["c", "{{ cursor }}"]]
    read = { items = "$.t[*]", id = "$.id" }
"#;

fn stepping(canned: &Canned, more: &str) -> Arc<dyn Backend> {
    let mut table: toml::Table = STEPS.parse().unwrap();
    table.insert("base_url".to_owned(), canned.url.clone().into());
    let table = crate::backends::presets::overlay(table, more.parse().unwrap());
    adapter(&load(table).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

fn labelled(label: Option<&str>) -> Work {
    let fields = fields(json!({ "summary": "s", "label": label }));
    Work::Create { ticket: target(None), fields }
}

#[tokio::test]
async fn a_version_that_was_read_goes_with_the_write_and_the_last_step_shows_the_ticket() {
    let etag = "content-type: application/json\r\netag: \"v7\"\r\n";
    let canned = Canned::in_turn(vec![
        http(200, etag, r#"{"s":"old"}"#),
        http(204, "", ""),
        json(200, json!({"status": "open", "s": "new"})),
    ])
    .await;
    let more = "read = { status = '$.status', fields = { summary = '$.s' } }";
    let answer = calls(&stepping(&canned, more), update("7", "new")).await;
    let Answer::Done(found) = answer else { panic!("{answer:?}") };
    assert_eq!((found.backend_id.as_str(), &found.fields["summary"]), ("7", &json!("new")));
    let heard = canned.heard();
    assert_eq!(lines(&heard), ["GET /api/t/7", "PUT /api/t/7", "GET /api/t/7"]);
    assert!(heard[1].contains("if-match: \"v7\"\r\n") && heard[1].contains(r#""was":"old""#));
}

#[tokio::test]
async fn an_id_may_stand_in_a_header_and_a_step_is_left_out_unless_it_is_wanted() {
    let created = || http(201, "location: https://crm.example/t/42?x=1\r\n", "");
    for (label, requests) in [(None, 1), (Some("x"), 2)] {
        let canned = Canned::in_turn(vec![created(), http(200, "", "")]).await;
        let answer = calls(&stepping(&canned, ""), labelled(label)).await;
        assert_eq!(kind(&answer), ("done", "42"), "{answer:?}");
        assert_eq!(canned.heard().len(), requests);
    }
}

#[tokio::test]
async fn until_something_is_written_a_failure_is_told_as_it_is_and_after_it_as_a_doubt() {
    let good = || json(200, json!({"s": "old"}));
    // What the step before answers, then the call, then the step after.
    for (answers, expected) in [
        (vec![http(500, "", "")], "retryable"),
        (vec![http(404, "", "")], "refused"),
        (vec![http(401, "", "")], "unauthorised"),
        (vec![http(429, "", "")], "busy"),
        (vec![b"HTTP/1.1 200 X\r\ncontent-".to_vec()], "not sent"),
        (vec![good(), http(412, "", "")], "retryable"),
        (vec![good(), http(500, "", "")], "in doubt"),
        (vec![good(), http(409, "", "")], "refused"),
        (vec![good(), http(204, "", ""), http(404, "", "")], "in doubt"),
        (vec![good(), http(204, "", ""), http(401, "", "")], "in doubt"),
        (vec![good(), http(204, "", ""), http(429, "", "")], "in doubt"),
        (vec![good(), http(204, "", ""), http(200, "", "oops")], "in doubt"),
    ] {
        let requests = answers.len();
        let canned = Canned::in_turn(answers).await;
        let backend = stepping(&canned, "[update]\nheaders = { If-Match = 'x' }");
        let answer = calls(&backend, update("7", "new")).await;
        assert_eq!(kind(&answer).0, expected, "{answer:?}");
        assert_eq!(canned.heard().len(), requests, "nothing follows a failure");
    }
    // What the description itself calls a refusal is one, also then.
    let canned = Canned::in_turn(vec![
        http(201, "location: /t/42\r\n", ""),
        json(422, json!({"error": "no such label"})),
    ])
    .await;
    let more = "[[create.after]]\nname = 'label'\nmethod = 'PUT'\npath = '/l'\n\
                failure = [{ status = [422], means = 'refused' }]";
    let answer = calls(&stepping(&canned, more), labelled(Some("x"))).await;
    assert_eq!(kind(&answer).0, "refused", "{answer:?}");
}

#[tokio::test]
async fn all_steps_share_one_time_out() {
    let canned = Canned::in_turn(vec![json(200, json!({"s": "old"}))]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", silent.local_addr().unwrap());
    let backend = stepping(&Canned { url, heard: canned.heard.clone() }, "");
    let answer = calls_in_a_hurry(&backend, update("7", "x")).await;
    // The read was lost: of the write nothing was sent.
    assert_eq!(kind(&answer).0, "not sent", "{answer:?}");
}

#[tokio::test]
async fn a_step_that_finds_nothing_never_makes_a_look_read_as_absent() {
    let more = "[[search.before]]\nname = 'me'\nmethod = 'GET'\npath = '/me'\n\
                failure = [{ status = [404], means = 'absent' }]";
    for (status, expected) in [(404, "in doubt"), (401, "unauthorised"), (500, "in doubt")] {
        let canned = Canned::in_turn(vec![http(status, "", ""), json(200, json!({"t": []}))]).await;
        let answer = calls(&stepping(&canned, more), look()).await;
        assert_eq!(kind(&answer).0, expected, "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn pages_are_asked_for_by_number_offset_cursor_or_link() {
    let page = |ids: &[u32], rest: serde_json::Value| {
        let items: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        let mut body = json!({ "t": items });
        body.as_object_mut().unwrap().extend(fields(rest));
        json(200, body)
    };
    let link = |body: Vec<u8>, url: &str| {
        let text = String::from_utf8(body).unwrap();
        text.replacen("content-type", &format!("x-next: {url}\r\ncontent-type"), 1).into_bytes()
    };
    let search = |limit| Work::Search {
        by: SearchBy::Fields(fields(json!({}))),
        kind: Kind::Incident,
        limit,
    };
    for (paging, answers, asked) in [
        (
            "by = 'page', size = 2",
            vec![page(&[1, 2], json!({})), page(&[3, 4], json!({})), page(&[5], json!({}))],
            vec!["n=2&p=1&o=0", "n=2&p=2&o=2", "n=2&p=3&o=4"],
        ),
        (
            "by = 'offset', size = 2",
            // What moved meanwhile is on two pages.
            vec![page(&[1, 2], json!({})), page(&[2, 3], json!({})), page(&[4], json!({}))],
            vec!["n=2&p=1&o=0", "n=2&p=2&o=2", "n=2&p=3&o=4"],
        ),
        (
            "by = 'cursor', size = 2, next = '$.c'",
            vec![
                page(&[1, 2], json!({"c": "a b"})),
                page(&[3], json!({"c": "z"})),
                page(&[], json!({})),
            ],
            vec!["n=2&p=1&o=0", "n=2&p=2&o=2&c=a+b", "n=2&p=3&o=3&c=z"],
        ),
        (
            "by = 'link', size = 2, next = { header = 'X-Next' }",
            vec![link(page(&[1, 2], json!({})), "?more=1"), page(&[3], json!({}))],
            vec!["n=2&p=1&o=0", "more=1"],
        ),
    ] {
        let canned = Canned::in_turn(answers).await;
        let backend = stepping(&canned, &format!("[search]\npaging = {{ {paging} }}"));
        let answer = calls(&backend, search(50)).await;
        let Answer::Read(read) = answer else { panic!("{paging}: {answer:?}") };
        let ids: Vec<_> =
            read.tickets.iter().map(|t| t.backend_id.parse::<u32>().unwrap()).collect();
        assert_eq!(ids, Vec::from_iter(1..=ids.len() as u32), "{paging}");
        assert!(!read.more, "{paging}");
        let heard = canned.heard();
        let queries: Vec<_> = lines(&heard)
            .iter()
            .map(|line| line.strip_prefix("GET /api/t?").unwrap_or_else(|| panic!("{line}")))
            .collect();
        assert_eq!(queries, asked, "{paging}");
    }
}

#[tokio::test]
async fn a_page_that_fails_spoils_the_search_and_too_many_pages_say_that_there_are_more() {
    let full = || json(200, json!({"t": [{"id": 1}, {"id": 2}]}));
    let more = "[search]\npaging = { by = 'page', size = 2, pages = 3 }";
    let search = || Work::Search {
        by: SearchBy::Fields(fields(json!({}))),
        kind: Kind::Incident,
        limit: 50,
    };
    let canned = Canned::in_turn(vec![full(), http(500, "", "")]).await;
    assert_eq!(kind(&calls(&stepping(&canned, more), search()).await).0, "in doubt");
    let canned = Canned::in_turn(vec![full()]).await;
    assert_eq!(kind(&calls(&stepping(&canned, more), search()).await), ("more", "1"));
    assert_eq!(canned.heard().len(), 3);
    let elsewhere = json(200, json!({"t": [{"id": 1}], "next": "http://evil.example/api/t"}));
    let canned = Canned::in_turn(vec![elsewhere]).await;
    let more = "[search]\npaging = { by = 'link', size = 2, next = '$.next' }";
    let answer = calls(&stepping(&canned, more), search()).await;
    let (kind, reason) = kind(&answer);
    assert!(kind == "in doubt" && reason.contains("base_url"), "{answer:?}");
}

#[tokio::test]
async fn words_and_times_go_both_ways() {
    let canned = Canned::with_json(201, r#"{"id":1,"prio":"2","at":"2026-11-21 11:00:00"}"#).await;
    let more = r#"
        [create]
        json = { prio = "{{ fields.severity | map('prio') }}", at = "{{ fields.raised_at | time }}" }
        read = { id = "$.id", fields = { severity = { select = "$.prio", map = "prio" }, raised_at = { select = "$.at", time = true } } }
        success = { any_body = false }
        [maps.prio]
        to = { critical = "1", major = "2" }
        [times]
        format = "%Y-%m-%d %H:%M:%S"
    "#;
    let backend = stepping(&canned, more);
    let given = json!({"severity": "major", "raised_at": "2026-11-21T12:00:00+01:00"});
    let work = Work::Create { ticket: target(None), fields: fields(given) };
    let Answer::Done(found) = calls(&backend, work).await else { panic!() };
    assert_eq!(canned.body(), json!({"prio": "2", "at": "2026-11-21 11:00:00"}));
    assert_eq!(
        found.fields,
        fields(json!({"severity": "major", "raised_at": "2026-11-21T11:00:00.000Z"}))
    );
    let given = json!({"severity": "odd", "raised_at": "2026-11-21T11:00:00Z"});
    let work = Work::Create { ticket: target(None), fields: fields(given) };
    assert_eq!(kind(&calls(&backend, work).await).0, "refused", "no word is guessed");
}
