//! What two-way sync keeps.
//!
//! Always: a page walks an index that was made for it, whatever is stored.

use super::SqliteStore;
use super::reads::{all, count, one};
use super::rows::{self, int};
use super::tx::SqliteTx;
use rusqlite::{Row, params};
use ticketgate_actors::model::{
    BackendId, Held, HeldBecause, SyncAnswer, SyncRow, Ticket, TicketChange, TicketKey, Timestamp,
    Twin,
};
use ticketgate_actors::ports::{Answered, SyncReads, SyncTx, TxError};

const SYNC: &str = "SELECT body FROM syncs WHERE name = ?1";
pub(super) const TWIN: &str = "SELECT n, body FROM twins WHERE ticket = ?1 AND sync = ?2";
pub(super) const TWINS_OF: &str = "SELECT n, body FROM twins WHERE ticket = ?1 ORDER BY sync";
pub(super) const TWINS_AFTER: &str =
    "SELECT n, body FROM twins WHERE sync = ?1 AND n > ?2 ORDER BY n LIMIT ?3";
pub(super) const OUTGOING: &str = "SELECT n, body FROM twins INDEXED BY twins_out
    WHERE sync = ?1 AND out > ?2 AND out <= ?3 ORDER BY out LIMIT ?4";
pub(super) const OUTGOING_COUNT: &str = "SELECT count(*) FROM
    (SELECT 1 FROM twins INDEXED BY twins_out WHERE sync = ?1 AND out IS NOT NULL LIMIT ?2)";
const HELD: &str = "SELECT body FROM sync_held WHERE sync = ?1 AND id = ?2";
pub(super) const HELD_AFTER: &str =
    "SELECT body FROM sync_held WHERE sync = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(super) const HELD_WAITS: &str = "SELECT body FROM sync_held INDEXED BY sync_held_waits
    WHERE sync = ?1 AND id > ?2 AND waits = 1 ORDER BY id LIMIT ?3";
pub(super) const CHANGES_OF: &str =
    "SELECT body FROM ticket_changes WHERE ticket = ?1 ORDER BY n LIMIT ?2";
const ANSWER: &str = "SELECT body FROM sync_answers WHERE sync = ?1 AND id = ?2";
pub(super) const FORGET_ANSWERS: &str = "DELETE FROM sync_answers WHERE (sync, id) IN
    (SELECT sync, id FROM sync_answers WHERE at < ?1 ORDER BY at LIMIT ?2)";
pub(super) const TICKETS_OF_AFTER: &str =
    "SELECT n, body FROM tickets WHERE backend = ?1 AND n > ?2 ORDER BY n LIMIT ?3";

/// Of `SELECT n, body`.
fn twin(row: &Row<'_>) -> rusqlite::Result<Twin> {
    let (n, twin) = rows::numbered::<Twin>(row)?;
    Ok(Twin { n, ..twin })
}

fn named(name: &str, row: Option<SyncRow>) -> SyncRow {
    row.unwrap_or_else(|| SyncRow { name: name.to_owned(), ..SyncRow::default() })
}

impl SyncTx for SqliteTx<'_> {
    fn sync(&mut self, name: &str) -> Result<SyncRow, TxError> {
        Ok(named(name, self.one(SYNC, params![name], rows::value)?))
    }

    fn put_sync(&mut self, row: &SyncRow) -> Result<(), TxError> {
        let sql = "INSERT INTO syncs (name, body) VALUES (?1, ?2)
            ON CONFLICT (name) DO UPDATE SET body = ?2";
        self.run(sql, params![row.name, rows::to_body(row)]).map(drop)
    }

    fn twin(&mut self, sync: &str, ticket: TicketKey) -> Result<Option<Twin>, TxError> {
        self.one(TWIN, params![rows::id(&ticket.0), sync], twin)
    }

    fn put_twin(&mut self, twin: &Twin) -> Result<(), TxError> {
        let sql = "INSERT INTO twins (sync, ticket, out, body) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (ticket, sync) DO UPDATE SET out = ?3, body = ?4";
        let out = twin.out.map(|out| int(out.n));
        let params = params![twin.sync, rows::id(&twin.ticket.0), out, rows::to_body(twin)];
        self.run(sql, params).map(drop)
    }

    fn twins_of(&mut self, ticket: TicketKey) -> Result<Vec<Twin>, TxError> {
        self.all(TWINS_OF, params![rows::id(&ticket.0)], twin)
    }

    fn drop_twins(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        self.run("DELETE FROM twins WHERE ticket = ?1", params![rows::id(&ticket.0)]).map(drop)
    }

    fn twins_after(&mut self, sync: &str, after: u64, limit: u32) -> Result<Vec<Twin>, TxError> {
        self.all(TWINS_AFTER, params![sync, int(after), limit], twin)
    }

    fn outgoing(
        &mut self,
        sync: &str,
        after: u64,
        upto: u64,
        limit: u32,
    ) -> Result<Vec<Twin>, TxError> {
        self.all(OUTGOING, params![sync, int(after), int(upto), limit], twin)
    }

    fn outgoing_count(&mut self, sync: &str, most: u32) -> Result<u64, TxError> {
        let found = self.one(OUTGOING_COUNT, params![sync, most], |row| rows::number(row, 0))?;
        Ok(found.unwrap_or(0))
    }

    fn aside(&mut self, sync: &str, id: &str) -> Result<Option<Held>, TxError> {
        self.one(HELD, params![sync, id], rows::value)
    }

    fn put_aside(&mut self, held: &Held) -> Result<(), TxError> {
        let sql = "INSERT INTO sync_held (sync, id, waits, body) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (sync, id) DO UPDATE SET waits = ?3, body = ?4";
        let waits = i64::from(held.because == HeldBecause::UnderWay);
        self.run(sql, params![held.sync, held.id, waits, rows::to_body(held)]).map(drop)
    }

    fn drop_aside(&mut self, sync: &str, id: &str) -> Result<(), TxError> {
        self.run("DELETE FROM sync_held WHERE sync = ?1 AND id = ?2", params![sync, id]).map(drop)
    }

    fn aside_under_way(
        &mut self,
        sync: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Held>, TxError> {
        self.all(HELD_WAITS, params![sync, after, limit], rows::value)
    }

    fn add_ticket_change(&mut self, change: &TicketChange) -> Result<(), TxError> {
        let sql = "INSERT INTO ticket_changes (ticket, body) VALUES (?1, ?2)";
        self.run(sql, params![rows::id(&change.ticket.0), rows::to_body(change)]).map(drop)
    }

    fn drop_ticket_changes(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        let sql = "DELETE FROM ticket_changes WHERE ticket = ?1";
        self.run(sql, params![rows::id(&ticket.0)]).map(drop)
    }

    fn sync_answer(&mut self, sync: &str, id: &str) -> Result<Option<SyncAnswer>, TxError> {
        self.one(ANSWER, params![sync, id], rows::value)
    }

    fn put_sync_answer(
        &mut self,
        sync: &str,
        at: Timestamp,
        answer: &SyncAnswer,
    ) -> Result<(), TxError> {
        let sql = "INSERT INTO sync_answers (sync, id, at, body) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (sync, id) DO UPDATE SET at = ?3, body = ?4";
        let params = params![sync, answer.id, at.as_nanos(), rows::to_body(answer)];
        self.run(sql, params).map(drop)
    }

    fn forget_sync_answers(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError> {
        Ok(self.run(FORGET_ANSWERS, params![before.as_nanos(), limit])? as u64)
    }

    fn tickets_of_after(
        &mut self,
        backend: &BackendId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Ticket)>, TxError> {
        let params = params![backend.as_str(), int(after), limit];
        self.all(TICKETS_OF_AFTER, params, rows::numbered)
    }
}

impl SyncReads for SqliteStore {
    fn sync_row(&self, name: String) -> Answered<SyncRow> {
        self.read(move |it| Ok(named(&name, one(it, SYNC, params![name], rows::value)?)))
    }

    fn sync_waiting(&self, name: String, most: u32) -> Answered<u64> {
        self.read(move |it| count(it, OUTGOING_COUNT, params![name, most]))
    }

    fn held_list(&self, name: String, after: String, limit: u32) -> Answered<Vec<Held>> {
        self.read(move |it| all(it, HELD_AFTER, params![name, after, limit], rows::value))
    }

    fn twin_of(&self, name: String, ticket: TicketKey) -> Answered<Option<Twin>> {
        self.read(move |it| one(it, TWIN, params![rows::id(&ticket.0), name], twin))
    }

    fn twins(&self, ticket: TicketKey) -> Answered<Vec<Twin>> {
        self.read(move |it| all(it, TWINS_OF, params![rows::id(&ticket.0)], twin))
    }

    fn ticket_changes(&self, ticket: TicketKey, limit: u32) -> Answered<Vec<TicketChange>> {
        self.read(move |it| all(it, CHANGES_OF, params![rows::id(&ticket.0), limit], rows::value))
    }
}
