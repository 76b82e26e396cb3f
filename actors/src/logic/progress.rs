//! Does a lane get on (rule H2)? One look a beat; a lane that came to a halt is told within two.
//!
//! A call may take as long as its time-out, and a lane that is held or paused has its reason: both
//! are no halt. What is one: a call that outlives its time-out, work that is ready while nothing
//! happens from one look to the next, a lane that nobody could take.

use super::lane::{LaneGlance, LaneSettings};
use crate::model::Mono;

/// What a look at a lane says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gait {
    /// Nothing to do.
    Idle,
    /// It gets on, or was not seen long enough to say that it does not.
    Working,
    /// It makes no calls, for a reason that it names.
    Held,
    /// It does not get on, and why that is known.
    Hung(&'static str),
}

impl Gait {
    /// The word in a beat.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Held => "held",
            Self::Hung(_) => "hung",
        }
    }
}

/// What the last look at one lane saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneWatch {
    /// There was work to do, at this count of progress.
    work_at: Option<u64>,
    not_taken: bool,
}

impl LaneWatch {
    /// Looks at the lane; to be called once a beat.
    pub fn look(&mut self, glance: &LaneGlance, settings: &LaneSettings, now: Mono) -> Gait {
        let before = std::mem::take(self);
        if !glance.taken {
            self.not_taken = true;
            return match before.not_taken {
                true => Gait::Hung("the store does not give it to this node"),
                false => Gait::Working,
            };
        }
        if let Some(since) = glance.calling_since {
            let latest = settings.timeout + settings.send_within;
            return match now.since(since) > latest && !mutant!(NeverHung) {
                true => Gait::Hung("a call has outlived its time-out"),
                false => Gait::Working,
            };
        }
        // A hold whose end has passed, and that nobody ended, is no reason any more.
        if glance.held.is_some() && glance.held_until.is_none_or(|until| until > now) {
            return Gait::Held;
        }
        if glance.heads == 0 && glance.reads == 0 && !glance.storing {
            return Gait::Idle;
        }
        self.work_at = Some(glance.progress);
        match before.work_at == self.work_at {
            true => Gait::Hung("work is ready and nothing happens"),
            false => Gait::Working,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PERIOD: u64 = 10_000;

    fn settings() -> LaneSettings {
        let (timeout, send_within) = (Duration::from_secs(30), Duration::from_secs(5));
        LaneSettings { timeout, send_within, ..LaneSettings::default() }
    }

    fn taken() -> LaneGlance {
        LaneGlance { taken: true, ..LaneGlance::default() }
    }

    /// Looks once a period at what the lane shows, and gives the words.
    fn looks(shows: &[LaneGlance]) -> Vec<&'static str> {
        let mut watch = LaneWatch::default();
        let at = |n: usize| Mono(u64::try_from(n).unwrap() * PERIOD);
        let look = |(n, glance)| watch.look(glance, &settings(), at(n)).as_str();
        shows.iter().enumerate().map(look).collect()
    }

    #[test]
    fn ready_work_without_progress_is_hung_at_the_second_look() {
        let busy = |progress| LaneGlance { heads: 3, progress, ..taken() };
        let reads = |progress| LaneGlance { reads: 1, progress, ..taken() };
        let storing = |progress| LaneGlance { storing: true, progress, ..taken() };
        for (shows, expected) in [
            ([busy(1), busy(2), busy(3)], ["working", "working", "working"]),
            ([busy(1), busy(2), busy(2)], ["working", "working", "hung"]),
            ([busy(1), busy(1), busy(2)], ["working", "hung", "working"]),
            ([reads(1), reads(1), taken()], ["working", "hung", "idle"]),
            ([storing(4), storing(4), storing(4)], ["working", "hung", "hung"]),
            // Idle in between: the work came anew.
            (
                [busy(1), LaneGlance { progress: 1, ..taken() }, busy(1)],
                ["working", "idle", "working"],
            ),
        ] {
            assert_eq!(looks(&shows), expected, "{shows:?}");
        }
    }

    #[test]
    fn a_call_may_take_its_time_out_and_no_longer() {
        let calling = LaneGlance { calling_since: Some(Mono(1_000)), heads: 2, ..taken() };
        // Looked at after 0, 10, 20, 30 and 40 s; allowed are 35 s.
        let expected = ["working", "working", "working", "working", "hung"];
        assert_eq!(looks(&std::array::from_fn::<_, 5, _>(|_| calling.clone())), expected);
    }

    #[test]
    fn a_held_lane_is_not_hung_until_its_hold_is_over() {
        let held = |until| LaneGlance {
            heads: 1,
            held: Some("paused".into()),
            held_until: until,
            ..taken()
        };
        assert_eq!(looks(&[held(None), held(None), held(None)]), ["held"; 3]);
        let over = held(Some(Mono(5_000)));
        assert_eq!(looks(&[over.clone(), over.clone(), over]), ["held", "working", "hung"]);
    }

    #[test]
    fn a_lane_that_nobody_could_take_is_hung_at_the_second_look() {
        let out = LaneGlance::default();
        assert_eq!(looks(&[out.clone(), out.clone(), taken()]), ["working", "hung", "idle"]);
    }
}
