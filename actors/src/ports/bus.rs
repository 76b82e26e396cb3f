//! The message bus: RabbitMQ, or in-process when no broker is configured.
//!
//! Inward, an adapter hands batches of raw deliveries to an [`Inlet`] and settles each as its
//! [`Verdict`] says. Outward, the outbox calls [`Bus::publish`].

use super::Soon;
use crate::changes::{Asked, Outcome};
use crate::model::{
    BackendId, Beat, Command, CommandAnswer, CommandError, CommandId, EventId, Identity, Reply,
    Route, Said, SyncAnswer, TestAlarm, TicketEvent, Timestamp, Told, WriteBack,
};
use bytes::Bytes;
use std::sync::Arc;

/// A message as it came in.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The queue that it came from.
    pub inlet: Arc<str>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// What its sender says it is.
    pub content_type: Option<String>,
    /// AMQP's message id.
    pub message_id: Option<String>,
    /// The CloudEvents id, from the headers.
    pub cloudevents_id: Option<String>,
    /// The CloudEvents source, from the headers.
    pub cloudevents_source: Option<String>,
    /// The queue that its sender wants answers in.
    pub reply_to: Option<String>,
    /// What answers must give back.
    pub correlation_id: Option<String>,
    /// Set when the broker gave up on it: why (for example `delivery_limit`).
    pub dead_lettered: Option<String>,
}

/// Why a message cannot be read: data, not a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// The field at fault, where one is: `severity`, `ticket.backend`.
    pub field: Option<String>,
    /// In one sentence, for people.
    pub reason: String,
}

/// A backend's later answer to a write that it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Later {
    /// Names the delivery: a known one changes nothing.
    pub identity: Identity,
    /// Who answers.
    pub backend: BackendId,
    /// What is answered.
    pub asked: Asked,
    /// What became of it.
    pub outcome: Outcome,
}

/// A connector's message (CONTRACT 1.7).
#[derive(Clone, Debug, PartialEq)]
pub struct SyncSaid {
    /// Its sender's name of it: a repeat gets the same answer.
    pub id: String,
    /// Whose tickets.
    pub backend: BackendId,
    /// Which connector.
    pub element: Option<String>,
    /// When it polled, by its own clock.
    pub polled_at: Option<Timestamp>,
    /// What it can take at once; none: as before.
    pub credit: Option<u32>,
    /// Up to here it has taken what it was sent.
    pub cursor: Option<u64>,
    /// The pass that the page belongs to.
    pub pass: Option<String>,
    /// The pass ends here, and named every ticket.
    pub complete: bool,
    /// What it tells, `said_at` and `changed_at` both by its clock; else a ticket's id and what is
    /// wrong with it.
    pub tickets: Vec<Result<Told, (String, String)>>,
}

/// Reads a delivery. The wire's formats live in one module of the root package.
pub trait Decode: Send + Sync {
    /// What it says, each with its identity; or what is wrong with one. A foreign source may say
    /// several in one message, or nothing that is an alarm.
    fn decode(&self, delivery: &Delivery) -> Vec<Result<(Identity, Said), Malformed>>;
    /// Whose alarms it speaks of, where so much of it can be read.
    fn source_of(&self, delivery: &Delivery) -> Option<String>;
    /// The command in it; or what is wrong with it, and who can be told.
    fn command(&self, delivery: &Delivery) -> Result<Command, Box<BadCommand>>;
    /// The later answer in it; or what is wrong with it.
    fn later(&self, delivery: &Delivery) -> Result<Later, Malformed>;
    /// The connector's message in it; or what is wrong with it.
    fn sync(&self, delivery: &Delivery) -> Result<SyncSaid, Malformed>;
    /// The beat in it; or what is wrong with it.
    fn decode_beat(&self, delivery: &Delivery) -> Result<Beat, Malformed>;
}

/// A command that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCommand {
    /// Its id, if that much could be read.
    pub id: Option<CommandId>,
    /// Where its sender can be told.
    pub reply: Reply,
    /// What is wrong.
    pub error: CommandError,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is committed (as an event or parked): acknowledge it.
    Settled,
    /// The store did not take it: give it back, it comes again.
    GiveBack,
}

/// Where deliveries go.
pub trait Inlet: Send + Sync {
    /// Takes a batch, in order. When it returns, every delivery with [`Verdict::Settled`] is
    /// durable (rule I1). Verdicts stand in the order of the deliveries.
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>>;
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// `ticket.<backend>.<kind>.<event>` on the tickets exchange; a canary's event goes to the heartbeats
    /// exchange, as `canary.<backend>`.
    Ticket(Arc<TicketEvent>),
    /// `writeback.<source>` on the tickets exchange.
    WriteBack(WriteBack),
    /// An answer to a command.
    Reply {
        /// Stable across re-publication of a final answer.
        event_id: EventId,
        /// When.
        at: Timestamp,
        /// Where to.
        to: Route,
        /// Given back to the sender.
        correlation_id: Option<String>,
        /// The encoding of the command; empty: the configured one.
        content_type: String,
        /// The answer.
        answer: Box<CommandAnswer>,
    },
    /// An answer to a connector.
    SyncAnswer {
        /// Names the message.
        event_id: EventId,
        /// When.
        at: Timestamp,
        /// Where to.
        to: Route,
        /// Given back to the sender.
        correlation_id: Option<String>,
        /// The encoding of its message; empty: the configured one.
        content_type: String,
        /// The answer.
        answer: Box<SyncAnswer>,
    },
    /// `credit.<backend>` on the sync exchange.
    Credit {
        /// Names the message.
        event_id: EventId,
        /// When.
        at: Timestamp,
        /// Whose connector.
        backend: BackendId,
        /// Changes that we take at once.
        credit: u32,
        /// Changes that wait for it.
        waiting: u64,
    },
    /// `heartbeat.<origin>` on the heartbeats exchange.
    Beat(Arc<Beat>),
    /// The canary's test alarm, on the alarms exchange: it comes in again like any alarm.
    Test(TestAlarm, Timestamp),
    /// `key` on the ops exchange, for operators' tools.
    Ops {
        /// Stable across re-publication.
        event_id: EventId,
        /// Routing key, for example `lane.crm.paused`.
        key: String,
        /// When.
        at: Timestamp,
        /// What is to be said.
        body: serde_json::Value,
    },
}

/// It is not known whether the message is at the broker: publish it again, with the same id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not confirmed: {0}")]
pub struct PublishFailed(pub String);

/// The way out.
pub trait Bus: Send + Sync {
    /// Publishes one message. Ok: the broker has confirmed it (rule O2). Err: it may or may not
    /// be there (a confirm was lost, a deadline passed: rule O4). Calls that are under way at
    /// once may be confirmed in any order; two calls made one after the other's return are
    /// published in that order.
    fn publish(&self, message: Outgoing) -> Soon<Result<(), PublishFailed>>;
    /// Is there a connection right now, for `/readyz` and beats?
    fn connected(&self) -> bool;
}
