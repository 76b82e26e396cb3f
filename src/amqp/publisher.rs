//! Publishes with confirms, on a connection of its own: a broker that is short of memory or disk
//! stops everything that a publishing connection writes, acknowledgements too.
//!
//! What always holds: Ok means that the broker confirmed (rule O2); every publish ends within its
//! deadline (rule O4); a session that missed one is given up, and everything that waits in it
//! fails. How many are under way at once is left to the caller. Nothing is `mandatory`: a ticket
//! event that nobody is bound to is normal.

use super::link::{self, Broker, Frames, Health, Trouble};
use super::settings::AmqpSettings;
use super::{Phase, reached, topology};
use crate::wire::{Encoded, Exchange};
use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind, Event, ExchangeKind};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use ticketgate_actors::ports::PublishFailed;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::warn;

/// AMQP's word for a message that survives the broker.
const PERSISTENT: u8 = 2;
/// AMQP's reply code for what does not exist.
const NOT_FOUND: u16 = 404;
/// How often the connection is looked at, should an event of it have been missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An exchange that was not there is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The way out, across sessions.
pub(super) struct Publisher {
    tickets: String,
    ops: String,
    heartbeats: String,
    sync: String,
    alarms: String,
    deadline: Duration,
    current: RwLock<Option<Arc<Session>>>,
}

/// One channel in confirm mode, and why it is no longer used.
struct Session {
    connection: Arc<Connection>,
    channel: Channel,
    /// Exchanges of others; held while the broker is asked, so that it is asked once.
    known: Mutex<HashMap<String, Known>>,
    lost: watch::Sender<Option<String>>,
}

/// What the broker said of an exchange.
enum Known {
    There,
    Missing(Instant),
}

impl Publisher {
    pub fn new(settings: &AmqpSettings) -> Self {
        Self {
            tickets: topology::named(settings, topology::TICKETS),
            ops: topology::named(settings, topology::OPS),
            heartbeats: topology::named(settings, topology::HEARTBEATS),
            sync: topology::named(settings, topology::SYNC),
            alarms: topology::named(settings, topology::ALARMS),
            deadline: settings.confirm_timeout,
            current: RwLock::new(None),
        }
    }

    /// The future that publishes; an error at once where there is no session. Dropped half-way, the message
    /// is published or not, and nothing else is harmed.
    pub fn publish(
        &self,
        message: Encoded,
    ) -> Result<impl Future<Output = Result<(), PublishFailed>> + Send + 'static, PublishFailed>
    {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let session = current.ok_or_else(|| PublishFailed("not connected".to_owned()))?;
        let exchange = match &message.exchange {
            Exchange::Tickets => self.tickets.clone(),
            Exchange::Ops => self.ops.clone(),
            Exchange::Theirs(name) => name.clone(),
            Exchange::Heartbeats => self.heartbeats.clone(),
            Exchange::Sync => self.sync.clone(),
            Exchange::Alarms => self.alarms.clone(),
        };
        let deadline = self.deadline;
        Ok(async move { session.publish(exchange, message, Instant::now() + deadline).await })
    }

    /// One session: ends without trouble when the phase says that the bus closes.
    pub async fn session(
        &self,
        broker: &Broker,
        settings: &AmqpSettings,
        health: &Health,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<(), Trouble> {
        let connection = Arc::new(broker.connect("out", Frames::Short).await?);
        topology::declare(&connection, settings).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let session = Arc::new(Session {
            connection: Arc::clone(&connection),
            channel,
            known: Mutex::default(),
            lost: watch::Sender::new(None),
        });
        let current = Current::new(self, Arc::clone(&session));
        health.is_up("out");
        let ended = tokio::select! {
            () = reached(&mut phase, Phase::Closed) => Ok(()),
            trouble = session.watch(&connection, health) => Err(trouble),
        };
        drop(current);
        link::close(&connection).await;
        ended
    }

    fn set_current(&self, session: Option<Arc<Session>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

/// Messages go out through that session, until this is dropped: also with the bus's runtime.
struct Current<'p> {
    publisher: &'p Publisher,
    session: Arc<Session>,
}

impl<'p> Current<'p> {
    fn new(publisher: &'p Publisher, session: Arc<Session>) -> Self {
        publisher.set_current(Some(Arc::clone(&session)));
        Self { publisher, session }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        self.publisher.set_current(None);
        self.session.give_up("the session is over");
    }
}

impl Session {
    /// Returns when the session is of no more use.
    async fn watch(&self, connection: &Connection, health: &Health) -> Trouble {
        let mut events = std::pin::pin!(connection.events_listener());
        let mut lost = self.lost.subscribe();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    // A question for somebody else's exchange was answered with no.
                    Some(Event::Error(error))
                        if is_not_found(&error) && self.channel.status().connected() => {}
                    Some(Event::Error(error)) => return error.into(),
                    Some(Event::ConnectionBlocked(why)) => {
                        health.is_down(Some(format!("the broker takes nothing for now: {why}")));
                        warn!(why, "the broker takes nothing for now");
                    }
                    Some(Event::ConnectionUnblocked) => health.is_up("out"),
                    Some(_) => {}
                    None => return Trouble::Lost("the connection has ended".to_owned()),
                },
                Ok(why) = lost.wait_for(Option::is_some) => {
                    return Trouble::Lost(why.clone().unwrap_or_default());
                }
                _ = look.tick() => {
                    if !connection.status().connected() || !self.channel.status().connected() {
                        return Trouble::Lost("the connection or its channel is closed".to_owned());
                    }
                }
            }
        }
    }

    fn give_up(&self, why: &str) {
        self.lost.send_if_modified(|lost| match lost {
            Some(_) => false,
            None => {
                *lost = Some(why.to_owned());
                true
            }
        });
    }

    async fn publish(
        &self,
        exchange: String,
        message: Encoded,
        deadline: Instant,
    ) -> Result<(), PublishFailed> {
        let mut lost = self.lost.subscribe();
        tokio::select! {
            outcome = self.attempt(exchange, message, deadline) => outcome,
            _ = lost.wait_for(Option::is_some) => {
                Err(PublishFailed("the connection was lost".to_owned()))
            }
        }
    }

    async fn attempt(
        &self,
        exchange: String,
        mut message: Encoded,
        deadline: Instant,
    ) -> Result<(), PublishFailed> {
        if matches!(message.exchange, Exchange::Theirs(_))
            && !self.is_there(&exchange, deadline).await?
        {
            // Publishing to it would close the channel, and every event with it.
            warn!(exchange, "an answer is dropped: there is no such exchange");
            return Ok(());
        }
        let (options, properties) = (BasicPublishOptions::default(), properties(&mut message));
        let publishing = self.channel.basic_publish(
            exchange.into(),
            message.routing_key.into(),
            options,
            &message.body,
            properties,
        );
        let confirm = match timeout_at(deadline, publishing).await {
            Ok(Ok(confirm)) => confirm,
            Ok(Err(error)) => return self.broken(format!("publishing failed: {error}")),
            Err(_) => return self.broken("the broker did not take it in time".to_owned()),
        };
        match timeout_at(deadline, confirm).await {
            Ok(Ok(Confirmation::Ack(_))) => Ok(()),
            Ok(Ok(Confirmation::Nack(_))) => {
                Err(PublishFailed("the broker said that it did not take it".to_owned()))
            }
            Ok(Ok(Confirmation::NotRequested)) => {
                self.broken("the channel is not in confirm mode".to_owned())
            }
            Ok(Err(error)) => self.broken(format!("the confirm was lost: {error}")),
            Err(_) => self.broken("the broker did not confirm in time".to_owned()),
        }
    }

    /// Is it there? Asked on a channel of its own, which is closed if it is not. Only the broker's
    /// own "not found" says so: on any other trouble the publish is repeated.
    async fn is_there(&self, exchange: &str, deadline: Instant) -> Result<bool, PublishFailed> {
        if exchange.is_empty() {
            return Ok(true);
        }
        let asked = async {
            let mut known = self.known.lock().await;
            match known.get(exchange) {
                Some(Known::There) => return Ok(true),
                Some(Known::Missing(since)) if since.elapsed() < ASK_AGAIN => return Ok(false),
                Some(Known::Missing(_)) | None => {}
            }
            let there = self.ask_for(exchange).await?;
            let now = if there { Known::There } else { Known::Missing(Instant::now()) };
            known.insert(exchange.to_owned(), now);
            Ok(there)
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(there)) => Ok(there),
            Ok(Err::<_, lapin::Error>(error)) => {
                Err(PublishFailed(format!("asking for the exchange: {error}")))
            }
            Err(_) => self.broken("the broker did not answer in time".to_owned()).map(|()| false),
        }
    }

    async fn ask_for(&self, exchange: &str) -> lapin::Result<bool> {
        let channel = self.connection.create_channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let (kind, none) = (ExchangeKind::Topic, FieldTable::default());
        match channel.exchange_declare(exchange.into(), kind, passive, none).await {
            Ok(()) => {
                // Nothing depends on the good-bye.
                let _ = channel.close(200, "asked".into()).await;
                Ok(true)
            }
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Nothing that this session still holds back shall go out later, behind a repeat.
    fn broken(&self, why: String) -> Result<(), PublishFailed> {
        self.give_up(&why);
        Err(PublishFailed(why))
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(broker) => broker.get_id() == NOT_FOUND,
        _ => false,
    }
}

/// Takes its headers and ids.
fn properties(message: &mut Encoded) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in message.headers.drain(..) {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let properties = match message.correlation_id.take() {
        Some(id) => BasicProperties::default().with_correlation_id(id.into()),
        None => BasicProperties::default(),
    };
    properties
        .with_delivery_mode(PERSISTENT)
        .with_message_id(std::mem::take(&mut message.message_id).into())
        .with_content_type(message.content_type.into())
        .with_headers(headers)
}
