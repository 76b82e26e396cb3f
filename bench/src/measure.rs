//! Carries a plan out: round by round, measurement by measurement, each program in turn. Says each
//! figure as it comes, and everything at the end.

use crate::broker::{self, Desk};
use crate::listener::Listener;
use crate::plan::{Measure, Plan, Work};
use crate::process::{self, Program, Usage, between};
use crate::programs::{Kind, Place, Programs};
use crate::rabbit::free_port;
use crate::stand::{self, START_PATIENCE, Stand};
use crate::table;
use anyhow::{Context, bail, ensure};
use serde::Serialize;
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};

/// A drain that is not over by then has failed.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// Alarms of a steady run that are not counted: connections are opened, pools are filled.
const WARM: usize = 200;

/// What one run of one program gave. What was not measured is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Tickets a second, from the first call to the last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// The program's own CPU seconds for 1,000 tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_per_1000: Option<f64>,
    /// The broker's for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_cpu_per_1000: Option<f64>,
    /// The backends' for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_cpu_per_1000: Option<f64>,
    /// Shares of a drain's time in which a backend waited: for its first call, between its calls, after its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes_waited: Option<[f64; 3]>,
    /// Milliseconds from alarm to event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The same for 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The peak of resident memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<f64>,
    /// From start to ready, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<f64>,
    /// CPU with nothing to do, in percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_percent: Option<f64>,
    /// Alarms a second that were taken from the broker, while backends were slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_per_second: Option<f64>,
}

/// One run's figures, with its place.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The round, from 1.
    pub round: usize,
    /// Which measurement.
    pub measure: String,
    /// Of which program.
    pub program: Kind,
    /// What it gave.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Everything of a run, as it is written to its file.
#[derive(Serialize)]
pub struct Report {
    /// When it began.
    pub began: String,
    /// Cores of the machine.
    pub cores: usize,
    /// The disk's own price of a promise.
    pub fsync_median_us: u64,
    /// The service's binary.
    pub binary_bytes: u64,
    /// All figures.
    pub rows: Vec<Row>,
}

/// What all runs share, and how many there were.
struct Bench {
    stand: Stand,
    runs: usize,
}

/// Carries a plan out.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measured(plan))
}

async fn measured(plan: &Plan) -> anyhow::Result<()> {
    println!(
        "Only ratios to the bare loop in the same run count: figures are this machine's, and noisy."
    );
    let out = stand::out_folder()?;
    let mut wanted = plan.programs.clone();
    let programs = Programs::find(plan.ticketgate.clone(), &out, &mut wanted)?;
    let binary_bytes = fs::metadata(&programs.ticketgate).map_or(0, |it| it.len());
    let mut bench = Bench { stand: Stand::open(programs).await?, runs: 0 };
    let mut report = Report {
        began: jiff::Timestamp::now().to_string(),
        cores: std::thread::available_parallelism()?.get(),
        fsync_median_us: 0,
        binary_bytes,
        rows: Vec::new(),
    };
    let (mut syncs, mut failed) = (Vec::new(), 0);
    for round in 1..=plan.rounds {
        println!("round {round} of {}", plan.rounds);
        let _lock = plan.lock.as_deref().map(stand::locked).transpose()?;
        syncs.push(process::fsync_median(bench.stand.folder.path())?);
        println!("  fsync of a page at the median: {} us", syncs[round - 1].as_micros());
        for measure in plan.measures.iter().filter(|measure| round == 1 || !measure.once) {
            for program in in_turn(&wanted, round) {
                if !applies(measure, program) {
                    continue;
                }
                let figures = match bench.one(measure, program).await {
                    Ok(figures) => figures,
                    Err(error) => {
                        println!("  {:<16} {program:<11} FAILED: {error:#}", measure.name);
                        failed += 1;
                        continue;
                    }
                };
                println!("  {:<16} {program:<11} {}", measure.name, table::line(&figures));
                report.rows.push(Row { round, measure: measure.name.clone(), program, figures });
            }
        }
    }
    syncs.sort_unstable();
    report.fsync_median_us = u64::try_from(syncs[syncs.len() / 2].as_micros()).unwrap_or(0);
    table::print(&report);
    let path = out.join(format!("{}.json", report.began.replace(':', "-")));
    fs::write(&path, serde_json::to_vec_pretty(&report)?)?;
    fs::copy(&path, out.join("latest.json"))?;
    println!("written to {}", path.display());
    ensure!(failed == 0, "{failed} of the measurements failed");
    Ok(())
}

/// Each round begins with another one.
pub fn in_turn<T: Clone>(all: &[T], round: usize) -> Vec<T> {
    let mut all = all.to_vec();
    if !all.is_empty() {
        let by = (round - 1) % all.len();
        all.rotate_left(by);
    }
    all
}

/// A pile is a matter of whoever takes more than it works on; Celery's 64 workers take gigabytes and
/// show nothing that 8 do not.
fn applies(measure: &Measure, program: Kind) -> bool {
    match measure.work {
        Work::Pile(_) => program == Kind::Ticketgate,
        Work::Idle(_) => matches!(program, Kind::Bare | Kind::Ticketgate),
        Work::Drain(_) if program == Kind::Celery => measure.backends == 8,
        Work::Drain(_) => true,
        Work::Steady(..) => program != Kind::Celery,
    }
}

impl Bench {
    /// One program does one measurement's work.
    async fn one(&mut self, measure: &Measure, kind: Kind) -> anyhow::Result<Figures> {
        self.runs += 1;
        self.stand.reset(measure.answer_after).await?;
        let (url, prefix) = (self.stand.rabbit.url(), format!("bench{}", self.runs));
        let folder = self.stand.folder.path().join(&prefix);
        fs::create_dir(&folder)?;
        let place = Place {
            folder: &folder,
            url: &url,
            prefix: &prefix,
            base: &self.stand.base,
            backends: measure.backends,
            port: free_port(),
            more: "",
        };
        let desk = Desk::open(&url, &prefix).await?;
        let own_queues = kind.has_own_queues().then_some(measure.backends);
        if let Some(backends) = own_queues {
            desk.queues_of_celery(backends).await?;
        }
        let run = Run { stand: &self.stand, measure, kind, place: &place, desk: &desk };
        let figures = match measure.work {
            Work::Drain(alarms) => run.drain((alarms / kind.share()).max(measure.backends)).await,
            Work::Steady(rate, span) => run.steady(rate, span).await,
            Work::Pile(alarms) => run.pile(alarms).await,
            Work::Idle(span) => run.idle(span).await,
        };
        desk.close(own_queues).await?;
        let figures =
            figures.with_context(|| format!("it said: {}", stand::last_words(&folder)))?;
        fs::remove_dir_all(&folder)?;
        Ok(figures)
    }
}

/// One program at one measurement.
struct Run<'a> {
    stand: &'a Stand,
    measure: &'a Measure,
    kind: Kind,
    place: &'a Place<'a>,
    desk: &'a Desk,
}

impl Run<'_> {
    fn usages(&self, program: &Program) -> [Usage; 3] {
        let broker = process::usage_of(self.stand.broker_group);
        [program.usage(), broker, self.stand.backend.usage()]
    }

    /// From the first call at a backend to the last event at the subscriber; CPU from the start on.
    async fn drain(&self, alarms: usize) -> anyhow::Result<Figures> {
        match self.kind.has_own_queues() {
            true => self.desk.preload_celery(alarms, self.measure.backends).await?,
            false => self.desk.preload(alarms, self.measure.backends).await?,
        }
        let listener = Listener::start(self.place.url, self.place.prefix, false).await?;
        let idle = Program::usage(&self.stand.backend);
        let broker = process::usage_of(self.stand.broker_group);
        let program = self.stand.programs.start(self.kind, self.place)?;
        let whole = listener.hears(alarms as u64, DRAIN_PATIENCE).await;
        let after = self.usages(&program);
        let (heard, last_us) = listener.heard();
        let stats = self.stand.stats().await?;
        ensure!(whole, "{heard} of {alarms} tickets, {} calls", stats.calls);
        stats.check(alarms)?;
        let thousands = alarms as f64 / 1_000.0;
        let seconds = last_us.saturating_sub(stats.first_call_us) as f64 / 1e6;
        Ok(Figures {
            per_second: Some(alarms as f64 / seconds),
            lanes_waited: Some(stats.waited(seconds)),
            cpu_per_1000: Some(after[0].cpu / thousands),
            broker_cpu_per_1000: Some(between(broker, after[1]) / thousands),
            backend_cpu_per_1000: Some(between(idle, after[2]) / thousands),
            peak_mib: Some(mib(after[0])),
            ..Figures::default()
        })
    }

    /// Alarms at a fixed rate; each backend's turn comes evenly, so that no lane is ever in arrears.
    async fn steady(&self, rate: u32, span: Duration) -> anyhow::Result<Figures> {
        let listener = Listener::start(self.place.url, self.place.prefix, true).await?;
        let mut program = self.stand.programs.start(self.kind, self.place)?;
        self.consumes(&mut program).await?;
        sleep(Duration::from_millis(500)).await;
        let before = self.usages(&program);
        let alarms = WARM + usize::try_from(u64::from(rate) * span.as_secs())?;
        let mut tick = interval(Duration::from_secs(1) / rate);
        for n in 0..alarms {
            tick.tick().await;
            // Not awaited: a confirm must not hold the next alarm up.
            drop(self.desk.publish(n, &(0..self.measure.backends)).await?);
        }
        let whole = listener.hears(alarms as u64, START_PATIENCE).await;
        ensure!(whole, "{} of {alarms} tickets", listener.heard().0);
        let after = self.usages(&program);
        self.stand.stats().await?.check(alarms)?;
        let took = listener.took_us(WARM);
        let at = |share: usize| took[(took.len() - 1) * share / 100] as f64 / 1_000.0;
        let thousands = alarms as f64 / 1_000.0;
        Ok(Figures {
            p50_ms: Some(at(50)),
            p99_ms: Some(at(99)),
            cpu_per_1000: Some(between(before[0], after[0]) / thousands),
            broker_cpu_per_1000: Some(between(before[1], after[1]) / thousands),
            peak_mib: Some(mib(after[0])),
            ..Figures::default()
        })
    }

    /// Waits until the program consumes its queue.
    async fn consumes(&self, program: &mut Program) -> anyhow::Result<()> {
        let queue = broker::intake(self.place.prefix);
        let deadline = Instant::now() + START_PATIENCE;
        while self.desk.queue(&queue).await?.1 == 0 {
            if program.ended() || Instant::now() > deadline {
                bail!("it does not consume");
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Far more alarms than backends can take: until all of them are off the broker.
    async fn pile(&self, alarms: usize) -> anyhow::Result<Figures> {
        self.desk.preload(alarms, self.measure.backends).await?;
        let mut program = self.stand.programs.start(self.kind, self.place)?;
        self.consumes(&mut program).await?;
        let (began, queue) = (Instant::now(), broker::intake(self.place.prefix));
        while self.desk.queue(&queue).await?.0 > 0 {
            ensure!(began.elapsed() < DRAIN_PATIENCE, "alarms stay at the broker");
            sleep(Duration::from_millis(20)).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        sleep(Duration::from_secs(1)).await;
        Ok(Figures {
            taken_per_second: Some(alarms as f64 / seconds),
            peak_mib: Some(mib(program.usage())),
            ..Figures::default()
        })
    }

    /// From start to ready with an empty store, and what nothing to do costs.
    async fn idle(&self, span: Duration) -> anyhow::Result<Figures> {
        let began = Instant::now();
        let mut program = self.stand.programs.start(self.kind, self.place)?;
        match self.kind {
            Kind::Ticketgate => self.stand.is_ready(self.place.port, &mut program).await?,
            _ => self.consumes(&mut program).await?,
        }
        let ready = began.elapsed();
        // The first second is still a part of the start.
        sleep(Duration::from_secs(1)).await;
        let (began, before) = (Instant::now(), program.usage());
        sleep(span).await;
        let percent = between(before, program.usage()) / began.elapsed().as_secs_f64() * 100.0;
        Ok(Figures {
            ready_ms: Some(ready.as_secs_f64() * 1_000.0),
            idle_percent: Some(percent),
            peak_mib: Some(mib(program.usage())),
            ..Figures::default()
        })
    }
}

fn mib(usage: Usage) -> f64 {
    process::mib(usage.peak)
}
