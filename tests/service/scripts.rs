//! Automation scripts: commands over the broker with pika, in both encodings and with both kinds of
//! reply queue, and over HTTP. What is said here is not Ticketgate's own code.

use crate::programs::Program;
use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::ChildStdin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// How a script writes, and where it wants its answers.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// `msgpack` or `json`.
    pub encoding: &'static str,
    /// `direct`, `own`, or the name of a queue; none: nowhere.
    pub reply: Option<&'static str>,
}

/// MessagePack, answered through RabbitMQ's direct reply-to.
pub const PACKED: How = How { encoding: "msgpack", reply: Some("direct") };
/// JSON, answered on the script's own queue.
pub const TEXT: How = How { encoding: "json", reply: Some("own") };

/// One answer, as the script got it.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    pub via: String,
    pub correlation_id: Option<String>,
    pub content_type: Option<String>,
    pub message_id: Option<String>,
    pub headers: Map<String, Value>,
    pub body: Value,
}

/// A script on the broker.
pub struct Script {
    program: Program,
    input: Mutex<ChildStdin>,
    sent: AtomicU64,
}

impl Script {
    /// One that listens for its answers, to a service that hears it.
    pub async fn ready(world: &World) -> Self {
        world.on_the_broker().await;
        let exchange = format!("{}.commands", world.broker().1);
        let mut program = Program::start(world, "script.py", &["--exchange", &exchange]);
        let input = program.process.child().stdin.take().expect("it is piped");
        let ready = async || (program.count() > 0).then_some(());
        world.until("the script listens", ready).await;
        Self { program, input: Mutex::new(input), sent: AtomicU64::new(0) }
    }

    /// Gives it a command to send; the correlation id of its answers.
    pub fn send(&self, how: How, body: &Value) -> String {
        let mut order = json!({ "body": body });
        order["encoding"] = json!(how.encoding);
        self.order(how.reply, order)
    }

    /// Gives it bytes, in base64, to send as they are.
    pub fn send_raw(&self, reply: Option<&str>, claims: &str, base64: &str) -> String {
        self.order(reply, json!({ "encoding": "raw", "claims": claims, "body": base64 }))
    }

    fn order(&self, reply: Option<&str>, mut order: Value) -> String {
        let correlation_id = format!("c{}", self.sent.fetch_add(1, Ordering::Relaxed));
        order["reply"] = json!(reply);
        order["correlation_id"] = json!(correlation_id);
        let mut input = self.input.lock().expect("nobody panics with it");
        writeln!(input, "{order}").expect("the script reads");
        correlation_id
    }

    /// The answers that came under a correlation id so far.
    pub fn answers(&self, correlation_id: &str) -> Vec<Answer> {
        let said = self.program.said();
        let answers = said.iter().filter(|line| !line.contains("\"ready\""));
        answers
            .map(|line| serde_json::from_str::<Answer>(line).expect("it says what it heard"))
            .filter(|answer| answer.correlation_id.as_deref() == Some(correlation_id))
            .collect()
    }

    /// Waits for that many answers.
    pub async fn has(&self, world: &World, correlation_id: &str, count: usize) -> Vec<Answer> {
        let what = format!("{count} answers to {correlation_id} are here");
        let there = async || {
            let answers = self.answers(correlation_id);
            (answers.len() >= count).then_some(answers)
        };
        world.until(&what, there).await
    }

    /// Waits for an answer that is as wanted.
    pub async fn hears(
        &self,
        world: &World,
        correlation_id: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let there = async || {
            let answers = self.answers(correlation_id);
            answers.into_iter().map(|answer| answer.body).find(|body| is(body))
        };
        world.until(&format!("{correlation_id} is answered: {what}"), there).await
    }

    /// Sends a command and waits for its final answer.
    pub async fn ask(&self, world: &World, how: How, body: &Value) -> Value {
        let id = self.send(how, body);
        self.hears(world, &id, "final", |body| body["stage"] == "final").await
    }

    /// It stands still until [`Self::thaw`].
    pub fn freeze(&self) {
        self.program.process.freeze();
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.program.process.thaw();
    }
}

/// Where a sentence is said: over the broker, or over HTTP.
#[derive(Clone, Copy)]
pub enum Face<'a> {
    Bus(&'a Script, How),
    Http,
}

impl<'a> Face<'a> {
    /// All of them.
    pub fn all(script: &'a Script) -> [Self; 3] {
        [Self::Bus(script, PACKED), Self::Bus(script, TEXT), Self::Http]
    }

    /// Says a command; its final answer. Over HTTP an error's members stand beside those of the
    /// problem.
    pub async fn ask(self, world: &World, body: &Value) -> Value {
        match self {
            Self::Bus(script, how) => script.ask(world, how, body).await,
            Self::Http => {
                let (_, answer) = world.post("/api/v1/commands?wait=90s", body.to_string()).await;
                assert_eq!(answer["stage"], "final", "{answer}");
                answer
            }
        }
    }
}

/// A fresh command.
pub fn command(name: &str, members: Value) -> Value {
    let mut command = json!({ "command": name, "id": Uuid::now_v7() });
    for (name, value) in members.as_object().expect("members") {
        command[name] = value.clone();
    }
    command
}

/// A create at the backend `crm`.
pub fn create(summary: &str) -> Value {
    command("create", json!({ "backend": "crm", "fields": { "summary": summary } }))
}

/// An acquire of one minute that does not wait.
pub fn acquire(guid: Uuid) -> Value {
    command("lock.acquire", json!({ "guid": guid, "holder": "a test" }))
}

/// The same command under a lock, as its acquire told it.
pub fn under(mut command: Value, lock: &Value) -> Value {
    command["lock"] = json!({ "guid": lock["guid"], "fence": lock["fence"] });
    command
}

/// What was given; the answer must be a good one.
pub fn given(answer: &Value) -> Value {
    assert_eq!(answer["ok"], true, "{answer}");
    answer["result"].clone()
}

/// The error's code; the answer must be a bad one.
pub fn code(answer: &Value) -> &str {
    assert_eq!(answer["ok"], false, "{answer}");
    answer["error"]["code"].as_str().unwrap_or_default()
}

/// A service on the broker before one backend, `crm`; `more` goes before its policy.
pub async fn scripted(
    node: &Rabbit,
    prefix: &str,
    faults: Faults,
    backend: &'static str,
    more: &str,
) -> World {
    let backends = vec![("crm", faults, backend)];
    let config = format!("{more}\n[policy]\ndefault_backend = \"crm\"\n");
    let broker = Some((node.url(), prefix.to_owned()));
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}
