//! From a failing plan to a smaller one that breaks the same rule.

use super::{Broken, Plan, Trace, play};

/// Other seeds that are tried for each smaller plan: another plan means another course of chance.
const TRIES: u64 = 24;

/// The smallest plan found that breaks the same rule.
pub fn shrink(plan: &Plan, broken: &Broken) -> Plan {
    let mut best = plan.clone();
    'smaller: loop {
        for candidate in best.smaller() {
            for n in 0..TRIES {
                let candidate = Plan { seed: plan.seed.wrapping_add(n), ..candidate.clone() };
                if play(&candidate, Trace::Off).broken.is_some_and(|it| alike(&it, broken)) {
                    best = candidate;
                    continue 'smaller;
                }
            }
        }
        return best;
    }
}

/// The same rule, broken in the same words: only numbers and names may differ.
fn alike(one: &Broken, other: &Broken) -> bool {
    let words = |it: &Broken| -> Vec<String> {
        let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        it.what.split(' ').filter(plain).map(str::to_owned).collect()
    };
    one.rule == other.rule && words(one) == words(other)
}
