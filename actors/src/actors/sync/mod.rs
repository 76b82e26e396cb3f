//! Keeps tickets in step with another side: one actor a sync (docs/sync.md).
//!
//! A feed is read page by page through its backend's lane, merged and its place moved in one
//! transaction; a connector's messages come in by [`Connectors`]. One run at a time: a second one is
//! refused. Runs are woken by the clock, and what they missed is in the store: an actor that comes back
//! goes on from there.

mod connectors;
mod line;
mod run;

pub use connectors::{ConnectorInlet, Connectors, NoConnector};
pub use run::{DrySaid, RunFailed, told_of_feed};

use super::keeper::{Alive, Post};
use super::{Gateway, Outbox, Outside};
use crate::logic::sync::{From, Plan};
use crate::model::{Mono, SyncRow, Timestamp, Told};
use crate::ports::StoreError;
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use run::Runner;
pub(super) use run::{fresh, hand_on};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is asked whether a run is due.
const TICK: Duration = Duration::from_millis(250);

/// When runs are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// By the clock; else only by hand.
    pub automatic: bool,
    /// From one run's beginning to the next.
    pub every: Duration,
    /// Not before this time.
    pub start: Option<Timestamp>,
    /// Not after this time.
    pub end: Option<Timestamp>,
}

/// One configured sync.
#[derive(Clone, Debug)]
pub struct SyncSettings {
    /// What it does.
    pub plan: Arc<Plan>,
    /// When.
    pub launch: Launch,
    /// Changes that are read in one page.
    pub batch: u32,
    /// Taken out of use: it keeps what it knows and does nothing.
    pub masked: bool,
    /// Whose messages a connector's sync takes; none: any element's.
    pub element: Option<String>,
}

/// A person wants a run now.
#[derive(Message)]
#[rtype(result = "Result<SyncRow, NotRun>")]
pub struct RunNow {
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// What would the next page do?
#[derive(Message)]
#[rtype(result = "Result<Vec<DrySaid>, NotRun>")]
pub struct DryRun {
    /// From this cursor, and not from the stored one.
    pub cursor: Option<String>,
}

/// A file is to be taken as if the source had sent it. What it tells, or the id and what is wrong.
#[derive(Message)]
#[rtype(result = "Result<SyncRow, NotRun>")]
pub struct Replay {
    /// What the file tells.
    pub told: Vec<Result<Told, (String, String)>>,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// Why a run was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// Another one is active.
    #[error("a run of this sync is active")]
    Active,
    /// It is masked.
    #[error("this sync is masked: it keeps what it knows and does nothing")]
    Masked,
    /// A connector's sync is driven by its messages.
    #[error("this sync is driven by its connector's messages: there is nothing to run")]
    NoFeed,
    /// It stopped; what was read before is kept.
    #[error(transparent)]
    Failed(#[from] RunFailed),
    /// The store did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The actor of one sync.
pub struct Sync {
    settings: SyncSettings,
    runner: Arc<Runner>,
    active: Arc<AtomicBool>,
    begun: Option<Mono>,
    minding: Arc<AtomicBool>,
    _alive: Alive,
}

/// Set while something is under way; cleared when this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(flag: &Arc<AtomicBool>) -> Option<Self> {
        let free = !flag.swap(true, Ordering::SeqCst);
        free.then(|| Self(flag.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Sync {
    /// One that runs for the first time at its next tick, if its launch says so.
    pub fn new(
        outside: Arc<Outside>,
        settings: SyncSettings,
        gateway: Post<Gateway>,
        outbox: Post<Outbox>,
        alive: Alive,
    ) -> Self {
        let runner = Runner::new(outside, settings.clone(), gateway, outbox);
        Self {
            settings,
            runner: Arc::new(runner),
            active: Arc::default(),
            begun: None,
            minding: Arc::default(),
            _alive: alive,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.settings.masked {
            return;
        }
        let now = self.runner.outside.clock.now();
        let launch = &self.settings.launch;
        let in_time = launch.start.is_none_or(|at| now.wall >= at)
            && launch.end.is_none_or(|at| now.wall <= at);
        let due = self.begun.is_none_or(|at| now.mono.since(at) >= launch.every);
        if self.is_feed()
            && launch.automatic
            && in_time
            && due
            && let Some(busy) = Busy::begin(&self.active)
        {
            self.begun = Some(now.mono);
            let runner = self.runner.clone();
            let run = async move {
                // A failed run was told by the runner; the next one goes on where it stopped.
                let _ = runner.run().await;
                drop(busy);
            };
            ctx.spawn(run.into_actor(self));
        }
        if let Some(busy) = Busy::begin(&self.minding) {
            let runner = self.runner.clone();
            let mind = async move {
                runner.mind().await;
                drop(busy);
            };
            ctx.spawn(mind.into_actor(self));
        }
    }

    fn is_feed(&self) -> bool {
        matches!(self.settings.plan.from, From::Feed(..))
    }

    /// Whether a person's order can be carried out now.
    fn begin(&mut self) -> Result<Busy, NotRun> {
        if self.settings.masked {
            return Err(NotRun::Masked);
        }
        Busy::begin(&self.active).ok_or(NotRun::Active)
    }
}

impl Actor for Sync {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, Self::tick);
    }
}

impl Handler<RunNow> for Sync {
    type Result = ResponseFuture<Result<SyncRow, NotRun>>;

    fn handle(&mut self, run: RunNow, _: &mut Self::Context) -> Self::Result {
        if !self.is_feed() {
            return Box::pin(std::future::ready(Err(NotRun::NoFeed)));
        }
        let busy = match self.begin() {
            Ok(busy) => busy,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.begun = Some(self.runner.outside.clock.now().mono);
        let runner = self.runner.clone();
        Box::pin(async move {
            runner.audit(run.who, "run", run.reason).await?;
            runner.run().await?;
            drop(busy);
            Ok(runner.row().await?)
        })
    }
}

impl Handler<DryRun> for Sync {
    type Result = ResponseFuture<Result<Vec<DrySaid>, NotRun>>;

    fn handle(&mut self, dry: DryRun, _: &mut Self::Context) -> Self::Result {
        if !self.is_feed() {
            return Box::pin(std::future::ready(Err(NotRun::NoFeed)));
        }
        let runner = self.runner.clone();
        Box::pin(async move { Ok(runner.dry_run(dry.cursor).await?) })
    }
}

impl Handler<Replay> for Sync {
    type Result = ResponseFuture<Result<SyncRow, NotRun>>;

    fn handle(&mut self, replay: Replay, _: &mut Self::Context) -> Self::Result {
        let busy = match self.begin() {
            Ok(busy) => busy,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let runner = self.runner.clone();
        Box::pin(async move {
            runner.audit(replay.who, "replay of a file", replay.reason).await?;
            runner.replay(replay.told).await?;
            drop(busy);
            Ok(runner.row().await?)
        })
    }
}
