//! A subscriber: hears ticket events and acts on each once.
//!
//!     cargo run --example follow_events -- --queue subscriber.example --bind 'ticket.#'
//!     cargo run --example follow_events -- --queue ticketgate.noc       (a queue of [[subscriptions]])
//!
//! What to copy: a durable queue of one's own, so that events wait while the subscriber is away;
//! every argument of the queue stated; the acknowledgement after the act; repeats dropped by
//! `event_id`; unknown events passed over; a new connection after any trouble. Events of one ticket
//! come in the order of their `sequence`.

use anyhow::Context;
use clap::Parser;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::time::sleep;

/// Between two connections.
const PAUSE: Duration = Duration::from_secs(1);
/// Deliveries that may be under way.
const PREFETCH: u16 = 50;
/// Events that are remembered, against repeats.
const REMEMBERED: usize = 100_000;

/// Prints ticket events, one a line
#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "subscriber.example")]
    queue: String,
    /// Declare the queue and bind it to these keys; without one, the queue must be there
    #[arg(long)]
    bind: Vec<String>,
    /// End after so many events
    #[arg(long)]
    count: Option<usize>,
    #[arg(long, env = "AMQP_URL", default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    url: String,
    #[arg(long, default_value = "ticketgate.tickets")]
    exchange: String,
}

/// The last events' ids. In memory: after a restart a repeat is acted on again. Where that matters,
/// store the id together with what the event made you do.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&self, id: &str) -> bool {
        !self.ids.contains(id)
    }

    fn remember(&mut self, id: &str) {
        self.ids.insert(id.to_owned());
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// What this subscriber is there for.
fn act(event: &Value) {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    println!(
        "{} {} {} {} {}/{}",
        text("/event"),
        text("/ticket/backend"),
        text("/ticket/backend_id"),
        text("/ticket/status"),
        text("/alarm/source"),
        text("/alarm/id"),
    );
}

async fn listen(options: &Options, seen: &mut Seen, acted: &mut usize) -> anyhow::Result<()> {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&options.url, properties).await?;
    let channel = connection.create_channel().await?;
    if !options.bind.is_empty() {
        declare(&channel, options).await?;
    }
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut deliveries = channel
        .basic_consume(
            options.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    eprintln!("listening on {}", options.queue);
    while options.count.is_none_or(|count| *acted < count) {
        let delivery = deliveries.next().await.context("the broker ended the consumer")??;
        let json = delivery
            .properties
            .content_type()
            .as_ref()
            .is_some_and(|it| it.as_str() == "application/json");
        let event: Option<Value> = match json {
            true => serde_json::from_slice(&delivery.data).ok(),
            false => rmp_serde::from_slice(&delivery.data).ok(),
        };
        // What cannot be read will not become readable: it is said and acknowledged, not sent back.
        match event {
            None => eprintln!("unreadable: {}", delivery.routing_key),
            // Write-backs and whatever else a binding let in.
            Some(event) if event["event_id"].is_null() => {}
            Some(event) => {
                let id = event["event_id"].as_str().unwrap_or_default();
                if seen.is_new(id) {
                    act(&event);
                    seen.remember(id);
                    *acted += 1;
                }
            }
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    // Only now: closing before the last acknowledgement would bring the last event again.
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn declare(channel: &Channel, options: &Options) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    for (name, value) in [("x-queue-type", "quorum"), ("x-overflow", "drop-head")] {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    // While nobody listens, the newest are kept; RabbitMQ 4 would drop what came 20 times.
    for (name, value) in [("x-max-length", 1_000_000), ("x-delivery-limit", 1_000_000_000)] {
        arguments.insert(name.into(), AMQPValue::LongLongInt(value));
    }
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let queue = options.queue.as_str();
    channel.queue_declare(queue.into(), durable, arguments).await?;
    for key in &options.bind {
        let exchange = options.exchange.as_str().into();
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(queue.into(), exchange, key.as_str().into(), bind, FieldTable::default())
            .await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let (mut seen, mut acted) = (Seen::default(), 0);
    while let Err(trouble) = listen(&options, &mut seen, &mut acted).await {
        eprintln!("{trouble:#}; connecting again");
        sleep(PAUSE).await;
    }
}
