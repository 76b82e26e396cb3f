//! Locks: L1, L2, L4–L12. L3 is checked where decisions are applied.

use crate::changes::{ForceUnlock, LockProof};
use crate::logic::locks::{Grant, Holder, Locks, Outcome, Wish};
use crate::model::{ClientNumber, Fence, KeptLock};
use crate::testing::world::World;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Locks as those see them who wish for them.
#[derive(Default)]
pub(crate) struct LockWatch {
    pub holders: BTreeMap<ClientNumber, Grant>,
    /// Of scripts' locks that are over, and of which the store does not know yet.
    closing: BTreeMap<ClientNumber, Fence>,
    last_fence: u64,
    waiters: Vec<(Uuid, Holder)>,
    before_release: Vec<Option<Grant>>,
    /// External locks that their scripts know of.
    told: BTreeSet<Uuid>,
    /// What people forced, as it is durable.
    barriers: BTreeMap<ClientNumber, Fence>,
    /// How often each client was said to be not busy, in this life.
    pub voids: BTreeMap<ClientNumber, u64>,
}

impl LockWatch {
    fn end(&mut self, over: impl Fn(&Grant) -> bool) {
        for (client, grant) in self.holders.extract_if(.., |_, grant| over(grant)) {
            if matches!(grant.holder, Holder::Script(_)) {
                self.closing.insert(client, grant.fence);
            }
        }
    }
}

impl World {
    pub(crate) fn watch_closed(&mut self, client: ClientNumber, fence: Fence) {
        let closing = &mut self.watch.locks.closing;
        if closing.get(&client) == Some(&fence) {
            closing.remove(&client);
        }
    }

    pub(crate) fn watch_pool_gone(&mut self) {
        self.watch.locks.holders.clear();
        self.watch.locks.closing.clear();
        self.watch.locks.waiters.clear();
    }

    pub(crate) fn watch_restored(&mut self, grant: &Grant) {
        self.note(|| format!("pool: {} holds {} still", grant.guid, grant.client));
        self.meet("locks that lived on");
        self.watch.locks.holders.insert(grant.client, grant.clone());
    }

    /// L4: what a script was told that it holds, it holds still.
    pub(crate) fn watch_pool_begun(&mut self) {
        let now = self.mono();
        let locks = &self.service.pool.locks;
        let in_full = |guid: &Uuid| {
            locks.held(*guid, now).is_some_and(|it| it.expires == now.plus(it.timeout))
        };
        let lost = self.watch.locks.told.iter().find(|guid| !in_full(guid)).copied();
        if let Some(lost) = lost {
            self.fail("L4", format!("the external lock {lost} did not outlive the pool"));
        }
    }

    pub(crate) fn watch_told(&mut self, grant: Option<&Grant>) {
        let now = self.mono();
        let Some(grant) = grant.filter(|it| matches!(it.holder, Holder::Script(_))) else { return };
        let held = |it: &Grant| it.guid == grant.guid && it.expires > now;
        let barriers = &self.watch.locks.barriers;
        let taken_away = barriers.get(&grant.client).is_some_and(|it| grant.fence < *it);
        if !taken_away && self.watch.locks.holders.values().any(held) {
            self.watch.locks.told.insert(grant.guid);
        }
    }

    pub(crate) fn watch_wish(&mut self, wish: &Wish) {
        self.note(|| format!("wish {} for {:?}", wish.guid, wish.holder));
        let now = self.mono();
        let watch = &mut self.watch.locks;
        let known = watch.holders.values().any(|it| it.guid == wish.guid && it.expires > now);
        if !known && !watch.waiters.iter().any(|(guid, _)| *guid == wish.guid) {
            watch.waiters.push((wish.guid, wish.holder.clone()));
        }
    }

    pub(crate) fn watch_release(&mut self, guid: Uuid) {
        self.note(|| format!("release {guid}"));
        let watch = &mut self.watch.locks;
        watch.before_release = self.service.pool.locks.clients().to_vec();
        watch.waiters.retain(|(waiter, _)| *waiter != guid);
        watch.end(|it| it.guid == guid);
        watch.told.remove(&guid);
    }

    pub(crate) fn watch_released(&mut self, guid: Uuid) {
        let now = self.mono();
        for (n, was) in std::mem::take(&mut self.watch.locks.before_release).into_iter().enumerate()
        {
            let others = was.as_ref().is_some_and(|it| it.guid != guid && it.expires > now);
            if others && self.service.pool.locks.clients()[n] != was {
                self.fail(
                    "L6",
                    format!("{guid} does not hold {}, and its release freed it", n + 1),
                );
            }
        }
    }

    /// L5.
    pub(crate) fn watch_renewed(&mut self, guid: Uuid, renewed: Option<&Grant>) {
        self.note(|| format!("renew {guid}: {renewed:?}"));
        let now = self.mono();
        let mut holders = self.watch.locks.holders.values_mut();
        let live = holders.find(|it| it.guid == guid && it.expires > now);
        match (live, renewed) {
            (Some(live), Some(renewed)) => {
                live.clone_from(renewed);
                self.meet("renewals");
            }
            (Some(_), None) => self.fail("L5", format!("{guid} is held and was not renewed")),
            (None, Some(_)) => self.fail("L5", format!("{guid} is over and was renewed")),
            (None, None) => self.meet("renewals refused"),
        }
    }

    /// L10, once it is durable.
    pub(crate) fn watch_unlocked(&mut self, it: &ForceUnlock) {
        let what = format!("client {} unlocked", it.client);
        let audited = self.rows.audited().iter().any(|row| row.2 == what && row.3 == it.reason);
        // What the same name was granted after it, perhaps in the same group, is another lock.
        let of_it = |row: &KeptLock| Some(row.guid) == it.guid && row.fence < it.barrier;
        let kept = self.rows.kept().iter().any(of_it);
        if !audited || kept {
            self.fail("L10", format!("unlocked {}: audited {audited}, kept {kept}", it.client));
        }
        let again = self.rows.kept().iter().any(|row| Some(row.guid) == it.guid);
        if let Some(guid) = it.guid.filter(|_| !again) {
            self.watch.locks.told.remove(&guid);
        }
        self.watch.locks.barriers.insert(it.client, it.barrier);
    }

    /// L3 and L10, for what a flow decided under a lock.
    pub(crate) fn check_lock(&mut self, lock: &LockProof) {
        let client = lock.client;
        let holder = self.watch.locks.holders.get(&client).filter(|it| it.fence > lock.fence);
        if let Some(holder) = holder.map(|it| it.fence) {
            let what = format!("client {client}: fence {}, but {holder} holds it", lock.fence);
            return self.fail("L3", what);
        }
        self.check_lock_stands(lock);
    }

    /// L3 and L10, for a command: between the pool's word and the commit its own script may give the
    /// lock back, so what counts is the order in which the store hears of it.
    pub(crate) fn check_external_lock(&mut self, guid: Uuid, lock: &LockProof) {
        let kept = self.rows.kept();
        let held = kept.iter().any(|row| row.guid == guid && row.fence == lock.fence);
        let newer = kept.iter().any(|row| row.client == lock.client && row.fence > lock.fence);
        if !held || newer {
            let client = lock.client;
            return self.fail("L3", format!("{guid} holds {client}: {held}, a newer: {newer}"));
        }
        self.check_lock_stands(lock);
    }

    fn check_lock_stands(&mut self, lock: &LockProof) {
        let client = lock.client;
        if self.mono() >= lock.expires {
            self.fail("L3", format!("applied under the lock of {client} that is over"));
        }
        let barriers = &self.watch.locks.barriers;
        if barriers.get(&client).is_some_and(|barrier| lock.fence < *barrier) {
            let what = format!("applied under {}, which a person took from {client}", lock.fence);
            self.fail("L10", what);
        }
    }

    /// L11: how often the client of this flow was said to be not busy, when the flow began and now.
    pub(crate) fn check_turn(&mut self, client: ClientNumber, voids: u64) {
        let is = self.watch.locks.voids.get(&client).copied().unwrap_or(0);
        if is != voids {
            self.fail("L11", format!("{client} was said to be not busy, and its flow goes on"));
        }
    }

    pub(crate) fn watch_outcome(&mut self, outcome: &Outcome) {
        self.note(|| format!("pool: {outcome:?}"));
        let now = self.mono();
        match outcome {
            Outcome::Granted(grant) => self.granted(grant),
            Outcome::TimedOut(guid) | Outcome::Busy(guid) => {
                self.watch.locks.waiters.retain(|(waiter, _)| waiter != guid);
            }
            Outcome::Expired(grant) => {
                if grant.expires > now {
                    self.fail("L4", format!("{} expired before its time", grant.guid));
                }
                self.watch.locks.end(|it| it.fence == grant.fence);
                self.watch.locks.told.remove(&grant.guid);
            }
            Outcome::Released(_) | Outcome::NeedFences => {}
        }
    }

    fn granted(&mut self, grant: &Grant) {
        self.meet("grants");
        let now = self.mono();
        let live = |it: &&Grant| it.expires > now;
        let holders = &self.watch.locks.holders;
        if let Some(held) = holders.values().filter(live).find(|it| it.guid == grant.guid) {
            if held != grant {
                self.fail("L9", format!("{} got a second lock", grant.guid));
            }
            return;
        }
        if let Some(held) = holders.get(&grant.client).filter(live) {
            let what = format!("client {} has two holders: {}", grant.client, held.guid);
            self.fail("L1", what);
        }
        if !self.service.pool.waits(grant.guid) {
            self.fail("L7", format!("{} has gone, and got client {}", grant.guid, grant.client));
        }
        let last = self.watch.locks.last_fence;
        if grant.fence.0 <= last {
            self.fail("L2", format!("fence {} after {last}", grant.fence));
        }
        self.watch.locks.last_fence = last.max(grant.fence.0);
        let waiters = &self.watch.locks.waiters;
        let before = waiters.iter().take_while(|(guid, _)| *guid != grant.guid);
        let mut fair =
            before.filter(|(guid, holder)| !self.used_up(holder) && self.service.pool.waits(*guid));
        if let Some((passed, _)) = fair.next() {
            let what = format!("{} was granted before {passed}", grant.guid);
            self.fail("L8", what);
        }
        if self.used_up(&grant.holder) {
            self.fail("L12", format!("{:?} holds more than its share", grant.holder));
        }
        self.watch.locks.waiters.retain(|(guid, _)| *guid != grant.guid);
        self.watch.locks.holders.insert(grant.client, grant.clone());
    }

    /// Do its like hold their share already?
    fn used_up(&self, holder: &Holder) -> bool {
        let clients = self.service.clients;
        let count = |like: &dyn Fn(&Holder) -> bool| {
            self.watch.locks.holders.values().filter(|it| like(&it.holder)).count()
        };
        match holder {
            Holder::Script(_) | Holder::Command(_) => {
                let closing = self.watch.locks.closing.len();
                count(&|it| matches!(it, Holder::Script(_))) + closing >= (clients / 2).max(1)
            }
            Holder::Flow(_) => {
                count(&|it| it == holder) >= Locks::flow_share(clients, self.systems.len())
            }
        }
    }
}
