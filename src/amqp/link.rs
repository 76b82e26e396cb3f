//! One session with the broker after another: connect, work, and on any trouble drop everything,
//! wait a little, and begin again, for ever.
//!
//! lapin's own recovery is not used: it gives up for good after 16 tries, and a channel that was
//! closed alone stays closed while the connection says that it is there. What a session does is
//! left to the consumer and the publisher.

use super::access::Access;
use super::settings::AmqpSettings;
use super::{Phase, reached};
use futures_util::FutureExt;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::uri::{AMQPUri, SASLMechanism};
use lapin::{Connection, ConnectionProperties, ErrorKind};
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
/// Largest frame where nobody else's messages come in; a longer body goes in several. lapin keeps room for 32 in
/// each direction of each connection.
const SHORT_FRAME_BYTES: u32 = 32 << 10;
/// For the broker's answer to our good-bye; nothing depends on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between the first tries; doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A session that held this long makes the next wait short again.
const HELD: Duration = Duration::from_secs(10);
/// Trouble that lasts is logged so often: two links that try every few seconds would fill the log with it.
const TOLD_EVERY: Duration = Duration::from_secs(60);

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

/// How long the frames of a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// As long as the broker has them: it cuts bodies to what was agreed on, and headers, which may be as
    /// long as its own frames, it does not; a connection with shorter ones breaks at such a message.
    AsTheBroker,
    /// Only what we write comes over it.
    Short,
}

/// Where the broker is, and how to reach it.
pub(super) struct Broker {
    settings: AmqpSettings,
    node: String,
}

impl Broker {
    /// Nothing is tried yet.
    pub fn new(settings: &AmqpSettings, node: &str) -> Self {
        Self { settings: settings.clone(), node: node.to_owned() }
    }

    /// Reads the URL and the files beside it, anew: what they hold may have changed. No error
    /// repeats any of it.
    async fn access(&self) -> Result<Access, Trouble> {
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || Access::read(&settings)).await;
        let read =
            read.map_err(|_| Trouble::Lost("reading the credentials panicked".to_owned()))?;
        let mut access =
            read.map_err(|(key, what)| Trouble::Lost(format!("amqp.{key}: {what}")))?;
        let query = &mut access.uri.query;
        let heartbeat = self.settings.heartbeat.as_secs();
        query.heartbeat = Some(u16::try_from(heartbeat).unwrap_or(u16::MAX));
        let millis = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        query.connection_timeout = Some(millis);
        Ok(access)
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Connects, within a time.
    pub async fn connect(&self, purpose: &str, frames: Frames) -> Result<Connection, Trouble> {
        let name = format!("ticketgate/{} {purpose}", self.node);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = async_rs::Runtime::tokio_current();
        let Access { mut uri, tls } = self.access().await?;
        if frames == Frames::Short {
            uri.query.frame_max = Some(SHORT_FRAME_BYTES);
        }
        let door = Door::of(&uri);
        let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| Trouble::Lost(door.refused(&error))),
            Err(_) => Err(Trouble::Lost(format!("{} does not answer", door.broker))),
        }
    }

    /// Where it is, and as whom we come, in words.
    pub async fn door(&self) -> Result<String, Trouble> {
        let Door { broker, user, vhost } = Door::of(&self.access().await?.uri);
        Ok(format!("{broker}, as {user}, virtual host {vhost}"))
    }
}

/// What people know a broker by; no secret.
struct Door {
    broker: String,
    user: String,
    vhost: String,
}

impl Door {
    fn of(uri: &AMQPUri) -> Self {
        let AMQPUri { authority, query, .. } = uri;
        let user = match query.auth_mechanism {
            Some(SASLMechanism::External) => "that our certificate names".to_owned(),
            _ => authority.userinfo.username.clone(),
        };
        let broker = format!("the broker at {}:{}", authority.host, authority.port);
        Self { broker, user, vhost: uri.vhost.clone() }
    }

    /// Why it did not open: what to look at first, then the words that were said.
    fn refused(&self, error: &lapin::Error) -> String {
        let Self { broker, user, vhost } = self;
        match error.kind() {
            ErrorKind::ProtocolError(said) => match said.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                    format!("{broker} refuses user {user}: wrong password? It says: {said}")
                }
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                    format!(
                        "{broker} does not let user {user} into the virtual host {vhost}: {said}"
                    )
                }
                _ => format!("{broker} says: {said}"),
            },
            _ => format!("no connection to {broker}: {error}"),
        }
    }
}

/// What was logged last of what is wrong, over both links: they meet the same trouble.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<(Trouble, Instant)>>);

impl Told {
    /// Shall this be logged?
    pub fn is_news(&self, trouble: &Trouble) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            told.as_ref().is_some_and(|(known, at)| known == trouble && at.elapsed() < TOLD_EVERY);
        if !known {
            *told = Some((trouble.clone(), Instant::now()));
        }
        !known
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
    told: Arc<Told>,
}

impl Health {
    /// Of a link that shares what is told with another.
    pub fn sharing(told: Arc<Told>) -> Self {
        Self { told, ..Self::default() }
    }
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
        self.told.forget();
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
        if health.told.is_news(&trouble) {
            match &trouble {
                Trouble::Mismatch { .. } => error!(link, %trouble, "mismatch; tried on and on"),
                Trouble::Lost(_) => {
                    warn!(link, %trouble, "no broker; it is tried until it is there")
                }
            }
        }
        if timeout(jittered, reached(&mut phase, last)).await.is_ok() {
            break;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    health.is_down(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_that_lasts_is_told_once_a_minute_and_news_at_once() {
        let told = Told::default();
        let lost = |why: &str| Trouble::Lost(why.to_owned());
        assert!(told.is_news(&lost("away")));
        assert!(!told.is_news(&lost("away")));
        assert!(told.is_news(&lost("refused")) && told.is_news(&lost("away")));
        tokio::time::advance(TOLD_EVERY).await;
        assert!(told.is_news(&lost("away")) && !told.is_news(&lost("away")));
        told.forget();
        assert!(told.is_news(&lost("away")), "it was there meanwhile");
    }
}
