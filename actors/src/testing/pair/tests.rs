//! Seeds of the pair inside `cargo test`.

use super::*;
use crate::testing::mutants::{self, Mutant};
use crate::testing::on_all_cores;

/// Seeds that are played; `make simulate` plays as many as one likes.
const SEEDS: u64 = 300;

#[test]
fn both_sides_agree_after_quiet_over_three_hundred_seeds() {
    let broken = on_all_cores(SEEDS as usize, |seed| {
        let broken = play(seed as u64).err()?;
        let (told, _) = trace(seed as u64);
        Some(format!("seed {seed} broke {broken:?}\n{}", told.join("\n")))
    });
    if let Some(first) = broken.first() {
        panic!("{} seeds, the first:\n{first}", broken.len());
    }
    println!("{SEEDS} seeds of the pair");
}

/// Seeds within which a break must be caught.
const CAUGHT_WITHIN: u64 = 1_500;

#[test]
fn every_break_of_two_way_sync_is_caught_by_its_rule() {
    let mutants: Vec<_> = Mutant::ALL.iter().filter(|mutant| mutant.of_pair()).collect();
    let missed = on_all_cores(mutants.len(), |n| {
        let mutant = *mutants[n];
        // Many a break shows first by its consequences; it must also be seen by its own rule.
        let mut first = None;
        for seed in 0..CAUGHT_WITHIN {
            let Err(broken) = mutants::with(mutant, || play(seed)) else { continue };
            let (at_first, after) = *first.get_or_insert((broken.rule, seed + 1));
            if mutant.caught_by().contains(&broken.rule) {
                let (rule, seeds) = (broken.rule, seed + 1);
                println!("{mutant:?}: {rule} after {seeds} seeds ({at_first} after {after})");
                return None;
            }
        }
        Some((mutant, first))
    });
    assert!(missed.is_empty(), "not caught, with what was seen instead: {missed:#?}");
}
