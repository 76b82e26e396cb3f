//! The sections of the config file, and their defaults.

use super::canary::CanarySection;
use super::past::{DAY, HistorySection, OffloadSection};
use super::policy::PolicySection;
use super::sync::SyncSection;
use crate::amqp::{AmqpSettings, Subscription};
use crate::backends::Description;
use crate::callbacks::CallbackSection;
use crate::http::{self, Role, Token, Tokens};
use crate::notices::NoticeSection;
use crate::secrets::Secret;
use crate::topology::TopologySection;
use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use ticketgate_actors::actors::HeartbeatSettings;
use ticketgate_actors::model::{BackendId, Route};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The installation's name, part of every correlation key. Never change it once tickets are
    /// open: they would not be found again.
    pub instance: String,
    /// This node's name: the `home_node` of tickets made here.
    pub node: String,
    /// The embedded store.
    pub store: StoreSection,
    /// The HTTP face.
    pub http: Http,
    /// The broker; absent: the in-process bus, alarms come over HTTP.
    pub amqp: Option<AmqpSettings>,
    /// Queues in which events wait at the broker for subscribers that come later.
    pub subscriptions: Vec<Subscription>,
    /// The ticket clients.
    pub clients: Clients,
    /// From alarms to tickets.
    pub policy: PolicySection,
    /// Where managed objects lie.
    pub topology: TopologySection,
    /// Where final answers go that no command sends elsewhere.
    pub routes: Vec<RouteSection>,
    /// Foreign alarm systems: read by [`crate::sources::load`].
    pub source: Vec<toml::Table>,
    /// How backends answer later, over HTTP.
    pub callbacks: Vec<CallbackSection>,
    /// How backends tell over HTTP that something has changed there.
    pub notices: Vec<NoticeSection>,
    /// Beats, ours and those of others.
    pub heartbeats: Heartbeats,
    /// Whether the flow is alive, tried with test alarms.
    pub canary: CanarySection,
    /// What ended, as lists.
    pub history: HistorySection,
    /// Those lists as files.
    pub offload: OffloadSection,
    /// With whom tickets are kept in step.
    pub sync: Vec<SyncSection>,
    /// Logging.
    pub log: Log,
    /// The ticketing systems: read by [`crate::backends::load`].
    pub backend: Vec<toml::Table>,
}

impl Config {
    /// Where final answers go, by backend.
    pub fn routes(&self) -> HashMap<BackendId, Route> {
        self.routes.iter().map(|one| (one.backend.clone(), one.route())).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance: "ticketgate".to_owned(),
            node: "node-1".to_owned(),
            store: StoreSection::default(),
            http: Http::default(),
            amqp: None,
            subscriptions: Vec::new(),
            clients: Clients::default(),
            policy: PolicySection::default(),
            topology: TopologySection::default(),
            routes: Vec::new(),
            source: Vec::new(),
            callbacks: Vec::new(),
            notices: Vec::new(),
            heartbeats: Heartbeats::default(),
            canary: CanarySection::default(),
            history: HistorySection::default(),
            offload: OffloadSection::default(),
            sync: Vec::new(),
            log: Log::default(),
            backend: Vec::new(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// The data folder; made if it is not there. One service a folder.
    pub dir: PathBuf,
    /// Threads that read beside the writer, 1 to 16.
    pub readers: usize,
    /// What ended longer ago goes, at least 1 d; what is at work never does (rule T5).
    #[serde(with = "words::duration")]
    pub keep: Duration,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { dir: "ticketgate-data".into(), readers: 2, keep: 90 * DAY }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Listen on an address that is not of this machine alone, though no token is set.
    pub allow_remote_without_auth: bool,
    /// What a caller must bring as `Authorization: Bearer`; absent: whoever reaches the port may act.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
    /// Or the file that holds it, read at start.
    pub token_file: Option<PathBuf>,
    /// The dashboard has a page for those who look for a fault in the service itself.
    pub debug_page: bool,
    /// More tokens, each with a name, a role and, if wanted, the backends that it is limited to.
    #[serde(skip_serializing)]
    pub tokens: Vec<TokenSection>,
    /// Our certificate and those that vouch for it, as PEM; absent: plain HTTP.
    pub tls_cert: Option<PathBuf>,
    /// Its key, as PEM.
    pub tls_key: Option<PathBuf>,
    /// Listen without TLS on an address that is not of this machine alone.
    pub allow_remote_without_tls: bool,
}

/// `[[http.tokens]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// Whose it is: the name in the audit.
    pub name: String,
    /// `viewer`, `submitter`, `operator` or `admin`.
    pub role: Role,
    /// The only backends that it is for; absent: all.
    #[serde(default)]
    pub backends: Option<Vec<BackendId>>,
    /// The token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Or the file that holds it, read at start.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8640)),
            allow_remote_without_auth: false,
            token: None,
            token_file: None,
            debug_page: false,
            tokens: Vec::new(),
            tls_cert: None,
            tls_key: None,
            allow_remote_without_tls: false,
        }
    }
}

/// Tokens at most: people and programs of one installation, all compared for each request.
const TOKENS_MAX: usize = 100;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// Whose the single token is.
const SINGLE: &str = "operator";
/// Names that the audit gives to others.
const TAKEN: [&str; 2] = ["ticketgate", SINGLE];

/// Of a token and its file exactly one is given.
fn secret(
    key: &str,
    token: Option<&Secret>,
    file: Option<&PathBuf>,
) -> Result<Option<(String, Secret)>, (String, String)> {
    match (token, file) {
        (None, None) => Ok(None),
        (Some(token), None) => Ok(Some((format!("{key}token"), token.clone()))),
        (None, Some(file)) => {
            let key = format!("{key}token_file");
            match Secret::from_file(file) {
                Ok(secret) => Ok(Some((key, secret))),
                Err(what) => Err((key, what)),
            }
        }
        (Some(_), Some(_)) => {
            Err((format!("{key}token"), "give either token or token_file".to_owned()))
        }
    }
}

impl Http {
    /// The tokens that let somebody in; none: there is no sign-in.
    ///
    /// # Errors
    /// The key at fault, and what is wrong with it.
    pub fn required_tokens(&self) -> Result<Tokens, (String, String)> {
        let mut tokens = Tokens::default();
        if let Some((key, secret)) = secret("http.", self.token.as_ref(), self.token_file.as_ref())?
        {
            let token = Token::new(&secret);
            let added = token.and_then(|token| tokens.add(token, SINGLE, Role::Admin, None));
            added.map_err(|what| (key, what))?;
        }
        if self.tokens.len() > TOKENS_MAX {
            return Err(("http.tokens".to_owned(), format!("may be {TOKENS_MAX}")));
        }
        for (n, one) in self.tokens.iter().enumerate() {
            let place = format!("http.tokens[{n}].");
            let wrong = |key: &str, what: &str| Err((format!("{place}{key}"), what.to_owned()));
            let name = one.name.trim();
            let good = |c: char| !c.is_control();
            if name.is_empty() || name.chars().count() > NAME_MAX || !name.chars().all(good) {
                return wrong("name", "has 1 to 64 characters");
            }
            if TAKEN.contains(&name) || self.tokens[..n].iter().any(|it| it.name.trim() == name) {
                return wrong("name", "is taken: the audit could not tell them apart");
            }
            if one.backends.as_ref().is_some_and(Vec::is_empty) {
                return wrong("backends", "names none: leave it out, or name some");
            }
            let (token, file) = (one.token.as_ref(), one.token_file.as_ref());
            let Some((key, secret)) = secret(&place, token, file)? else {
                return wrong("token_file", "is missing: give it, or token");
            };
            let only = one.backends.as_deref();
            let token = Token::new(&secret);
            let added = token.and_then(|token| tokens.add(token, name, one.role, only));
            added.map_err(|what| (key, what))?;
        }
        Ok(tokens)
    }

    /// Our certificate; none: plain HTTP.
    ///
    /// # Errors
    /// The key at fault, and what is wrong with it.
    pub fn tls(&self) -> Result<Option<rustls::ServerConfig>, (&'static str, String)> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => http::tls(cert, key).map(Some),
            (Some(_), None) => Err(("http.tls_key", "is missing beside tls_cert".to_owned())),
            (None, Some(_)) => Err(("http.tls_cert", "is missing beside tls_key".to_owned())),
        }
    }
}

/// `[[routes]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSection {
    /// Final answers to work at this backend.
    pub backend: BackendId,
    /// The exchange; empty: the default one, where the key is a queue's name. It is not declared
    /// here.
    #[serde(default)]
    pub exchange: String,
    /// The routing key.
    pub key: String,
}

impl RouteSection {
    /// As the outbox takes it.
    pub fn route(&self) -> Route {
        Route { exchange: self.exchange.clone(), key: self.key.clone() }
    }
}

/// `[clients]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// How many ticket clients, that is: how many flows at once, 1 to 1,000.
    pub number: usize,
    /// A flow that takes longer loses its lock, and runs again.
    #[serde(with = "words::duration")]
    pub flow_timeout: Duration,
}

impl Default for Clients {
    fn default() -> Self {
        Self { number: 32, flow_timeout: Duration::from_secs(120) }
    }
}

/// `[heartbeats]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeats {
    /// Send beats, and watch those of others.
    pub enabled: bool,
    /// From one beat to the next, 100 ms to 1 h.
    #[serde(with = "words::duration")]
    pub interval: Duration,
    /// From an origin's last beat to `down`; absent: 6 intervals of its own, at least 30 s.
    #[serde(with = "words::optional_duration")]
    pub timeout: Option<Duration>,
    /// Origins that must beat: one that is not heard within its time-out is down.
    pub expect: Vec<String>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(10), timeout: None, expect: vec![] }
    }
}

impl Heartbeats {
    /// As the actor takes it; none: it is off.
    pub fn settings(&self, node: &str) -> Option<HeartbeatSettings> {
        self.enabled.then(|| HeartbeatSettings {
            origin: node.to_owned(),
            interval: self.interval,
            timeout: self.timeout,
            expect: self.expect.clone(),
        })
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For example `info`, or `info,ticketgate=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The ids of described backends.
pub fn backend_ids(backends: &[Description]) -> Vec<BackendId> {
    backends.iter().map(|backend| backend.id.clone()).collect()
}
