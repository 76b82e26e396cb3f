//! Where a part of an answer is: a selector, or a header; and what is done with what is there.
//!
//! What always holds: what is not there, or not as the description has it, is nothing.
//!
//! What it leaves to others: which part it is (`reading`, `conversation`).

use super::compiler::Compiler;
use super::maps::Map;
use super::selectors::{Item, Selector};
use super::words::Words;
use reqwest::header::{HeaderMap, HeaderName};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::sync::Arc;

/// A selector, or a table of where and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceDescription {
    /// A selector.
    pub select: Option<String>,
    /// Or a header of the answer.
    pub header: Option<String>,
    /// What stands after the last of this text in it, up to the next `/`, `?` or `#`: an id in an
    /// address.
    pub after: Option<String>,
    /// Their word is turned into ours by this map.
    pub map: Option<String>,
    /// It is a time of theirs.
    pub time: bool,
    /// All that is found, as a list, be it one or none.
    pub list: bool,
}

/// The same as a table.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct PlaceTable {
    select: Option<String>,
    header: Option<String>,
    after: Option<String>,
    map: Option<String>,
    time: bool,
    list: bool,
}

impl<'de> Deserialize<'de> for PlaceDescription {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::String(select) => Ok(Self { select: Some(select), ..Self::default() }),
            table @ toml::Value::Table(_) => {
                let table: PlaceTable = table
                    .try_into()
                    .map_err(|error: toml::de::Error| D::Error::custom(error.message()))?;
                let PlaceTable { select, header, after, map, time, list } = table;
                Ok(Self { select, header, after, map, time, list })
            }
            _ => Err(D::Error::custom("this must be a selector in quotes, or a table")),
        }
    }
}

/// A place, compiled.
#[derive(Debug)]
pub(super) struct Place {
    at: At,
    after: Option<String>,
    map: Option<Map>,
    words: Arc<Words>,
    time: bool,
    list: bool,
}

#[derive(Debug)]
enum At {
    Selected(Selector),
    Header(HeaderName),
}

impl Place {
    /// Compiles one; none if something is wrong, which is then noted.
    pub fn of(compiler: &mut Compiler<'_>, key: &str, place: &PlaceDescription) -> Option<Self> {
        let at = match (&place.select, &place.header) {
            (Some(select), None) => At::Selected(compiler.selector(key, Some(select))?),
            (None, Some(header)) => match HeaderName::from_bytes(header.as_bytes()) {
                Ok(header) => At::Header(header),
                Err(_) => {
                    compiler.wrong(&format!("{key}.header"), "this is not the name of a header");
                    return None;
                }
            },
            _ => {
                compiler.wrong(key, "give either select or header");
                return None;
            }
        };
        let words = Arc::clone(compiler.templates.words());
        let map = match &place.map {
            None => None,
            Some(name) => match words.maps.get(name) {
                Some(map) => Some(map.clone()),
                None => {
                    compiler.wrong(&format!("{key}.map"), format!("there is no map {name:?}"));
                    return None;
                }
            },
        };
        let after = place.after.clone();
        Some(Self { at, after, map, words, time: place.time, list: place.list })
    }

    /// The same, read as a time of theirs.
    pub fn of_time(self) -> Self {
        Self { time: true, ..self }
    }

    /// Its text, if it is one alone.
    pub fn text(&self, from: Item<'_>, headers: &HeaderMap) -> Option<String> {
        let text = match &self.at {
            At::Selected(selector) => selector.text(from)?,
            At::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
        };
        self.read(text)
    }

    /// Its value: a text where something is done with it, else as it is.
    pub fn value(&self, from: Item<'_>, headers: &HeaderMap) -> Option<Value> {
        match &self.at {
            At::Selected(selector) if self.list => Some(selector.list(from)),
            At::Selected(selector) if self.is_plain() => selector.value(from),
            _ => self.text(from, headers).map(Value::String),
        }
    }

    fn is_plain(&self) -> bool {
        self.after.is_none() && self.map.is_none() && !self.time
    }

    fn read(&self, text: String) -> Option<String> {
        let text = match &self.after {
            None => text,
            Some(after) => {
                let (_, rest) = text.rsplit_once(after.as_str())?;
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                Some(rest[..end].to_owned()).filter(|text| !text.is_empty())?
            }
        };
        let text = match &self.map {
            Some(map) => map.from(&text).to_owned(),
            None => text,
        };
        if self.time { self.words.times.read(&text) } else { Some(text) }
    }
}
