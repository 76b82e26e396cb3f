//! The `[amqp]` part of the config, checked before anything is tried.
//!
//! What always holds after [`AmqpSettings::check`]: every name fits AMQP's 255 bytes and none is
//! one that the broker keeps for itself. The URL carries a password and is never shown.

use super::StartError;
use crate::wire::Encoding;
use crate::words;
use secrecy::SecretString;
use serde::Deserialize;
use std::time::Duration;

/// Bytes of an AMQP name or routing key.
const MAX_NAME: usize = 255;
/// Bytes of the prefix: leaves room for the longest name behind it, that of a node's queue of beats.
const MAX_PREFIX: usize = 170;
/// Messages that wait for a subscriber that does not come: about 1 GB on the broker's disk.
const DEFAULT_MAX_LENGTH: u32 = 1_000_000;

/// How to reach RabbitMQ, and what to declare there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmqpSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: SecretString,
    /// In front of the names of our exchanges and queues.
    pub prefix: String,
    /// A broker that is silent for twice this long is taken as gone (rule A4: at most three
    /// times).
    #[serde(with = "words::duration")]
    pub heartbeat: Duration,
    /// Alarm deliveries under way at once, from the broker's hand to the commit.
    pub prefetch: u16,
    /// From the start of a publish to its confirm (rule O4).
    #[serde(with = "words::duration")]
    pub confirm_timeout: Duration,
    /// What is published is written as this.
    pub encoding: Encoding,
    /// Queues in which events wait for subscribers that come later.
    pub subscriptions: Vec<Subscription>,
}

impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            url: "amqp://guest:guest@127.0.0.1:5672/%2f".into(),
            prefix: "ticketgate".to_owned(),
            heartbeat: Duration::from_secs(10),
            prefetch: 512,
            confirm_timeout: Duration::from_secs(10),
            encoding: Encoding::default(),
            subscriptions: Vec::new(),
        }
    }
}

/// A durable quorum queue that is declared at start and bound for a subscriber.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The queue's whole name; the prefix is not put in front of it.
    pub queue: String,
    /// Which of our exchanges it hears.
    #[serde(default)]
    pub exchange: Hears,
    /// Topic patterns, for example `ticket.*.incident.created`.
    pub bindings: Vec<String>,
    /// Messages kept; above it the oldest are dropped.
    #[serde(default = "default_max_length")]
    pub max_length: u32,
    /// How long a message waits at most; absent: for ever.
    #[serde(default, with = "words::optional_duration")]
    pub ttl: Option<Duration>,
}

/// The exchange that a subscription hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hears {
    /// Ticket events and write-backs.
    #[default]
    Tickets,
    /// Notices for operators' tools.
    Ops,
    /// Beats of every origin.
    Heartbeats,
}

fn default_max_length() -> u32 {
    DEFAULT_MAX_LENGTH
}

impl AmqpSettings {
    /// Refuses what no broker could take, so that it is one clear line at start and not a session
    /// that never comes up.
    pub(super) fn check(&self) -> Result<(), StartError> {
        name("amqp.prefix", &self.prefix, MAX_PREFIX)?;
        if self.prefetch == 0 {
            return bad("amqp.prefetch must be at least 1: 0 means without limit to the broker");
        }
        let seconds = self.heartbeat.as_secs();
        if !(1..=600).contains(&seconds) || self.heartbeat.subsec_nanos() != 0 {
            return bad("amqp.heartbeat must be whole seconds, from 1s to 600s");
        }
        if self.confirm_timeout.is_zero() {
            return bad("amqp.confirm_timeout must be longer than 0s");
        }
        for subscription in &self.subscriptions {
            name("a subscription's queue", &subscription.queue, MAX_NAME)?;
            if subscription.bindings.is_empty() {
                let queue = &subscription.queue;
                return bad(format!(
                    "the subscription {queue:?} has no bindings and hears nothing"
                ));
            }
            for binding in &subscription.bindings {
                name("a subscription's binding", binding, MAX_NAME)?;
            }
        }
        Ok(())
    }
}

fn name(what: &str, name: &str, max: usize) -> Result<(), StartError> {
    match name.len() {
        0 => bad(format!("{what} is empty")),
        n if n > max => bad(format!("{what} has {n} bytes; {max} are allowed")),
        _ if name.starts_with("amq.") => bad(format!("{what} begins with the broker's own amq.")),
        _ => Ok(()),
    }
}

fn bad<T>(what: impl Into<String>) -> Result<T, StartError> {
    Err(StartError::Settings(what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_words_and_whatever_is_absent_has_its_default() {
        let settings: AmqpSettings = toml::from_str(
            r#"
            url = "amqp://u:secret@h/"
            heartbeat = "5s"
            encoding = "json"
            [[subscriptions]]
            queue = "noc"
            bindings = ["ticket.#"]
            ttl = "1d"
            "#,
        )
        .unwrap();
        assert_eq!(settings.heartbeat, Duration::from_secs(5));
        assert_eq!(settings.encoding, Encoding::Json);
        assert_eq!(settings.prefetch, 512);
        let noc = &settings.subscriptions[0];
        assert_eq!((noc.exchange, noc.max_length), (Hears::Tickets, DEFAULT_MAX_LENGTH));
        assert_eq!(noc.ttl, Some(Duration::from_secs(86_400)));
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(toml::from_str::<AmqpSettings>("heartbeet = \"5s\"").is_err());
    }

    #[test]
    fn what_no_broker_could_take_is_refused_at_start() {
        let subscription = |queue: &str, bindings: &[&str]| Subscription {
            queue: queue.to_owned(),
            exchange: Hears::Ops,
            bindings: bindings.iter().map(|&binding| binding.to_owned()).collect(),
            max_length: 1,
            ttl: None,
        };
        let subscribed = |one| AmqpSettings { subscriptions: vec![one], ..AmqpSettings::default() };
        for (settings, reason) in [
            (AmqpSettings { prefix: String::new(), ..AmqpSettings::default() }, "prefix is empty"),
            (AmqpSettings { prefix: "amq.x".into(), ..AmqpSettings::default() }, "amq."),
            (AmqpSettings { prefetch: 0, ..AmqpSettings::default() }, "prefetch"),
            (AmqpSettings { heartbeat: Duration::ZERO, ..AmqpSettings::default() }, "heartbeat"),
            (subscribed(subscription(&"q".repeat(256), &["#"])), "256 bytes"),
            (subscribed(subscription("q", &[])), "no bindings"),
            (subscribed(subscription("q", &[""])), "binding is empty"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert!(subscribed(subscription("q", &["#"])).check().is_ok());
    }
}
