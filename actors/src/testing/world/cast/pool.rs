//! Mirrors `actors/pool`.

use super::Granted;
use crate::changes::{Applied, Change, ChangeSet, ForceUnlock, Guard, LockProof};
use crate::logic::locks::{FENCE_BLOCK, Grant, Holder, Locks, Outcome, Waits, Wish};
use crate::model::{ClientNumber, Fence, KeptLock, LockName, Mono};
use crate::testing::world::World;
use crate::testing::world::stage::Act;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

/// Who waits for a lock.
struct Asker {
    /// It waits no longer.
    gone: Rc<Cell<bool>>,
    then: Granted,
}

/// What dies with the pool.
pub(crate) struct Pool {
    pub locks: Locks,
    timer: Option<Mono>,
    waiting: HashMap<Uuid, Vec<Asker>>,
    /// Messages that wait until it has begun; none: it has.
    inbox: Option<Vec<Act>>,
}

impl Pool {
    pub fn new(clients: usize, backends: usize) -> Self {
        Self {
            locks: Locks::new(clients, backends),
            timer: None,
            waiting: HashMap::new(),
            inbox: Some(Vec::new()),
        }
    }

    pub fn waits(&self, guid: Uuid) -> bool {
        self.waiting.get(&guid).is_some_and(|askers| askers.iter().any(|it| !it.gone.get()))
    }
}

impl World {
    pub(crate) fn start_pool(&mut self) {
        self.service.pools += 1;
        self.service.pool = Pool::new(self.service.clients, self.systems.len());
        self.begin_pool();
    }

    pub(crate) fn replace_pool(&mut self) {
        for asker in std::mem::take(&mut self.service.pool.waiting).into_values().flatten() {
            self.inside(1, |w| (asker.then)(w, None));
        }
        self.start_pool();
    }

    /// Only while the same pool lives.
    fn pool(&mut self, after: u64, act: impl FnOnce(&mut World) + 'static) {
        let me = self.service.pools;
        self.inside(after, move |w| {
            if w.service.pools == me {
                act(w);
            }
        });
    }

    /// A message for the pool, which reads none before it has begun.
    fn tell_pool(&mut self, act: impl FnOnce(&mut World) + 'static) {
        match &mut self.service.pool.inbox {
            Some(inbox) => inbox.push(Box::new(act)),
            None => act(self),
        }
    }

    fn begin_pool(&mut self) {
        let me = self.service.pools;
        self.read(
            |w| w.rows.kept(),
            move |w, kept| match kept {
                _ if w.service.pools != me => {}
                None => w.pool(1_000, World::begin_pool),
                Some(kept) => w.void_all_but(kept),
            },
        );
    }

    fn void_all_but(&mut self, kept: Vec<KeptLock>) {
        let me = self.service.pools;
        self.apply(Change::TakeFences(FENCE_BLOCK), move |w, taken| {
            if w.service.pools != me {
                return;
            }
            let Ok([Applied::Fences(first)]) = taken.as_deref() else {
                return w.pool(1_000, World::begin_pool);
            };
            let first = *first;
            let lives = |client: &ClientNumber| kept.iter().any(|lock| lock.client == *client);
            let clients = (1..=w.service.clients as u64).map(ClientNumber);
            let voided = clients.filter(|client| !lives(client));
            let barriers = voided.map(|client| Change::RaiseBarrier(client, first)).collect();
            w.apply(ChangeSet(barriers), move |w, raised| {
                if w.service.pools != me {
                } else if raised.is_ok() {
                    w.pool_begun(first, kept);
                } else {
                    w.pool(1_000, World::begin_pool);
                }
            });
        });
    }

    fn pool_begun(&mut self, first: Fence, kept: Vec<KeptLock>) {
        let now = self.mono();
        let (live, over) = self.service.pool.locks.restore(kept, now);
        live.iter().for_each(|grant| self.watch_restored(grant));
        over.into_iter().for_each(|(guid, fence)| self.drop_row(guid, fence, None));
        self.watch_pool_begun();
        self.refill(first);
        for act in self.service.pool.inbox.take().into_iter().flatten() {
            self.pool(0, act);
        }
    }

    fn take_fences(&mut self) {
        let me = self.service.pools;
        self.apply(Change::TakeFences(FENCE_BLOCK), move |w, taken| match taken.as_deref() {
            _ if w.service.pools != me => {}
            Ok([Applied::Fences(first)]) => w.refill(*first),
            _ => w.pool(1_000, World::take_fences),
        });
    }

    fn refill(&mut self, first: Fence) {
        let outcomes = self.pool_step(|locks, now, waits| locks.refill(first, now, waits));
        self.pool_perform(outcomes);
    }

    fn pool_step(
        &mut self,
        step: impl FnOnce(&mut Locks, Mono, Waits<'_>) -> Vec<Outcome>,
    ) -> Vec<Outcome> {
        let now = self.mono();
        let Pool { locks, waiting, .. } = &mut self.service.pool;
        let waits = |guid| {
            waiting
                .get(&guid)
                .is_some_and(|askers: &Vec<Asker>| askers.iter().any(|asker| !asker.gone.get()))
        };
        step(locks, now, &waits)
    }

    pub(crate) fn acquire(
        &mut self,
        mut wish: Wish,
        gone: Rc<Cell<bool>>,
        then: impl FnOnce(&mut World, Option<Grant>) + 'static,
    ) {
        if !self.up {
            return;
        }
        let asker = Asker { gone, then: Box::new(then) };
        self.service.pool.waiting.entry(wish.guid).or_default().push(asker);
        self.tell_pool(move |w| {
            wish.wait_until = wish.wait_until.max(w.mono());
            w.watch_wish(&wish);
            let outcomes = w.pool_step(|locks, now, waits| locks.acquire(wish, now, waits));
            w.pool_perform(outcomes);
        });
    }

    pub(crate) fn release(&mut self, guid: Uuid) {
        self.tell_pool(move |w| w.release_now(guid));
    }

    fn release_now(&mut self, guid: Uuid) {
        self.watch_release(guid);
        let outcomes = self.pool_step(|locks, now, waits| locks.release(guid, now, waits));
        self.watch_released(guid);
        self.pool_answer(guid, None);
        self.pool_perform(outcomes);
    }

    pub(crate) fn renew(&mut self, guid: Uuid, timeout: Duration) {
        self.tell_pool(move |w| {
            let now = w.mono();
            let renewed = w.service.pool.locks.renew(guid, timeout, now);
            w.watch_renewed(guid, renewed.as_ref());
            if let Some(grant) = renewed {
                w.set_pool_timer();
                w.queue_set(Change::KeepLock(row(&grant)).into(), Box::new(|_, _| {}));
            }
        });
    }

    /// `Handler<Prove>`.
    pub(crate) fn prove(&mut self, name: LockName, then: impl FnOnce(&mut World, Guard) + 'static) {
        self.tell_pool(move |w| {
            let held = w.service.pool.locks.held(name.guid, w.mono());
            let proof = held.filter(|grant| grant.fence == name.fence).map(|grant| LockProof {
                client: grant.client,
                fence: grant.fence,
                expires: grant.expires,
            });
            then(w, proof.map_or(Guard::Lost, |proof| Guard::Held(name.guid, proof)));
        });
    }

    /// `Handler<Unlock>`.
    pub(crate) fn unlock(&mut self, client: ClientNumber) {
        self.tell_pool(move |w| match w.service.pool.locks.next_fence() {
            Some(barrier) => w.unlock_behind(client, barrier),
            None => {
                let me = w.service.pools;
                w.apply(Change::TakeFences(1), move |w, taken| {
                    if let Ok([Applied::Fences(barrier)]) = taken.as_deref()
                        && w.service.pools == me
                    {
                        w.unlock_behind(client, *barrier);
                    }
                });
            }
        });
    }

    fn unlock_behind(&mut self, client: ClientNumber, barrier: Fence) {
        let grant = self.service.pool.locks.of(client).cloned();
        let of_script = |grant: &&Grant| matches!(grant.holder, Holder::Script(_));
        let guid = grant.as_ref().filter(of_script).map(|grant| grant.guid);
        let (who, reason) = ("ann".to_owned(), "it hangs".to_owned());
        let force = ForceUnlock { client, guid, barrier, who, reason };
        let me = self.service.pools;
        self.apply(Change::ForceUnlock(force), move |w, unlocked| {
            if w.service.pools == me
                && unlocked.is_ok()
                && let Some(grant) = grant
            {
                w.meet("forced unlocks");
                w.watch_release(grant.guid);
                let outcomes =
                    w.pool_step(|locks, now, waits| locks.release(grant.guid, now, waits));
                w.watch_released(grant.guid);
                w.pool_perform(outcomes);
            }
        });
    }

    fn pool_perform(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            self.watch_outcome(&outcome);
            match outcome {
                Outcome::Granted(grant) => match grant.holder {
                    Holder::Script(_) => self.keep(grant),
                    _ => self.pool_answer(grant.guid, Some(grant)),
                },
                Outcome::TimedOut(guid) | Outcome::Busy(guid) => self.pool_answer(guid, None),
                Outcome::Expired(grant) | Outcome::Released(grant) => self.lock_ended(&grant),
                Outcome::NeedFences => self.take_fences(),
            }
        }
        self.set_pool_timer();
    }

    fn keep(&mut self, grant: Grant) {
        let me = self.service.pools;
        let set = Change::KeepLock(row(&grant)).into();
        let kept = move |w: &mut World, kept: super::Answered| {
            if w.service.pools != me {
                return;
            }
            let (held, told_later) = w.service.pool.locks.still(&grant, w.mono());
            match (kept, held.cloned()) {
                (Ok(_), held @ Some(_)) => return w.pool_answer(grant.guid, held),
                (_, None) if told_later => return,
                (_, None) => return w.pool_answer(grant.guid, None),
                (Err(_), Some(_)) => w.pool_answer(grant.guid, None),
            }
            w.watch_release(grant.guid);
            let outcomes = w.pool_step(|locks, now, waits| locks.release(grant.guid, now, waits));
            w.pool_perform(outcomes);
        };
        self.queue_set(set, Box::new(kept));
    }

    fn lock_ended(&mut self, grant: &Grant) {
        if matches!(grant.holder, Holder::Script(_)) {
            self.drop_row(grant.guid, grant.fence, Some(grant.client));
        }
    }

    fn drop_row(&mut self, guid: Uuid, fence: Fence, client: Option<ClientNumber>) {
        let me = self.service.pools;
        let dropped = move |w: &mut World, dropped: super::Answered| {
            if w.service.pools != me {
            } else if dropped.is_err() {
                w.pool(1_000, move |w| w.drop_row(guid, fence, client));
            } else if let Some(client) = client {
                w.watch_closed(client, fence);
                let outcomes =
                    w.pool_step(|locks, now, waits| locks.closed(client, fence, now, waits));
                w.pool_perform(outcomes);
            }
        };
        self.queue_set(Change::DropLock(guid, fence).into(), Box::new(dropped));
    }

    fn pool_answer(&mut self, guid: Uuid, grant: Option<Grant>) {
        for asker in self.service.pool.waiting.remove(&guid).unwrap_or_default() {
            let grant = grant.clone();
            self.inside(0, move |w| {
                if !asker.gone.get() {
                    w.watch_told(grant.as_ref());
                    (asker.then)(w, grant);
                }
            });
        }
    }

    fn set_pool_timer(&mut self) {
        let Some(at) = self.service.pool.locks.next_wake() else { return };
        if self.service.pool.timer.is_some_and(|set_for| set_for <= at) {
            return;
        }
        self.service.pool.timer = Some(at);
        let wait = at.0.saturating_sub(self.mono().0) + 1;
        self.pool(wait, move |w| {
            if w.service.pool.timer == Some(at) {
                w.service.pool.timer = None;
                let outcomes = w.pool_step(Locks::tick);
                w.pool_perform(outcomes);
            }
        });
    }
}

fn row(grant: &Grant) -> KeptLock {
    KeptLock {
        guid: grant.guid,
        client: grant.client,
        fence: grant.fence,
        timeout: grant.timeout,
        holder: "script".to_owned(),
    }
}
