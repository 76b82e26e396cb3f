//! A ticketing system that takes writes now and says later what became of them: over HTTP with a
//! token of its own and a body of its own, and over AMQP in our words.

use crate::alarms::raised;
use crate::programs::Publisher;
use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const TOKEN: &str = "the-backends-own-token";

/// A system that answers every create with 202 and a number, and remembers what it was asked for.
struct Slow {
    server: MockServer,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Slow {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let books = taken.clone();
        let take = move |request: &Request| {
            let mut books = books.lock().unwrap();
            books.push(request.body_json().unwrap());
            ResponseTemplate::new(202).set_body_json(json!({"order": books.len()}))
        };
        Mock::given(method("POST")).and(path("/tickets")).respond_with(take).mount(&server).await;
        Self { server, taken }
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }

    /// Its description, and how its later answers come.
    fn config(&self, world_home: &std::path::Path, confirm_within: &str) -> String {
        let token = world_home.join("callback.token");
        std::fs::write(&token, TOKEN).unwrap();
        format!(
            r#"
[policy]
default_backend = "slow"
[[callbacks]]
backend = "slow"
token_file = {token:?}
[callbacks.select]
id = "$.event"
backend_ref = "$.order"
backend_id = "$.ticket"
outcome = "$.state"
done = ["CREATED"]
rejected = ["REFUSED"]
error = "$.why"
[[backend]]
id = "slow"
type = "rest"
base_url = {url:?}
confirm_within = {confirm_within:?}
timeout = "1s"
[backend.create]
method = "POST"
path = "/tickets"
json = {{ key = "{{{{ correlation_key }}}}", summary = "{{{{ fields.summary }}}}" }}
[backend.create.later]
status = [202]
reference = {{ select = "$.order" }}
[backend.create.read]
id = {{ select = "$.ticket" }}
"#,
            url = self.server.uri(),
        )
    }
}

async fn says(world: &World, body: Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/callbacks/slow", world.url())).bearer_auth(TOKEN);
    let answer = request.body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// The states of all requests, oldest first.
async fn states(world: &World) -> Vec<String> {
    let mut rows = world.all("/api/v1/requests").await;
    rows.reverse();
    rows.iter().map(|row| row["state"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn until_states(world: &World, wanted: &[&str]) {
    let what = format!("the requests are {wanted:?}");
    world.until(&what, async || (states(world).await == wanted).then_some(())).await;
}

async fn world(slow: &Slow, node: &Rabbit, prefix: &str, confirm_within: &str) -> World {
    let home = tempfile::TempDir::with_prefix("ticketgate-later").unwrap().keep();
    let config = slow.config(&home, confirm_within);
    let broker = Some((node.url(), prefix.to_owned()));
    let world = World::started(Setting { broker, config, ..Setting::default() }).await;
    world.on_the_broker().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_answers_end_what_was_only_taken() {
    let slow = Slow::start().await;
    let world = world(&slow, Rabbit::shared().await, "later", "1h").await;
    let alarms: Vec<_> = (1..=3).map(|n| raised("probe", &n.to_string())).collect();
    for alarm in &alarms {
        let (status, _) = world.post("/api/v1/alarms", alarm.to_string()).await;
        assert_eq!(status, 202);
        // One after the other, so that their numbers there are known.
        let all = slow.taken().len();
        world.until("it is taken", async || (slow.taken().len() > all).then_some(())).await;
    }
    until_states(&world, &["acknowledged"; 3]).await;

    // In a body of its own, with a token of its own; a repeat changes nothing.
    let done = json!({"event": "e1", "order": 1, "state": "CREATED", "ticket": "INC-1"});
    assert_eq!(says(&world, done.clone()).await.1["state"], "done");
    assert_eq!(says(&world, done).await, (200, json!({"repeat": true})));
    let refused = json!({"event": "e2", "order": 2, "state": "REFUSED", "why": "no such group"});
    assert_eq!(says(&world, refused).await.1["state"], "rejected");
    let unknown = json!({"event": "e3", "order": 99, "state": "CREATED", "ticket": "INC-9"});
    assert_eq!(says(&world, unknown).await.0, 404);
    let late = json!({"event": "e4", "order": 1, "state": "REFUSED", "why": "after all"});
    assert_eq!(says(&world, late).await.0, 409);
    let (status, problem) = world.post("/callbacks/slow", "{}").await;
    assert_eq!((status, problem["status"].as_u64()), (401, Some(401)));

    // In our words, over AMQP; one that fits nothing is parked.
    let key = slow.taken()[2]["key"].clone();
    let mut publisher = Publisher::to(&world, "answers");
    publisher.publish(vec![
        json!({"routing_key": "answer", "message_id": "m1", "encoding": "msgpack", "body":
            {"id": "a1", "backend": "slow", "correlation_key": key, "outcome": "done", "backend_id": "INC-3"}}),
        json!({"routing_key": "answer", "message_id": "m2", "encoding": "json", "body":
            {"id": "a2", "backend": "slow", "backend_ref": "nobody's", "outcome": "done", "backend_id": "X"}}),
    ]);
    until_states(&world, &["done", "rejected", "done"]).await;
    world
        .until("the other is parked", async || {
            let parked = world.look("/api/v1/parked").await;
            let reason = parked["items"][0]["reason"].as_str()?.to_owned();
            reason.contains("fits no request").then_some(())
        })
        .await;
    let ids: Vec<_> = world
        .all("/api/v1/tickets")
        .await
        .iter()
        .map(|ticket| ticket["backend_id"].clone())
        .collect();
    assert_eq!(ids, [json!("INC-3"), Value::Null, json!("INC-1")]);
    assert_eq!(slow.taken().len(), 3, "each was sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_confirmed_is_for_a_person_and_its_answer_may_still_come() {
    let slow = Slow::start().await;
    let world = world(&slow, Rabbit::shared().await, "unconfirmed", "1s").await;
    let (status, _) = world.post("/api/v1/alarms", raised("probe", "1").to_string()).await;
    assert_eq!(status, 202);
    // It cannot be searched, and nothing may be sent twice.
    until_states(&world, &["undecided"]).await;
    let done = json!({"event": "e1", "order": 1, "state": "CREATED", "ticket": "INC-1"});
    assert_eq!(says(&world, done).await.1["state"], "done");
    world.settled(1).await;
    assert_eq!(slow.taken().len(), 1);
}
