//! `make growth`: what size costs. The same work is done beside more and more pending alarms, with more
//! and more backends, and with more and more ticket clients.
//!
//! It reuses the bench's stand and its work on the wire. **Only the ratios to the smallest size of the same
//! run count.** Nothing here is judged by time; but a ticket or a request too few or too many ends the run
//! with an error. How each figure is made: docs/performance.md.

mod figure;
mod pending;
mod plot;
mod report;
mod service;
mod sizes;
mod work;

use crate::Arguments;
use crate::programs::{Kind, Programs};
use crate::stand::{self, Stand};
use anyhow::ensure;
use figure::Series;
use report::Report;
use std::path::{Path, PathBuf};

/// How much.
pub struct Scale {
    quick: bool,
    series: Vec<Series>,
    pending: Vec<usize>,
    backends: Vec<usize>,
    clients: Vec<usize>,
    /// Alarms of the work.
    work: usize,
    rounds: usize,
    /// Locked while something is measured.
    lock: Option<PathBuf>,
}

impl Scale {
    fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let quick = arguments.quick;
        let mut series = Series::ALL.to_vec();
        if !arguments.measures.is_empty() {
            let wanted = |name: &str| arguments.measures.iter().any(|it| name.starts_with(it));
            series.retain(|series| wanted(series.name()));
        }
        ensure!(!series.is_empty(), "there are only pending, backends and clients");
        let sizes = |whole: &[usize], short: &[usize]| if quick { short } else { whole }.to_vec();
        Ok(Self {
            quick,
            series,
            pending: sizes(&[1_000, 10_000, 60_000, 100_000, 1_000_000], &[1_000, 20_000]),
            backends: sizes(&[10, 100, 1_000], &[10, 100]),
            clients: sizes(&[1, 10, 100, 1_000], &[1, 32]),
            work: if quick { 1_000 } else { 5_000 },
            rounds: arguments.rounds.unwrap_or(if quick { 2 } else { 3 }),
            lock: arguments.lock.clone(),
        })
    }
}

/// All of it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scale = Scale::of(arguments)?;
    let out = stand::out_folder()?;
    let programs = Programs::find(arguments.ticketgate.clone(), &out, &mut vec![Kind::Ticketgate])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measured(&scale, programs, &out))
}

async fn measured(scale: &Scale, programs: Programs, out: &Path) -> anyhow::Result<()> {
    println!("Only ratios to the smallest size of this run count: figures are this machine's.");
    let stand = Stand::open(programs).await?;
    let mut report = Report::begun(&stand, scale).await?;
    println!("fsync of a page at the median: {} us", report.fsync_median_us);
    for &series in &scale.series {
        println!("{}:", series.name());
        let samples = &mut report.samples;
        match series {
            Series::Pending => pending::run(&stand, scale, samples).await?,
            Series::Backends | Series::Clients => {
                sizes::run(&stand, scale, series, samples).await?;
            }
        }
    }
    report.tell(&scale.series);
    report.write(&out.join("growth.json"))?;
    // A short run shows that it works; its plots are nobody's figures.
    let plots = match scale.quick {
        true => out.join("plots"),
        false => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("plots"),
    };
    for &series in &scale.series {
        let path = plot::write(&plots, series, &report.samples)?;
        println!("written to {}", path.display());
    }
    Ok(())
}
