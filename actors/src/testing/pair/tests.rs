//! Seeds of the pair inside `cargo test`.

use super::*;
use crate::testing::on_all_cores;

/// Seeds that are played; `make simulate` plays as many as one likes.
const SEEDS: u64 = 800;

#[test]
fn both_sides_agree_after_quiet_over_eight_hundred_seeds() {
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
