//! What is over: history lists, and what goes from the main tables.
//!
//! Always: a page walks a row's own number or the index that was made for it, whatever is stored.

use super::SqliteStore;
use super::reads::{all, count, one};
use super::rows::{self, int};
use super::tx::SqliteTx;
use rusqlite::{Row, params};
use ticketgate_actors::model::{
    Alarm, CommandId, HistoryList, HistoryRow, OccurrenceRef, Request, RequestId, Ticket,
    TicketKey, Timestamp,
};
use ticketgate_actors::ports::{Answered, Leaving, Page, PastReads, PastTx, Tx, TxError};

pub(super) const COUNT: &str = "SELECT coalesce((SELECT n FROM history_counts WHERE list = ?1), 0)";
pub(super) const OLDEST: &str = "SELECT n, at FROM history WHERE list = ?1 ORDER BY n LIMIT ?2";
pub(super) const DROP: &str = "DELETE FROM history WHERE n IN
    (SELECT n FROM history WHERE list = ?1 AND n <= ?2 ORDER BY n LIMIT ?3)";
pub(super) const PAGE: &str = "SELECT n, at, body FROM history
    WHERE list = ?1 AND n < ?2 ORDER BY n DESC LIMIT ?3";
pub(super) const BETWEEN: &str = "SELECT n, at, body FROM history
    WHERE list = ?1 AND n > ?2 AND n <= ?3 ORDER BY n LIMIT ?4";
pub(super) const NTH: &str = "SELECT n FROM history WHERE list = ?1 ORDER BY n LIMIT 1 OFFSET ?2";
const LEAVING: &str = "SELECT body FROM leaving WHERE list = ?1";
pub(super) const REQUESTS_AFTER: &str =
    "SELECT n, body FROM requests WHERE n > ?1 ORDER BY n LIMIT ?2";
pub(super) const TICKETS_AFTER: &str =
    "SELECT n, body FROM tickets WHERE n > ?1 ORDER BY n LIMIT ?2";
pub(super) const ALARMS_AFTER: &str = "SELECT n, body FROM alarms WHERE n > ?1 ORDER BY n LIMIT ?2";
pub(super) const HAS_REQUESTS: &str = "SELECT n FROM requests WHERE ticket = ?1 LIMIT 1";
// Named, or SQLite might walk all that is unsent, which may be a million during an outage of the broker.
pub(super) const HAS_UNSENT: &str = "SELECT n FROM events e INDEXED BY events_ticket
    WHERE ticket = ?1 AND EXISTS (SELECT 1 FROM unsent u WHERE u.n = e.n) LIMIT 1";
pub(super) const DROP_SENT: &str = "DELETE FROM sent WHERE n IN
    (SELECT n FROM events WHERE ticket = ?1 ORDER BY sequence LIMIT ?2)";
pub(super) const DROP_EVENTS: &str = "DELETE FROM events WHERE n IN
    (SELECT n FROM events WHERE ticket = ?1 ORDER BY sequence LIMIT ?2)";

/// Of `SELECT n, at, body`.
fn row(list: HistoryList) -> impl Fn(&Row<'_>) -> rusqlite::Result<HistoryRow> {
    move |row| {
        let at = rows::time(row, 1)?.unwrap_or_default();
        Ok(HistoryRow { n: rows::number(row, 0)?, list, at, cells: rows::body(row, 2)? })
    }
}

impl PastTx for SqliteTx<'_> {
    fn add_history(&mut self, row: &HistoryRow) -> Result<u64, TxError> {
        let n = self.next_history()?;
        let row = HistoryRow { n, ..row.clone() };
        match self.lately.unwritten.is_empty() {
            true => self.write_history(&row)?,
            // It goes with the others.
            false => self.lately.unwritten.add_history(row),
        }
        Ok(n)
    }

    fn history_count(&mut self, list: HistoryList) -> Result<u64, TxError> {
        let written: i64 = self.one(COUNT, params![list.as_str()], |row| row.get(0))?.unwrap_or(0);
        Ok(u64::try_from(written + self.tally().history_rows(list)).unwrap_or(0))
    }

    fn oldest_history(
        &mut self,
        list: HistoryList,
        limit: u32,
    ) -> Result<Vec<(u64, Timestamp)>, TxError> {
        self.all(OLDEST, params![list.as_str(), limit], |row| {
            Ok((rows::number(row, 0)?, rows::time(row, 1)?.unwrap_or_default()))
        })
    }

    fn drop_history(&mut self, list: HistoryList, upto: u64, limit: u32) -> Result<u64, TxError> {
        let gone = self.run(DROP, params![list.as_str(), int(upto), limit])? as u64;
        self.tally().history(list, -int(gone));
        Ok(gone)
    }

    fn leaving(&mut self, list: HistoryList) -> Result<Option<Leaving>, TxError> {
        self.one(LEAVING, params![list.as_str()], rows::value)
    }

    fn put_leaving(&mut self, list: HistoryList, it: Option<Leaving>) -> Result<(), TxError> {
        let list = list.as_str();
        let done = match it {
            Some(leaving) => self.run(
                "INSERT INTO leaving (list, body) VALUES (?1, ?2)
                    ON CONFLICT (list) DO UPDATE SET body = ?2",
                params![list, rows::to_body(&leaving)],
            ),
            None => self.run("DELETE FROM leaving WHERE list = ?1", params![list]),
        };
        done.map(drop)
    }

    fn requests_after(&mut self, after: u64, limit: u32) -> Result<Vec<Request>, TxError> {
        self.all(REQUESTS_AFTER, params![int(after), limit], rows::request)
    }

    fn tickets_after(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Ticket)>, TxError> {
        self.all(TICKETS_AFTER, params![int(after), limit], rows::numbered)
    }

    fn alarms_after(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Alarm)>, TxError> {
        self.all(ALARMS_AFTER, params![int(after), limit], rows::numbered)
    }

    fn has_requests(&mut self, ticket: TicketKey) -> Result<bool, TxError> {
        let found = self.one(HAS_REQUESTS, params![rows::id(&ticket.0)], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn has_unsent(&mut self, ticket: TicketKey) -> Result<bool, TxError> {
        Ok(self.one(HAS_UNSENT, params![rows::id(&ticket.0)], |_| Ok(()))?.is_some())
    }

    fn drop_request(&mut self, id: RequestId) -> Result<(), TxError> {
        if let Some(request) = self.request(id)? {
            self.tally().request(&request.backend, Some(request.state), None);
        }
        self.remove("DELETE FROM requests WHERE id = ?1", params![rows::id(&id.0)])
    }

    fn drop_command(&mut self, id: CommandId) -> Result<(), TxError> {
        self.run("DELETE FROM commands WHERE id = ?1", params![rows::id(&id.0)]).map(drop)
    }

    fn drop_events(&mut self, ticket: TicketKey, limit: u32) -> Result<u64, TxError> {
        self.run(DROP_SENT, params![rows::id(&ticket.0), limit])?;
        self.events_went();
        Ok(self.run(DROP_EVENTS, params![rows::id(&ticket.0), limit])? as u64)
    }

    fn drop_group(&mut self, key: &[u8; 16]) -> Result<(), TxError> {
        self.run("DELETE FROM groups WHERE key = ?1", params![key]).map(drop)
    }

    fn drop_ticket(&mut self, key: TicketKey) -> Result<(), TxError> {
        self.remove("DELETE FROM tickets WHERE key = ?1", params![rows::id(&key.0)])?;
        self.ticket_went()
    }

    fn drop_alarm(&mut self, at: &OccurrenceRef) -> Result<(), TxError> {
        let sql = "DELETE FROM alarms WHERE source = ?1 AND id = ?2 AND occurrence = ?3";
        let key = params![at.alarm.source, at.alarm.id, int(at.occurrence)];
        self.remove(sql, key)
    }
}

impl PastReads for SqliteStore {
    fn history(&self, list: HistoryList, page: Page) -> Answered<Vec<HistoryRow>> {
        self.read(move |it| {
            let before = page.before.map_or(i64::MAX, int);
            if let Some(after) = page.after {
                let upto = before.saturating_sub(1);
                let params = params![list.as_str(), int(after), upto, page.limit];
                return all(it, BETWEEN, params, row(list));
            }
            all(it, PAGE, params![list.as_str(), before, page.limit], row(list))
        })
    }

    fn history_between(
        &self,
        list: HistoryList,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Answered<Vec<HistoryRow>> {
        self.read(move |it| {
            let params = params![list.as_str(), int(after), int(upto), limit];
            all(it, BETWEEN, params, row(list))
        })
    }

    fn history_count(&self, list: HistoryList) -> Answered<u64> {
        self.read(move |it| count(it, COUNT, params![list.as_str()]))
    }

    fn nth_history(&self, list: HistoryList, nth: u64) -> Answered<Option<u64>> {
        self.read(move |it| {
            let Some(place) = nth.checked_sub(1) else { return Ok(None) };
            one(it, NTH, params![list.as_str(), int(place)], |row| rows::number(row, 0))
        })
    }

    fn leaving(&self, list: HistoryList) -> Answered<Option<Leaving>> {
        self.read(move |it| one(it, LEAVING, params![list.as_str()], rows::value))
    }
}
