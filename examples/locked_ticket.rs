//! An automation script: under a lock, finds the open ticket of an object and writes a note into it,
//! or makes one.
//!
//!     cargo run --example locked_ticket -- crm db-1 "disk is full"
//!
//! What to copy: a lock is a place at Ticketgate's ticket clients, with a time-out and a fence; every
//! command under it carries both, and is refused with `lock_lost` once it is gone. Each command has
//! an id, made before the first try: when no answer comes, or the connection is lost, the same
//! command goes out again under the same id, and is not done twice. A write is answered twice:
//! `accepted` (it is stored, and will be done) and `final`. In between come `blocked_by`, `in_doubt`
//! and `undecided`: not final, so the script waits on.
//!
//! Exit codes: 0 done; 1 refused; 3 not known yet (the id is printed: ask again under it).

use anyhow::{Context, bail};
use clap::Parser;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

/// A queue that the broker makes up for this connection: no rights on any queue are needed.
const REPLIES: &str = "amq.rabbitmq.reply-to";
/// For connecting, and from a publish to its confirm.
const DEADLINE: Duration = Duration::from_secs(10);
/// Without an answer for so long, a command is sent again; longer than an acquire waits.
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ACQUIRE_WAITS: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Locks that are taken, one after another was lost.
const LOCKS_MAX: u32 = 5;

/// Writes a note into the open ticket of an object, or makes a ticket
#[derive(Parser)]
struct Options {
    backend: String,
    object: String,
    note: String,
    /// Seconds between the search and the write, as if there were much to compute
    #[arg(long, default_value_t = 0.0)]
    think: f64,
    /// Seconds after which the lock is gone, unless renewed
    #[arg(long, default_value_t = 30.0)]
    lock_timeout: f64,
    /// Seconds until this script gives up waiting for an answer
    #[arg(long, default_value_t = 300.0)]
    patience: f64,
    #[arg(long, env = "AMQP_URL", default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    url: String,
    #[arg(long, default_value = "ticketgate.commands")]
    exchange: String,
}

/// Why a command has no result.
enum No {
    /// Its final answer: a code of the closed list, and a message.
    Refused(String, String),
    /// No final answer came in time; the command's id.
    NotKnown(String),
}

struct Line {
    /// Keeps it open.
    _connection: Connection,
    channel: Channel,
    replies: Consumer,
}

/// Sends commands and waits for their answers, one at a time.
struct Desk {
    options: Options,
    line: Option<Line>,
}

impl Desk {
    /// The result of a command. Safe to be called again with the same command.
    async fn call(&mut self, command: &Value) -> Result<Value, No> {
        let until = Instant::now() + Duration::from_secs_f64(self.options.patience);
        let id = command["id"].as_str().unwrap_or_default();
        while Instant::now() < until {
            let answer = match self.ask(id, command, until).await {
                Ok(answer) => answer,
                Err(trouble) => {
                    eprintln!("{trouble:#}; asking again");
                    self.line = None;
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match answer {
                // Silence: sent again, as it is.
                None => {}
                Some(answer) if answer["ok"] == true => return Ok(answer["result"].clone()),
                Some(answer) => {
                    let part = |name: &str| answer["error"][name].as_str().unwrap_or("").to_owned();
                    match (part("code").as_str(), command["command"].as_str()) {
                        // Nothing was done, and nothing is remembered.
                        ("busy", _) | ("timeout", Some("lock.acquire" | "search" | "query")) => {
                            eprintln!("{}; asking again", part("message"));
                            sleep(PAUSE).await;
                        }
                        _ => return Err(No::Refused(part("code"), part("message"))),
                    }
                }
            }
        }
        Err(No::NotKnown(id.to_owned()))
    }

    /// Sends a command and waits for its final answer; none if there was silence for too long.
    async fn ask(
        &mut self,
        id: &str,
        command: &Value,
        until: Instant,
    ) -> anyhow::Result<Option<Value>> {
        if self.line.is_none() {
            self.line = Some(timeout(DEADLINE, self.connect()).await.context("no answer")??);
        }
        let exchange = self.options.exchange.as_str();
        let line = self.line.as_mut().context("it was opened just now")?;
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_correlation_id(id.into())
            .with_reply_to(REPLIES.into())
            .with_content_type("application/msgpack".into())
            .with_delivery_mode(2);
        let body = rmp_serde::to_vec_named(command)?;
        let publish = async {
            let options = BasicPublishOptions::default();
            let sent = line.channel.basic_publish(
                exchange.into(),
                "command".into(),
                options,
                &body,
                properties,
            );
            sent.await?.await
        };
        if !timeout(DEADLINE, publish).await.context("no confirm")??.is_ack() {
            bail!("the broker did not take it");
        }
        loop {
            let patience = (Instant::now() + ASK_AGAIN).min(until);
            let Ok(reply) = timeout_at(patience, line.replies.next()).await else {
                return Ok(None);
            };
            let reply = reply.context("the broker ended the consumer")??;
            let about = reply.properties.correlation_id();
            if about.as_ref().is_none_or(|about| about.as_str() != id) {
                continue; // late, of a command before
            }
            let answer: Value = rmp_serde::from_slice(&reply.data)?;
            if answer["stage"] == "final" {
                return Ok(Some(answer));
            }
            let text =
                |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            match text("/error/code") {
                "" => eprintln!("accepted: request {}", text("/request_id")),
                // blocked_by, in_doubt, undecided: accepted all the same.
                code => eprintln!("{code}: {} {}", text("/error/message"), text("/error/field")),
            }
        }
    }

    async fn connect(&self) -> lapin::Result<Line> {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.options.url, properties).await?;
        let channel = connection.create_channel().await?;
        // Listening comes first, and on the channel that publishes.
        let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let replies =
            channel.basic_consume(REPLIES.into(), "".into(), no_ack, FieldTable::default()).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Line { _connection: connection, channel, replies })
    }

    /// The whole work, under one lock.
    async fn under_lock(&mut self, guid: &str) -> Result<Value, No> {
        let timeout_ms = (self.options.lock_timeout * 1_000.0) as u64;
        let acquired = self
            .call(&command(
                "lock.acquire",
                json!({
                    "guid": guid, "timeout_ms": timeout_ms, "holder": "locked_ticket example",
                    "wait_ms": u64::try_from(ACQUIRE_WAITS.as_millis()).unwrap_or(u64::MAX),
                }),
            ))
            .await?;
        eprintln!("locked: client {}, fence {}", acquired["client"], acquired["fence"]);
        let lock = json!({ "guid": guid, "fence": acquired["fence"] });
        let Options { backend, object, note, .. } = &self.options;

        let search = command(
            "search",
            json!({
                "backend": backend, "where": { "object": object }, "lock": lock, "limit": 20,
            }),
        );
        let create = json!({
            "backend": backend, "lock": lock,
            "fields": { "summary": format!("{object}: {note}"), "object": object, "note": note },
        });
        let change = json!({ "backend": backend, "lock": lock, "fields": { "note": note } });

        let found = self.call(&search).await?;
        self.think(guid, timeout_ms).await?;
        let open =
            |ticket: &&Value| !matches!(ticket["status"].as_str(), Some("closed" | "cancelled"));
        match found["tickets"].as_array().into_iter().flatten().find(open) {
            Some(ticket) => {
                let mut change = change;
                change["backend_id"] = ticket["backend_id"].clone();
                let result = self.call(&command("update", change)).await?;
                Ok(json!({ "did": "updated", "backend_id": result["ticket"]["backend_id"] }))
            }
            None => {
                let result = self.call(&command("create", create)).await?;
                Ok(json!({ "did": "created", "backend_id": result["backend_id"] }))
            }
        }
    }

    /// Long work under a lock: renews it three times within its time-out.
    async fn think(&mut self, guid: &str, timeout_ms: u64) -> Result<(), No> {
        let until = Instant::now() + Duration::from_secs_f64(self.options.think);
        loop {
            self.call(&command("lock.renew", json!({ "guid": guid, "timeout_ms": timeout_ms })))
                .await?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(timeout_ms / 3))).await;
        }
    }
}

/// A command with an id of its own.
fn command(name: &str, mut parts: Value) -> Value {
    parts["command"] = json!(name);
    parts["id"] = json!(Uuid::now_v7().to_string());
    parts
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut desk = Desk { options: Options::parse(), line: None };
    for _ in 0..LOCKS_MAX {
        let guid = Uuid::new_v4().to_string();
        let done = desk.under_lock(&guid).await;
        if !matches!(done, Err(No::NotKnown(_))) {
            // It would end by itself; so it is free at once. Nothing depends on the answer.
            let _ = desk.call(&command("lock.release", json!({ "guid": guid }))).await;
        }
        match done {
            Ok(did) => {
                println!(
                    "{} {}",
                    did["did"].as_str().unwrap_or("-"),
                    did["backend_id"].as_str().unwrap_or("-")
                );
                return ExitCode::SUCCESS;
            }
            // Nothing was written. What was found may have changed: all of it again.
            Err(No::Refused(code, message)) if code == "lock_lost" => {
                eprintln!("lock_lost: {message}; beginning again");
            }
            Err(No::Refused(code, message)) => {
                eprintln!("{code}: {message}");
                return ExitCode::from(1);
            }
            Err(No::NotKnown(id)) => {
                eprintln!("no final answer yet to command {id}");
                return ExitCode::from(3);
            }
        }
    }
    eprintln!("the lock was lost {LOCKS_MAX} times");
    ExitCode::from(1)
}
