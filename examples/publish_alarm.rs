//! An alarm system: sends one alarm event to Ticketgate over RabbitMQ, at least once.
//!
//!     cargo run --example publish_alarm -- raised probe link-7 --severity major --text "no signal"
//!     cargo run --example publish_alarm -- cleared probe link-7
//!
//! What to copy: one message id an event, made before the first try and kept through every other;
//! publisher confirms with a deadline; `mandatory`, so that a broker where Ticketgate has never
//! been does not confirm what it drops; a new connection after any trouble. Ticketgate takes a
//! repeat of a message id as said already.

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::json;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// For connecting, and from a publish to its confirm.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends one alarm event
#[derive(Parser)]
struct Options {
    state: State,
    /// Who watches: part of the alarm's identity
    source: String,
    /// The alarm's id at its source, the same from raise to clear
    id: String,
    /// What it is about; the id, if absent
    #[arg(long)]
    object: Option<String>,
    #[arg(long, default_value = "major")]
    severity: String,
    #[arg(long, default_value = "")]
    text: String,
    /// When the alarm was raised (RFC 3339); now, if absent
    #[arg(long)]
    raised_at: Option<String>,
    #[arg(long, env = "AMQP_URL", default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    url: String,
    #[arg(long, default_value = "ticketgate.alarms")]
    exchange: String,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum State {
    Raised,
    Updated,
    Cleared,
}

/// Publishes until the broker has it.
struct Publisher {
    url: String,
    exchange: String,
    open: Option<(Connection, Channel)>,
}

impl Publisher {
    async fn publish(&mut self, key: &str, message_id: &str, body: &[u8]) {
        while let Err(trouble) = self.attempt(key, message_id, body).await {
            eprintln!("{message_id}: {trouble:#}; trying again");
            // Whatever it was: a channel that refused once is of no more use.
            self.open = None;
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&mut self, key: &str, message_id: &str, body: &[u8]) -> anyhow::Result<()> {
        if self.open.is_none() {
            self.open = Some(timeout(DEADLINE, self.connect()).await.context("no answer")??);
        }
        let (_, channel) = self.open.as_ref().context("it was opened just now")?;
        let properties = BasicProperties::default()
            .with_message_id(message_id.into())
            .with_content_type("application/msgpack".into())
            .with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let publish = async {
            let exchange = self.exchange.as_str().into();
            channel.basic_publish(exchange, key.into(), options, body, properties).await?.await
        };
        match timeout(DEADLINE, publish).await.context("no confirm")?? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => bail!("no queue takes {key}: has Ticketgate run here?"),
            _ => bail!("the broker did not take it"),
        }
    }

    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }
}

#[tokio::main]
#[allow(clippy::disallowed_methods, reason = "an alarm system has a clock of its own")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let now = jiff::Timestamp::now().to_string();
    let state = match options.state {
        State::Raised => "raised",
        State::Updated => "updated",
        State::Cleared => "cleared",
    };
    let mut event = json!({
        "id": options.id,
        "source": options.source,
        "state": state,
        "raised_at": options.raised_at.as_ref().unwrap_or(&now),
        "changed_at": now,
        "object": options.object.as_ref().unwrap_or(&options.id),
        "text": options.text,
    });
    if options.state != State::Cleared {
        event["severity"] = json!(options.severity);
    }
    // A topic key's words have no dots.
    let word = |text: &str| text.replace(['.', '*', '#', ' '], "_");
    let severity = if options.state == State::Cleared { "cleared" } else { &options.severity };
    let key = format!("alarm.{}.{}", word(&options.source), word(severity));

    // An alarm system stores this beside the event, before the first try.
    let message_id = Uuid::now_v7().to_string();
    let body = rmp_serde::to_vec_named(&event)?;
    let mut publisher = Publisher { url: options.url, exchange: options.exchange, open: None };
    publisher.publish(&key, &message_id, &body).await;
    println!("confirmed {message_id} {key}");
    Ok(())
}
