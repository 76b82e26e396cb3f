//! The tables, in numbered steps. A step that was released is never changed: a newer version adds
//! the next one.
//!
//! Columns beside `body` exist only for indexes and orders. Times are nanoseconds since 1970 (UTC),
//! ids 16 bytes. Every list is paged by `n`, which each index carries as its last column, because
//! it is the row's own number. Partial indexes hold only what is at work, so that years of history
//! cost the hot queries nothing. Without `ANALYZE` SQLite always picks the same plan, and the
//! tests beside this file hold the plans.

use rusqlite::{Connection, TransactionBehavior};

/// In the database's header: `TGat`. Tells our files from other SQLite databases.
const APPLICATION_ID: i32 = 0x5447_6174;

const STEP_1: &str = "
-- Numbers of the whole store: 'fence' is the last fence given (L2).
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE identities (
    hash BLOB PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_at ON identities (at);

CREATE TABLE alarms (
    n          INTEGER PRIMARY KEY,
    source     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    occurrence INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    backend    TEXT,
    due_at     INTEGER,
    wanted     INTEGER NOT NULL,
    settled    INTEGER NOT NULL,
    ticket     BLOB,
    request    BLOB,
    body       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX alarms_occurrence ON alarms (source, id, occurrence);
CREATE INDEX alarms_due ON alarms (backend, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX alarms_ticket ON alarms (ticket) WHERE ticket IS NOT NULL;
-- The ticket of the occurrence before, over any number of occurrences that got none.
CREATE INDEX alarms_before ON alarms (source, id, occurrence) WHERE ticket IS NOT NULL;
CREATE INDEX alarms_unsettled ON alarms (n) WHERE wanted > settled;
CREATE INDEX alarms_active ON alarms (active);
CREATE INDEX alarms_source ON alarms (source);
CREATE INDEX alarms_source_active ON alarms (source, active);

CREATE TABLE tickets (
    n               INTEGER PRIMARY KEY,
    key             BLOB    NOT NULL,
    backend         TEXT    NOT NULL,
    backend_id      TEXT,
    correlation_key TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    sequence        INTEGER NOT NULL,
    body            TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX tickets_key ON tickets (key);
CREATE UNIQUE INDEX tickets_correlation_key ON tickets (correlation_key);
CREATE UNIQUE INDEX tickets_backend_id ON tickets (backend, backend_id)
    WHERE backend_id IS NOT NULL;
CREATE INDEX tickets_backend ON tickets (backend);
CREATE INDEX tickets_status ON tickets (status);
CREATE INDEX tickets_backend_status ON tickets (backend, status);

CREATE TABLE requests (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL,
    backend    TEXT    NOT NULL,
    ticket     BLOB    NOT NULL,
    op         TEXT    NOT NULL,
    class      INTEGER NOT NULL,
    level_made INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    ended      INTEGER NOT NULL,
    ready_at   INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX requests_id ON requests (id);
-- Rule T1.
CREATE UNIQUE INDEX requests_one_level ON requests (ticket) WHERE ended = 0 AND level_made = 1;
CREATE INDEX requests_open ON requests (ticket, n) WHERE ended = 0;
-- ready_at and ticket are in it so that what is not ready is passed over without its row.
CREATE INDEX requests_ready ON requests (backend, class, n, ready_at, ticket)
    WHERE state IN ('accepted', 'wait');
CREATE INDEX requests_ready_at ON requests (backend, ready_at)
    WHERE state IN ('accepted', 'wait');
CREATE INDEX requests_backend ON requests (backend);
CREATE INDEX requests_state ON requests (state);
CREATE INDEX requests_backend_state ON requests (backend, state);
CREATE INDEX requests_ticket ON requests (ticket);

CREATE TABLE events (
    n        INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id BLOB    NOT NULL,
    ticket   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    sent_at  INTEGER,
    body     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_id ON events (event_id);
CREATE INDEX events_unsent ON events (n) WHERE sent_at IS NULL;
CREATE INDEX events_ticket ON events (ticket, sequence);

CREATE TABLE lanes (backend TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE barriers (client INTEGER PRIMARY KEY, fence INTEGER NOT NULL) STRICT;

CREATE TABLE parked (
    n     INTEGER PRIMARY KEY AUTOINCREMENT,
    at    INTEGER NOT NULL,
    inlet TEXT    NOT NULL,
    body  TEXT    NOT NULL,
    raw   BLOB    NOT NULL
) STRICT;

CREATE TABLE audit (
    n    INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    who  TEXT    NOT NULL,
    what TEXT    NOT NULL,
    why  TEXT    NOT NULL
) STRICT;
";

const STEP_2: &str = "
-- Idempotency of commands (CONTRACT 1.5).
CREATE TABLE commands (
    id          BLOB PRIMARY KEY,
    accepted_at INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_accepted_at ON commands (accepted_at);

-- External locks (L4).
CREATE TABLE locks (
    guid   BLOB PRIMARY KEY,
    client INTEGER NOT NULL,
    body   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
";

const STEP_3: &str = "
-- Requests of each backend by state, kept by the triggers: admission (G14) and metrics ask often,
-- and there may be a million.
CREATE TABLE request_counts (
    backend TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (backend, state)
) STRICT, WITHOUT ROWID;
INSERT INTO request_counts SELECT backend, state, count(*) FROM requests GROUP BY backend, state;
CREATE TRIGGER requests_added AFTER INSERT ON requests BEGIN
    INSERT INTO request_counts VALUES (NEW.backend, NEW.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER requests_moved AFTER UPDATE OF state ON requests WHEN OLD.state <> NEW.state BEGIN
    UPDATE request_counts SET n = n - 1 WHERE backend = OLD.backend AND state = OLD.state;
    INSERT INTO request_counts VALUES (NEW.backend, NEW.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER requests_gone AFTER DELETE ON requests BEGIN
    UPDATE request_counts SET n = n - 1 WHERE backend = OLD.backend AND state = OLD.state;
END;

-- Where only creates are admitted, a million updates that wait must not stand before them.
CREATE INDEX alarms_due_new ON alarms (backend, due_at)
    WHERE due_at IS NOT NULL AND ticket IS NULL;

-- Later answers (CONTRACT 1.5).
ALTER TABLE requests ADD COLUMN backend_ref TEXT;
CREATE INDEX requests_backend_ref ON requests (backend, backend_ref)
    WHERE backend_ref IS NOT NULL;

-- Tickets that may exist twice (G8).
CREATE TABLE watched (
    n       INTEGER PRIMARY KEY,
    ticket  BLOB    NOT NULL,
    backend TEXT    NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX watched_ticket ON watched (ticket);
CREATE INDEX watched_backend ON watched (backend);
";

const STEP_4: &str = "
-- Alarms that share a ticket by a rule of policy: the group's open ticket.
CREATE TABLE groups (key BLOB PRIMARY KEY, ticket BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Snapshots of a source (CONTRACT 1.3): the number of the last one that named this alarm.
ALTER TABLE alarms ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
CREATE TABLE snapshots (source TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

const STEP_5: &str = "
-- What has ended, in the words of the systems' own tables: only this is offloaded or limited (C2).
CREATE TABLE history (
    n    INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL
) STRICT;
CREATE INDEX history_list ON history (list);
-- Rows of each list, kept by the triggers: asked for at every check and every scrape.
CREATE TABLE history_counts (list TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER history_added AFTER INSERT ON history BEGIN
    INSERT INTO history_counts VALUES (NEW.list, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER history_gone AFTER DELETE ON history BEGIN
    UPDATE history_counts SET n = n - 1 WHERE list = OLD.list;
END;
-- Rows that are on their way to a file: written before the file is touched, gone with the rows (C1).
CREATE TABLE leaving (list TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

const STEP_6: &str = "
-- Where answers go that no command sends elsewhere, as an operator set it.
CREATE TABLE routes (backend TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- The ticketing services of a backend that has a table of them.
CREATE TABLE services (backend TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

const STEP_7: &str = "
-- Tickets that a person keeps from being called for, with the reason. They are few.
CREATE TABLE held (
    ticket  BLOB PRIMARY KEY,
    backend TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX held_backend ON held (backend);
-- Lists of these by what they are filtered by.
CREATE INDEX parked_inlet ON parked (inlet);
CREATE INDEX audit_who ON audit (who);
";

const STEP_8: &str = "
-- Two-way sync: what is stored of each, and what it remembers of each ticket.
CREATE TABLE syncs (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE twins (
    n      INTEGER PRIMARY KEY,
    sync   TEXT    NOT NULL,
    ticket BLOB    NOT NULL,
    out    INTEGER,
    body   TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX twins_ticket ON twins (ticket, sync);
CREATE INDEX twins_sync ON twins (sync);
-- What waits for a connector, in the order of its line.
CREATE INDEX twins_out ON twins (sync, out) WHERE out IS NOT NULL;
-- What was told and not merged.
CREATE TABLE sync_held (
    sync  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    waits INTEGER NOT NULL,
    body  TEXT    NOT NULL,
    PRIMARY KEY (sync, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_held_waits ON sync_held (sync, id) WHERE waits = 1;
CREATE TABLE ticket_changes (
    n      INTEGER PRIMARY KEY,
    ticket BLOB    NOT NULL,
    body   TEXT    NOT NULL
) STRICT;
CREATE INDEX ticket_changes_ticket ON ticket_changes (ticket);
-- A connector's message that comes again gets the same answer.
CREATE TABLE sync_answers (
    sync TEXT    NOT NULL,
    id   TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (sync, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_answers_at ON sync_answers (at);
";

const STEP_9: &str = "
-- The counts of requests are kept by the statements beside those that change a request: a trigger makes
-- its statement one that may have to be undone half-way, for which SQLite copies every page that it changes.
DROP TRIGGER requests_added;
DROP TRIGGER requests_moved;
DROP TRIGGER requests_gone;
";

const STEP_10: &str = "
-- What each ticket costs is the trees that it touches. Lists keep theirs, but a row that goes its usual way
-- enters one once, and not at each of its states.
DROP TRIGGER history_added;
DROP TRIGGER history_gone;

-- The outbox in rows of a few bytes: a confirm rewrites no event. `events.sent_at` is not used any more.
CREATE TABLE unsent (n INTEGER PRIMARY KEY) STRICT;
CREATE TABLE sent (n INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
INSERT INTO unsent SELECT n FROM events WHERE sent_at IS NULL ORDER BY n;
INSERT INTO sent SELECT n, sent_at FROM events WHERE sent_at IS NOT NULL ORDER BY n;
DROP INDEX events_unsent;

-- One tree for what is due: first what has a ticket, then what has none.
DROP INDEX alarms_due;
DROP INDEX alarms_due_new;
CREATE INDEX alarms_due ON alarms (backend, (ticket IS NULL), due_at) WHERE due_at IS NOT NULL;

-- Pending tickets apart: all others have been there.
DROP INDEX tickets_status;
DROP INDEX tickets_backend_status;
CREATE INDEX tickets_pending ON tickets (n) WHERE status = 'pending';
CREATE INDEX tickets_status ON tickets (status) WHERE status <> 'pending';
CREATE INDEX tickets_backend_status ON tickets (backend, status) WHERE status <> 'pending';

-- Not `state IN (...)`: for more than two words SQLite makes a table of them at every statement that
-- touches the index.
-- Requests by state: what a lane or a person has at hand, and what ended in another way than most.
DROP INDEX requests_state;
DROP INDEX requests_backend_state;
DROP INDEX requests_ready_at;
CREATE INDEX requests_ready_at ON requests (backend, ready_at) WHERE state = 'wait';
CREATE INDEX requests_at_hand ON requests (backend, state)
    WHERE (state = 'intent' OR state = 'acknowledged' OR state = 'in_doubt' OR state = 'undecided');
CREATE INDEX requests_ended ON requests (state)
    WHERE (state = 'adopted' OR state = 'rejected' OR state = 'failed' OR state = 'cancelled' OR state = 'superseded');
CREATE INDEX requests_backend_ended ON requests (backend, state)
    WHERE (state = 'adopted' OR state = 'rejected' OR state = 'failed' OR state = 'cancelled' OR state = 'superseded');
";

// The declared type of a column is a check at each write and nothing of what is stored, so that the declaration may
// be changed in place, as SQLite's page on ALTER TABLE describes: rows that are there stay as they are,
// however many. `RESET` has the schema read again.
const STEP_11: &str = "
-- Bodies that are written several times for each alarm are packed from now on: a blob, and not a text.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'body       TEXT    NOT NULL', 'body       ANY     NOT NULL')
    WHERE type = 'table' AND name IN ('alarms', 'requests');
UPDATE sqlite_schema SET sql = replace(sql, 'body            TEXT    NOT NULL', 'body            ANY     NOT NULL')
    WHERE type = 'table' AND name = 'tickets';
UPDATE sqlite_schema SET sql = replace(sql, 'body     TEXT    NOT NULL', 'body     ANY     NOT NULL')
    WHERE type = 'table' AND name = 'events';
PRAGMA writable_schema = RESET;
";

const STEP_12: &str = "
-- What was committed of new tickets and is not in their tables yet, one row a commit.
CREATE TABLE journal (n INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
";

/// Every step; `PRAGMA user_version` is the number of those that were taken.
const STEPS: [&str; 12] = [
    STEP_1, STEP_2, STEP_3, STEP_4, STEP_5, STEP_6, STEP_7, STEP_8, STEP_9, STEP_10, STEP_11,
    STEP_12,
];

/// The condition of the indexes of requests that ended otherwise than done. SQLite takes a partial index only
/// where a query repeats its condition.
pub(super) const ENDED_OTHERWISE: &str = "(state = 'adopted' OR state = 'rejected' OR state = 'failed' OR state = 'cancelled' OR state = 'superseded')";

/// The same of the index of requests that a lane or a person has at hand.
pub(super) const AT_HAND: &str =
    "(state = 'intent' OR state = 'acknowledged' OR state = 'in_doubt' OR state = 'undecided')";

/// The newest schema that this version knows.
pub(super) const KNOWN: u32 = STEPS.len() as u32;

/// Unique indexes by the columns that SQLite names when one is violated.
const UNIQUE: [(&str, &str); 8] = [
    ("alarms.source, alarms.id, alarms.occurrence", "alarms_occurrence"),
    ("tickets.key", "tickets_key"),
    ("tickets.correlation_key", "tickets_correlation_key (G8)"),
    ("tickets.backend, tickets.backend_id", "tickets_backend_id (T4)"),
    ("requests.id", "requests_id"),
    ("requests.ticket", "requests_one_level (T1)"),
    ("events.event_id", "events_id"),
    ("commands.id", "commands (G5)"),
];

/// The name of the index in "UNIQUE constraint failed: ..."; the message itself if it is new.
pub(super) fn unique_index(message: &str) -> &str {
    let columns = message.rsplit(": ").next().unwrap_or(message);
    UNIQUE.iter().find(|(of, _)| *of == columns).map_or(message, |(_, index)| index)
}

/// What keeps a schema from being used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// A newer version wrote it.
    Newer(u32),
    /// Somebody else's database.
    Foreign,
    /// The database failed.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// How many steps this database has taken. The first look into the file: fails if it is none.
pub(super) fn steps_taken(connection: &Connection) -> Result<u32, Unusable> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma(connection, "application_id")? != i64::from(APPLICATION_ID) {
        return Err(Unusable::Foreign);
    }
    match u32::try_from(pragma(connection, "user_version")?) {
        Ok(taken) if taken <= KNOWN => Ok(taken),
        Ok(taken) => Err(Unusable::Newer(taken)),
        Err(_) => Err(Unusable::Foreign),
    }
}

/// Takes the steps that are missing: all of them, or none. In one transaction, because each sync to disk
/// delays a first start.
pub(super) fn migrate(connection: &mut Connection, taken: u32) -> rusqlite::Result<()> {
    migrate_to(connection, taken, KNOWN)
}

/// Takes the steps after `taken` up to that one.
pub(super) fn migrate_to(
    connection: &mut Connection,
    taken: u32,
    upto: u32,
) -> rusqlite::Result<()> {
    if taken >= upto {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for sql in &STEPS[taken as usize..upto as usize] {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", upto)?;
    transaction.commit()
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
