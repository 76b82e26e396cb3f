//! `TICKETGATE__A__B=value` sets key `a.b`; in lists of tables the number counts from 0:
//! `TICKETGATE__BACKEND__0__TIMEOUT=5s`. A value is read as TOML where the file has a number or a
//! truth value there, or nothing; otherwise as text.

use super::{ConfigError, ConfigErrors};
use std::collections::BTreeMap;
use toml::{Table, Value};

const PREFIX: &str = "TICKETGATE__";

/// Which keys came from the environment.
pub(super) struct Overlaid(BTreeMap<String, String>);

impl Overlaid {
    /// The error of a key, if it came from the environment.
    pub fn error(&self, key: &str, what: &str) -> Option<ConfigError> {
        let name = self.0.get(key)?;
        Some(ConfigError {
            file: format!("environment {name}"),
            line: None,
            key: key.to_owned(),
            what: what.to_owned(),
        })
    }
}

/// Puts the environment over the file.
pub(super) fn overlay(
    table: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Overlaid, ConfigErrors> {
    let mut overlaid = BTreeMap::new();
    let mut errors = Vec::new();
    let mut named: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    named.sort();
    for (name, text) in named {
        let words: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        match set(table, &words, &text) {
            Some(key) => {
                overlaid.insert(key, name);
            }
            None => errors.push(ConfigError::of_file(
                &format!("environment {name}"),
                "names no key: write TICKETGATE__SECTION__KEY, list places from 0",
            )),
        }
    }
    if errors.is_empty() { Ok(Overlaid(overlaid)) } else { Err(ConfigErrors(errors)) }
}

/// Sets one key; gives its path.
fn set(table: &mut Table, words: &[String], text: &str) -> Option<String> {
    let (last, sections) = words.split_last()?;
    let mut path = String::new();
    let mut place = table;
    let mut sections = sections.iter().peekable();
    while let Some(word) = sections.next() {
        if word.is_empty() {
            return None;
        }
        path.push_str(word);
        let value = place.entry(word.clone()).or_insert_with(|| Value::Table(Table::new()));
        place = match value {
            Value::Table(inner) => inner,
            Value::Array(list) => {
                let n: usize = sections.next()?.parse().ok()?;
                path.push_str(&format!("[{n}]"));
                list.get_mut(n)?.as_table_mut()?
            }
            _ => return None,
        };
        path.push('.');
    }
    if last.is_empty() {
        return None;
    }
    path.push_str(last);
    let value = match place.get(last) {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        _ => as_toml(text).unwrap_or_else(|| Value::String(text.to_owned())),
    };
    place.insert(last.clone(), value);
    Some(path)
}

fn as_toml(text: &str) -> Option<Value> {
    format!("v = {text}").parse::<Table>().ok()?.remove("v")
}
