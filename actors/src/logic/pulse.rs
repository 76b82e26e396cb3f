//! Who beats, who is late, who is gone (CONTRACT 1.6; rules H1, H3).
//!
//! What always holds:
//! * time runs on our monotonic clock alone: no jump of any wall clock makes an origin late;
//! * a beat counts as a sign of life only if it can have been sent just now: by its number (beats
//!   come one an interval), or by how far its sender's clock moved since the last that counted. A
//!   backlog that arrives at once after an outage is counted, and revives nobody;
//! * a number that was seen never counts, and a boot that was followed by another only where it goes on at its pace:
//!   then it was not over, and beats came in another order than they were sent;
//! * one `Down` and one `Up` an outage, and neither for an origin that was never heard, unless the
//!   config expects it;
//! * time in which nothing could be heard is nobody's silence.
//!
//! Whether there is a link to hear over, and what is done with a verdict, is left to the actor.

use crate::model::{Beat, Moment, Mono};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Origins that are kept: what one installation and its neighbours have, many times over.
pub const ORIGINS_MAX: usize = 1_000;
/// Where there is no room for a new origin, one that was silent this long makes it.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Boots of one origin that are known as past: late beats of more than these do not exist.
const PAST_BOOTS_MAX: usize = 8;
/// A gap of that many intervals is slow: two beats were missed, and the third is overdue.
const SLOW_INTERVALS: f64 = 2.5;
/// After so many intervals an origin is taken as gone, where the config says nothing.
const TIMEOUT_INTERVALS: u32 = 6;
/// And never sooner than this: a broker's fail-over takes up to half a minute.
const TIMEOUT_MIN: Duration = Duration::from_secs(30);
/// Ticks come every second. One that is later than this says that we stood still, not they.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// How silence is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PulseSettings {
    /// From the last beat to `down`; none: 6 intervals of its sender, at least 30 s.
    pub timeout: Option<Duration>,
    /// Origins that must beat: one that is never heard is down once its time-out has passed.
    pub expect: Vec<String>,
    /// The interval of an expected origin before its first beat says it.
    pub interval: Duration,
}

impl PulseSettings {
    fn timeout(&self, interval: Duration) -> Duration {
        let usual = interval.saturating_mul(TIMEOUT_INTERVALS).max(TIMEOUT_MIN);
        self.timeout.unwrap_or(usual)
    }
}

/// What we make of an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not heard since our start.
    #[default]
    Unknown,
    /// In time.
    Ok,
    /// Late.
    Slow,
    /// Gone: over its time-out.
    Expired,
}

impl Verdict {
    /// The word on every face.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Expired => "expired",
        }
    }
}

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// A beat arrived.
    Arrived(Beat),
    /// A second has passed. `hearing`: beats could arrive in it.
    Tick {
        /// There is a link to the bus.
        hearing: bool,
    },
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// How an origin stands now.
    Show(Sight),
    /// An origin is no longer kept.
    Forget(String),
    /// It is gone: to be told once.
    Down(Sight),
    /// It is back: to be told once.
    Up(Sight),
}

/// An origin as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Who.
    pub origin: String,
    /// What we make of it.
    pub verdict: Verdict,
    /// The config expects it.
    pub expected: bool,
    /// Its newest beat, be it of a backlog.
    pub beat: Option<Arc<Beat>>,
    /// When the last beat that counted arrived, on our clocks.
    pub heard: Option<Moment>,
    /// Beats of it since our start, whatever became of them.
    pub beats: u64,
    /// Of these: too old to be a sign of life.
    pub backlog: u64,
    /// Of these: seen before, or from before its last start.
    pub repeats: u64,
    /// Times that it was down.
    pub outages: u64,
}

/// The last beat that counted.
#[derive(Clone, Debug)]
struct Sign {
    beat: Arc<Beat>,
    at: Moment,
}

#[derive(Debug, Default)]
struct Origin {
    sight: Sight,
    /// When the newest beat arrived.
    arrived: Mono,
    sign: Option<Sign>,
    /// Silence is counted from here.
    silent_from: Mono,
    past_boots: VecDeque<PastBoot>,
}

/// A boot that was followed by another, and its last beat.
#[derive(Clone, Copy, Debug)]
struct PastBoot {
    id: Uuid,
    sequence: u64,
    arrived: Mono,
}

/// What a beat is beside those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// Seen before, or from before its sender's last start.
    Repeat,
    New,
    /// Of a boot that was taken as over, and goes on.
    Returned,
}

impl Origin {
    fn expected(name: &str, now: Mono) -> Self {
        let sight = Sight { origin: name.to_owned(), expected: true, ..Sight::default() };
        Self { sight, silent_from: now, ..Self::default() }
    }

    fn silence(&self, now: Mono) -> Duration {
        now.since(self.silent_from)
    }

    /// Takes a beat; true: it is a sign of life.
    ///
    /// `unheard`: when it was last so that nothing could be heard.
    fn take(&mut self, beat: Beat, now: Moment, unheard: Option<Mono>) -> bool {
        self.sight.beats += 1;
        let news = self.news(&beat, now.mono, unheard);
        if news == News::Repeat {
            self.sight.repeats += 1;
            return false;
        }
        let in_step = unheard <= Some(self.arrived) && self.is_in_step(&beat, now.mono);
        let vouched = in_step || news == News::Returned;
        let counts = vouched || self.is_fresh(&beat, now) || mutant!(BacklogCounts);
        let beat = Arc::new(beat);
        self.sight.beat = Some(beat.clone());
        self.arrived = now.mono;
        if counts {
            self.sight.heard = Some(now);
            self.sign = Some(Sign { beat, at: now });
            self.silent_from = now.mono;
        } else {
            self.sight.backlog += 1;
        }
        counts
    }

    fn news(&mut self, beat: &Beat, now: Mono, unheard: Option<Mono>) -> News {
        let Some(newest) = &self.sight.beat else { return News::New };
        if beat.boot_id == newest.boot_id {
            return if beat.sequence > newest.sequence { News::New } else { News::Repeat };
        }
        let over =
            PastBoot { id: newest.boot_id, sequence: newest.sequence, arrived: self.arrived };
        if let Some(place) = self.past_boots.iter().position(|past| past.id == beat.boot_id) {
            let past = self.past_boots[place];
            if beat.sequence <= past.sequence {
                return News::Repeat;
            }
            let goes_on = unheard <= Some(past.arrived)
                && is_live_step(beat, past.sequence, now.since(past.arrived));
            if !goes_on {
                self.past_boots[place] = PastBoot { sequence: beat.sequence, arrived: now, ..past };
                return News::Repeat;
            }
            self.past_boots[place] = over;
            return News::Returned;
        }
        if self.past_boots.len() >= PAST_BOOTS_MAX {
            self.past_boots.pop_front();
        }
        self.past_boots.push_back(over);
        News::New
    }

    /// Can it have been sent just now? Either of two witnesses is enough, since each fails in its
    /// own way: a sender that stood still has sent no numbers, and its clock may have jumped.
    fn is_fresh(&self, beat: &Beat, now: Moment) -> bool {
        let late = slow_after(beat.interval);
        let Some(sign) = &self.sign else {
            // At first sight there is only its clock, if that agrees with ours.
            let (ours, theirs) = (now.wall, beat.sent_at);
            return ours.since(theirs).max(theirs.since(ours)) <= late;
        };
        let passed = now.mono.since(sign.at.mono);
        let by_number = beat.boot_id == sign.beat.boot_id
            && passed <= due_after(beat, sign.beat.sequence).saturating_add(late);
        let by_its_clock = passed <= beat.sent_at.since(sign.beat.sent_at).saturating_add(late);
        by_number || by_its_clock
    }

    /// After a beat that did not count: did this one come as long after it as a live one does? The
    /// beats of a backlog come faster than they were sent. Nothing is said of one between whose arrival and the
    /// one before nothing could be heard: it may have waited for as long as that took.
    fn is_in_step(&self, beat: &Beat, now: Mono) -> bool {
        let Some(newest) = &self.sight.beat else { return false };
        if beat.boot_id != newest.boot_id {
            return false;
        }
        let counted = self.sign.as_ref().is_some_and(|sign| Arc::ptr_eq(&sign.beat, newest));
        !counted && is_live_step(beat, newest.sequence, now.since(self.arrived))
    }

    fn judge(&self, settings: &PulseSettings, now: Mono) -> Verdict {
        let silence = self.silence(now);
        match &self.sign {
            // Only a beat that counts ends an outage.
            _ if self.sight.verdict == Verdict::Expired => Verdict::Expired,
            None if !self.sight.expected => Verdict::Unknown,
            None if silence > settings.timeout(settings.interval) => Verdict::Expired,
            None => Verdict::Unknown,
            Some(sign) if silence > settings.timeout(sign.beat.interval) => Verdict::Expired,
            Some(sign) if silence > slow_after(sign.beat.interval) => Verdict::Slow,
            Some(_) => Verdict::Ok,
        }
    }
}

fn slow_after(interval: Duration) -> Duration {
    interval.mul_f64(SLOW_INTERVALS)
}

/// The time that lies between a beat of that number and a later one of the same boot.
fn due_after(later: &Beat, number: u64) -> Duration {
    let steps = later.sequence.saturating_sub(number);
    later.interval.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Did a beat come as long after the one of that number as live ones do?
fn is_live_step(beat: &Beat, number: u64, passed: Duration) -> bool {
    let due = due_after(beat, number);
    passed >= due / 2 && passed <= due.saturating_add(slow_after(beat.interval))
}

/// All origins that were heard, or are expected.
#[derive(Debug)]
pub struct Pulse {
    settings: PulseSettings,
    origins: BTreeMap<String, Origin>,
    last_tick: Mono,
    /// The last tick before which nothing could be heard.
    unheard: Option<Mono>,
    no_room: u64,
}

impl Pulse {
    /// Nobody was heard yet.
    pub fn new(settings: PulseSettings, now: Mono) -> Self {
        let origins = settings
            .expect
            .iter()
            .take(ORIGINS_MAX)
            .map(|name| (name.clone(), Origin::expected(name, now)))
            .collect();
        Self { settings, origins, last_tick: now, unheard: None, no_room: 0 }
    }

    /// The one door.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        match input {
            Input::Arrived(beat) => self.arrived(beat, now),
            Input::Tick { hearing } => self.tick(hearing, now.mono),
        }
    }

    /// Every origin as it stands: for the first snapshot.
    pub fn sights(&self) -> Vec<Sight> {
        self.origins.values().map(|origin| origin.sight.clone()).collect()
    }

    /// Beats of new origins for which there was no room.
    pub fn no_room(&self) -> u64 {
        self.no_room
    }

    fn arrived(&mut self, beat: Beat, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.origins.contains_key(&beat.origin) && !self.make_room(now.mono, &mut effects) {
            self.no_room += 1;
            return effects;
        }
        let origin = self.origins.entry(beat.origin.clone()).or_default();
        origin.sight.origin.clone_from(&beat.origin);
        let was = origin.sight.verdict;
        let stands_still = now.mono.since(self.last_tick) > STOOD_STILL;
        let unheard = if stands_still { Some(now.mono) } else { self.unheard };
        if origin.take(beat, now, unheard) {
            origin.sight.verdict = Verdict::Ok;
        }
        effects.push(Effect::Show(origin.sight.clone()));
        if was == Verdict::Expired && origin.sight.verdict == Verdict::Ok {
            effects.push(Effect::Up(origin.sight.clone()));
        }
        effects
    }

    fn make_room(&mut self, now: Mono, effects: &mut Vec<Effect>) -> bool {
        if self.origins.len() < ORIGINS_MAX {
            return true;
        }
        let silent =
            |origin: &&Origin| !origin.sight.expected && now.since(origin.arrived) > FORGET_AFTER;
        let longest = self.origins.values().filter(silent).min_by_key(|origin| origin.arrived);
        let Some(name) = longest.map(|origin| origin.sight.origin.clone()) else { return false };
        self.origins.remove(&name);
        effects.push(Effect::Forget(name));
        true
    }

    fn tick(&mut self, hearing: bool, now: Mono) -> Vec<Effect> {
        let passed = now.since(self.last_tick);
        self.last_tick = now;
        let heard = hearing && passed <= STOOD_STILL || mutant!(DeafSilence);
        let uncounted = if heard { Duration::ZERO } else { passed };
        if !heard {
            self.unheard = Some(now);
        }
        let mut effects = Vec::new();
        for origin in self.origins.values_mut() {
            origin.silent_from = origin.silent_from.plus(uncounted).min(now);
            let verdict = origin.judge(&self.settings, now);
            if verdict == origin.sight.verdict && !mutant!(DownAgain) {
                continue;
            }
            origin.sight.verdict = verdict;
            if verdict == Verdict::Expired {
                origin.sight.outages += 1;
                effects.push(Effect::Down(origin.sight.clone()));
            }
            effects.push(Effect::Show(origin.sight.clone()));
        }
        effects
    }
}

#[cfg(test)]
mod tests;
