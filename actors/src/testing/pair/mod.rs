//! A simulated pair, of which one end is two: a ticketing system and a connector, kept in step through
//! our store, under random edits on every side, late commits, wrong clocks, doubled and reordered
//! messages, lost answers and crashes (rules S1 to S8).
//!
//! It plays the very transactions that the service runs, over the store in memory. After everybody has
//! stopped editing, all sides must agree and come to rest, each field with its master's value; and the
//! events and the history of each ticket must tell exactly what it is.

mod cast;
mod checks;
mod scan;
mod sides;

use cast::Cast;

/// Steps of one seed before it is quiet.
const STEPS: u32 = 120;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: &'static str,
    /// How it was seen.
    pub what: String,
}

/// What a seed met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Edits of people, on all sides.
    pub edits: u64,
    /// Pages of the feed that were merged.
    pub pages: u64,
    /// Messages of the connector that were answered.
    pub messages: u64,
    /// Messages that came twice, or in another order.
    pub astray: u64,
    /// Transactions that a crash took back.
    pub crashes: u64,
    /// Writes that were answered later.
    pub later: u64,
    /// Tickets that were read once more.
    pub again: u64,
    /// Conflicts that were told.
    pub conflicts: u64,
    /// Tickets.
    pub tickets: u64,
}

impl std::ops::AddAssign for Met {
    fn add_assign(&mut self, more: Self) {
        self.edits += more.edits;
        self.pages += more.pages;
        self.messages += more.messages;
        self.astray += more.astray;
        self.crashes += more.crashes;
        self.later += more.later;
        self.again += more.again;
        self.conflicts += more.conflicts;
        self.tickets += more.tickets;
    }
}

/// Plays one seed.
///
/// # Errors
/// The first rule that was broken.
pub fn play(seed: u64) -> Result<Met, Broken> {
    let met = carry(&mut Cast::new(seed))?;
    scan::play(seed)?;
    Ok(met)
}

/// Plays one seed and tells each step.
pub fn trace(seed: u64) -> (Vec<String>, Result<Met, Broken>) {
    let mut cast = Cast::new(seed);
    cast.told = Some(Vec::new());
    let played = carry(&mut cast).and_then(|met| scan::play(seed).map(|()| met));
    (cast.told.take().unwrap_or_default(), played)
}

fn carry(cast: &mut Cast) -> Result<Met, Broken> {
    for _ in 0..STEPS {
        cast.step()?;
    }
    cast.quiet()?;
    checks::all(cast)?;
    cast.full_pass()?;
    cast.duel()?;
    checks::all(cast)?;
    Ok(cast.met())
}

#[cfg(test)]
mod tests;
