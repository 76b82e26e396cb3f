//! Writing to their tables what was only journaled ([`super::unwritten`]).
//!
//! Always: rows come to their tables and out of the journal in one transaction.

use super::lately::Lately;
use super::rows::{self, int};
use super::tx::SqliteTx;
use super::unwritten::Young;
use rusqlite::{Connection, ErrorCode, params};
use ticketgate_actors::model::{Alarm, HistoryRow};
use ticketgate_actors::ports::TxError;

const ADD_TO_JOURNAL: &str = "INSERT INTO journal (body) VALUES (?1)";
const EMPTY_JOURNAL: &str = "DELETE FROM journal";
pub(super) const JOURNAL: &str = "SELECT body FROM journal ORDER BY n";
const ADD_HISTORY: &str = "INSERT INTO history (n, list, at, body) VALUES (?1, ?2, ?3, ?4)";

impl SqliteTx<'_> {
    /// Writes to their tables all that is only journaled.
    pub(super) fn settle(&mut self) -> Result<(), TxError> {
        if self.lately.unwritten.is_empty() {
            return Ok(());
        }
        let all = self.lately.unwritten.take_all();
        let mut tickets: Vec<&Young> = all.tickets.values().collect();
        // In the order in which they were made: their lists run by the rows' own numbers.
        tickets.sort_unstable_by_key(|young| young.n);
        // First: on a full disk its pages are room for the rows.
        self.beside(EMPTY_JOURNAL, [])?;
        self.write(tickets, all.history.values())
    }

    /// Writes some tickets that have come to rest, and says so in the journal. True: it is begun anew.
    pub(super) fn settle_some(&mut self, most: usize, anew: bool) -> Result<bool, TxError> {
        let some = self.lately.unwritten.some_at_rest(most);
        let history: Vec<HistoryRow> =
            self.lately.unwritten.maps.history.values().cloned().collect();
        self.write(some.iter().collect(), history.iter())?;
        self.lately.unwritten.written(&some);
        let anew = anew || self.lately.unwritten.is_empty();
        let journal = match anew {
            true => {
                self.beside(EMPTY_JOURNAL, [])?;
                self.lately.unwritten.whole_journal()
            }
            false => {
                let upto = history.last().map_or(0, |row| row.n);
                self.lately.unwritten.journal_of_written(&some, upto)
            }
        };
        self.add_to_journal(&journal)?;
        Ok(anew)
    }

    /// Adds what a group has changed.
    pub(super) fn add_to_journal(&mut self, journal: &[u8]) -> Result<(), TxError> {
        match journal.is_empty() {
            true => Ok(()),
            false => self.beside(ADD_TO_JOURNAL, params![journal]).map(drop),
        }
    }

    fn write<'y>(
        &mut self,
        tickets: Vec<&Young>,
        history: impl Iterator<Item = &'y HistoryRow>,
    ) -> Result<(), TxError> {
        for young in tickets {
            // Each was looked for in its table before it was taken in: somebody else has written.
            self.write_young(young).map_err(|error| match error {
                TxError::Conflict(index) => {
                    TxError::Broken(format!("a journaled row stands against {index}"))
                }
                broken => broken,
            })?;
        }
        for row in history {
            self.write_history(row)?;
        }
        Ok(())
    }

    fn write_young(&mut self, young: &Young) -> Result<(), TxError> {
        let ticket = &*young.ticket.row;
        self.insert_ticket(young.n, ticket, &young.ticket.body())?;
        if let Some(part) = &young.request {
            let request = &*part.row;
            self.insert_request(request.n, request, &part.body())?;
        }
        if let Some(part) = &young.alarm {
            self.write_alarm(young.alarm_before.as_deref(), &part.row, &part.body())?;
            self.lately.alarms.keep(&part.row.at, Alarm::clone(&part.row));
        }
        for told in &young.events {
            let event = &*told.event.row;
            self.insert_event(event.n, event, &told.event.body(), told.sent_at)?;
        }
        Ok(())
    }

    /// Adds a history row, with its number.
    pub(super) fn write_history(&mut self, row: &HistoryRow) -> Result<(), TxError> {
        let params =
            params![int(row.n), row.list.as_str(), row.at.as_nanos(), rows::to_body(&row.cells)];
        self.beside(ADD_HISTORY, params)?;
        self.tally().history(row.list, 1);
        Ok(())
    }
}

/// What the service before this one has journaled and not written goes to its tables.
pub(super) fn recover(connection: &Connection, lately: &mut Lately) -> Result<(), Unrecovered> {
    let mut statement = connection.prepare(JOURNAL)?;
    let mut journal = statement.query([])?;
    let mut found = 0;
    while let Some(row) = journal.next()? {
        let body: Vec<u8> = row.get(0)?;
        lately.unwritten.read(&body).map_err(Unrecovered::Unreadable)?;
        found += 1;
    }
    drop(journal);
    if found == 0 {
        return Ok(());
    }
    tracing::info!(
        tickets = lately.unwritten.len(),
        "tickets that were only journaled are written"
    );
    connection.execute_batch("BEGIN IMMEDIATE")?;
    lately.begin(None);
    let mut tx = SqliteTx::new(connection, lately);
    let settled = tx.beside(EMPTY_JOURNAL, []).and_then(|_| tx.settle());
    settled.map_err(|error| {
        let (TxError::Broken(reason) | TxError::Conflict(reason)) = error;
        match tx.fault {
            Some(code) => Unrecovered::Fault(code, reason),
            None => Unrecovered::Unreadable(reason),
        }
    })?;
    lately.tally.stands();
    lately.tally.write(connection)?;
    connection.execute_batch("COMMIT")?;
    lately.unwritten.begin();
    Ok(())
}

/// Why a journal could not be taken up.
#[derive(Debug)]
pub(super) enum Unrecovered {
    /// What it says.
    Unreadable(String),
    /// The database failed.
    Failed(rusqlite::Error),
    /// The same, while rows were written.
    Fault(ErrorCode, String),
}

impl From<rusqlite::Error> for Unrecovered {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}
