//! The one place that asks the machine for time and randomness.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;
use ticketgate_actors::model::{MONO_BEGINS, Moment, Mono, Timestamp};
use ticketgate_actors::ports::{Clock, Ids};
use uuid::{NoContext, Uuid};

/// The machine's clocks. Monotonic time counts from the making of this value.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = jiff::Timestamp::now().as_nanosecond();
        let mono = self.started.elapsed().as_millis() + u128::from(MONO_BEGINS.0);
        Moment {
            wall: Timestamp::from_nanos(i64::try_from(wall).unwrap_or(i64::MAX)),
            mono: Mono(u64::try_from(mono).unwrap_or(u64::MAX)),
        }
    }
}

/// Identities from the machine's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&self, at: Timestamp) -> Uuid {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1_000, nanos))
    }

    fn chance(&self) -> f64 {
        // 32 random bits of a v4 uuid: plenty for jitter.
        let bits = Uuid::new_v4().as_u128() as u32;
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_grows_and_ids_are_of_their_time() {
        let clock = SystemClock::default();
        let (one, two) = (clock.now(), clock.now());
        assert!(two.mono >= one.mono);
        let id = RandomIds.uuid(Timestamp::from_millis(1_700_000_000_123));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_700_000_000, 123_000_000));
        assert!((0.0..1.0).contains(&RandomIds.chance()));
    }
}
