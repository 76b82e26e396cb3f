//! The cast: thin actix actors over the machines of [`crate::logic`].
//!
//! A handler translates and feeds; one `perform` carries out effects; state changes in sync code
//! only. Store first, act second, ack last. All actors of a node run on one arbiter thread: what
//! may block has its own thread behind a port. Wake-ups are level-triggered and may be lost or
//! doubled without harm, since every actor also looks at the store by the clock.
//!
//! ```text
//! intake ─hand→ dispatcher ─acquire→ pool
//!                   │ carry            │ grant
//!                   └────→ ticket client ─submit, ask→ gateway ─wake→ outbox
//! offload: looks after what is over, by the clock
//! canary: sends a test alarm all the way round
//! heartbeat: looks at all of them through their snapshots, and hears other nodes
//! ```

mod answers;
mod aside;
#[cfg(test)]
mod at_once_tests;
mod calling;
mod canary;
mod client;
mod commands;
mod dispatcher;
mod exchanged;
mod gateway;
mod hands;
mod heartbeat;
mod intake;
mod keeper;
mod leases;
mod line;
mod notices;
mod offload;
mod ops;
mod outbox;
mod parked_bell;
mod pool;
mod sync;
mod tally;
mod views;

pub use answers::{AnswerInlet, Answers};
pub use canary::{Canary, CanaryPlan, StopCanary, TestBoard};
pub use client::{Carry, NotBusy, NotRead, ReadFor, TicketClient};
pub use commands::{CommandInlet, Commands};
pub use dispatcher::{Dispatcher, Finished, Full, Handed, Wake};
pub use exchanged::{EXCHANGES_MAX, Exchanged};
pub use gateway::{Ask, Drain, Gateway, Journal, Journaled, Reseat, Resume, Submit, TakeAnswer};
pub use hands::{CancelRequest, Hold, PauseLane, RetryRequest, SettleRequest};
pub use heartbeat::{BeatInlet, Heard, Heartbeat, HeartbeatSettings, StopBeating};
pub use intake::{Accepted, Intake, IntakeError, IntakeFigures, ParkedInlet};
pub use keeper::{Keeper, Post};
pub use leases::StoreLeases;
pub use line::Place;
pub use notices::Notices;
pub use offload::{
    Carrier, NotOffloaded, Offload, OffloadFailed, OffloadNow, OffloadPlan, OffloadTo,
};
pub use outbox::{CloseOutbox, Outbox, Woken};
pub use pool::{Acquire, GiveBack, NoClient, Pool, Prove, Release, Renew, Unlock, acquire};
pub use sync::{
    ConnectorInlet, Connectors, DryRun, DrySaid, InForce, Launch, NoConnector, NotNoticed, NotRun,
    Notice, OneAtATime, Replay, RunFailed, RunNow, Sync, SyncSeat, SyncSettings, Syncs, UnderWay,
    told_of_feed,
};
pub use tally::{Counted, Tally};
pub use views::{BusyWith, ClientView, Desk, DeskPath, LaneView, RESPONSES_MAX, Response, Views};

use crate::changes::{Applied, Change};
use crate::logic::lane::LaneSettings;
use crate::logic::policy::Policy;
use crate::model::{BackendId, Route};
use crate::ports::{
    Backend, Bus, Clock, Decode, FreshIds, Ids, Leases, Reads, Store, StoreError, Tripwire,
};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// One configured backend.
#[derive(Clone)]
pub struct BackendSeat {
    /// Makes the calls.
    pub port: Arc<dyn Backend>,
    /// How its lane treats it.
    pub settings: LaneSettings,
}

/// The configured backends. Which there are never changes while a service runs; how each is spoken to
/// and treated is replaced by a reload.
pub struct Backends(RwLock<Arc<HashMap<BackendId, BackendSeat>>>);

impl Backends {
    /// These.
    pub fn new(seats: HashMap<BackendId, BackendSeat>) -> Self {
        Self(RwLock::new(Arc::new(seats)))
    }

    /// All of them, as they are now.
    pub fn now(&self) -> Arc<HashMap<BackendId, BackendSeat>> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// One of them, as it is now.
    pub fn get(&self, backend: &BackendId) -> Option<BackendSeat> {
        self.now().get(backend).cloned()
    }

    /// Is there one of that name?
    pub fn has(&self, backend: &BackendId) -> bool {
        self.now().contains_key(backend)
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<BackendId> {
        let mut names: Vec<_> = self.now().keys().cloned().collect();
        names.sort();
        names
    }

    /// Puts changed seats in place of those of the same names; a call under way ends as it began.
    pub fn replace(&self, seats: HashMap<BackendId, BackendSeat>) {
        let mut place = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut all = HashMap::clone(&place);
        all.extend(seats.into_iter().filter(|(backend, _)| place.contains_key(backend)));
        *place = Arc::new(all);
    }
}

/// Everything that the actors need from outside, and what they share.
pub struct Outside {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identities and chance.
    pub ids: Arc<dyn Ids>,
    /// The writer.
    pub store: Arc<dyn Store>,
    /// Committed rows.
    pub reads: Arc<dyn Reads>,
    /// The way out.
    pub bus: Arc<dyn Bus>,
    /// Who runs which lane.
    pub leases: Arc<dyn Leases>,
    /// The backends by name.
    pub backends: Backends,
    /// From alarm to ticket; replaced whole by a reload.
    pub policy: RwLock<Arc<Policy>>,
    /// The installation's name: part of every correlation key, never changed.
    pub instance: String,
    /// Where final answers go that no command sends elsewhere, by backend, unless a person has set
    /// another route (in the store).
    pub routes: RwLock<HashMap<BackendId, Route>>,
    /// What faces may wait for.
    pub notices: Notices,
    /// Snapshots for the faces.
    pub views: Views,
}

impl Outside {
    /// The policy that applies now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Where the config sends a backend's final answers that no command sends elsewhere.
    pub fn route_of(&self, backend: &BackendId) -> Option<Route> {
        let routes = self.routes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        routes.get(backend).cloned()
    }

    /// Puts a changed policy in place of the one that applies; what is under way has seen either.
    pub fn change_policy(&self, change: impl FnOnce(&mut Policy)) {
        let mut place = self.policy.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut policy = Policy::clone(&place);
        change(&mut policy);
        *place = Arc::new(policy);
    }
}

/// How many, and how long.
#[derive(Clone)]
pub struct CastSettings {
    /// Ticket clients: flows at once.
    pub clients: usize,
    /// A flow that takes longer loses its lock.
    pub flow_timeout: Duration,
    /// How this node beats; none: it does not, and hears nobody.
    pub heartbeat: Option<HeartbeatSettings>,
    /// How long what is over stays.
    pub offload: OffloadPlan,
    /// With whom tickets are kept in step.
    pub syncs: Vec<SyncSettings>,
    /// How the flow is tried; none: it is not.
    pub canary: Option<CanaryPlan>,
}

impl Default for CastSettings {
    fn default() -> Self {
        Self {
            clients: 32,
            flow_timeout: Duration::from_secs(120),
            heartbeat: None,
            offload: OffloadPlan::default(),
            syncs: Vec::new(),
            canary: None,
        }
    }
}

/// The running cast of one node.
#[derive(Clone)]
pub struct Cast {
    /// What the actors share.
    pub outside: Arc<Outside>,
    /// Where alarms come in.
    pub intake: Arc<Intake>,
    /// Where commands come in.
    pub commands: Arc<Commands>,
    /// Where backends' later answers come in.
    pub answers: Arc<Answers>,
    /// Grants locks.
    pub pool: Post<Pool>,
    /// Carry flows and reads, in order of their numbers.
    pub clients: Vec<Post<TicketClient>>,
    /// Finds due alarms.
    pub dispatcher: Post<Dispatcher>,
    /// The only way out.
    pub gateway: Post<Gateway>,
    /// Publishes events.
    pub outbox: Post<Outbox>,
    /// Where beats come in; none: nobody listens.
    pub beats: Option<Arc<BeatInlet>>,
    /// Looks after what is over.
    pub offload: Post<Offload>,
    /// Each keeps tickets in step with another side.
    pub syncs: Syncs,
    /// Where connectors' messages come in.
    pub connectors: Arc<Connectors>,
    heartbeat: Post<Heartbeat>,
    canary: Post<Canary>,
    keeper: Keeper,
}

/// Calls that are under way when the service stops are waited for so long (rule G16).
pub const CALLS_GRACE: Duration = Duration::from_secs(20);
/// And then confirms.
pub const CONFIRMS_GRACE: Duration = Duration::from_secs(5);

impl Cast {
    /// Starts every actor on the current arbiter.
    pub fn start(
        outside: Arc<Outside>,
        settings: &CastSettings,
        decode: Arc<dyn Decode>,
        tripwire: Arc<dyn Tripwire>,
    ) -> Self {
        let keeper = Keeper::default();
        let pool = Post::default();
        let dispatcher = Post::default();
        let gateway = Post::default();
        let outbox = Post::default();
        let clients: Vec<Post<TicketClient>> =
            (0..settings.clients.max(1)).map(|_| Post::default()).collect();
        let heartbeat = Post::default();
        let beats = settings.heartbeat.as_ref().map(|settings| {
            let inlet = BeatInlet::new(outside.clone(), decode.clone(), heartbeat.clone());
            let (outside, settings) = (outside.clone(), settings.clone());
            keeper.keep("heartbeat", &heartbeat, move |alive| {
                Heartbeat::new(outside.clone(), settings.clone(), alive)
            });
            Arc::new(inlet)
        });
        let (canary, board) = (Post::default(), Arc::new(TestBoard::default()));
        let intake = Intake::new(
            outside.clone(),
            decode.clone(),
            tripwire,
            dispatcher.clone(),
            (canary.clone(), board.clone()),
        );
        let intake = Arc::new(intake);
        actix::spawn(intake.clone().clear_all_unnamed());
        let commands = Arc::new(Commands::new(
            outside.clone(),
            pool.clone(),
            clients.clone(),
            gateway.clone(),
            decode.clone(),
        ));
        let answers = Answers::new(outside.clone(), gateway.clone(), decode.clone());
        let answers = Arc::new(answers);
        let syncs = Syncs::new(&settings.syncs);
        let connectors = Arc::new(Connectors::new(
            outside.clone(),
            gateway.clone(),
            outbox.clone(),
            decode,
            syncs.clone(),
        ));
        for seat in syncs.iter() {
            let (outside, in_force) = (outside.clone(), seat.in_force.clone());
            let (gateway, outbox) = (gateway.clone(), outbox.clone());
            keeper.keep("sync", &seat.post, move |alive| {
                let (gateway, outbox) = (gateway.clone(), outbox.clone());
                Sync::new(outside.clone(), in_force.clone(), gateway, outbox, alive)
            });
        }

        keeper.keep("outbox", &outbox, {
            let (outside, canary) = (outside.clone(), canary.clone());
            move |alive| Outbox::new(outside.clone(), canary.clone(), alive)
        });
        keeper.keep("gateway", &gateway, {
            let (outside, dispatcher, outbox) =
                (outside.clone(), dispatcher.clone(), outbox.clone());
            move |alive| Gateway::new(outside.clone(), dispatcher.clone(), outbox.clone(), alive)
        });
        keeper.keep("pool", &pool, {
            let (outside, number) = (outside.clone(), clients.len());
            move |alive| Pool::new(outside.clone(), number, alive)
        });
        for (number, post) in (1u64..).zip(&clients) {
            let (outside, gateway, outbox) = (outside.clone(), gateway.clone(), outbox.clone());
            keeper.keep("ticket client", post, move |alive| {
                let number = crate::model::ClientNumber(number);
                TicketClient::new(number, outside.clone(), gateway.clone(), outbox.clone(), alive)
            });
        }
        keeper.keep("dispatcher", &dispatcher, {
            let (outside, pool, me) = (outside.clone(), pool.clone(), dispatcher.clone());
            let (timeout, clients) = (settings.flow_timeout, clients.clone());
            move |alive| {
                Dispatcher::new(
                    outside.clone(),
                    pool.clone(),
                    clients.clone(),
                    me.clone(),
                    timeout,
                    alive,
                )
            }
        });
        if let Some(plan) = settings.canary.clone() {
            let with = canary::Helpers {
                pool: pool.clone(),
                clients: clients.clone(),
                gateway: gateway.clone(),
                outbox: outbox.clone(),
                board,
            };
            let outside = outside.clone();
            keeper.keep("canary", &canary, move |alive| {
                Canary::new(outside.clone(), plan.clone(), with.clone(), alive)
            });
        }
        let offload = Post::default();
        keeper.keep("offload", &offload, {
            let (outside, plan) = (outside.clone(), settings.offload.clone());
            move |alive| Offload::new(outside.clone(), plan.clone(), alive)
        });
        Self {
            outside,
            intake,
            commands,
            answers,
            pool,
            clients,
            dispatcher,
            gateway,
            outbox,
            beats,
            offload,
            syncs,
            connectors,
            heartbeat,
            canary,
            keeper,
        }
    }

    /// Ids for what one told ticket may need.
    pub fn fresh_ids(&self) -> FreshIds {
        sync::fresh(&self.outside)
    }

    /// Carries out a person's order to a sync.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn steer_sync(&self, order: Change) -> Result<(), StoreError> {
        let applied = self.outside.store.apply(order.into()).await?;
        if let Some(Applied::Synced(synced)) = applied.first() {
            sync::hand_on(&self.gateway, &self.outbox, synced);
        }
        Ok(())
    }

    /// Stops in order: no more intents, calls get their grace, confirms theirs (rule G16). Intake
    /// was stopped before by whoever feeds it.
    pub async fn stop(&self) {
        self.intake.close();
        self.canary.tell(StopCanary { for_good: false });
        let drained = self.gateway.ask(Drain);
        if actix::clock::timeout(CALLS_GRACE, drained).await.is_err() {
            tracing::warn!("calls were still under way at the stop: they are in doubt");
        }
        let confirmed = self.outbox.ask(CloseOutbox);
        if actix::clock::timeout(CONFIRMS_GRACE, confirmed).await.is_err() {
            tracing::warn!("events were not confirmed at the stop: they are published again");
        }
        self.keeper.rest();
        self.heartbeat.tell(StopBeating);
        self.canary.tell(StopCanary { for_good: true });
    }
}
