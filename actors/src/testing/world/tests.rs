//! Seeds inside `cargo test`.

use super::*;
use crate::testing::mutants::{self, Mutant};
use crate::testing::on_all_cores;

/// Seeds within which a break must be caught; the rarest needs 6,825.
const CAUGHT_WITHIN: u64 = 9_000;

#[test]
fn every_mutant_is_caught_by_its_rule() {
    let mutants: Vec<_> = Mutant::ALL.iter().filter(|mutant| !mutant.of_pair()).collect();
    let missed = on_all_cores(mutants.len(), |n| {
        let mutant = *mutants[n];
        let broken = |seed| mutants::with(mutant, || play(&Plan::of(seed), Trace::Off)).broken;
        // Many a break shows first by its consequences; it must also be seen by its own rule.
        let own = |rule: &str| mutant.caught_by().contains(&rule);
        let mut first = None;
        let caught = (0..CAUGHT_WITHIN).find_map(|seed| {
            let rule = broken(seed)?.rule;
            first.get_or_insert((rule, seed + 1));
            own(rule).then_some((rule, seed + 1))
        });
        if let (Some((rule, seeds)), Some((at_first, after))) = (caught, first) {
            println!("{mutant:?}: {rule} after {seeds} seeds ({at_first} after {after})");
            return None;
        }
        Some((mutant, first))
    });
    assert!(missed.is_empty(), "not caught, with what was seen instead: {missed:#?}");
}

#[test]
fn every_rule_holds_over_two_thousand_seeds() {
    let broken = on_all_cores(2_000, |seed| {
        let plan = Plan::of(seed as u64);
        let broken = play(&plan, Trace::Off).broken?;
        let lines: Vec<_> = play(&plan, Trace::Last).trace.into_iter().collect();
        Some(format!("seed {seed} broke {broken:?}\n{}", lines.join("\n")))
    });
    if let Some(first) = broken.first() {
        panic!("{} seeds, the first:\n{first}", broken.len());
    }
}

#[test]
fn every_lane_of_many_gets_its_tickets() {
    let plan = Plan { seed: 0, alarms: 60, backends: 60, faults: Vec::new(), seconds: 60 };
    assert_eq!(play(&plan, Trace::Off).broken, None);
}
