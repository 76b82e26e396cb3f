//! What is read beside the writer: work for flows, lanes and outbox, and lists for the faces.
//!
//! Always: a hot query walks a partial index in the order that it needs, so that its cost follows
//! what it returns and not what is stored (the plans are tested); a list is a page by `n`. The
//! connection sees committed rows only (`reader`).

use super::SqliteStore;
use super::rows::{self, int};
use super::schema::{AT_HAND, ENDED_OTHERWISE};
use super::seen::RowIs;
use super::tx::{
    ALARMS_OF, COMMAND, FIRST_OPEN, LANE, OPEN_REQUESTS, REQUEST, ROUTE, SERVICES, SNAPSHOTS,
    TICKET, TICKET_BY_BACKEND_ID, requests_in,
};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};
use ticketgate_actors::model::{
    Alarm, AlarmRef, Audited, BackendId, CommandId, CommandRecord, EventId, KeptLock, Parked,
    Request, RequestId, Route, ServiceTable, Snapshot, State, Ticket, TicketEvent, TicketKey,
    Timestamp, Watched,
};
use ticketgate_actors::ports::{
    AlarmFilter, Answered, DUE_COUNTED_MAX, DueAlarm, DueMost, DueOf, DuePage, LaneCounts, LaneRow,
    Page, Pause, Reads, RequestFilter, StoreFigures, TicketFilter,
};

/// Those that have a ticket (0), or those that have none (1). Apart, because where only creates are
/// admitted, a million updates that wait must not stand before them.
pub(super) const DUE_ALARMS: &str = "SELECT due_at, n, body FROM alarms
    WHERE backend = ?1 AND (ticket IS NULL) = ?4 AND due_at <= ?2 ORDER BY due_at, n LIMIT ?3";
/// The ticket of the newest earlier occurrence that has one.
pub(super) const TICKET_BEFORE: &str = "SELECT body FROM tickets WHERE key =
    (SELECT ticket FROM alarms WHERE source = ?1 AND id = ?2 AND occurrence < ?3
     AND ticket IS NOT NULL ORDER BY occurrence DESC LIMIT 1)";
// What was accepted is ready, also where the clock was set back since.
// The indexes are named where SQLite, which knows nothing of how many rows there are, would take
// another one and sort.
pub(super) const READY_REQUESTS: &str = "SELECT n, body FROM requests r INDEXED BY requests_ready
    WHERE backend = ?1 AND class = ?2 AND state IN ('accepted', 'wait')
    AND (ready_at <= ?3 OR state = 'accepted')
    AND NOT EXISTS
        (SELECT 1 FROM requests e INDEXED BY requests_open
         WHERE e.ticket = r.ticket AND e.ended = 0 AND e.n < r.n)
    AND NOT EXISTS (SELECT 1 FROM held h WHERE h.ticket = r.ticket)
    ORDER BY n LIMIT ?4";
/// Of those that are first in line of their ticket: another's time means nothing yet.
pub(super) const NEXT_READY: &str = "SELECT ready_at FROM requests r
    WHERE backend = ?1 AND state = 'wait' AND ready_at > ?2
    AND NOT EXISTS
        (SELECT 1 FROM requests e INDEXED BY requests_open
         WHERE e.ticket = r.ticket AND e.ended = 0 AND e.n < r.n)
    AND NOT EXISTS (SELECT 1 FROM held h WHERE h.ticket = r.ticket)
    ORDER BY ready_at LIMIT 1";
pub(super) const UNSENT_EVENTS: &str =
    "SELECT e.n, e.body FROM unsent u CROSS JOIN events e ON e.n = u.n
    WHERE u.n > ?1 ORDER BY u.n LIMIT ?2";
const UNSENT_COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM unsent LIMIT ?1)";
pub(super) const EVENTS_AFTER: &str = "SELECT n, body FROM events WHERE n > ?1 ORDER BY n LIMIT ?2";
pub(super) const EVENT: &str = "SELECT n, body FROM events WHERE event_id = ?1";
const NEWEST_EVENT: &str = "SELECT n, body FROM events ORDER BY n DESC LIMIT 1";
pub(super) const OCCURRENCES: &str =
    "SELECT body FROM alarms WHERE source = ?1 AND id = ?2 ORDER BY occurrence";
pub(super) const EVENTS_OF: &str =
    "SELECT n, body, (SELECT at FROM sent s WHERE s.n = e.n) FROM events e
    WHERE ticket = ?1 ORDER BY sequence";
pub(super) const WATCHED: &str = "SELECT w.n, w.body, t.body FROM watched w
    JOIN tickets t ON t.key = w.ticket
    WHERE w.backend = ?1 AND w.n > ?2 ORDER BY w.n LIMIT ?3";
pub(super) const LANE_STATES: &str = "SELECT state, n FROM request_counts WHERE backend = ?1";
/// Counted up to a limit: a million may wait, and the answer is for people.
pub(super) const LANE_DUE: &str = "SELECT count(*) FROM
    (SELECT 1 FROM alarms WHERE backend = ?1 AND due_at IS NOT NULL LIMIT ?2)";
const PARKED_COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM parked LIMIT ?1)";
pub(super) const HELD: &str = "SELECT ticket, body FROM held WHERE backend = ?1 ORDER BY ticket";
const FIGURE_STATES: &str = "SELECT backend, state, n FROM request_counts WHERE n > 0";

pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(params, read).optional()
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

pub(super) fn count(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<u64> {
    connection.prepare_cached(sql)?.query_row(params, |row| rows::number(row, 0))
}

/// A due alarm with its place in the order.
struct Due {
    at: i64,
    n: i64,
    alarm: Alarm,
}

fn due_alarm(connection: &Connection, alarm: Alarm) -> rusqlite::Result<DueAlarm> {
    let ticket = match alarm.ticket {
        Some(key) => one(connection, TICKET, params![rows::id(&key.0)], rows::value)?,
        None => {
            let at = &alarm.at;
            let key = params![at.alarm.source, at.alarm.id, int(at.occurrence)];
            one(connection, TICKET_BEFORE, key, rows::value)?
        }
    };
    let mut others = Vec::new();
    if let (Some(_), Some(key)) = (&alarm.group, alarm.ticket) {
        others = all(connection, ALARMS_OF, params![rows::id(&key.0)], rows::value)?;
        others.retain(|other: &Alarm| other.at != alarm.at);
    }
    Ok(DueAlarm { alarm, ticket, others })
}

/// A list, newest first: the conditions that a filter sets, and the place of the page. There is an
/// index for each set of conditions on columns that many rows share.
pub(super) struct List {
    columns: &'static str,
    table: &'static str,
    /// The rows' numbers are sorted, since no index has them in order, and the page's rows read then.
    numbers_first: Option<&'static str>,
    conditions: String,
    values: Vec<Value>,
}

impl List {
    pub(super) fn of(table: &'static str) -> Self {
        let (conditions, values) = (String::new(), Vec::new());
        Self { columns: "n, body", table, numbers_first: None, conditions, values }
    }

    /// From an index that does not have them in the order of their numbers.
    fn unordered(table: &'static str, from: &'static str) -> Self {
        Self { numbers_first: Some(from), ..Self::of(table) }
    }

    /// With these columns in the place of number and body.
    pub(super) fn columns(self, columns: &'static str) -> Self {
        Self { columns, ..self }
    }

    pub(super) fn only(mut self, column: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.values.push(value.into());
            self.conditions.push_str(&format!(" AND {column} = ?{}", self.values.len()));
        }
        self
    }

    /// A condition without a value.
    pub(super) fn that(mut self, condition: Option<&str>) -> Self {
        if let Some(condition) = condition {
            self.conditions.push_str(&format!(" AND {condition}"));
        }
        self
    }

    pub(super) fn page(mut self, page: &Page) -> (String, Vec<Value>) {
        let count = self.values.len();
        self.values.push(page.before.map_or(i64::MAX, int).into());
        self.values.push(page.limit.into());
        let (before, limit) = (count + 1, count + 2);
        let (after, order) = match page.after {
            None => (String::new(), "DESC"),
            Some(after) => {
                self.values.push(int(after).into());
                (format!(" AND n > ?{}", count + 3), "ASC")
            }
        };
        let Self { columns, table, numbers_first, conditions, values } = self;
        let page = format!("n < ?{before}{after}{conditions} ORDER BY n {order} LIMIT ?{limit}");
        let sql = match numbers_first {
            None => format!("SELECT {columns} FROM {table} WHERE {page}"),
            Some(from) => format!(
                "SELECT {columns} FROM {table} WHERE n IN (SELECT n FROM {from} WHERE {page}) \
                 ORDER BY n {order}"
            ),
        };
        (sql, values)
    }

    pub(super) fn read<T: Send + 'static>(
        self,
        store: &SqliteStore,
        page: &Page,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answered<Vec<T>> {
        let (sql, values) = self.page(page);
        store.read(move |it| all(it, &sql, params_from_iter(values), read))
    }
}

pub(super) fn alarm_list(filter: AlarmFilter) -> List {
    List::of("alarms").only("source", filter.source).only("active", filter.active)
}

pub(super) fn ticket_list(filter: TicketFilter) -> List {
    let backend = filter.backend.map(|backend| backend.as_str().to_owned());
    // Pending ones are in an index of their own, whatever is asked besides: there are as many as creates
    // that have not ended.
    let (table, lead, apart) = match filter.status.as_deref() {
        Some("pending") => ("tickets INDEXED BY tickets_pending", "+", Some("status = 'pending'")),
        Some(_) => ("tickets", "", Some("status <> 'pending'")),
        None => ("tickets", "", None),
    };
    let status = filter.status.filter(|status| status != "pending");
    List::of(table).that(apart).only(&format!("{lead}backend"), backend).only("status", status)
}

pub(super) fn request_list(filter: RequestFilter) -> List {
    if let Some(un_ended) = un_ended_list(&filter) {
        return un_ended;
    }
    let ticket = filter.ticket.map(|ticket| rows::id(&ticket.0).to_vec());
    // A ticket has few requests: no other condition may lead away from its own index.
    let lead = if ticket.is_some() { "+" } else { "" };
    let open = match filter.open {
        Some(true) => Some("+ended = 0"),
        Some(false) => Some("+ended = 1"),
        None => None,
    };
    // Most end as done: those are met by walking all. The others have indexes.
    let otherwise = filter.state.is_some_and(|state| state.ended() && state != State::Done);
    let done = filter.state == Some(State::Done);
    let state_lead = if done { "+" } else { lead };
    List::of("requests")
        .that(open)
        .that(Some(ENDED_OTHERWISE).filter(|_| otherwise && lead.is_empty()))
        .only("ticket", ticket)
        .only(&format!("{lead}backend"), filter.backend.map(|it| it.as_str().to_owned()))
        .only(&format!("{state_lead}state"), filter.state.map(|it| it.as_str().to_owned()))
}

/// Requests that have not ended, of whatever ticket: from the indexes that hold only such, so that years of
/// history are not looked at. The constants are what partial indexes ask for.
fn un_ended_list(filter: &RequestFilter) -> Option<List> {
    let state = filter.state.filter(|state| !state.ended());
    if filter.ticket.is_some() || filter.open == Some(false) || state != filter.state {
        return None;
    }
    let backend = filter.backend.as_ref().map(|it| it.as_str().to_owned());
    let word = state.map(|state| state.as_str().to_owned());
    let all = "requests INDEXED BY requests_open";
    Some(match state {
        None if filter.open.is_none() => return None,
        Some(State::Wait) => List::unordered("requests", "requests INDEXED BY requests_ready_at")
            .that(Some("state = 'wait'"))
            .only("backend", backend),
        None | Some(State::Accepted) => List::unordered("requests", all)
            .that(Some("ended = 0"))
            .only("+backend", backend)
            .only("+state", word),
        Some(_) => List::unordered("requests", "requests INDEXED BY requests_at_hand")
            .that(Some(AT_HAND))
            .only("backend", backend)
            .only("state", word),
    })
}

pub(super) fn parked_list(inlet: Option<String>) -> List {
    List::of("parked").columns("n, body, raw").only("inlet", inlet)
}

pub(super) fn audit_list(who: Option<String>) -> List {
    List::of("audit").columns("n, at, who, what, why").only("who", who)
}

/// Due rows of a backend, and so many more of each kind.
fn due_rows(
    it: &Connection,
    backend: &BackendId,
    now: Timestamp,
    most: DueMost,
    more: u32,
) -> rusqlite::Result<Vec<Due>> {
    let mut due = Vec::new();
    for (new, limit) in [(true, most.new), (false, most.known)] {
        if limit > 0 {
            let limit = limit.saturating_add(more);
            let params = params![backend.as_str(), now.as_nanos(), limit, new];
            due.extend(all(it, DUE_ALARMS, params, |row| {
                Ok(Due { at: row.get(0)?, n: row.get(1)?, alarm: rows::body(row, 2)? })
            })?);
        }
    }
    Ok(due)
}

/// So many of them, the longest due first, with what belongs to each.
fn whole(it: &Connection, mut due: Vec<Due>, most: DueMost) -> rusqlite::Result<Vec<DueAlarm>> {
    let (mut new, mut known) = (most.new, most.known);
    due.retain(|due| {
        let left = if due.alarm.ticket.is_none() { &mut new } else { &mut known };
        let fits = *left > 0;
        *left = left.saturating_sub(1);
        fits
    });
    due.sort_by_key(|due| (due.at, due.n));
    due.into_iter().map(|due| due_alarm(it, due.alarm)).collect()
}

impl Reads for SqliteStore {
    fn due(&self, backend: BackendId, now: Timestamp, most: DueOf) -> Answered<DuePage> {
        let (seen, whose) = (self.seen.clone(), backend.clone());
        let settled = self.writer.settle();
        let surely = {
            let most = most.clone();
            self.readers.read(move |it| {
                let open = count(it, OPEN_REQUESTS, params![whose.as_str()])?;
                let most = most(open);
                Ok(DuePage { rows: whole(it, due_rows(it, &whose, now, most, 0)?, most)?, open })
            })
        };
        let surely = async move {
            settled.await?;
            surely.await
        };
        if seen.any_due() {
            return Box::pin(surely);
        }
        // Flows ask for every page of alarms: not to write all that is journaled for each, requests without a
        // row are counted apart, and rows that are older than their alarms are left out here.
        let fast = self.readers.read(move |it| {
            let Some(tables) = seen.tables() else { return Ok(None) };
            // From here on this read sees the tables of that moment, if nothing was written in between.
            let written = count(it, OPEN_REQUESTS, params![backend.as_str()])?;
            let Some(then) = seen.without_rows(&backend, tables) else { return Ok(None) };
            let open = written.saturating_add_signed(then.open);
            let (most, old) = (most(open), u32::try_from(then.old).unwrap_or(u32::MAX));
            let due = due_rows(it, &backend, now, most, old)?;
            let rows = seen.judge(due.iter().map(|due| &due.alarm), &then);
            if rows.contains(&RowIs::Unsure) {
                return Ok(None);
            }
            let right = due.into_iter().zip(rows).filter(|(_, row)| *row == RowIs::Right);
            let rows = whole(it, right.map(|(due, _)| due).collect(), most)?;
            Ok(Some(DuePage { rows, open }))
        });
        Box::pin(async move {
            match fast.await? {
                Some(page) => Ok(page),
                None => surely.await,
            }
        })
    }

    fn watched(
        &self,
        backend: BackendId,
        after: u64,
        limit: u32,
    ) -> Answered<Vec<(u64, Watched, Ticket)>> {
        self.read(move |it| {
            all(it, WATCHED, params![backend.as_str(), int(after), limit], |row| {
                Ok((rows::number(row, 0)?, rows::body(row, 1)?, rows::body(row, 2)?))
            })
        })
    }

    fn ready_requests(
        &self,
        backend: BackendId,
        class: u8,
        now: Timestamp,
        limit: u32,
    ) -> Answered<Vec<Request>> {
        self.read(move |it| {
            let params = params![backend.as_str(), class, now.as_nanos(), limit];
            all(it, READY_REQUESTS, params, rows::request)
        })
    }

    fn next_ready(&self, backend: BackendId, now: Timestamp) -> Answered<Option<Timestamp>> {
        self.read(move |it| {
            let params = params![backend.as_str(), now.as_nanos()];
            Ok(one(it, NEXT_READY, params, |row| rows::time(row, 0))?.flatten())
        })
    }

    fn requests_in(&self, backend: BackendId, state: State) -> Answered<Vec<Request>> {
        self.read(move |it| {
            let params = params![backend.as_str(), state.as_str()];
            all(it, requests_in(state), params, rows::request)
        })
    }

    fn unsent_events(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>> {
        if let Some(events) = self.fresh.take(after, limit) {
            return Box::pin(async { Ok(events) });
        }
        self.writer.read(move |it| all(it, UNSENT_EVENTS, params![int(after), limit], rows::event))
    }

    fn unsent_count(&self, most: u32) -> Answered<u64> {
        // Asked for at every heartbeat, for people: it may count twice what comes to its table just now.
        let unwritten = self.seen.unsent();
        self.readers.read(move |it| {
            let written = count(it, UNSENT_COUNT, params![most])?;
            Ok(written.saturating_add(unwritten).min(u64::from(most)))
        })
    }

    fn events_after(&self, after: u64, limit: u32) -> Answered<Vec<TicketEvent>> {
        self.writer.read(move |it| all(it, EVENTS_AFTER, params![int(after), limit], rows::event))
    }

    fn event(&self, id: EventId) -> Answered<Option<TicketEvent>> {
        self.read(move |it| one(it, EVENT, params![rows::id(&id.0)], rows::event))
    }

    fn newest_event(&self) -> Answered<Option<TicketEvent>> {
        self.writer.read(|it| one(it, NEWEST_EVENT, [], rows::event))
    }

    fn occurrences(&self, alarm: AlarmRef) -> Answered<Vec<Alarm>> {
        self.read(move |it| all(it, OCCURRENCES, params![alarm.source, alarm.id], rows::value))
    }

    fn ticket(&self, key: TicketKey) -> Answered<Option<Ticket>> {
        self.read(move |it| one(it, TICKET, params![rows::id(&key.0)], rows::value))
    }

    fn request(&self, id: RequestId) -> Answered<Option<Request>> {
        self.read(move |it| one(it, REQUEST, params![rows::id(&id.0)], rows::request))
    }

    fn command(&self, id: CommandId) -> Answered<Option<CommandRecord>> {
        self.readers.read(move |it| one(it, COMMAND, params![rows::id(&id.0)], rows::value))
    }

    fn first_open_request(&self, ticket: TicketKey) -> Answered<Option<Request>> {
        self.read(move |it| one(it, FIRST_OPEN, params![rows::id(&ticket.0)], rows::request))
    }

    fn ticket_by_backend_id(
        &self,
        backend: BackendId,
        backend_id: String,
    ) -> Answered<Option<Ticket>> {
        self.read(move |it| {
            let params = params![backend.as_str(), backend_id];
            one(it, TICKET_BY_BACKEND_ID, params, rows::value)
        })
    }

    fn kept_locks(&self) -> Answered<Vec<KeptLock>> {
        self.readers.read(|it| all(it, "SELECT body FROM locks ORDER BY client", [], rows::value))
    }

    fn alarms(&self, filter: AlarmFilter, page: Page) -> Answered<Vec<(u64, Alarm)>> {
        alarm_list(filter).read(self, &page, rows::numbered)
    }

    fn tickets(&self, filter: TicketFilter, page: Page) -> Answered<Vec<(u64, Ticket)>> {
        ticket_list(filter).read(self, &page, rows::numbered)
    }

    fn requests(&self, filter: RequestFilter, page: Page) -> Answered<Vec<Request>> {
        request_list(filter).read(self, &page, rows::request)
    }

    fn events_of(&self, ticket: TicketKey) -> Answered<Vec<(TicketEvent, Option<Timestamp>)>> {
        self.read(move |it| {
            all(it, EVENTS_OF, params![rows::id(&ticket.0)], |row| {
                Ok((rows::event(row)?, rows::time(row, 2)?))
            })
        })
    }

    fn parked(&self, inlet: Option<String>, page: Page) -> Answered<Vec<Parked>> {
        parked_list(inlet).read(self, &page, rows::parked)
    }

    fn audited(&self, who: Option<String>, page: Page) -> Answered<Vec<Audited>> {
        audit_list(who).read(self, &page, rows::audited)
    }

    fn held(&self, backend: BackendId) -> Answered<Vec<(TicketKey, Pause)>> {
        self.readers.read(move |it| {
            all(it, HELD, params![backend.as_str()], |row| {
                let ticket = uuid::Uuid::from_slice(row.get_ref(0)?.as_blob()?);
                let ticket = ticket.map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
                })?;
                Ok((TicketKey(ticket), rows::body(row, 1)?))
            })
        })
    }

    fn parked_count(&self, most: u32) -> Answered<u64> {
        self.readers.read(move |it| count(it, PARKED_COUNT, params![most]))
    }

    fn services(&self, backend: BackendId) -> Answered<Option<ServiceTable>> {
        self.readers.read(move |it| one(it, SERVICES, params![backend.as_str()], rows::value))
    }

    fn route(&self, backend: BackendId) -> Answered<Option<Route>> {
        if let Some(known) = self.routes.get(&backend) {
            return Box::pin(std::future::ready(Ok(known)));
        }
        let (routes, changes) = (self.routes.clone(), self.routes.changes());
        self.readers.read(move |it| {
            let found: Option<Route> = one(it, ROUTE, params![backend.as_str()], rows::value)?;
            routes.keep(backend, found.clone(), changes);
            Ok(found)
        })
    }

    fn routes(&self) -> Answered<Vec<(BackendId, Route)>> {
        self.readers.read(|it| {
            all(it, "SELECT backend, body FROM routes ORDER BY backend", [], |row| {
                Ok((BackendId::new(row.get_ref(0)?.as_str()?), rows::body(row, 1)?))
            })
        })
    }

    fn lane(&self, backend: BackendId) -> Answered<LaneRow> {
        self.readers.read(move |it| {
            Ok(one(it, LANE, params![backend.as_str()], rows::value)?.unwrap_or_default())
        })
    }

    fn lane_counts(&self, backend: BackendId) -> Answered<LaneCounts> {
        self.read(move |it| {
            let due_alarms = count(it, LANE_DUE, params![backend.as_str(), int(DUE_COUNTED_MAX)])?;
            let mut counts = LaneCounts { due_alarms, ..LaneCounts::default() };
            let states = all(it, LANE_STATES, params![backend.as_str()], |row| {
                Ok((rows::state(row, 0)?, rows::number(row, 1)?))
            })?;
            for (state, n) in states {
                match state {
                    State::Accepted | State::Wait => counts.pending += n,
                    State::Intent => counts.intent += n,
                    State::Acknowledged => counts.acknowledged += n,
                    State::InDoubt => counts.in_doubt += n,
                    State::Undecided => counts.undecided += n,
                    State::Done
                    | State::Adopted
                    | State::Rejected
                    | State::Failed
                    | State::Cancelled
                    | State::Superseded => {}
                }
            }
            Ok(counts)
        })
    }

    fn snapshots(&self) -> Answered<Vec<Snapshot>> {
        self.readers.read(|it| all(it, SNAPSHOTS, [], rows::value))
    }

    fn figures(&self) -> Answered<StoreFigures> {
        self.read(|it| {
            let requests = all(it, FIGURE_STATES, [], |row| {
                let backend = BackendId::new(row.get_ref(0)?.as_str()?);
                Ok((backend, rows::state(row, 1)?, rows::number(row, 2)?))
            })?;
            let total = |of: &str| count(it, &format!("SELECT count(*) FROM {of}"), []);
            Ok(StoreFigures {
                requests,
                alarms: total("alarms")?,
                unsettled_alarms: total("alarms WHERE wanted > settled")?,
                tickets: total("tickets")?,
                unsent_events: total("unsent")?,
                parked: total("parked")?,
            })
        })
    }
}
