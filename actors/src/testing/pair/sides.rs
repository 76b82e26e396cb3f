//! The two other sides: a ticketing system with a feed by time, and a connector with a table of its own.

use crate::model::{Fields, Found, Place, STATUS, Timestamp};
use crate::ports::{ChangesBy, Reading, Work};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A ticket over there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub fields: Fields,
    /// By their clock, in whole seconds.
    pub changed_at: Timestamp,
    /// Committed late: seen from then on, by our clock.
    pub seen_from: Timestamp,
    pub key: String,
    pub deleted: bool,
}

/// The ticketing system.
#[derive(Debug, Default)]
pub(super) struct System {
    pub rows: BTreeMap<String, Row>,
    /// Their clock is so far ahead; behind, where it is negative.
    pub ahead_ms: i64,
    /// What is written into this field is kept in capitals.
    pub shouts: Option<&'static str>,
    /// Writes of ours.
    pub written: u64,
}

impl System {
    /// Their clock.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        let at = match u64::try_from(self.ahead_ms) {
            Ok(ahead) => now.plus(Duration::from_millis(ahead)),
            Err(_) => now.minus(Duration::from_millis(self.ahead_ms.unsigned_abs())),
        };
        Timestamp::from_millis(at.as_nanos() / 1_000_000_000 * 1_000)
    }

    /// Changes a ticket, or makes one.
    pub fn edit(&mut self, id: &str, fields: &Fields, now: Timestamp, late: Duration) {
        let changed_at = self.clock(now);
        let put_right = |at: Timestamp| if at > changed_at { changed_at } else { at };
        let shouts = self.shouts;
        let row = self.rows.entry(id.to_owned()).or_insert_with(|| Row {
            fields: Fields::new(),
            changed_at,
            seen_from: now,
            key: String::new(),
            deleted: false,
        });
        for (name, value) in fields {
            let value = match value {
                Value::String(text) if shouts == Some(name) => text.to_uppercase().into(),
                value => value.clone(),
            };
            match value {
                Value::Null => drop(row.fields.remove(name)),
                value => drop(row.fields.insert(name.clone(), value)),
            }
        }
        row.changed_at = put_right(row.changed_at).max(changed_at);
        row.seen_from = row.seen_from.max(now.plus(late));
    }

    /// A ticket says that it was changed in a day's time.
    pub fn dream(&mut self, id: &str, now: Timestamp) {
        let future = self.clock(now).plus(Duration::from_secs(86_400));
        if let Some(row) = self.rows.get_mut(id) {
            row.changed_at = future;
        }
    }

    /// A page of its feed.
    pub fn page(&self, work: &Work, now: Timestamp) -> Reading {
        let Work::Changes { since, offset, limit, .. } = work else { return Reading::default() };
        let seen = self.rows.iter().filter(|(_, row)| row.seen_from <= now);
        let of = seen.filter(|(_, row)| since.is_none_or(|since| row.changed_at >= since));
        let mut rows: Vec<_> = of.collect();
        rows.sort_by_key(|(id, row)| (row.changed_at, (*id).clone()));
        let rest: Vec<_> = rows.into_iter().skip(*offset as usize).collect();
        let more = rest.len() > *limit as usize;
        let found = |(id, row): &(&String, &Row)| Found {
            backend_id: (*id).clone(),
            correlation_key: Some(row.key.clone()),
            status: row
                .fields
                .get(STATUS)
                .and_then(|it| it.as_str())
                .and_then(crate::model::TicketStatus::parse),
            fields: row.fields.iter().filter(|(name, _)| *name != STATUS).map(own).collect(),
            changed_at: Some(row.changed_at),
            deleted: row.deleted,
            ..Found::default()
        };
        Reading {
            tickets: rest.iter().take(*limit as usize).map(found).collect(),
            more,
            cursor: None,
        }
    }
}

fn own((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// How that system's feed is read.
pub(super) const BY: ChangesBy = ChangesBy::Time;

/// Is a place at rest: not within a pass?
pub(super) fn at_rest(place: &Place) -> bool {
    place.since.is_none() && place.offset == 0
}

/// A ticket in the connector's table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Copy {
    pub fields: Fields,
    /// By its clock.
    pub changed_at: Timestamp,
    /// Fields that were edited and not told since, and when.
    pub own: BTreeMap<String, Timestamp>,
}

/// The connector.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub table: BTreeMap<String, Copy>,
    pub ahead_ms: i64,
    pub credit: u32,
    pub messages: u64,
    /// It says up to where it has taken what it was sent.
    pub careful: bool,
    /// Up to there.
    pub cursor: u64,
}

impl Element {
    /// Its clock, in milliseconds.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        match u64::try_from(self.ahead_ms) {
            Ok(ahead) => now.plus(Duration::from_millis(ahead)),
            Err(_) => now.minus(Duration::from_millis(self.ahead_ms.unsigned_abs())),
        }
    }
}
