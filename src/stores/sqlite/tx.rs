//! Row access inside the writer's transaction.
//!
//! Always: a violated unique index is a `Conflict` that names the index, undoes only its own
//! statement and leaves the transaction usable; anything else that SQLite says is `Broken`, and
//! `fault` remembers the gravest of it for the writer. Whether to roll back is the writer's
//! business.
//!
//! A statement settles first what is only journaled, unless it says that it may run beside that. How rows
//! that are written often come to their tables is in [`super::write`].

use super::lately::Lately;
use super::rows::{self, int};
use super::schema;
use super::tally::Tally;
use super::unwritten::{Numbers, newest_ticket};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, ffi, params};
use ticketgate_actors::model::{
    Alarm, AlarmRef, BackendId, ClientNumber, CommandId, CommandRecord, CorrelationKey, Fence,
    Identity, KeptLock, OccurrenceRef, Op, Parked, Request, RequestId, Route, ServiceTable,
    Snapshot, State, Ticket, TicketEvent, TicketKey, Timestamp, Watched,
};
use ticketgate_actors::ports::{LaneRow, Pause, Tx, TxError};
use uuid::Uuid;

pub(super) const NEWEST_ALARM: &str =
    "SELECT body FROM alarms WHERE source = ?1 AND id = ?2 ORDER BY occurrence DESC LIMIT 1";
pub(super) const ALARM: &str =
    "SELECT body FROM alarms WHERE source = ?1 AND id = ?2 AND occurrence = ?3";
pub(super) const ALARMS_OF: &str =
    "SELECT body, source, id, occurrence FROM alarms WHERE ticket = ?1 ORDER BY n";
pub(super) const TICKET: &str = "SELECT body FROM tickets WHERE key = ?1";
pub(super) const TICKET_BY_BACKEND_ID: &str =
    "SELECT body FROM tickets WHERE backend = ?1 AND backend_id = ?2";
pub(super) const REQUEST: &str = "SELECT n, body FROM requests WHERE id = ?1";
// Named, because SQLite would rather walk all requests of the ticket, and they may be thousands.
pub(super) const FIRST_OPEN: &str = "SELECT n, body FROM requests INDEXED BY requests_open
    WHERE ticket = ?1 AND ended = 0 ORDER BY n LIMIT 1";
/// Asked for groups and links alone: a ticket may have thousands.
pub(super) const ALL_OPEN: &str = "SELECT n, body FROM requests INDEXED BY requests_open
    WHERE ticket = ?1 AND ended = 0 ORDER BY n";
/// In a state that a lane or a person has at hand. SQLite takes a partial index only where a query repeats
/// its condition.
pub(super) const REQUESTS_IN: &str = "SELECT n, body FROM requests
    WHERE backend = ?1 AND state = ?2
    AND (state = 'intent' OR state = 'acknowledged' OR state = 'in_doubt' OR state = 'undecided')
    ORDER BY n";
/// In a state in which a request waits for its turn.
pub(super) const REQUESTS_WAITING: &str = "SELECT n, body FROM requests INDEXED BY requests_ready
    WHERE backend = ?1 AND state = ?2 AND state IN ('accepted', 'wait') ORDER BY n";

/// How requests in that state are read.
pub(super) fn requests_in(state: State) -> &'static str {
    match state {
        State::Accepted | State::Wait => REQUESTS_WAITING,
        _ => REQUESTS_IN,
    }
}
/// Sums what the tally keeps; a state that is named here has ended.
pub(super) const OPEN_REQUESTS: &str = "SELECT coalesce(sum(n), 0) FROM request_counts
    WHERE backend = ?1 AND state <> 'done' AND state <> 'adopted' AND state <> 'rejected'
    AND state <> 'failed' AND state <> 'cancelled' AND state <> 'superseded'";
pub(super) const BY_REFERENCE: &str = "SELECT n, body FROM requests
    INDEXED BY requests_backend_ref
    WHERE backend = ?1 AND backend_ref = ?2 ORDER BY n DESC LIMIT 1";
pub(super) const TICKET_BY_CORRELATION: &str =
    "SELECT body FROM tickets WHERE correlation_key = ?1";
pub(super) const SNAPSHOT: &str = "SELECT body FROM snapshots WHERE source = ?1";
pub(super) const SNAPSHOTS: &str = "SELECT body FROM snapshots ORDER BY source";
pub(super) const MARK_SEEN: &str =
    "UPDATE alarms SET seen = ?4 WHERE source = ?1 AND id = ?2 AND occurrence = ?3";
pub(super) const UNNAMED: &str = "SELECT n, seen <> ?3, body FROM alarms
    INDEXED BY alarms_source_active
    WHERE source = ?1 AND active = 1 AND n > ?2 ORDER BY n LIMIT ?4";
/// By the index of the backend, whose last column is the row's own number.
pub(super) const NTH_NEWEST_TICKET: &str =
    "SELECT body FROM tickets WHERE backend = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2";
pub(super) const FORGET: &str = "DELETE FROM identities WHERE hash IN
    (SELECT hash FROM identities WHERE at < ?1 ORDER BY at LIMIT ?2)";
pub(super) const COMMAND: &str = "SELECT body FROM commands WHERE id = ?1";
pub(super) const SERVICES: &str = "SELECT body FROM services WHERE backend = ?1";
pub(super) const ROUTE: &str = "SELECT body FROM routes WHERE backend = ?1";
pub(super) const LANE: &str = "SELECT body FROM lanes WHERE backend = ?1";

pub(super) const PARKED: &str = "SELECT n, body, raw FROM parked WHERE n = ?1";
pub(super) const HELD_TICKET: &str = "SELECT body FROM held WHERE ticket = ?1";
pub(super) const COUNT_HELD: &str = "SELECT count(*) FROM held WHERE backend = ?1";
const PUT_HELD: &str = "INSERT INTO held (ticket, backend, body) VALUES (?1, ?2, ?3)
    ON CONFLICT (ticket) DO UPDATE SET body = ?3";
const PUT_SERVICES: &str = "INSERT INTO services (backend, body) VALUES (?1, ?2)
    ON CONFLICT (backend) DO UPDATE SET body = ?2";
const PUT_ROUTE: &str = "INSERT INTO routes (backend, body) VALUES (?1, ?2)
    ON CONFLICT (backend) DO UPDATE SET body = ?2";
const TAKE_FENCES: &str = "INSERT INTO meta (key, value) VALUES ('fence', ?1)
    ON CONFLICT (key) DO UPDATE SET value = value + ?1 RETURNING value";
const RAISE_BARRIER: &str = "INSERT INTO barriers (client, fence) VALUES (?1, ?2)
    ON CONFLICT (client) DO UPDATE SET fence = max(fence, excluded.fence)";

pub(super) struct SqliteTx<'a> {
    connection: &'a Connection,
    pub(super) lately: &'a mut Lately,
    /// What SQLite failed with, apart from conflicts.
    pub(super) fault: Option<ErrorCode>,
    /// Something may have been written that would have to be undone.
    pub(super) wrote: bool,
}

impl<'a> SqliteTx<'a> {
    pub(super) fn new(connection: &'a Connection, lately: &'a mut Lately) -> Self {
        Self { connection, lately, fault: None, wrote: false }
    }

    /// Runs a statement after all is in its tables.
    pub(super) fn run(&mut self, sql: &str, params: impl Params) -> Result<usize, TxError> {
        self.settle()?;
        self.beside(sql, params)
    }

    /// Runs a statement that has nothing to do with what is not in its tables yet, as the next two.
    pub(super) fn beside(&mut self, sql: &str, params: impl Params) -> Result<usize, TxError> {
        self.wrote = true;
        let done = self.connection.prepare_cached(sql).and_then(|mut it| it.execute(params));
        done.map_err(|error| self.judge(error))
    }

    pub(super) fn one<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, TxError> {
        self.settle()?;
        self.one_beside(sql, params, read)
    }

    pub(super) fn one_beside<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, TxError> {
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut it| it.query_row(params, read).optional());
        found.map_err(|error| self.judge(error))
    }

    pub(super) fn all<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, TxError> {
        self.settle()?;
        self.all_beside(sql, params, read)
    }

    pub(super) fn all_beside<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, TxError> {
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut it| it.query_map(params, read)?.collect());
        found.map_err(|error| self.judge(error))
    }

    /// What is counted in this set.
    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.lately.tally
    }

    /// A row of alarms, tickets or requests goes.
    pub(super) fn remove(&mut self, sql: &str, params: impl Params) -> Result<(), TxError> {
        let gone = self.run(sql, params).map(drop);
        self.lately.forget();
        gone
    }

    /// Events went that the outbox may not have heard of.
    pub(super) fn events_went(&mut self) {
        self.lately.news.forget();
    }

    /// The numbers that were given last, to give the next.
    pub(super) fn numbers(&mut self) -> Result<&mut Numbers, TxError> {
        match self.lately.unwritten.numbers(self.connection) {
            Ok(numbers) => Ok(numbers),
            Err(error) => Err(TxError::Broken(error.to_string())),
        }
    }

    /// A ticket's row went: its number may be given again.
    pub(super) fn ticket_went(&mut self) -> Result<(), TxError> {
        let newest = newest_ticket(self.connection).map_err(|error| self.judge(error))?;
        self.numbers()?.ticket = newest;
        Ok(())
    }

    /// The number of the row that was added last.
    pub(super) fn added(&self) -> u64 {
        u64::try_from(self.connection.last_insert_rowid()).unwrap_or(0)
    }

    fn judge(&mut self, error: rusqlite::Error) -> TxError {
        if let rusqlite::Error::SqliteFailure(code, message) = &error {
            let unique = matches!(
                code.extended_code,
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            );
            if let (true, Some(message)) = (unique, message) {
                return TxError::Conflict(schema::unique_index(message).to_owned());
            }
            self.fault = Some(code.code);
        }
        TxError::Broken(error.to_string())
    }
}

impl Tx for SqliteTx<'_> {
    fn remember(&mut self, identity: &Identity, at: Timestamp) -> Result<bool, TxError> {
        let sql = "INSERT INTO identities (hash, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        Ok(self.beside(sql, params![identity.0, at.as_nanos()])? == 1)
    }

    fn forget_identities(&mut self, before: Timestamp, limit: u32) -> Result<u64, TxError> {
        Ok(self.beside(FORGET, params![before.as_nanos(), limit])? as u64)
    }

    fn newest_alarm(&mut self, alarm: &AlarmRef) -> Result<Option<Alarm>, TxError> {
        let found: Option<Alarm> =
            self.one_beside(NEWEST_ALARM, params![alarm.source, alarm.id], rows::value)?;
        let Some(found) = found else { return Ok(None) };
        if let Some(newer) = self.unwritten_alarm(&found.at) {
            return Ok(Some(newer));
        }
        self.lately.alarms.keep(&found.at, found.clone());
        Ok(Some(found))
    }

    fn alarm(&mut self, at: &OccurrenceRef) -> Result<Option<Alarm>, TxError> {
        if let Some(alarm) = self.unwritten_alarm(at) {
            return Ok(Some(alarm));
        }
        if let Some(alarm) = self.lately.alarms.get(at) {
            return Ok(Some(alarm.clone()));
        }
        let key = params![at.alarm.source, at.alarm.id, int(at.occurrence)];
        let found: Option<Alarm> = self.one_beside(ALARM, key, rows::value)?;
        if let Some(alarm) = &found {
            self.lately.alarms.keep(at, alarm.clone());
        }
        Ok(found)
    }

    fn put_alarm(&mut self, alarm: &Alarm) -> Result<(), TxError> {
        if self.put_unwritten_alarm(alarm)? {
            return Ok(());
        }
        let before = match self.lately.alarms.get(&alarm.at) {
            Some(before) if before == alarm => return Ok(()),
            before => before.cloned(),
        };
        let body = rows::to_packed(alarm);
        self.write_alarm(before.as_ref(), alarm, &body)?;
        self.lately.alarms.keep(&alarm.at, rows::copy(alarm, &body));
        Ok(())
    }

    fn alarms_of(&mut self, ticket: TicketKey) -> Result<Vec<Alarm>, TxError> {
        if let Some(young) = self.lately.unwritten.ticket(ticket) {
            return Ok(young.alarm.iter().map(|alarm| Alarm::clone(&alarm.row)).collect());
        }
        let lately = std::mem::take(&mut self.lately.alarms);
        let found = self.all_beside(ALARMS_OF, params![rows::id(&ticket.0)], |row| {
            let alarm = AlarmRef { source: row.get(1)?, id: row.get(2)? };
            let at = OccurrenceRef { alarm, occurrence: rows::number(row, 3)? };
            lately.get(&at).map_or_else(|| rows::value(row), |alarm| Ok(alarm.clone()))
        });
        self.lately.alarms = lately;
        found
    }

    fn ticket(&mut self, key: TicketKey) -> Result<Option<Ticket>, TxError> {
        if let Some(young) = self.lately.unwritten.ticket(key) {
            return Ok(Some(Ticket::clone(&young.ticket.row)));
        }
        if let Some(ticket) = self.lately.tickets.get(&key) {
            return Ok(Some(ticket.clone()));
        }
        let found: Option<Ticket> =
            self.one_beside(TICKET, params![rows::id(&key.0)], rows::value)?;
        if let Some(ticket) = &found {
            self.lately.tickets.keep(&key, ticket.clone());
        }
        Ok(found)
    }

    fn ticket_by_backend_id(
        &mut self,
        backend: &BackendId,
        backend_id: &str,
    ) -> Result<Option<Ticket>, TxError> {
        if let Some(key) = self.lately.unwritten.by_backend_id(backend, backend_id) {
            return Tx::ticket(self, key);
        }
        let key = params![backend.as_str(), backend_id];
        let found: Option<Ticket> = self.one_beside(TICKET_BY_BACKEND_ID, key, rows::value)?;
        if let Some(ticket) = &found {
            self.lately.tickets.keep(&ticket.key, ticket.clone());
        }
        Ok(found)
    }

    fn put_ticket(&mut self, ticket: &Ticket) -> Result<(), TxError> {
        if self.put_unwritten_ticket(ticket)?
            || self.lately.tickets.get(&ticket.key) == Some(ticket)
        {
            return Ok(());
        }
        self.against_unwritten(ticket)?;
        let body = rows::to_packed(ticket);
        let before = self.lately.tickets.get(&ticket.key).cloned();
        if !self.update_ticket(before.as_ref(), ticket, &body)? {
            if before.is_some() {
                return Err(TxError::Broken(format!("ticket {} has no row any more", ticket.key)));
            }
            let n = self.next_ticket()?;
            self.insert_ticket(n, ticket, &body)?;
        }
        self.lately.tickets.keep(&ticket.key, rows::copy(ticket, &body));
        Ok(())
    }

    fn snapshot(&mut self, source: &str) -> Result<Option<Snapshot>, TxError> {
        if let Some(known) = self.lately.snapshots.get(source) {
            return Ok(known.clone());
        }
        let found: Option<Snapshot> = self.one_beside(SNAPSHOT, params![source], rows::value)?;
        self.lately.snapshots.keep(&source.to_owned(), found.clone());
        Ok(found)
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, TxError> {
        self.all_beside(SNAPSHOTS, params![], rows::value)
    }

    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), TxError> {
        let sql = "INSERT INTO snapshots (source, body) VALUES (?1, ?2)
            ON CONFLICT (source) DO UPDATE SET body = ?2";
        self.beside(sql, params![snapshot.source, rows::to_body(snapshot)])?;
        self.lately.snapshots.keep(&snapshot.source, Some(snapshot.clone()));
        Ok(())
    }

    fn mark_seen(&mut self, at: &OccurrenceRef, number: u64) -> Result<(), TxError> {
        let key = params![at.alarm.source, at.alarm.id, int(at.occurrence), int(number)];
        self.beside(MARK_SEEN, key).map(drop)
    }

    fn unnamed(
        &mut self,
        source: &str,
        number: u64,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Alarm>)>, TxError> {
        let params = params![source, int(after), int(number), limit];
        self.all(UNNAMED, params, |row| {
            let unnamed: bool = row.get(1)?;
            let alarm = if unnamed { Some(rows::body(row, 2)?) } else { None };
            Ok((rows::number(row, 0)?, alarm))
        })
    }

    fn group(&mut self, key: &[u8; 16]) -> Result<Option<TicketKey>, TxError> {
        let sql = "SELECT ticket FROM groups WHERE key = ?1";
        self.one_beside(sql, params![key], |row| Ok(TicketKey(Uuid::from_bytes(row.get(0)?))))
    }

    fn put_group(&mut self, key: &[u8; 16], ticket: TicketKey) -> Result<(), TxError> {
        let sql = "INSERT INTO groups (key, ticket) VALUES (?1, ?2)
            ON CONFLICT (key) DO UPDATE SET ticket = ?2";
        self.beside(sql, params![key, rows::id(&ticket.0)]).map(drop)
    }

    fn nth_newest_ticket(
        &mut self,
        backend: &BackendId,
        nth: u32,
    ) -> Result<Option<Timestamp>, TxError> {
        let params = params![backend.as_str(), nth.saturating_sub(1)];
        let row = self.one(NTH_NEWEST_TICKET, params, rows::value::<Ticket>)?;
        Ok(row.map(|ticket| ticket.accepted_at))
    }

    fn request(&mut self, id: RequestId) -> Result<Option<Request>, TxError> {
        if let Some(part) = self.lately.unwritten.of_request(id).and_then(|it| it.request.as_ref())
        {
            return Ok(Some(Request::clone(&part.row)));
        }
        if let Some(request) = self.lately.requests.get(&id) {
            return Ok(Some(request.clone()));
        }
        let found = self.one_beside(REQUEST, params![rows::id(&id.0)], rows::request)?;
        if let Some(request) = &found {
            self.lately.requests.keep(&id, request.clone());
        }
        Ok(found)
    }

    fn add_request(&mut self, request: &Request) -> Result<u64, TxError> {
        if let Some(n) = self.add_unwritten_request(request)? {
            return Ok(n);
        }
        let body = rows::to_packed(request);
        let n = self.next_request()?;
        self.insert_request(n, request, &body)?;
        self.lately.requests.keep(&request.id, rows::numbered_copy(request, n, &body));
        Ok(n)
    }

    fn put_request(&mut self, request: &Request) -> Result<(), TxError> {
        if self.put_unwritten_request(request) {
            return Ok(());
        }
        let body = rows::to_packed(request);
        // A change has read what it changes; where it has not, this does.
        let never = || TxError::Broken(format!("request {} was never added", request.id));
        let before = match self.lately.requests.get(&request.id) {
            Some(before) => before.clone(),
            None => Tx::request(self, request.id)?.ok_or_else(never)?,
        };
        if !self.update_request(&before, request, &body)? {
            return Err(never());
        }
        let kept = rows::numbered_copy(request, before.n, &body);
        self.lately.requests.keep(&request.id, kept);
        Ok(())
    }

    fn first_open_request(&mut self, ticket: TicketKey) -> Result<Option<Request>, TxError> {
        if let Some(young) = self.lately.unwritten.ticket(ticket) {
            let open = young.request.iter().find(|it| !it.row.state.ended());
            return Ok(open.map(|it| Request::clone(&it.row)));
        }
        self.one_beside(FIRST_OPEN, params![rows::id(&ticket.0)], rows::request)
    }

    fn has_open_request(&mut self, ticket: TicketKey, op: Op) -> Result<bool, TxError> {
        if let Some(young) = self.lately.unwritten.ticket(ticket) {
            let mut open = young.request.iter().filter(|it| !it.row.state.ended());
            return Ok(open.any(|it| it.row.op == op));
        }
        // Not by the column: in rows of older versions it may say what a sync's write was before its intent.
        let same = |row: &Row<'_>| Ok(rows::request(row)?.op == op);
        let open = self.all_beside(ALL_OPEN, params![rows::id(&ticket.0)], same)?;
        Ok(open.contains(&true))
    }

    fn open_requests(&mut self, backend: &BackendId) -> Result<u64, TxError> {
        let written = match self.lately.open_requests.get(backend) {
            Some(written) => *written,
            None => {
                let written =
                    self.one_beside(OPEN_REQUESTS, params![backend.as_str()], |row| row.get(0))?;
                let written = written.unwrap_or(0);
                self.lately.open_requests.insert(backend.clone(), written);
                written
            }
        };
        let counted =
            self.lately.tally.open_requests(backend) + self.lately.unwritten.open_requests(backend);
        Ok(u64::try_from(written + counted).unwrap_or(0))
    }

    fn request_by_reference(
        &mut self,
        backend: &BackendId,
        reference: &str,
    ) -> Result<Option<Request>, TxError> {
        self.one(BY_REFERENCE, params![backend.as_str(), reference], rows::request)
    }

    fn ticket_by_correlation_key(
        &mut self,
        key: &CorrelationKey,
    ) -> Result<Option<Ticket>, TxError> {
        if let Some(key) = self.lately.unwritten.by_correlation_key(key) {
            return Tx::ticket(self, key);
        }
        self.one_beside(TICKET_BY_CORRELATION, params![key.0], rows::value)
    }

    fn watched(&mut self, ticket: TicketKey) -> Result<Option<Watched>, TxError> {
        let sql = "SELECT body FROM watched WHERE ticket = ?1";
        self.one_beside(sql, params![rows::id(&ticket.0)], rows::value)
    }

    fn put_watched(&mut self, watched: &Watched) -> Result<(), TxError> {
        let sql = "INSERT INTO watched (ticket, backend, body) VALUES (?1, ?2, ?3)
            ON CONFLICT (ticket) DO UPDATE SET body = ?3";
        let ticket = rows::id(&watched.ticket.0);
        self.beside(sql, params![ticket, watched.backend.as_str(), rows::to_body(watched)])
            .map(drop)
    }

    fn drop_watched(&mut self, ticket: TicketKey) -> Result<(), TxError> {
        self.beside("DELETE FROM watched WHERE ticket = ?1", params![rows::id(&ticket.0)]).map(drop)
    }

    fn requests_in(&mut self, backend: &BackendId, state: State) -> Result<Vec<Request>, TxError> {
        let params = params![backend.as_str(), state.as_str()];
        self.all(requests_in(state), params, rows::request)
    }

    fn add_event(&mut self, event: &TicketEvent) -> Result<u64, TxError> {
        let n = self.next_event()?;
        if let Some(event) = self.add_unwritten_event(event, n)? {
            self.lately.news.add(event);
            return Ok(n);
        }
        let body = rows::to_packed(event);
        self.insert_event(n, event, &body, None)?;
        self.lately.news.add(rows::numbered_event(event, n, &body));
        Ok(n)
    }

    fn mark_sent(&mut self, n: u64, at: Timestamp) -> Result<(), TxError> {
        if let Some(ticket) = self.lately.unwritten.of_event(n) {
            self.lately.unwritten.mark_sent(ticket, n, at);
            return Ok(());
        }
        // A second confirm, after a repeated publish, does not move the first one's time.
        if self.beside("DELETE FROM unsent WHERE n = ?1", params![int(n)])? > 0 {
            self.insert_sent(n, at)?;
        }
        Ok(())
    }

    fn lane(&mut self, backend: &BackendId) -> Result<LaneRow, TxError> {
        if let Some(row) = self.lately.lanes.get(backend) {
            return Ok(row.clone());
        }
        let row: LaneRow =
            self.one_beside(LANE, params![backend.as_str()], rows::value)?.unwrap_or_default();
        self.lately.lanes.insert(backend.clone(), row.clone());
        Ok(row)
    }

    fn put_lane(&mut self, backend: &BackendId, row: &LaneRow) -> Result<(), TxError> {
        let sql = "INSERT INTO lanes (backend, body) VALUES (?1, ?2)
            ON CONFLICT (backend) DO UPDATE SET body = ?2";
        self.beside(sql, params![backend.as_str(), rows::to_body(row)])?;
        self.lately.lanes.insert(backend.clone(), row.clone());
        Ok(())
    }

    fn take_fences(&mut self, count: u64) -> Result<Fence, TxError> {
        self.wrote = true;
        let last = self.one_beside(TAKE_FENCES, params![int(count)], |row| rows::number(row, 0))?;
        let last = last.ok_or_else(|| TxError::Broken("no fence was given".to_owned()))?;
        Ok(Fence(last + 1 - count))
    }

    fn barrier(&mut self, client: ClientNumber) -> Result<Fence, TxError> {
        if let Some(fence) = self.lately.barriers.get(&client) {
            return Ok(*fence);
        }
        let sql = "SELECT fence FROM barriers WHERE client = ?1";
        let fence = self.one_beside(sql, params![int(client.0)], |row| rows::number(row, 0))?;
        let fence = fence.map_or_else(Fence::default, Fence);
        self.lately.barriers.insert(client, fence);
        Ok(fence)
    }

    fn raise_barrier(&mut self, client: ClientNumber, to: Fence) -> Result<(), TxError> {
        self.lately.barriers.remove(&client);
        self.beside(RAISE_BARRIER, params![int(client.0), int(to.0)]).map(drop)
    }

    fn command(&mut self, id: CommandId) -> Result<Option<CommandRecord>, TxError> {
        self.one_beside(COMMAND, params![rows::id(&id.0)], rows::value)
    }

    fn put_command(&mut self, record: &CommandRecord) -> Result<(), TxError> {
        let sql = "INSERT INTO commands (id, accepted_at, body) VALUES (?1, ?2, ?3)";
        let body = rows::to_body(record);
        self.beside(sql, params![rows::id(&record.id.0), record.accepted_at.as_nanos(), body])
            .map(drop)
    }

    fn put_lock(&mut self, lock: &KeptLock) -> Result<(), TxError> {
        let sql = "INSERT INTO locks (guid, client, body) VALUES (?1, ?2, ?3)
            ON CONFLICT (guid) DO UPDATE SET client = ?2, body = ?3";
        let params = params![rows::id(&lock.guid), int(lock.client.0), rows::to_body(lock)];
        self.beside(sql, params).map(drop)
    }

    fn lock(&mut self, guid: Uuid) -> Result<Option<KeptLock>, TxError> {
        let sql = "SELECT body FROM locks WHERE guid = ?1";
        self.one_beside(sql, params![rows::id(&guid)], rows::value)
    }

    fn drop_lock(&mut self, guid: Uuid) -> Result<(), TxError> {
        self.beside("DELETE FROM locks WHERE guid = ?1", params![rows::id(&guid)]).map(drop)
    }

    fn park(&mut self, message: &Parked) -> Result<u64, TxError> {
        let sql = "INSERT INTO parked (at, inlet, body, raw) VALUES (?1, ?2, ?3, ?4)";
        let body = rows::to_body(message);
        self.beside(sql, params![message.at.as_nanos(), message.inlet, body, message.body])?;
        Ok(self.added())
    }

    fn parked(&mut self, n: u64) -> Result<Option<Parked>, TxError> {
        self.one_beside(PARKED, params![int(n)], rows::parked)
    }

    fn put_parked(&mut self, message: &Parked) -> Result<(), TxError> {
        let sql = "UPDATE parked SET body = ?2, raw = ?3 WHERE n = ?1";
        self.beside(sql, params![int(message.n), rows::to_body(message), message.body]).map(drop)
    }

    fn drop_parked(&mut self, n: u64) -> Result<(), TxError> {
        self.beside("DELETE FROM parked WHERE n = ?1", params![int(n)]).map(drop)
    }

    fn held(&mut self, ticket: TicketKey) -> Result<Option<Pause>, TxError> {
        self.one_beside(HELD_TICKET, params![rows::id(&ticket.0)], rows::value)
    }

    fn count_held(&mut self, backend: &BackendId) -> Result<u64, TxError> {
        let count =
            self.one_beside(COUNT_HELD, params![backend.as_str()], |row| rows::number(row, 0))?;
        Ok(count.unwrap_or(0))
    }

    fn put_held(
        &mut self,
        backend: &BackendId,
        ticket: TicketKey,
        why: Option<&Pause>,
    ) -> Result<(), TxError> {
        let ticket = rows::id(&ticket.0);
        match why {
            Some(why) => {
                self.beside(PUT_HELD, params![ticket, backend.as_str(), rows::to_body(why)])
            }
            None => self.beside("DELETE FROM held WHERE ticket = ?1", params![ticket]),
        }
        .map(drop)
    }

    fn services(&mut self, backend: &BackendId) -> Result<Option<ServiceTable>, TxError> {
        if let Some(known) = self.lately.services.get(backend) {
            return Ok(known.clone());
        }
        let found: Option<ServiceTable> =
            self.one_beside(SERVICES, params![backend.as_str()], rows::value)?;
        self.lately.services.insert(backend.clone(), found.clone());
        Ok(found)
    }

    fn put_services(
        &mut self,
        backend: &BackendId,
        table: Option<&ServiceTable>,
    ) -> Result<(), TxError> {
        self.lately.services.remove(backend);
        match table {
            Some(table) => self.run(PUT_SERVICES, params![backend.as_str(), rows::to_body(table)]),
            None => self.run("DELETE FROM services WHERE backend = ?1", params![backend.as_str()]),
        }
        .map(drop)
    }

    fn route(&mut self, backend: &BackendId) -> Result<Option<Route>, TxError> {
        self.one_beside(ROUTE, params![backend.as_str()], rows::value)
    }

    fn put_route(&mut self, backend: &BackendId, route: Option<&Route>) -> Result<(), TxError> {
        self.lately.routes_moved = true;
        match route {
            Some(route) => self.run(PUT_ROUTE, params![backend.as_str(), rows::to_body(route)]),
            None => self.run("DELETE FROM routes WHERE backend = ?1", params![backend.as_str()]),
        }
        .map(drop)
    }

    fn audit(&mut self, at: Timestamp, who: &str, what: &str, why: &str) -> Result<(), TxError> {
        let sql = "INSERT INTO audit (at, who, what, why) VALUES (?1, ?2, ?3, ?4)";
        self.beside(sql, params![at.as_nanos(), who, what, why]).map(drop)
    }
}
