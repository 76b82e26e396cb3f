//! The plans of the hot queries: each walks the index that was made for it, in order. And what a
//! row's tables refuse.

use super::lately::Lately;
use super::new_tickets;
use super::past;
use super::reads::{self, List};
use super::schema::{migrate, migrate_to, steps_taken};
use super::tx::{self, SqliteTx};
use rusqlite::{Connection, OptionalExtension};
use ticketgate_actors::model::{
    BackendId, CommandId, Fields, MadeBy, OccurrenceRef, Op, Reply, Request, RequestId, State,
    TicketKey,
};
use ticketgate_actors::ports::{AlarmFilter, Page, RequestFilter, TicketFilter, Tx, TxError};
use ticketgate_actors::testing::{alarm_event, at};
use uuid::Uuid;

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, 0).unwrap();
    connection
}

/// The steps of the plan, without the sub-queries' headings.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let all: Vec<String> =
        statement.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().unwrap();
    // What a bounded sub-query gave is walked as it comes.
    let heading = |it: &String| {
        ["SUBQUERY", "(subquery-", "COMPOUND QUERY", "UNION ALL"].iter().any(|of| it.contains(of))
    };
    all.into_iter().filter(|it| !heading(it)).collect()
}

fn assert_walks(connection: &Connection, sql: &str, indexes: &[&str]) {
    let plan = plan(connection, sql);
    for step in &plan {
        assert!(!step.contains("SCAN"), "{sql}\n{plan:#?}");
        assert!(!step.contains("TEMP B-TREE"), "{sql}\n{plan:#?}");
    }
    assert_eq!(plan.len(), indexes.len(), "{sql}\n{plan:#?}");
    for (step, index) in plan.iter().zip(indexes) {
        let walked = step.ends_with(index) || step.contains(&format!(" {index} "));
        assert!(walked, "{index} is not walked:\n{sql}\n{plan:#?}");
    }
}

#[test]
fn every_hot_query_walks_its_own_index_in_order() {
    let connection = database();
    for (sql, indexes) in [
        (tx::NEWEST_ALARM, &["alarms_occurrence"][..]),
        (tx::ALARM, &["alarms_occurrence"]),
        (tx::ALARMS_OF, &["alarms_ticket"]),
        (tx::TICKET, &["tickets_key"]),
        (tx::TICKET_BY_BACKEND_ID, &["tickets_backend_id"]),
        (tx::REQUEST, &["requests_id"]),
        (tx::FIRST_OPEN, &["requests_open"]),
        (tx::ALL_OPEN, &["requests_open"]),
        (tx::SNAPSHOT, &["PRIMARY KEY (source=?)"]),
        (tx::MARK_SEEN, &["alarms_occurrence"]),
        (tx::UNNAMED, &["alarms_source_active (source=? AND active=? AND rowid>?)"]),
        (tx::NTH_NEWEST_TICKET, &["tickets_backend"]),
        (tx::REQUESTS_IN, &["requests_at_hand"]),
        (tx::FORGET, &["PRIMARY KEY (hash=?)", "identities_at"]),
        (tx::SERVICES, &["PRIMARY KEY (backend=?)"]),
        (tx::ROUTE, &["PRIMARY KEY (backend=?)"]),
        (tx::LANE, &["PRIMARY KEY (backend=?)"]),
        (tx::COMMAND, &["PRIMARY KEY (id=?)"]),
        (reads::DUE_ALARMS, &["alarms_due"]),
        (reads::TICKET_BEFORE, &["tickets_key", "alarms_before"]),
        (reads::READY_REQUESTS, &["requests_ready", "requests_open", "PRIMARY KEY (ticket=?)"]),
        (reads::NEXT_READY, &["requests_ready_at", "requests_open", "PRIMARY KEY (ticket=?)"]),
        (reads::HELD, &["held_backend"]),
        (tx::HELD_TICKET, &["PRIMARY KEY (ticket=?)"]),
        (tx::COUNT_HELD, &["held_backend"]),
        (tx::PARKED, &["INTEGER PRIMARY KEY (rowid=?)"]),
        (reads::UNSENT_EVENTS, &["INTEGER PRIMARY KEY (rowid>?)", "INTEGER PRIMARY KEY (rowid=?)"]),
        (reads::EVENTS_AFTER, &["INTEGER PRIMARY KEY (rowid>?)"]),
        (reads::EVENT, &["events_id"]),
        (reads::OCCURRENCES, &["alarms_occurrence"]),
        (reads::EVENTS_OF, &["events_ticket", "INTEGER PRIMARY KEY (rowid=?)"]),
        (reads::LANE_STATES, &["PRIMARY KEY (backend=?)"]),
        (reads::WATCHED, &["watched_backend", "tickets_key"]),
        (tx::OPEN_REQUESTS, &["PRIMARY KEY (backend=?)"]),
        (tx::BY_REFERENCE, &["requests_backend_ref"]),
        (tx::TICKET_BY_CORRELATION, &["tickets_correlation_key"]),
        (reads::LANE_DUE, &["alarms_due"]),
        (
            new_tickets::TICKET_IS_THERE,
            &["tickets_key", "tickets_correlation_key", "alarms_ticket", "requests_ticket"],
        ),
        (new_tickets::BACKEND_ID_IS_THERE, &["tickets_backend_id"]),
        (new_tickets::REQUEST_IS_THERE, &["requests_id"]),
        (new_tickets::EVENT_IS_THERE, &["events_id"]),
        (past::OLDEST, &["history_list"]),
        (past::DROP, &["INTEGER PRIMARY KEY (rowid=?)", "history_list"]),
        (past::PAGE, &["history_list"]),
        (past::BETWEEN, &["history_list"]),
        (past::NTH, &["history_list"]),
        (past::REQUESTS_AFTER, &["INTEGER PRIMARY KEY (rowid>?)"]),
        (past::TICKETS_AFTER, &["INTEGER PRIMARY KEY (rowid>?)"]),
        (past::ALARMS_AFTER, &["INTEGER PRIMARY KEY (rowid>?)"]),
        (past::HAS_REQUESTS, &["requests_ticket"]),
        (past::HAS_UNSENT, &["events_ticket", "INTEGER PRIMARY KEY (rowid=?)"]),
        (past::DROP_SENT, &["INTEGER PRIMARY KEY (rowid=?)", "events_ticket"]),
        (past::DROP_EVENTS, &["INTEGER PRIMARY KEY (rowid=?)", "events_ticket"]),
    ] {
        assert_walks(&connection, sql, indexes);
    }
}

#[test]
fn every_list_is_paged_by_the_index_of_its_filter() {
    let connection = database();
    let backend = || Some(BackendId::new("noc"));
    let source = || Some("probe".to_owned());
    let status = || Some("closed".to_owned());
    let (state, ticket) = (Some(State::Failed), Some(TicketKey(Uuid::nil())));
    let (done, pending) = (Some(State::Done), || Some("pending".to_owned()));
    let alarms = |source, active| reads::alarm_list(AlarmFilter { source, active });
    let tickets = |backend, status| reads::ticket_list(TicketFilter { backend, status });
    let requests = |backend, state, ticket| {
        reads::request_list(RequestFilter { backend, state, ticket, open: None })
    };
    let by_row = "INTEGER PRIMARY KEY (rowid<?)";
    let open = |backend, ticket, open| {
        reads::request_list(RequestFilter { backend, state: None, ticket, open: Some(open) })
    };
    let lists: [(List, &str); 27] = [
        (reads::parked_list(None), by_row),
        (reads::parked_list(source()), "parked_inlet"),
        (reads::audit_list(None), by_row),
        (reads::audit_list(source()), "audit_who"),
        (open(backend(), ticket, true), "requests_ticket"),
        (open(backend(), None, false), "requests_backend"),
        (alarms(None, None), by_row),
        (alarms(source(), None), "alarms_source"),
        (alarms(None, Some(true)), "alarms_active"),
        (alarms(source(), Some(false)), "alarms_source_active"),
        (tickets(None, None), by_row),
        (tickets(backend(), None), "tickets_backend"),
        (tickets(None, status()), "tickets_status"),
        (tickets(backend(), status()), "tickets_backend_status"),
        (requests(None, None, None), by_row),
        (requests(backend(), None, None), "requests_backend"),
        (requests(None, state, None), "requests_ended"),
        (requests(backend(), state, None), "requests_backend_ended"),
        (requests(None, done, None), by_row),
        (requests(backend(), done, None), "requests_backend"),
        (requests(backend(), done, ticket), "requests_ticket"),
        (tickets(None, pending()), "tickets_pending"),
        (tickets(backend(), pending()), "tickets_pending"),
        (requests(None, None, ticket), "requests_ticket"),
        (requests(backend(), None, ticket), "requests_ticket"),
        (requests(None, state, ticket), "requests_ticket"),
        (requests(backend(), state, ticket), "requests_ticket"),
    ];
    for (list, index) in lists {
        let (sql, _) = list.page(&Page { before: None, after: None, limit: 10 });
        assert_walks(&connection, &sql, &[index]);
        // From the other end by the same index.
        let oldest = sql.replace("DESC", "ASC");
        assert_walks(&connection, &oldest, &[index]);
    }
}

/// Their numbers are sorted, which is little beside their rows, and years of history are not looked at.
#[test]
fn what_has_not_ended_is_listed_from_indexes_that_hold_nothing_else() {
    let connection = database();
    let noc = || Some(BackendId::new("noc"));
    for (backend, state, open, step) in [
        (None, None, Some(true), "USING COVERING INDEX requests_open"),
        (noc(), None, Some(true), "USING INDEX requests_open"),
        (noc(), Some(State::Accepted), None, "USING INDEX requests_open"),
        (None, Some(State::Wait), Some(true), "USING COVERING INDEX requests_ready_at"),
        (noc(), Some(State::Wait), None, "USING COVERING INDEX requests_ready_at"),
        (None, Some(State::Undecided), None, "USING COVERING INDEX requests_at_hand"),
        (noc(), Some(State::InDoubt), None, "USING COVERING INDEX requests_at_hand"),
        (noc(), Some(State::Intent), Some(true), "USING COVERING INDEX requests_at_hand"),
    ] {
        let filter = RequestFilter { backend, state, ticket: None, open };
        let (sql, _) =
            reads::request_list(filter).page(&Page { before: None, after: None, limit: 10 });
        let plan = plan(&connection, &sql);
        assert!(plan.iter().any(|it| it.contains(step)), "{step}: {sql}\n{plan:#?}");
        assert!(plan[0].ends_with("INTEGER PRIMARY KEY (rowid=?)"), "{sql}\n{plan:#?}");
        let sorted = plan.iter().position(|it| it.contains("TEMP B-TREE"));
        assert!(sorted.is_none_or(|at| at == 2), "only numbers are sorted: {sql}\n{plan:#?}");
    }
}

#[test]
fn a_migrated_database_is_known_and_needs_no_step() {
    let mut connection = database();
    let taken = steps_taken(&connection).unwrap();
    assert_eq!(taken, super::schema::KNOWN);
    migrate(&mut connection, taken).unwrap();
}

/// What the tenth step moves: a store of before it goes on where it was.
#[test]
fn an_older_database_keeps_its_outbox_and_its_counts() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate_to(&mut connection, 0, 9).unwrap();
    connection
        .execute_batch(
            "INSERT INTO events (n, event_id, ticket, sequence, sent_at, body) VALUES
                 (1, x'01', x'07', 1, 500, '{}'), (2, x'02', x'07', 2, NULL, '{}'),
                 (3, x'03', x'08', 1, NULL, '{}');
             INSERT INTO history (list, at, body) VALUES ('failed', 1, '[]'), ('failed', 2, '[]');",
        )
        .unwrap();
    let taken = steps_taken(&connection).unwrap();
    migrate(&mut connection, taken).unwrap();
    let numbers = |sql: &str| -> Vec<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(numbers("SELECT n FROM unsent ORDER BY n"), [2, 3]);
    assert_eq!(numbers("SELECT n FROM sent"), [1]);
    assert_eq!(numbers("SELECT at FROM sent"), [500]);
    assert_eq!(numbers("SELECT n FROM history_counts"), [2]);
    // From now on the store's own statements count.
    connection
        .execute("INSERT INTO history (list, at, body) VALUES ('failed', 3, '[]')", [])
        .unwrap();
    assert_eq!(numbers("SELECT n FROM history_counts"), [2]);
}

/// What the eleventh step allows: rows of before stay texts until they are written again.
#[test]
fn an_older_database_is_read_as_it_is_and_what_changes_is_packed() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate_to(&mut connection, 0, 10).unwrap();
    let old = request(1, 1, Op::Create);
    let insert = "INSERT INTO requests
        (id, backend, ticket, op, class, level_made, state, ended, ready_at, body)
        VALUES (?1, 'noc', ?2, 'create', 0, 1, 'accepted', 0, 0, ?3)";
    let text = serde_json::to_string(&old).unwrap();
    let params = rusqlite::params![old.id.0.as_bytes(), old.ticket.0.as_bytes(), text];
    connection.execute(insert, params).unwrap();

    let taken = steps_taken(&connection).unwrap();
    migrate(&mut connection, taken).unwrap();
    let asked = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let packed = "SELECT t.name FROM pragma_table_list t, pragma_table_info(t.name) c
        WHERE c.name = 'body' AND c.type = 'ANY' ORDER BY t.name";
    assert_eq!(asked(packed), ["alarms", "events", "requests", "tickets"]);
    assert_eq!(asked("PRAGMA integrity_check"), ["ok"]);

    let mut lately = Lately::default();
    let mut tx = SqliteTx::new(&connection, &mut lately);
    let read = tx.request(old.id).unwrap().unwrap();
    assert_eq!(read, Request { n: 1, ..old });
    tx.put_request(&Request { state: State::Done, ..read.clone() }).unwrap();
    assert_eq!(asked("SELECT typeof(body) FROM requests"), ["blob"]);
    let mut afresh = Lately::default();
    let mut tx = SqliteTx::new(&connection, &mut afresh);
    assert_eq!(tx.request(read.id).unwrap(), Some(Request { state: State::Done, ..read }));
}

fn request(n: u128, ticket: u128, op: Op) -> Request {
    let alarm = alarm_event("probe", "1").alarm;
    let made_by = MadeBy::Level { at: OccurrenceRef { alarm, occurrence: 1 }, version: 1 };
    let place = (BackendId::new("noc"), TicketKey(Uuid::from_u128(ticket)));
    let id = RequestId(Uuid::from_u128(n));
    Request::accepted(id, place, op, made_by, Fields::new(), at(0))
}

fn command(n: u128, ticket: u128, op: Op) -> Request {
    let id = CommandId(Uuid::from_u128(n));
    Request { made_by: MadeBy::Command { id, reply: Reply::default() }, ..request(n, ticket, op) }
}

#[test]
fn a_conflict_names_its_index_and_leaves_the_transaction_usable() {
    let connection = database();
    let mut lately = Lately::default();
    let mut tx = SqliteTx::new(&connection, &mut lately);
    tx.add_request(&request(1, 1, Op::Create)).unwrap();
    let refused = tx.add_request(&request(2, 1, Op::Update)).unwrap_err();
    assert!(
        matches!(&refused, TxError::Conflict(index) if index == "requests_one_level (T1)"),
        "{refused}"
    );
    let refused = tx.add_request(&request(1, 2, Op::Update)).unwrap_err();
    assert!(matches!(&refused, TxError::Conflict(index) if index == "requests_id"), "{refused}");
    // A command is not level-made; an ended request makes room.
    tx.add_request(&command(3, 1, Op::Update)).unwrap();
    tx.put_request(&Request { state: State::Done, ..request(1, 1, Op::Create) }).unwrap();
    tx.add_request(&request(4, 1, Op::Update)).unwrap();
    let first = tx.first_open_request(TicketKey(Uuid::from_u128(1))).unwrap().unwrap();
    assert_eq!(first.id, RequestId(Uuid::from_u128(3)));
    assert!(tx.fault.is_none());
}

#[test]
fn only_the_first_in_line_of_a_ticket_is_ready_and_creates_come_before_closes() {
    let connection = database();
    let mut lately = Lately::default();
    let mut tx = SqliteTx::new(&connection, &mut lately);
    let wait = Request { state: State::Wait, ready_at: at(500), ..request(1, 1, Op::Create) };
    tx.add_request(&wait).unwrap();
    tx.add_request(&command(2, 1, Op::Reopen)).unwrap();
    tx.add_request(&command(3, 2, Op::Close)).unwrap();
    tx.add_request(&command(4, 3, Op::Create)).unwrap();
    let ready = |class: u8, now: i64| -> Vec<u128> {
        let mut statement = connection.prepare(reads::READY_REQUESTS).unwrap();
        let rows = statement.query_map(
            rusqlite::params!["noc", class, at(now).as_nanos(), 10],
            super::rows::request,
        );
        rows.unwrap().map(|row| row.unwrap().id.0.as_u128()).collect()
    };
    assert_eq!((ready(0, 100), ready(1, 100), ready(2, 100)), (vec![4], vec![3], vec![]));
    assert_eq!(ready(0, 500), vec![1, 4]);

    // What is ready does not wake the lane, nor does what stands behind one that waits.
    let behind = Request { ready_at: at(200), ..command(5, 1, Op::Update) };
    tx.add_request(&behind).unwrap();
    let next = |now: i64| -> Option<i64> {
        let params = rusqlite::params!["noc", at(now).as_nanos()];
        connection.query_row(reads::NEXT_READY, params, |row| row.get(0)).optional().unwrap()
    };
    assert_eq!(next(100), Some(at(500).as_nanos()));
    assert_eq!(next(500), None);
}
