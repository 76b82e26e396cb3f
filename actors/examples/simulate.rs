//! Plays seeds of the simulator on all cores, or replays one.
//!
//! ```text
//! simulate 100000            seeds 0 to 99,999
//! simulate 100000 --from 7   seeds 7 on
//! simulate replay 42         one seed, with its whole trace, and a smaller plan if it fails
//! simulate mutant NAME 4000  seeds with a break on: which rules see it, and how soon
//! simulate pair 10000        seeds of the pair of systems that are kept in step (rules S1 to S8)
//! simulate pair replay 42    one of them, with its whole trace
//! simulate lanes 10 10000    5,000 alarms for 10 and for 10,000 ticketing systems: what a step costs
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use ticketgate_actors::testing::mutants::{self, Mutant};
use ticketgate_actors::testing::pair;
use ticketgate_actors::testing::world::{Plan, Report, Trace, play, shrink};

/// Of a plan with many lanes.
const LANES_ALARMS: u32 = 5_000;
/// Failures that are told; the rest is counted.
const FAILURES_TOLD: usize = 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().ok();
    match words[..] {
        ["replay", seed] if number(seed).is_some() => replay(number(seed).unwrap_or(0)),
        ["mutant", name, seeds] if number(seeds).is_some() => {
            broken_on_purpose(name, number(seeds).unwrap_or(0))
        }
        ["pair", "replay", seed] if number(seed).is_some() => {
            replay_pair(number(seed).unwrap_or(0))
        }
        ["pair", seeds] if number(seeds).is_some() => pairs((0, number(seeds).unwrap_or(0))),
        ["pair", seeds, "--from", from] if number(seeds).is_some() && number(from).is_some() => {
            pairs((number(from).unwrap_or(0), number(seeds).unwrap_or(0)))
        }
        ["lanes", ref sizes @ ..]
            if !sizes.is_empty() && sizes.iter().all(|it| number(it).is_some()) =>
        {
            lanes(sizes.iter().filter_map(|it| number(it)))
        }
        [seeds] if number(seeds).is_some() => worlds((0, number(seeds).unwrap_or(0))),
        [seeds, "--from", from] if number(seeds).is_some() && number(from).is_some() => {
            worlds((number(from).unwrap_or(0), number(seeds).unwrap_or(0)))
        }
        _ => {
            eprintln!(
                "usage: simulate SEEDS [--from SEED] | replay SEED | mutant NAME SEEDS
       simulate pair SEEDS [--from SEED] | pair replay SEED
       simulate lanes BACKENDS..."
            );
            ExitCode::FAILURE
        }
    }
}

/// Plays seeds with a break until its own rule has seen it.
fn broken_on_purpose(name: &str, seeds: u64) -> ExitCode {
    let Some(mutant) = Mutant::ALL.iter().find(|it| format!("{it:?}") == name) else {
        eprintln!("no mutant has that name; there are {:?}", Mutant::ALL);
        return ExitCode::FAILURE;
    };
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let broken = mutants::with(*mutant, || match mutant.of_pair() {
            true => pair::play(seed).err().map(|it| (it.rule, it.what)),
            false => {
                let broken = play(&Plan::of(seed), Trace::Off).broken;
                broken.map(|it| (it.rule, it.what))
            }
        });
        let Some((rule, what)) = broken else { continue };
        *seen.entry(rule).or_default() += 1;
        if mutant.caught_by().contains(&rule) {
            println!("{name}: {rule} after {} seeds: {what}; {seen:?}", seed + 1);
            return ExitCode::SUCCESS;
        }
    }
    println!("{name}: not seen by {:?} in {seeds} seeds; {seen:?}", mutant.caught_by());
    ExitCode::FAILURE
}

/// Which rule was broken, and how it was seen.
type Broken = (&'static str, String);

/// Plays seeds on all cores, tells what they broke, what they met together, and how fast it went.
fn many<M: Default + Debug + Send>(
    name: &str,
    (from, seeds): (u64, u64),
    play: impl Fn(u64) -> Result<M, (Broken, M)> + Sync,
    add: impl Fn(&mut M, M) + Sync,
) -> ExitCode {
    let next = AtomicU64::new(from);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let met: Mutex<M> = Mutex::default();
    let begun = now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return;
            }
            let more = play(seed).unwrap_or_else(|((rule, what), more)| {
                let told = format!("{rule}: {what}");
                println!("{name} {seed} broke {told}");
                failed.lock().expect("no thread panicked").push((seed, told));
                more
            });
            add(&mut met.lock().expect("no thread panicked"), more);
            let done = seed - from + 1;
            if done.is_multiple_of(10_000) {
                println!("{done} {name}s, {:.0} a minute", a_minute(done, begun));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!("met: {:#?}", met.lock().expect("no thread panicked"));
    let failed = failed.into_inner().expect("no thread panicked");
    let pace = a_minute(seeds, begun);
    println!("{seeds} {name}s from {from} on, {pace:.0} a minute, {} violations", failed.len());
    for (seed, told) in failed.iter().take(FAILURES_TOLD) {
        println!("  {name} {seed}: {told}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seeds of the world.
fn worlds(seeds: (u64, u64)) -> ExitCode {
    let one = |seed| {
        let report = play(&Plan::of(seed), Trace::Off);
        match report.broken {
            None => Ok(report.met),
            Some(broken) => Err(((broken.rule, broken.what), report.met)),
        }
    };
    many("seed", seeds, one, |met, more| {
        for (what, n) in more {
            *met.entry(what).or_default() += n;
        }
    })
}

/// Seeds of the pair.
fn pairs(seeds: (u64, u64)) -> ExitCode {
    let none = pair::Met::default;
    let one = |seed| pair::play(seed).map_err(|broken| ((broken.rule, broken.what), none()));
    many("pair", seeds, one, |met, more| *met += more)
}

/// One seed of the pair, step by step.
fn replay_pair(seed: u64) -> ExitCode {
    let (told, played) = pair::trace(seed);
    for line in told {
        println!("{line}");
    }
    match played {
        Ok(met) => {
            println!("every rule held; {met:?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("broken {}: {}", broken.rule, broken.what);
            ExitCode::FAILURE
        }
    }
}

/// The simulator's own speed is the one thing here that is measured in real time.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn a_minute(seeds: u64, begun: std::time::Instant) -> f64 {
    seeds as f64 * 60.0 / begun.elapsed().as_secs_f64().max(0.001)
}

/// The same alarms for more and more ticketing systems, without faults: does a step cost more where there
/// are more lanes? The time of begin and end, which grow with everything that there is, is a part of it.
fn lanes(sizes: impl Iterator<Item = u64>) -> ExitCode {
    let mut all_held = true;
    for size in sizes {
        let backends = u32::try_from(size).unwrap_or(u32::MAX);
        let plan =
            Plan { seed: 0, alarms: LANES_ALARMS, backends, faults: Vec::new(), seconds: 60 };
        let begun = now();
        let report = play(&plan, Trace::Off);
        let each = begun.elapsed().as_secs_f64() * 1e6 / report.steps.max(1) as f64;
        println!("{size} lanes: {} steps of {each:.1} us", report.steps);
        if let Some(broken) = report.broken {
            println!("  {}: {}", broken.rule, broken.what);
            all_held = false;
        }
    }
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    let Report { broken, trace, .. } = play(&plan, Trace::All);
    for line in trace {
        println!("{line}");
    }
    println!("{plan:?}");
    let Some(broken) = broken else {
        println!("every rule held");
        return ExitCode::SUCCESS;
    };
    println!("broken {}: {}", broken.rule, broken.what);
    println!("smaller: {:?}", shrink(&plan, &broken));
    ExitCode::FAILURE
}
