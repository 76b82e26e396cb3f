//! Who may do what: tokens, roles, backends, sessions; and what a hostile caller gets.

use crate::world::{PATIENCE, User, World};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::time::Duration;
use ticketgate::http::{BODY_IDLE, ENDPOINTS, Endpoint, Role, WRONG_BY_ADDRESS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const TOKENS: &str = "
[[http.tokens]]
name = 'ann'
role = 'viewer'
token = 'viewer-0123456789'
[[http.tokens]]
name = 'bot'
role = 'submitter'
token = 'submitter-0123456789'
[[http.tokens]]
name = 'olga'
role = 'operator'
token = 'operator-0123456789'
[[http.tokens]]
name = 'root'
role = 'admin'
token = 'admin-0123456789'
[[http.tokens]]
name = 'noc only'
role = 'admin'
backends = ['noc']
token = 'noc-only-0123456789'
[[backend]]
id = 'noc'
preset = 'simulated-rest'
base_url = 'http://127.0.0.1:9/noc'
";

fn token(role: Role) -> String {
    format!("{}-0123456789", role.as_str())
}

/// As a program would: leading on is looked at, not followed.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

fn path_of(endpoint: &Endpoint) -> String {
    let mut path = endpoint.path.to_owned();
    for (part, value) in [
        ("{backend}", "crm"),
        ("{source}", "probe"),
        ("{n}", "1"),
        ("{file}", "main.js"),
        ("{page}", "alarms.js"),
        ("{id}", "crm"),
        ("{name}", "feedback"),
        ("{key}", "0193e5a4-0000-7000-8000-000000000001"),
        ("{guid}", "0193e5a4-0000-7000-8000-000000000001"),
    ] {
        path = path.replace(part, value);
    }
    assert!(!path.contains('{'), "{path}");
    path
}

async fn asked(user: &User, endpoint: &Endpoint, token: Option<&str>) -> (u16, String) {
    let mut request = user.send(endpoint.method, &path_of(endpoint));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if endpoint.method != "GET" {
        request = request.json(&json!({}));
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    // A stream of events has no end.
    let body = match endpoint.path.ends_with("/events") && status == 200 {
        true => String::new(),
        false => answer.text().await.unwrap(),
    };
    (status, body)
}

#[actix::test]
async fn every_endpoint_asks_for_its_role_and_lets_it_through() {
    let world = World::with(TOKENS).await;
    let roles = [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin];
    for endpoint in ENDPOINTS {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        let Some(needed) = endpoint.role else {
            let (status, body) = asked(&world, endpoint, None).await;
            assert!(![401, 403, 404, 405].contains(&status), "{name}: {status} {body}");
            continue;
        };
        for wrong in [None, Some("wrong-0123456789"), Some("")] {
            let (status, body) = asked(&world, endpoint, wrong).await;
            assert_eq!(status, 401, "{name} with {wrong:?}: {body}");
        }
        for role in roles {
            let (status, body) = asked(&world, endpoint, Some(&token(role))).await;
            match role >= needed {
                false => assert_eq!(status, 403, "{name} as {role:?}: {body}"),
                true => {
                    assert!(![401, 403, 405].contains(&status), "{name} as {role:?}: {body}");
                    assert!(!body.contains("no such path"), "{name}: it is not registered");
                }
            }
        }
    }
    let unknown = world.send("GET", "/api/v1/nothing").send().await.unwrap();
    assert_eq!(unknown.status(), 401, "what does not exist is told to nobody who is not known");
    let known = world.send("GET", "/api/v1/nothing").bearer_auth(token(Role::Viewer));
    assert_eq!(known.send().await.unwrap().status(), 404);
    let other = world.send("PATCH", "/api/v1/alarms").bearer_auth(token(Role::Admin));
    assert_eq!(other.send().await.unwrap().status(), 405);
}

#[actix::test]
async fn a_token_of_one_backend_sees_and_does_only_what_is_of_that() {
    let world = World::with(TOKENS).await;
    let ask = async |method: &str, path: &str, body: Value| {
        let request = world.send(method, path).bearer_auth("noc-only-0123456789");
        let request = if method == "GET" { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    for list in ["lanes", "backends"] {
        let (_, told) = ask("GET", &format!("/api/v1/{list}"), json!({})).await;
        let items = told["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["id"]), (1, &json!("noc")), "{told}");
    }
    let why = json!({ "reason": "x" });
    let crm = "0193e5a4-0000-7000-8000-000000000002";
    let create = |backend: &str| {
        json!({ "command": "create", "id": crm, "backend": backend, "kind": "incident",
                "fields": { "summary": "s" } })
    };
    for (method, path, body, expected) in [
        ("POST", "/api/v1/lanes/crm/pause", why.clone(), 403),
        ("POST", "/api/v1/lanes/noc/pause", why.clone(), 200),
        ("POST", "/api/v1/backends/crm/check", json!({}), 403),
        ("GET", "/api/v1/tickets?backend=crm", json!({}), 403),
        ("GET", "/api/v1/tickets", json!({}), 200),
        ("GET", "/api/v1/requests?backend=crm", json!({}), 403),
        ("GET", "/api/v1/communication?backend=crm", json!({}), 403),
        ("POST", "/api/v1/commands", create("crm"), 403),
        ("POST", "/api/v1/commands", create("noc"), 202),
        ("POST", "/api/v1/config/reload", why.clone(), 403),
        ("POST", "/api/v1/history/offload", why.clone(), 403),
        ("PUT", "/api/v1/routes/crm", json!({ "key": "k", "reason": "x" }), 403),
        ("POST", "/api/v1/parked/1/discard", why.clone(), 403),
    ] {
        let (status, told) = ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {told}");
    }
    let (_, me) = ask("GET", "/api/v1/me", json!({})).await;
    assert_eq!((&me["name"], &me["backends"]), (&json!("noc only"), &json!(["noc"])));
    let audit = world.send("GET", "/api/v1/audit").bearer_auth(token(Role::Viewer));
    let audit: Value = audit.send().await.unwrap().json().await.unwrap();
    assert_eq!(audit["items"][0]["who"], "noc only", "{audit}");
}

/// Signs in; gives the cookie.
async fn signed_in(world: &World, role: Role) -> String {
    let token = token(role);
    let form = [("token", token.as_str()), ("to", "/new-ticket?a=b")];
    let answer = browser().post(world.url("/sign-in")).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/new-ticket?a=b");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&token), "the cookie is not the token");
    cookie.split(';').next().unwrap().to_owned()
}

#[actix::test]
async fn a_session_is_as_good_as_its_token_for_our_own_page_and_for_no_other() {
    let world = World::with(TOKENS).await;
    let client = browser();
    let cookie = signed_in(&world, Role::Operator).await;
    let me = client.get(world.url("/api/v1/me")).header("cookie", &cookie);
    let me: Value = me.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["role"], &me["by"], &me["open"]),
        (&json!("olga"), &json!("operator"), &json!("session"), &json!(false))
    );
    let own = format!("http://{}", world.address());
    let pause = async |headers: &[(&str, &str)]| {
        let path = world.url("/api/v1/lanes/crm/pause");
        let mut request = client.post(path).header("cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.json(&json!({ "reason": "x" })).send().await.unwrap().status().as_u16()
    };
    let ours = ("x-ticketgate", "1");
    for (headers, status) in [
        (vec![], 403),
        (vec![("origin", own.as_str())], 403),
        (vec![ours, ("origin", "http://evil.example")], 403),
        (vec![ours, ("origin", "null")], 403),
        (vec![ours, ("sec-fetch-site", "cross-site")], 403),
        (vec![ours, ("sec-fetch-site", "same-site")], 403),
        (vec![ours, ("sec-fetch-site", "same-origin"), ("origin", own.as_str())], 200),
        (vec![ours], 409),
    ] {
        assert_eq!(pause(&headers).await, status, "{headers:?}");
    }
    // A role is a role, however somebody came in.
    let config = client.get(world.url("/api/v1/config")).header("cookie", &cookie);
    assert_eq!(config.send().await.unwrap().status(), 403);

    let out = client.post(world.url("/sign-out")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(
        (out.status().as_u16(), &out.headers()["location"]),
        (303, &"/sign-in".parse().unwrap())
    );
    let me = client.get(world.url("/api/v1/me")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(me.status(), 401);
    for made_up in ["", "x", "0193e5a4000070008000000000000001"] {
        let cookie = format!("ticketgate_session={made_up}");
        let me = client.get(world.url("/api/v1/me")).header("cookie", cookie);
        assert_eq!(me.send().await.unwrap().status(), 401);
    }
}

#[actix::test]
async fn a_browser_is_led_to_the_sign_in_and_a_program_is_not() {
    let world = World::with(TOKENS).await;
    let client = browser();
    let page = |path: &str, site: &str| {
        client.get(world.url(path)).header("accept", "text/html").header("sec-fetch-site", site)
    };
    let answer = page("/?a=b&c=%2F", "none").send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/sign-in?to=%2F%3Fa%3Db%26c%3D%252F");
    // With a link from an alarm console a strict cookie does not come: our own page asks again.
    let answer = page("/", "cross-site").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("http-equiv=\"refresh\""));
    let api = client.get(world.url("/api/v1/me")).header("accept", "text/html");
    assert_eq!(api.send().await.unwrap().status(), 401);
    let form = client.get(world.url("/sign-in?to=%2F%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"));
    let form = form.send().await.unwrap();
    let csp = form.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
    assert_eq!(form.headers()["x-content-type-options"], "nosniff");
    assert_eq!(form.headers()["x-frame-options"], "DENY");
    // One script, by its address: our own. What the address brought has become text.
    let text = form.text().await.unwrap();
    let own = "<script type=\"module\" src=\"/dashboard/sign-in.js\"></script>";
    assert!(text.contains(own) && text.matches("<script").count() == 1, "{text}");
    let foreign = client
        .post(world.url("/sign-in"))
        .header("origin", "http://evil.example")
        .form(&[("token", token(Role::Admin))]);
    assert_eq!(
        foreign.send().await.unwrap().status(),
        403,
        "nobody is signed in by another's page"
    );
}

#[actix::test]
async fn tokens_cannot_be_guessed_at_the_sign_in() {
    let world = World::with(TOKENS).await;
    let client = browser();
    let attempt = async |token: &str| {
        let form = client.post(world.url("/sign-in")).form(&[("token", token)]);
        form.send().await.unwrap().status().as_u16()
    };
    for n in 0..WRONG_BY_ADDRESS {
        assert_eq!(attempt(&format!("wrong-{n}-0123456789")).await, 401);
    }
    assert_eq!(attempt("wrong-0123456789").await, 429);
    assert_eq!(attempt(&token(Role::Admin)).await, 429, "also the right one waits");
    // Programs with a token go on.
    let me = client.get(world.url("/api/v1/me")).bearer_auth(token(Role::Viewer));
    assert_eq!(me.send().await.unwrap().status(), 200);
}

#[actix::test]
async fn without_a_token_everybody_is_an_admin_and_is_told_so() {
    let world = World::with("").await;
    let me = world.get("/api/v1/me").await;
    assert_eq!(
        (&me["role"], &me["open"], &me["backends"]),
        (&json!("admin"), &json!(true), &Value::Null)
    );
    let foreign = world.send("POST", "/api/v1/alarms").header("origin", "http://evil.example");
    assert_eq!(foreign.body("[]").send().await.unwrap().status(), 403, "but for others' pages");
    let answer = browser().get(world.url("/sign-in?to=//evil.example")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/".parse().unwrap())
    );
}

#[actix::test]
async fn what_is_too_large_or_leads_out_is_refused_with_a_problem() {
    let world = World::with("").await;
    let large = "x".repeat(5 * 1024 * 1024);
    for path in ["/api/v1/alarms", "/api/v1/commands", "/api/v1/config/log-level"] {
        let sent = world.send("POST", path).header("content-type", "application/json");
        let answer = sent.body(large.clone()).send().await;
        // The answer may come while the body is still being sent, and then the connection is closed.
        if let Ok(answer) = answer {
            assert_eq!(answer.status(), 413, "{path}");
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["status"], 413, "{path}: {problem}");
        }
    }
    for path in
        ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc"]
    {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 404"), "{path}: {said}");
        assert!(!said.contains("root:"), "{said}");
    }
    // A head without end.
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let line = format!("X-A: {}\r\n", "a".repeat(8_000));
    let mut said = Vec::new();
    for _ in 0..64 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().ok();
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    let wrong = world.send("POST", "/api/v1/alarms").body("[").send().await.unwrap();
    assert_eq!(wrong.headers()["content-type"], "application/problem+json");
}

#[actix::test]
async fn a_slow_head_and_a_slow_body_are_cut_off() {
    let world = World::with("").await;
    let slow = async |begin: &str| {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let since = Instant::now();
        let mut said = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it was never cut off").ok();
        (since.elapsed(), String::from_utf8_lossy(&said).into_owned())
    };
    let (took, said) = slow("POST /api/v1/alarms HTTP/1.1\r\nHost:").await;
    assert!(took < Duration::from_secs(15), "{took:?} {said}");
    let begin = "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[";
    let (took, said) = slow(begin).await;
    assert!(took < BODY_IDLE + Duration::from_secs(10), "{took:?}");
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert_eq!(world.get("/api/v1/alarms").await["items"], json!([]));
}

#[actix::test]
async fn hostile_text_stays_data() {
    let world = World::with("").await;
    let text = "<img src=x onerror=alert(1)>\"'`${7*7}{{7*7}}";
    let event = json!({
        "id": text, "source": "=cmd()", "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": text, "text": text,
    });
    let sent = world.send("POST", "/api/v1/alarms").json(&event).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let answer = world.ask("/api/v1/alarms").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let alarms: Value = answer.json().await.unwrap();
    assert_eq!(alarms["items"][0]["text"], text, "as it was sent, whatever it looks like");
    world.until("/api/v1/tickets", |it| it["items"][0]["backend_id"].is_string()).await;
    let page = world.ask("/").await.text().await.unwrap();
    assert!(!page.contains("<img src=x"), "{page}");
}
