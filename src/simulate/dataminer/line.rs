//! The element's line to the broker: one session after another, each with a queue of its own for answers and
//! for the gateway's credit.
//!
//! What always holds: nothing is declared but that queue: exchanges are the gateway's. Whatever goes wrong ends
//! the session, and the next one begins anew; what was on its way then is sent again.
//!
//! What it leaves to others: what is said (`element`).

use super::message::{self, Answer, Credit, Encoding, SyncMessage};
use super::{Desk, now_ms};
use anyhow::{Context, ensure};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// For connecting and for each confirm.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two sessions.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the element looks at the clock.
const GRAIN: Duration = Duration::from_millis(50);
/// Answers come one at a time; more than these are in nobody's interest.
const PREFETCH: u16 = 16;

/// Where the broker is, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub url: SecretString,
    pub exchange: String,
    pub encoding: Encoding,
}

/// Holds the line until `stopped`.
pub(super) async fn hold(line: Line, desk: Arc<Desk>, mut stopped: watch::Receiver<bool>) {
    loop {
        let ended = tokio::select! {
            ended = session(&line, &desk) => ended,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        desk.machine().connected(false);
        if let Err(trouble) = ended {
            tracing::warn!(trouble = format!("{trouble:#}"), "no line to the broker");
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn session(line: &Line, desk: &Desk) -> anyhow::Result<()> {
    let backend = desk.machine().backend().to_owned();
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("simulated element of {backend}").into());
    let connecting = Connection::connect(line.url.expose_secret(), properties);
    // The address holds a password: no error of its reading is repeated.
    let connection = timeout(DEADLINE, connecting).await.context("no answer to the attempt")?;
    let connection = connection.map_err(|_| anyhow::anyhow!("the broker cannot be reached"))?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?;
    let queue = queue.name().as_str().to_owned();
    let credits = format!("credit.{backend}");
    let bind = QueueBindOptions::default();
    let exchange = line.exchange.as_str();
    channel
        .queue_bind(
            queue.as_str().into(),
            exchange.into(),
            credits.as_str().into(),
            bind,
            FieldTable::default(),
        )
        .await
        .with_context(|| format!("the exchange {exchange} is the gateway's: is it running?"))?;
    let consume = BasicConsumeOptions { exclusive: true, ..Default::default() };
    let mut deliveries = channel
        .basic_consume(queue.as_str().into(), "".into(), consume, FieldTable::default())
        .await?;
    desk.machine().connected(true);
    tracing::info!(backend, exchange, "a line to the broker");

    let mut clock = interval(GRAIN);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let out = tokio::select! {
            delivery = deliveries.next() => {
                let delivery = delivery.context("the broker ended the consumer")??;
                let out = heard(desk, &delivery, &credits);
                delivery.ack(BasicAckOptions::default()).await?;
                out
            }
            _ = clock.tick() => desk.machine().tick(now_ms(desk)),
        };
        for message in out {
            publish(line, &channel, &queue, &message).await?;
        }
    }
}

/// What came, and what is to be said to it.
fn heard(desk: &Desk, delivery: &Delivery, credits: &str) -> Vec<SyncMessage> {
    let content_type = delivery.properties.content_type().as_ref().map(|it| it.as_str().to_owned());
    let content_type = content_type.unwrap_or_default();
    let mut machine = desk.machine();
    if delivery.routing_key.as_str() == credits {
        match message::read::<Credit>(&content_type, &delivery.data) {
            Ok(Credit { backend, credit }) if backend == machine.backend() => {
                machine.credited(credit);
            }
            _ => machine.unreadable(),
        }
        return Vec::new();
    }
    match message::read::<Answer>(&content_type, &delivery.data) {
        Ok(answer) => machine.answered(&answer, now_ms(desk)),
        Err(problem) => {
            tracing::warn!(problem, "an answer cannot be read");
            machine.unreadable();
            Vec::new()
        }
    }
}

async fn publish(
    line: &Line,
    channel: &Channel,
    queue: &str,
    message: &SyncMessage,
) -> anyhow::Result<()> {
    let body = line.encoding.write(message).map_err(anyhow::Error::msg)?;
    let properties = BasicProperties::default()
        .with_message_id(message.id.as_str().into())
        .with_correlation_id(message.id.as_str().into())
        .with_reply_to(queue.into())
        .with_content_type(line.encoding.content_type().into())
        .with_delivery_mode(2);
    let key = format!("sync.{}", message.backend);
    let publish = async {
        let options = BasicPublishOptions::default();
        let exchange = line.exchange.as_str().into();
        let sent = channel.basic_publish(exchange, key.as_str().into(), options, &body, properties);
        sent.await?.await
    };
    let confirmed = timeout(DEADLINE, publish).await.context("no confirm")??;
    ensure!(confirmed.is_ack(), "the broker did not take it");
    Ok(())
}
