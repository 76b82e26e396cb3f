//! The yardstick: a loop that does Ticketgate's work on the wire and promises nothing.
//!
//! It consumes the same queue with the same prefetch, calls the same backends, one call in flight each,
//! publishes the same two messages for a ticket (event and write-back, with the same headers, in
//! MessagePack, persistent, with confirms), and acknowledges the alarm when both are confirmed. It keeps
//! no state: no search for a doubt, no order of alarms, no repeat known. What it does not read or write,
//! nobody could leave out.
//!
//! With a journal, an fsynced file is written before each call: the outcome of the call before and the
//! intent of the next one, as one record a ticket. Lanes that wait at the same time share a sync.

use crate::broker::{self, Confirm};
use crate::journal::Journal;
use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel, Connection, ConnectionProperties};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use tokio::sync::mpsc;
use uuid::Uuid;

/// As Ticketgate's default.
const PREFETCH: u16 = 512;

/// What the loop is told.
#[derive(Args)]
pub struct Settings {
    /// The broker.
    #[arg(long)]
    url: String,
    /// In front of the names at the broker.
    #[arg(long)]
    prefix: String,
    /// The backends' server.
    #[arg(long)]
    base: String,
    /// How many of them.
    #[arg(long)]
    backends: usize,
    /// The journal's file; without it there is none.
    #[arg(long)]
    journal: Option<PathBuf>,
}

#[derive(Deserialize, Serialize)]
struct Alarm {
    id: String,
    source: String,
    severity: String,
    raised_at: String,
    object: String,
    object_name: Option<String>,
    alarm_type: Option<String>,
    probable_cause: Option<String>,
    text: Option<String>,
    ticket: Wish,
}

#[derive(Deserialize, Serialize)]
struct Wish {
    backend: String,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    url: String,
}

#[derive(Serialize)]
struct AlarmRef<'a> {
    source: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct TicketOut<'a> {
    key: String,
    backend: &'a str,
    backend_id: &'a str,
    kind: &'a str,
    status: &'a str,
    backend_status: &'a str,
    url: &'a str,
    fields: &'a Map<String, Value>,
    home_node: &'a str,
}

#[derive(Serialize)]
struct EventOut<'a> {
    event_id: String,
    event: &'a str,
    at: &'a str,
    sequence: u64,
    request_id: String,
    correlation_key: &'a str,
    alarm: AlarmRef<'a>,
    alarms: [AlarmRef<'a>; 1],
    ticket: TicketOut<'a>,
}

#[derive(Serialize)]
struct WriteBackOut<'a> {
    source: &'a str,
    id: &'a str,
    key: String,
    backend: &'a str,
    backend_id: &'a str,
    status: &'a str,
    url: &'a str,
    at: &'a str,
}

/// Both publishes of a ticket, and the alarm that is acknowledged after them.
type Finish = ([Confirm; 2], Acker);

/// One backend's way: its alarms in order, one call at a time.
struct Lane {
    name: String,
    address: String,
    http: reqwest::Client,
    out: Channel,
    exchange: String,
    journal: Option<Journal>,
    finish: mpsc::UnboundedSender<Finish>,
}

/// Runs until it is killed.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(consume(settings))
}

async fn consume(settings: Settings) -> anyhow::Result<()> {
    let connect = || Connection::connect(&settings.url, ConnectionProperties::default());
    let (connection_in, connection_out) = (connect().await?, connect().await?);
    let out = connection_out.create_channel().await?;
    out.confirm_select(ConfirmSelectOptions::default()).await?;
    let journal = settings.journal.as_deref().map(Journal::open).transpose()?;
    let (finish, finished) = mpsc::unbounded_channel();
    let finisher = tokio::spawn(acknowledge(finished));

    let mut lanes = Vec::new();
    for number in 0..settings.backends {
        let (alarms, incoming) = mpsc::unbounded_channel();
        let lane = Lane {
            name: format!("b{number}"),
            address: format!("{}/b{number}/tickets", settings.base),
            http: reqwest::Client::builder()
                .http1_only()
                .no_proxy()
                .tls_certs_only([])
                .pool_max_idle_per_host(1)
                .build()?,
            out: out.clone(),
            exchange: broker::tickets(&settings.prefix),
            journal: journal.clone(),
            finish: finish.clone(),
        };
        tokio::spawn(async move {
            if let Err(error) = lane.run(incoming).await {
                eprintln!("a lane ended: {error:#}");
                std::process::exit(1);
            }
        });
        lanes.push(alarms);
    }

    let channel = connection_in.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let queue = broker::intake(&settings.prefix);
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, none).await?;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let alarm: Alarm = serde_json::from_slice(&delivery.data).context("an alarm")?;
        let number: usize = alarm.ticket.backend.trim_start_matches('b').parse()?;
        lanes.get(number).context("no such backend")?.send((alarm, delivery))?;
    }
    finisher.abort();
    Ok(())
}

async fn acknowledge(mut finished: mpsc::UnboundedReceiver<Finish>) {
    while let Some((confirms, acker)) = finished.recv().await {
        for confirm in confirms {
            if !confirm.await.is_ok_and(|it| it.is_ack()) {
                eprintln!("a publish was not confirmed");
                std::process::exit(1);
            }
        }
        if !acker.ack(BasicAckOptions::default()).await.is_ok_and(|done| done) {
            eprintln!("an alarm was not acknowledged");
            std::process::exit(1);
        }
    }
}

impl Lane {
    async fn run(
        self,
        mut incoming: mpsc::UnboundedReceiver<(Alarm, Delivery)>,
    ) -> anyhow::Result<()> {
        let mut outcome = String::new();
        while let Some((alarm, delivery)) = incoming.recv().await {
            let correlation_key = format!("tg{}", Uuid::new_v4().simple());
            let fields = fields(&alarm);
            if let Some(journal) = &self.journal {
                let intent =
                    json!({ "outcome": outcome, "intent": correlation_key, "fields": fields });
                journal.write(intent.to_string().into_bytes()).await?;
            }
            let made = self.create(&fields, &correlation_key).await?;
            outcome.clone_from(&made.id);
            let confirms = self.publish(&alarm, &fields, &correlation_key, &made).await?;
            let sent = self.finish.send((confirms, delivery.acker));
            sent.map_err(|_| anyhow::anyhow!("nobody acknowledges"))?;
        }
        Ok(())
    }

    async fn create(&self, fields: &Map<String, Value>, key: &str) -> anyhow::Result<Made> {
        let mut body = fields.clone();
        body.insert("correlation_key".to_owned(), key.into());
        body.insert("kind".to_owned(), "incident".into());
        let request = self.http.post(&self.address).header("Idempotency-Key", key).json(&body);
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn publish(
        &self,
        alarm: &Alarm,
        fields: &Map<String, Value>,
        correlation_key: &str,
        made: &Made,
    ) -> anyhow::Result<[Confirm; 2]> {
        let (event_id, key) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
        let at = format!("{:.3}", jiff::Timestamp::now());
        let refer = || AlarmRef { source: &alarm.source, id: &alarm.id };
        let event = EventOut {
            event_id: event_id.clone(),
            event: "created",
            at: &at,
            sequence: 1,
            request_id: Uuid::now_v7().to_string(),
            correlation_key,
            alarm: refer(),
            alarms: [refer()],
            ticket: TicketOut {
                key: key.clone(),
                backend: &self.name,
                backend_id: &made.id,
                kind: "incident",
                status: "acknowledged",
                backend_status: "open",
                url: &made.url,
                fields,
                home_node: "node-1",
            },
        };
        let write_back = WriteBackOut {
            source: &alarm.source,
            id: &alarm.id,
            key: key.clone(),
            backend: &self.name,
            backend_id: &made.id,
            status: "acknowledged",
            url: &made.url,
            at: &at,
        };
        let routing = format!("ticket.{}.incident.created", self.name);
        let first = self.send(&routing, event_id, "ticket.created", &key, &at, &event).await?;
        let routing = format!("writeback.{}", alarm.source);
        let id = Uuid::now_v7().to_string();
        Ok([first, self.send(&routing, id, "writeback", &key, &at, &write_back).await?])
    }

    async fn send(
        &self,
        routing_key: &str,
        id: String,
        kind: &str,
        subject: &str,
        at: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<Confirm> {
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("cloudEvents_specversion", "1.0"),
            ("cloudEvents_id", &id),
            ("cloudEvents_type", &format!("ticketgate.{kind}")),
            ("cloudEvents_source", "urn:ticketgate:node-1"),
            ("cloudEvents_subject", subject),
            ("cloudEvents_time", at),
        ] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(id.into())
            .with_content_type("application/msgpack".into())
            .with_headers(headers);
        let body = rmp_serde::to_vec_named(body)?;
        let options = BasicPublishOptions::default();
        let exchange = self.exchange.as_str().into();
        let out = &self.out;
        let confirm = out.basic_publish(exchange, routing_key.into(), options, &body, properties);
        Ok(Box::pin(confirm.await?))
    }
}

/// What a ticket says of its alarm, as Ticketgate's own fields do.
fn fields(alarm: &Alarm) -> Map<String, Value> {
    let summary = format!(
        "{}: {}",
        alarm.object_name.as_deref().unwrap_or(&alarm.object),
        alarm.text.as_deref().unwrap_or_default()
    );
    let fields = json!({
        "summary": summary,
        "description": alarm.text,
        "severity": alarm.severity,
        "alarm_state": "active",
        "alarm_source": alarm.source,
        "alarm_id": alarm.id,
        "object": alarm.object,
        "object_name": alarm.object_name,
        "alarm_type": alarm.alarm_type,
        "probable_cause": alarm.probable_cause,
        "raised_at": alarm.raised_at,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
