//! The pool owns the ticket clients and grants locks over the pure table
//! [`crate::logic::locks::Locks`]: GUID, time-out, fence; first come, first served.
//!
//! After a start nothing that an earlier pool granted is valid any more: its fences lie below the
//! barrier that is raised first (DESIGN, rules L2–L4).

use super::keeper::Alive;
use super::{ClientView, Outside};
use crate::changes::{Applied, Change, ChangeSet};
use crate::logic::locks::{FENCE_BLOCK, Grant, Holder, Locks, Outcome, Wish};
use crate::model::{ClientNumber, Fence, Mono};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The pause before the store is asked for fences again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Wishes for a client; answered when it is granted, or not.
#[derive(Message)]
#[rtype(result = "Option<Grant>")]
pub struct Acquire(pub Wish);

/// Gives a client back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Release(pub Uuid);

/// The pool actor.
pub struct Pool {
    outside: Arc<Outside>,
    locks: Locks,
    number: usize,
    waiting: HashMap<Uuid, Vec<oneshot::Sender<Option<Grant>>>>,
    timer: Option<(Mono, SpawnHandle)>,
    _alive: Alive,
}

impl Pool {
    /// A pool of so many clients.
    pub fn new(outside: Arc<Outside>, number: usize, alive: Alive) -> Self {
        let locks = Locks::new(number, outside.backends.len());
        Self { outside, locks, number, waiting: HashMap::new(), timer: None, _alive: alive }
    }

    fn perform(&mut self, outcomes: Vec<Outcome>, ctx: &mut Context<Self>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Granted(grant) => {
                    self.show(grant.client, Some(&grant));
                    self.answer(grant.guid, Some(grant));
                }
                Outcome::TimedOut(guid) | Outcome::Busy(guid) => self.answer(guid, None),
                Outcome::Expired(grant) => {
                    tracing::warn!(client = %grant.client, guid = %grant.guid, "a lock expired");
                    if self.locks.clients()[index(grant.client)].is_none() {
                        self.show(grant.client, None);
                    }
                }
                Outcome::NeedFences => self.take_fences(false, ctx),
            }
        }
        self.outside.views.waiting_for_clients.store(self.locks.waiting(), Ordering::Relaxed);
        self.wake_in_time(ctx);
    }

    /// Keeps one timer, for the earliest expiry. One that fires too early does no harm.
    fn wake_in_time(&mut self, ctx: &mut Context<Self>) {
        let Some(at) = self.locks.next_wake() else { return };
        if self.timer.as_ref().is_some_and(|(set_for, _)| *set_for <= at) {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        let wait = at.since(self.outside.clock.now().mono) + Duration::from_millis(1);
        let handle = ctx.run_later(wait, |pool, ctx| {
            pool.timer = None;
            let outcomes = pool.locks.tick(pool.outside.clock.now().mono);
            pool.perform(outcomes, ctx);
        });
        self.timer = Some((at, handle));
    }

    fn answer(&mut self, guid: Uuid, grant: Option<Grant>) {
        for asker in self.waiting.remove(&guid).unwrap_or_default() {
            // An asker that went away leaves its lock to its time-out, or to its own release.
            let _ = asker.send(grant.clone());
        }
    }

    fn show(&self, client: ClientNumber, grant: Option<&Grant>) {
        let mut view = self.outside.views.clients.entry(client).or_default();
        *view = ClientView {
            holder: grant.map(|grant| match &grant.holder {
                Holder::Flow(backend) => format!("flow for {backend}"),
                Holder::Script(name) => name.clone(),
            }),
            guid: grant.map(|grant| grant.guid),
            fence: grant.map(|grant| grant.fence),
            locked_at: grant.map(|_| self.outside.clock.now().wall),
            busy: None,
            flows: view.flows + u64::from(grant.is_some()),
        };
    }

    /// Takes a block of fences; at the start, all older grants are made void first.
    fn take_fences(&self, raise_barriers: bool, ctx: &mut Context<Self>) {
        let (store, number) = (self.outside.store.clone(), self.number as u64);
        let taken = async move {
            let applied = store.apply(Change::TakeFences(FENCE_BLOCK).into()).await?;
            let [Applied::Fences(first)] = applied[..] else { return Ok(None) };
            if raise_barriers {
                let barriers =
                    (1..=number).map(|n| Change::RaiseBarrier(ClientNumber(n), first)).collect();
                store.apply(ChangeSet(barriers)).await?;
            }
            Ok::<Option<Fence>, crate::ports::StoreError>(Some(first))
        };
        ctx.spawn(taken.into_actor(self).map(move |taken, pool, ctx| match taken {
            Ok(Some(first)) => {
                let outcomes = pool.locks.refill(first, pool.outside.clock.now().mono);
                pool.perform(outcomes, ctx);
            }
            Ok(None) | Err(_) => {
                // The table stays told that they were asked for: else a waiter would ask for a
                // block of its own, and be served before the barriers are raised (L3).
                tracing::warn!("the store gave no fences: asked again");
                ctx.run_later(STORE_RETRY, move |pool, ctx| {
                    pool.take_fences(raise_barriers, ctx);
                });
            }
        }));
    }
}

fn index(client: ClientNumber) -> usize {
    usize::try_from(client.0).unwrap_or(usize::MAX) - 1
}

impl Actor for Pool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for n in 1..=self.number as u64 {
            self.outside.views.clients.entry(ClientNumber(n)).or_default();
        }
        self.take_fences(true, ctx);
    }
}

impl Handler<Acquire> for Pool {
    type Result = ResponseFuture<Option<Grant>>;

    fn handle(&mut self, Acquire(wish): Acquire, ctx: &mut Self::Context) -> Self::Result {
        let (granted, grant) = oneshot::channel();
        self.waiting.entry(wish.guid).or_default().push(granted);
        let outcomes = self.locks.acquire(wish, self.outside.clock.now().mono);
        self.perform(outcomes, ctx);
        Box::pin(async move { grant.await.ok().flatten() })
    }
}

impl Handler<Release> for Pool {
    type Result = ();

    fn handle(&mut self, Release(guid): Release, ctx: &mut Self::Context) {
        let freed = self
            .locks
            .clients()
            .iter()
            .flatten()
            .find(|grant| grant.guid == guid)
            .map(|grant| grant.client);
        if let Some(client) = freed {
            self.show(client, None);
        }
        let outcomes = self.locks.release(guid, self.outside.clock.now().mono);
        self.perform(outcomes, ctx);
    }
}
