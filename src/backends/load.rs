//! From a `[[backend]]` table of the config to a checked description.
//!
//! What always holds: a key that nobody knows is an error, with the keys that there are; of several
//! mistakes all are told that can be told at once.
//!
//! What it leaves to others: templates and selectors (`described::plan`).

use super::connection::{self, CONNECTION_KEYS};
use super::described;
use super::described::wire::{WIRE_KEYS, WireDescription};
use super::description::{Description, DescriptionError, LANE_KEYS};
use super::presets::{overlay, preset, preset_names};
use serde::de::DeserializeOwned;
use std::time::Duration;
use ticketgate_actors::model::BackendId;
use toml::{Table, Value};

/// An id becomes a part of queue names, file names and addresses.
const ID_CHARS_MAX: usize = 64;

/// Reads and checks one `[[backend]]` table. Nothing is called or opened.
///
/// # Errors
/// Everything that is wrong, each with its key.
pub fn load(table: toml::Table) -> Result<Description, Vec<DescriptionError>> {
    let one = |error| vec![error];
    let id = id(&table).map_err(one)?;
    let key = |below: &str| format!("backend.{id}.{below}");
    let preset = table.get("preset").and_then(Value::as_str).map(str::to_owned);
    let mut table =
        with_preset(table).map_err(|problem| one(DescriptionError::new(key("preset"), problem)))?;
    table.remove("id");
    let speaks = match table.remove("type") {
        Some(Value::String(word)) => word,
        _ => {
            let problem = "say type = \"rest\", \"soap\" or \"partner\"";
            return Err(one(DescriptionError::new(key("type"), problem)));
        }
    };
    if speaks == "partner" {
        return partner(&id, preset, &table);
    }
    if !["rest", "soap"].contains(&speaks.as_str()) {
        let problem = format!("{speaks:?} is not a type; there are rest, soap and partner");
        return Err(one(DescriptionError::new(key("type"), problem)));
    }

    let mut errors = unknown_keys(&id, &table);
    if !errors.is_empty() {
        return Err(errors);
    }
    let lane = part(&id, &mut table, LANE_KEYS, &mut errors);
    let connection = part(&id, &mut table, CONNECTION_KEYS, &mut errors);
    let wire: Option<WireDescription> = part(&id, &mut table, WIRE_KEYS, &mut errors);
    let (Some(lane), Some(connection), Some(wire)) = (lane, connection, wire) else {
        return Err(errors);
    };
    if (speaks == "soap") != wire.soap.is_some() {
        let problem = "type = \"soap\" needs [backend.soap], and no other type has it";
        return Err(one(DescriptionError::new(key("soap"), problem)));
    }
    let (id, partner) = (BackendId::new(&id), false);
    let description = Description { id, preset, lane, connection, wire, partner };
    errors.extend(limits(&description));
    errors.extend(described::check(&description));
    if errors.is_empty() { Ok(description) } else { Err(errors) }
}

/// It is not called: what could be said of calls, connection and lane means nothing.
fn partner(
    id: &str,
    preset: Option<String>,
    table: &Table,
) -> Result<Description, Vec<DescriptionError>> {
    let problem = "a partner is not called, and has no such key; there are: id, type, preset";
    let odd = |key: &String| DescriptionError::new(format!("backend.{id}.{key}"), problem);
    let odd: Vec<_> = table.keys().map(odd).collect();
    if odd.is_empty() { Ok(Description::of_partner(BackendId::new(id), preset)) } else { Err(odd) }
}

fn id(table: &Table) -> Result<String, DescriptionError> {
    let id = table.get("id").and_then(Value::as_str).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() || id.len() > ID_CHARS_MAX || !id.chars().all(allowed) {
        let problem = "give an id: 1 to 64 of a-z, 0-9, - and _; it must never change";
        return Err(DescriptionError::new("backend.id", problem));
    }
    Ok(id.to_owned())
}

fn with_preset(mut table: Table) -> Result<Table, String> {
    let Some(name) = table.remove("preset") else { return Ok(table) };
    let text = name.as_str().and_then(preset).ok_or_else(|| {
        let known: Vec<_> = preset_names().collect();
        format!("there is no preset {name}; there are: {}", known.join(", "))
    })?;
    let under = text.parse().map_err(|error| format!("the preset is broken: {error}"))?;
    Ok(overlay(under, table))
}

fn unknown_keys(id: &str, table: &Table) -> Vec<DescriptionError> {
    let known = || LANE_KEYS.iter().chain(CONNECTION_KEYS).chain(WIRE_KEYS);
    let unknown = table.keys().filter(|key| !known().any(|known| known == key));
    let names: Vec<_> = ["id", "type", "preset"].iter().chain(known()).copied().collect();
    let names = names.join(", ");
    unknown
        .map(|key| {
            let key = format!("backend.{id}.{key}");
            DescriptionError::new(key, format!("there is no such key; there are: {names}"))
        })
        .collect()
}

/// Takes the keys of one part out of the table, and reads them.
fn part<T: DeserializeOwned>(
    id: &str,
    table: &mut Table,
    keys: &[&str],
    errors: &mut Vec<DescriptionError>,
) -> Option<T> {
    let part: Table = keys.iter().filter_map(|key| table.remove_entry(*key)).collect();
    part.try_into().map_err(|error: toml::de::Error| errors.push(in_words(id, &error))).ok()
}

/// The reader tells the key in its last line: in `create.query`.
fn in_words(id: &str, error: &toml::de::Error) -> DescriptionError {
    let text = error.to_string();
    let place = text.lines().last().and_then(|line| line.strip_prefix("in `"));
    let key = match place.and_then(|line| line.strip_suffix('`')) {
        Some(place) => format!("backend.{id}.{place}"),
        None => format!("backend.{id}"),
    };
    DescriptionError::new(key, error.message())
}

fn limits(description: &Description) -> Vec<DescriptionError> {
    let mut errors = Vec::new();
    let mut wrong = |below: &str, problem: &str| {
        errors.push(DescriptionError::new(description.key(below), problem));
    };
    let (lane, connection) = (&description.lane, &description.connection);
    for (name, span) in [
        ("timeout", lane.timeout),
        ("send_within", lane.send_within),
        ("backoff", lane.backoff),
        ("connect_timeout", connection.connect_timeout),
    ] {
        if span == Duration::ZERO {
            wrong(name, "must be more than 0s");
        }
    }
    if lane.backoff_max < lane.backoff {
        wrong("backoff_max", "must not be less than backoff");
    }
    if lane.max_in_doubt == 0 {
        wrong("max_in_doubt", "must be at least 1");
    }
    if connection.client_cert_file.is_some() != connection.client_key_file.is_some() {
        wrong("client_cert_file", "client_cert_file and client_key_file belong together");
    }
    if let Err(problem) = connection::base_url(&connection.base_url) {
        wrong("base_url", &problem);
    }
    errors
}
