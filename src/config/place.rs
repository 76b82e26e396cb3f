//! Where in the file a key stands: `policy.rule[1].backend` to a line.

use super::{ConfigError, ConfigErrors};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The keys of one file.
pub(super) struct Places<'a> {
    file: &'a str,
    text: &'a str,
    table: DeTable<'a>,
}

impl<'a> Places<'a> {
    /// Parses a text for its places.
    pub fn of(file: &'a str, text: &'a str) -> Result<Self, ConfigErrors> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { file, text, table: table.into_inner() }),
            Err(error) => {
                let places = Self { file, text, table: DeTable::new() };
                Err(ConfigErrors(vec![places.error_at_span(error.span(), error.message())]))
            }
        }
    }

    /// An error of a key.
    pub fn error(&self, key: &str, what: &str) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: self.span_of(key).map(|span| self.line_of(span.start)),
            key: key.to_owned(),
            what: what.to_owned(),
        }
    }

    /// An error of a place.
    pub fn error_at_span(&self, span: Option<Range<usize>>, what: &str) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: span.map(|span| self.line_of(span.start)),
            key: String::new(),
            what: what.to_owned(),
        }
    }

    fn line_of(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The nearest place that exists: a missing key is shown where its section begins.
    fn span_of(&self, path: &str) -> Option<Range<usize>> {
        let mut table = &self.table;
        let mut span = None;
        let mut steps = steps(path).into_iter().peekable();
        while let Some(Step::Key(name)) = steps.next() {
            let Some((key, value)) = table.get_key_value(name) else { break };
            span = Some(key.span());
            let mut value = value;
            while let Some(Step::Index(n)) = steps.peek() {
                let DeValue::Array(array) = value.get_ref() else { break };
                let Some(element) = array.get(*n) else { break };
                span = Some(element.span());
                value = element;
                steps.next();
            }
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        span
    }
}

/// Takes a key out of a table; false: it is not there.
pub(super) fn remove(table: &mut toml::Table, path: &str) -> bool {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = table;
    let mut steps =
        steps(section).into_iter().filter(|step| !matches!(step, Step::Key(""))).peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return false };
        let Some(mut value) = table.get_mut(key) else { return false };
        while let Some(Step::Index(n)) = steps.peek() {
            let Some(inner) = value.get_mut(*n) else { return false };
            value = inner;
            steps.next();
        }
        let Some(inner) = value.as_table_mut() else { return false };
        table = inner;
    }
    table.remove(name).is_some()
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Key(name));
        for index in indexes.split('[') {
            if let Ok(n) = index.trim_end_matches(']').parse() {
                steps.push(Step::Index(n));
            }
        }
    }
    steps
}
