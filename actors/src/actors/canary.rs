//! The canary: sends a test alarm the way of a real one, for each backend, and tells operators once
//! when it does not come through any more (docs/canary.md).
//!
//! What comes next is the business of the machine in [`crate::logic::canary`]; here its stages are
//! carried out: publish to the alarms exchange; (the intake stores it and says so;) a ticket client
//! carries it under a lock of the backend's flows; its lane asks the backend, without writing
//! anything; its event goes out through the outbox (which says when it is confirmed). Every wait has
//! its end, but for those that the machine looks after.

use super::calling::verdict;
use super::client::CarryTest;
use super::keeper::{Alive, Post};
use super::outbox::Woken;
use super::{Ask, Gateway, Outbox, Outside, Pool, TicketClient, acquire};
use crate::changes::{CanaryStep, Change};
use crate::logic::canary::{Bell, Canary as Machine, CanarySettings, Effect, Input};
use crate::logic::locks::{Holder, Wish};
use crate::model::{BackendId, EventId, Mono, TestAlarm, TestRow};
use crate::ports::{Answer, Heard, Outgoing, StoreError, Work};
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use dashmap::DashMap;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The machines are told that time passes.
const TICK: Duration = Duration::from_secs(1);
/// No more often than this, whatever the settings say.
const TICK_MIN: Duration = Duration::from_millis(50);
/// What a stage that names its own end may take longer, before we believe that it hangs.
const GRACE: Duration = Duration::from_secs(5);

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryPlan {
    /// How often, and how patiently.
    pub settings: CanarySettings,
    /// Whose flows; empty: every backend's.
    pub backends: Vec<BackendId>,
    /// This node's name.
    pub node: String,
    /// How long a ticket client may be held.
    pub flow_timeout: Duration,
}

/// The rounds whose test alarm has yet to come in. The intake takes in no other: a copy, and one of an
/// earlier round, of an earlier life or of another node's, is over or somebody else's.
#[derive(Debug, Default)]
pub struct TestBoard(DashMap<BackendId, Uuid>);

impl TestBoard {
    /// Is it awaited here?
    pub fn has(&self, test: &TestAlarm) -> bool {
        self.0.get(&test.backend).is_some_and(|round| *round == test.round)
    }
}

/// A test alarm came in and is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CameIn(pub TestAlarm);

/// The event of a test alarm is confirmed, and nothing of it is stored any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Confirmed(pub TestAlarm);

/// The service is stopping: no more rounds; `for_good`: nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopCanary {
    /// The actor stops too.
    pub for_good: bool,
}

/// Whom the canary needs.
#[derive(Clone)]
pub(super) struct Helpers {
    pub pool: Post<Pool>,
    pub clients: Vec<Post<TicketClient>>,
    pub gateway: Post<Gateway>,
    pub outbox: Post<Outbox>,
    pub board: Arc<TestBoard>,
}

/// The canary actor.
pub struct Canary {
    outside: Arc<Outside>,
    plan: CanaryPlan,
    with: Helpers,
    machines: HashMap<BackendId, Machine>,
    stopping: bool,
    _alive: Alive,
}

impl Canary {
    /// A canary that knows nothing yet. First rounds are spread over one interval.
    pub(super) fn new(
        outside: Arc<Outside>,
        plan: CanaryPlan,
        with: Helpers,
        alive: Alive,
    ) -> Self {
        let now = outside.clock.now().mono;
        let wanted = |name: &BackendId| plan.backends.is_empty() || plan.backends.contains(name);
        let names: Vec<_> = outside.backends.names().into_iter().filter(wanted).collect();
        let apart = plan.settings.every / u32::try_from(names.len().max(1)).unwrap_or(u32::MAX);
        let machines = (1u32..)
            .zip(names)
            .map(|(n, name)| (name, Machine::new(plan.settings, now.plus(apart * n), now)))
            .collect();
        Self { outside, plan, with, machines, stopping: false, _alive: alive }
    }

    fn feed(&mut self, backend: &BackendId, input: Input, ctx: &mut Context<Self>) {
        let Some(machine) = self.machines.get_mut(backend) else { return };
        let (now, ids) = (self.outside.clock.now(), self.outside.ids.clone());
        let was_dead = machine.sight().dead;
        let effects = machine.step(input, now, &mut || ids.uuid(now.wall));
        let (sight, awaited) = (machine.sight().clone(), machine.awaits());
        match awaited {
            Some(round) => drop(self.with.board.0.insert(backend.clone(), round)),
            None => drop(self.with.board.0.remove(backend)),
        }
        if sight.dead != was_dead {
            let (stage, why, age) = (sight.stage.as_str(), &sight.why, sight.age(now.mono));
            match sight.dead {
                true => tracing::error!(%backend, stage, why, ?age, "the flow is dead"),
                false => tracing::warn!(%backend, "the flow is alive again"),
            }
        }
        self.outside.views.canaries.insert(backend.clone(), sight);
        for effect in effects {
            self.perform(backend, effect, ctx);
        }
    }

    fn perform(&self, backend: &BackendId, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Publish(round) => {
                let test = Outgoing::Test(self.test(backend, round), self.outside.clock.now().wall);
                let taken = self.outside.bus.publish(test);
                let said = async move {
                    Input::Published(round, taken.await.map_err(|error| error.to_string()))
                };
                self.later(backend, said, ctx);
            }
            Effect::Carry(round) => {
                let carried = carry(
                    self.outside.clone(),
                    self.with.clone(),
                    self.plan.clone(),
                    self.test(backend, round),
                );
                self.later(backend, async move { Input::Carried(round, carried.await) }, ctx);
            }
            Effect::Ask(round) => {
                let patience = self.plan.settings.dead_after;
                let asked = ask(self.outside.clone(), &self.with.gateway, backend, patience);
                self.later(backend, async move { Input::Answered(round, asked.await) }, ctx);
            }
            Effect::Tell(round) => {
                let id = EventId(self.outside.ids.uuid(self.outside.clock.now().wall));
                let stored = self.step(backend, round, CanaryStep::Tell(id));
                let outbox = self.with.outbox.clone();
                let told = async move {
                    let stored = stored.await;
                    if stored.is_ok() {
                        outbox.tell(Woken);
                    }
                    Input::Told(round, stored)
                };
                self.later(backend, told, ctx);
            }
            Effect::Look(round) => self.look(backend.clone(), round, ctx),
            Effect::GiveUp(round) => {
                // What the store does not take now, the next round takes out.
                let gone = self.step(backend, round, CanaryStep::GiveUp);
                ctx.spawn(gone.into_actor(self).map(|_, _, _| ()));
            }
            Effect::Ring(bell) => {
                let (id, taken) = (bell.id, self.ring(backend, &bell));
                self.later(backend, async move { Input::Rung(id, taken.await) }, ctx);
            }
        }
    }

    fn test(&self, backend: &BackendId, round: Uuid) -> TestAlarm {
        TestAlarm { node: self.plan.node.clone(), backend: backend.clone(), round }
    }

    fn step(
        &self,
        backend: &BackendId,
        round: Uuid,
        step: CanaryStep,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let change = Change::Canary(self.test(backend, round), step);
        let applied = self.outside.store.apply(change.into());
        async move { applied.await.map(drop).map_err(|error| error.to_string()) }
    }

    fn later(
        &self,
        backend: &BackendId,
        said: impl Future<Output = Input> + 'static,
        ctx: &mut Context<Self>,
    ) {
        let backend = backend.clone();
        ctx.spawn(said.into_actor(self).map(move |input, canary, ctx| {
            canary.feed(&backend, input, ctx);
        }));
    }

    /// The outbox's word may be lost with the outbox: then the store tells.
    fn look(&self, backend: BackendId, round: Uuid, ctx: &mut Context<Self>) {
        let row = self.outside.reads.lane(backend.clone());
        ctx.spawn(row.into_actor(self).map(move |row, canary, ctx| {
            let gone = |row: crate::ports::LaneRow| row.canary.is_none_or(|it| it.round != round);
            if row.is_ok_and(gone) {
                canary.feed(&backend, Input::Confirmed(round), ctx);
            }
        }));
    }

    /// What an earlier life, or an actor that was replaced, has left in the store goes.
    fn clear_up(&self, backend: BackendId, ctx: &mut Context<Self>) {
        let (outside, node) = (self.outside.clone(), self.plan.node.clone());
        let cleared = async move {
            let left = outside.reads.lane(backend.clone()).await?.canary;
            let Some(TestRow { round, .. }) = left else { return Ok(()) };
            let test = TestAlarm { node, backend, round };
            outside.store.apply(Change::Canary(test, CanaryStep::GiveUp).into()).await.map(drop)
        };
        ctx.spawn(cleared.into_actor(self).map(|cleared: Result<(), StoreError>, _, _| {
            if let Err(error) = cleared {
                // The next round takes its place.
                tracing::debug!(%error, "what an earlier canary has left was not cleared up");
            }
        }));
    }

    /// Tells operators; true: the bus has it.
    fn ring(&self, backend: &BackendId, bell: &Bell) -> impl Future<Output = bool> + use<> {
        let key = if bell.dead { "flow.dead" } else { "flow.alive" };
        let held = self.outside.views.lanes.get(backend).and_then(|lane| lane.glance.held.clone());
        let last = self.outside.views.canaries.get(backend).and_then(|sight| sight.last);
        let reason = match bell.dead {
            true => bell.stage.waits_for(),
            false => "a test alarm has come all the way again",
        };
        let body = json!({
            "event": key,
            "at": bell.at.to_string(),
            "backend": backend,
            "stage": bell.stage.as_str(),
            "reason": reason,
            "said": bell.why,
            "age_ms": u64::try_from(bell.age.as_millis()).unwrap_or(u64::MAX),
            "last_round_at": last.map(|at| at.wall.to_string()),
            "lane_held": held,
            "told_by": self.plan.node,
        });
        let message =
            Outgoing::Ops { event_id: EventId(bell.id), key: key.to_owned(), at: bell.at, body };
        let taken = self.outside.bus.publish(message);
        async move { taken.await.is_ok() }
    }
}

/// Takes a ticket client as a flow of that backend does, and has it carry the test alarm.
async fn carry(
    outside: Arc<Outside>,
    with: Helpers,
    plan: CanaryPlan,
    test: TestAlarm,
) -> Result<(), String> {
    let now = outside.clock.now();
    let wait = plan.settings.dead_after;
    let wish = Wish {
        guid: outside.ids.uuid(now.wall),
        holder: Holder::Flow(test.backend.clone()),
        timeout: plan.flow_timeout,
        wait_until: now.mono.plus(wait),
    };
    let granted = acquire(&with.pool, wish);
    let grant = match actix::clock::timeout(wait + GRACE, granted).await {
        Err(_) => return Err("the pool of ticket clients does not answer".to_owned()),
        Ok(None) => return Err("the pool of ticket clients is being replaced".to_owned()),
        Ok(Some(Err(why))) => return Err(why.to_string()),
        Ok(Some(Ok(grant))) => grant,
    };
    let place = usize::try_from(grant.client.0.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(client) = with.clients.get(place) else { return Err("no such client".to_owned()) };
    let carried = client.ask(CarryTest::new(test, grant, with.pool.clone()));
    match actix::clock::timeout(plan.flow_timeout, carried).await {
        Err(_) => Err("the ticket client does not answer".to_owned()),
        Ok(None) => Err("the ticket client is being replaced".to_owned()),
        Ok(Some(said)) => said,
    }
}

/// Asks the backend through its lane.
fn ask(
    outside: Arc<Outside>,
    gateway: &Post<Gateway>,
    backend: &BackendId,
    patience: Duration,
) -> impl Future<Output = Result<(), String>> + use<> {
    let deadline: Mono = outside.clock.now().mono.plus(patience);
    let call = outside.backends.get(backend).map(|seat| seat.settings);
    let call = call.map_or(Duration::ZERO, |it| it.timeout.saturating_add(it.send_within));
    let asked = gateway.ask(Ask { backend: backend.clone(), work: Work::Probe, deadline });
    let backend = backend.clone();
    async move {
        let said = match actix::clock::timeout(patience + call + GRACE, asked).await {
            Ok(Some(Heard { answer: Answer::Read(_), .. })) => return Ok(()),
            Ok(Some(heard)) => verdict(&heard.answer),
            Ok(None) => "the gateway is being replaced".to_owned(),
            Err(_) => "the lane does not answer".to_owned(),
        };
        let held = outside.views.lanes.get(&backend).and_then(|lane| lane.glance.held.clone());
        Err(match held {
            Some(why) => format!("{said}; the lane is held: {why}"),
            None => said,
        })
    }
}

impl Actor for Canary {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.outside.views.canaries.clear();
        for (backend, machine) in &self.machines {
            self.outside.views.canaries.insert(backend.clone(), machine.sight().clone());
            self.clear_up(backend.clone(), ctx);
        }
        let tick = TICK.min(self.plan.settings.every / 4).max(TICK_MIN);
        ctx.run_interval(tick, |canary, ctx| {
            if canary.stopping {
                return;
            }
            let backends: Vec<_> = canary.machines.keys().cloned().collect();
            for backend in backends {
                canary.feed(&backend, Input::Tick, ctx);
            }
        });
    }
}

impl Handler<CameIn> for Canary {
    type Result = ();

    fn handle(&mut self, CameIn(test): CameIn, ctx: &mut Self::Context) {
        self.feed(&test.backend, Input::CameIn(test.round), ctx);
    }
}

impl Handler<Confirmed> for Canary {
    type Result = ();

    fn handle(&mut self, Confirmed(test): Confirmed, ctx: &mut Self::Context) {
        self.feed(&test.backend, Input::Confirmed(test.round), ctx);
    }
}

impl Handler<StopCanary> for Canary {
    type Result = ();

    fn handle(&mut self, it: StopCanary, ctx: &mut Self::Context) {
        self.stopping = true;
        if it.for_good {
            ctx.stop();
        }
    }
}
