//! A great many alarms for a ticketing system that is not there (rules G14, G15).
//!
//! They are accepted over HTTP in arrays, while another system's tickets go on one after the other
//! and are timed. At some depths it is told what the pile costs: memory, time to accept a thousand
//! more, time for lists and figures. Then the system comes back, and gets its tickets in the order
//! of their acceptance.
//!
//! `make million` piles up a million in a release build and lets the first few thousand go; with
//! fewer, all of them, it is an ordinary test.

use crate::alarms::raised;
use crate::rabbit::free_port;
use crate::verdict;
use crate::world::{PATIENCE, Setting, World};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::ledger::Ledger;
use ticketgate::simulate::report::TicketEntry;
use ticketgate::simulate::rest;
use ticketgate::simulate::settings::RestSettings;
use tokio::time::{Instant, sleep};

/// Alarms in one array: as many as one may hold.
const ARRAY: usize = 1_000;
/// What is told stands at these depths.
const DEPTHS: [usize; 6] = [1_000, 10_000, 100_000, 300_000, 500_000, 1_000_000];
/// Over how many arrays the time to accept one is averaged.
const TIMED_ARRAYS: usize = 5;
/// Between two tickets of the other system.
const OTHER_EVERY: Duration = Duration::from_millis(50);
/// Tickets of the other system before there is any pile.
const OTHER_BEFORE: usize = 20;
/// How often it is told how far the drain is.
const TOLD_EVERY: Duration = Duration::from_secs(30);
/// Flows that have decided nothing for so long wait for their lane.
const STILL: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of a lane, in memory (rule G14).
const HEADS_MAX: u64 = 256;

/// A lane tells how long a request has waited in milliseconds, and may be wrong by one.
const GRAIN: Duration = Duration::from_millis(2);

/// How much.
#[derive(Clone, Copy, Debug)]
struct Scale {
    alarms: usize,
    /// How many get their tickets when the system is back.
    drained: usize,
}

/// Times from an alarm of the other system to its ticket.
#[derive(Default)]
struct Times(Mutex<Vec<Duration>>);

impl Times {
    fn put(&self, time: Duration) {
        self.0.lock().expect("nobody panics with it").push(time);
    }

    fn count(&self) -> usize {
        self.0.lock().expect("nobody panics with it").len()
    }

    /// What was measured since it was last told.
    fn told(&self) -> String {
        let mut times = std::mem::take(&mut *self.0.lock().expect("nobody panics with it"));
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_millis();
        if times.is_empty() {
            return "none in this time".to_owned();
        }
        format!("{} in {}/{}/{} ms (half, 99 of 100, all)", times.len(), at(50), at(99), at(100))
    }
}

/// One system away, one there.
struct Pile {
    world: World,
    away_at: SocketAddr,
    times: Times,
}

impl Pile {
    async fn begun() -> Self {
        let away_at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let config = format!(
            "[policy]\ndefault_backend = \"away\"\n\
             [[policy.rule]]\nname = \"o\"\nsource = \"other\"\nbackend = \"other\"\n\
             [[backend]]\nid = \"away\"\npreset = \"simulated-rest\"\n\
             base_url = \"http://{away_at}/away\"\nbackoff_max = \"1s\"\n"
        );
        let backends = vec![("other", Faults::default(), "")];
        let world = World::started(Setting { backends, config, ..Setting::default() }).await;
        Self { world, away_at, times: Times::default() }
    }

    async fn post(&self, alarms: Vec<Value>) {
        let body = Value::Array(alarms).to_string();
        let (status, answer) = self.world.post("/api/v1/alarms", body).await;
        assert_eq!(status, 202, "{answer}");
    }

    /// The other system gets a ticket, and another, for as long as this is polled.
    async fn others_get_theirs(&self) {
        let ledger = self.world.ledger();
        let there = || ledger.report_of("other").map_or(0, |report| report.tickets);
        for n in there().. {
            let began = Instant::now();
            self.post(vec![raised("other", &format!("O{n}"))]).await;
            while there() <= n {
                assert!(began.elapsed() < PATIENCE, "the other system's ticket {n} does not come");
                sleep(Duration::from_millis(1)).await;
            }
            self.times.put(began.elapsed());
            sleep(OTHER_EVERY).await;
        }
    }

    async fn timed_get(&self, path: &str) -> Duration {
        let began = Instant::now();
        assert_eq!(self.world.get(path).await.0, 200, "{path}");
        began.elapsed()
    }

    async fn lane(&self) -> Value {
        let lanes = self.world.look("/api/v1/lanes").await;
        let mut lanes = lanes["items"].as_array().expect("a list").iter();
        lanes.find(|lane| lane["id"] == "away").expect("it has a lane").clone()
    }

    /// The number of the newest request: what is journaled so far, the other system's included.
    async fn journaled(&self) -> usize {
        let newest = self.world.look("/api/v1/requests?limit=1&backend=away").await;
        usize::try_from(newest["items"][0]["n"].as_u64().unwrap_or_default()).expect("it fits")
    }

    async fn tell(&self, what: &str) {
        let lane = self.lane().await;
        let heads = lane["heads"].as_u64().expect("a number");
        assert!(heads <= HEADS_MAX, "{lane}");
        let lanes = self.timed_get("/api/v1/lanes").await;
        let figures = self.timed_get("/metrics").await;
        let list = self.timed_get("/api/v1/alarms?limit=500").await;
        let store = ["ticketgate.db", "ticketgate.db-wal"];
        let store = store.map(|name| self.world.file("data").join(name));
        let bytes: u64 =
            store.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|it| it.len()).sum();
        eprintln!(
            "{what}: memory {} MiB, store {} MiB; {} pending, {} due, {heads} in memory; \
             lanes {} ms, metrics {} ms, a page of alarms {} ms; other system's tickets: {}",
            self.world.memory() >> 20,
            bytes >> 20,
            lane["pending"],
            lane["due_alarms"],
            lanes.as_millis(),
            figures.as_millis(),
            list.as_millis(),
            self.times.told(),
        );
    }

    async fn pile_up(&self, alarms: usize) {
        let mut last = Vec::new();
        for first in (0..alarms).step_by(ARRAY) {
            let ids = (first..alarms.min(first + ARRAY)).map(|n| format!("A{n}"));
            let array = ids.map(|id| raised("probe", &id)).collect();
            let began = Instant::now();
            self.post(array).await;
            last.push(began.elapsed());
            let depth = first + ARRAY;
            if DEPTHS.contains(&depth) || depth >= alarms {
                let timed = &last[last.len().saturating_sub(TIMED_ARRAYS)..];
                let mean = timed.iter().sum::<Duration>() / u32::try_from(timed.len()).unwrap_or(1);
                let journaled = self.journaled().await;
                let accepted = format!(
                    "{depth} accepted, the last thousands in {} ms each; {journaled} journaled",
                    mean.as_millis()
                );
                self.tell(&accepted).await;
            }
        }
    }

    /// Flows have decided as far ahead of the lane as they will.
    async fn decided_ahead(&self) {
        let (mut before, mut since) = (0, Instant::now());
        while since.elapsed() < STILL {
            let now = self.journaled().await;
            if now != before {
                (before, since) = (now, Instant::now());
            }
            sleep(LOOK_EVERY).await;
        }
        self.tell(&format!("{before} journaled, at the end")).await;
    }

    /// The pile lies there, and the other system's tickets are all that happens: what the depth alone
    /// costs them.
    async fn at_rest(&self) {
        let _ = self.times.told();
        while self.times.count() < OTHER_BEFORE * 5 {
            sleep(LOOK_EVERY).await;
        }
        self.tell("at rest").await;
    }

    /// The system is back, and gets its tickets.
    async fn drained(&self, scale: Scale) -> (Ledger, rest::Running) {
        let listen = self.away_at;
        let back = rest::start(RestSettings { listen, ..RestSettings::default() });
        let back = back.expect("the system comes back");
        let ledger = back.ledger.clone();
        let (mut made, mut since, mut told) = (0, Instant::now(), Instant::now());
        while made < scale.drained as u64 {
            let now = ledger.report().tickets;
            if now > made {
                (made, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "nothing goes on after {made} tickets");
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                self.tell(&format!("{made} drained")).await;
            }
            sleep(LOOK_EVERY).await;
        }
        self.tell(&format!("{made} drained, at the end")).await;
        (ledger, back)
    }

    /// The first so many requests, by their alarm's id.
    async fn requests(&self, newest: u64) -> BTreeMap<String, Request> {
        let mut requests = BTreeMap::new();
        let mut before = newest + 1;
        while before > 1 {
            let path = format!("/api/v1/requests?backend=away&limit=500&before={before}");
            let page = self.world.look(&path).await;
            for row in page["items"].as_array().expect("a list") {
                let alarm = row["made_for"]["id"].as_str().expect("alarms made them");
                requests.insert(alarm.to_owned(), Request::of(row));
            }
            before = page["next"].as_u64().unwrap_or(0);
        }
        requests
    }
}

/// Of one request, what its turn is told by.
#[derive(Clone, Debug)]
struct Request {
    attempts: u64,
    accepted_at: Timestamp,
}

impl Request {
    fn of(row: &Value) -> Self {
        let accepted_at = row["accepted_at"].as_str().and_then(|text| text.parse().ok());
        let attempts = row["attempts"].as_u64().expect("a number");
        Self { attempts, accepted_at: accepted_at.expect("a time") }
    }
}

/// In the order of acceptance, but for those that were tried while the system was away: they have
/// waited only since.
fn in_order(made: &[Request]) {
    let untried: Vec<_> = made.iter().filter(|it| it.attempts == 1).collect();
    let turned = untried.windows(2).filter(|pair| pair[0].accepted_at > pair[1].accepted_at);
    eprintln!(
        "{} of {} were tried meanwhile; of the others {} came before an older one",
        made.len() - untried.len(),
        made.len(),
        turned.count()
    );
    let mut newest = None;
    for one in untried {
        let in_turn = newest.is_none_or(|newest| newest <= one.accepted_at + GRAIN);
        assert!(in_turn, "not in the order of acceptance: {one:?} after {newest:?}");
        newest = newest.max(Some(one.accepted_at));
    }
}

async fn pile(scale: Scale) {
    eprintln!("{scale:?}");
    let pile = Pile::begun().await;
    let work = async {
        while pile.times.count() < OTHER_BEFORE {
            sleep(LOOK_EVERY).await;
        }
        pile.tell("nothing waits").await;
        pile.pile_up(scale.alarms).await;
        pile.decided_ahead().await;
        pile.at_rest().await;
        pile.drained(scale).await
    };
    let (ledger, back) = tokio::select! {
        drained = work => drained,
        () = pile.others_get_theirs() => unreachable!("there are enough numbers"),
    };

    let others = pile.world.ledger().report_of("other").expect("it was set up");
    let report = ledger.report_with_tickets("away").expect("it was set up");
    let tickets = report.ticket_list.unwrap_or_default();
    assert!(tickets.len() >= scale.drained);
    // The other system's requests lie between.
    let newest = tickets.len() as u64 + others.tickets + HEADS_MAX;
    let requests = pile.requests(newest).await;
    let request = |ticket: &TicketEntry| {
        let alarm = ticket.alarm["alarm_id"].as_str().expect("every ticket has an alarm");
        requests.get(alarm).cloned().expect("none was made long before its turn")
    };
    in_order(&tickets.iter().map(request).collect::<Vec<_>>());
    assert_eq!(report.duplicates, [""; 0]);
    if scale.drained == scale.alarms {
        pile.world.settled(scale.alarms).await;
        assert_eq!(ledger.report().tickets, scale.alarms as u64);
    }
    verdict::ledger_is_clean(&pile.world);
    drop(back);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_great_many_wait_for_a_system_that_is_away_and_come_in_order_when_it_is_back() {
    pile(Scale { alarms: 2_000, drained: 2_000 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long and much disk: make million"]
async fn as_many_as_it_is_told_to() {
    let alarms = std::env::var("ALARMS").map_or(1_000_000, |text| text.parse().expect("a number"));
    pile(Scale { alarms, drained: alarms.min(5_000) }).await;
}
