//! A bus, what is behind it, and the programs around it: alarm systems and subscribers.

use crate::rabbit::{Rabbit, TICK};
use crate::shelf::{PATIENCE, Shelf, until};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticketgate::amqp::{AmqpBus, AmqpSettings, Inlets};
use ticketgate::inproc::{Delivered, InprocBus};
use ticketgate::wire::Encoding;
use ticketgate_actors::ports::{Bus, Delivery, Verdict};
use ticketgate_actors::testing::CountedIds;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// One bus and its shelves.
pub struct World {
    pub bus: Arc<dyn Bus>,
    pub alarms: Arc<Shelf>,
    pub parked: Arc<Shelf>,
    pub heartbeats: Arc<Shelf>,
    side: Side,
}

#[expect(clippy::large_enum_variant, reason = "there is one a test")]
enum Side {
    Inproc(Arc<InprocBus>),
    Rabbit { bus: Arc<AmqpBus>, url: String, settings: AmqpSettings },
}

/// A message as a subscriber sees it.
#[derive(Debug)]
pub struct Heard {
    pub routing_key: String,
    pub headers: BTreeMap<String, String>,
    pub content_type: String,
    pub message_id: String,
    pub body: Vec<u8>,
}

/// A program that listens.
pub enum Subscriber {
    Inproc(mpsc::Receiver<Arc<Delivered>>),
    /// The consumer, and the connection that it needs.
    Rabbit(Box<(Consumer, Connection)>),
}

impl World {
    pub fn inproc() -> Self {
        Self::inproc_writing(Encoding::MessagePack)
    }

    fn inproc_writing(encoding: Encoding) -> Self {
        let alarms = Arc::new(Shelf::default());
        let heartbeats = Arc::new(Shelf::default());
        let bus = InprocBus::new("n1", encoding, Arc::clone(&alarms) as _)
            .with_heartbeats(Arc::clone(&heartbeats) as _);
        let bus = Arc::new(bus);
        let side = Side::Inproc(Arc::clone(&bus));
        Self { bus, alarms, parked: Arc::default(), heartbeats, side }
    }

    pub async fn rabbit(node: &Rabbit, prefix: &str) -> Self {
        let settings = settings(node, prefix);
        let world = Self::rabbit_with(settings).await;
        until("the bus is connected", || world.bus.connected()).await;
        world
    }

    pub async fn rabbit_with(settings: AmqpSettings) -> Self {
        let (alarms, parked) = (Arc::new(Shelf::default()), Arc::new(Shelf::default()));
        let heartbeats = Arc::new(Shelf::default());
        let inlets = Inlets {
            alarms: Arc::clone(&alarms) as _,
            commands: Arc::new(Shelf::default()),
            answers: Arc::new(Shelf::default()),
            sync: Arc::new(Shelf::default()),
            parked: Arc::clone(&parked) as _,
            heartbeats: Arc::clone(&heartbeats) as _,
        };
        let ids = Arc::new(CountedIds::default());
        let started = AmqpBus::start(settings.clone(), "n1", inlets, ids).await;
        let bus = Arc::new(started.expect("nothing at the broker is in the way"));
        let url = secrecy::ExposeSecret::expose_secret(&settings.url).to_owned();
        let side = Side::Rabbit { bus: Arc::clone(&bus), url, settings };
        Self { bus, alarms, parked, heartbeats, side }
    }

    /// A second bus of the same kind that writes JSON.
    pub async fn writing_json(&self) -> Self {
        match &self.side {
            Side::Inproc(_) => Self::inproc_writing(Encoding::Json),
            Side::Rabbit { settings, .. } => {
                let settings = AmqpSettings {
                    prefix: format!("{}.json", settings.prefix),
                    encoding: Encoding::Json,
                    ..settings.clone()
                };
                let world = Self::rabbit_with(settings).await;
                until("the bus is connected", || world.bus.connected()).await;
                world
            }
        }
    }

    /// The bus over a broker.
    pub fn amqp(&self) -> &AmqpBus {
        match &self.side {
            Side::Rabbit { bus, .. } => bus,
            Side::Inproc(_) => panic!("this case needs a broker"),
        }
    }

    /// The name of a thing at the broker.
    pub fn named(&self, name: &str) -> String {
        match &self.side {
            Side::Rabbit { settings, .. } => format!("{}.{name}", settings.prefix),
            Side::Inproc(_) => name.to_owned(),
        }
    }

    /// An alarm system hands a message over, and does so until it is taken over. Returns when the
    /// message is safe: at the broker, or committed.
    pub async fn publish_in(&self, message_id: &str, body: Vec<u8>) {
        match &self.side {
            Side::Inproc(bus) => {
                let delivery = Delivery {
                    inlet: "inproc".into(),
                    body: body.into(),
                    content_type: Some("application/json".to_owned()),
                    message_id: Some(message_id.to_owned()),
                    cloudevents_id: Some(message_id.to_owned()),
                    cloudevents_source: Some("urn:test".to_owned()),
                    reply_to: None,
                    correlation_id: None,
                    dead_lettered: None,
                };
                while bus.publish_in(delivery.clone()).await != Verdict::Settled {}
            }
            Side::Rabbit { url, .. } => {
                let (_connection, channel) = connect(url).await.unwrap();
                let exchange = self.named("alarms");
                publish(&channel, &exchange, message_id, &body).await.unwrap();
            }
        }
    }

    /// Waits until the broker has so many messages of the alarm intake that are not acknowledged.
    pub async fn intake_holds(&self, node: &Rabbit, messages: u64) {
        let intake = self.named("alarms.intake");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let queues = node.queues().await;
            let row = queues.iter().find(|(name, ..)| *name == intake);
            if row.is_some_and(|(_, ready, held)| ready + held == messages) {
                return;
            }
            assert!(Instant::now() < deadline, "{messages} are not in {intake}: {queues:?}");
        }
    }

    /// No message is left at the broker in a queue of this world, and we hold none of any.
    pub async fn nothing_is_left(&self, node: &Rabbit) {
        let ours = self.named("");
        let deadline = Instant::now() + PATIENCE;
        // Twice, with more than a tick between: the first may show what was before the last work.
        let mut clean = 0;
        while clean < 2 {
            sleep(2 * TICK).await;
            let queues = node.queues().await;
            let left = |(name, ready, held): &(String, u64, u64)| {
                *held > 0 || (name.starts_with(&ours) && *ready > 0)
            };
            clean = if queues.iter().any(left) { 0 } else { clean + 1 };
            assert!(Instant::now() < deadline, "messages are left: {queues:?}");
        }
    }

    /// Listens to tickets and write-backs.
    pub async fn subscribe(&self, bindings: &[&str]) -> Subscriber {
        self.subscribe_to("tickets", bindings).await
    }

    pub async fn subscribe_to(&self, exchange: &str, bindings: &[&str]) -> Subscriber {
        match &self.side {
            Side::Inproc(bus) => Subscriber::Inproc(bus.subscribe(bindings)),
            Side::Rabbit { url, .. } => {
                let (connection, channel) = connect(url).await.unwrap();
                let options =
                    QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
                let queue =
                    channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
                for binding in bindings {
                    channel
                        .queue_bind(
                            queue.name().clone(),
                            self.named(exchange).into(),
                            (*binding).into(),
                            QueueBindOptions::default(),
                            FieldTable::default(),
                        )
                        .await
                        .unwrap();
                }
                let consumer = consume(&channel, queue.name().as_str()).await;
                Subscriber::Rabbit(Box::new((consumer, connection)))
            }
        }
    }

    /// Listens to a queue that is there already.
    pub async fn listen(&self, queue: &str) -> Subscriber {
        let Side::Rabbit { url, .. } = &self.side else { panic!("this case needs a broker") };
        let (connection, channel) = connect(url).await.unwrap();
        let consumer = consume(&channel, queue).await;
        Subscriber::Rabbit(Box::new((consumer, connection)))
    }
}

impl Subscriber {
    /// The next message.
    pub async fn next(&mut self) -> Heard {
        self.next_within(Duration::from_secs(30)).await.expect("a message in time")
    }

    /// The next message, if one comes.
    pub async fn next_within(&mut self, patience: Duration) -> Option<Heard> {
        match self {
            Self::Inproc(from) => {
                let message = timeout(patience, from.recv()).await.ok()??;
                let header = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
                Some(Heard {
                    routing_key: message.routing_key.clone(),
                    headers: message.headers.iter().map(header).collect(),
                    content_type: message.content_type.to_owned(),
                    message_id: message.message_id.clone(),
                    body: message.body.to_vec(),
                })
            }
            Self::Rabbit(link) => {
                let message = timeout(patience, link.0.next()).await.ok()??.unwrap();
                assert!(message.ack(BasicAckOptions::default()).await.unwrap());
                let properties = &message.properties;
                assert_eq!(*properties.delivery_mode(), Some(2), "it must be persistent");
                let headers = properties.headers().clone().unwrap_or_default();
                Some(Heard {
                    routing_key: message.routing_key.to_string(),
                    headers: headers.inner().iter().filter_map(header).collect(),
                    content_type: properties.content_type().clone().unwrap().to_string(),
                    message_id: properties.message_id().clone().unwrap().to_string(),
                    body: message.data,
                })
            }
        }
    }
}

fn header((name, value): (&lapin::types::ShortString, &AMQPValue)) -> Option<(String, String)> {
    match value {
        AMQPValue::LongString(text) => {
            Some((name.to_string(), String::from_utf8(text.as_bytes().to_vec()).unwrap()))
        }
        _ => None,
    }
}

/// Settings for a node, quick to notice and to give up.
pub fn settings(node: &Rabbit, prefix: &str) -> AmqpSettings {
    AmqpSettings {
        url: node.url().into(),
        prefix: format!("t.{prefix}"),
        heartbeat: Duration::from_secs(2),
        confirm_timeout: Duration::from_secs(5),
        ..AmqpSettings::default()
    }
}

pub async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Publishes an alarm message and waits for the broker's confirm.
pub async fn publish(
    channel: &Channel,
    exchange: &str,
    message_id: &str,
    body: &[u8],
) -> lapin::Result<()> {
    let mut headers = FieldTable::default();
    headers.insert("cloudEvents_id".into(), AMQPValue::LongString(message_id.into()));
    headers.insert("cloudEvents_source".into(), AMQPValue::LongString("urn:test".into()));
    let properties = BasicProperties::default()
        .with_message_id(message_id.into())
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let (key, options) = ("alarm.probe.major", BasicPublishOptions::default());
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    assert!(confirm.await?.is_ack());
    Ok(())
}

async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
}
