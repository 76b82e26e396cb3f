//! Where a backend is and how its connections behave, whatever is said over them; and the client
//! that does it.
//!
//! What always holds: no redirect is followed, nothing is sent twice, the
//! environment's proxies are not honoured, at most one connection is kept, and none for a backend
//! that cannot tell what became of a lost answer: a kept connection that has gone stale reads as a
//! lost answer.
//!
//! What it leaves to others: the time limit of a call as a whole (`described::exchange`).

use super::description::{Description, DescriptionError};
use crate::secrets::Secret;
use crate::words;
use reqwest::{Certificate, Client, Identity, Proxy, Url};
use serde::{Deserialize, Deserializer, de::Error};
use std::path::PathBuf;
use std::time::Duration;
use ticketgate_actors::logic::lane::Capability;

const USER_AGENT: &str = concat!("ticketgate/", env!("CARGO_PKG_VERSION"));

/// Where a backend is and how it is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDescription {
    /// `http://` or `https://`, host, and a path that all paths are below; no query, no password.
    pub base_url: String,
    /// For finding the host, connecting and TLS. Past it nothing was sent. Default 5s; counts into
    /// `timeout`, and never takes more than half of it.
    #[serde(default = "five_seconds", with = "words::duration")]
    pub connect_timeout: Duration,
    /// An idle connection is closed after this; keep it below the backend's own. Default 10s.
    #[serde(default = "ten_seconds", with = "words::duration")]
    pub idle_connection: Duration,
    /// A proxy for all calls; `http_proxy` and the like are never honoured. Default none.
    #[serde(default)]
    pub proxy: Option<Secret>,
    /// Certificates (PEM) that are trusted besides the system's. Default none.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A certificate of ours (PEM, with its chain) that the backend asks for. Default none.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// Its key (PEM).
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// The longest answer that is read (`64KiB`, `1MiB`), unpacked; a longer one is in doubt.
    /// Default 1MiB.
    #[serde(default)]
    pub max_answer: ByteSize,
}

impl ConnectionDescription {
    /// Of what is not called.
    pub(super) fn none() -> Self {
        Self {
            base_url: String::new(),
            connect_timeout: five_seconds(),
            idle_connection: ten_seconds(),
            proxy: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            max_answer: ByteSize::default(),
        }
    }
}

/// The keys of [`ConnectionDescription`].
pub(super) const CONNECTION_KEYS: &[&str] = &[
    "base_url",
    "connect_timeout",
    "idle_connection",
    "proxy",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "max_answer",
];

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// A number of bytes, written as `512B`, `64KiB` or `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl Default for ByteSize {
    fn default() -> Self {
        Self(1024 * 1024)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "B" => Some(1),
            "KiB" => Some(1024),
            "MiB" => Some(1024 * 1024),
            _ => None,
        };
        let bytes =
            number.parse::<usize>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a size: write for example 64KiB or 1MiB"))
        })
    }
}

/// Reads the base address.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    // The text is not repeated in an error: it may hold a password.
    let url: Url = text.parse().map_err(|error| format!("this is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password; use [backend.auth]".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".to_owned());
    }
    Ok(url)
}

/// Is the backend itself spoken to without TLS, and through no proxy?
pub(super) fn is_plain(description: &Description) -> bool {
    let connection = &description.connection;
    connection.base_url.starts_with("http:") && connection.proxy.is_none()
}

/// Makes the client of one backend.
pub(super) fn client(description: &Description) -> Result<Client, DescriptionError> {
    build(description, is_plain(description))
}

/// Makes a client that can speak TLS, whatever the backend's own address is.
pub(super) fn tls_client(description: &Description) -> Result<Client, DescriptionError> {
    build(description, false)
}

fn build(description: &Description, plain: bool) -> Result<Client, DescriptionError> {
    super::install_tls();
    let connection = &description.connection;
    let keep = usize::from(description.lane.capability != Capability::None);
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        // Else the call's own limit may come first, and what was not sent read as in doubt.
        .connect_timeout(connection.connect_timeout.min(description.lane.timeout / 2))
        .pool_max_idle_per_host(keep)
        .pool_idle_timeout(connection.idle_connection);
    builder = match &connection.proxy {
        // Naming one turns the environment's off.
        Some(proxy) => builder.proxy(Proxy::all(proxy.expose()).map_err(|_| {
            DescriptionError::new(description.key("proxy"), "this is not a proxy's address")
        })?),
        None => builder.no_proxy(),
    };
    let certificates = certificates(description)?;
    builder = if plain && certificates.is_empty() {
        // A machine without certificates can still talk plain HTTP, and need not load them.
        builder.tls_certs_only([])
    } else {
        builder.tls_certs_merge(certificates)
    };
    if let Some(identity) = identity(description)? {
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| {
        let problem = format!("no client can be made: {}", super::described::causes(&error));
        DescriptionError::new(description.key("base_url"), problem)
    })
}

fn identity(description: &Description) -> Result<Option<Identity>, DescriptionError> {
    let connection = &description.connection;
    let wrong = |key: &str, problem: String| DescriptionError::new(description.key(key), problem);
    let (cert, key) = match (&connection.client_cert_file, &connection.client_key_file) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        _ => {
            let problem = "client_cert_file and client_key_file belong together";
            return Err(wrong("client_cert_file", problem.to_owned()));
        }
    };
    let read = |name: &str, path: &PathBuf| {
        std::fs::read(path)
            .map_err(|error| wrong(name, format!("{} cannot be read: {error}", path.display())))
    };
    let mut pem = read("client_key_file", key)?;
    pem.push(b'\n');
    pem.extend(read("client_cert_file", cert)?);
    Identity::from_pem(&pem).map(Some).map_err(|_| {
        wrong("client_cert_file", "this is no certificate with its key (PEM)".to_owned())
    })
}

fn certificates(description: &Description) -> Result<Vec<Certificate>, DescriptionError> {
    let Some(path) = &description.connection.ca_file else { return Ok(Vec::new()) };
    let wrong = |problem: String| DescriptionError::new(description.key("ca_file"), problem);
    let pem = std::fs::read(path)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(wrong(format!("{} holds no certificate (PEM)", path.display()))),
    }
}
