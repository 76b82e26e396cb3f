//! The tickets of one simulated backend.
//!
//! What always holds: it believes whatever it is told, as ticketing systems do. Two tickets with
//! one key are made when asked for, and an older revision is applied over a newer one; both are
//! only written down (`order`). A ticket that is deleted keeps its number and its place in the feed.
//!
//! What it leaves to others: faults (`books`), HTTP (`handlers`), and reading a clock: moments are
//! arguments, in milliseconds since the start.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::changes::{Change, Changes, written};
use super::order::{Applied, OrderFaults};
use super::report::{OrderFault, StatusSince, TicketEntry};

const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no ticket {0}")]
    NoSuchTicket(String),
    #[error("{field}: {message}")]
    Field { field: String, message: &'static str },
}

/// A ticket as the backend answers it.
pub(super) type Fields = Map<String, Value>;

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The tickets, oldest first.
    pub tickets: Vec<Fields>,
    /// Whether there are more than the limit allowed.
    pub more: bool,
    /// How many match but are too new for the index.
    pub hidden: u64,
}

#[derive(Debug)]
struct Ticket {
    fields: Fields,
    revision: Option<i64>,
    made_ms: u64,
    deleted: bool,
    history: Vec<StatusSince>,
}

impl Ticket {
    fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn note_status(&mut self, at_ms: u64) {
        let status = self.text("status").to_owned();
        if self.history.last().is_none_or(|last| last.status != status) {
            self.history.push(StatusSince { status, at_ms });
        }
    }
}

/// The tickets of one backend, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Tickets {
    id_prefix: String,
    first_number: u64,
    url_prefix: String,
    all: Vec<Ticket>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<String, Vec<usize>>,
    by_idempotency_key: HashMap<String, usize>,
    order_faults: OrderFaults,
    changes: Changes,
    /// An update that changes nothing is a change as well.
    always_changes: bool,
    id_of: IdOf,
}

/// A ticket as it stands in a feed.
#[derive(Debug)]
pub(super) struct Changed {
    pub fields: Fields,
    pub deleted: bool,
    pub change: Change,
}

/// The fields that a system writes itself.
const OWN_FIELDS: [&str; 4] = ["id", "url", "created_at", "modified_at"];

/// How ids are made: of the backend's name in capitals, the ticket's number, and its fields.
pub(super) type IdOf = fn(&str, u64, &Fields) -> String;

fn plain_id(prefix: &str, number: u64, _: &Fields) -> String {
    format!("{prefix}-{number}")
}

impl Tickets {
    /// No tickets yet. `backend` gives the ids, `tickets_url` the addresses.
    pub fn new(backend: &str, tickets_url: &str) -> Self {
        Self {
            id_prefix: backend.to_uppercase(),
            first_number: 1,
            url_prefix: tickets_url.to_owned(),
            all: Vec::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            by_idempotency_key: HashMap::new(),
            order_faults: OrderFaults::default(),
            changes: Changes::default(),
            always_changes: false,
            id_of: plain_id,
        }
    }

    /// The same, with ids made in another way.
    pub fn with_ids(self, id_of: IdOf) -> Self {
        Self { id_of, ..self }
    }

    /// The same, with times that are written no finer than this, and with updates that always change them.
    pub fn with_times_of(mut self, precision_ms: i64, always_changes: bool) -> Self {
        self.changes.be_as_coarse_as(precision_ms);
        Self { always_changes, ..self }
    }

    /// The same, with another first number in its ids.
    pub fn numbered_from(self, first_number: u64) -> Self {
        Self { first_number, ..self }
    }

    /// Makes a ticket and gives it with `true`; or, when the idempotency key was seen before,
    /// the ticket made then, with `false`.
    pub fn create(
        &mut self,
        mut fields: Fields,
        idempotency_key: Option<&str>,
        now_ms: u64,
    ) -> Result<(Fields, bool), Refusal> {
        for field in ["correlation_key", "summary"] {
            if !fields.contains_key(field) {
                return Err(refused(field, "is required"));
            }
        }
        check_texts(&fields)?;
        if let Some(first) = idempotency_key.and_then(|key| self.by_idempotency_key.get(key)) {
            return Ok((self.all[*first].fields.clone(), false));
        }

        let index = self.all.len();
        let id = (self.id_of)(&self.id_prefix, self.first_number + index as u64, &fields);
        fields.insert("url".to_owned(), format!("{}/{id}", self.url_prefix).into());
        fields.insert("id".to_owned(), id.clone().into());
        fields.entry("status").or_insert_with(|| OPEN.into());
        let change = self.changes.note(index, now_ms);
        for time in ["created_at", "modified_at"] {
            fields.insert(time.to_owned(), written(change.at_ms).into());
        }

        let revision = revision_of(&fields);
        let history = Vec::new();
        let mut ticket = Ticket { fields, revision, made_ms: now_ms, deleted: false, history };
        ticket.note_status(now_ms);
        self.by_key.entry(ticket.text("correlation_key").to_owned()).or_default().push(index);
        if let Some(key) = idempotency_key {
            self.by_idempotency_key.insert(key.to_owned(), index);
        }
        self.by_id.insert(id, index);
        let answer = ticket.fields.clone();
        self.all.push(ticket);
        Ok((answer, true))
    }

    /// Merges fields into a ticket; a null takes a field away, what the system writes itself stays as it
    /// is. In most systems only what changes a field is a change.
    pub fn update(
        &mut self,
        id: &str,
        mut changes: Fields,
        now_ms: u64,
    ) -> Result<Fields, Refusal> {
        let index = self.index(id)?;
        check_texts(&changes)?;
        for own in OWN_FIELDS {
            changes.remove(own);
        }

        if self.note_order(index, &changes, now_ms) || self.always_changes {
            let change = self.changes.note(index, now_ms);
            changes.insert("modified_at".to_owned(), written(change.at_ms).into());
        }
        let ticket = &mut self.all[index];
        ticket.revision = revision_of(&changes).or(ticket.revision);
        let old_key = ticket.text("correlation_key").to_owned();
        for (field, value) in changes {
            if value.is_null() {
                ticket.fields.remove(&field);
            } else {
                ticket.fields.insert(field, value);
            }
        }
        ticket.note_status(now_ms);
        let new_key = ticket.text("correlation_key").to_owned();
        let answer = ticket.fields.clone();
        if new_key != old_key {
            self.by_key.entry(old_key).or_default().retain(|other| *other != index);
            self.by_key.entry(new_key).or_default().push(index);
        }
        Ok(answer)
    }

    /// Removes a ticket: nobody finds it any more, and only a feed that tells of the dead tells of it.
    pub fn delete(&mut self, id: &str, now_ms: u64) -> Result<(), Refusal> {
        let index = self.index(id)?;
        let change = self.changes.note(index, now_ms);
        let ticket = &mut self.all[index];
        ticket.deleted = true;
        ticket.fields.insert("modified_at".to_owned(), written(change.at_ms).into());
        let key = ticket.text("correlation_key").to_owned();
        self.by_key.entry(key).or_default().retain(|other| *other != index);
        Ok(())
    }

    /// The backend's clock says this at the start; what has changed keeps its time.
    pub fn set_clock(&mut self, clock_ms: i64) {
        self.changes.set_clock(clock_ms);
    }

    /// What the backend's clock says, in milliseconds since 1970.
    pub fn clock_at(&self, now_ms: u64) -> i64 {
        self.changes.clock_at(now_ms)
    }

    /// What changed after the change of this number, oldest first, the dead included, and whether there is
    /// more. It ends before what the index does not have yet: a cursor must not pass it.
    pub fn changed_after(
        &self,
        number: u64,
        limit: usize,
        now_ms: u64,
        lag_ms: u64,
    ) -> (Vec<Changed>, bool) {
        let mut tickets =
            self.changes.after(number).take_while(|ticket| self.is_seen(*ticket, now_ms, lag_ms));
        let page = tickets.by_ref().take(limit).map(|ticket| self.changed(ticket)).collect();
        (page, tickets.next().is_some())
    }

    /// What changed at or after this time, oldest first, of what `is_asked` for by its fields and whether it
    /// is deleted, and how many there are in all. What the index does not have yet is not among them, and
    /// comes later with its old time.
    pub fn changed_since(
        &self,
        at_ms: i64,
        (offset, limit): (usize, usize),
        (now_ms, lag_ms): (u64, u64),
        is_asked: impl Fn(&Fields, bool) -> bool,
    ) -> (Vec<Changed>, usize) {
        let tickets = self.changes.since(at_ms).filter(|ticket| {
            let Ticket { fields, deleted, .. } = &self.all[*ticket];
            self.is_seen(*ticket, now_ms, lag_ms) && is_asked(fields, *deleted)
        });
        let tickets: Vec<usize> = tickets.collect();
        let page = tickets.iter().skip(offset).take(limit).map(|ticket| self.changed(*ticket));
        (page.collect(), tickets.len())
    }

    fn is_seen(&self, ticket: usize, now_ms: u64, lag_ms: u64) -> bool {
        now_ms >= self.changes.of(ticket).seen_ms.saturating_add(lag_ms)
    }

    fn changed(&self, ticket: usize) -> Changed {
        let of = &self.all[ticket];
        let change = self.changes.of(ticket);
        Changed { fields: of.fields.clone(), deleted: of.deleted, change }
    }

    /// A ticket by its id.
    pub fn get(&self, id: &str) -> Result<Fields, Refusal> {
        Ok(self.all[self.index(id)?].fields.clone())
    }

    /// The tickets whose fields equal all the filters. A value that is not text is compared as
    /// the JSON that it is written as, so that `severity=3` finds the number.
    pub fn search(
        &self,
        filters: &[(String, String)],
        limit: usize,
        now_ms: u64,
        lag_ms: u64,
    ) -> Found {
        let by_key = filters.iter().find(|(field, _)| field == "correlation_key");
        let mut candidates: Vec<usize> = match by_key {
            Some((_, key)) => self.by_key.get(key).cloned().unwrap_or_default(),
            None => (0..self.all.len()).collect(),
        };
        candidates.sort_unstable();

        let mut found = Found::default();
        for ticket in candidates.into_iter().map(|index| &self.all[index]) {
            if ticket.deleted {
                continue;
            }
            if !filters.iter().all(|(field, wanted)| equals(ticket.fields.get(field), wanted)) {
                continue;
            }
            if now_ms < ticket.made_ms.saturating_add(lag_ms) {
                found.hidden += 1;
            } else if found.tickets.len() == limit {
                found.more = true;
                break;
            } else {
                found.tickets.push(ticket.fields.clone());
            }
        }
        found
    }

    /// The summary that a ticket would have after these changes.
    pub fn summary_after<'a>(&'a self, id: &str, changes: &'a Fields) -> &'a str {
        let changed = changes.get("summary").and_then(Value::as_str);
        let kept = || self.index(id).map(|index| self.all[index].text("summary"));
        changed.or_else(|| kept().ok()).unwrap_or_default()
    }

    /// How many tickets were made.
    pub fn made(&self) -> u64 {
        self.all.len() as u64
    }

    /// How many tickets there are.
    pub fn count(&self) -> u64 {
        self.there().count() as u64
    }

    fn there(&self) -> impl Iterator<Item = &Ticket> {
        self.all.iter().filter(|ticket| !ticket.deleted)
    }

    /// How many tickets have each status.
    pub fn by_state(&self) -> BTreeMap<String, u64> {
        let mut by_state: BTreeMap<String, u64> = BTreeMap::new();
        for ticket in self.there() {
            let status = ticket.text("status");
            match by_state.get_mut(status) {
                Some(count) => *count += 1,
                None => _ = by_state.insert(status.to_owned(), 1),
            }
        }
        by_state
    }

    /// The correlation keys that more than one ticket has, in order.
    pub fn duplicates(&self) -> Vec<String> {
        let more = self.by_key.iter().filter(|(_, tickets)| tickets.len() > 1);
        let mut keys: Vec<String> = more.map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// The updates that were applied out of order.
    pub fn order_faults(&self) -> &[OrderFault] {
        self.order_faults.as_slice()
    }

    /// Every ticket as the ledger lists it.
    pub fn entries(&self) -> Vec<TicketEntry> {
        let entry = |ticket: &Ticket| TicketEntry {
            id: ticket.text("id").to_owned(),
            correlation_key: ticket.text("correlation_key").to_owned(),
            status: ticket.text("status").to_owned(),
            revision: ticket.revision,
            summary: ticket.text("summary").to_owned(),
            alarm: alarm_fields(&ticket.fields),
            history: ticket.history.clone(),
        };
        self.there().map(entry).collect()
    }

    fn index(&self, id: &str) -> Result<usize, Refusal> {
        let index = self.by_id.get(id).copied().filter(|index| !self.all[*index].deleted);
        index.ok_or_else(|| Refusal::NoSuchTicket(id.to_owned()))
    }

    /// Looks at the order of an update; whether it changes anything.
    fn note_order(&mut self, index: usize, changes: &Fields, now_ms: u64) -> bool {
        let ticket = &self.all[index];
        let differs = |(field, value)| ticket.fields.get(field).unwrap_or(&Value::Null) != value;
        let update = Applied {
            id: ticket.text("id"),
            had_revision: ticket.revision,
            got_revision: revision_of(changes),
            was_closed: ticket.text("status") == CLOSED,
            opens: changes.get("status").and_then(Value::as_str) == Some(OPEN),
            changed: changes.iter().any(differs),
        };
        self.order_faults.note(update, now_ms);
        update.changed
    }
}

/// The fields that the ledger itself relies on are text and not empty, wherever they are given.
fn check_texts(fields: &Fields) -> Result<(), Refusal> {
    for field in ["correlation_key", "summary", "status"] {
        match fields.get(field) {
            None => {}
            Some(Value::String(text)) if !text.trim().is_empty() => {}
            Some(_) => return Err(refused(field, "must be text, and not empty")),
        }
    }
    Ok(())
}

fn refused(field: &str, message: &'static str) -> Refusal {
    Refusal::Field { field: field.to_owned(), message }
}

/// A revision is a whole number, or one written as text.
fn revision_of(fields: &Fields) -> Option<i64> {
    let revision = fields.get("revision")?;
    revision.as_i64().or_else(|| revision.as_str()?.parse().ok())
}

fn equals(value: Option<&Value>, wanted: &str) -> bool {
    match value {
        None => false,
        Some(Value::String(text)) => text == wanted,
        Some(other) => {
            let as_written = other.to_string();
            as_written == wanted
        }
    }
}

fn alarm_fields(fields: &Fields) -> Fields {
    let alarm = fields.iter().filter(|(name, _)| name.starts_with("alarm"));
    alarm.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::OrderRule;
    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    fn with_one(revision: i64) -> Tickets {
        let mut tickets = Tickets::new("osb", "http://sim/osb/tickets");
        let ticket = json!({"correlation_key": "k1", "summary": "s", "revision": revision});
        tickets.create(fields(ticket), None, 0).unwrap();
        tickets
    }

    #[test]
    fn ids_begin_where_they_are_told_to() {
        let mut tickets = Tickets::new("crm", "http://sim/crm/tickets").numbered_from(700);
        for id in ["CRM-700", "CRM-701"] {
            let (made, _) = tickets
                .create(fields(json!({"correlation_key": id, "summary": "s"})), None, 0)
                .unwrap();
            assert_eq!(made["id"], id);
        }
    }

    #[test]
    fn a_second_ticket_with_the_same_key_is_made_and_told() {
        let mut tickets = with_one(1);
        assert!(tickets.duplicates().is_empty());
        let again = fields(json!({"correlation_key": "k1", "summary": "again"}));
        let (second, _) = tickets.create(again, None, 5).unwrap();
        assert_eq!(second["id"], "OSB-2");
        assert_eq!(tickets.duplicates(), ["k1"]);
    }

    #[test]
    fn a_key_that_is_written_later_counts_as_well() {
        let mut tickets = with_one(1);
        let other = fields(json!({"correlation_key": "k2", "summary": "s"}));
        tickets.create(other, None, 0).unwrap();
        let key = fields(json!({"correlation_key": "k1"}));
        tickets.update("OSB-2", key, 1).unwrap();
        assert_eq!(tickets.duplicates(), ["k1"]);
    }

    #[test]
    fn order_is_broken_by_an_older_revision_and_by_a_write_after_the_close() {
        let close = json!({"status": "closed", "revision": 5});
        let cases = [
            ("newer", vec![json!({"revision": 4})], vec![]),
            ("equal", vec![json!({"revision": 3})], vec![]),
            ("no revision", vec![json!({"summary": "new"})], vec![]),
            ("older", vec![json!({"revision": 2})], vec![(OrderRule::OlderRevision, true)]),
            (
                "older as text",
                vec![json!({"revision": "2"})],
                vec![(OrderRule::OlderRevision, true)],
            ),
            (
                "note after close",
                vec![close.clone(), json!({"note": "x"})],
                vec![(OrderRule::AfterClose, true)],
            ),
            (
                "closed twice",
                vec![close.clone(), close.clone()],
                vec![(OrderRule::AfterClose, false)],
            ),
            (
                "reopened",
                vec![close.clone(), json!({"status": "open"}), json!({"note": "x"})],
                vec![],
            ),
            (
                "both",
                vec![close, json!({"note": "x", "revision": 1})],
                vec![(OrderRule::OlderRevision, true), (OrderRule::AfterClose, true)],
            ),
        ];
        for (name, updates, expected) in cases {
            let mut tickets = with_one(3);
            for update in updates {
                tickets.update("OSB-1", fields(update), 9).unwrap();
            }
            let seen = tickets.order_faults().iter().map(|fault| (fault.rule, fault.changed));
            assert_eq!(seen.collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn an_update_merges_and_cannot_change_the_id() {
        let mut tickets = with_one(1);
        let changes = json!({"id": "X", "url": "y", "severity": 3, "revision": null});
        let ticket = tickets.update("OSB-1", fields(changes), 1).unwrap();
        assert_eq!(ticket["id"], "OSB-1");
        assert_eq!(ticket["url"], "http://sim/osb/tickets/OSB-1");
        assert_eq!(ticket["severity"], 3);
        assert!(!ticket.contains_key("revision"));
    }

    #[test]
    fn what_the_ledger_relies_on_is_checked() {
        let mut tickets = with_one(1);
        for (ticket, field) in [
            (json!({"summary": "s"}), "correlation_key"),
            (json!({"correlation_key": "k"}), "summary"),
            (json!({"correlation_key": "k", "summary": " "}), "summary"),
            (json!({"correlation_key": 3, "summary": "s"}), "correlation_key"),
        ] {
            let refusal = tickets.create(fields(ticket), None, 0).unwrap_err();
            assert!(matches!(refusal, Refusal::Field { field: f, .. } if f == field), "{field}");
        }
        assert!(tickets.update("OSB-1", fields(json!({"status": null})), 0).is_err());
        assert_eq!(tickets.count(), 1);
    }

    #[test]
    fn a_search_is_limited_lags_and_compares_numbers_as_they_are_written() {
        let mut tickets = with_one(3);
        for made_ms in [10, 20] {
            let ticket = json!({"correlation_key": "k1", "summary": "s", "severity": 3});
            tickets.create(fields(ticket), None, made_ms).unwrap();
        }
        let by = |field: &str, value: &str| vec![(field.to_owned(), value.to_owned())];
        let all = tickets.search(&by("correlation_key", "k1"), 10, 100, 0);
        assert_eq!((all.tickets.len(), all.more, all.hidden), (3, false, 0));
        let first = tickets.search(&by("correlation_key", "k1"), 1, 100, 0);
        assert_eq!((first.tickets.len(), first.more), (1, true));
        let lagging = tickets.search(&by("severity", "3"), 10, 100, 85);
        assert_eq!((lagging.tickets.len(), lagging.hidden), (1, 1));
    }

    #[test]
    fn the_ledger_lists_the_alarm_fields_and_the_history_of_statuses() {
        let mut tickets = with_one(1);
        let close = json!({"status": "closed", "alarm_id": "a1"});
        tickets.update("OSB-1", fields(close), 7).unwrap();
        let entry = &tickets.entries()[0];
        let history: Vec<_> =
            entry.history.iter().map(|since| (since.status.as_str(), since.at_ms)).collect();
        assert_eq!(history, [("open", 0), ("closed", 7)]);
        assert_eq!(entry.alarm["alarm_id"], "a1");
        assert_eq!(tickets.by_state(), BTreeMap::from([("closed".to_owned(), 1)]));
    }
}
