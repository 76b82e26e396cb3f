//! What a lane needs to know of its backend.

use super::sweep::WATCH_LOOKS;
use crate::changes::Admission;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a create whose answer was lost can be found out (docs/rules.md, the table of doubt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// The same create with the same key makes no second ticket.
    IdempotencyKey,
    /// The ticket's id is ours: it can be read by it.
    ClientId,
    /// Tickets can be searched by our correlation key.
    Searchable,
    /// Nothing leaves this machine: a partner fetches what we have done. Doing it again changes nothing.
    Partner,
    /// Nothing: a person must say.
    #[default]
    None,
}

/// Where a flow's searches go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadsFrom {
    /// Through the lane, one call at a time with the writes.
    #[default]
    Lane,
    /// Straight from the ticket client, beside the lane's one call.
    Client,
}

/// A backend's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many calls, at least 1,
    pub calls: u32,
    /// in so much time, more than none.
    pub per: Duration,
    /// Calls that may follow each other at once after a quiet time.
    pub burst: u32,
}

impl Rate {
    /// From one call to the next.
    pub fn every(&self) -> Duration {
        self.per / self.calls.max(1)
    }
}

/// A lane's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// How doubt is ended.
    pub capability: Capability,
    /// Can a ticket be read by its backend id, so that a doubtful update can be compared?
    pub readable: bool,
    /// Where searches of flows go.
    pub reads: ReadsFrom,
    /// From the first byte of a call to the end of its answer.
    pub timeout: Duration,
    /// An intent is sent within this time after its commit, or not at all.
    pub send_within: Duration,
    /// How long after a create a search may still not find it.
    pub index_lag: Duration,
    /// The least time between a lost answer and the first look; never less than
    /// 2 x `timeout` + `index_lag`, and `confirm_within` where it answers later (see [`LaneSettings::settle`]).
    pub settle_at_least: Duration,
    /// For how long the backend remembers an idempotency key.
    pub key_ttl: Duration,
    /// Attempts after the first that the backend answered as retryable.
    pub retries: u32,
    /// The first pause after a failure; doubles with each further one.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Calls that it may be asked for in a time, looks and searches included; none: one after the
    /// other, as fast as they are answered.
    pub rate: Option<Rate>,
    /// Retries that may be made at once after a good time; later ones are a fifth of first calls, and
    /// one in ten seconds (rule G10).
    pub retry_burst: u32,
    /// After so many failures in a row the breaker opens (rule G11).
    pub breaker_after: u32,
    /// How much may be open.
    pub admission: Admission,
    /// The backend takes writes and answers them later (CONTRACT 1.5).
    pub answers_later: bool,
    /// How long an acknowledged write may stay unconfirmed; then it is in doubt. What the backend
    /// takes, it does within this time.
    pub confirm_within: Duration,
    /// With so many requests in doubt the lane makes no further writes.
    pub max_in_doubt: usize,
    /// From one duplicate sweep to the next (rule G8).
    pub sweep_every: Duration,
    /// Send again what may have been done. Only by explicit config: it can make duplicates.
    pub retry_may_duplicate: bool,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            capability: Capability::None,
            readable: false,
            reads: ReadsFrom::Lane,
            timeout: Duration::from_secs(30),
            send_within: Duration::from_secs(5),
            index_lag: Duration::ZERO,
            settle_at_least: Duration::ZERO,
            key_ttl: Duration::from_secs(24 * 3600),
            retries: 3,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            rate: None,
            retry_burst: 10,
            breaker_after: 5,
            admission: Admission::default(),
            answers_later: false,
            confirm_within: Duration::from_secs(15 * 60),
            max_in_doubt: 16,
            sweep_every: Duration::from_secs(300),
            retry_may_duplicate: false,
        }
    }
}

impl LaneSettings {
    /// How long a doubt settles: looked at sooner, a request that is still on its way would read
    /// as absent, and be sent twice.
    pub fn settle(&self) -> Duration {
        if mutant!(NoSettle) {
            return Duration::ZERO;
        }
        if self.capability == Capability::Partner {
            return Duration::ZERO;
        }
        self.settle_at_least.max(self.done_within() + self.index_lag)
    }

    /// How often a ticket is looked at again whose create may have been done twice; 0: it cannot be
    /// found out.
    pub fn watch_looks(&self) -> u32 {
        match self.capability {
            Capability::Searchable => WATCH_LOOKS,
            _ => 0,
        }
    }

    /// The last moment, from its first byte, at which the backend may come to do a call. What was
    /// taken, and whose acknowledgement was lost, is done as late as any other.
    pub fn done_within(&self) -> Duration {
        let taken = if self.answers_later { self.confirm_within } else { Duration::ZERO };
        self.timeout * 2 + taken
    }

    /// The pause after the nth failure in a row (from 1), with jitter from half to all of it.
    pub fn pause_after(&self, failures: u32, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.backoff.saturating_mul(1 << doublings).min(self.backoff_max);
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_settles_at_least_twice_the_time_out_and_the_index_lag() {
        let settings = LaneSettings {
            timeout: Duration::from_secs(10),
            index_lag: Duration::from_secs(3),
            settle_at_least: Duration::from_secs(5),
            ..LaneSettings::default()
        };
        assert_eq!(settings.settle(), Duration::from_secs(23));
    }

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter() {
        let settings = LaneSettings::default();
        for (failures, chance, millis) in
            [(1, 1.0, 1_000), (1, 0.0, 500), (2, 1.0, 2_000), (7, 1.0, 60_000), (99, 0.5, 45_000)]
        {
            assert_eq!(
                settings.pause_after(failures, chance),
                Duration::from_millis(millis),
                "{failures} failures"
            );
        }
    }
}
