//! Everything is broken while alarms live: `kill -9` of the service and of the broker, processes
//! that stand still, a full disk, answers that are lost, late or wrong.
//!
//! `make torture KILLS=500 BROKER_KILLS=20 SEED=1` runs it for as long as that takes; the same with
//! 10 kills and 1 is an ordinary test. Blows fall when so many tickets are made, so that there is
//! always work under way. What must exist comes from [`lives`], never from the service.

mod disk;
mod figures;
mod lives;
mod plan;

use crate::alarms::rules;
use crate::dice::Dice;
use crate::programs::{Publisher, Subscriber};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{PATIENCE, Setting, World};
use disk::SmallDisk;
use figures::Figures;
use lives::Lives;
use plan::{Blow, Faults, Plan};
use serde_json::Value;
use std::sync::mpsc;
use std::time::Duration;
use ticketgate::simulate::faults::Faults as BackendFaults;
use tokio::time::{Instant, sleep};

/// A call's time-out and `send_within` are over by then, and the session's heartbeat is not.
const SERVICE_STANDS_STILL: Duration = Duration::from_millis(1_500);
/// Longer than a heartbeat of the broker's sessions, shorter than three (rule A4): some publishes
/// and confirms are given up, and the link is kept.
const BROKER_STANDS_STILL: Duration = Duration::from_secs(12);
/// A full disk that nobody has written to by then is made empty again.
const DISK_IS_FULL: Duration = Duration::from_secs(5);
/// What the store's writer says when it has met a full disk.
const NOT_COMMITTED: &str = "not committed";
/// Messages that are published ahead of the work, so that the broker has some when it is killed.
const AHEAD: usize = 400;
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at the ledger.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Four ticketing systems, each bad in its own way. All keep to what [`LANE`] says of them.
fn backends() -> Vec<(&'static str, BackendFaults, &'static str)> {
    let usual = BackendFaults { latency_ms: 5, latency_jitter_ms: 10, ..Default::default() };
    let loses = BackendFaults { lost_answer_rate: 0.03, ..usual.clone() };
    let hangs = BackendFaults {
        hang_rate: 0.02,
        error_after_rate: 0.02,
        busy_rate: 0.002,
        ..usual.clone()
    };
    let late = BackendFaults {
        late_apply_rate: 0.03,
        late_apply_ms: 900,
        error_before_rate: 0.005,
        ..usual.clone()
    };
    let lags = BackendFaults {
        index_lag_ms: 80,
        lost_answer_rate: 0.02,
        too_many_rate: 0.002,
        html_rate: 0.005,
        ..usual
    };
    [("b0", loses), ("b1", hangs), ("b2", late), ("b3", lags)]
        .map(|(id, faults)| (id, faults, LANE))
        .into()
}

/// Short, so that doubts end between two kills; 2 x time-out is more than `late_apply_ms`.
const LANE: &str = "timeout = \"500ms\"\nconnect_timeout = \"250ms\"\nsend_within = \"300ms\"\n\
    index_lag = \"100ms\"\nbackoff = \"50ms\"\nbackoff_max = \"1s\"";

/// One run.
struct Torture {
    node: Rabbit,
    world: World,
    disk: Option<SmallDisk>,
    publisher: Publisher,
    /// Messages that the publisher may have.
    to_publisher: mpsc::Sender<Value>,
    given: usize,
    lives: Lives,
    dice: Dice,
    faults: Faults,
    told_at: Instant,
}

impl Torture {
    async fn begun(plan: Plan) -> (Self, Subscriber) {
        let node = Rabbit::started().await;
        let setting = Setting {
            broker: Some((node.url(), "torture".to_owned())),
            amqp: "prefetch = 64",
            backends: backends(),
            config: rules(),
            ..Setting::default()
        };
        let mut world = World::prepared(setting).await;
        let disk = SmallDisk::mounted(&world.file("data"));
        if disk.is_none() {
            eprintln!("mounting is not allowed here: no disk will be full");
        }
        world.start().await;
        let subscriber = Subscriber::listening(&world, "all", &["#"]).await;
        let mut publisher = Publisher::start(&world, None);
        let (to_publisher, messages) = mpsc::channel();
        publisher.publish_from(messages);
        let torture = Self {
            node,
            world,
            disk,
            publisher,
            to_publisher,
            given: 0,
            lives: Lives::of(plan.seed, plan.lives()),
            dice: Dice::new(plan.seed ^ 1),
            faults: Faults::default(),
            told_at: Instant::now(),
        };
        (torture, subscriber)
    }

    fn made(&self) -> usize {
        usize::try_from(self.world.ledger().report().tickets).expect("so many fit")
    }

    /// The publisher gets what belongs to so many tickets, and a little more.
    fn give(&mut self, tickets: usize) {
        let all = &self.lives.messages;
        let share = all.len() * tickets / self.lives.tickets();
        let until = all.len().min(share + AHEAD);
        for message in &all[self.given.min(until)..until] {
            self.to_publisher.send(message.clone()).expect("the publisher lives");
        }
        self.given = self.given.max(until);
    }

    /// Waits for work to be done, and gives more of it. False if nothing goes on any more.
    async fn until_made(&mut self, tickets: usize) -> bool {
        let mut deadline = Instant::now() + PATIENCE;
        let mut made = self.made();
        while made < tickets {
            self.give(made);
            self.tell(made);
            sleep(LOOK_EVERY).await;
            let now = self.made();
            if now > made {
                deadline = Instant::now() + PATIENCE;
            }
            if Instant::now() > deadline {
                eprintln!("nothing goes on after {made} tickets");
                return false;
            }
            made = now;
        }
        true
    }

    fn tell(&mut self, made: usize) {
        if self.told_at.elapsed() > TELL_EVERY {
            self.told_at = Instant::now();
            let (confirmed, all) = (self.publisher.confirmed(), self.lives.messages.len());
            let report = self.world.ledger().report();
            let (twice, disorder) = (report.duplicates.len(), report.order_faults.len());
            eprintln!(
                "{confirmed} of {all} events published, {made} of {} tickets, {twice} keys twice, \
                 {disorder} order faults; {:?}",
                self.lives.tickets(),
                self.faults
            );
        }
    }

    async fn strike(&mut self, blow: Blow) {
        match blow {
            Blow::KillService => {
                self.world.kill9();
                self.world.start().await;
            }
            Blow::KillBoth => {
                self.node.kill9();
                self.world.kill9();
                self.world.start().await;
                self.node.start().await;
            }
            Blow::KillBroker => self.node.restart().await,
            Blow::FreezeService => {
                self.world.freeze();
                sleep(SERVICE_STANDS_STILL).await;
                self.world.thaw();
            }
            Blow::FreezeBroker => {
                self.node.freeze();
                sleep(BROKER_STANDS_STILL).await;
                self.node.thaw();
            }
            Blow::FullDisk | Blow::KillOnFullDisk => {
                if !self.fill_the_disk(blow).await {
                    return;
                }
            }
        }
        self.count(blow.name(), 1);
    }

    fn count(&mut self, fault: &str, times: usize) {
        *self.faults.entry(fault.to_owned()).or_default() += times as u64;
    }

    /// False where there is no disk that could be full.
    async fn fill_the_disk(&mut self, blow: Blow) -> bool {
        let Some(disk) = &self.disk else {
            if blow.kills_service() {
                self.world.kill9();
                self.world.start().await;
            }
            return blow.kills_service();
        };
        let before = self.world.log_size();
        let left_free = self.dice.within(0..disk::LEFT_FREE);
        let deadline = Instant::now() + DISK_IS_FULL;
        while !disk.fill(left_free) {
            assert!(Instant::now() < deadline, "the disk cannot be filled");
        }
        // Work goes on meanwhile, so that there is something to write.
        while !self.world.log_after(before).contains(NOT_COMMITTED) && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let refused = self.world.log_after(before).matches(NOT_COMMITTED).count();
        if blow.kills_service() {
            self.world.kill9();
        }
        disk.release();
        self.count("commits refused by the disk", refused);
        if blow.kills_service() {
            self.world.start().await;
        } else if self.world.has_ended() {
            // After an I/O error it ends by itself, and recovers on its start (rule D4).
            self.count("service ended itself on a full disk", 1);
            self.world.start().await;
        }
        true
    }

    /// Nothing is broken any more, and all work ends.
    async fn all_is_done(&mut self) {
        self.give(self.lives.tickets());
        let all = self.lives.messages.len();
        self.publisher.has_sent(&self.world, all).await;
        verdict::the_broker_is_empty(&self.world, &self.node).await;
        self.world.settled(self.lives.tickets()).await;
    }
}

async fn torture(plan: Plan) {
    eprintln!("{plan:?}, {} lives of alarms", plan.lives());
    let (mut torture, subscriber) = Torture::begun(plan).await;
    let blows = plan.blows(torture.lives.tickets(), &mut torture.dice);
    let mut goes_on = true;
    for (tickets, blow) in blows {
        goes_on = goes_on && torture.until_made(tickets).await;
        if goes_on {
            torture.strike(blow).await;
        }
    }
    if goes_on && torture.until_made(torture.lives.tickets()).await {
        torture.all_is_done().await;
    }

    // The figures first, whatever they are.
    let faults = std::mem::take(&mut torture.faults);
    let told = verdict::Told::of(subscriber.heard());
    let figures = Figures::of(&torture.world, &torture.lives, &told, faults).await;
    eprintln!("{figures}");
    figures.hold();
    let told = verdict::everything_is_heard(&torture.world, &subscriber).await;
    verdict::is_parked(&torture.world, &torture.lives.parked).await;
    every_end_is_told(&torture.lives, &told);
}

/// Each alarm's own system has heard of its tickets, and subscribers of every close last.
fn every_end_is_told(lives: &Lives, told: &verdict::Told) {
    let last_events = told.events.values().filter_map(|events| events.last());
    let closes = last_events.filter(|event| event.body["event"] == "closed").count();
    assert_eq!(closes, lives.wanted.values().map(|wanted| wanted.closed).sum::<usize>());
    for (name, wanted) in &lives.wanted {
        let heard = told.write_backs.get(name).map(Vec::as_slice).unwrap_or_default();
        let ids = heard.iter().filter_map(|one| one.body["backend_id"].as_str());
        let ids: std::collections::BTreeSet<_> = ids.collect();
        assert_eq!(ids.len(), wanted.tickets(), "{name:?}: {heard:?}");
    }
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_though_everything_breaks() {
    let seed = number("TICKETGATE_TEST_SEED").unwrap_or(7);
    torture(Plan { kills: 10, broker_kills: 1, seed }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told to: make torture"]
async fn for_as_long_as_it_is_told_to() {
    // Any will do; it is printed.
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let kills = number("KILLS").unwrap_or(500);
    torture(Plan { kills, broker_kills: number("BROKER_KILLS").unwrap_or(20), seed }).await;
}
