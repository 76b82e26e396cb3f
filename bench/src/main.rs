//! `make bench`: what Ticketgate's promises cost, measured beside a bare loop that makes none.
//!
//! One run starts its own RabbitMQ and its own backends, and lets the programs do the same work in
//! turn, again and again, so that what disturbs the machine disturbs all of them. Every program is a
//! process of its own (the yardsticks are this binary under another name), so that CPU and memory are
//! each its own. **Only the ratios to the bare loop of the same run count**: figures are this
//! machine's. How each figure is made: docs/performance.md.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "to ask for the time is what this program is for")]

mod alarms;
mod backend;
mod bare;
mod broker;
mod growth;
mod journal;
mod listener;
mod measure;
mod plan;
mod process;
mod programs;
#[path = "../../tests/support/rabbit.rs"]
mod rabbit;
mod stand;
mod table;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// What to measure.
#[derive(Parser)]
#[command(about = "Ticketgate beside a bare loop; ratios count, not figures")]
struct Arguments {
    /// Fewer and shorter: about three minutes.
    #[arg(long)]
    quick: bool,
    /// Not beside others, but with more and more pending alarms, backends and ticket clients.
    #[arg(long)]
    growth: bool,
    /// Programs, by comma: bare, journal, ticketgate, python, celery.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measurements, by comma, as their names begin: drain-0ms-8, latency, start, pile;
    /// with --growth: pending, backends, clients.
    #[arg(long, value_delimiter = ',')]
    measures: Vec<String>,
    /// How often all of it is repeated.
    #[arg(long)]
    rounds: Option<usize>,
    /// The service; by default the one beside this program.
    #[arg(long)]
    ticketgate: Option<PathBuf>,
    /// A file that is locked while a round runs: builds that take the same lock wait for it.
    #[arg(long)]
    lock: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this binary is when it is not the bench itself.
#[derive(Subcommand)]
enum Role {
    /// The backends.
    #[command(hide = true)]
    Backend(backend::Settings),
    /// The bare loop.
    #[command(hide = true)]
    Bare(bare::Settings),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider was installed before");
    }
    match arguments.role {
        Some(Role::Backend(settings)) => backend::run(&settings),
        Some(Role::Bare(settings)) => bare::run(settings),
        None if arguments.growth => growth::run(&arguments),
        None => measure::run(&plan::Plan::of(&arguments)?),
    }
}
