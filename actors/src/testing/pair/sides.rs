//! The two other sides: a ticketing system with a feed by time or by cursor, and a connector with a table of
//! its own.

use crate::model::{Fields, Found, Place, STATUS, Timestamp};
use crate::ports::{ChangesBy, Reading, Work};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fields that people edit, and that both sides keep in step.
pub(super) const FIELDS: [&str; 4] = ["a", "b", "c", "d"];

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
    /// The number of its last change.
    pub n: u64,
}

/// Where a row stands in a feed by cursor: which cursors its source knew then, when it was committed, and the
/// number of that change.
pub(super) type Stand = (u64, i64, u64);

/// The place that a cursor names.
pub(super) fn stand(cursor: &str) -> Option<Stand> {
    let mut parts = cursor.split(':');
    let mut part = || parts.next()?.parse::<i64>().ok();
    Some((part()?.try_into().ok()?, part()?, part()?.try_into().ok()?))
}

/// The ticketing system.
#[derive(Debug, Default)]
pub(super) struct System {
    pub rows: BTreeMap<String, Row>,
    /// Their clock is so far ahead; behind, where it is negative.
    pub ahead_ms: i64,
    /// Its feed goes by a cursor of its own.
    pub by_cursor: bool,
    /// Cursors that it gave before it began anew it refuses.
    pub generation: u64,
    /// Changes of rows.
    pub changes: u64,
    /// It takes some writes at once and answers them later.
    pub later: bool,
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
        self.changes += 1;
        let n = self.changes;
        let row = self.rows.entry(id.to_owned()).or_insert_with(|| Row {
            fields: Fields::new(),
            changed_at,
            seen_from: now,
            key: String::new(),
            deleted: false,
            n,
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
        row.n = n;
    }

    /// A ticket says that it was changed in a day's time.
    pub fn dream(&mut self, id: &str, now: Timestamp) {
        let future = self.clock(now).plus(Duration::from_secs(86_400));
        if let Some(row) = self.rows.get_mut(id) {
            row.changed_at = future;
        }
    }

    /// One ticket, read by its id: what it does not have is shown as empty.
    pub fn get(&self, id: &str) -> Option<Found> {
        let mut found = shown(&self.rows.get_key_value(id)?);
        for name in FIELDS {
            found.fields.entry(name).or_insert(Value::Null);
        }
        Some(found)
    }

    /// How its feed is read.
    pub fn by(&self) -> ChangesBy {
        if self.by_cursor { ChangesBy::Cursor } else { ChangesBy::Time }
    }

    /// A page of its feed; none: it does not know that cursor.
    pub fn page(&self, work: &Work, now: Timestamp) -> Option<Reading> {
        let Work::Changes { cursor, since, offset, limit } = work else { return None };
        if self.by_cursor {
            return self.page_by_cursor(cursor.as_deref(), *limit, now);
        }
        let seen = self.rows.iter().filter(|(_, row)| row.seen_from <= now);
        let of = seen.filter(|(_, row)| since.is_none_or(|since| row.changed_at >= since));
        let mut rows: Vec<_> = of.collect();
        rows.sort_by_key(|(id, row)| (row.changed_at, (*id).clone()));
        let rest: Vec<_> = rows.into_iter().skip(*offset as usize).collect();
        let more = rest.len() > *limit as usize;
        Some(Reading {
            tickets: rest.iter().take(*limit as usize).map(shown).collect(),
            more,
            cursor: None,
        })
    }

    /// In the order in which they were committed, each where it was changed last. Where nothing new is, no
    /// cursor is given.
    fn page_by_cursor(&self, cursor: Option<&str>, limit: u32, now: Timestamp) -> Option<Reading> {
        let after = match cursor {
            Some(cursor) => {
                Some(stand(cursor).filter(|(generation, ..)| *generation == self.generation)?)
            }
            None => None,
        };
        let stand = |row: &Row| (self.generation, row.seen_from.as_millis(), row.n);
        let seen = self.rows.iter().filter(|(_, row)| row.seen_from <= now);
        let mut rows: Vec<_> = seen.filter(|(_, row)| Some(stand(row)) > after).collect();
        rows.sort_by_key(|(_, row)| stand(row));
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().map(|(_, row)| stand(row));
        Some(Reading {
            tickets: rows.iter().map(shown).collect(),
            more,
            cursor: last.map(|(generation, at, n)| format!("{generation}:{at}:{n}")),
        })
    }
}

/// A ticket as it is shown.
fn shown((id, row): &(&String, &Row)) -> Found {
    let status = row.fields.get(STATUS).and_then(|it| it.as_str());
    Found {
        backend_id: (*id).clone(),
        correlation_key: Some(row.key.clone()),
        status: status.and_then(crate::model::TicketStatus::parse),
        fields: row.fields.iter().filter(|(name, _)| *name != STATUS).map(own).collect(),
        changed_at: Some(row.changed_at),
        deleted: row.deleted,
        ..Found::default()
    }
}

fn own((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

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
    /// What it was sent last.
    pub sent: Fields,
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
    /// The pass over its table that is under way: its name, and what it has yet to name.
    pub pass: Option<(String, BTreeSet<String>)>,
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
