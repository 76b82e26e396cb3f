//! The numbers of rows that are not in their tables yet.

use super::super::rows;
use rusqlite::Connection;

/// The numbers that were given last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Numbers {
    pub(in super::super) ticket: u64,
    pub(in super::super) request: u64,
    pub(in super::super) event: u64,
    pub(in super::super) history: u64,
}

impl Numbers {
    /// As the tables have them.
    pub(in super::super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT name, seq FROM sqlite_sequence";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut numbers = Self::default();
        while let Some(row) = rows.next()? {
            let seq = rows::number(row, 1)?;
            match row.get_ref(0)?.as_str()? {
                "requests" => numbers.request = seq,
                "events" => numbers.event = seq,
                "history" => numbers.history = seq,
                _ => {}
            }
        }
        numbers.ticket = newest_ticket(connection)?;
        Ok(numbers)
    }

    pub(super) fn at_least(self, other: Self) -> Self {
        Self {
            ticket: self.ticket.max(other.ticket),
            request: self.request.max(other.request),
            event: self.event.max(other.event),
            history: self.history.max(other.history),
        }
    }
}

/// The number of the newest row: of tickets it is given again when that row goes.
pub(in super::super) fn newest_ticket(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(n), 0) FROM tickets";
    connection.prepare_cached(sql)?.query_row([], |row| rows::number(row, 0))
}
