//! New tickets on their way: what is journaled at each commit, and not yet in its tables.
//!
//! A ticket that is made moves through half a dozen commits within milliseconds: decided, about to be
//! called, done, told. Each would rewrite its rows and the indexes around them. So a new ticket, its one
//! request, its alarm's changes and its events stay here until they have come to rest; a commit adds what
//! it has changed to the journal, one row of the same database in the same transaction, so that it is as
//! durable as ever. The tables get each row once.
//!
//! Always: what is here is in the journal, or in the transaction at work. Nothing here is in the
//! tables, but an alarm as it was before. A ticket is here with all that belongs to it or not at all: at
//! most one alarm and one request; whatever goes beyond is written first (`settle`), and so is
//! everything before a statement that might miss it.

mod maps;
mod numbers;
mod young;

pub(super) use maps::Maps;
pub(super) use numbers::{Numbers, newest_ticket};
pub(super) use young::Young;

use super::rows;
use super::seen::Seen;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticketgate_actors::model::{
    Alarm, AlarmRef, BackendId, CorrelationKey, EventId, HistoryRow, Request, RequestId, Ticket,
    TicketEvent, TicketKey, Timestamp,
};
use young::{Head, Part, Told, next, write_history};

#[derive(Debug)]
enum Undo {
    Ticket(TicketKey, Option<Box<Young>>),
    History(u64),
    /// These were written to their table.
    Histories(BTreeMap<u64, HistoryRow>),
    /// All was written to the tables.
    All(Arc<Maps>),
}

/// What is journaled and not yet in its tables.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub(super) maps: Maps,
    undo: Vec<Undo>,
    /// Where the set at work begins in it.
    set: usize,
    numbers: Option<Numbers>,
    numbers_of_set: Option<Numbers>,
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// Tickets.
    pub(super) fn len(&self) -> usize {
        self.maps.tickets.len()
    }

    /// Tickets that have come to rest.
    pub(super) fn at_rest(&self) -> usize {
        self.maps.at_rest
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self) {
        self.undo.clear();
        self.set = 0;
        self.numbers_of_set = self.numbers;
    }

    /// The set at work stands.
    pub(super) fn stands(&mut self) {
        self.set = self.undo.len();
        self.numbers_of_set = self.numbers;
    }

    /// The set at work was undone.
    pub(super) fn undone(&mut self) {
        self.undo_to(self.set);
        self.numbers = self.numbers_of_set;
    }

    /// The whole transaction was undone.
    pub(super) fn all_undone(&mut self) {
        self.undo_to(0);
        self.set = 0;
        // Also where it had not begun: then those of the group are from before the last commit.
        self.forget_numbers();
    }

    fn undo_to(&mut self, length: usize) {
        while self.undo.len() > length
            && let Some(undo) = self.undo.pop()
        {
            match undo {
                Undo::Ticket(key, before) => {
                    self.maps.place(key, before.map(|it| *it));
                }
                Undo::History(n) => {
                    self.maps.history.remove(&n);
                }
                Undo::Histories(rows) => self.maps.history.extend(rows),
                Undo::All(maps) => {
                    self.maps = Arc::into_inner(maps).expect("who has written them is done");
                }
            }
        }
    }

    /// Somebody else may have given numbers.
    pub(super) fn forget_numbers(&mut self) {
        self.numbers = None;
        self.numbers_of_set = None;
    }

    /// The numbers that were given last.
    pub(super) fn numbers(&mut self, connection: &Connection) -> rusqlite::Result<&mut Numbers> {
        if self.numbers.is_none() {
            self.numbers = Some(Numbers::read(connection)?.at_least(self.given()));
        }
        Ok(self.numbers.get_or_insert_default())
    }

    /// The greatest numbers that are here.
    fn given(&self) -> Numbers {
        let requests = self.maps.tickets.values().filter_map(|it| it.request.as_ref());
        Numbers {
            ticket: self.maps.tickets.values().map(|it| it.n).max().unwrap_or(0),
            request: requests.map(|it| it.row.n).max().unwrap_or(0),
            event: self.maps.events.keys().copied().max().unwrap_or(0),
            history: self.maps.history.keys().next_back().copied().unwrap_or(0),
        }
    }

    pub(super) fn ticket(&self, key: TicketKey) -> Option<&Young> {
        self.maps.tickets.get(&key)
    }

    pub(super) fn of_request(&self, id: RequestId) -> Option<&Young> {
        self.ticket(*self.maps.requests.get(&id)?)
    }

    pub(super) fn of_alarm(&self, alarm: &AlarmRef) -> Option<&Young> {
        self.ticket(*self.maps.alarms.get(alarm)?)
    }

    /// Is an event of that id here?
    pub(super) fn has_event(&self, id: EventId) -> bool {
        self.maps.event_ids.contains(&id)
    }

    pub(super) fn of_event(&self, n: u64) -> Option<TicketKey> {
        self.maps.events.get(&n).copied()
    }

    pub(super) fn by_backend_id(&self, backend: &BackendId, id: &str) -> Option<TicketKey> {
        self.maps.theirs.get(backend)?.get(id).copied()
    }

    pub(super) fn by_correlation_key(&self, key: &CorrelationKey) -> Option<TicketKey> {
        self.maps.correlations.get(key).copied()
    }

    /// Un-ended requests of a backend.
    pub(super) fn open_requests(&self, backend: &BackendId) -> i64 {
        self.maps.open.get(backend).copied().unwrap_or(0)
    }

    /// A new ticket comes in here.
    pub(super) fn add(&mut self, n: u64, ticket: Ticket) {
        let (key, ticket) = (ticket.key, Part::new(ticket));
        let (request, alarm, alarm_before, events) = (None, None, None, Vec::new());
        let young = Young { n, ticket, request, alarm, alarm_before, events };
        self.put(key, Some(young));
    }

    pub(super) fn put_ticket(&mut self, ticket: Ticket) {
        let key = ticket.key;
        self.change(key, |young| young.ticket = Part::new(ticket));
    }

    pub(super) fn put_request(&mut self, request: Request) {
        let key = request.ticket;
        self.change(key, |young| young.request = Some(Part::new(request)));
    }

    /// `before`: as its table has it, where it was not here.
    pub(super) fn put_alarm(&mut self, key: TicketKey, alarm: Alarm, before: Option<Alarm>) {
        self.change(key, |young| {
            young.alarm = Some(Part::new(alarm));
            if let Some(before) = before {
                young.alarm_before = Some(Arc::new(before));
            }
        });
    }

    pub(super) fn add_event(&mut self, key: TicketKey, event: TicketEvent) {
        self.change(key, |young| young.events.push(Told::new(event)));
    }

    pub(super) fn mark_sent(&mut self, key: TicketKey, n: u64, at: Timestamp) {
        self.change(key, |young| {
            for told in &mut young.events {
                if told.event.row.n == n {
                    told.sent_at.get_or_insert(at);
                }
            }
        });
    }

    pub(super) fn add_history(&mut self, row: HistoryRow) {
        self.undo.push(Undo::History(row.n));
        self.maps.history.insert(row.n, row);
    }

    fn change(&mut self, key: TicketKey, how: impl FnOnce(&mut Young)) {
        if let Some(mut young) = self.maps.tickets.get(&key).cloned() {
            how(&mut young);
            self.put(key, Some(young));
        }
    }

    fn put(&mut self, key: TicketKey, young: Option<Young>) {
        let before = self.maps.place(key, young);
        let of_set = &self.undo[self.set..];
        let known = |undo: &Undo| matches!(undo, Undo::Ticket(of, _) if *of == key);
        let since_all = of_set.iter().rev().take_while(|undo| !matches!(undo, Undo::All(_)));
        if !since_all.into_iter().any(known) {
            self.undo.push(Undo::Ticket(key, before.map(Box::new)));
        }
    }

    /// All of it, to be written to the tables by the transaction at work: nothing is here any more.
    pub(super) fn take_all(&mut self) -> Arc<Maps> {
        let all = Arc::new(std::mem::take(&mut self.maps));
        self.undo.push(Undo::All(all.clone()));
        all
    }

    /// Tickets that have come to rest, at most so many, the oldest first.
    pub(super) fn some_at_rest(&self, most: usize) -> Vec<Young> {
        let at_rest = self.maps.tickets.values().filter(|young| young.at_rest());
        let mut keys: Vec<TicketKey> = at_rest.map(|young| young.ticket.row.key).collect();
        keys.sort_unstable();
        keys.truncate(most);
        keys.iter().filter_map(|key| self.ticket(*key).cloned()).collect()
    }

    /// These are in their tables now, as are all history rows.
    pub(super) fn written(&mut self, tickets: &[Young]) {
        for young in tickets {
            self.put(young.ticket.row.key, None);
        }
        // No single row of these is ever undone alone: what is kept for that is all of them.
        let history = std::mem::take(&mut self.maps.history);
        if !history.is_empty() {
            self.undo.push(Undo::Histories(history));
        }
    }
}

impl Unwritten {
    /// What the transaction at work has changed and is still here, for the journal.
    pub(super) fn journal(&mut self) -> Vec<u8> {
        let mut journal = Vec::new();
        for undo in since_all(&self.undo) {
            match undo {
                Undo::Ticket(key, _) => {
                    if let Some(young) = self.maps.tickets.get_mut(key) {
                        young.write(&mut journal, false);
                    }
                }
                Undo::History(n) => {
                    if let Some(row) = self.maps.history.get(n) {
                        write_history(row, &mut journal);
                    }
                }
                Undo::Histories(_) | Undo::All(_) => {}
            }
        }
        journal
    }

    /// The journal of all that is here, in the place of the one before.
    pub(super) fn whole_journal(&mut self) -> Vec<u8> {
        let mut journal = Vec::new();
        for young in self.maps.tickets.values_mut() {
            young.write(&mut journal, true);
        }
        self.maps.history.values().for_each(|row| write_history(row, &mut journal));
        journal
    }

    /// What the journal says once these are in their tables.
    pub(super) fn journal_of_written(&self, tickets: &[Young], history: u64) -> Vec<u8> {
        let mut journal = Vec::new();
        let keys = tickets.iter().map(|young| young.ticket.row.key).collect();
        rows::pack(&Head::Written(keys, history), &mut journal);
        journal
    }

    /// Takes up what a journal says, from the service before this one.
    pub(super) fn read(&mut self, mut journal: &[u8]) -> Result<(), String> {
        while !journal.is_empty() {
            self.read_one(&mut journal)?;
        }
        // Nothing of it is undone.
        self.begin();
        Ok(())
    }

    fn read_one(&mut self, journal: &mut &[u8]) -> Result<(), String> {
        let unknown = |what: &str| format!("its journal names a {what} that is not in it");
        let known = |this: &Self, key: TicketKey| match this.ticket(key) {
            Some(_) => Ok(key),
            None => Err(unknown("ticket")),
        };
        match next(journal)? {
            Head::Ticket(n) => {
                let ticket: Ticket = next(journal)?;
                match self.ticket(ticket.key) {
                    Some(_) => self.put_ticket(ticket),
                    None => self.add(n, ticket),
                }
            }
            Head::Request(n) => {
                let request: Request = next(journal)?;
                known(self, request.ticket)?;
                self.put_request(Request { n, ..request });
            }
            Head::Alarm => {
                let alarm: Alarm = next(journal)?;
                let key = known(self, alarm.ticket.ok_or_else(|| unknown("ticket"))?)?;
                self.put_alarm(key, alarm, None);
            }
            Head::Event(n) => {
                let event: TicketEvent = next(journal)?;
                let key = known(self, event.ticket.key)?;
                if self.of_event(n).is_none() {
                    self.add_event(key, TicketEvent { n, ..event });
                }
            }
            Head::Sent(n, at) => {
                let key = self.of_event(n).ok_or_else(|| unknown("event"))?;
                self.mark_sent(key, n, at);
            }
            Head::History(n, list, at) => {
                let cells = next(journal)?;
                self.add_history(HistoryRow { n, list, at, cells });
            }
            Head::Written(keys, history) => {
                for key in keys {
                    self.put(key, None);
                }
                self.maps.history = self.maps.history.split_off(&history.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Tells readers that the commit which follows brings something to the tables, or that it failed.
    pub(super) fn writing(&self, seen: &Seen, now: bool) {
        let gone = |undo: &Undo| match undo {
            Undo::Ticket(key, _) => !self.maps.tickets.contains_key(key),
            Undo::Histories(_) | Undo::All(_) => true,
            Undo::History(_) => false,
        };
        if !now || self.undo.iter().any(gone) {
            seen.change(|seen| seen.writing = now);
        }
    }

    /// Tells readers what the transaction has changed, once it is committed.
    pub(super) fn committed(&mut self, seen: &Seen) {
        if self.undo.is_empty() {
            return;
        }
        seen.change(|seen| {
            seen.writing = false;
            let all = self.undo.iter().any(|undo| matches!(undo, Undo::All(_)));
            let some = self.undo.iter().any(|undo| matches!(undo, Undo::Histories(_)));
            if all {
                seen.forget();
            }
            seen.written += u64::from(all || some);
            for undo in since_all(&self.undo) {
                let Undo::Ticket(key, before) = undo else { continue };
                let now = self.maps.tickets.get(key);
                let before = before.as_deref();
                if let Some(alarm) = before.and_then(|it| it.alarm.as_ref()) {
                    seen.alarm(&alarm.row, false);
                }
                if let Some(alarm) = now.and_then(|it| it.alarm.as_ref()) {
                    seen.alarm(&alarm.row, true);
                }
                seen.written += u64::from(now.is_none());
                for young in before.into_iter().chain(now) {
                    let backend = &young.ticket.row.backend;
                    seen.open(backend, self.open_requests(backend));
                }
            }
            seen.any = !self.is_empty();
            seen.unsent = self.maps.unsent;
        });
        self.undo.clear();
        self.set = 0;
    }
}

/// What has happened since all was written.
fn since_all(undo: &[Undo]) -> &[Undo] {
    let all = undo.iter().rposition(|undo| matches!(undo, Undo::All(_)));
    &undo[all.map_or(0, |place| place + 1)..]
}

#[cfg(test)]
mod tests {
    use super::super::schema::migrate;
    use super::*;
    use ticketgate_actors::model::HistoryList;

    /// A transaction that could not begin is undone, too.
    #[test]
    fn a_number_that_was_committed_is_never_given_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0).unwrap();
        let mut unwritten = Unwritten::default();
        unwritten.begin();
        let numbers = unwritten.numbers(&connection).unwrap();
        numbers.history += 1;
        let row = HistoryRow {
            n: numbers.history,
            list: HistoryList::ALL[0],
            at: Timestamp::default(),
            cells: Vec::new(),
        };
        unwritten.add_history(row);
        unwritten.stands();
        unwritten.committed(&Seen::default());
        unwritten.all_undone();
        assert_eq!(unwritten.numbers(&connection).unwrap().history, 1);
        assert_eq!(unwritten.maps.history.len(), 1);
    }
}
