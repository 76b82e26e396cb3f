//! The element's table of tickets.
//!
//! What always holds: a row has a number that grows with each change of it, and the number up to which the
//! gateway has been told. Only a person's edit moves the time of its change: what is taken over from the
//! gateway would else look like the newer ticket for ever.
//!
//! What it leaves to others: when rows are told, and what is answered (`element`).

use super::super::changes::written;
use super::message::{ChangedTicket, EventTicket, Told};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A ticket's fields by their names.
pub(super) type Fields = Map<String, Value>;

/// The state of a ticket that somebody made without saying it.
const STATE_AT_FIRST: &str = "acknowledged";
const KIND_AT_FIRST: &str = "incident";

/// A ticket as the element has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    id: String,
    /// The gateway's own key, once it has said it.
    key: Option<String>,
    kind: String,
    status: String,
    fields: Fields,
    /// When a person last changed it, by the element's clock.
    changed_ms: i64,
    /// Of its newest change.
    number: u64,
    /// Of its newest change by a person.
    edited: u64,
    /// The gateway has been told of this change.
    told: u64,
    deleted: bool,
    verified_at: Option<String>,
}

impl Row {
    /// As the face shows it.
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id, "key": self.key, "kind": self.kind, "status": self.status,
            "fields": self.fields, "changed_at": written(self.changed_ms),
            "verified_at": self.verified_at, "told": self.told >= self.number,
        })
    }
}

/// What a person may say of a ticket.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Edit {
    pub kind: Option<String>,
    pub status: Option<String>,
    /// Fields to set; a null takes one away.
    pub fields: Fields,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A ticket of theirs that was not here yet.
    Made,
    /// Fields and state were taken over.
    Over,
    /// The row is gone.
    Removed,
    /// A person has changed the row since: it is told first.
    Kept,
    /// There was nothing to do.
    Nothing,
}

/// All rows, the dead among them until they were told of.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The first part of every id: the element's agent.
    agent: String,
    made: u64,
    last_number: u64,
    rows: BTreeMap<u64, Row>,
}

impl Table {
    /// An empty one of this agent.
    pub fn of(agent: &str) -> Self {
        Self { agent: agent.to_owned(), ..Self::default() }
    }

    /// The tickets that there are.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| !row.deleted)
    }

    /// One of them.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows().find(|row| row.id == id)
    }

    /// A person makes a ticket.
    pub fn make(&mut self, edit: Edit, clock_ms: i64) -> Row {
        let number = self.next_number();
        let row = Row {
            key: None,
            kind: edit.kind.unwrap_or_else(|| KIND_AT_FIRST.to_owned()),
            status: edit.status.unwrap_or_else(|| STATE_AT_FIRST.to_owned()),
            fields: Fields::new(),
            changed_ms: clock_ms,
            number,
            edited: number,
            told: 0,
            deleted: false,
            verified_at: None,
            id: String::new(),
        };
        let row = self.add(row);
        set(&mut row.fields, &edit.fields);
        row.clone()
    }

    /// A person changes a ticket; none if it is not there. What changes nothing is no edit.
    pub fn edit(&mut self, id: &str, edit: Edit, clock_ms: i64) -> Option<Row> {
        let number = self.last_number + 1;
        let row = self.rows.values_mut().find(|row| row.id == id && !row.deleted)?;
        let before = row.clone();
        row.kind = edit.kind.unwrap_or_else(|| before.kind.clone());
        row.status = edit.status.unwrap_or_else(|| before.status.clone());
        set(&mut row.fields, &edit.fields);
        if *row != before {
            (row.number, row.edited, row.changed_ms) = (number, number, clock_ms);
        }
        let row = row.clone();
        self.last_number = self.last_number.max(row.number);
        Some(row)
    }

    /// A person removes a ticket. It stays as one that is dead until the gateway has been told.
    pub fn remove(&mut self, id: &str, clock_ms: i64) -> bool {
        let number = self.next_number();
        let row = self.rows.values_mut().find(|row| row.id == id && !row.deleted);
        let Some(row) = row else { return false };
        (row.number, row.edited, row.changed_ms, row.deleted) = (number, number, clock_ms, true);
        true
    }

    /// The rows that the gateway has not been told of, oldest change first.
    pub fn untold(&self) -> Vec<u64> {
        let untold = self.rows.iter().filter(|(_, row)| row.told < row.number);
        let mut places: Vec<_> = untold.map(|(place, row)| (row.number, *place)).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// All rows, the dead included that it has not been told of.
    pub fn all(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }

    /// A row as the gateway is told of it, and the number of its change; none if it is gone by now.
    pub fn told_of(&self, place: u64) -> Option<(Told, u64)> {
        let row = self.rows.get(&place)?;
        let ticket = ChangedTicket {
            backend_id: row.id.clone(),
            key: row.key.clone(),
            kind: row.kind.clone(),
            status: row.status.clone(),
            fields: row.fields.clone(),
        };
        let told = Told { changed_at: written(row.changed_ms), deleted: row.deleted, ticket };
        Some((told, row.number))
    }

    /// The gateway has been told of a row as of this change.
    pub fn was_told(&mut self, place: u64, number: u64) {
        let Some(row) = self.rows.get_mut(&place) else { return };
        row.told = row.told.max(number);
        if row.deleted && row.told >= row.number {
            self.rows.remove(&place);
        }
    }

    /// The cursor is lost: nothing is known of what was told, nor of what is gone.
    pub fn forget(&mut self) {
        self.rows.retain(|_, row| !row.deleted);
        self.rows.values_mut().for_each(|row| row.told = 0);
    }

    /// Takes over what the gateway says of a ticket: `event`, at that time of theirs. `polled_ms` is when it
    /// was asked, by the element's clock: what it says is not newer than that.
    pub fn take(
        &mut self,
        event: &str,
        at: Option<&str>,
        theirs: &EventTicket,
        polled_ms: i64,
    ) -> Taken {
        let deletes = event == "deleted";
        let Some(place) = self.place_of(theirs) else {
            return if deletes {
                Taken::Nothing
            } else {
                self.take_new(event, at, theirs, polled_ms)
            };
        };
        let number = self.last_number + 1;
        let Some(row) = self.rows.get_mut(&place) else { return Taken::Nothing };
        if row.edited > row.told {
            return Taken::Kept;
        }
        if deletes {
            self.rows.remove(&place);
            return Taken::Removed;
        }
        row.key = theirs.key.clone().or(row.key.take());
        take_over(row, theirs);
        match event {
            "verified" => row.verified_at = at.map(str::to_owned),
            // It is told once more, so that the gateway sees that both are equal.
            _ => {
                row.number = number;
                self.last_number = number;
            }
        }
        Taken::Over
    }

    fn take_new(
        &mut self,
        event: &str,
        at: Option<&str>,
        theirs: &EventTicket,
        polled_ms: i64,
    ) -> Taken {
        let number = self.next_number();
        let mut row = Row {
            id: String::new(),
            key: theirs.key.clone(),
            kind: theirs.kind.clone().unwrap_or_else(|| KIND_AT_FIRST.to_owned()),
            status: STATE_AT_FIRST.to_owned(),
            fields: Fields::new(),
            changed_ms: polled_ms,
            number,
            edited: 0,
            told: 0,
            deleted: false,
            verified_at: at.filter(|_| event == "verified").map(str::to_owned),
        };
        take_over(&mut row, theirs);
        self.add(row);
        Taken::Made
    }

    /// The row of a ticket: by the element's own id, else by the gateway's key.
    fn place_of(&self, theirs: &EventTicket) -> Option<u64> {
        let by_id = |row: &Row| theirs.backend_id.as_ref() == Some(&row.id);
        let by_key = |row: &Row| row.key.is_some() && row.key == theirs.key;
        let mut rows = self.rows.iter();
        let place = rows.find(|(_, row)| by_id(row)).map(|(place, _)| *place);
        place.or_else(|| self.rows.iter().find(|(_, row)| by_key(row)).map(|(place, _)| *place))
    }

    fn add(&mut self, row: Row) -> &mut Row {
        self.made += 1;
        let id = format!("{}/{}", self.agent, self.made);
        self.rows.entry(self.made).or_insert(Row { id, ..row })
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

fn take_over(row: &mut Row, theirs: &EventTicket) {
    set(&mut row.fields, &theirs.fields);
    // Their word for our state first, where it has one.
    let status = theirs.backend_status.as_ref().or(theirs.status.as_ref());
    if let Some(status) = status {
        row.status.clone_from(status);
    }
}

/// Sets fields; a null is not stored.
fn set(fields: &mut Fields, given: &Fields) {
    for (name, value) in given {
        match value {
            Value::Null => _ = fields.remove(name),
            value => _ = fields.insert(name.clone(), value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(summary: &str) -> Edit {
        Edit {
            fields: Fields::from_iter([("summary".to_owned(), summary.into())]),
            ..Edit::default()
        }
    }

    fn theirs(id: Option<&str>, key: &str, summary: &str) -> EventTicket {
        EventTicket {
            backend_id: id.map(str::to_owned),
            key: Some(key.to_owned()),
            status: Some("inProgress".to_owned()),
            fields: edit(summary).fields,
            ..EventTicket::default()
        }
    }

    #[test]
    fn only_a_persons_edit_is_a_change_of_time_and_nothing_is_no_edit() {
        let mut table = Table::of("7");
        let made = table.make(edit("a"), 1_000);
        assert_eq!((made.id.as_str(), made.changed_ms, made.number), ("7/1", 1_000, 1));
        let same = table.edit("7/1", edit("a"), 2_000).unwrap();
        assert_eq!((same.changed_ms, same.number), (1_000, 1));
        let changed = table.edit("7/1", edit("b"), 3_000).unwrap();
        assert_eq!((changed.changed_ms, changed.number), (3_000, 2));
        table.was_told(1, 2);
        assert_eq!(table.take("merged", None, &theirs(Some("7/1"), "k", "c"), 9_000), Taken::Over);
        let row = table.row("7/1").unwrap();
        assert_eq!((row.changed_ms, row.number, row.told), (3_000, 3, 2), "told once more");
        assert_eq!(
            (row.fields["summary"].as_str(), row.status.as_str()),
            (Some("c"), "inProgress")
        );
        table.was_told(1, 3);
        let at = Some("2026-11-21T10:00:00.000Z");
        assert_eq!(table.take("verified", at, &theirs(None, "k", "c"), 9_000), Taken::Over);
        assert!(table.untold().is_empty(), "what is verified is not told again");
        assert_eq!(table.row("7/1").unwrap().verified_at.as_deref(), at);
        assert!(table.edit("7/9", edit("x"), 0).is_none() && !table.remove("7/9", 0));
    }

    #[test]
    fn a_ticket_of_theirs_gets_an_id_that_is_told_and_no_time_of_a_person() {
        let mut table = Table::of("7");
        assert_eq!(table.take("created", None, &theirs(None, "k", "a"), 5_000), Taken::Made);
        let (told, number) = table.told_of(1).unwrap();
        assert_eq!(
            (told.ticket.backend_id.as_str(), told.ticket.key.as_deref()),
            ("7/1", Some("k"))
        );
        assert_eq!((table.untold(), number), (vec![1], 1));
        assert_eq!(told.changed_at, written(5_000));
        // Said again, before it was told: no second row.
        assert_eq!(table.take("created", None, &theirs(None, "k", "b"), 6_000), Taken::Over);
        assert_eq!(table.rows().count(), 1);
    }

    #[test]
    fn an_edit_that_was_not_told_yet_is_not_written_over() {
        let mut table = Table::of("7");
        table.make(edit("a"), 1_000);
        table.was_told(1, 1);
        table.edit("7/1", edit("by hand"), 2_000);
        for event in ["merged", "verified", "deleted"] {
            assert_eq!(table.take(event, None, &theirs(Some("7/1"), "k", "c"), 0), Taken::Kept);
        }
        assert_eq!(table.row("7/1").unwrap().fields["summary"], "by hand");
    }

    #[test]
    fn the_dead_are_told_of_once_and_are_forgotten_with_the_cursor() {
        let mut table = Table::of("7");
        for summary in ["a", "b"] {
            table.make(edit(summary), 0);
        }
        assert!(table.remove("7/1", 9));
        assert_eq!((table.rows().count(), table.untold()), (1, vec![2, 1]));
        let (told, number) = table.told_of(1).unwrap();
        assert!(told.deleted);
        table.was_told(1, number);
        assert!(table.told_of(1).is_none());
        table.remove("7/2", 9);
        table.forget();
        assert!(table.untold().is_empty() && table.rows().count() == 0);
        assert_eq!(table.take("deleted", None, &theirs(Some("7/1"), "k", ""), 0), Taken::Nothing);
    }
}
