//! The pool owns the ticket clients and grants locks over the pure table
//! [`crate::logic::locks::Locks`]: GUID, time-out, fence; first come, first served.
//!
//! After a start nothing that an earlier pool granted is valid any more, but for the external
//! locks: those are rows, and get their full time-out anew. Every other client's barrier is raised
//! first, so that fences of another life are refused (rules L2–L4).
//!
//! What it leaves to others: what is done under a lock (`client`), and what scripts are told
//! (`commands`).

use super::keeper::{Alive, Post};
use super::{ClientView, Outside};
use crate::changes::{Applied, Change, ChangeSet, ForceUnlock, LockProof};
use crate::logic::locks::{FENCE_BLOCK, Grant, Holder, Locks, Outcome, Waits, Wish};
use crate::model::{ClientNumber, EventId, Fence, KeptLock, LockName, Mono};
use crate::ports::{Outgoing, Reads, Store, StoreError};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The pause before the store is asked for fences again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often busy clients are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why no client was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoClient {
    /// None was free in time.
    #[error("no ticket client was free in time")]
    TimedOut,
    /// Too many wait already.
    #[error("too many wait for a ticket client")]
    Busy,
    /// The store did not keep the lock.
    #[error("the store cannot keep the lock now")]
    NotKept,
    /// The lock of that name is not a script's.
    #[error("the lock of that name is somebody else's")]
    NotYours,
}

/// Wishes for a client; see [`acquire`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Acquire {
    wish: Wish,
    /// Closed as soon as nobody waits any more. An answer by actix would not tell: it is awaited by
    /// the actor's own side.
    asker: Asker,
}

/// Waits for a client; none: the pool went away. Who drops this waits no longer (rule L7).
pub fn acquire(
    pool: &Post<Pool>,
    wish: Wish,
) -> impl Future<Output = Option<Result<Grant, NoClient>>> + use<> {
    let (asker, answer) = oneshot::channel();
    pool.tell(Acquire { wish, asker });
    async move { answer.await.ok() }
}

/// Gives a client back. False: there was no such lock (rule L6).
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Release(pub Uuid);

/// A script gives its client back, or waits no longer. False: it holds no such lock (rule L6);
/// nobody gives back what a flow or a command holds.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct GiveBack(pub Uuid);

/// Holds a script's lock for longer; none once it has expired (rule L5).
#[derive(Message)]
#[rtype(result = "Option<Grant>")]
pub struct Renew(pub Uuid, pub Duration);

/// Is this lock held now? What the store checks again when it writes.
#[derive(Message)]
#[rtype(result = "Option<LockProof>")]
pub struct Prove(pub LockName);

/// A person takes a client's lock away (rule L10). False: it was free.
#[derive(Message)]
#[rtype(result = "Result<bool, StoreError>")]
pub struct Unlock {
    /// Which client.
    pub client: ClientNumber,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

type Asker = oneshot::Sender<Result<Grant, NoClient>>;

/// The pool actor.
pub struct Pool {
    outside: Arc<Outside>,
    locks: Locks,
    number: usize,
    waiting: HashMap<Uuid, Vec<Asker>>,
    timer: Option<(Mono, SpawnHandle)>,
    /// Told as stuck already: client and lock.
    stuck: HashSet<(ClientNumber, Uuid)>,
    _alive: Alive,
}

impl Pool {
    /// A pool of so many clients.
    pub fn new(outside: Arc<Outside>, number: usize, alive: Alive) -> Self {
        let locks = Locks::new(number, outside.backends.now().len());
        Self {
            outside,
            locks,
            number,
            waiting: HashMap::new(),
            timer: None,
            stuck: HashSet::new(),
            _alive: alive,
        }
    }

    fn now(&self) -> Mono {
        self.outside.clock.now().mono
    }

    fn perform(&mut self, outcomes: Vec<Outcome>, ctx: &mut Context<Self>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Granted(grant) => {
                    self.show(grant.client, Some(&grant));
                    match grant.holder {
                        Holder::Script(_) => self.keep(grant, ctx),
                        _ => self.answer(grant.guid, &Ok(grant)),
                    }
                }
                Outcome::TimedOut(guid) => self.answer(guid, &Err(NoClient::TimedOut)),
                Outcome::Busy(guid) => self.answer(guid, &Err(NoClient::Busy)),
                Outcome::Expired(grant) => {
                    tracing::warn!(client = %grant.client, guid = %grant.guid, "a lock expired");
                    self.ended(&grant, ctx);
                }
                Outcome::Released(grant) => self.ended(&grant, ctx),
                Outcome::NeedFences => self.take_fences(ctx),
            }
        }
        self.outside.views.waiting_for_clients.store(self.locks.waiting(), Ordering::Relaxed);
        self.wake_in_time(ctx);
    }

    /// The table moves on, and is told who still waits (rule L7).
    fn step(
        &mut self,
        step: impl FnOnce(&mut Locks, Mono, Waits<'_>) -> Vec<Outcome>,
    ) -> Vec<Outcome> {
        let (now, waiting) = (self.now(), &self.waiting);
        let waits = |guid| {
            waiting.get(&guid).is_some_and(|askers| !askers.iter().all(oneshot::Sender::is_closed))
        };
        step(&mut self.locks, now, &waits)
    }

    fn release(&mut self, guid: Uuid, ctx: &mut Context<Self>) -> bool {
        let outcomes = self.step(|locks, now, waits| locks.release(guid, now, waits));
        // Who waited under this name has given up.
        self.answer(guid, &Err(NoClient::TimedOut));
        let freed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Released(_)));
        self.perform(outcomes, ctx);
        freed
    }

    /// An external lock is a row before its holder hears of it.
    fn keep(&self, grant: Grant, ctx: &mut Context<Self>) {
        let kept = self.outside.store.apply(Change::KeepLock(self.row(&grant)).into());
        ctx.spawn(kept.into_actor(self).map(move |kept, pool, ctx| {
            let (held, told_later) = pool.locks.still(&grant, pool.now());
            match (kept, held.cloned()) {
                (Ok(_), Some(grant)) => pool.answer(grant.guid, &Ok(grant)),
                (_, None) if told_later => {}
                (Ok(_), None) => pool.answer(grant.guid, &Err(NoClient::TimedOut)),
                (Err(error), held) => {
                    tracing::warn!(%error, guid = %grant.guid, "a lock was not kept");
                    pool.answer(grant.guid, &Err(NoClient::NotKept));
                    if held.is_none() {
                        return;
                    }
                    let freed = |locks: &mut Locks, now, waits: Waits<'_>| {
                        locks.release(grant.guid, now, waits)
                    };
                    let outcomes = pool.step(freed);
                    pool.perform(outcomes, ctx);
                }
            }
        }));
    }

    fn row(&self, grant: &Grant) -> KeptLock {
        KeptLock {
            guid: grant.guid,
            client: grant.client,
            fence: grant.fence,
            timeout: grant.timeout,
            holder: match &grant.holder {
                Holder::Script(name) | Holder::Command(name) => name.clone(),
                Holder::Flow(backend) => backend.to_string(),
            },
        }
    }

    /// A lock is over; its client may have a new one already.
    fn ended(&mut self, grant: &Grant, ctx: &mut Context<Self>) {
        self.stuck.remove(&(grant.client, grant.guid));
        if self.locks.of(grant.client).is_none() {
            self.show(grant.client, None);
        }
        if matches!(grant.holder, Holder::Script(_)) {
            self.drop_row(grant.guid, grant.fence, Some(grant.client), ctx);
        }
    }

    /// Tried until it is done; only then the client is free.
    fn drop_row(
        &self,
        guid: Uuid,
        fence: Fence,
        client: Option<ClientNumber>,
        ctx: &mut Context<Self>,
    ) {
        let dropped = self.outside.store.apply(Change::DropLock(guid, fence).into());
        ctx.spawn(dropped.into_actor(self).map(move |dropped, pool, ctx| {
            match (dropped, client) {
                (Err(error), _) => {
                    tracing::warn!(%error, "the row of a lock that is over was not removed");
                    let again = move |pool: &mut Self, ctx: &mut _| {
                        pool.drop_row(guid, fence, client, ctx);
                    };
                    ctx.run_later(STORE_RETRY, again);
                }
                (Ok(_), Some(client)) => {
                    let outcomes =
                        pool.step(|locks, now, waits| locks.closed(client, fence, now, waits));
                    pool.perform(outcomes, ctx);
                }
                (Ok(_), None) => {}
            }
        }));
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
        let wait = at.since(self.now()) + Duration::from_millis(1);
        let handle = ctx.run_later(wait, |pool, ctx| {
            pool.timer = None;
            let outcomes = pool.step(Locks::tick);
            pool.perform(outcomes, ctx);
        });
        self.timer = Some((at, handle));
    }

    fn answer(&mut self, guid: Uuid, answer: &Result<Grant, NoClient>) {
        for asker in self.waiting.remove(&guid).unwrap_or_default() {
            // One that went away leaves its lock to its time-out, or to its own release.
            let _ = asker.send(answer.clone());
        }
    }

    fn show(&self, client: ClientNumber, grant: Option<&Grant>) {
        let now = self.outside.clock.now();
        let mut view = self.outside.views.clients.entry(client).or_default();
        let flows = view.flows + u64::from(grant.is_some());
        *view = match grant {
            None => ClientView { flows, ..ClientView::default() },
            Some(grant) if view.guid == Some(grant.guid) => return,
            Some(grant) => ClientView {
                holder: Some(match &grant.holder {
                    Holder::Flow(backend) => format!("flow for {backend}"),
                    Holder::Script(name) | Holder::Command(name) => name.clone(),
                }),
                guid: Some(grant.guid),
                fence: Some(grant.fence),
                locked_at: Some(now.wall),
                expires_at: Some(now.wall.plus(grant.expires.since(now.mono))),
                busy: None,
                flows,
            },
        };
    }

    /// What is left of an earlier life: external locks come back, everything else is void. No
    /// message is handled before: a lock that lives on would be told as lost, or its client be
    /// somebody else's.
    fn begin(&self, ctx: &mut Context<Self>) {
        let (store, reads, number) =
            (self.outside.store.clone(), self.outside.reads.clone(), self.number as u64);
        let begun = async move {
            loop {
                match void_all_but_external(store.as_ref(), reads.as_ref(), number).await {
                    Ok(begun) => return begun,
                    Err(error) => {
                        tracing::warn!(%error, "the store gave no fences: asked again");
                        actix::clock::sleep(STORE_RETRY).await;
                    }
                }
            }
        };
        ctx.wait(
            begun.into_actor(self).map(|(first, kept), pool, ctx| pool.begun(first, kept, ctx)),
        );
    }

    fn begun(&mut self, first: Fence, kept: Vec<KeptLock>, ctx: &mut Context<Self>) {
        let now = self.now();
        let (live, over) = self.locks.restore(kept, now);
        for grant in &live {
            tracing::info!(client = %grant.client, guid = %grant.guid, "a lock lives on");
            self.show(grant.client, Some(grant));
        }
        for (guid, fence) in over {
            self.drop_row(guid, fence, None, ctx);
        }
        let outcomes = self.step(|locks, now, waits| locks.refill(first, now, waits));
        self.perform(outcomes, ctx);
    }

    fn take_fences(&self, ctx: &mut Context<Self>) {
        let taken = self.outside.store.apply(Change::TakeFences(FENCE_BLOCK).into());
        ctx.spawn(taken.into_actor(self).map(|taken, pool, ctx| match taken.as_deref() {
            Ok([Applied::Fences(first)]) => {
                let first = *first;
                let outcomes = pool.step(|locks, now, waits| locks.refill(first, now, waits));
                pool.perform(outcomes, ctx);
            }
            _ => {
                // The table stays told that they were asked for: else a waiter would ask for a
                // block of its own.
                tracing::warn!("the store gave no fences: asked again");
                ctx.run_later(STORE_RETRY, |pool, ctx| pool.take_fences(ctx));
            }
        }));
    }

    /// A client that is busy for longer than its read may take is told to people, once a lock.
    fn look_for_stuck(&mut self) {
        let now = self.outside.clock.now();
        for view in &self.outside.views.clients {
            let (Some(guid), Some(busy)) = (view.guid, &view.busy) else { continue };
            if busy.until > now.mono || !self.stuck.insert((*view.key(), guid)) {
                continue;
            }
            tracing::warn!(client = %view.key(), what = busy.what, "a ticket client is stuck");
            let message = Outgoing::Ops {
                event_id: EventId(self.outside.ids.uuid(now.wall)),
                key: "client.stuck".to_owned(),
                at: now.wall,
                body: serde_json::json!({
                    "client": view.key(), "guid": guid, "holder": view.holder,
                    "processing": format!("{}: {}", busy.what, busy.text),
                    "since": busy.since.to_string(),
                }),
            };
            // The bell only: the view itself shows it for as long as it lasts.
            actix::spawn(self.outside.bus.publish(message));
        }
    }
}

/// The first fence of a new block, above all that were granted, and the locks that live on.
async fn void_all_but_external(
    store: &dyn Store,
    reads: &dyn Reads,
    clients: u64,
) -> Result<(Fence, Vec<KeptLock>), StoreError> {
    let kept = reads.kept_locks().await?;
    let applied = store.apply(Change::TakeFences(FENCE_BLOCK).into()).await?;
    let [Applied::Fences(first)] = applied[..] else {
        return Err(StoreError::Down("the store answered oddly".to_owned()));
    };
    let lives: HashSet<_> = kept.iter().map(|lock| lock.client).collect();
    let barriers = (1..=clients)
        .map(ClientNumber)
        .filter(|client| !lives.contains(client))
        .map(|client| Change::RaiseBarrier(client, first));
    store.apply(ChangeSet(barriers.collect())).await?;
    Ok((first, kept))
}

impl Actor for Pool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for n in 1..=self.number as u64 {
            self.outside.views.clients.insert(ClientNumber(n), ClientView::default());
        }
        self.begin(ctx);
        ctx.run_interval(LOOK_EVERY, |pool, _| pool.look_for_stuck());
    }
}

impl Handler<Acquire> for Pool {
    type Result = ();

    fn handle(&mut self, it: Acquire, ctx: &mut Self::Context) {
        let Acquire { wish, asker } = it;
        let known = self.locks.held(wish.guid, self.now());
        let of_script = |holder: &Holder| matches!(holder, Holder::Script(_));
        if known.is_some_and(|grant| of_script(&grant.holder) != of_script(&wish.holder)) {
            // The asker may have gone away.
            let _ = asker.send(Err(NoClient::NotYours));
            return;
        }
        self.waiting.entry(wish.guid).or_default().push(asker);
        let outcomes = self.step(|locks, now, waits| locks.acquire(wish, now, waits));
        self.perform(outcomes, ctx);
    }
}

impl Handler<Release> for Pool {
    type Result = bool;

    fn handle(&mut self, Release(guid): Release, ctx: &mut Self::Context) -> bool {
        self.release(guid, ctx)
    }
}

impl Handler<GiveBack> for Pool {
    type Result = bool;

    fn handle(&mut self, GiveBack(guid): GiveBack, ctx: &mut Self::Context) -> bool {
        let held = self.locks.held(guid, self.now());
        match held.map(|grant| &grant.holder) {
            Some(Holder::Script(_)) | None => self.release(guid, ctx),
            Some(Holder::Flow(_) | Holder::Command(_)) => false,
        }
    }
}

impl Handler<Renew> for Pool {
    type Result = ResponseFuture<Option<Grant>>;

    fn handle(&mut self, Renew(guid, timeout): Renew, ctx: &mut Self::Context) -> Self::Result {
        let renewed = self.locks.renew(guid, timeout, self.now());
        let Some(grant) = renewed else { return Box::pin(async { None }) };
        if let Some(mut view) = self.outside.views.clients.get_mut(&grant.client) {
            view.expires_at = Some(self.outside.clock.now().wall.plus(timeout));
        }
        self.wake_in_time(ctx);
        let kept = self.outside.store.apply(Change::KeepLock(self.row(&grant)).into());
        let (done, is_done) = oneshot::channel();
        // In here, so that the row of a release that follows is removed after it was written.
        ctx.spawn(kept.into_actor(self).map(move |kept, _, _| {
            if let Err(error) = kept {
                // It holds; only after a restart it would have the time-out that it had before.
                tracing::warn!(%error, "the renewal of a lock was not kept");
            }
            // The asker may have gone away.
            let _ = done.send(grant);
        }));
        Box::pin(async move { is_done.await.ok() })
    }
}

impl Handler<Prove> for Pool {
    type Result = Option<LockProof>;

    fn handle(&mut self, Prove(name): Prove, _: &mut Self::Context) -> Option<LockProof> {
        let grant = self.locks.held(name.guid, self.now())?;
        (grant.fence == name.fence).then_some(LockProof {
            client: grant.client,
            fence: grant.fence,
            expires: grant.expires,
        })
    }
}

impl Handler<Unlock> for Pool {
    type Result = ResponseFuture<Result<bool, StoreError>>;

    fn handle(&mut self, it: Unlock, ctx: &mut Self::Context) -> Self::Result {
        let grant = self.locks.of(it.client).cloned();
        let guid =
            grant.iter().find(|g| matches!(g.holder, Holder::Script(_))).map(|grant| grant.guid);
        let (store, at_hand) = (self.outside.store.clone(), self.locks.next_fence());
        let unlocked = async move {
            let barrier = match at_hand {
                Some(fence) => fence,
                None => match store.apply(Change::TakeFences(1).into()).await?[..] {
                    [Applied::Fences(fence)] => fence,
                    _ => return Err(StoreError::Down("the store answered oddly".to_owned())),
                },
            };
            let Unlock { client, who, reason } = it;
            let force = ForceUnlock { client, guid, barrier, who, reason };
            store.apply(Change::ForceUnlock(force).into()).await
        };
        let (done, is_done) = oneshot::channel();
        ctx.spawn(unlocked.into_actor(self).map(move |unlocked, pool, ctx| {
            let was_held = grant.is_some();
            if unlocked.is_ok()
                && let Some(grant) = grant
            {
                let freed = |locks: &mut Locks, now, waits: Waits<'_>| {
                    locks.release(grant.guid, now, waits)
                };
                let outcomes = pool.step(freed);
                pool.perform(outcomes, ctx);
            }
            // The asker may have gone away.
            let _ = done.send(unlocked.map(|_| was_held));
        }));
        let gone = || Err(StoreError::Down("the pool is being replaced".to_owned()));
        Box::pin(async move { is_done.await.unwrap_or_else(|_| gone()) })
    }
}
