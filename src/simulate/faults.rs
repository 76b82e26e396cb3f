//! The faults of a simulated backend, and the dice that decide which call gets which.
//!
//! What always holds: a call gets at most one fault by rate; the rates are shares of all calls,
//! so together they are at most 1. Every call throws the dice equally often, so that one seed and
//! one order of calls give the same faults again, and changing a delay does not move them.
//!
//! What it leaves to others: carrying a fault out (`handlers`, `calls`) and counting it (`books`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a backend does wrong. All off by default. Rates are shares of calls from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every answer, and the work before it, takes this long.
    pub latency_ms: u64,
    /// Up to this much is added to the latency, evenly spread.
    pub latency_jitter_ms: u64,
    /// 503 with `Retry-After: 1` and code `busy`; nothing was done.
    pub busy_rate: f64,
    /// 429 with `Retry-After: 1`; nothing was done.
    pub too_many_rate: f64,
    /// 500; nothing was done.
    pub error_before_rate: f64,
    /// 200 with an HTML page; nothing was done.
    pub html_rate: f64,
    /// 500 or 504, after the write was done.
    pub error_after_rate: f64,
    /// The write is done, then the connection is closed without an answer.
    pub lost_answer_rate: f64,
    /// The write is done, then there is no answer until the client gives up.
    pub hang_rate: f64,
    /// No answer, and the write is done only `late_apply_ms` after it arrived, client or not.
    pub late_apply_rate: f64,
    /// See `late_apply_rate`.
    pub late_apply_ms: u64,
    /// A search finds a ticket only this long after it was made, and a feed a change only this long after
    /// it happened.
    pub index_lag_ms: u64,
    /// Every connection that calls this backend is closed at once without an answer.
    pub down: bool,
    /// Every call is answered 401.
    pub unauthorised: bool,
    /// A ticket whose summary contains this is refused with 422, made or changed.
    pub reject_summary_containing: Option<String>,
    /// Honours `Idempotency-Key`: a repeat is answered with the first ticket. Not a fault but an
    /// ability; the header is ignored while it is off.
    pub idempotent: bool,
    /// Faults that come after the work (`error_after`, `lost_answer`, `hang`, `late_apply`) hit
    /// reads as well. Off, a doubtful write can be looked at.
    pub reads_too: bool,
    /// A system that answers writes later does what it took, and calls back, only after this.
    pub callback_delay_ms: u64,
    /// It does what it took, and never calls back.
    pub no_callback_rate: f64,
    /// It calls back twice, in the same words.
    pub double_callback_rate: f64,
    /// It does nothing of what it took, and calls back that it was refused.
    pub nack_callback_rate: f64,
    /// Its clock goes wrong by so much, forwards or (below 0) back: in `Date` and in the times of what
    /// changes from then on.
    pub clock_offset_ms: i64,
    /// A feed takes none of its own cursors back: only from the beginning can it be read.
    pub cursor_refused: bool,
    /// At most this many faults by rate, counted from when the faults were set. With a rate of 1
    /// that is "the next call": a test then needs no luck.
    pub at_most: Option<u64>,
}

impl Faults {
    /// Checks that the rates make sense.
    ///
    /// # Errors
    /// Names the rate that is not within 0 to 1, or says that together they exceed 1.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("busy_rate", self.busy_rate),
            ("too_many_rate", self.too_many_rate),
            ("error_before_rate", self.error_before_rate),
            ("html_rate", self.html_rate),
            ("error_after_rate", self.error_after_rate),
            ("lost_answer_rate", self.lost_answer_rate),
            ("hang_rate", self.hang_rate),
            ("late_apply_rate", self.late_apply_rate),
        ];
        if let Some((name, rate)) = rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{name} is {rate}; a rate lies between 0 and 1"));
        }
        let later = [
            ("no_callback_rate", self.no_callback_rate),
            ("double_callback_rate", self.double_callback_rate),
            ("nack_callback_rate", self.nack_callback_rate),
        ];
        if let Some((name, rate)) = later.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{name} is {rate}; a rate lies between 0 and 1"));
        }
        let sum: f64 = later.iter().map(|(_, rate)| rate).sum();
        if sum > 1.0 + 1e-9 {
            return Err(format!("the rates of callbacks together are {sum}; at most 1"));
        }
        let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
        // The tolerance is for sums such as 0.7 + 0.2 + 0.1, which floats put just above 1.
        if sum > 1.0 + 1e-9 {
            return Err(format!(
                "the rates together are {sum}; a call gets one fault, so at most 1"
            ));
        }
        Ok(())
    }

    /// Whether a ticket with this summary is refused.
    pub(super) fn rejects(&self, summary: &str) -> bool {
        self.reject_summary_containing
            .as_deref()
            .is_some_and(|poison| !poison.is_empty() && summary.contains(poison))
    }
}

/// What is done with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The connection is closed at once; nothing is done.
    Down,
    /// Answered 401; nothing is done.
    Unauthorised,
    /// Answered 503; nothing is done.
    Busy,
    /// Answered 429; nothing is done.
    TooMany,
    /// Answered 500; nothing is done.
    ErrorBefore,
    /// Answered with an HTML page; nothing is done.
    Html,
    /// It is done, and then this happens.
    Done(Then),
}

/// What follows on the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The answer, as it should be.
    Answer,
    /// This status instead of the answer.
    Error(u16),
    /// The connection is closed without an answer.
    LoseAnswer,
    /// No answer, for as long as the client waits.
    Hang,
}

/// One call's fate, the time until it is carried out, and the fault's name in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub delay: Duration,
    pub fate: Fate,
    pub fault: Option<&'static str>,
}

/// Throws the dice for one call. `is_write` says whether faults after the work may hit it without
/// `reads_too`; with `may_inject` off no fault by rate happens, but the dice are thrown as ever.
pub(super) fn plan(faults: &Faults, dice: &mut Dice, is_write: bool, may_inject: bool) -> Plan {
    let (which, jitter, flavour) = (dice.share(), dice.share(), dice.share());
    let jitter = Duration::from_millis(faults.latency_jitter_ms).mul_f64(jitter);
    let latency = Duration::from_millis(faults.latency_ms) + jitter;

    let after = if is_write || faults.reads_too { 1.0 } else { 0.0 };
    let status = if flavour < 0.5 { 500 } else { 504 };
    let late = Duration::from_millis(faults.late_apply_ms);
    let table = [
        (faults.busy_rate, "busy", Fate::Busy, latency),
        (faults.too_many_rate, "too_many", Fate::TooMany, latency),
        (faults.error_before_rate, "error_before", Fate::ErrorBefore, latency),
        (faults.html_rate, "html", Fate::Html, latency),
        (faults.error_after_rate * after, "error_after", Fate::Done(Then::Error(status)), latency),
        (faults.lost_answer_rate * after, "lost_answer", Fate::Done(Then::LoseAnswer), latency),
        (faults.hang_rate * after, "hang", Fate::Done(Then::Hang), latency),
        (faults.late_apply_rate * after, "late_apply", Fate::Done(Then::Hang), late),
    ];
    let mut below = 0.0;
    for (rate, name, fate, delay) in table {
        below += rate;
        if may_inject && which < below {
            return Plan { delay, fate, fault: Some(name) };
        }
    }
    Plan { delay: latency, fate: Fate::Done(Then::Answer), fault: None }
}

/// What becomes of the later answer to a write that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallbackFate {
    /// Until it is done, and told.
    pub delay: Duration,
    /// How often it is told.
    pub times: u32,
    /// Nothing is done, and that is told.
    pub refused: bool,
    /// The fault's name in the ledger.
    pub fault: Option<&'static str>,
}

/// Throws the dice for one later answer.
pub(super) fn callback(faults: &Faults, dice: &mut Dice, may_inject: bool) -> CallbackFate {
    let which = dice.share();
    let delay = Duration::from_millis(faults.callback_delay_ms);
    let table = [
        (faults.no_callback_rate, "no_callback", 0, false),
        (faults.double_callback_rate, "double_callback", 2, false),
        (faults.nack_callback_rate, "nack_callback", 1, true),
    ];
    let mut below = 0.0;
    for (rate, name, times, refused) in table {
        below += rate;
        if may_inject && which < below {
            return CallbackFate { delay, times, refused, fault: Some(name) };
        }
    }
    CallbackFate { delay, times: 1, refused: false, fault: None }
}

/// A splitmix64 generator: small, seeded, and good enough for dice.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one backend: the seed, told apart by the backend's name (FNV-1a).
    pub fn of_backend(seed: u64, backend: &str) -> Self {
        let name = backend.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(seed ^ name)
    }

    /// Others, thrown for something else: how often these are thrown moves nothing there.
    pub fn others(&self) -> Self {
        Self(!self.0)
    }

    /// A number from 0 up to, but not including, 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 53 bits are what a float holds exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(
        faults: &Faults,
        seed: u64,
        is_write: bool,
        count: usize,
    ) -> Vec<Option<&'static str>> {
        let mut dice = Dice::of_backend(seed, "a");
        (0..count).map(|_| plan(faults, &mut dice, is_write, true).fault).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_gives_others() {
        let faults = Faults { busy_rate: 0.3, hang_rate: 0.3, ..Faults::default() };
        assert_eq!(fates(&faults, 7, true, 100), fates(&faults, 7, true, 100));
        assert_ne!(fates(&faults, 7, true, 100), fates(&faults, 8, true, 100));
        let slower = Faults { latency_jitter_ms: 50, ..faults.clone() };
        assert_eq!(fates(&faults, 7, true, 100), fates(&slower, 7, true, 100));
    }

    #[test]
    fn a_rate_is_the_share_of_calls_that_it_hits() {
        let faults = Faults { busy_rate: 0.2, lost_answer_rate: 0.1, ..Faults::default() };
        let fates = fates(&faults, 1, true, 10_000);
        let share = |name| fates.iter().filter(|fault| **fault == Some(name)).count();
        assert!((1_900..2_100).contains(&share("busy")), "{}", share("busy"));
        assert!((900..1_100).contains(&share("lost_answer")), "{}", share("lost_answer"));
    }

    #[test]
    fn faults_after_the_work_spare_reads_unless_asked_for() {
        let faults = Faults { hang_rate: 1.0, ..Faults::default() };
        assert_eq!(fates(&faults, 1, false, 10), vec![None; 10]);
        let all = Faults { reads_too: true, ..faults };
        assert_eq!(fates(&all, 1, false, 10), vec![Some("hang"); 10]);
    }

    #[test]
    fn rates_that_make_no_sense_are_refused_by_name() {
        let negative = Faults { html_rate: -0.1, ..Faults::default() };
        assert!(negative.check().unwrap_err().contains("html_rate"));
        let nan = Faults { hang_rate: f64::NAN, ..Faults::default() };
        assert!(nan.check().unwrap_err().contains("hang_rate"));
        let sum = Faults { busy_rate: 0.6, hang_rate: 0.6, ..Faults::default() };
        assert!(sum.check().unwrap_err().contains("together"));
        let full = Faults { busy_rate: 0.7, hang_rate: 0.2, html_rate: 0.1, ..Faults::default() };
        assert_eq!(full.check(), Ok(()));
    }
}
