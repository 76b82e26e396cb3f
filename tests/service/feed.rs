//! A great many tickets that changed, read through a feed, beside what the store itself could take.
//!
//! A simulated TIXNGO tells of so many tickets: all of them new, then all of them changed, then, after its
//! cursor was taken back, all of them as they are. Each pass is timed, and the service's memory watched.
//! Then the rows that it stored are written once more into a store of the same tables by the plainest of
//! loops, in transactions of the same size and as durable: that is the limit beside which the rows a
//! second stand.
//!
//! `make feed` does so with ten thousand and with a hundred thousand in a release build; with few it is
//! an ordinary test.

use crate::world::{Setting, World};
use reqwest::Client;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::{RestSettings, System};
use tokio::time::{Instant, sleep};

/// Tickets of one page, and of one transaction; what the sync takes by default.
const BATCH: usize = 1_000;
/// How often the service's memory is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// A feed and a service that reads it.
struct Feed {
    world: World,
    tixngo: Running,
    there: Client,
}

impl Feed {
    async fn begun() -> Self {
        let tixngo = RestSettings { system: System::Tixngo, ..RestSettings::default() };
        let tixngo = start(tixngo).expect("the feed starts");
        let config = format!(
            "[[sync]]\nname = \"feed\"\nbackend = \"tixngo\"\nlaunch = \"manual\"\nbatch = {BATCH}\n\
             [[backend]]\nid = \"tixngo\"\npreset = \"tixngo\"\nbase_url = \"{}\"\n\
             auth = {{ type = \"bearer\", token = \"right\" }}\n",
            tixngo.url("one")
        );
        let world = World::started(Setting { config, ..Setting::default() }).await;
        Self { world, tixngo, there: Client::builder().no_proxy().build().expect("a client") }
    }

    async fn there(&self, method: reqwest::Method, body: Value) {
        let url = format!("{}/tickets", self.tixngo.url("one"));
        let answer = self.there.request(method, url).json(&body).send().await;
        let status = answer.expect("the simulator answers").status();
        assert!(status.is_success(), "{status}");
    }

    async fn put(&self, tickets: usize) {
        for first in (0..tickets).step_by(BATCH) {
            let one = |n: usize| {
                json!({"mobileStatus": "INJECTED", "owner": format!("Anna Example {n}"),
                       "beneficiary": format!("Berta Example {n}")})
            };
            let many = (first..tickets.min(first + BATCH)).map(one).collect();
            self.there(reqwest::Method::POST, Value::Array(many)).await;
        }
    }

    /// One run; what it counted, how long it took, and the most memory meanwhile.
    async fn run(&self) -> (Value, Duration, u64) {
        let began = Instant::now();
        let reason = json!({"reason": "measured"}).to_string();
        let run = self.world.post("/api/v1/sync/feed/run", reason);
        tokio::pin!(run);
        let mut most = self.world.memory();
        loop {
            tokio::select! {
                (status, ran) = &mut run => {
                    assert_eq!(status, 200, "{ran}");
                    return (ran["last_run"]["counters"].clone(), began.elapsed(), most);
                }
                () = sleep(WATCH_EVERY) => most = most.max(self.world.memory()),
            }
        }
    }

    async fn published(&self) {
        let all = async || {
            let unsent = self.world.figure("ticketgate_events_unsent").await;
            (unsent == Some(0.0)).then_some(())
        };
        self.world.until("every event is published", all).await;
    }
}

/// Rows of a table that belong to tickets `first..first + BATCH`, as they are stored.
fn rows(from: &Connection, sql: &str, first: usize) -> Vec<Vec<Cell>> {
    let mut statement = from.prepare_cached(sql).expect("its tables are known");
    let columns = statement.column_count();
    let bounds = [first as i64, (first + BATCH) as i64];
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get::<_, Cell>(n)).collect();
    statement
        .query_map(bounds, row)
        .expect("it is read")
        .map(|row| row.expect("it is read"))
        .collect()
}

/// Writes the stored rows once more, as plainly as can be: a ticket, its twin, a line of history for
/// each field that changed, the event. First as new ones, then over those; rows a second of both.
fn limit(store: &std::path::Path, tickets: usize) -> (f64, f64) {
    let from = Connection::open(store).expect("the store is there");
    let folder = TempDir::with_prefix("ticketgate-limit").expect("a folder");
    let to = Connection::open(folder.path().join("limit.db")).expect("a store");
    let schema = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
                  ORDER BY instr('table index trigger', type)";
    let mut schema = from.prepare(schema).expect("a schema");
    let all = schema.query_map([], |row| row.get::<_, String>(0)).expect("a schema");
    let wal = |_: &rusqlite::Row<'_>| Ok(());
    to.query_row("PRAGMA journal_mode = WAL", [], wal).expect("it can");
    to.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -16384").expect("it can");
    for sql in all {
        to.execute_batch(&sql.expect("a schema")).expect("a schema");
    }
    let of_tickets = "SELECT T.key FROM tickets T WHERE T.n > ?1 AND T.n <= ?2";
    let twins = format!("SELECT sync, ticket, out, body FROM twins WHERE ticket IN ({of_tickets})");
    // Version 1 and sequence 1 were written when the ticket was new.
    let changes = |is: &str| {
        format!(
            "SELECT ticket, body FROM ticket_changes WHERE ticket IN ({of_tickets}) \
             AND json_extract(body, '$.version') {is} 1"
        )
    };
    let events = |is: &str| {
        format!(
            "SELECT event_id, ticket, sequence, sent_at, body FROM events \
             WHERE ticket IN ({of_tickets}) AND sequence {is} 1"
        )
    };
    let read_tickets = "SELECT key, backend, backend_id, correlation_key, status, sequence, body \
                        FROM tickets WHERE n > ?1 AND n <= ?2";
    let pass = |is: &str| {
        let (changes, events) = (changes(is), events(is));
        let mut took = Duration::ZERO;
        for first in (0..tickets).step_by(BATCH) {
            let tables = [
                (
                    "INSERT INTO tickets (key, backend, backend_id, correlation_key, status, sequence, body) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE \
                  SET status = ?5, sequence = ?6, body = ?7",
                    rows(&from, read_tickets, first),
                ),
                (
                    "INSERT INTO twins (sync, ticket, out, body) VALUES (?1, ?2, ?3, ?4) \
                  ON CONFLICT (ticket, sync) DO UPDATE SET out = ?3, body = ?4",
                    rows(&from, &twins, first),
                ),
                (
                    "INSERT INTO ticket_changes (ticket, body) VALUES (?1, ?2)",
                    rows(&from, &changes, first),
                ),
                (
                    "INSERT INTO events (event_id, ticket, sequence, sent_at, body) \
                  VALUES (?1, ?2, ?3, ?4, ?5)",
                    rows(&from, &events, first),
                ),
            ];
            let began = Instant::now();
            let transaction = to.unchecked_transaction().expect("it begins");
            for (sql, rows) in tables {
                let mut statement = transaction.prepare_cached(sql).expect("it is right");
                for row in rows {
                    statement.execute(params_from_iter(row)).expect("it is written");
                }
            }
            transaction.commit().expect("it is durable");
            took += began.elapsed();
        }
        tickets as f64 / took.as_secs_f64()
    };
    (pass("="), pass(">"))
}

async fn read(tickets: usize) -> u64 {
    let feed = Feed::begun().await;
    let idle = feed.world.memory();
    feed.put(tickets).await;
    let (new, new_took, new_most) = feed.run().await;
    assert_eq!((&new["read"], &new["created"]), (&json!(tickets), &json!(tickets)), "{new}");
    feed.published().await;
    let change = json!({"mobileStatus": "TRANSFERRED", "owner": "Clara Example"});
    feed.there(reqwest::Method::PATCH, change).await;
    let (changed, changed_took, changed_most) = feed.run().await;
    assert_eq!(
        (&changed["read"], &changed["merged"]),
        (&json!(tickets), &json!(tickets)),
        "{changed}"
    );
    feed.published().await;
    let again = json!({"cursor": "", "reason": "all of it again"}).to_string();
    let (status, said) = feed.world.post("/api/v1/sync/feed/cursor", again).await;
    assert_eq!(status, 200, "{said}");
    let (same, same_took, same_most) = feed.run().await;
    assert_eq!(same["unchanged"], tickets, "{same}");
    let Feed { mut world, .. } = feed;
    world.stop().await;
    let (limit_new, limit_changed) = limit(&world.file("data").join("ticketgate.db"), tickets);
    let rate = |took: Duration| tickets as f64 / took.as_secs_f64();
    eprintln!(
        "{tickets} tickets, {BATCH} a page; rows a second, in brackets what the store's rows alone take:\n  \
         new       {:>7.0} ({limit_new:.0}, {:.2})\n  changed   {:>7.0} ({limit_changed:.0}, {:.2})\n  \
         unchanged {:>7.0}\n  memory, at most: idle {}, new {}, changed {}, unchanged {} MiB",
        rate(new_took),
        rate(new_took) / limit_new,
        rate(changed_took),
        rate(changed_took) / limit_changed,
        rate(same_took),
        idle >> 20,
        new_most >> 20,
        changed_most >> 20,
        same_most >> 20,
    );
    new_most.max(changed_most).max(same_most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tickets_of_a_feed_are_taken_over_merged_and_then_let_be() {
    read(2_500).await;
}

/// What ten times the rows may take more: pages, the writer's memory of rows and the store's caches are
/// limited, and full by then.
const MORE_MAX: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute in a release build: make feed"]
async fn a_hundred_thousand_take_no_more_memory_than_ten_thousand() {
    let few = read(10_000).await;
    let many = read(100_000).await;
    assert!(
        many <= few + MORE_MAX,
        "{} MiB, and {} MiB with ten times as many",
        few >> 20,
        many >> 20
    );
}
