//! Keeps tickets in step with another side: one actor a sync (docs/sync.md).
//!
//! A feed is read page by page through its backend's lane, merged and its place moved in one
//! transaction; a connector's messages come in by [`Connectors`]. One run at a time: a second one is
//! refused. Runs are woken by the clock and by notices of their source, and what they missed is in the
//! store: an actor that comes back goes on from there.

mod connectors;
mod line;
mod run;
mod seats;
mod turn;

pub use connectors::{ConnectorInlet, Connectors, NoConnector};
pub use run::{DrySaid, RunFailed, told_of_feed};
pub use seats::{InForce, SyncSeat, Syncs};
pub use turn::{OneAtATime, UnderWay};

use super::keeper::{Alive, Post};
use super::{Gateway, Outbox, Outside};
use crate::logic::sync::{From, Plan};
use crate::model::{Mono, SyncRow, Timestamp, Told};
use crate::ports::StoreError;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use line::Line;
use run::Runner;
pub(super) use run::{fresh, hand_on};
use std::sync::Arc;
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
    /// From one run's beginning to the next where notices ask for them: as many as come make one run.
    pub notice_pause: Duration,
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

impl SyncSettings {
    /// Is there something to read?
    pub fn is_feed(&self) -> bool {
        matches!(self.plan.from, From::Feed(..))
    }
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

/// Its source says that something has changed there: a run is made soon.
#[derive(Message)]
#[rtype(result = "Result<(), NotNoticed>")]
pub struct Notice;

/// Why a notice makes no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNoticed {
    /// It is out of use.
    #[error("is masked")]
    Masked,
    /// It reads nothing.
    #[error("takes its connector's messages, and reads nothing")]
    NoFeed,
    /// Somebody wants to say when it runs.
    #[error("runs only by hand")]
    ByHand,
    /// Its launch has a beginning and an end.
    #[error("does not run at this time")]
    OutOfTime,
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
    in_force: InForce,
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
    line: Arc<Line>,
    active: OneAtATime,
    begun: Option<Mono>,
    /// A notice came after the last run had begun.
    noticed: bool,
    /// When the last run of the clock or of a notice was over, and how long it took.
    over: Option<(Mono, Duration)>,
    minding: OneAtATime,
    _alive: Alive,
}

impl Launch {
    /// May the clock, or a notice, begin a run at this time?
    fn in_time(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|at| now >= at) && self.end.is_none_or(|at| now <= at)
    }
}

impl Sync {
    /// One that runs for the first time at its next tick, if its launch says so.
    pub fn new(
        outside: Arc<Outside>,
        in_force: InForce,
        gateway: Post<Gateway>,
        outbox: Post<Outbox>,
        alive: Alive,
    ) -> Self {
        Self {
            in_force,
            outside,
            gateway,
            outbox,
            line: Arc::default(),
            active: OneAtATime::default(),
            begun: None,
            noticed: false,
            over: None,
            minding: OneAtATime::default(),
            _alive: alive,
        }
    }

    /// Carries out one order, as the sync works now.
    fn runner(&self) -> Arc<Runner> {
        let (gateway, outbox) = (self.gateway.clone(), self.outbox.clone());
        let settings = self.in_force.now();
        Arc::new(Runner::new(self.outside.clone(), settings, gateway, outbox, self.line.clone()))
    }

    /// Is a run due that a notice asked for? One that takes long rests for as long: a source that never
    /// stops telling must leave its lane to others half of the time.
    fn is_noticed(&self, pause: Duration, now: Mono) -> bool {
        let begun = self.begun.is_none_or(|at| now.since(at) >= pause);
        let rested = self.over.is_none_or(|(at, took)| now.since(at) >= took);
        self.noticed && begun && rested
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let settings = self.in_force.now();
        if settings.masked {
            return;
        }
        let now = self.outside.clock.now();
        let launch = &settings.launch;
        let due = self.begun.is_none_or(|at| now.mono.since(at) >= launch.every)
            || self.is_noticed(launch.notice_pause, now.mono);
        if settings.is_feed()
            && launch.automatic
            && launch.in_time(now.wall)
            && due
            && let Some(busy) = self.active.begin()
        {
            self.begin_run(now.mono);
            let runner = self.runner();
            let run = async move {
                // A failed run was told by the runner; the next one goes on where it stopped.
                let _ = runner.run().await;
                drop(busy);
            };
            let over = move |(), me: &mut Self, _: &mut Context<Self>| {
                let end = me.outside.clock.now().mono;
                me.over = Some((end, end.since(now.mono)));
            };
            ctx.spawn(run.into_actor(self).map(over));
        }
        if let Some(busy) = self.minding.begin() {
            let runner = self.runner();
            let mind = async move {
                runner.mind().await;
                drop(busy);
            };
            ctx.spawn(mind.into_actor(self));
        }
    }

    /// What was told until now, a run that begins now will read.
    fn begin_run(&mut self, now: Mono) {
        self.begun = Some(now);
        self.noticed = false;
    }

    /// Whether a person's order can be carried out now.
    fn begin(&mut self) -> Result<UnderWay, NotRun> {
        if self.in_force.now().masked {
            return Err(NotRun::Masked);
        }
        self.active.begin().ok_or(NotRun::Active)
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
        if !self.in_force.now().is_feed() {
            return Box::pin(std::future::ready(Err(NotRun::NoFeed)));
        }
        let busy = match self.begin() {
            Ok(busy) => busy,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.begin_run(self.outside.clock.now().mono);
        let runner = self.runner();
        Box::pin(async move {
            runner.audit(run.who, "run", run.reason).await?;
            runner.run().await?;
            drop(busy);
            Ok(runner.row().await?)
        })
    }
}

impl Handler<Notice> for Sync {
    type Result = Result<(), NotNoticed>;

    fn handle(&mut self, _: Notice, _: &mut Self::Context) -> Self::Result {
        let settings = self.in_force.now();
        let launch = &settings.launch;
        if settings.masked {
            return Err(NotNoticed::Masked);
        } else if !settings.is_feed() {
            return Err(NotNoticed::NoFeed);
        } else if !launch.automatic {
            return Err(NotNoticed::ByHand);
        } else if !launch.in_time(self.outside.clock.now().wall) {
            return Err(NotNoticed::OutOfTime);
        }
        self.noticed = true;
        Ok(())
    }
}

impl Handler<DryRun> for Sync {
    type Result = ResponseFuture<Result<Vec<DrySaid>, NotRun>>;

    fn handle(&mut self, dry: DryRun, _: &mut Self::Context) -> Self::Result {
        if !self.in_force.now().is_feed() {
            return Box::pin(std::future::ready(Err(NotRun::NoFeed)));
        }
        let runner = self.runner();
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
        let runner = self.runner();
        Box::pin(async move {
            runner.audit(replay.who, "replay of a file", replay.reason).await?;
            runner.replay(replay.told).await?;
            drop(busy);
            Ok(runner.row().await?)
        })
    }
}
