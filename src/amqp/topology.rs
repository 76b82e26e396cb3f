//! Our exchanges and queues (CONTRACT 1.1) as a table, and their declaration.
//!
//! Every argument is stated, since the broker's defaults differ between its versions: one that is
//! left out is another queue on the next major version. Declared at start and again in every
//! session, so that what somebody deleted comes back. What exists with other arguments is a
//! [`Trouble::Mismatch`], and nothing is ever deleted or changed.

use super::link::Trouble;
use super::settings::{AmqpSettings, Hears, Subscription};
use crate::wire::Place;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

/// AMQP's reply code for "exists with other arguments".
const PRECONDITION_FAILED: u16 = 406;
/// Deliveries of one message after which the broker sets it aside.
const DELIVERY_LIMIT: u32 = 1000;
/// A node's queue of beats is deleted when the node has not consumed it for this long: longer than
/// any restart, so that what was sent meanwhile is there, and no node that is gone leaves one.
const BEATS_EXPIRE_MS: i64 = 10 * 60 * 1_000;
/// An older beat says nothing any more.
const BEATS_TTL_MS: i64 = 60 * 1_000;
/// Beats in a node's queue: a minute of a thousand origins would be six times as many, but then
/// only the newest matter.
const BEATS_MAX: i64 = 1_000;
/// As good as none: a message over the limit of a queue without dead-letter exchange would vanish.
const NO_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// Names behind the prefix.
pub(super) const ALARMS_INTAKE: &str = "alarms.intake";
pub(super) const COMMANDS_INTAKE: &str = "commands.intake";
pub(super) const ANSWERS_INTAKE: &str = "answers.intake";
pub(super) const SYNC_INTAKE: &str = "sync.intake";
pub(super) const SYNC: &str = "sync";
pub(super) const PARKED: &str = "parked";
pub(super) const TICKETS: &str = "tickets";
pub(super) const OPS: &str = "ops";
pub(super) const HEARTBEATS: &str = "heartbeats";
pub(super) const ALARMS: &str = "alarms";
const COMMANDS: &str = "commands";
const ANSWERS: &str = "answers";

const EXCHANGES: &[(&str, ExchangeKind)] = &[
    (ALARMS, ExchangeKind::Topic),
    (COMMANDS, ExchangeKind::Direct),
    (ANSWERS, ExchangeKind::Direct),
    (SYNC, ExchangeKind::Topic),
    (TICKETS, ExchangeKind::Topic),
    (OPS, ExchangeKind::Topic),
    (HEARTBEATS, ExchangeKind::Topic),
    (PARKED, ExchangeKind::Fanout),
];

/// A queue that the service consumes.
struct Intake {
    queue: &'static str,
    exchange: &'static str,
    binding: &'static str,
    /// Where its refused and worn-out messages go: to the parked exchange, or nowhere.
    parks: bool,
}

const INTAKES: &[Intake] = &[
    Intake { queue: ALARMS_INTAKE, exchange: ALARMS, binding: "alarm.#", parks: true },
    Intake { queue: COMMANDS_INTAKE, exchange: COMMANDS, binding: "command", parks: true },
    Intake { queue: ANSWERS_INTAKE, exchange: ANSWERS, binding: "answer", parks: true },
    Intake { queue: SYNC_INTAKE, exchange: SYNC, binding: "sync.#", parks: true },
    Intake { queue: PARKED, exchange: PARKED, binding: "", parks: false },
];

/// A name with its prefix.
pub(super) fn named(settings: &AmqpSettings, name: &str) -> String {
    format!("{}.{name}", settings.prefix)
}

/// The exchanges under that prefix, and the queues behind them that the service consumes: for the
/// description of the wire.
pub(super) fn places(prefix: &str) -> Vec<Place> {
    let named = |name: &str| format!("{prefix}.{name}");
    let of = |(word, kind): &(&'static str, ExchangeKind)| {
        let intake = INTAKES.iter().find(|intake| intake.exchange == *word);
        Place {
            word,
            exchange: named(word),
            kind: match kind {
                ExchangeKind::Direct => "direct",
                ExchangeKind::Fanout => "fanout",
                _ => "topic",
            },
            queue: intake.map(|intake| (named(intake.queue), intake.binding)),
        }
    };
    EXCHANGES.iter().map(of).collect()
}

/// Declares everything. On a channel of its own: the first refusal closes it.
pub(super) async fn declare(
    connection: &Connection,
    settings: &AmqpSettings,
) -> Result<(), Trouble> {
    let channel = connection.create_channel().await?;
    for (name, kind) in EXCHANGES {
        let name = named(settings, name);
        let declared = channel
            .exchange_declare(
                name.as_str().into(),
                kind.clone(),
                ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() },
                FieldTable::default(),
            )
            .await;
        declared.map_err(|error| judge("exchange", &name, error))?;
    }
    for intake in INTAKES {
        let queue = named(settings, intake.queue);
        let exchange = named(settings, intake.exchange);
        let arguments = intake_arguments(settings, intake.parks);
        queue_bound(&channel, &queue, arguments, &exchange, &[intake.binding]).await?;
    }
    for (source, _) in &settings.sources {
        let (queue, binding) = (source_queue(settings, source), format!("source.{source}"));
        let arguments = intake_arguments(settings, true);
        let exchange = named(settings, ALARMS);
        queue_bound(&channel, &queue, arguments, &exchange, &[&binding]).await?;
    }
    for subscription in &settings.subscriptions {
        let exchange = match subscription.exchange {
            Hears::Tickets => named(settings, TICKETS),
            Hears::Ops => named(settings, OPS),
            Hears::Heartbeats => named(settings, HEARTBEATS),
        };
        let bindings: Vec<&str> = subscription.bindings.iter().map(String::as_str).collect();
        let arguments = subscription_arguments(subscription);
        queue_bound(&channel, &subscription.queue, arguments, &exchange, &bindings).await?;
    }
    channel.close(200, "declared".into()).await?;
    Ok(())
}

/// The name of a foreign alarm system's queue.
pub(super) fn source_queue(settings: &AmqpSettings, source: &str) -> String {
    format!("{}.{source}", named(settings, ALARMS))
}

/// The name of a node's queue of beats.
pub(super) fn beats(settings: &AmqpSettings, node: &str) -> String {
    format!("{}.{node}", named(settings, HEARTBEATS))
}

/// Declares a node's queue of beats. Classic, since beats need no second copy; durable and not
/// exclusive, so that a session that follows a lost connection finds it, without waiting until the
/// broker has noticed the loss.
pub(super) async fn declare_beats(
    connection: &Connection,
    settings: &AmqpSettings,
    node: &str,
) -> Result<(), Trouble> {
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    text(&mut arguments, "x-queue-type", "classic");
    number(&mut arguments, "x-expires", BEATS_EXPIRE_MS);
    number(&mut arguments, "x-message-ttl", BEATS_TTL_MS);
    number(&mut arguments, "x-max-length", BEATS_MAX);
    text(&mut arguments, "x-overflow", "drop-head");
    let exchange = named(settings, HEARTBEATS);
    queue_bound(&channel, &beats(settings, node), arguments, &exchange, &["heartbeat.#"]).await?;
    channel.close(200, "declared".into()).await?;
    Ok(())
}

async fn queue_bound(
    channel: &Channel,
    queue: &str,
    arguments: FieldTable,
    exchange: &str,
    bindings: &[&str],
) -> Result<(), Trouble> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, arguments).await;
    declared.map_err(|error| judge("queue", queue, error))?;
    for binding in bindings {
        channel
            .queue_bind(
                queue.into(),
                exchange.into(),
                (*binding).into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

fn intake_arguments(settings: &AmqpSettings, parks: bool) -> FieldTable {
    let mut arguments = quorum();
    // At-least-once dead-lettering exists only together with this overflow.
    text(&mut arguments, "x-overflow", "reject-publish");
    if parks {
        number(&mut arguments, "x-delivery-limit", DELIVERY_LIMIT.into());
        text(&mut arguments, "x-dead-letter-exchange", &named(settings, PARKED));
        text(&mut arguments, "x-dead-letter-strategy", "at-least-once");
    } else {
        number(&mut arguments, "x-delivery-limit", NO_DELIVERY_LIMIT.into());
    }
    arguments
}

fn subscription_arguments(subscription: &Subscription) -> FieldTable {
    let mut arguments = quorum();
    number(&mut arguments, "x-delivery-limit", NO_DELIVERY_LIMIT.into());
    number(&mut arguments, "x-max-length", subscription.max_length.into());
    text(&mut arguments, "x-overflow", "drop-head");
    if let Some(ttl) = subscription.ttl {
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        number(&mut arguments, "x-message-ttl", millis);
    }
    arguments
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    text(&mut arguments, "x-queue-type", "quorum");
    arguments
}

fn text(arguments: &mut FieldTable, name: &str, value: &str) {
    arguments.insert(ShortString::from(name), AMQPValue::LongString(value.into()));
}

fn number(arguments: &mut FieldTable, name: &str, value: i64) {
    arguments.insert(ShortString::from(name), AMQPValue::LongLongInt(value));
}

fn judge(what: &str, name: &str, error: lapin::Error) -> Trouble {
    match error.kind() {
        ErrorKind::ProtocolError(broker) if broker.get_id() == PRECONDITION_FAILED => {
            Trouble::Mismatch {
                what: format!("{what} {name}"),
                broker_says: broker.get_message().to_string(),
            }
        }
        _ => error.into(),
    }
}
