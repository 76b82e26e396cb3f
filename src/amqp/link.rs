//! One session with the broker after another: connect, work, and on any trouble drop everything,
//! wait a little, and begin again, for ever.
//!
//! lapin's own recovery is not used: it gives up for good after 16 tries, and a channel that was
//! closed alone stays closed while the connection says that it is there. What a session does is
//! left to the consumer and the publisher.

use super::settings::AmqpSettings;
use super::{Phase, StartError, reached};
use futures_util::FutureExt;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::ports::Ids;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

/// For the connection and its handshake; with the longest wait between tries it stays under the 30
/// seconds of rule A2.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the broker's answer to our good-bye; nothing depends on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between the first tries; doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A session that held this long makes the next wait short again.
const HELD: Duration = Duration::from_secs(10);

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Something exists at the broker with other arguments than ours (rule A3).
    #[error("{what} exists with other arguments; the broker says: {broker_says}")]
    Mismatch {
        /// `queue ticketgate.alarms.intake`.
        what: String,
        /// The broker's own words, which name the argument.
        broker_says: String,
    },
    /// Anything else: the broker is not there, went away, or refused.
    #[error("{0}")]
    Lost(String),
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Where the broker is, and how to reach it. Not `Debug`: it holds the password.
pub(super) struct Broker {
    uri: AMQPUri,
    node: String,
}

impl Broker {
    /// Reads the URL. No error repeats any of it.
    pub fn new(settings: &AmqpSettings, node: &str) -> Result<Self, StartError> {
        let mut uri: AMQPUri = settings.url.expose_secret().parse().map_err(|_: String| {
            let form = "amqp://user:password@host:port/vhost";
            StartError::Settings(format!("amqp.url cannot be read; it should look like {form}"))
        })?;
        uri.query.heartbeat = Some(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX));
        let millis = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout = Some(millis);
        Ok(Self { uri, node: node.to_owned() })
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Connects, within a time.
    pub async fn connect(&self, purpose: &str) -> Result<Connection, Trouble> {
        let name = format!("ticketgate/{} {purpose}", self.node);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = async_rs::Runtime::tokio_current();
        let connecting =
            Connection::connect_uri_with_runtime(self.uri.clone(), properties, runtime);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Trouble::Lost("no answer to the attempt to connect".to_owned())),
        }
    }
}

/// Says good-bye, so that the broker's log shows an end and not a loss.
pub(super) async fn close(connection: &Connection) {
    let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
}

/// How one of the two links is, for `/readyz` and beats.
#[derive(Default)]
pub(super) struct Health {
    up: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Health {
    pub fn up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// The session does its work now.
    pub fn is_up(&self, link: &'static str) {
        info!(link, "connected to the broker");
        self.up.store(true, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
    /// It does not, and why.
    pub fn is_down(&self, trouble: Option<String>) {
        self.up.store(false, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Runs sessions until one ends without trouble, which each does when `phase` reaches `last`.
pub(super) async fn keep<S, F>(
    link: &'static str,
    health: Arc<Health>,
    ids: Arc<dyn Ids>,
    mut phase: watch::Receiver<Phase>,
    last: Phase,
    session: S,
) where
    S: Fn() -> F,
    F: Future<Output = Result<(), Trouble>>,
{
    let mut wait = FIRST_WAIT;
    while *phase.borrow() < last {
        let began = Instant::now();
        // A panic in a session (or in what it calls) must not end consuming for good.
        let ended = AssertUnwindSafe(session()).catch_unwind().await;
        let trouble = match ended {
            Ok(Ok(())) => break,
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Lost("the session panicked".to_owned()),
        };
        health.is_down(Some(trouble.to_string()));
        if began.elapsed() >= HELD {
            wait = FIRST_WAIT;
        }
        let jittered = wait.mul_f64(0.5 + ids.chance() / 2.0);
        match &trouble {
            Trouble::Mismatch { .. } => error!(link, %trouble, retry_in = ?jittered, "mismatch"),
            Trouble::Lost(_) => warn!(link, %trouble, retry_in = ?jittered, "no broker"),
        }
        if timeout(jittered, reached(&mut phase, last)).await.is_ok() {
            break;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    health.is_down(None);
}
