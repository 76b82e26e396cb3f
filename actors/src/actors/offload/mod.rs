//! Looks after what is over: history to files, or within its limits; what ended long ago out of the
//! main tables (rules C1–C3, T5).
//!
//! By the clock, and history also at a person's word. Which rows, which file and when is the business of
//! [`crate::logic::offload`]; what a transaction takes that of [`crate::changes`]. One round of each at a
//! time: what fails is told, and tried again at the next look.

mod carry;
mod tidy;

pub use carry::{Carrier, OffloadFailed};

use super::Outside;
use super::keeper::Alive;
use crate::changes::Change;
use crate::logic::offload::{Checks, HistoryLimits, OffloadSettings};
use crate::model::{HistoryList, Mono};
use crate::ports::{Archive, StoreError};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is asked whether a look is due.
const TICK: Duration = Duration::from_millis(500);
/// Spans are whole hours: files are not looked for more often.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
/// How often history lists that are not offloaded are cut to their limits.
const LIMIT_EVERY: Duration = Duration::from_secs(60);
/// From one round through the main tables to the next, and from the start to the first.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
const TIDY_FIRST: Duration = Duration::from_secs(60);

/// Where history goes.
#[derive(Clone)]
pub struct OffloadTo {
    /// The files.
    pub archive: Arc<dyn Archive>,
    /// When and how much.
    pub settings: OffloadSettings,
}

/// How long what is over stays.
#[derive(Clone)]
pub struct OffloadPlan {
    /// History goes to files; none: it is limited.
    pub to: Option<OffloadTo>,
    /// What history lists may have where nothing is offloaded.
    pub limits: HistoryLimits,
    /// What ended longer ago goes from the main tables; none: it stays.
    pub keep: Option<Duration>,
}

impl Default for OffloadPlan {
    fn default() -> Self {
        let limits = HistoryLimits::default();
        Self { to: None, keep: limits.keep, limits }
    }
}

/// A person wants history in its files now.
#[derive(Message)]
#[rtype(result = "Result<Vec<(HistoryList, u64)>, NotOffloaded>")]
pub struct OffloadNow {
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOffloaded {
    /// It is not configured.
    #[error("the offload is off: set [offload] enabled = true")]
    Off,
    /// Another round is under way.
    #[error("an offload is under way: its rows are on their way already")]
    UnderWay,
    /// It stopped; what went is in its files.
    #[error(transparent)]
    Failed(#[from] OffloadFailed),
}

/// The offload actor.
pub struct Offload {
    outside: Arc<Outside>,
    plan: OffloadPlan,
    checks: Option<Checks>,
    cleaned: Option<Mono>,
    carrying: Arc<AtomicBool>,
    _alive: Alive,
}

impl Offload {
    /// One that looks for the first time when a span of its check has passed.
    pub fn new(outside: Arc<Outside>, plan: OffloadPlan, alive: Alive) -> Self {
        let now = outside.clock.now();
        let checks = plan.to.as_ref().map(|to| Checks::new(&to.settings, now.mono, now.wall));
        Self { outside, plan, checks, cleaned: None, carrying: Arc::default(), _alive: alive }
    }

    /// Says that a round is under way; none: one is.
    fn begin(&self) -> Option<Round> {
        let free = !self.carrying.swap(true, Ordering::SeqCst);
        free.then(|| Round(self.carrying.clone()))
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.outside.clock.now();
        let due = self.checks.as_mut().is_some_and(|checks| checks.due(now.mono, now.wall));
        let to = self.plan.to.clone().filter(|_| due);
        if let Some(to) = to
            && let Some(round) = self.begin()
        {
            let outside = self.outside.clone();
            let cleans = self.cleaned.is_none_or(|at| now.mono.since(at) >= CLEAN_EVERY);
            if cleans {
                self.cleaned = Some(now.mono);
            }
            let look = async move {
                // A look's failures were told by it.
                let _ = look(&outside, &to, Look::Check).await;
                if cleans {
                    clean(&outside, &to).await;
                }
                drop(round);
            };
            ctx.spawn(look.into_actor(self));
        }
    }

    fn limit(&mut self, ctx: &mut Context<Self>) {
        if self.plan.to.is_none()
            && let Some(round) = self.begin()
        {
            let (outside, limits) = (self.outside.clone(), self.plan.limits.clone());
            let cut = async move {
                let now = outside.clock.now().wall;
                match tidy::limit(&outside.store, &limits, now).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "history beyond its limits was removed"),
                    Err(error) => tracing::warn!(%error, "history was not cut to its limits"),
                }
                drop(round);
            };
            ctx.spawn(cut.into_actor(self));
        }
    }

    fn tidy(&self, ctx: &mut Context<Self>) {
        let (outside, keep) = (self.outside.clone(), self.plan.keep);
        let round = async move {
            if let Some(keep) = keep
                && let Err(error) = tidy_up(&outside, keep).await
            {
                tracing::warn!(%error, "what is over was not removed; tried again in an hour");
            }
        };
        ctx.spawn(round.into_actor(self).map(|(), _, ctx| {
            ctx.run_later(TIDY_EVERY, |offload, ctx| offload.tidy(ctx));
        }));
    }
}

/// A round of the offload is under way until this is dropped.
struct Round(Arc<AtomicBool>);

impl Drop for Round {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Why it is looked.
#[derive(Clone, Copy)]
enum Look {
    /// A process before this one may not have finished.
    Start,
    /// The clock says so.
    Check,
    /// A person does.
    Ordered,
}

/// One look at every list. A list that fails does not keep the others; the first failure is the answer.
async fn look(
    outside: &Arc<Outside>,
    to: &OffloadTo,
    why: Look,
) -> Result<Vec<(HistoryList, u64)>, OffloadFailed> {
    let carrier = Carrier {
        store: outside.store.clone(),
        reads: outside.reads.clone(),
        archive: to.archive.clone(),
        settings: to.settings.clone(),
    };
    let mut gone = Vec::new();
    let mut failed = None;
    for list in HistoryList::ALL {
        let now = outside.clock.now().wall;
        let gone_of_list = match why {
            Look::Start => carrier.resume(list).await,
            Look::Check => carrier.look(list, now, false).await,
            Look::Ordered => carrier.look(list, now, true).await,
        };
        match gone_of_list {
            Ok(rows) => {
                if rows > 0 {
                    tracing::info!(%list, rows, "history went to its file");
                }
                outside.views.history_offloaded.fetch_add(rows, Ordering::Relaxed);
                gone.push((list, rows));
            }
            Err(error) => {
                tracing::warn!(%list, %error, "history did not go to its file; tried again");
                outside.views.offloads_failed.fetch_add(1, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(gone), Err)
}

async fn clean(outside: &Arc<Outside>, to: &OffloadTo) {
    let now = outside.clock.now().wall;
    match to.archive.clean(now, to.settings.clone()).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "offload files that were kept long enough were removed"),
        Err(error) => tracing::warn!(%error, "old offload files were not removed"),
    }
}

/// Answers to connectors are kept so long: a message comes again within minutes, or when its broker does;
/// and an answer is as large as the tickets in it.
const ANSWERS_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

async fn tidy_up(outside: &Arc<Outside>, keep: Duration) -> Result<(), StoreError> {
    let before = outside.clock.now().wall.minus(keep);
    let [requests, tickets, alarms] = tidy::retire(&outside.store, before).await?;
    let deliveries = tidy::forget(&outside.store, before).await?;
    let before = outside.clock.now().wall.minus(keep.min(ANSWERS_KEPT));
    let answers = tidy::forget_answers(&outside.store, before).await?;
    if requests + tickets + alarms + deliveries + answers > 0 {
        tracing::info!(
            requests,
            tickets,
            alarms,
            deliveries,
            answers,
            "what ended long ago was removed"
        );
    }
    Ok(())
}

impl Actor for Offload {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(to) = self.plan.to.clone()
            && let Some(round) = self.begin()
        {
            let outside = self.outside.clone();
            let finish = async move {
                // Its failures were told by it.
                let _ = look(&outside, &to, Look::Start).await;
                drop(round);
            };
            ctx.spawn(finish.into_actor(self));
        }
        ctx.run_interval(TICK, Self::tick);
        ctx.run_interval(LIMIT_EVERY, Self::limit);
        ctx.run_later(TIDY_FIRST, |offload, ctx| offload.tidy(ctx));
    }
}

impl Handler<OffloadNow> for Offload {
    type Result = ResponseFuture<Result<Vec<(HistoryList, u64)>, NotOffloaded>>;

    fn handle(&mut self, it: OffloadNow, _: &mut Self::Context) -> Self::Result {
        let Some(to) = self.plan.to.clone() else {
            return Box::pin(async { Err(NotOffloaded::Off) });
        };
        let Some(round) = self.begin() else {
            return Box::pin(async { Err(NotOffloaded::UnderWay) });
        };
        let outside = self.outside.clone();
        Box::pin(async move {
            let _round = round;
            let what = "history offloaded".to_owned();
            let audit = Change::Audit { who: it.who, what, why: it.reason };
            outside.store.apply(audit.into()).await.map_err(OffloadFailed::Store)?;
            let gone = look(&outside, &to, Look::Ordered).await?;
            clean(&outside, &to).await;
            Ok(gone)
        })
    }
}
