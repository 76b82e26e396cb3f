//! Tokens that are limited to some backends: every endpoint of the table, with something of a backend that
//! is theirs, and the same of one that is not.
//!
//! A new endpoint fails here until it is said (`place`) by what it is asked for, and with what.

use crate::world::{World, soon};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use ticketgate::http::{ENDPOINTS, Endpoint, Scope};
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::RestSettings;

const LIMITED: &str = "limited-0123456789";
const BOTH: &str = "both-0123456789ab";
const ADMIN: &str = "admin-0123456789ab";
/// Theirs, and another one's.
const THEIRS: &str = "noc";
const OTHER: &str = "crm";

fn config(systems: &Running) -> String {
    let sync = |backend: &str| {
        format!("[[sync]]\nname = 'of-{backend}'\nbackend = '{backend}'\nfrom = 'connector'\n")
    };
    format!(
        "[[policy.rule]]\nname = 'noc'\nsource = 'noc'\nbackend = 'noc'\n\
         [[policy.rule]]\nname = 'quiet'\nsource = 'quiet'\nno_ticket = 'planned work'\n\
         [heartbeats]\ninterval = '1s'\n{}{}\
         [[source]]\nname = 'hook'\n[source.event]\nid = 'body.id'\nstate = \"'raised'\"\n\
         severity = \"'major'\"\nraised_at = 'body.at'\nobject = 'body.id'\nticket = 'body.ticket'\n\
         [[http.tokens]]\nname = 'limited'\nrole = 'admin'\nbackends = ['noc']\ntoken = '{LIMITED}'\n\
         [[http.tokens]]\nname = 'both'\nrole = 'admin'\nbackends = ['noc', 'crm']\ntoken = '{BOTH}'\n\
         [[http.tokens]]\nname = 'root'\nrole = 'admin'\ntoken = '{ADMIN}'\n\
         [[backend]]\nid = 'noc'\npreset = 'simulated-rest'\nbase_url = '{}'\n",
        sync(THEIRS),
        sync(OTHER),
        systems.url("noc"),
    )
}

struct Caller<'a> {
    world: &'a World,
    token: &'static str,
}

impl Caller<'_> {
    async fn send(&self, method: &str, path: &str, body: &Body) -> (u16, String) {
        let request = self.world.send(method, path).bearer_auth(self.token);
        let request = match body {
            Body::None => request,
            Body::Json(body) => request.json(body),
            Body::Csv(text) => request.header("content-type", "text/csv").body(text.clone()),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.send("GET", path, &Body::None).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, text) = self.send("POST", path, &Body::Json(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Waits until an answer is as it should be.
    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        soon(path, async {
            loop {
                let told = self.get(path).await;
                if holds(&told) {
                    return told;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

enum Body {
    None,
    Json(Value),
    Csv(String),
}

/// What there is of one backend.
#[derive(Clone, Debug, Default)]
struct Things {
    backend: &'static str,
    ticket: String,
    request: String,
    command: String,
}

/// Makes everything of a backend that can be; each thing carries `of-` and its name.
async fn furnish(admin: &Caller<'_>, backend: &'static str, number: u128) -> Things {
    let event = json!({
        "id": format!("of-{backend}"), "source": backend, "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": format!("of-{backend}"),
        "text": format!("of-{backend}"),
    });
    admin.post("/api/v1/alarms", event).await;
    let path = format!("/api/v1/alarms/{backend}/of-{backend}/explain");
    let has = |told: &Value| told["occurrences"][0]["ticket"]["backend_id"].is_string();
    let told = admin.until(&path, has).await;
    let ticket = &told["occurrences"][0]["ticket"];
    let command = uuid::Uuid::from_u128(number).to_string();
    // Refused over there: also the list of what has failed has a row.
    let create = json!({ "command": "create", "id": command, "backend": backend,
                         "kind": "incident", "fields": { "summary": format!("of-{backend} refused") } });
    admin.send("POST", "/api/v1/commands?wait=20s", &Body::Json(create)).await;
    let query = json!({ "command": "query", "id": uuid::Uuid::from_u128(number + 1),
                        "backend": backend, "backend_id": ticket["backend_id"] });
    admin.post("/api/v1/commands?wait=20s", query).await;
    let route = json!({ "backend": backend, "key": format!("of-{backend}"), "reason": "a test" });
    admin.post("/api/v1/routes", route).await;
    let held = json!({ "ticket": ticket["key"], "reason": format!("of-{backend}") });
    admin.post(&format!("/api/v1/lanes/{backend}/hold"), held).await;
    Things {
        backend,
        ticket: ticket["key"].as_str().unwrap().to_owned(),
        request: told["occurrences"][0]["requests"][0]["id"].as_str().unwrap().to_owned(),
        command,
    }
}

/// By what an endpoint is asked, and with what, when it is about a thing of that backend.
fn place(endpoint: &Endpoint, of: &Things) -> (String, Body) {
    let Things { backend, ticket, request, command } = of;
    let why = || Body::Json(json!({ "reason": "a test" }));
    let guid = "0193e5a4-0000-7000-8000-00000000ffff";
    let csv = || {
        Body::Csv(format!(
            "name,host,port,path,tls,user,timeout,selected\nof-{backend},127.0.0.1,9,/x,false,,,true\n"
        ))
    };
    let rows = json!([{ "source": "old", "alarm_id": "1", "backend": backend,
                        "backend_id": "OLD-1", "status": "acknowledged" }]);
    let event = json!({
        "id": "w1", "source": "wish", "state": "raised", "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": "w", "ticket": { "backend": backend },
    });
    let create = json!({ "command": "create", "id": uuid::Uuid::now_v7(), "backend": backend,
                         "kind": "incident", "fields": { "summary": "refused" } });
    let alarm = format!("/api/v1/alarms/{backend}/of-{backend}");
    let lane = format!("/api/v1/lanes/{backend}");
    let sync = format!("/api/v1/sync/of-{backend}");
    let same = || endpoint.path.to_owned();
    let held = || Body::Json(json!({ "ticket": ticket, "reason": "a test" }));
    let ids = || Body::Json(json!({ "ids": ["1"], "reason": "a test" }));
    match (endpoint.method, endpoint.path) {
        ("GET", "/dashboard/{file}") => ("/dashboard/main.js".into(), Body::None),
        ("GET", "/dashboard/pages/{page}") => ("/dashboard/pages/alarms.js".into(), Body::None),
        ("GET", path) if !path.contains('{') => match path {
            "/api/v1/services/export" => (format!("{path}?backend={backend}"), Body::None),
            _ => (same(), Body::None),
        },
        ("POST", "/callbacks/{backend}") => {
            (format!("/callbacks/{backend}"), Body::Json(json!({})))
        }
        ("POST", "/webhooks/{name}") => {
            let body = json!({ "id": "h1", "at": "2026-11-21T10:00:00Z", "ticket": { "backend": backend } });
            ("/webhooks/hook".into(), Body::Json(body))
        }
        ("POST", "/sign-in" | "/sign-out") => (same(), Body::None),
        ("POST", "/api/v1/alarms") => (same(), Body::Json(event)),
        ("GET", "/api/v1/alarms/{source}/{id}") => (alarm, Body::None),
        ("GET", "/api/v1/alarms/{source}/{id}/explain") => (format!("{alarm}/explain"), Body::None),
        ("POST", "/api/v1/alarms/{source}/{id}/link") => {
            (format!("{alarm}/link"), Body::Json(json!({ "key": ticket, "reason": "a test" })))
        }
        ("POST", "/api/v1/alarms/{source}/{id}/unlink") => (format!("{alarm}/unlink"), why()),
        ("POST", "/api/v1/alarms/{source}/{id}/no-ticket") => (format!("{alarm}/no-ticket"), why()),
        ("POST", "/api/v1/tickets/import") => {
            (same(), Body::Json(json!({ "rows": rows, "reason": "a test", "dry_run": true })))
        }
        ("GET", "/api/v1/tickets/{key}") => (format!("/api/v1/tickets/{ticket}"), Body::None),
        ("GET", "/api/v1/tickets/{key}/changes") => {
            (format!("/api/v1/tickets/{ticket}/changes"), Body::None)
        }
        ("GET", "/api/v1/requests/{id}") => (format!("/api/v1/requests/{request}"), Body::None),
        ("POST", "/api/v1/requests/{id}/settle") => {
            let body = json!({ "says": "absent", "reason": "a test" });
            (format!("/api/v1/requests/{request}/settle"), Body::Json(body))
        }
        ("POST", "/api/v1/requests/{id}/retry") => {
            (format!("/api/v1/requests/{request}/retry"), why())
        }
        ("POST", "/api/v1/requests/{id}/cancel") => {
            (format!("/api/v1/requests/{request}/cancel"), why())
        }
        ("GET", "/api/v1/lanes/{id}/held") => (format!("{lane}/held"), Body::None),
        ("POST", "/api/v1/lanes/{id}/pause") => (format!("{lane}/pause"), why()),
        ("POST", "/api/v1/lanes/{id}/resume") => (format!("{lane}/resume"), why()),
        ("POST", "/api/v1/lanes/{id}/hold") => (format!("{lane}/hold"), held()),
        ("POST", "/api/v1/lanes/{id}/release") => (format!("{lane}/release"), held()),
        ("GET", "/api/v1/backends/{id}/form") => {
            (format!("/api/v1/backends/{backend}/form"), Body::None)
        }
        ("POST", "/api/v1/backends/{id}/check") => {
            (format!("/api/v1/backends/{backend}/check"), Body::None)
        }
        ("POST", "/api/v1/backends/{id}/authenticate") => {
            (format!("/api/v1/backends/{backend}/authenticate"), why())
        }
        ("GET", "/api/v1/clients/{n}") => ("/api/v1/clients/1".into(), Body::None),
        ("GET", "/api/v1/clients/{n}/responses") => {
            ("/api/v1/clients/1/responses".into(), Body::None)
        }
        ("GET", "/api/v1/clients/{n}/results") => ("/api/v1/clients/1/results".into(), Body::None),
        ("GET", "/api/v1/clients/{n}/path") => ("/api/v1/clients/1/path".into(), Body::None),
        ("POST", "/api/v1/clients/{n}/unlock") => ("/api/v1/clients/1/unlock".into(), why()),
        ("POST", "/api/v1/clients/{n}/not-busy") => ("/api/v1/clients/1/not-busy".into(), why()),
        ("POST", "/api/v1/commands") => (same(), Body::Json(create)),
        ("GET", "/api/v1/commands/{id}") => (format!("/api/v1/commands/{command}"), Body::None),
        ("POST", "/api/v1/locks") => (same(), Body::Json(json!({ "guid": guid }))),
        ("PUT", "/api/v1/locks/{guid}") => (format!("/api/v1/locks/{guid}"), Body::Json(json!({}))),
        ("DELETE", "/api/v1/locks/{guid}") => (format!("/api/v1/locks/{guid}"), Body::None),
        ("POST", "/api/v1/services/import") => {
            (format!("{}?backend={backend}&reason=x", endpoint.path), csv())
        }
        ("POST", "/api/v1/services/{backend}/select") => {
            let body = json!({ "name": format!("of-{backend}"), "reason": "a test" });
            (format!("/api/v1/services/{backend}/select"), Body::Json(body))
        }
        ("GET", "/api/v1/sync/{name}") => (sync, Body::None),
        ("GET", "/api/v1/sync/{name}/held") => (format!("{sync}/held"), Body::None),
        ("POST", "/api/v1/sync/{name}/run") => (format!("{sync}/run"), why()),
        ("POST", "/api/v1/sync/{name}/dry-run") => {
            (format!("{sync}/dry-run"), Body::Json(json!({})))
        }
        ("POST", "/api/v1/sync/{name}/replay") => {
            (format!("{sync}/replay?reason=x"), Body::Json(json!({})))
        }
        ("POST", "/api/v1/sync/{name}/skip") => (format!("{sync}/skip"), ids()),
        ("POST", "/api/v1/sync/{name}/unskip") => (format!("{sync}/unskip"), ids()),
        ("POST", "/api/v1/sync/{name}/cursor") => (format!("{sync}/cursor"), why()),
        ("POST", "/api/v1/sync/{name}/messages") => {
            (format!("{sync}/messages"), Body::Json(json!({})))
        }
        ("POST", "/api/v1/routes") => {
            let body = json!({ "backend": backend, "key": "k", "reason": "a test" });
            (same(), Body::Json(body))
        }
        ("PUT", "/api/v1/routes/{backend}") => {
            let body = json!({ "key": format!("of-{backend}"), "reason": "a test" });
            (format!("/api/v1/routes/{backend}"), Body::Json(body))
        }
        ("DELETE", "/api/v1/routes/{backend}") => {
            (format!("/api/v1/routes/{backend}?reason=x"), Body::None)
        }
        ("GET", "/api/v1/parked/{n}") => ("/api/v1/parked/1".into(), Body::None),
        ("POST", "/api/v1/parked/{n}/mend") => {
            let body = json!({ "body": "{}", "reason": "a test" });
            ("/api/v1/parked/1/mend".into(), Body::Json(body))
        }
        ("POST", "/api/v1/parked/{n}/replay") => ("/api/v1/parked/1/replay".into(), why()),
        ("POST", "/api/v1/parked/{n}/discard") => ("/api/v1/parked/1/discard".into(), why()),
        ("POST", "/api/v1/history/offload" | "/api/v1/config/reload") => (same(), why()),
        ("POST", "/api/v1/config/log-level") => (same(), Body::Json(json!({ "level": "info" }))),
        (method, path) => panic!("say here how {method} {path} is asked for one backend's things"),
    }
}

/// Shown alike of every backend, or of no one by name.
const NAMELESS: [&str; 8] = [
    "/api/v1/overview",
    "/api/v1/series",
    "/api/v1/clients",
    "/api/v1/clients/{n}",
    "/api/v1/clients/{n}/results",
    "/api/v1/locks",
    "/api/v1/heartbeats",
    "/api/v1/clients/{n}/responses",
];

#[actix::test]
async fn a_limited_token_gets_of_every_endpoint_what_is_of_its_backends_alone() {
    ticketgate::backends::install_tls();
    let systems = start(RestSettings { faults: refusing(), ..RestSettings::default() }).unwrap();
    let world = World::with(&config(&systems)).await;
    world.systems.ledger.set_faults(OTHER, refusing()).unwrap();
    let admin = Caller { world: &world, token: ADMIN };
    let limited = Caller { world: &world, token: LIMITED };
    let theirs = furnish(&admin, THEIRS, 1).await;
    let other = furnish(&admin, OTHER, 11).await;
    let lock =
        json!({ "guid": uuid::Uuid::from_u128(99), "holder": "of-crm", "timeout_ms": 600_000 });
    admin.post("/api/v1/locks", lock).await;
    let why = json!({ "reason": "of-noc" });
    limited.post("/api/v1/lanes/noc/pause", why.clone()).await;
    limited.post("/api/v1/lanes/noc/resume", why).await;
    for backend in [THEIRS, OTHER] {
        let csv = "name,host,port,path,tls,user,timeout,selected\n";
        let csv = format!("{csv}of-{backend},127.0.0.1,9,/x,false,,,true\n");
        let path = format!("/api/v1/services/import?backend={backend}&reason=x");
        let (status, told) = admin.send("POST", &path, &Body::Csv(csv)).await;
        assert_eq!(status, 200, "{told}");
    }
    let beats = admin.until("/api/v1/heartbeats", |it| it["items"][0]["detail"].is_object()).await;
    assert!(beats.to_string().contains("\"crm\""), "there is something to leave out: {beats}");

    let mut tried: BTreeMap<&str, u32> = BTreeMap::new();
    // What may make an end of things comes last.
    let (look, act): (Vec<&Endpoint>, Vec<&Endpoint>) =
        ENDPOINTS.iter().partition(|it| it.method == "GET");
    for endpoint in look.into_iter().chain(act) {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        if endpoint.path == "/api/v1/events" {
            continue;
        }
        let ask = async |things: &Things| {
            let (path, body) = place(endpoint, things);
            limited.send(endpoint.method, &path, &body).await
        };
        let (status, told) = ask(&other).await;
        let names = |text: &str| text.contains("of-crm") || text.contains("\"crm\"");
        match endpoint.scope {
            Scope::Whole => assert_eq!(status, 403, "{name}: {told}"),
            Scope::Free => {
                assert!(![401, 403].contains(&status), "{name}: {status} {told}");
                // The description names no backend, and the dashboard knows none.
                assert!(!names(&told), "{name}: {told}");
            }
            Scope::One => {
                assert_eq!(status, 403, "{name} of another backend: {told}");
                assert!(!told.contains("of-crm"), "{name}: {told}");
                let (status, told) = ask(&theirs).await;
                assert!(![401, 403].contains(&status), "{name} of theirs: {status} {told}");
                assert!(!names(&told), "{name}: {told}");
            }
            Scope::Rows => {
                assert_eq!(status, 200, "{name}: {told}");
                assert!(!names(&told), "{name} shows another backend's: {told}");
                let shows = told.contains("noc") || NAMELESS.contains(&endpoint.path);
                assert!(shows, "{name} shows nothing of theirs: {told}");
                let (path, body) = place(endpoint, &other);
                let (_, whole) = admin.send(endpoint.method, &path, &body).await;
                let figures = ["/api/v1/overview", "/api/v1/series", "/api/v1/clients/{n}/results"];
                let is_there = names(&whole) || figures.contains(&endpoint.path);
                assert!(is_there, "{name}: there was nothing to leave out: {whole}");
            }
        }
        *tried.entry(endpoint.path).or_default() += 1;
    }
    assert!(tried.len() > 60, "{tried:?}");
    world.service.stop().await;
}

/// One summary is refused, so that something has failed.
fn refusing() -> Faults {
    Faults { reject_summary_containing: Some("refused".to_owned()), ..Faults::default() }
}

#[actix::test]
async fn what_else_a_limited_token_sees_and_does_not() {
    ticketgate::backends::install_tls();
    let systems = start(RestSettings::default()).unwrap();
    let world = World::with(&config(&systems)).await;
    let admin = Caller { world: &world, token: ADMIN };
    let limited = Caller { world: &world, token: LIMITED };
    let both = Caller { world: &world, token: BOTH };
    let mut keys = Vec::new();
    for (backend, number) in [(THEIRS, 1), (OTHER, 11)] {
        keys.push(furnish(&admin, backend, number).await.ticket);
    }
    // Both of them: one list, in its order, page by page.
    for list in
        ["tickets", "requests", "alarms", "history", "history?list=tickets", "communication"]
    {
        let whole = admin.get(&format!("/api/v1/{list}")).await;
        assert_eq!(both.get(&format!("/api/v1/{list}")).await["items"], whole["items"], "{list}");
    }
    for order in ["newest", "oldest"] {
        let mut seen = Vec::new();
        let (name, mut next) = (if order == "newest" { "before" } else { "after" }, String::new());
        loop {
            let path = format!("/api/v1/tickets?limit=1&order={order}{next}");
            let told = both.get(&path).await;
            seen.extend(told["items"].as_array().unwrap().iter().map(|it| it["key"].clone()));
            match told["next"].as_u64() {
                Some(n) => next = format!("&{name}={n}"),
                None => break,
            }
        }
        let whole = admin.get(&format!("/api/v1/tickets?order={order}")).await;
        let whole: Vec<_> =
            whole["items"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), whole, "{order}");
    }
    let told = limited.get("/api/v1/history?list=tickets").await;
    assert_eq!(told["items"].as_array().unwrap().len(), 2, "of four: {told}");
    assert!(told.to_string().contains("of-noc"), "{told}");

    // An alarm of no backend may yet become theirs: it is shown, and why it has no ticket.
    let quiet = json!({ "id": "q", "source": "quiet", "state": "raised", "severity": "minor",
                        "raised_at": "2026-11-21T10:00:00Z", "object": "o" });
    admin.post("/api/v1/alarms", quiet).await;
    let told = limited.get("/api/v1/alarms/quiet/q/explain").await;
    assert!(told["verdict"].as_str().unwrap().contains("planned work"), "{told}");

    // One that a person has linked to another backend's ticket keeps that to itself.
    let link = json!({ "key": keys[1], "reason": "a test" });
    admin.post("/api/v1/alarms/quiet/q/link", link).await;
    let (_, text) = limited.send("GET", "/api/v1/alarms/quiet/q/explain", &Body::None).await;
    assert!(!text.contains("of-crm"), "{text}");

    // Of the audit its own lines; another's are refused, also by name.
    limited.post("/api/v1/lanes/noc/pause", json!({ "reason": "mine" })).await;
    let told = limited.get("/api/v1/audit").await;
    assert_eq!(
        (told["items"].as_array().unwrap().len(), &told["items"][0]["why"]),
        (1, &json!("mine"))
    );
    assert_eq!(limited.send("GET", "/api/v1/audit?who=root", &Body::None).await.0, 403);
    assert_eq!(limited.send("GET", "/api/v1/audit?who=limited", &Body::None).await.0, 200);

    // Of the stream what is theirs.
    let request = world.request("/api/v1/events").bearer_auth(LIMITED);
    let mut stream = request.send().await.unwrap();
    limited.post("/api/v1/lanes/noc/resume", json!({ "reason": "mine" })).await;
    for (source, id) in [("crm", "of-crm-2"), ("noc", "of-noc-2")] {
        let event = json!({ "id": id, "source": source, "state": "raised", "severity": "major",
                            "raised_at": "2026-11-21T10:00:00Z", "object": id });
        admin.post("/api/v1/alarms", event).await;
        let path = format!("/api/v1/alarms/{source}/{id}/explain");
        let made = |told: &Value| told["occurrences"][0]["ticket"]["backend_id"].is_string();
        admin.until(&path, made).await;
    }
    let mut heard = String::new();
    soon("its own event", async {
        while !heard.contains("of-noc-2") {
            let part = stream.chunk().await.unwrap().expect("the stream goes on");
            heard.push_str(&String::from_utf8_lossy(&part));
        }
    })
    .await;
    assert!(!heard.contains("of-crm"), "{heard}");
    world.service.stop().await;
}
