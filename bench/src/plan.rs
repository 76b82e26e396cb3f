//! What one run of the bench measures, how much of it, and how often.

use crate::Arguments;
use crate::programs::Kind;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// One measurement, made for each program in turn.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Its name in tables.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// How long each call takes at the backend.
    pub answer_after: Duration,
    /// How many backends.
    pub backends: usize,
    /// In the first round only.
    pub once: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// So many alarms wait in the queue, and get their tickets.
    Drain(usize),
    /// Alarms come at a fixed rate, for that time.
    Steady(u32, Duration),
    /// So many alarms wait in the queue for backends that are slow: how much memory they take.
    Pile(usize),
    /// Start on an empty store, and nothing to do, for that time.
    Idle(Duration),
}

/// A whole run.
pub struct Plan {
    /// In this order.
    pub measures: Vec<Measure>,
    /// The yardstick first.
    pub programs: Vec<Kind>,
    /// How often all of it is done.
    pub rounds: usize,
    /// The service's binary, where it is not beside this program.
    pub ticketgate: Option<PathBuf>,
    /// Locked while a round runs.
    pub lock: Option<PathBuf>,
}

/// Alarms a second where latency is measured, as the issue of the yardstick has it.
const STEADY_RATE: u32 = 200;

impl Plan {
    /// What these arguments ask for.
    pub fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let quick = arguments.quick;
        let mut measures = all(quick);
        if !arguments.measures.is_empty() {
            let wanted = |name: &str| arguments.measures.iter().any(|it| name.starts_with(it));
            measures.retain(|measure| wanted(&measure.name));
        }
        ensure!(!measures.is_empty(), "there is no such measurement");
        let mut programs = Vec::new();
        for name in &arguments.only {
            let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            programs.push(known.with_context(|| format!("there is no program {name}"))?);
        }
        if programs.is_empty() {
            programs = Kind::ALL.to_vec();
            if quick {
                programs.truncate(3);
            }
        }
        programs.sort();
        let rounds = arguments.rounds.unwrap_or(if quick { 2 } else { 5 });
        let (ticketgate, lock) = (arguments.ticketgate.clone(), arguments.lock.clone());
        Ok(Self { measures, programs, rounds, ticketgate, lock })
    }
}

fn all(quick: bool) -> Vec<Measure> {
    let seconds = |whole, short| Duration::from_secs(if quick { short } else { whole });
    let drain = |millis: u64, backends: usize, alarms: usize| Measure {
        name: format!("drain-{millis}ms-{backends}"),
        work: Work::Drain(if quick { alarms / 2 } else { alarms }),
        answer_after: Duration::from_millis(millis),
        backends,
        once: false,
    };
    // About three seconds of the yardstick's work each.
    let mut measures =
        vec![drain(0, 8, 20_000), drain(0, 64, 20_000), drain(20, 8, 1_500), drain(20, 64, 9_000)];
    if !quick {
        measures.insert(0, drain(0, 1, 8_000));
        measures.push(drain(20, 1, 250));
    }
    let other = |name: &str, work, once| Measure {
        name: name.to_owned(),
        work,
        answer_after: Duration::from_millis(20),
        backends: 8,
        once,
    };
    let steady = Work::Steady(STEADY_RATE, seconds(15, 6));
    measures.push(other("latency-200/s", steady, false));
    measures.push(other("start-and-idle", Work::Idle(seconds(20, 6)), quick));
    measures.push(other("pile-60000", Work::Pile(60_000), quick));
    measures
}
