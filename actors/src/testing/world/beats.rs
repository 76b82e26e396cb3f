//! Other nodes that beat, die and come back, over a link that fails; and our own heartbeat, which
//! judges them and our lanes (rules H1–H3).

use super::World;
use crate::logic::progress::{Gait, LaneWatch};
use crate::logic::pulse::{Effect, Input, Pulse, PulseSettings};
use crate::model::{BackendId, Beat, BeatStatus, Fields};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

const TICK: u64 = 1_000;
const LOOK_EVERY: u64 = 10_000;
/// One that is expected and never comes.
const NOBODY: &str = "nobody";

/// Another node.
struct Neighbour {
    origin: String,
    boot_id: Uuid,
    sequence: u64,
    interval: u64,
    clock_off: i64,
    /// Down, or standing still, until then.
    silent_until: u64,
}

/// What the broker holds for us, and what the watcher knows of it.
#[derive(Default)]
pub(super) struct Beats {
    neighbours: Vec<Neighbour>,
    /// Not delivered: we were away, or the link was.
    pile: Vec<(usize, Beat, u64)>,
    deaf_until: u64,
    seen: BTreeMap<String, Seen>,
    /// Time in which something could be heard, in this life.
    hearing: u64,
    last_tick: u64,
    /// The last tick before which nothing could be heard, in this life.
    unheard: u64,
}

/// An origin, as it was heard in this life.
#[derive(Default)]
struct Seen {
    /// Arrivals in a row that came as soon as they were sent.
    fresh: u32,
    /// On the hearing clock: the last arrival of any kind, and the last that was surely live.
    arrived: Option<u64>,
    live: Option<u64>,
    /// When the last one arrived.
    at: u64,
    down: bool,
}

/// Our heartbeat; dies with the process.
pub(super) struct Heartbeat {
    pulse: Pulse,
    watches: BTreeMap<BackendId, LaneWatch>,
}

fn settings() -> PulseSettings {
    let expect = vec![NOBODY.to_owned()];
    PulseSettings { timeout: None, expect, interval: Duration::from_millis(LOOK_EVERY) }
}

/// When silence is an outage: 6 intervals, 30 s at least (CONTRACT 1.6).
fn timeout(interval: u64) -> u64 {
    (6 * interval).max(30_000)
}

impl Heartbeat {
    pub fn new() -> Self {
        let begins = crate::model::MONO_BEGINS;
        Self { pulse: Pulse::new(settings(), begins), watches: BTreeMap::new() }
    }
}

/// The others.
impl World {
    pub(super) fn neighbours_begin(&mut self) {
        for n in 0..self.chance.rng.usize(1..3) {
            let neighbour = Neighbour {
                origin: format!("node-{}", n + 2),
                boot_id: self.chance.uuid(),
                sequence: 0,
                interval: [5_000, 10_000][self.chance.rng.usize(..2)],
                clock_off: self.chance.rng.i64(-600_000..600_000),
                silent_until: 0,
            };
            self.beats.neighbours.push(neighbour);
            self.neighbour_beats(n);
            self.neighbour_fails(n);
        }
        self.link_fails();
    }

    fn neighbour_beats(&mut self, n: usize) {
        let interval = self.beats.neighbours[n].interval;
        self.outside(interval, move |w| {
            w.neighbour_beats(n);
            let wall = w.true_wall();
            let neighbour = &mut w.beats.neighbours[n];
            if w.now < neighbour.silent_until {
                return;
            }
            neighbour.sequence += 1;
            let beat = Beat {
                origin: neighbour.origin.clone(),
                boot_id: neighbour.boot_id,
                sequence: neighbour.sequence,
                sent_at: crate::model::Timestamp::from_millis(wall + neighbour.clock_off),
                interval: Duration::from_millis(neighbour.interval),
                status: BeatStatus::Ok,
                detail: Fields::new(),
            };
            let (sent, after) = (w.now, w.chance.ms(0, 100));
            w.outside(after, move |w| w.deliver_beat(n, beat, sent));
        });
    }

    /// It dies, or stands still, and comes back: with a new boot, or with the one it had.
    fn neighbour_fails(&mut self, n: usize) {
        let after = self.chance.ms(20_000, 300_000);
        self.outside(after, move |w| {
            if w.calm {
                return;
            }
            w.neighbour_fails(n);
            let (silent_until, boot_id) = (w.now + w.chance.ms(1_000, 200_000), w.chance.uuid());
            let dies = w.chance.one_in(2);
            let neighbour = &mut w.beats.neighbours[n];
            neighbour.silent_until = silent_until;
            if dies {
                neighbour.boot_id = boot_id;
                neighbour.sequence = 0;
            }
        });
    }

    fn link_fails(&mut self) {
        let after = self.chance.ms(20_000, 200_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.link_fails();
            let length = w.chance.ms(1_000, 240_000);
            w.note(|| format!("no beats arrive for {length} ms"));
            w.beats.deaf_until = w.now + length;
            w.outside(length + 1, World::deliver_pile);
        });
    }

    fn deliver_beat(&mut self, n: usize, beat: Beat, sent: u64) {
        // A queue keeps its order: what waits in it comes first.
        let waits = !self.beats.pile.is_empty();
        if waits || !self.up || self.now < self.beats.deaf_until {
            return self.beats.pile.push((n, beat, sent));
        }
        self.inside(0, move |w| w.hear_beat(beat, sent));
    }

    pub(super) fn deliver_pile(&mut self) {
        if self.up && self.now >= self.beats.deaf_until {
            for (n, beat, sent) in std::mem::take(&mut self.beats.pile) {
                self.deliver_beat(n, beat, sent);
            }
        }
    }
}

/// Mirrors `actors/heartbeat`.
impl World {
    pub(super) fn start_heartbeat(&mut self) {
        let now = self.mono();
        self.service.heartbeat.pulse = Pulse::new(settings(), now);
        self.beats.seen = BTreeMap::from([(NOBODY.to_owned(), Seen::default())]);
        (self.beats.hearing, self.beats.last_tick, self.beats.unheard) = (0, self.now, 0);
        self.heartbeat_ticks();
        self.look_at_lanes();
        self.inside(200, World::deliver_pile);
    }

    fn heartbeat_ticks(&mut self) {
        self.inside(TICK, |w| {
            let hearing = w.now >= w.beats.deaf_until;
            let passed = w.now - w.beats.last_tick;
            w.beats.last_tick = w.now;
            // A tick that comes much too late says that we stood still.
            if hearing && passed <= 5 * TICK {
                w.beats.hearing += passed;
            } else {
                w.beats.unheard = w.now;
            }
            w.feed_pulse(Input::Tick { hearing }, 0);
            w.check_silence();
            w.heartbeat_ticks();
        });
    }

    fn hear_beat(&mut self, beat: Beat, sent: u64) {
        let age = self.now - sent;
        self.note(|| format!("beat {} {} of {age} ms ago", beat.origin, beat.sequence));
        let (hearing, now) = (self.beats.hearing, self.now);
        let stands_still = now - self.beats.last_tick > 5 * TICK;
        let unheard = if stands_still { now } else { self.beats.unheard };
        let seen = self.beats.seen.entry(beat.origin.clone()).or_default();
        seen.arrived = Some(hearing);
        seen.fresh = if age <= 1_000 { seen.fresh + 1 } else { 0 };
        // Nobody can know that of the first ones of an origin, where nothing could be heard between them.
        if seen.fresh >= 2 && (seen.live.is_some() || unheard <= seen.at) {
            seen.live = Some(hearing);
        }
        seen.at = now;
        self.feed_pulse(Input::Arrived(beat), age);
    }

    fn feed_pulse(&mut self, input: Input, age: u64) {
        let now = self.clocks();
        for effect in self.service.heartbeat.pulse.step(input, now) {
            match effect {
                Effect::Down(sight) => self.told_down(&sight.origin),
                Effect::Up(sight) => self.told_up(&sight.origin, age),
                Effect::Show(_) | Effect::Forget(_) => {}
            }
        }
    }

    fn interval_of(&self, origin: &str) -> u64 {
        let known = self.beats.neighbours.iter().find(|it| it.origin == origin);
        known.map_or(LOOK_EVERY, |it| it.interval)
    }

    fn told_down(&mut self, origin: &str) {
        self.meet("origins down");
        self.note(|| format!("{origin} is told as down"));
        let (hearing, interval) = (self.beats.hearing, self.interval_of(origin));
        let seen = self.beats.seen.entry(origin.to_owned()).or_default();
        let (was_down, live) = (seen.down, seen.live.unwrap_or(0));
        let expected = origin == NOBODY;
        let heard = expected || seen.arrived.is_some();
        seen.down = true;
        seen.fresh = 0;
        if was_down || !heard {
            self.fail("H3", format!("{origin} is told as down: before {was_down}, heard {heard}"));
        }
        // A tick of tolerance at either end.
        if hearing - live + 2 * TICK < timeout(interval) {
            self.fail("H1", format!("{origin} is down after {} ms of silence", hearing - live));
        }
    }

    fn told_up(&mut self, origin: &str, age: u64) {
        self.meet("origins up");
        self.note(|| format!("{origin} is told as up by a beat of {age} ms ago"));
        let seen = self.beats.seen.entry(origin.to_owned()).or_default();
        if !std::mem::take(&mut seen.down) {
            self.fail("H3", format!("{origin} is told as up and was not down"));
        }
        // Two and a half intervals, and as much for what the beat before was late.
        if age > 5 * self.interval_of(origin) + 1_000 {
            self.fail("H1", format!("a beat of {age} ms ago revived {origin}"));
        }
    }

    /// Who is silent for too long is told of; who beats again as well.
    fn check_silence(&mut self) {
        let hearing = self.beats.hearing;
        let silent = self.beats.seen.iter().find(|(origin, seen)| {
            let since = seen.arrived.unwrap_or(0);
            let heard = seen.live.is_some() || origin.as_str() == NOBODY;
            heard && !seen.down && hearing > since + timeout(self.interval_of(origin)) + 3 * TICK
        });
        if let Some((origin, _)) = silent {
            let what = format!("{origin} is silent for too long, and nobody is told");
            return self.fail("H3", what);
        }
        let back = self.beats.seen.iter().find(|(_, seen)| seen.down && seen.fresh > 3);
        if let Some((origin, _)) = back {
            let what = format!("{origin} beats again, and nobody is told");
            self.fail("H3", what);
        }
    }

    /// One look a beat (rule H2).
    fn look_at_lanes(&mut self) {
        self.inside(LOOK_EVERY, |w| {
            let now = w.clocks();
            let backends: Vec<_> = w.systems.keys().cloned().collect();
            for backend in backends {
                let Some(seat) = w.service.seats.get(&backend) else { continue };
                let glance = seat.lane.glance(now);
                let settings = &w.systems[&backend].settings;
                let watch = w.service.heartbeat.watches.entry(backend.clone()).or_default();
                let gait = watch.look(&glance, settings, now.mono);
                w.check_gait(&backend, gait);
            }
            w.look_at_lanes();
        });
    }

    fn check_gait(&mut self, backend: &BackendId, gait: Gait) {
        let hung = matches!(gait, Gait::Hung(_));
        if hung {
            self.meet("hung lanes");
        }
        let settings = &self.systems[backend].settings;
        let most = settings.timeout + settings.send_within;
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX) + 2 * LOOK_EVERY;
        let since = self.calling_since(backend);
        if let Some(since) = since.filter(|since| self.now - since > most)
            && !hung
        {
            let what = format!("{backend}: a call of {} ms ago, and {gait:?}", self.now - since);
            self.fail("H2", what);
        }
    }
}
