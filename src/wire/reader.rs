//! Takes typed fields out of a message, one by one; what is wrong names its field.
//!
//! Null reads as absent: several senders write every field they know, set or not.

use serde_json::Value;
use std::time::Duration;
use ticketgate_actors::model::{Fields, Timestamp};
use ticketgate_actors::ports::Malformed;
use uuid::Uuid;

/// Characters of a bad value that a reason repeats.
const ECHOED: usize = 64;
/// `urn:uuid:` and 36 characters.
const UUID_CHARACTERS: usize = 45;

/// The fields of a message that were not taken yet.
pub(super) struct Reader {
    fields: Fields,
    /// In front of every name: empty, or for example `ticket.`.
    within: &'static str,
}

impl Reader {
    pub fn new(fields: Fields) -> Self {
        Self { fields, within: "" }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// What is wrong with a field.
    pub fn fault(&self, name: &str, what: impl std::fmt::Display) -> Malformed {
        let field = format!("{}{name}", self.within);
        Malformed { reason: format!("{field} {what}"), field: Some(field) }
    }

    pub fn require<T>(&self, name: &str, value: Option<T>) -> Result<T, Malformed> {
        value.ok_or_else(|| self.fault(name, "is missing"))
    }

    /// A string of at most so many characters.
    pub fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => match text.chars().count() {
                n if n > max => {
                    Err(self.fault(name, format_args!("has {n} characters; {max} are allowed")))
                }
                _ => Ok(Some(text)),
            },
            Some(other) => Err(self.mistyped(name, "a string", &other)),
        }
    }

    /// A string, if it is one; else it stays to be taken as something else.
    pub fn clone_text(&mut self, name: &str, max: usize) -> Result<Option<String>, Malformed> {
        match self.fields.get(name) {
            Some(Value::Object(_)) => Err(self.fault(name, "is a map")),
            Some(Value::String(_)) | None | Some(Value::Null) => self.text(name, max),
            Some(_) => Err(self.fault(name, "must be a string or a map")),
        }
    }

    /// A string that must be there, and that says something.
    pub fn name(&mut self, name: &str, max: usize) -> Result<String, Malformed> {
        let text = self.text(name, max)?;
        let text = self.require(name, text)?;
        if text.trim().is_empty() {
            return Err(self.fault(name, "is empty"));
        }
        Ok(text)
    }

    /// Is it there at all?
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.mistyped(name, "true or false", &other)),
        }
    }

    /// A UUID, as a string.
    pub fn uuid(&mut self, name: &str) -> Result<Option<Uuid>, Malformed> {
        match self.text(name, UUID_CHARACTERS)? {
            None => Ok(None),
            Some(text) => match Uuid::try_parse(&text) {
                Ok(uuid) => Ok(Some(uuid)),
                Err(_) => Err(self.fault(name, "is not a UUID")),
            },
        }
    }

    /// A whole number within limits.
    pub fn number(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
                _ => Err(self.fault(name, format_args!("must be a whole number, {min} to {max}"))),
            },
            Some(other) => Err(self.mistyped(name, "a number", &other)),
        }
    }

    /// A span in milliseconds within limits.
    pub fn millis(
        &mut self,
        name: &str,
        min: Duration,
        max: Duration,
    ) -> Result<Option<Duration>, Malformed> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Ok(self.number(name, millis(min), millis(max))?.map(Duration::from_millis))
    }

    /// One word of a closed list.
    pub fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Malformed> {
        let Some(text) = self.text(name, usize::MAX)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.unknown(name, &text, words.iter().map(|(word, _)| *word))),
        }
    }

    /// A word that is not in its list; the reason shows the list.
    pub fn unknown<'a>(
        &self,
        name: &str,
        text: &str,
        allowed: impl Iterator<Item = &'a str>,
    ) -> Malformed {
        let text: String = text.chars().take(ECHOED).collect();
        let allowed = allowed.collect::<Vec<_>>().join(", ");
        self.fault(name, format_args!("{text:?} is not one of: {allowed}"))
    }

    /// An RFC 3339 time of any precision and offset.
    pub fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Malformed> {
        match self.text(name, usize::MAX)? {
            None => Ok(None),
            Some(text) => match Timestamp::parse(&text) {
                Ok(time) => Ok(Some(time)),
                Err(bad) => Err(self.fault(name, bad)),
            },
        }
    }

    /// A map of anything; empty where it is absent.
    pub fn map(&mut self, name: &str) -> Result<Fields, Malformed> {
        match self.take(name) {
            None => Ok(Fields::new()),
            Some(Value::Object(map)) => Ok(map.into()),
            Some(other) => Err(self.mistyped(name, "a map", &other)),
        }
    }

    /// A map with fields of its own; `within` is its name and a dot.
    pub fn part(&mut self, name: &str, within: &'static str) -> Result<Self, Malformed> {
        Ok(Self { fields: self.map(name)?, within })
    }

    fn mistyped(&self, name: &str, wanted: &str, got: &Value) -> Malformed {
        let got = match got {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "a map",
        };
        self.fault(name, format_args!("must be {wanted}, not {got}"))
    }
}
