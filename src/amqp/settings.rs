//! The `[amqp]` part of the config, checked before anything is tried.
//!
//! What always holds after [`AmqpSettings::check`]: every name fits AMQP's 255 bytes and none is
//! one that the broker keeps for itself. The URL carries a password and is never shown.

use super::access::{Access, TlsFiles};
use super::{StartError, topology};
use crate::wire::Encoding;
use crate::words;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;
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
    /// The file that holds the password of the URL's user.
    pub password_file: Option<PathBuf>,
    /// Certificates, for `amqps://`.
    pub tls: Option<TlsFiles>,
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
    /// Queues in which events wait for subscribers that come later: `[[subscriptions]]`, a section of
    /// its own in the config.
    #[serde(skip)]
    pub subscriptions: Vec<Subscription>,
    /// Foreign alarm systems, `[[source]]`: each has a queue of ours by its name, and may name one of
    /// its own that is consumed besides.
    #[serde(skip)]
    pub sources: Vec<(String, Option<String>)>,
}

impl Default for AmqpSettings {
    fn default() -> Self {
        Self {
            url: "amqp://guest:guest@127.0.0.1:5672/%2f".into(),
            password_file: None,
            tls: None,
            prefix: "ticketgate".to_owned(),
            heartbeat: Duration::from_secs(10),
            prefetch: 512,
            confirm_timeout: Duration::from_secs(10),
            encoding: Encoding::default(),
            subscriptions: Vec::new(),
            sources: Vec::new(),
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
    /// Every queue in which a foreign alarm system speaks: the queue, and that system's name.
    pub fn source_queues(&self) -> impl Iterator<Item = (String, &str)> {
        self.sources.iter().flat_map(|(name, theirs)| {
            let ours = topology::source_queue(self, name);
            std::iter::once(ours).chain(theirs.clone()).map(|queue| (queue, name.as_str()))
        })
    }

    /// What no broker could take: each key with what is wrong and what is allowed. It is told when
    /// the config is read, and does not become a session that never comes up.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut wrong = |key: &str, what: &str| faults.push((key.to_owned(), what.to_owned()));
        if let Err((key, what)) = Access::read(self) {
            wrong(&format!("amqp.{key}"), &what);
        }
        name(&mut wrong, "amqp.prefix", &self.prefix, MAX_PREFIX);
        if self.prefetch == 0 {
            wrong("amqp.prefetch", "must be at least 1: 0 means without limit to the broker");
        }
        let seconds = self.heartbeat.as_secs();
        if !(1..=600).contains(&seconds) || self.heartbeat.subsec_nanos() != 0 {
            wrong("amqp.heartbeat", "must be whole seconds, from 1s to 600s");
        }
        if self.confirm_timeout.is_zero() {
            wrong("amqp.confirm_timeout", "must be longer than 0s");
        }
        for (n, subscription) in self.subscriptions.iter().enumerate() {
            let key = |below: &str| format!("subscriptions[{n}].{below}");
            name(&mut wrong, &key("queue"), &subscription.queue, MAX_NAME);
            if subscription.bindings.is_empty() {
                wrong(&key("bindings"), "must name at least one: without any it hears nothing");
            }
            for binding in &subscription.bindings {
                name(&mut wrong, &key("bindings"), binding, MAX_NAME);
            }
        }
        faults
    }

    /// Refuses settings that have faults.
    pub(super) fn check(&self) -> Result<(), StartError> {
        match self.faults().first() {
            None => Ok(()),
            Some((key, what)) => Err(StartError::Settings(format!("{key} {what}"))),
        }
    }
}

fn name(wrong: &mut impl FnMut(&str, &str), key: &str, name: &str, max: usize) {
    match name.len() {
        0 => wrong(key, "is empty"),
        n if n > max => wrong(key, &format!("has {n} bytes; {max} are allowed")),
        _ if name.starts_with("amq.") => wrong(key, "begins with the broker's own amq."),
        _ => {}
    }
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
            "#,
        )
        .unwrap();
        let noc: Subscription =
            toml::from_str("queue = 'noc'\nbindings = ['ticket.#']\nttl = '1d'").unwrap();
        assert_eq!(settings.heartbeat, Duration::from_secs(5));
        assert_eq!(settings.encoding, Encoding::Json);
        assert_eq!(settings.prefetch, 512);
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
            (subscribed(subscription("q", &[])), "bindings must name"),
            (subscribed(subscription("q", &[""])), "bindings is empty"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert!(subscribed(subscription("q", &["#"])).check().is_ok());
    }
}
