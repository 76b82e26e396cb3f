//! The configuration: one TOML file, every key of which can also be set by
//! `TICKETGATE__SECTION__KEY`.
//!
//! Always: unknown keys are refused; every error names file, line and key, what is wrong and what
//! is allowed; durations are words (`30s`); secrets come wrapped, from file or environment.
//! Defaults stand in one place, and the sample file is tested to equal them.

mod canary;
mod environment;
mod error;
mod faults;
mod past;
mod place;
mod policy;
mod sections;
mod shown;
mod sync;
mod sync_sides;
mod warnings;

pub use canary::CanarySection;
pub use error::{ConfigError, ConfigErrors};
pub use past::{HistorySection, OffloadSection};
pub use policy::{PolicySection, RuleSection};
pub use sections::{Clients, Config, Heartbeats, Http, Log, LogFormat, StoreSection, backend_ids};
pub use shown::{Changed, difference, shown};
pub use sync::{FieldSection, SyncSection};

use crate::backends::{self, Description};
use crate::sources::{self, SOURCES_MAX, Source, Sources};
use place::Places;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A checked configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The sections.
    pub config: Config,
    /// The backends, presets merged in.
    pub backends: Vec<Description>,
    /// The foreign alarm systems, presets merged in.
    pub sources: Sources,
    /// The file with the environment over it, for the faces and for reloads.
    pub effective: toml::Table,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
}

/// Reads a file, puts the environment over it, and checks all of it.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigErrors(vec![ConfigError::of_file(&name, format!("cannot be read: {error}"))])
    })?;
    let loaded = parse(&name, &text, std::env::vars())?;
    Ok(Loaded { file: Some(path.to_owned()), ..loaded })
}

/// Like [`load`], with the text and the environment given.
pub fn parse(
    file: &str,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let places = Places::of(file, text)?;
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        ConfigErrors(vec![places.error_at_span(error.span(), error.message())])
    })?;
    let overlaid = environment::overlay(&mut table, environment)?;
    let at = |key: &str, what: String| {
        overlaid.error(key, &what).unwrap_or_else(|| places.error(key, &what))
    };
    let effective = table.clone();
    let (read, mut errors) = read(table, &at);

    let mut described = Vec::new();
    for (n, backend) in tables(&effective, "backend").enumerate() {
        match backends::load(backend.clone()) {
            Ok(description) => described.push(description),
            // A description's keys name the backend by its id; its place in the file is by number.
            Err(faults) => errors.extend(faults.into_iter().map(|fault| {
                let id = backend.get("id").and_then(toml::Value::as_str).unwrap_or_default();
                let below = fault
                    .key
                    .strip_prefix(&format!("backend.{id}."))
                    .or_else(|| fault.key.strip_prefix("backend."))
                    .unwrap_or(&fault.key);
                at(&format!("backend[{n}].{below}"), fault.problem)
            })),
        }
    }
    let mut sources: Vec<Arc<Source>> = Vec::new();
    for (n, table) in tables(&effective, "source").enumerate() {
        match sources::load(table) {
            Ok(source) if sources.iter().any(|other| other.name == source.name) => {
                errors.push(at(&format!("source[{n}].name"), "is there twice".to_owned()));
            }
            Ok(source) => sources.push(Arc::new(source)),
            Err((below, what)) => errors.push(at(&format!("source[{n}].{below}"), what)),
        }
    }
    if sources.len() > SOURCES_MAX {
        errors.push(at("source", format!("there may be {SOURCES_MAX}")));
    }
    // What is below cannot be told of a file whose sections cannot be read.
    let Some(mut config) = read else { return Err(ConfigErrors(errors)) };
    if let Some(amqp) = &mut config.amqp {
        amqp.subscriptions = std::mem::take(&mut config.subscriptions);
        amqp.sources = sources.iter().map(|it| (it.name.clone(), it.queue.clone())).collect();
    }
    errors.extend(config.faults(&described).into_iter().map(|(key, what)| at(&key, what)));
    if errors.is_empty() {
        Ok(Loaded {
            config,
            backends: described,
            sources: Arc::new(sources),
            effective,
            file: None,
        })
    } else {
        Err(ConfigErrors(errors))
    }
}

/// Unknown keys that are told of one file.
const UNKNOWN_MAX: usize = 20;

/// The sections, if they can be read; an unknown key is told and passed over, so that all are told at once.
fn read(
    mut table: toml::Table,
    at: &impl Fn(&str, String) -> ConfigError,
) -> (Option<Config>, Vec<ConfigError>) {
    let mut errors = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(table.clone()) {
            Ok(config) => return (Some(config), errors),
            Err(error) => error,
        };
        let (key, what) = error::explain(&error.path().to_string(), error.inner().message());
        let unknown = error.inner().message().starts_with("unknown field");
        errors.push(at(&key, what));
        if !unknown || errors.len() == UNKNOWN_MAX || !place::remove(&mut table, &key) {
            return (None, errors);
        }
    }
}

/// The tables of an array of tables, as they are written.
fn tables<'a>(of: &'a toml::Table, name: &str) -> impl Iterator<Item = &'a toml::Table> {
    let array = of.get(name).and_then(toml::Value::as_array);
    array.into_iter().flatten().filter_map(toml::Value::as_table)
}

#[cfg(test)]
mod tests;
