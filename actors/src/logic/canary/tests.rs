//! The canary's rounds, with time as a number.

use super::*;
use crate::model::MONO_BEGINS;

const EVERY: u64 = 60_000;
const DEAD_AFTER: u64 = 300_000;

/// A canary whose names are counted from 1.
struct Bench {
    canary: Canary,
    now: u64,
    names: u128,
}

fn at(millis: u64) -> Moment {
    let mono = MONO_BEGINS.plus(Duration::from_millis(millis));
    Moment { mono, wall: Timestamp::from_millis(i64::try_from(millis).unwrap()) }
}

fn name(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

impl Bench {
    fn new() -> Self {
        let (every, dead_after) = (Duration::from_millis(EVERY), Duration::from_millis(DEAD_AFTER));
        let canary = Canary::new(CanarySettings { every, dead_after }, at(EVERY).mono, at(0).mono);
        Self { canary, now: 0, names: 0 }
    }

    fn say(&mut self, input: Input) -> Vec<Effect> {
        let names = &mut self.names;
        self.canary.step(input, at(self.now), &mut || {
            *names += 1;
            name(*names)
        })
    }

    /// Lets that many milliseconds pass, second by second.
    fn pass(&mut self, millis: u64) -> Vec<Effect> {
        let end = self.now + millis;
        let mut effects = Vec::new();
        while self.now < end {
            self.now = (self.now + 1_000).min(end);
            effects.extend(self.say(Input::Tick));
        }
        effects
    }

    /// Goes on with a round until it has reached that stage.
    fn up_to(&mut self, round: u128, stage: Stage) {
        let id = name(round);
        for (reached, input) in [
            (Stage::Published, Input::Published(id, Ok(()))),
            (Stage::Stored, Input::CameIn(id)),
            (Stage::Carried, Input::Carried(id, Ok(()))),
            (Stage::Answered, Input::Answered(id, Ok(()))),
            (Stage::Told, Input::Told(id, Ok(()))),
            (Stage::Whole, Input::Confirmed(id)),
        ] {
            if reached <= stage {
                self.say(input);
            }
        }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.canary.sight().age(at(self.now).mono).as_millis()).unwrap()
    }
}

fn bells(effects: &[Effect]) -> Vec<Bell> {
    let bell = |effect: &Effect| match effect {
        Effect::Ring(bell) => Some(bell.clone()),
        _ => None,
    };
    effects.iter().filter_map(bell).collect()
}

#[test]
fn a_round_goes_from_stage_to_stage_and_its_end_is_the_age() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(EVERY), [Effect::Publish(name(1))]);
    assert_eq!(bench.age(), EVERY, "since our start");
    for (input, effect) in [
        (Input::Published(name(1), Ok(())), None),
        (Input::CameIn(name(1)), Some(Effect::Carry(name(1)))),
        (Input::Carried(name(1), Ok(())), Some(Effect::Ask(name(1)))),
        (Input::Answered(name(1), Ok(())), Some(Effect::Tell(name(1)))),
        (Input::Told(name(1), Ok(())), None),
    ] {
        bench.pass(1_000);
        assert_eq!(bench.say(input), effect.into_iter().collect::<Vec<_>>());
    }
    bench.say(Input::Confirmed(name(1)));
    assert_eq!((bench.age(), bench.canary.sight().rounds), (0, 1));
    assert_eq!(bench.canary.round(), None);
    // The next begins an interval after the beginning of the last.
    assert_eq!(bench.pass(EVERY - 6_000), []);
    assert_eq!(bench.pass(1_000), [Effect::Publish(name(2))]);
}

#[test]
fn one_round_is_under_way_however_long_it_takes() {
    let stages = [Stage::Published, Stage::Stored, Stage::Carried, Stage::Answered, Stage::Told];
    for stage in stages {
        let mut bench = Bench::new();
        bench.pass(EVERY);
        bench.up_to(1, stage);
        let effects = bench.pass(24 * 3_600_000);
        assert_eq!(bench.canary.round(), Some(name(1)), "{stage:?}");
        let copies = effects.iter().filter(|it| matches!(it, Effect::Publish(_))).count();
        assert!(copies <= if stage == Stage::Published { 10 } else { 0 }, "{stage:?}: {copies}");
        let begun = |it: &&Effect| matches!(it, Effect::Publish(id) if *id != name(1));
        assert_eq!(effects.iter().find(begun), None, "{stage:?}");
    }
}

#[test]
fn a_dead_flow_is_told_once_with_the_last_stage_and_once_when_it_is_back() {
    for stage in [Stage::Published, Stage::Stored, Stage::Carried, Stage::Answered, Stage::Told] {
        let mut bench = Bench::new();
        bench.pass(EVERY);
        bench.up_to(1, stage);
        assert_eq!(bells(&bench.pass(DEAD_AFTER - EVERY)), [], "{stage:?}: not yet");
        let told = bells(&bench.pass(10_000));
        let [dead] = &told[..] else { panic!("{stage:?}: {told:?}") };
        assert_eq!((dead.dead, dead.stage), (true, stage));
        bench.say(Input::Rung(dead.id, true));
        assert_eq!(bells(&bench.pass(3_600_000)), [], "{stage:?}: once");
        // On from where it is.
        bench.up_to(1, Stage::Whole);
        let told = bells(&bench.say(Input::Tick));
        assert!(told.is_empty() && !bench.canary.sight().dead, "rung when it was whole");
    }
}

#[test]
fn the_way_back_is_told_when_the_round_is_whole() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    let told = bells(&bench.pass(DEAD_AFTER));
    assert_eq!(told.len(), 1);
    bench.say(Input::Rung(told[0].id, true));
    bench.up_to(1, Stage::Told);
    let told = bells(&bench.say(Input::Confirmed(name(1))));
    assert_eq!((told.len(), told[0].dead, told[0].stage), (1, false, Stage::Whole));
    assert!(told[0].age > Duration::from_millis(DEAD_AFTER));
}

#[test]
fn what_the_bus_did_not_take_is_told_later_in_order_under_its_name() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    // The broker is dead: nothing is published, neither the test alarm nor the news.
    bench.say(Input::Published(name(1), Err("not connected".into())));
    let told = bells(&bench.pass(DEAD_AFTER));
    let dead = told[0].clone();
    assert_eq!((dead.stage, dead.why.as_deref()), (Stage::Begun, Some("not connected")));
    for _ in 0..5 {
        assert_eq!(bench.say(Input::Rung(dead.id, false)), []);
        assert_eq!(bells(&bench.pass(11_000)), std::slice::from_ref(&dead), "the same again");
    }
    // It is back: the round goes all the way before the news is taken.
    bench.up_to(1, Stage::Whole);
    assert!(!bench.canary.sight().dead);
    let told = bells(&bench.say(Input::Rung(dead.id, true)));
    assert_eq!((told.len(), told[0].dead), (1, false));
    assert_eq!(bells(&bench.say(Input::Rung(told[0].id, true))), []);
}

#[test]
fn a_stage_that_says_no_ends_the_round_and_the_next_begins_an_interval_later() {
    for (stage, no) in [
        (Stage::Stored, Input::Carried(name(1), Err("no".into()))),
        (Stage::Carried, Input::Answered(name(1), Err("no".into()))),
        (Stage::Answered, Input::Told(name(1), Err("no".into()))),
    ] {
        let mut bench = Bench::new();
        bench.pass(EVERY);
        bench.up_to(1, stage);
        bench.pass(5_000);
        assert_eq!(bench.say(no), [Effect::GiveUp(name(1))], "{stage:?}");
        let sight = bench.canary.sight();
        assert_eq!((sight.stage, sight.why.as_deref()), (stage, Some("no")));
        assert_eq!(bench.pass(EVERY - 1_000), []);
        assert_eq!(bench.pass(1_000), [Effect::Publish(name(2))]);
        // A new round that has only just begun does not hide where the last one came to its end.
        assert_eq!(bench.canary.sight().stage, stage);
        // Nor does what is said late of the old one change anything.
        assert_eq!(bench.say(Input::CameIn(name(1))), []);
        assert_eq!(bench.say(Input::Confirmed(name(1))), []);
    }
}

#[test]
fn it_may_come_in_or_be_confirmed_before_we_hear_that_it_was_sent_or_stored() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    assert_eq!(bench.say(Input::CameIn(name(1))), [Effect::Carry(name(1))]);
    assert_eq!(bench.say(Input::Published(name(1), Err("its confirm was lost".into()))), []);
    // A copy comes in too.
    assert_eq!(bench.say(Input::CameIn(name(1))), []);
    bench.say(Input::Carried(name(1), Ok(())));
    bench.say(Input::Answered(name(1), Ok(())));
    bench.say(Input::Confirmed(name(1)));
    assert_eq!(bench.canary.sight().rounds, 1);
    assert_eq!(bench.say(Input::Told(name(1), Ok(()))), []);
}

#[test]
fn a_copy_that_comes_later_is_not_awaited() {
    let mut bench = Bench::new();
    assert_eq!(bench.canary.awaits(), None);
    bench.pass(EVERY);
    assert_eq!(bench.canary.awaits(), Some(name(1)));
    bench.up_to(1, Stage::Published);
    assert_eq!(bench.canary.awaits(), Some(name(1)));
    for stage in [Stage::Stored, Stage::Told, Stage::Whole] {
        bench.up_to(1, stage);
        assert_eq!(bench.canary.awaits(), None, "{stage:?}");
    }
}

#[test]
fn a_publish_that_failed_is_tried_again_under_the_same_name() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    bench.say(Input::Published(name(1), Err("nacked".into())));
    assert_eq!(bench.pass(9_000), []);
    assert_eq!(bench.pass(1_000), [Effect::Publish(name(1))]);
}

#[test]
fn an_event_whose_confirm_nobody_told_is_looked_for() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    bench.up_to(1, Stage::Told);
    assert_eq!(bench.pass(EVERY), [Effect::Look(name(1))]);
    bench.say(Input::Confirmed(name(1)));
    assert_eq!(bench.age(), 0);
}

#[test]
fn time_in_which_we_stood_still_kills_no_flow() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    bench.up_to(1, Stage::Whole);
    // The whole machine was frozen for an hour.
    bench.now += 3_600_000;
    assert_eq!(bench.say(Input::Tick), [Effect::Publish(name(2))]);
    assert_eq!(bench.age(), 3_600_000, "what is shown is true");
    assert_eq!(bells(&bench.pass(DEAD_AFTER - EVERY)), []);
    assert_eq!(bells(&bench.pass(2 * EVERY)).len(), 1);
}

/// What came while we stood still may be read before the tick that sees it.
#[test]
fn time_in_which_we_stood_still_before_a_whole_round_delays_no_news() {
    let mut bench = Bench::new();
    bench.pass(EVERY);
    bench.up_to(1, Stage::Told);
    bench.now += 3_600_000;
    bench.say(Input::Confirmed(name(1)));
    bench.say(Input::Tick);
    assert_eq!(bells(&bench.pass(DEAD_AFTER - EVERY)), [], "not yet");
    assert_eq!(bells(&bench.pass(2 * EVERY)).len(), 1, "an hour that was before counts nothing");
}

#[test]
fn a_flow_that_comes_and_goes_while_the_bus_takes_no_news_is_bounded() {
    let mut bench = Bench::new();
    let mut last = 0;
    for _ in 0..100 {
        let effects = bench.pass(DEAD_AFTER + EVERY);
        let begun = effects.iter().find_map(|it| match it {
            Effect::Publish(id) => Some(id.as_u128()),
            _ => None,
        });
        last = begun.unwrap_or(last);
        bench.up_to(last, Stage::Whole);
    }
    let told: Vec<_> = bench.canary.bells.iter().map(|bell| bell.dead).collect();
    assert!(told.len() <= BELLS_MAX && told.len() >= BELLS_MAX - 2, "{told:?}");
    assert!(told.iter().step_by(2).all(|dead| *dead), "{told:?}");
    assert!(told.iter().skip(1).step_by(2).all(|dead| !dead), "{told:?}");
}
