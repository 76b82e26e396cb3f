//! When a lane may call: pauses that failures cost, what the backend asked for, its pace, the
//! circuit breaker and the retry budget (rules G10, G11).
//!
//! What always holds: a pause is never made shorter by a later one; while the breaker is open one
//! call, the probe, is made after each pause, and nothing that fails then counts against the request
//! that was tried; a retry that the budget does not allow waits, and others go.

use super::settings::LaneSettings;
use crate::model::Mono;
use std::time::Duration;

/// The longest pause that a backend may ask for (Retry-After, X-RateLimit-Reset); what asks for
/// more is called again after it.
pub const ASKED_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// One more retry is allowed after this time, whatever else goes on.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// Of how many first calls one more retry is allowed: a fifth, so that a backend that fails sees at
/// most 1.2 x the load.
const FIRST_CALLS_A_RETRY: u64 = 5;

/// What came of a call, as far as its lane's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The backend works: it did what was asked, or said a clear no.
    Works,
    /// It works, and wants to be left alone for a while.
    Busy,
    /// It cannot be reached: the lane waits.
    Away,
    /// It was called and did not work.
    Fails,
}

/// What the breaker did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Switched {
    Opened(String),
    Closed,
}

/// The gate of one lane.
#[derive(Debug)]
pub(super) struct Gate {
    /// No call before this time, and why.
    hold: Option<(Mono, String)>,
    /// Calls in a row that cost a pause: it doubles.
    pauses: u32,
    /// Calls in a row that failed.
    failures: u32,
    open: bool,
    /// Since when, where it is.
    opened_at: Mono,
    pace: Pace,
    budget: Budget,
}

impl Gate {
    pub fn new(settings: &LaneSettings) -> Self {
        Self {
            hold: None,
            pauses: 0,
            failures: 0,
            open: false,
            opened_at: Mono::default(),
            pace: Pace::default(),
            budget: Budget::of(settings.retry_burst),
        }
    }

    /// Forgets pauses and failures: a person says that it works again.
    pub fn reset(&mut self) {
        self.hold = None;
        self.pauses = 0;
        self.failures = 0;
        self.open = false;
    }

    /// One probe at a time is made.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The last call did not fail.
    pub fn is_well(&self) -> bool {
        self.failures == 0 && !self.open
    }

    /// Since when only probes are made.
    pub fn open_since(&self) -> Option<Mono> {
        self.open.then_some(self.opened_at)
    }

    /// May a call be made now?
    pub fn lets_through(&self, settings: &LaneSettings, now: Mono) -> bool {
        self.held(now).is_none() && self.pace.ready_at(settings).is_none_or(|at| at <= now)
    }

    /// Why no call is made, and until when.
    pub fn held(&self, now: Mono) -> Option<(Mono, &str)> {
        self.hold.as_ref().filter(|(until, _)| *until > now).map(|(at, why)| (*at, why.as_str()))
    }

    /// When it opens by itself; none: it is open to calls.
    pub fn opens_at(&self, settings: &LaneSettings, now: Mono) -> Option<Mono> {
        let hold = self.held(now).map(|(at, _)| at);
        let pace = self.pace.ready_at(settings).filter(|at| *at > now);
        hold.max(pace)
    }

    /// May something be tried again that the backend answered as not done?
    pub fn may_retry(&self) -> bool {
        self.budget.allows() || mutant!(NoBudget)
    }

    /// When a retry is allowed at the latest; none: it is now.
    pub fn retry_at(&self) -> Option<Mono> {
        (!self.may_retry()).then_some(self.budget.grows_at)
    }

    /// A call is being made.
    pub fn called(&mut self, settings: &LaneSettings, retry: bool, now: Mono) {
        self.pace.called(settings, now);
        self.budget.called(retry, now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Mono) {
        self.budget.grow(now);
    }

    /// No call before that time; never shorter than what was said before.
    pub fn hold(&mut self, why: &str, pause: Duration, now: Mono) {
        let until = now.plus(pause);
        if self.hold.as_ref().is_none_or(|(before, _)| *before < until) {
            self.hold = Some((until, why.to_owned()));
        }
    }

    /// A call has ended. `retry_after` is the pause that a refusal asked for, instead of ours;
    /// `quiet` one that goes for all calls, whatever was answered.
    pub fn heard(
        &mut self,
        settings: &LaneSettings,
        health: Health,
        reason: &str,
        (retry_after, quiet): (Option<Duration>, Option<Duration>),
        now: Mono,
        chance: f64,
    ) -> Option<Switched> {
        let switched = match health {
            Health::Works => {
                self.pauses = 0;
                self.failures = 0;
                std::mem::take(&mut self.open).then_some(Switched::Closed)
            }
            Health::Busy => None,
            Health::Away | Health::Fails => {
                self.failures = self.failures.saturating_add(1);
                let opens = !self.open && self.failures >= settings.breaker_after;
                if opens {
                    self.open = true;
                    self.opened_at = now;
                }
                let failures = self.failures;
                opens.then(|| {
                    Switched::Opened(format!("{failures} calls in a row failed, now: {reason}"))
                })
            }
        };
        let waits = match health {
            Health::Works => false,
            Health::Busy | Health::Away => true,
            Health::Fails => self.open && !mutant!(OpenCalls),
        };
        if waits {
            self.pauses = self.pauses.saturating_add(1);
            let own = settings.pause_after(self.pauses, chance);
            let pause = retry_after.map_or(own, |asked| asked.min(ASKED_PAUSE_MAX));
            self.hold(reason, if mutant!(NoPause) { Duration::ZERO } else { pause }, now);
        }
        if let Some(quiet) = quiet {
            let why = "the backend wants no calls for a while: its limit is used up";
            self.hold(why, quiet.min(ASKED_PAUSE_MAX), now);
        }
        switched
    }
}

/// So many calls in so much time, by a bucket that fills steadily.
#[derive(Debug, Default)]
struct Pace {
    /// When the bucket would be full, as if it were the time of a call to come: the generic cell
    /// rate algorithm. Nanoseconds, since a rate may be above one a millisecond.
    full_at: u128,
}

impl Pace {
    fn called(&mut self, settings: &LaneSettings, now: Mono) {
        if let Some(rate) = settings.rate {
            self.full_at = self.full_at.max(nanos(now)) + rate.every().as_nanos();
        }
    }

    fn ready_at(&self, settings: &LaneSettings) -> Option<Mono> {
        let rate = settings.rate.filter(|_| !mutant!(NoPace))?;
        let slack = rate.every().as_nanos() * u128::from(rate.burst.max(1) - 1);
        let at = self.full_at.saturating_sub(slack).div_ceil(1_000_000);
        Some(Mono(u64::try_from(at).unwrap_or(u64::MAX)))
    }
}

fn nanos(at: Mono) -> u128 {
    u128::from(at.0) * 1_000_000
}

/// How many retries may still be made, in parts of one.
#[derive(Debug)]
struct Budget {
    parts: u64,
    most: u64,
    grows_at: Mono,
}

impl Budget {
    fn of(burst: u32) -> Self {
        let most = u64::from(burst.max(1)) * FIRST_CALLS_A_RETRY;
        Self { parts: most, most, grows_at: Mono::default() }
    }

    fn allows(&self) -> bool {
        self.parts >= FIRST_CALLS_A_RETRY
    }

    fn called(&mut self, retry: bool, now: Mono) {
        self.grow(now);
        if retry {
            self.parts = self.parts.saturating_sub(FIRST_CALLS_A_RETRY);
        } else {
            self.add(1);
        }
    }

    fn add(&mut self, parts: u64) {
        self.parts = (self.parts + parts).min(self.most);
    }

    fn grow(&mut self, now: Mono) {
        if now >= self.grows_at {
            if self.grows_at != Mono::default() {
                self.add(FIRST_CALLS_A_RETRY);
            }
            self.grows_at = now.plus(RETRY_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::lane::Rate;

    fn settings() -> LaneSettings {
        LaneSettings { breaker_after: 3, ..LaneSettings::default() }
    }

    fn fail(gate: &mut Gate, at: u64) -> Option<Switched> {
        gate.heard(&settings(), Health::Fails, "500", (None, None), Mono(at), 1.0)
    }

    #[test]
    fn the_breaker_opens_after_so_many_failures_and_lets_one_probe_through_after_each_pause() {
        let mut gate = Gate::new(&settings());
        assert_eq!((fail(&mut gate, 0), fail(&mut gate, 1)), (None, None));
        assert!(gate.lets_through(&settings(), Mono(2)), "two failures cost no pause");
        assert!(matches!(fail(&mut gate, 2), Some(Switched::Opened(why)) if why.contains("500")));
        assert!(!gate.lets_through(&settings(), Mono(1_001)), "it pauses for a second");
        assert!(gate.lets_through(&settings(), Mono(1_002)), "then comes the probe");
        assert_eq!(fail(&mut gate, 1_002), None, "it was open already");
        assert!(!gate.lets_through(&settings(), Mono(3_001)), "the pause doubles");
        let works = gate.heard(&settings(), Health::Works, "", (None, None), Mono(3_002), 1.0);
        assert_eq!((works, gate.is_open()), (Some(Switched::Closed), false));
    }

    #[test]
    fn a_busy_backend_is_left_alone_and_is_no_failure() {
        let mut gate = Gate::new(&settings());
        for n in 0..9 {
            let asked = (Some(Duration::from_secs(2)), None);
            assert_eq!(gate.heard(&settings(), Health::Busy, "429", asked, Mono(n), 1.0), None);
        }
        assert_eq!(gate.opens_at(&settings(), Mono(8)), Some(Mono(2_008)));
    }

    #[test]
    fn what_a_backend_asks_for_is_kept_up_to_an_hour_also_after_a_success() {
        let mut gate = Gate::new(&settings());
        let day = Some(Duration::from_secs(86_400));
        gate.heard(&settings(), Health::Works, "", (None, day), Mono(0), 1.0);
        assert_eq!(gate.opens_at(&settings(), Mono(1)), Some(Mono(3_600_000)));
    }

    #[test]
    fn a_rate_is_kept_with_its_burst() {
        let rate = Rate { calls: 2, per: Duration::from_secs(1), burst: 3 };
        let settings = LaneSettings { rate: Some(rate), ..settings() };
        let mut gate = Gate::new(&settings);
        let mut made = Vec::new();
        for at in (0..3_000).map(|at| Mono(10_000 + at)) {
            if gate.lets_through(&settings, at) {
                gate.called(&settings, false, at);
                made.push(at.0 - 10_000);
            }
        }
        assert_eq!(made, [0, 1, 2, 500, 1_000, 1_500, 2_000, 2_500]);
    }

    #[test]
    fn retries_are_a_fifth_of_first_calls_and_one_in_ten_seconds() {
        let settings = settings();
        let mut gate = Gate::new(&settings);
        let retries = |gate: &mut Gate, at: u64| {
            let mut made = 0;
            while gate.may_retry() {
                gate.called(&settings, true, Mono(at));
                made += 1;
            }
            made
        };
        gate.tick(Mono(1));
        assert_eq!(retries(&mut gate, 1), 10, "a good time before");
        for _ in 0..15 {
            gate.called(&settings, false, Mono(2));
        }
        assert_eq!(retries(&mut gate, 2), 3, "a fifth of 15");
        assert_eq!(gate.retry_at(), Some(Mono(10_001)));
        gate.tick(Mono(10_001));
        assert_eq!(retries(&mut gate, 10_001), 1);
    }
}
