//! Logs: `tracing` to stdout as text or JSON, level by config and at run time. Facts are fields;
//! never bodies or secrets.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use std::sync::Arc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Changes the level while the service runs.
#[derive(Clone)]
pub struct LogLevel(Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogLevel {
    /// Sets the level: `debug`, or `info,ticketgate=debug`.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)
            .map_err(|_| format!("{level:?} is not a level: error, warn, info, debug, trace"))?;
        (self.0)(filter)
    }

    /// For processes that do not log.
    pub fn fixed() -> Self {
        Self(Arc::new(|_| Err("logging is off in this process".to_owned())))
    }
}

/// Starts logging. Called once a process; a second call leaves the first in place.
pub fn start(settings: &Log) -> LogLevel {
    let filter = filter(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer().with_target(false).compact();
            registry.with(layer.with_ansi(in_colour())).try_init()
        }
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true)).try_init()
        }
    };
    if started.is_err() {
        return LogLevel::fixed();
    }
    LogLevel(Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
}

/// Colours are for eyes: not for a file, nor where https://no-color.org is heeded.
fn in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// Unless it is asked for: what the HTTP server says of its threads interests nobody, and what lapin says of a
/// broker that is away we say ourselves, once and in words for operators.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(format!("actix_server=warn,lapin=off,{level}"))
}
