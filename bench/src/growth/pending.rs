//! More and more alarms wait for backends whose lanes are paused, and beside them the work is done at
//! others.
//!
//! Every size has a service of its own, and all of them live at once: so the rounds go from one size to
//! the next within seconds, and what disturbs the machine disturbs all of them. Then each is stopped and
//! started, and killed in the midst of taking alarms and started: what it had acknowledged must be there,
//! once, and what it had not comes again from the broker.

use super::Scale;
use super::figure::{Figure, Samples, Series};
use super::service::Service;
use super::work::work;
use crate::listener::Listener;
use crate::measure::in_turn;
use crate::process::{between, mib};
use crate::stand::{self, Stand};
use anyhow::{Context, ensure};
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The backends of the work.
const WORKING: Range<usize> = 0..8;
/// Those whose lanes are paused.
const HELD: Range<usize> = 8..16;
/// Alarms that are on their way when the service is killed.
const AT_THE_KILL: usize = 2_000;
/// It is killed when so many of them are in its store.
const KILLED_AFTER: usize = 50;
/// A pile that does not grow for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a pile; each counts what waits, row by row.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How exactly the time is known until a large pile is whole: to a twentieth.
const LOOKS: u32 = 20;
/// Over how long it is looked what nothing to do costs.
const IDLE_SPAN: Duration = Duration::from_secs(5);
/// After a pile is whole, for one alarm too many.
const ONE_TOO_MANY: Duration = Duration::from_secs(1);

/// A service and how much waits in it.
struct Pile<'a> {
    service: Service<'a>,
    /// How much was asked for.
    size: usize,
    /// How much there is: each kill adds some.
    pending: usize,
}

/// All sizes.
pub async fn run(stand: &Stand, scale: &Scale, samples: &mut Samples) -> anyhow::Result<()> {
    let mut piles = Vec::new();
    for &size in &scale.pending {
        piles.push(Pile::heaped_up(stand, size, samples).await.with_context(|| size.to_string())?);
    }
    let order: Vec<usize> = (0..piles.len()).collect();
    for round in 1..=scale.rounds {
        println!("round {round} of {}", scale.rounds);
        let _lock = scale.lock.as_deref().map(stand::locked).transpose()?;
        for at in in_turn(&order, round) {
            let pile = &mut piles[at];
            let figures = pile.round(scale.work).await.with_context(|| pile.size.to_string())?;
            samples.add(Series::Pending, pile.size, round, &figures);
        }
    }
    for round in 1..=scale.rounds {
        println!("restarts, round {round} of {}", scale.rounds);
        let _lock = scale.lock.as_deref().map(stand::locked).transpose()?;
        for at in in_turn(&order, round) {
            let pile = &mut piles[at];
            let figures = pile.restarts().await.with_context(|| pile.size.to_string())?;
            samples.add(Series::Pending, pile.size, round, &figures);
        }
    }
    for pile in piles {
        pile.service.close().await?;
    }
    Ok(())
}

impl<'a> Pile<'a> {
    async fn heaped_up(
        stand: &'a Stand,
        size: usize,
        samples: &mut Samples,
    ) -> anyhow::Result<Self> {
        let name = format!("pending{size}");
        let config = held_backends(&stand.base);
        let mut service = Service::new(stand, &name, WORKING.len(), config).await?;
        service.start().await?;
        for backend in HELD {
            service.pause(backend).await?;
        }
        let began = Instant::now();
        service.send(size, HELD).await?;
        let pile = Self { service, size, pending: size };
        let whole = pile.is_whole().await?;
        let a_second = size as f64 / whole.duration_since(began).as_secs_f64();
        samples.add(Series::Pending, size, 1, &[(Figure::PiledPerSecond, a_second)]);
        Ok(pile)
    }

    /// Waits until everything that was sent waits in the store: not one too few, not one too many. When
    /// that was.
    async fn is_whole(&self) -> anyhow::Result<Instant> {
        let began = Instant::now();
        let (mut before, mut since) = (0, began);
        while before < self.pending {
            sleep(LOOK_EVERY.max(began.elapsed() / LOOKS)).await;
            let now = self.service.pending().await?;
            if now != before {
                (before, since) = (now, Instant::now());
            }
            ensure!(since.elapsed() < PATIENCE, "{now} of {} alarms wait", self.pending);
        }
        let whole = Instant::now();
        sleep(ONE_TOO_MANY).await;
        let now = self.service.pending().await?;
        ensure!(now == self.pending, "{now} wait of {} alarms", self.pending);
        let waiting = self.service.desk.queue(&self.service.intake()).await?.0;
        ensure!(waiting == 0, "{waiting} alarms are still at the broker");
        Ok(whole)
    }

    /// What it takes to do nothing, and then the work.
    async fn round(&mut self, alarms: usize) -> anyhow::Result<Vec<(Figure, f64)>> {
        let service = &mut self.service;
        service.rests().await;
        let (began, before) = (Instant::now(), service.usage());
        sleep(IDLE_SPAN).await;
        let idle = between(before, service.usage()) / began.elapsed().as_secs_f64() * 100.0;
        let resting = mib(service.usage().resident);
        let mut figures = work(service, alarms, WORKING).await?;
        figures.extend([
            (Figure::IdlePercent, idle),
            (Figure::RestingMib, resting),
            (Figure::PeakMib, mib(service.usage().peak)),
            (Figure::StoreMib, mib(service.store_bytes())),
        ]);
        Ok(figures)
    }

    /// A clean stop and a start; a kill and a start.
    async fn restarts(&mut self) -> anyhow::Result<Vec<(Figure, f64)>> {
        let service = &mut self.service;
        service.rests().await;
        service.stop().await?;
        let ready = service.start().await?;
        service.rests().await;
        service.stand.reset(Duration::ZERO).await?;
        let listener = Listener::start(service.url(), &service.prefix, false).await?;

        let at_least = self.pending + KILLED_AFTER;
        service.send(AT_THE_KILL, HELD).await?;
        let since = Instant::now();
        while service.pending().await? < at_least {
            ensure!(since.elapsed() < PATIENCE, "no alarm comes to the store");
        }
        service.kill();
        self.pending += AT_THE_KILL;
        // It waits behind what has to come again.
        service.send(1, WORKING).await?;
        let began = Instant::now();
        let recovered = service.start().await?;
        ensure!(listener.hears(1, PATIENCE).await, "no ticket after the kill");
        let first = began.elapsed();
        self.is_whole().await?;
        ensure!(listener.heard().0 == 1, "{} tickets for one alarm", listener.heard().0);
        self.service.stand.stats().await?.check(1)?;
        let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
        Ok(vec![
            (Figure::ReadyMs, millis(ready)),
            (Figure::RecoveredMs, millis(recovered)),
            (Figure::FirstTicketMs, millis(first)),
        ])
    }
}

/// The end of the config.
fn held_backends(base: &str) -> String {
    let mut config = String::new();
    for number in HELD {
        // Writing to a text cannot fail.
        let _ = write!(
            config,
            "\n[[backend]]\nid = \"b{number}\"\npreset = \"simulated-rest\"\n\
             base_url = \"{base}/b{number}\"\n"
        );
    }
    config
}
