//! What filters of templates do: their words for ours, their way of writing time, query languages,
//! elements of XML.
//!
//! What always holds: what is missing stays missing; a map gives no other word than its own, but for a
//! template that is only being tried out.

use super::maps::{Map, Times};
use super::xml;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, Output, State};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// What filters know of a description.
#[derive(Debug)]
pub(super) struct Words {
    pub maps: BTreeMap<String, Map>,
    pub times: Times,
    /// A template is only being tried out: a map gives an example for a stand-in.
    pub trying: AtomicBool,
}

/// Stands for a time when a template is tried out.
const ANY_TIME: &str = "2026-11-21T10:00:00Z";

impl Words {
    /// Neither map has been used.
    pub fn new(maps: BTreeMap<String, Map>, times: Times) -> Self {
        Self { maps, times, trying: AtomicBool::new(false) }
    }

    pub fn mapped(&self, value: Value, name: &str) -> Result<Value, Error> {
        // This kind is looked for when a template is compiled.
        let unknown = || Error::new(ErrorKind::UnknownFilter, format!("there is no map {name:?}"));
        let map = self.maps.get(name).ok_or_else(unknown)?;
        if is_missing(&value) {
            return Ok(value);
        }
        let text = value.to_string();
        let theirs = map.to(&text).or_else(|| map.example().filter(|_| self.is_trying()));
        theirs.map(Value::from).ok_or_else(|| {
            let problem = format!("the map {name} has nothing for a value");
            Error::new(ErrorKind::InvalidOperation, problem)
        })
    }

    pub fn written(&self, value: Value) -> Result<Value, Error> {
        if is_missing(&value) {
            return Ok(value);
        }
        let given = value.to_string();
        let text = if self.is_trying() { ANY_TIME } else { given.as_str() };
        let written = self.times.write(text).map(Value::from);
        written.map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
    }

    fn is_trying(&self) -> bool {
        self.trying.load(Ordering::Relaxed)
    }
}

fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// Writes a value as the text of an element or attribute.
pub(super) fn into_xml(
    out: &mut Output<'_>,
    _: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if is_missing(value) {
        return Err(Error::new(ErrorKind::UndefinedError, "a value of the body is missing"));
    }
    let text = value.to_string();
    let written =
        if value.is_safe() { out.write_str(&text) } else { out.write_str(&xml::escape(&text)) };
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "a body cannot be written"))
}

/// `escaped(characters, by)`: with `by` before each of the characters, for query languages.
pub(super) fn escaped(value: Value, characters: &str, by: &str) -> Value {
    if is_missing(&value) {
        return value;
    }
    let mut out = String::new();
    for character in value.to_string().chars() {
        if characters.contains(character) {
            out.push_str(by);
        }
        out.push(character);
    }
    Value::from(out)
}

/// `element(name, value)`: none for no value, one for each of a list.
pub(super) fn elements(name: &str, value: Value) -> Result<Value, Error> {
    if !xml::is_name(name) {
        let problem = "the first argument of element must be a name";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let values: Vec<Value> = match value.kind() {
        ValueKind::Undefined | ValueKind::None => Vec::new(),
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
        _ => vec![value],
    };
    let mut out = String::new();
    for value in values.iter().filter(|value| !is_missing(value)) {
        let text = value.to_string();
        let text = if value.is_safe() { text } else { xml::escape(&text) };
        out.push_str(&format!("<{name}>{text}</{name}>"));
    }
    Ok(Value::from_safe_string(out))
}
