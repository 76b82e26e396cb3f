//! The broker's side of a run: names, the intake queue as Ticketgate declares it (with other arguments
//! Ticketgate would not start), and publishing into it.

use crate::alarms;
use anyhow::ensure;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;

/// Unconfirmed publishes of the alarm systems.
const WINDOW: usize = 256;

/// A publish on its way.
pub type Confirm = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// The exchange of tickets.
pub fn tickets(prefix: &str) -> String {
    format!("{prefix}.tickets")
}

/// The queue of alarms.
pub fn intake(prefix: &str) -> String {
    format!("{prefix}.alarms.intake")
}

/// A connection of the alarm systems, and the names of one run.
pub struct Desk {
    _connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Desk {
    /// Declares what a run needs.
    pub async fn open(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let desk = Self { _connection: connection, channel, prefix: prefix.to_owned() };
        for (name, kind) in [
            ("alarms", ExchangeKind::Topic),
            ("tickets", ExchangeKind::Topic),
            ("parked", ExchangeKind::Fanout),
        ] {
            desk.exchange(name, kind).await?;
        }
        let mut arguments = FieldTable::default();
        let mut text = |name: &str, value: &str| {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        text("x-queue-type", "quorum");
        text("x-overflow", "reject-publish");
        text("x-dead-letter-exchange", &format!("{prefix}.parked"));
        text("x-dead-letter-strategy", "at-least-once");
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(1_000));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let queue = intake(prefix);
        desk.channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        let (from, key) = (format!("{prefix}.alarms"), "alarm.#");
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        desk.channel.queue_bind(queue.into(), from.into(), key.into(), options, none).await?;
        Ok(desk)
    }

    async fn exchange(&self, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let name = format!("{}.{name}", self.prefix);
        self.channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
    }

    /// Publishes alarms as fast as the broker confirms them.
    pub async fn preload(&self, count: usize, backends: usize) -> anyhow::Result<()> {
        self.publish_all(0..count, 0..backends).await
    }

    /// The same for alarms of these numbers, and these backends.
    pub async fn publish_all(
        &self,
        numbers: Range<usize>,
        backends: Range<usize>,
    ) -> anyhow::Result<()> {
        let mut unconfirmed = VecDeque::with_capacity(WINDOW);
        for n in numbers {
            unconfirmed.push_back(self.publish(n, &backends).await?);
            if unconfirmed.len() >= WINDOW
                && let Some(confirm) = unconfirmed.pop_front()
            {
                ensure!(confirm.await?.is_ack(), "the broker did not take an alarm");
            }
        }
        for confirm in unconfirmed {
            ensure!(confirm.await?.is_ack(), "the broker did not take an alarm");
        }
        Ok(())
    }

    /// Publishes alarm number `n`, for one of these backends.
    pub async fn publish(&self, n: usize, backends: &Range<usize>) -> anyhow::Result<Confirm> {
        let (id, body) = alarms::alarm(n, backends.start + n % backends.len());
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(id.into())
            .with_content_type("application/json".into());
        let (exchange, key) = (format!("{}.alarms", self.prefix), "alarm.bench.major");
        let options = BasicPublishOptions::default();
        let publishing =
            self.channel.basic_publish(exchange.into(), key.into(), options, &body, properties);
        Ok(Box::pin(publishing.await?))
    }

    /// Declares a queue a backend, as Celery does.
    pub async fn queues_of_celery(&self, backends: usize) -> anyhow::Result<()> {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        for number in 0..backends {
            let queue = of_celery(&self.prefix, number);
            self.channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
        }
        Ok(())
    }

    /// Publishes alarms as tasks of Celery's protocol 2, into the queues of their backends.
    pub async fn preload_celery(&self, count: usize, backends: usize) -> anyhow::Result<()> {
        for n in 0..count {
            let (id, alarm) = alarms::alarm(n, n % backends);
            let rest = r#"{"callbacks":null,"errbacks":null,"chain":null,"chord":null}"#;
            let body = [b"[[", &alarm[..], b"],{},", rest.as_bytes(), b"]"].concat();
            let mut headers = FieldTable::default();
            for (name, value) in
                [("lang", "py"), ("task", "make_ticket"), ("id", &id), ("root_id", &id)]
            {
                headers.insert(name.into(), AMQPValue::LongString(value.into()));
            }
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_correlation_id(id.into())
                .with_content_type("application/json".into())
                .with_content_encoding("utf-8".into())
                .with_headers(headers);
            let key = of_celery(&self.prefix, n % backends);
            let options = BasicPublishOptions::default();
            let confirm = self
                .channel
                .basic_publish("".into(), key.into(), options, &body, properties)
                .await?;
            if n + 1 == count {
                ensure!(confirm.await?.is_ack(), "the broker did not take an alarm");
            }
        }
        Ok(())
    }

    /// Ready messages and consumers of a queue.
    pub async fn queue(&self, name: &str) -> anyhow::Result<(u32, u32)> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
        Ok((queue.message_count(), queue.consumer_count()))
    }

    /// Deletes the run's alarms.
    pub async fn close(self, celery: Option<usize>) -> anyhow::Result<()> {
        let celery = (0..celery.unwrap_or(0)).map(|number| of_celery(&self.prefix, number));
        for queue in celery.chain([intake(&self.prefix)]) {
            self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        Ok(())
    }
}

/// The queue of one backend's Celery worker.
fn of_celery(prefix: &str, number: usize) -> String {
    format!("{prefix}.b{number}")
}
