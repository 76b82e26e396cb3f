//! The heartbeat: says at every interval that this node lives and whether its lanes get on (rule
//! H2), hears the others and its own, and tells operators who is gone and who is back (H1, H3).
//!
//! Judging is the business of the machines in [`crate::logic::pulse`] and
//! [`crate::logic::progress`]. It runs on the actors' own thread on purpose: if that thread hangs,
//! no beat is sent, and the other nodes notice. Beats are volatile: one that cannot be published
//! is not kept, and its number is used up.

use super::keeper::{Alive, Post};
use super::{LaneView, Outside, ops};
use crate::logic::canary;
use crate::logic::progress::{Gait, LaneWatch};
use crate::logic::pulse::{Effect, Input, Pulse, PulseSettings, Sight};
use crate::logic::topic;
use crate::model::{BackendId, Beat, BeatStatus, Fields, Mono};
use crate::ports::{Decode, Delivery, Inlet, Malformed, Outgoing, Soon, Verdict};
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How often silence is judged.
const TICK: Duration = Duration::from_secs(1);
/// A store that has not answered a small question by then is told of in the beat.
const STORE_WITHIN: Duration = Duration::from_secs(2);
/// Unsent events are counted up to here: enough to see that they pile up.
const UNSENT_MAX: u32 = 10_000;
/// Lanes in a beat, those that hang first: with these it stays far below the size of a detail.
const LANES_MAX: usize = 32;
/// Characters of a lane's reason in a beat.
const REASON_MAX: usize = 120;
/// One line of log a reason in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How this node beats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// This node's name.
    pub origin: String,
    /// From one beat to the next.
    pub interval: Duration,
    /// How silence of others is judged; none: the default.
    pub timeout: Option<Duration>,
    /// Origins that must beat.
    pub expect: Vec<String>,
}

/// Beats arrived. Answered when they are judged, so that their sender cannot run ahead.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Heard(pub Vec<Beat>);

/// The service is stopping: no more beats.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopBeating;

/// The heartbeat actor.
pub struct Heartbeat {
    outside: Arc<Outside>,
    settings: HeartbeatSettings,
    boot_id: Uuid,
    sequence: u64,
    pulse: Pulse,
    watches: HashMap<BackendId, LaneWatch>,
    _alive: Alive,
}

impl Heartbeat {
    /// A heartbeat with a new boot id, that has heard nobody.
    pub fn new(outside: Arc<Outside>, settings: HeartbeatSettings, alive: Alive) -> Self {
        let now = outside.clock.now();
        let pulse = PulseSettings {
            timeout: settings.timeout,
            expect: settings.expect.clone(),
            interval: settings.interval,
        };
        Self {
            boot_id: outside.ids.uuid(now.wall),
            pulse: Pulse::new(pulse, now.mono),
            outside,
            settings,
            sequence: 0,
            watches: HashMap::new(),
            _alive: alive,
        }
    }

    fn feed(&mut self, input: Input) {
        for effect in self.pulse.step(input, self.outside.clock.now()) {
            match effect {
                Effect::Show(sight) => self.show(sight),
                Effect::Forget(origin) => drop(self.outside.views.beats.remove(&origin)),
                Effect::Down(sight) => self.tell("down", &sight),
                Effect::Up(sight) => self.tell("up", &sight),
            }
        }
    }

    fn show(&self, sight: Sight) {
        self.outside.views.beats.insert(sight.origin.clone(), sight);
    }

    fn tell(&self, what: &str, sight: &Sight) {
        tracing::warn!(origin = %sight.origin, what, "an origin of heartbeats");
        let beat = sight.beat.as_ref();
        let said = json!({
            "origin": sight.origin,
            "what": what,
            "reason": match (what, &sight.heard) {
                ("down", None) => "it is expected, and was not heard since our start",
                ("down", Some(_)) => "its beats have stopped",
                _ => "it beats again",
            },
            "last_heard_at": sight.heard.map(|at| at.wall.to_string()),
            "boot_id": beat.map(|beat| beat.boot_id.to_string()),
            "sequence": beat.map(|beat| beat.sequence),
            "status": beat.map(|beat| beat.status.as_str()),
            "told_by": self.settings.origin,
        });
        let key = format!("heartbeat.{}.{what}", topic::word(&sight.origin));
        ops::ring(&self.outside, key, ops::fields(said));
    }

    /// Asks the store how much waits, and beats whatever it answers.
    fn beat(&self, ctx: &mut Context<Self>) {
        let unsent = self.outside.reads.unsent_count(UNSENT_MAX);
        let unsent = async move { actix::clock::timeout(STORE_WITHIN, unsent).await };
        ctx.spawn(unsent.into_actor(self).map(|unsent, heartbeat, ctx| {
            heartbeat.send(unsent.ok().and_then(Result::ok), ctx);
        }));
    }

    fn send(&mut self, unsent: Option<u64>, ctx: &mut Context<Self>) {
        let now = self.outside.clock.now();
        self.sequence += 1;
        let lanes = self.look_at_lanes(now.mono);
        let mut problems: Vec<String> = lanes
            .iter()
            .filter_map(|(backend, _, gait)| match gait {
                Gait::Hung(why) => Some(format!("lane {backend}: {why}")),
                _ => None,
            })
            .take(LANES_MAX)
            .collect();
        problems.extend(self.dead_flows());
        if unsent.is_none() {
            problems.push("the store does not answer in time".to_owned());
        }
        let beat = Beat {
            origin: self.settings.origin.clone(),
            boot_id: self.boot_id,
            sequence: self.sequence,
            sent_at: now.wall,
            interval: self.settings.interval,
            status: if problems.is_empty() { BeatStatus::Ok } else { BeatStatus::Degraded },
            detail: self.detail(&lanes, &problems, unsent),
        };
        let published = self.outside.bus.publish(Outgoing::Beat(Arc::new(beat)));
        ctx.spawn(published.into_actor(self).map(|published, heartbeat, _| {
            let views = &heartbeat.outside.views;
            match published {
                Ok(()) => views.beats_sent.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(%error, "a beat was not published");
                    views.beats_unsent.fetch_add(1, Ordering::Relaxed)
                }
            };
        }));
    }

    /// Flows that the canary found dead. Where the lane has its reason for making no calls, that is no
    /// fault of ours, as with a lane that is held.
    fn dead_flows(&self) -> Vec<String> {
        let views = &self.outside.views;
        let held = |backend: &BackendId| {
            views.lanes.get(backend).is_some_and(|lane| lane.glance.held.is_some())
        };
        let dead = views.canaries.iter().filter(|row| row.dead && !held(row.key()));
        let told = dead.map(|row| format!("flow to {}: {}", row.key(), row.stage.waits_for()));
        told.take(LANES_MAX).collect()
    }

    /// Every lane with its gait, those that hang first.
    fn look_at_lanes(&mut self, now: Mono) -> Vec<(BackendId, LaneView, Gait)> {
        let mut lanes = Vec::new();
        for (backend, seat) in self.outside.backends.now().iter() {
            let view = self.outside.views.lanes.get(backend).map(|view| view.clone());
            let view = view.unwrap_or_default();
            let watch = self.watches.entry(backend.clone()).or_default();
            let gait = watch.look(&view.glance, &seat.settings, now);
            if let Gait::Hung(why) = gait {
                tracing::error!(%backend, why, "a lane does not get on");
            }
            self.outside.views.gaits.insert(backend.clone(), gait);
            lanes.push((backend.clone(), view, gait));
        }
        lanes.sort_by(|(one, _, gait), (other, _, gait_of_other)| {
            let hung = |gait: &Gait| matches!(gait, Gait::Hung(_));
            hung(gait_of_other).cmp(&hung(gait)).then_with(|| one.cmp(other))
        });
        lanes
    }

    fn detail(
        &self,
        lanes: &[(BackendId, LaneView, Gait)],
        problems: &[String],
        unsent: Option<u64>,
    ) -> Fields {
        let outside = &self.outside;
        let now = outside.clock.now().mono;
        let age = |sight: &canary::Sight| u64::try_from(sight.age(now).as_millis()).ok();
        let canaries = &outside.views.canaries;
        let ages: HashMap<BackendId, u64> =
            canaries.iter().filter_map(|row| Some((row.key().clone(), age(&row)?))).collect();
        let told: Fields = lanes
            .iter()
            .take(LANES_MAX)
            .map(|(backend, view, gait)| {
                let glance = &view.glance;
                let held = glance.held.as_ref();
                let lane = json!({
                    "state": gait.as_str(),
                    "heads": glance.heads,
                    "in_doubt": glance.in_doubt,
                    "searches": glance.reads,
                    "calling": glance.in_flight.is_some(),
                    "calls": view.calls,
                    "held": held.map(|why| why.chars().take(REASON_MAX).collect::<String>()),
                    "last_success": view.last_success.map(|at| at.to_string()),
                    "canary_age_ms": ages.get(backend),
                });
                (backend.to_string(), lane)
            })
            .collect();
        let clients = &outside.views.clients;
        ops::fields(json!({
            "lanes": told,
            "lanes_left_out": lanes.len().saturating_sub(LANES_MAX),
            "problems": problems,
            "canary_age_ms": ages.values().max(),
            "bus_connected": outside.bus.connected(),
            "events_unsent": unsent,
            "clients_locked": clients.iter().filter(|client| client.guid.is_some()).count(),
            "clients_waiting": outside.views.waiting_for_clients.load(Ordering::Relaxed),
        }))
    }
}

impl Actor for Heartbeat {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.outside.views.beats.clear();
        for sight in self.pulse.sights() {
            self.show(sight);
        }
        self.beat(ctx);
        ctx.run_interval(self.settings.interval, |heartbeat, ctx| heartbeat.beat(ctx));
        ctx.run_interval(TICK, |heartbeat, _| {
            let hearing = heartbeat.outside.bus.connected();
            heartbeat.feed(Input::Tick { hearing });
        });
    }
}

impl Handler<Heard> for Heartbeat {
    type Result = ();

    fn handle(&mut self, Heard(beats): Heard, _: &mut Self::Context) {
        for beat in beats {
            self.feed(Input::Arrived(beat));
        }
    }
}

impl Handler<StopBeating> for Heartbeat {
    type Result = ();

    fn handle(&mut self, _: StopBeating, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Where beats come in. Every delivery is settled at once: a beat is worth nothing later. One that
/// cannot be read is counted, and told in the log once a minute a reason; it is never parked.
pub struct BeatInlet {
    outside: Arc<Outside>,
    decode: Arc<dyn Decode>,
    heartbeat: Post<Heartbeat>,
    /// Beats that could not be read, since the start.
    pub malformed: AtomicU64,
    /// By the field at fault, of which there are few: when it was logged last.
    logged: Mutex<HashMap<Option<String>, Mono>>,
}

impl BeatInlet {
    /// An inlet to this actor.
    pub fn new(outside: Arc<Outside>, decode: Arc<dyn Decode>, heartbeat: Post<Heartbeat>) -> Self {
        let (malformed, logged) = (AtomicU64::new(0), Mutex::default());
        Self { outside, decode, heartbeat, malformed, logged }
    }

    fn note(&self, malformed: Malformed) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        let now = self.outside.clock.now().mono;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = logged.get(&malformed.field).is_none_or(|at| now.since(*at) >= LOG_EVERY);
        if due {
            tracing::warn!(
                field = malformed.field.as_deref(),
                reason = %malformed.reason,
                "a heartbeat cannot be read; told once a minute"
            );
            logged.insert(malformed.field, now);
        }
    }
}

impl Inlet for Arc<BeatInlet> {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        let mut beats = Vec::with_capacity(batch.len());
        for delivery in &batch {
            match self.decode.decode_beat(delivery) {
                Ok(beat) => beats.push(beat),
                Err(malformed) => self.note(malformed),
            }
        }
        let judged = self.heartbeat.ask(Heard(beats));
        Box::pin(async move {
            // An actor that is being replaced has forgotten everybody anyway.
            let _ = judged.await;
            vec![Verdict::Settled; batch.len()]
        })
    }
}
