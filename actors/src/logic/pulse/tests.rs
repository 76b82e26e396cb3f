//! The pulse by example: time in seconds, beats every 10 s, slow after 25, expired after 60.

use super::*;
use crate::model::{BeatStatus, Fields, Timestamp};

const BOOT: u128 = 7;
/// Wall time at second 0.
const EPOCH: i64 = 1_800_000_000;

fn at(second: u64) -> Moment {
    let wall = Timestamp::from_millis((EPOCH + i64::try_from(second).unwrap()) * 1_000);
    Moment { wall, mono: Mono(1_000 + second * 1_000) }
}

fn beat(boot: u128, sequence: u64, sent_at: i64) -> Beat {
    Beat {
        origin: "noc".into(),
        boot_id: Uuid::from_u128(boot),
        sequence,
        sent_at: Timestamp::from_millis((EPOCH + sent_at) * 1_000),
        interval: Duration::from_secs(10),
        status: BeatStatus::Ok,
        detail: Fields::new(),
    }
}

struct Bench {
    pulse: Pulse,
    second: u64,
    hearing: bool,
    told: Vec<String>,
}

impl Bench {
    fn new(expect: &[&str]) -> Self {
        let settings = PulseSettings {
            timeout: None,
            expect: expect.iter().map(|&name| name.to_owned()).collect(),
            interval: Duration::from_secs(10),
        };
        Self { pulse: Pulse::new(settings, at(0).mono), second: 0, hearing: true, told: vec![] }
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Down(sight) => {
                    self.told.push(format!("{} down {}", self.second, sight.origin))
                }
                Effect::Up(sight) => self.told.push(format!("{} up {}", self.second, sight.origin)),
                Effect::Show(_) | Effect::Forget(_) => {}
            }
        }
    }

    /// Ticks every second up to that one.
    fn until(&mut self, second: u64) {
        while self.second < second {
            self.second += 1;
            let tick = Input::Tick { hearing: self.hearing };
            let effects = self.pulse.step(tick, at(self.second));
            self.note(effects);
        }
    }

    fn hears(&mut self, boot: u128, sequence: u64, sent_at: i64) {
        let effects =
            self.pulse.step(Input::Arrived(beat(boot, sequence, sent_at)), at(self.second));
        self.note(effects);
    }

    /// Live beats up to that second, one every ten, from the number `first`.
    fn lives(&mut self, first: u64, to: u64) {
        for sequence in first.. {
            let due = self.second + 10;
            if due > to {
                return;
            }
            self.until(due);
            self.hears(BOOT, sequence, i64::try_from(due).unwrap());
        }
    }

    fn sight(&self) -> Sight {
        self.pulse.origins["noc"].sight.clone()
    }

    fn verdict(&self) -> &'static str {
        self.sight().verdict.as_str()
    }
}

#[test]
fn silence_is_slow_and_then_expired_and_told_once() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    for (second, verdict) in
        [(100, "ok"), (125, "ok"), (126, "slow"), (160, "slow"), (161, "expired")]
    {
        bench.until(second);
        assert_eq!(bench.verdict(), verdict, "at second {second}");
    }
    bench.until(1_000);
    assert_eq!(bench.told, ["161 down noc"]);
    bench.hears(BOOT, 11, 1_000);
    bench.hears(BOOT, 12, 1_000);
    bench.until(1_010);
    assert_eq!(bench.told, ["161 down noc", "1000 up noc"]);
    assert_eq!((bench.verdict(), bench.sight().outages), ("ok", 1));
}

/// H1. We could not hear for 300 s; the sender died in the middle of that, or it did not.
#[test]
fn a_backlog_is_counted_and_revives_nobody() {
    for (last, expected) in [(22, "expired"), (40, "ok")] {
        let mut bench = Bench::new(&[]);
        bench.lives(1, 100);
        bench.until(400);
        assert_eq!(bench.told, ["161 down noc"]);
        for sequence in 11..=last {
            bench.hears(BOOT, sequence, i64::try_from(sequence).unwrap() * 10);
        }
        assert_eq!(bench.verdict(), expected, "up to number {last}");
        assert_eq!(bench.sight().beats, last);
        // Whatever was sent within the last 25 s counts: the numbers 38 to 40.
        assert_eq!(bench.sight().backlog, if last == 22 { 12 } else { 27 });
    }
}

/// H1. Two backlogs, from two outages of the link: the second is not taken for what comes in step with the first.
#[test]
fn the_backlog_of_a_second_outage_revives_nobody() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(400);
    for sequence in 11..=22 {
        bench.hears(BOOT, sequence, 100);
    }
    bench.hearing = false;
    bench.until(427);
    bench.hearing = true;
    bench.hears(BOOT, 23, 100);
    assert_eq!((bench.verdict(), bench.sight().backlog), ("expired", 13));
    // What comes as long after it as a live one does, is live.
    bench.until(437);
    bench.hears(BOOT, 24, 100);
    assert_eq!(bench.told, ["161 down noc", "437 up noc"]);
}

/// The same, with a sender's clock that says nothing: all its beats carry one time.
#[test]
fn a_backlog_is_known_by_its_numbers_alone() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(400);
    for sequence in 11..=22 {
        bench.hears(BOOT, sequence, 100);
    }
    assert_eq!((bench.verdict(), bench.sight().backlog), ("expired", 12));
}

#[test]
fn old_and_repeated_numbers_refresh_nothing() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    for second in [110, 130, 150, 161] {
        bench.until(second);
        let sent_at = i64::try_from(second).unwrap();
        bench.hears(BOOT, 10, sent_at);
        bench.hears(BOOT, 9, sent_at);
    }
    assert_eq!((bench.verdict(), bench.sight().repeats), ("expired", 8));
}

#[test]
fn a_new_boot_begins_anew_and_the_boot_before_it_is_over() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(300);
    bench.hears(8, 1, 300);
    assert_eq!(bench.told, ["161 down noc", "300 up noc"]);
    bench.until(350);
    bench.hears(BOOT, 11, 350);
    bench.until(361);
    assert_eq!((bench.verdict(), bench.sight().repeats), ("expired", 1));
    assert_eq!(bench.sight().beat.unwrap().boot_id, Uuid::from_u128(8));
}

/// We stood still, and what was sent meanwhile comes in another order: the last beats of the boot before this one
/// at the end. Its clock was set back, so that nothing but its pace vouches for it.
#[test]
fn a_boot_goes_on_though_beats_of_the_one_before_it_come_late() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(300);
    for (boot, sequence) in [(9, 9), (9, 10), (8, 1), (8, 2), (8, 3)] {
        bench.hears(boot, sequence, -5_000);
    }
    for sequence in 11..=13 {
        bench.hears(9, sequence, -4_990);
    }
    assert_eq!(bench.verdict(), "expired");
    bench.until(310);
    bench.hears(9, 14, -4_980);
    assert_eq!(bench.told, ["161 down noc", "310 up noc"]);
}

#[test]
fn no_jump_of_its_clock_makes_a_live_sender_late() {
    for jump in [-1_000_000, -3_600, -11, 11, 3_600, 1_000_000] {
        let mut bench = Bench::new(&[]);
        bench.lives(1, 100);
        for (n, second) in (0i64..).zip((110..=400).step_by(10)) {
            bench.until(second);
            // It jumps once, and then goes on; and later back and forth at every beat.
            let wild = if n > 10 && n % 2 == 0 { 0 } else { jump };
            bench.hears(
                BOOT,
                11 + u64::try_from(n).unwrap(),
                i64::try_from(second).unwrap() + wild,
            );
            assert_eq!(bench.verdict(), "ok", "jump of {jump} s, at second {second}");
        }
        assert_eq!(bench.told, [""; 0]);
    }
}

/// Stopped and continued: its numbers stood still, its clock did not.
#[test]
fn a_sender_that_stood_still_is_up_with_its_next_beat() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(400);
    bench.hears(BOOT, 11, 400);
    assert_eq!(bench.told, ["161 down noc", "400 up noc"]);
}

/// And its clock was set back meanwhile: nothing vouches for its first beat, but the second is in
/// step with it.
#[test]
fn a_sender_that_nothing_vouches_for_is_up_with_its_second_beat() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.until(400);
    bench.hears(BOOT, 11, -5_000);
    assert_eq!(bench.verdict(), "expired");
    bench.until(410);
    bench.hears(BOOT, 12, -4_990);
    assert_eq!(bench.told, ["161 down noc", "410 up noc"]);
}

#[test]
fn at_first_sight_a_beat_counts_if_the_clocks_agree_or_the_next_is_in_step() {
    for (skew, verdict) in [(0, "ok"), (25, "ok"), (-25, "ok"), (26, "unknown"), (-600, "unknown")]
    {
        let mut bench = Bench::new(&[]);
        bench.until(100);
        bench.hears(BOOT, 40, 100 + skew);
        assert_eq!(bench.verdict(), verdict, "{skew} s apart");
        // A backlog comes all at once.
        bench.hears(BOOT, 41, 110 + skew);
        bench.until(110);
        bench.hears(BOOT, 42, 120 + skew);
        assert_eq!(bench.verdict(), "ok", "{skew} s apart");
        assert_eq!(bench.told, [""; 0]);
    }
}

/// H3.
#[test]
fn after_our_start_nobody_is_down_or_up_but_who_is_expected() {
    let mut bench = Bench::new(&["noc"]);
    bench.until(60);
    assert_eq!((bench.verdict(), bench.told.len()), ("unknown", 0));
    bench.until(500);
    assert_eq!((bench.verdict(), bench.told.clone()), ("expired", vec!["61 down noc".to_owned()]));
    bench.hears(BOOT, 1, 500);
    assert_eq!(bench.told, ["61 down noc", "500 up noc"]);

    let mut bench = Bench::new(&["noc"]);
    bench.lives(1, 200);
    assert_eq!((bench.verdict(), bench.told.len()), ("ok", 0));
    let mut bench = Bench::new(&[]);
    bench.until(10_000);
    bench.hears(BOOT, 900, 10_000);
    assert_eq!((bench.verdict(), bench.told.len()), ("ok", 0));
}

#[test]
fn time_in_which_nothing_could_be_heard_is_nobodys_silence() {
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.hearing = false;
    bench.until(5_000);
    assert_eq!(bench.verdict(), "ok");
    bench.hearing = true;
    bench.until(5_060);
    assert_eq!((bench.verdict(), bench.told.len()), ("slow", 0));
    bench.until(5_061);
    assert_eq!(bench.told, ["5061 down noc"]);
    // Deafness ends no outage either.
    bench.hearing = false;
    bench.until(6_000);
    assert_eq!((bench.verdict(), bench.told.len()), ("expired", 1));

    // We stood still: no tick for an hour.
    let mut bench = Bench::new(&[]);
    bench.lives(1, 100);
    bench.second += 3_600;
    bench.until(3_703);
    assert_eq!((bench.verdict(), bench.told.len()), ("ok", 0));
}

#[test]
fn the_configured_time_out_holds_for_all() {
    let settings =
        PulseSettings { timeout: Some(Duration::from_secs(15)), ..PulseSettings::default() };
    let mut bench = Bench::new(&[]);
    bench.pulse = Pulse::new(settings, at(0).mono);
    bench.lives(1, 100);
    bench.until(116);
    assert_eq!(bench.told, ["116 down noc"]);
}

#[test]
fn there_is_room_for_so_many_origins() {
    let mut bench = Bench::new(&["noc"]);
    let from = |n: usize| Beat { origin: format!("n{n}"), ..beat(BOOT, 1, 0) };
    for n in 1..=ORIGINS_MAX {
        bench.pulse.step(Input::Arrived(from(n)), at(0));
    }
    assert_eq!((bench.pulse.origins.len(), bench.pulse.no_room()), (ORIGINS_MAX, 1));
    let day = at(24 * 3_600 + 1);
    let effects = bench.pulse.step(Input::Arrived(from(5_000)), day);
    assert!(matches!(&effects[0], Effect::Forget(name) if name == "n1"), "{effects:?}");
    assert_eq!(bench.pulse.origins.len(), ORIGINS_MAX);
}
