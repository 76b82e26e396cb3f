//! Seeds inside `cargo test`.

use super::*;
use crate::testing::mutants::{self, Mutant};

/// Seeds within which a break must be caught.
const CAUGHT_WITHIN: u64 = 4_000;

#[test]
fn every_mutant_is_caught_by_its_rule() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL.iter().copied() {
        let broken = |seed| mutants::with(mutant, || play(&Plan::of(seed), Trace::Off)).broken;
        // Many a break shows first by its consequences; it must also be seen by its own rule.
        let own = |rule: &str| mutant.caught_by().contains(&rule);
        let mut first = None;
        let caught = (0..CAUGHT_WITHIN).find_map(|seed| {
            let rule = broken(seed)?.rule;
            first.get_or_insert((rule, seed + 1));
            own(rule).then_some((rule, seed + 1))
        });
        match (caught, first) {
            (Some((rule, seeds)), Some((at_first, after))) => {
                println!("{mutant:?}: {rule} after {seeds} seeds ({at_first} after {after})");
            }
            _ => missed.push((mutant, first)),
        }
    }
    assert!(missed.is_empty(), "not caught, with what was seen instead: {missed:#?}");
}

#[test]
fn every_rule_holds_over_two_thousand_seeds() {
    for seed in 0..2_000 {
        let plan = Plan::of(seed);
        if let Some(broken) = play(&plan, Trace::Off).broken {
            let last = play(&plan, Trace::Last).trace;
            let lines: Vec<_> = last.into_iter().collect();
            panic!("seed {seed} broke {broken:?}\n{}", lines.join("\n"));
        }
    }
}
