//! What is said to the backend: paths, queries, headers and bodies.

use super::*;
use serde_json::json;

const OTHER: &str = r#"
    id = "crm"
    type = "rest"
    auth = { type = "header", name = "Authorization", value = "token T" }
    headers = { X-Csrf = "1", X-Request = "{{ request_id }}", X-Id = "{{ backend_id }}" }
    [create]
    method = "POST"
    path = "/t"
    read = { id = "$.id" }
    [update]
    method = "PUT"
    path = "/t/{{ backend_id }}"
    [search]
    method = "GET"
    path = "/t"
    query = [["status_id", "*"], ["limit", "{{ limit }}"], ["gone", "{{ nothing_here }}"]]
    query_each_where = [["f[]", "{{ name }}"], ["op[{{ name }}]", "="], ["v[{{ name }}][]", "{{ value }}"]]
    read = { items = "$[*]", id = "$.id" }
"#;

/// Other systems than the simulated one.
fn other(canned: &Canned, more: &str) -> Arc<dyn Backend> {
    let mut table: toml::Table =
        OTHER.replace("{{ nothing_here }}", "{{ request_id }}").parse().unwrap();
    table.insert("base_url".to_owned(), canned.url.clone().into());
    let table = crate::backends::presets::overlay(table, more.parse().unwrap());
    adapter(&load(table).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

const NASTY: &str =
    "\"quoted\" \\ back\nline\ttab {{ fields.x }} {% raw %} <é ☃ 𝄞> '\u{0}' \u{7f} ${x}";

#[tokio::test]
async fn a_body_is_the_same_json_whatever_the_values_are() {
    for body in [
        r#"body = '''{"s": {{ fields.summary }}, "k": {{ correlation_key }}, "l": [{{ fields.number }}, {{ fields.deep.er }}], "t": "fix"}'''"#,
        r#"json = { s = "{{ fields.summary }}", k = "{{ correlation_key }}", l = ["{{ fields.number }}", "{{ none }}"], t = "fix" }"#,
        r#"json = "{{ {'s': fields.summary, 'k': correlation_key, 'l': [fields.number, none], 't': 'fix'} }}""#,
    ] {
        let canned = Canned::with_json(201, r#"{"id":1}"#).await;
        let backend = other(&canned, &format!("[create]\n{body}"));
        let given = fields(json!({"summary": NASTY, "number": 3}));
        let work = Work::Create { ticket: target(None), fields: given };
        assert_eq!(kind(&calls(&backend, work).await), ("done", "1"));
        let expected = json!({"s": NASTY, "k": KEY, "l": [3, null], "t": "fix"});
        assert_eq!(canned.body(), expected, "{body}");
        assert!(canned.heard()[0].contains("content-type: application/json\r\n"));
    }
}

#[tokio::test]
async fn a_table_keeps_types_drops_what_is_missing_and_joins_texts() {
    let canned = Canned::with_json(201, r#"{"id":1}"#).await;
    let backend = other(
        &canned,
        r#"
        [create.json]
        text = "{{ kind }}: {{ fields.summary }}{{ fields.missing }}"
        number = "{{ fields.number }}"
        list = "{{ fields.list }}"
        missing = "{{ fields.missing }}"
        deep_missing = "{{ fields.missing.more }}"
        nothing = "{{ fields.nothing }}"
        fixed = [1, 2.5, true, "{{ fields.missing }}", { a = "{{ fields.missing }}" }]
        default = "{{ fields.missing or 'none' }}"
        "#,
    );
    let given =
        fields(json!({"summary": "s", "number": 3, "list": [1, {"a": "b"}], "nothing": null}));
    let work = Work::Create { ticket: target(None), fields: given };
    assert_eq!(kind(&calls(&backend, work).await).0, "done");
    let expected = json!({
        "text": "incident: s", "number": 3, "list": [1, {"a": "b"}], "nothing": null,
        "fixed": [1, 2.5, true, {}], "default": "none",
    });
    assert_eq!(canned.body(), expected);
}

#[tokio::test]
async fn paths_queries_and_headers_carry_values_without_harm() {
    let canned = Canned::with_json(200, "[]").await;
    let backend = other(&canned, "");
    calls(&backend, update("a/../b ?x=#é", "x")).await;
    let by = SearchBy::Fields(fields(json!({"cf_1": "a&b=c ☃", "cf_2": 7})));
    calls(&backend, Work::Search { by, kind: Kind::Change, limit: 9 }).await;
    let lookup = Call { request: None, ..call(look()) };
    backend.call(lookup).await;

    let heard = canned.heard();
    let [update, search, lookup] = heard.as_slice() else { panic!("{heard:?}") };
    let id = "00000000-0000-0000-0000-000000000009";
    assert!(
        update.starts_with("PUT /api/t/a%2F..%2Fb%20%3Fx%3D%23%C3%A9 HTTP/1.1\r\n"),
        "{update}"
    );
    for header in [
        "authorization: token T",
        "x-csrf: 1",
        &format!("x-request: {id}"),
        "x-id: a/../b ?x=#é",
        concat!("user-agent: ticketgate/", env!("CARGO_PKG_VERSION")),
        "accept: application/json",
    ] {
        assert!(update.contains(&format!("\r\n{header}\r\n")), "{header}: {update}");
    }
    let line = format!(
        "GET /api/t?status_id=*&limit=9&gone={id}\
         &f%5B%5D=cf_1&op%5Bcf_1%5D=%3D&v%5Bcf_1%5D%5B%5D=a%26b%3Dc+%E2%98%83\
         &f%5B%5D=cf_2&op%5Bcf_2%5D=%3D&v%5Bcf_2%5D%5B%5D=7 HTTP/1.1\r\n"
    );
    assert!(search.starts_with(&line), "{search}");
    assert!(!search.contains("x-id"), "{search}");
    assert!(lookup.contains("=correlation_key") && lookup.contains(KEY), "{lookup}");
    assert!(!lookup.contains("gone") && !lookup.contains("x-request"), "{lookup}");
}

#[tokio::test]
async fn what_cannot_be_filled_in_is_refused_and_not_sent() {
    let canned = Canned::with_json(201, r#"{"id":1}"#).await;
    let more = r#"
        [create]
        headers = { X-S = "{{ fields.summary }}" }
        query = [["q", "a {{ fields.site }}"]]
        body = '{"n": {{ fields.number + 1 }}, "raw": {{ fields.raw|safe }} }'
    "#;
    let backend = other(&canned, more);
    let good = json!({"summary": "s", "site": "x", "number": 1, "raw": "1"});
    for (field, value, says) in [
        ("summary", json!("two\nlines"), "create.headers"),
        ("site", json!(null), "done"),
        ("number", json!("one"), "create.body"),
        ("raw", json!("}"), "create.body: the body is no JSON"),
    ] {
        let mut given = fields(good.clone());
        given.insert(field.to_owned(), value);
        let work = Work::Create { ticket: target(None), fields: given };
        let answer = calls(&backend, work).await;
        if says == "done" {
            assert_eq!(kind(&answer).0, "done", "{answer:?}");
        } else {
            let (kind, reason) = kind(&answer);
            assert!(kind == "refused" && reason.contains(says), "{field}: {answer:?}");
        }
    }
    let mut without = fields(good);
    without.remove("site");
    let missing = Work::Create { ticket: target(None), fields: without };
    for (work, says) in [
        (missing, "create.query"),
        (update("..", "x"), "update.path"),
        (update("", "x"), "update.path"),
        (Work::Update { ticket: target(None), fields: Fields::new() }, "update.path"),
        (get("1"), "has no get"),
    ] {
        let answer = calls(&backend, work).await;
        let (kind, reason) = kind(&answer);
        assert!(kind == "refused" && reason.contains(says), "{answer:?}");
    }
    assert_eq!(canned.heard().len(), 1);
}

#[tokio::test]
async fn where_the_id_is_ours_the_answer_need_not_show_it() {
    let canned = Canned::answering(http(201, "", "")).await;
    let more = r#"
        capability = "client_id"
        [create]
        method = "PUT"
        path = "/t/{{ key }}"
        read = {}
        [get]
        method = "GET"
        path = "/t/{{ backend_id }}"
    "#;
    let mut table: toml::Table = more.parse().unwrap();
    table.insert("id".to_owned(), "ours".into());
    table.insert("type".to_owned(), "rest".into());
    table.insert("base_url".to_owned(), canned.url.clone().into());
    let backend = adapter(&load(table).unwrap());
    let key = target(None).key.to_string();
    assert_eq!(kind(&calls(&backend, create("x")).await), ("done", key.as_str()));
    assert!(canned.heard()[0].starts_with(&format!("PUT /api/t/{key} ")));
}

#[tokio::test]
async fn who_we_are_stands_in_the_header_that_the_description_names() {
    for (auth, header) in [
        ("type = 'none'", None),
        ("type = 'basic', user = 'u', password = 'p:w'", Some("authorization: Basic dTpwOnc=")),
        ("type = 'bearer', token = 'T'", Some("authorization: Bearer T")),
        ("type = 'header', name = 'X-Key', value = 'K'", Some("x-key: K")),
        (
            "type = 'header', name = 'Authorization', prefix = 'token ', value = 'K'",
            Some("authorization: token K"),
        ),
    ] {
        let canned = Canned::with_json(201, r#"{"id":1}"#).await;
        let backend = adapter(&simulated(&canned.url, &format!("auth = {{ {auth} }}")));
        calls(&backend, create("x")).await;
        let heard = canned.heard().pop().unwrap();
        match header {
            Some(header) => assert!(heard.contains(&format!("\r\n{header}\r\n")), "{heard}"),
            None => assert!(!heard.contains("authorization"), "{heard}"),
        }
    }
}
