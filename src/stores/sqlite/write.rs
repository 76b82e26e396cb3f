//! Rows of alarms, tickets, requests and events to their tables: one statement each, whoever writes it.
//!
//! Always: an update sets only columns that can change, and where the row was read or written lately only
//! those that do: SQLite rewrites every index that holds a column of the `SET` list, changed or not.
//! `REPLACE` is never used: it would give a row a new `n`.

use super::rows::{self, int};
use super::tx::SqliteTx;
use rusqlite::params;
use rusqlite::types::ToSql;
use ticketgate_actors::logic::lane::class_of;
use ticketgate_actors::model::{Alarm, BackendId, Request, Ticket, TicketEvent, Timestamp};
use ticketgate_actors::ports::TxError;

const PUT_ALARM: &str = "INSERT INTO alarms
    (source, id, occurrence, active, backend, due_at, wanted, settled, ticket, request, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (source, id, occurrence) DO UPDATE SET active = ?4, backend = ?5, due_at = ?6,
    wanted = ?7, settled = ?8, ticket = ?9, request = ?10, body = ?11";
// Not one upsert: with three unique indexes, an upsert of a ticket that is there would stumble
// over its own correlation key.
const UPDATE_TICKET: &str =
    "UPDATE tickets SET backend_id = ?2, status = ?3, sequence = ?4, body = ?5 WHERE key = ?1";
const INSERT_TICKET: &str = "INSERT INTO tickets
    (n, key, backend, backend_id, correlation_key, status, sequence, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const ADD_REQUEST: &str = "INSERT INTO requests
    (n, id, backend, ticket, op, class, level_made, state, ended, ready_at, body, backend_ref)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
// Apart, since almost no request has one, and an index would be rewritten for it each time.
const PUT_REFERENCE: &str =
    "UPDATE requests SET backend_ref = ?2 WHERE id = ?1 AND backend_ref IS NOT ?2";
const ADD_EVENT: &str =
    "INSERT INTO events (n, event_id, ticket, sequence, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const ADD_UNSENT: &str = "INSERT INTO unsent (n) VALUES (?1)";
const ADD_SENT: &str = "INSERT INTO sent (n, at) VALUES (?1, ?2)";

impl SqliteTx<'_> {
    /// Writes an alarm to its table. `before`: as that has it, where that is known.
    pub(super) fn write_alarm(
        &mut self,
        before: Option<&Alarm>,
        alarm: &Alarm,
        body: &[u8],
    ) -> Result<(), TxError> {
        let (source, id, occurrence) =
            (&alarm.at.alarm.source, &alarm.at.alarm.id, int(alarm.at.occurrence));
        let backend = alarm.backend.as_ref().map(BackendId::as_str);
        let due_at = alarm.due_at.map(Timestamp::as_nanos);
        let (wanted, settled) = (int(alarm.wanted_version), int(alarm.settled_version));
        let ticket = alarm.ticket.as_ref().map(|ticket| rows::id(&ticket.0));
        let request = alarm.request.as_ref().map(|request| rows::id(&request.0));
        let Some(before) = before else {
            let active = alarm.active;
            let params = params![
                source, id, occurrence, active, backend, due_at, wanted, settled, ticket, request,
                body
            ];
            return self.beside(PUT_ALARM, params).map(drop);
        };
        let update = Update::of("alarms", &body)
            .set(before.active != alarm.active, "active", &alarm.active)
            .set(before.backend != alarm.backend, "backend", &backend)
            .set(before.due_at != alarm.due_at, "due_at", &due_at)
            .set(before.wanted_version != alarm.wanted_version, "wanted", &wanted)
            .set(before.settled_version != alarm.settled_version, "settled", &settled)
            .set(before.ticket != alarm.ticket, "ticket", &ticket)
            .set(before.request != alarm.request, "request", &request);
        let row = " WHERE source = ? AND id = ? AND occurrence = ?";
        match update.of_row(self, row, &[source, id, &occurrence])? {
            0 => Err(TxError::Broken(format!("{} has no row any more", alarm.at.alarm))),
            _ => Ok(()),
        }
    }

    /// Adds a ticket to its table.
    pub(super) fn insert_ticket(
        &mut self,
        n: u64,
        ticket: &Ticket,
        body: &[u8],
    ) -> Result<(), TxError> {
        let params = params![
            int(n),
            rows::id(&ticket.key.0),
            ticket.backend.as_str(),
            rows::backend_id(ticket),
            ticket.correlation_key.0,
            ticket.status.as_str(),
            int(ticket.sequence),
            body
        ];
        self.beside(INSERT_TICKET, params).map(drop)
    }

    /// Rewrites a ticket's row; false: there is none. `before`: as its table has it, where that is known.
    pub(super) fn update_ticket(
        &mut self,
        before: Option<&Ticket>,
        ticket: &Ticket,
        body: &[u8],
    ) -> Result<bool, TxError> {
        let key = rows::id(&ticket.key.0);
        let theirs = rows::backend_id(ticket);
        let status = ticket.status.as_str();
        let sequence = int(ticket.sequence);
        let Some(before) = before else {
            let params = params![key, theirs, status, sequence, body];
            return Ok(self.beside(UPDATE_TICKET, params)? > 0);
        };
        let update = Update::of("tickets", &body)
            .set(before.backend_id != ticket.backend_id, "backend_id", &theirs)
            .set(before.status != ticket.status, "status", &status)
            .set(before.sequence != ticket.sequence, "sequence", &sequence);
        Ok(update.of_row(self, " WHERE key = ?", &[&key])? > 0)
    }

    /// Adds a request to its table.
    pub(super) fn insert_request(
        &mut self,
        n: u64,
        request: &Request,
        body: &[u8],
    ) -> Result<(), TxError> {
        let params = params![
            int(n),
            rows::id(&request.id.0),
            request.backend.as_str(),
            rows::id(&request.ticket.0),
            request.op.as_str(),
            class_of(request.op),
            rows::level_made(request),
            request.state.as_str(),
            request.state.ended(),
            request.ready_at.as_nanos(),
            body,
            request.backend_ref,
        ];
        self.beside(ADD_REQUEST, params)?;
        self.tally().request(&request.backend, None, Some(request.state));
        Ok(())
    }

    /// Rewrites a request's row; false: there is none. `before`: as its table has it.
    pub(super) fn update_request(
        &mut self,
        before: &Request,
        request: &Request,
        body: &[u8],
    ) -> Result<bool, TxError> {
        let (state, ended) = (request.state.as_str(), request.state.ended());
        let ready_at = request.ready_at.as_nanos();
        // What a sync's write is, its intent says.
        let (op, class) = (request.op.as_str(), class_of(request.op));
        let update = Update::of("requests", &body)
            .set(before.op != request.op, "op", &op)
            .set(before.op != request.op, "class", &class)
            .set(before.state != request.state, "state", &state)
            .set(before.state.ended() != ended, "ended", &ended)
            .set(before.ready_at != request.ready_at, "ready_at", &ready_at);
        if update.of_row(self, " WHERE n = ?", &[&int(before.n)])? == 0 {
            return Ok(false);
        }
        self.tally().request(&request.backend, Some(before.state), Some(request.state));
        if let Some(reference) = &request.backend_ref {
            self.beside(PUT_REFERENCE, params![rows::id(&request.id.0), reference])?;
        }
        Ok(true)
    }

    /// Adds an event to its table, and to those that are to be sent, or were.
    pub(super) fn insert_event(
        &mut self,
        n: u64,
        event: &TicketEvent,
        body: &[u8],
        sent_at: Option<Timestamp>,
    ) -> Result<(), TxError> {
        let (id, ticket) = (rows::id(&event.event_id.0), rows::id(&event.ticket.key.0));
        self.beside(ADD_EVENT, params![int(n), id, ticket, int(event.sequence), body])?;
        match sent_at {
            Some(at) => self.insert_sent(n, at),
            None => self.beside(ADD_UNSENT, params![int(n)]).map(drop),
        }
    }

    /// An event was confirmed.
    pub(super) fn insert_sent(&mut self, n: u64, at: Timestamp) -> Result<(), TxError> {
        self.beside(ADD_SENT, params![int(n), at.as_nanos()]).map(drop)
    }
}

/// An update that names the columns which have moved, and no others.
struct Update<'a> {
    sql: String,
    values: Vec<&'a dyn ToSql>,
}

impl<'a> Update<'a> {
    /// Of that table; the body is always new.
    fn of(table: &str, body: &'a dyn ToSql) -> Self {
        Self { sql: format!("UPDATE {table} SET body = ?"), values: vec![body] }
    }

    fn set(mut self, moved: bool, column: &str, value: &'a dyn ToSql) -> Self {
        if moved {
            self.sql.push_str(", ");
            self.sql.push_str(column);
            self.sql.push_str(" = ?");
            self.values.push(value);
        }
        self
    }

    /// Of the one row that has these.
    fn of_row(
        mut self,
        tx: &mut SqliteTx<'_>,
        condition: &str,
        key: &[&'a dyn ToSql],
    ) -> Result<usize, TxError> {
        self.sql.push_str(condition);
        self.values.extend_from_slice(key);
        tx.beside(&self.sql, &*self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lately::Lately;
    use super::super::schema::migrate;
    use super::*;
    use rusqlite::Connection;
    use ticketgate_actors::model::{Fields, MadeBy, Op, RequestId, TicketKey};
    use ticketgate_actors::ports::Tx;
    use uuid::Uuid;

    /// What a sync wants written is an update until its intent says otherwise.
    #[test]
    fn what_turns_out_to_be_a_close_waits_in_the_line_of_closes() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0).unwrap();
        let mut lately = Lately::default();
        let mut tx = SqliteTx::new(&connection, &mut lately);
        let (id, key) = (RequestId(Uuid::from_u128(1)), TicketKey(Uuid::from_u128(2)));
        let (place, name) = ((BackendId::new("noc"), key), "partner".to_owned());
        let (made_by, now) = (MadeBy::Sync { name }, Timestamp::default());
        let request = Request::accepted(id, place, Op::Update, made_by, Fields::new(), now);
        tx.add_request(&request).unwrap();
        assert!(!tx.has_open_request(key, Op::Close).unwrap());
        tx.put_request(&Request { op: Op::Close, ..request }).unwrap();
        assert!(tx.has_open_request(key, Op::Close).unwrap());
        let columns = "SELECT op, class FROM requests";
        let columns = connection.query_row(columns, [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(columns.unwrap(), (Op::Close.as_str().to_owned(), class_of(Op::Close)));
    }
}
