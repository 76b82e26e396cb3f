//! Everybody else's programs: Python over pika, in processes of their own, held to the wire alone.

use crate::process::{Process, append_to};
use crate::world::World;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A message as a subscriber heard it.
#[derive(Clone, Debug, Deserialize)]
pub struct Heard {
    pub routing_key: String,
    pub exchange: String,
    pub redelivered: bool,
    pub message_id: Option<String>,
    pub delivery_mode: Option<u8>,
    pub content_type: Option<String>,
    pub headers: Map<String, Value>,
    /// Of the body's bytes.
    pub digest: String,
    pub body: Value,
}

/// A program, and the lines that it has said.
pub struct Program {
    pub process: Process,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub fn start(world: &World, script: &str, args: &[&str]) -> Self {
        let mut process = Process::start(&mut python(world, script, args));
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = process.child().stdout.take().expect("it is piped");
        let shelf = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                shelf.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { process, said }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("nobody panics with it").clone()
    }

    pub fn count(&self) -> usize {
        self.said.lock().expect("nobody panics with it").len()
    }
}

fn python(world: &World, script: &str, args: &[&str]) -> Command {
    // Debian's own, for which the packages are; another Python may come first in the path.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pika/").to_owned() + script);
    command.args(["--url", world.broker().0]).args(args);
    // No compiled files beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(append_to(&world.file("programs.log")));
    command
}

/// An alarm system: publishes until the broker has confirmed each message.
pub struct Publisher {
    program: Program,
    input: Option<ChildStdin>,
}

impl Publisher {
    /// As fast as confirms come back, or so many messages a second.
    pub fn start(world: &World, rate: Option<u32>) -> Self {
        Self::publishing(world, "alarms", rate)
    }

    /// To another exchange than that of alarms.
    pub fn to(world: &World, exchange: &str) -> Self {
        Self::publishing(world, exchange, None)
    }

    fn publishing(world: &World, exchange: &str, rate: Option<u32>) -> Self {
        let exchange = format!("{}.{exchange}", world.broker().1);
        let rate = rate.map(|rate| rate.to_string());
        let mut args = vec!["--exchange", exchange.as_str()];
        args.extend(rate.iter().flat_map(|rate| ["--rate", rate.as_str()]));
        let mut program = Program::start(world, "publish.py", &args);
        let input = program.process.child().stdin.take();
        Self { program, input }
    }

    /// Gives it messages to publish, from a thread: the pipe holds only a few.
    pub fn publish(&mut self, messages: Vec<Value>) {
        self.publish_from(messages);
    }

    /// Publishes what comes, until there will be no more.
    pub fn publish_from<I>(&mut self, messages: I)
    where
        I: IntoIterator<Item = Value> + Send + 'static,
    {
        let mut input = self.input.take().expect("one list of messages a publisher");
        std::thread::spawn(move || {
            for message in messages {
                // It may be gone because its test is.
                if writeln!(input, "{message}").is_err() {
                    return;
                }
            }
        });
    }

    /// Messages that the broker has.
    pub fn confirmed(&self) -> usize {
        self.program.count()
    }

    /// Publishes some messages and waits until the broker has them.
    pub async fn send(world: &World, messages: Vec<Value>) {
        let all = messages.len();
        let mut publisher = Self::start(world, None);
        publisher.publish(messages);
        publisher.has_sent(world, all).await;
    }

    /// Waits until the broker has that many.
    pub async fn has_sent(&self, world: &World, all: usize) {
        let what = format!("the broker has confirmed {all} messages");
        world.until(&what, async || (self.confirmed() >= all).then_some(())).await;
    }
}

/// A subscriber with a queue of its own.
pub struct Subscriber {
    program: Program,
    queue: String,
}

impl Subscriber {
    /// One that listens to ticket events and write-backs.
    pub async fn listening(world: &World, name: &str, bindings: &[&str]) -> Self {
        Self::listening_to(world, "tickets", name, bindings).await
    }

    /// One that listens to one of the service's exchanges.
    pub async fn listening_to(
        world: &World,
        exchange: &str,
        name: &str,
        bindings: &[&str],
    ) -> Self {
        let prefix = world.broker().1;
        let (exchange, queue) = (format!("{prefix}.{exchange}"), format!("{prefix}.test.{name}"));
        let mut args = vec!["--exchange", exchange.as_str(), "--queue", queue.as_str()];
        args.extend(bindings.iter().flat_map(|key| ["--bind", key]));
        let program = Program::start(world, "subscribe.py", &args);
        let ready = async || (program.count() > 0).then_some(());
        world.until(&format!("{queue} listens"), ready).await;
        Self { program, queue }
    }

    /// Its queue.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// How many lines it has said; at most so many messages were heard.
    pub fn count(&self) -> usize {
        self.program.count()
    }

    /// Everything that it has heard, in the order in which it came.
    pub fn heard(&self) -> Vec<Heard> {
        heard(&self.program.said())
    }
}

fn heard(lines: &[String]) -> Vec<Heard> {
    let deliveries = lines.iter().filter(|line| !line.contains("\"ready\""));
    deliveries.map(|line| serde_json::from_str(line).expect("it says what it heard")).collect()
}

/// What waits in a queue, taken by a subscriber that comes only now.
pub fn drain(world: &World, queue: &str) -> Vec<Heard> {
    let output = python(world, "drain.py", &["--queue", queue]).output().expect("python starts");
    assert!(output.status.success(), "draining {queue}: {:?}", output.status);
    let text = String::from_utf8(output.stdout).expect("it speaks UTF-8");
    heard(&text.lines().map(str::to_owned).collect::<Vec<_>>())
}
