//! The lock table of a pool: who holds which ticket client, and who waits (rules L1, L4–L9, L12).
//!
//! Always: one live holder a client; every grant has a larger fence than all before it; waiters
//! come first, first, among those whose share is not used up. Times are monotonic.

use crate::model::{BackendId, ClientNumber, Fence, KeptLock, Mono};
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// Waiters at most; one more is refused as busy.
pub const WAITERS_MAX: usize = 4_096;
/// Fences are taken from the store in blocks, so that a grant needs no commit of its own; what a
/// restart leaves unused is skipped, which only makes the sequence grow faster.
pub const FENCE_BLOCK: u64 = 1_000;

/// For whom a lock is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A flow of ours, for alarms of that backend.
    Flow(BackendId),
    /// A script from outside, by the name that it gave.
    Script(String),
    /// A read that a command asked for without a lock of its own; counts with the scripts.
    Command(String),
}

impl Holder {
    /// Scripts and commands: what comes from outside.
    fn is_external(&self) -> bool {
        matches!(self, Self::Script(_) | Self::Command(_))
    }
}

/// A wish for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Names the lock.
    pub guid: Uuid,
    /// For whom.
    pub holder: Holder,
    /// For how long.
    pub timeout: Duration,
    /// Give up waiting at this time.
    pub wait_until: Mono,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names the lock.
    pub guid: Uuid,
    /// Which client.
    pub client: ClientNumber,
    /// Which grant.
    pub fence: Fence,
    /// Not valid after this moment.
    pub expires: Mono,
    /// What its holder asked for, last.
    pub timeout: Duration,
    /// For whom.
    pub holder: Holder,
    /// Since when.
    pub since: Mono,
}

/// Does anybody still wait for the lock of that name? Asked when its turn has come (L7).
pub type Waits<'a> = &'a dyn Fn(Uuid) -> bool;

/// What happened to wishes and locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The wish got a client.
    Granted(Grant),
    /// It waited too long, or nobody waits any more.
    TimedOut(Uuid),
    /// There are too many waiters.
    Busy(Uuid),
    /// A holder's time is over.
    Expired(Grant),
    /// A lock was given back, or taken away.
    Released(Grant),
    /// The block of fences runs low: take another.
    NeedFences,
}

/// A ticket client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Held(Grant),
    /// A script's lock is over, and the store does not know it yet. The client is given on only
    /// then: a restart takes every lock that it finds in the store for the last one of its client
    /// (L3).
    Closing(Grant),
}

impl Slot {
    fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Held(grant) => Some(grant),
            Self::Free | Self::Closing(_) => None,
        }
    }

    /// For whom it is not free.
    fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Held(grant) | Self::Closing(grant) => Some(&grant.holder),
            Self::Free => None,
        }
    }

    /// Ends the lock, if it is as asked for.
    fn end_if(&mut self, over: impl Fn(&Grant) -> bool) -> Option<Grant> {
        let grant = self.grant().filter(|grant| over(grant))?.clone();
        *self = match grant.holder {
            Holder::Script(_) => Self::Closing(grant.clone()),
            Holder::Flow(_) | Holder::Command(_) => Self::Free,
        };
        Some(grant)
    }
}

/// The table.
#[derive(Debug)]
pub struct Locks {
    clients: Vec<Slot>,
    waiters: VecDeque<Wish>,
    /// No lock and no waiter's patience ends before this; none: there are none. Until then nobody has to be
    /// looked at for it.
    ends_from: Option<Mono>,
    fences: std::ops::Range<u64>,
    asked_for_fences: bool,
    backends: usize,
}

impl Locks {
    /// A table of free clients, for that many configured backends. The pool asks for its first
    /// block of fences by itself, so the table does not.
    pub fn new(clients: usize, backends: usize) -> Self {
        Self {
            clients: vec![Slot::Free; clients.max(1)],
            waiters: VecDeque::new(),
            ends_from: None,
            fences: 0..0,
            asked_for_fences: true,
            backends,
        }
    }

    /// How many clients one backend's flows may hold (L12): half where there is more than one
    /// backend, never below 1.
    pub fn flow_share(clients: usize, backends: usize) -> usize {
        if backends > 1 { (clients / 2).max(1) } else { clients.max(1) }
    }

    fn script_share(&self) -> usize {
        (self.clients.len() / 2).max(1)
    }

    /// A block of fences came from the store. One that is older than what is here is left unused:
    /// two blocks that were asked for may come in any order, and fences only grow (L2).
    pub fn refill(&mut self, first: Fence, now: Mono, waits: Waits<'_>) -> Vec<Outcome> {
        self.asked_for_fences = false;
        let new_pool = self.fences.end == 0;
        let first = if new_pool && mutant!(FencesBeginAgain) { Fence(1) } else { first };
        if first.0 >= self.fences.end {
            self.fences = first.0..first.0 + FENCE_BLOCK;
        }
        self.serve(now, waits)
    }

    /// Puts the external locks of another life back in their places, with their full time-out anew
    /// (L4). Also gives those that are over: their client is not there any more, or was given on and
    /// this row stayed behind.
    pub fn restore(
        &mut self,
        mut kept: Vec<KeptLock>,
        now: Mono,
    ) -> (Vec<Grant>, Vec<(Uuid, Fence)>) {
        kept.sort_by_key(|lock| std::cmp::Reverse(lock.fence));
        let (mut live, mut over) = (Vec::new(), Vec::new());
        for lock in kept {
            let place = usize::try_from(lock.client.0).unwrap_or(0).checked_sub(1);
            match place.and_then(|place| self.clients.get_mut(place)) {
                Some(slot @ Slot::Free) if !mutant!(KeptLocksLost) => {
                    let grant = Grant {
                        guid: lock.guid,
                        client: lock.client,
                        fence: lock.fence,
                        expires: now.plus(lock.timeout),
                        timeout: lock.timeout,
                        holder: Holder::Script(lock.holder),
                        since: now,
                    };
                    *slot = Slot::Held(grant.clone());
                    self.ends_from = earlier(self.ends_from, grant.expires);
                    live.push(grant);
                }
                _ => over.push((lock.guid, lock.fence)),
            }
        }
        (live, over)
    }

    /// Wishes for a client. Wishing twice with one GUID gives one lock (L9). Who does not want to wait
    /// gets what is free when its turn comes here, however long it took to come.
    pub fn acquire(&mut self, mut wish: Wish, now: Mono, waits: Waits<'_>) -> Vec<Outcome> {
        wish.wait_until = wish.wait_until.max(now);
        if let Some(grant) = self.held(wish.guid, now).filter(|_| !mutant!(LockTwice)) {
            return vec![Outcome::Granted(grant.clone())];
        }
        if self.waiters.iter().any(|waiter| waiter.guid == wish.guid) {
            return Vec::new();
        }
        if self.waiters.len() >= WAITERS_MAX {
            return vec![Outcome::Busy(wish.guid)];
        }
        self.ends_from = earlier(self.ends_from, wish.wait_until);
        if mutant!(LastFirst) {
            self.waiters.push_front(wish)
        } else {
            self.waiters.push_back(wish)
        }
        self.serve(now, waits)
    }

    /// The lock of that name, if it is held now.
    pub fn held(&self, guid: Uuid, now: Mono) -> Option<&Grant> {
        self.held_now().find(|grant| grant.guid == guid && grant.expires > now)
    }

    /// A grant as it is now, if it was not given back or has ended meanwhile; and whether whoever wished
    /// under its name is to be told something else later: it waits again, or was granted another.
    pub fn still(&self, grant: &Grant, now: Mono) -> (Option<&Grant>, bool) {
        let held = self.held(grant.guid, now);
        let same = held.filter(|held| held.fence == grant.fence);
        let waits = self.waiters.iter().any(|waiter| waiter.guid == grant.guid);
        (same, held.is_some() && same.is_none() || waits)
    }

    /// The lock of a client, whoever holds it.
    pub fn of(&self, client: ClientNumber) -> Option<&Grant> {
        let place = usize::try_from(client.0).unwrap_or(0).checked_sub(1)?;
        self.clients.get(place)?.grant()
    }

    fn held_now(&self) -> impl Iterator<Item = &Grant> {
        self.clients.iter().filter_map(Slot::grant)
    }

    /// Holds a script's lock for longer, from now on; none once it has expired (L5).
    pub fn renew(&mut self, guid: Uuid, timeout: Duration, now: Mono) -> Option<Grant> {
        let live = |grant: &Grant| grant.expires > now || mutant!(RenewsTheDead);
        let of_script = |grant: &Grant| matches!(grant.holder, Holder::Script(_));
        let mut held = self.clients.iter_mut().filter_map(|slot| match slot {
            Slot::Held(grant) => Some(grant),
            Slot::Free | Slot::Closing(_) => None,
        });
        let grant = held.find(|grant| grant.guid == guid && of_script(grant) && live(grant))?;
        (grant.expires, grant.timeout) = (now.plus(timeout), timeout);
        self.ends_from = earlier(self.ends_from, grant.expires);
        Some(grant.clone())
    }

    /// A fence above every grant so far, for a barrier (L10). None: the block is used up.
    pub fn next_fence(&mut self) -> Option<Fence> {
        self.fences.next().map(Fence)
    }

    /// Gives a lock back; a wrong GUID changes nothing (L6). A script's client is free only once the
    /// store knows it: see [`Locks::closed`].
    pub fn release(&mut self, guid: Uuid, now: Mono, waits: Waits<'_>) -> Vec<Outcome> {
        // No name is there twice.
        if let Some(place) = self.waiters.iter().position(|waiter| waiter.guid == guid) {
            self.waiters.remove(place);
        }
        let mut outcomes = self.expire(now);
        for slot in &mut self.clients {
            let over = slot.end_if(|grant| grant.guid == guid || mutant!(WrongGuid));
            outcomes.extend(over.map(Outcome::Released));
        }
        outcomes.extend(self.serve(now, waits));
        outcomes
    }

    /// The store knows that this script's lock is over: its client is free.
    pub fn closed(
        &mut self,
        client: ClientNumber,
        fence: Fence,
        now: Mono,
        waits: Waits<'_>,
    ) -> Vec<Outcome> {
        let place = usize::try_from(client.0).unwrap_or(0).checked_sub(1);
        if let Some(slot) = place.and_then(|place| self.clients.get_mut(place))
            && matches!(slot, Slot::Closing(grant) if grant.fence == fence)
        {
            *slot = Slot::Free;
        }
        self.serve(now, waits)
    }

    /// Time has passed: locks and waiters expire. They also do whenever anything else happens.
    pub fn tick(&mut self, now: Mono, waits: Waits<'_>) -> Vec<Outcome> {
        self.serve(now, waits)
    }

    /// When something expires next, at the earliest.
    pub fn next_wake(&self) -> Option<Mono> {
        self.ends_from
    }

    /// Every client's lock, in order of its number.
    pub fn clients(&self) -> Vec<Option<Grant>> {
        self.clients.iter().map(|slot| slot.grant().cloned()).collect()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Can anything have ended by now?
    fn ends_by(&self, now: Mono) -> bool {
        self.ends_from.is_some_and(|from| from <= now)
    }

    fn expire(&mut self, now: Mono) -> Vec<Outcome> {
        if !self.ends_by(now) && !mutant!(EndsEarly) {
            return Vec::new();
        }
        let over = |grant: &Grant| grant.expires <= now || mutant!(EndsEarly);
        let over = self.clients.iter_mut().filter_map(|slot| slot.end_if(over));
        over.map(Outcome::Expired).collect()
    }

    fn serve(&mut self, now: Mono, waits: Waits<'_>) -> Vec<Outcome> {
        let mut outcomes = self.expire(now);
        let some_end = self.ends_by(now);
        if some_end {
            self.give_up(&mut outcomes, |waiter| waiter.wait_until < now);
        }
        let mut place = 0;
        while place < self.waiters.len() {
            let free = self.clients.iter().position(|it| *it == Slot::Free || mutant!(TwoHolders));
            let Some(free) = free else { break };
            if self.share_used_up(&self.waiters[place].holder) && !mutant!(NoShare) {
                place += 1;
                continue;
            }
            if !waits(self.waiters[place].guid) && !mutant!(GoneAreGranted) {
                let gone = self.waiters.remove(place);
                outcomes.extend(gone.map(|wish| Outcome::TimedOut(wish.guid)));
                continue;
            }
            let Some(fence) = self.fences.next() else { break };
            let Some(wish) = self.waiters.remove(place) else { break };
            let grant = Grant {
                guid: wish.guid,
                client: ClientNumber(free as u64 + 1),
                fence: Fence(fence),
                expires: now.plus(wish.timeout),
                timeout: wish.timeout,
                holder: wish.holder,
                since: now,
            };
            self.ends_from = earlier(self.ends_from, grant.expires);
            self.clients[free] = Slot::Held(grant.clone());
            outcomes.push(Outcome::Granted(grant));
        }
        if self.fences.is_empty() && !self.asked_for_fences && !self.waiters.is_empty() {
            self.asked_for_fences = true;
            outcomes.push(Outcome::NeedFences);
        }
        // Only now: who does not want to wait gets a client that is free.
        if some_end && !self.asked_for_fences {
            self.give_up(&mut outcomes, |waiter| waiter.wait_until <= now);
        }
        if some_end {
            let locks = self.held_now().map(|grant| grant.expires);
            let waiters = self.waiters.iter().map(|waiter| waiter.wait_until);
            self.ends_from = locks.chain(waiters).min();
        }
        outcomes
    }

    fn give_up(&mut self, outcomes: &mut Vec<Outcome>, late: impl Fn(&Wish) -> bool) {
        self.waiters.retain(|waiter| {
            let late = late(waiter);
            if late {
                outcomes.push(Outcome::TimedOut(waiter.guid));
            }
            !late
        });
    }

    fn share_used_up(&self, holder: &Holder) -> bool {
        let held = |same: &dyn Fn(&Holder) -> bool| {
            self.clients.iter().filter_map(Slot::holder).filter(|it| same(it)).count()
        };
        match holder {
            Holder::Script(_) | Holder::Command(_) => {
                held(&Holder::is_external) >= self.script_share()
            }
            Holder::Flow(_) => {
                held(&|other| other == holder)
                    >= Self::flow_share(self.clients.len(), self.backends)
            }
        }
    }
}

fn earlier(bound: Option<Mono>, end: Mono) -> Option<Mono> {
    Some(bound.map_or(end, |bound| bound.min(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody still waits.
    const ALL: fn(Uuid) -> bool = |_| true;

    fn wish(n: u128, holder: Holder) -> Wish {
        Wish {
            guid: Uuid::from_u128(n),
            holder,
            timeout: Duration::from_secs(60),
            wait_until: Mono(100_000),
        }
    }
    fn flow(n: u128, backend: &str) -> Wish {
        wish(n, Holder::Flow(BackendId::new(backend)))
    }
    fn table(clients: usize, backends: usize) -> Locks {
        let mut locks = Locks::new(clients, backends);
        locks.refill(Fence(100), Mono(0), &ALL);
        locks
    }
    fn granted(outcomes: &[Outcome]) -> Vec<(u128, u64, u64)> {
        outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Granted(g) => Some((g.guid.as_u128(), g.client.0, g.fence.0)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn two_clients_and_three_flows_two_run_and_the_third_waits() {
        let mut locks = table(2, 1);
        assert_eq!(granted(&locks.acquire(flow(1, "a"), Mono(0), &ALL)), [(1, 1, 100)]);
        assert_eq!(granted(&locks.acquire(flow(2, "a"), Mono(0), &ALL)), [(2, 2, 101)]);
        assert_eq!(granted(&locks.acquire(flow(3, "a"), Mono(0), &ALL)), []);
        assert_eq!(locks.waiting(), 1);
        assert_eq!(granted(&locks.release(Uuid::from_u128(1), Mono(1), &ALL)), [(3, 1, 102)]);
    }

    #[test]
    fn a_wrong_guid_changes_nothing() {
        let mut locks = table(1, 1);
        locks.acquire(flow(1, "a"), Mono(0), &ALL);
        assert!(locks.release(Uuid::from_u128(9), Mono(1), &ALL).is_empty());
        assert!(locks.clients()[0].is_some());
    }

    #[test]
    fn acquiring_twice_with_one_guid_gives_one_lock() {
        let mut locks = table(2, 1);
        let first = granted(&locks.acquire(flow(1, "a"), Mono(0), &ALL));
        assert_eq!(granted(&locks.acquire(flow(1, "a"), Mono(5), &ALL)), first);
        assert_eq!(locks.clients().iter().flatten().count(), 1);
    }

    #[test]
    fn an_expired_lock_frees_its_client_for_a_larger_fence() {
        let mut locks = table(1, 1);
        locks.acquire(flow(1, "a"), Mono(0), &ALL);
        locks.acquire(flow(2, "a"), Mono(1), &ALL);
        let outcomes = locks.tick(Mono(60_000), &ALL);
        assert!(matches!(&outcomes[0], Outcome::Expired(g) if g.guid.as_u128() == 1));
        assert_eq!(granted(&outcomes), [(2, 1, 101)]);
    }

    #[test]
    fn one_backend_and_scripts_get_half_and_leave_the_rest_to_others() {
        let mut locks = table(4, 2);
        for n in 1..=4 {
            locks.acquire(flow(n, "hung"), Mono(0), &ALL);
        }
        assert_eq!(locks.clients().iter().flatten().count(), 2);
        for n in 5..=8 {
            locks.acquire(wish(n, Holder::Script("s".into())), Mono(0), &ALL);
        }
        assert_eq!(locks.clients().iter().flatten().count(), 4);
        // A client of the scripts' half is free: it is one of them that waits, and gets it.
        locks.release(Uuid::from_u128(5), Mono(1), &ALL);
        let Some(Slot::Closing(over)) = locks.clients.iter().find(|it| it.grant().is_none()) else {
            panic!("{locks:?}")
        };
        let (client, fence) = (over.client, over.fence);
        locks.closed(client, fence, Mono(1), &ALL);
        assert_eq!(locks.clients().iter().flatten().count(), 4);
    }

    #[test]
    fn a_single_client_is_shared_by_all() {
        let mut locks = table(1, 3);
        assert_eq!(granted(&locks.acquire(flow(1, "a"), Mono(0), &ALL)).len(), 1);
        locks.release(Uuid::from_u128(1), Mono(0), &ALL);
        let script = wish(2, Holder::Script("s".into()));
        assert_eq!(granted(&locks.acquire(script, Mono(0), &ALL)).len(), 1);
    }

    #[test]
    fn a_waiter_gives_up_at_its_time() {
        let mut locks = table(1, 1);
        locks.acquire(flow(1, "a"), Mono(0), &ALL);
        locks.acquire(Wish { wait_until: Mono(10), ..flow(2, "a") }, Mono(0), &ALL);
        assert_eq!(locks.tick(Mono(10), &ALL), [Outcome::TimedOut(Uuid::from_u128(2))]);
    }

    #[test]
    fn who_does_not_want_to_wait_gets_a_free_client_or_none() {
        let mut locks = table(1, 1);
        let at_once = |n| Wish { wait_until: Mono(5), ..flow(n, "a") };
        assert_eq!(granted(&locks.acquire(at_once(1), Mono(5), &ALL)).len(), 1);
        assert_eq!(
            locks.acquire(at_once(2), Mono(5), &ALL),
            [Outcome::TimedOut(Uuid::from_u128(2))]
        );
        // It was some time on its way: a client is free all the same.
        locks.release(Uuid::from_u128(1), Mono(6), &ALL);
        assert_eq!(granted(&locks.acquire(at_once(4), Mono(7), &ALL)).len(), 1);
        // Not even if fences have to be fetched first.
        let mut locks = Locks::new(1, 1);
        assert_eq!(locks.acquire(at_once(3), Mono(5), &ALL), []);
        assert_eq!(granted(&locks.refill(Fence(1), Mono(5), &ALL)).len(), 1);
    }

    #[test]
    fn who_has_gone_while_it_waited_is_passed_over() {
        let mut locks = table(1, 1);
        for n in 1..=3 {
            locks.acquire(flow(n, "a"), Mono(0), &ALL);
        }
        let gone = Uuid::from_u128(2);
        let outcomes = locks.release(Uuid::from_u128(1), Mono(1), &|guid| guid != gone);
        assert_eq!(outcomes[1], Outcome::TimedOut(gone));
        assert_eq!(granted(&outcomes), [(3, 1, 101)], "and costs no fence");
    }

    #[test]
    fn a_lock_is_renewed_while_it_is_held_and_not_after() {
        let mut locks = table(2, 1);
        locks.acquire(wish(1, Holder::Script("s".into())), Mono(0), &ALL);
        locks.acquire(flow(2, "a"), Mono(0), &ALL);
        let guid = Uuid::from_u128(1);
        let renewed = locks.renew(guid, Duration::from_secs(5), Mono(59_999)).unwrap();
        assert_eq!((renewed.expires, renewed.fence), (Mono(64_999), Fence(100)));
        assert_eq!(renewed.timeout, Duration::from_secs(5));
        let flows = locks.renew(Uuid::from_u128(2), Duration::from_secs(5), Mono(59_999));
        assert!(flows.is_none(), "a flow's lock is not renewed by anybody");
        assert!(locks.renew(guid, Duration::from_secs(5), Mono(64_999)).is_none());
        assert!(
            locks.held(guid, Mono(64_998)).is_some() && locks.held(guid, Mono(64_999)).is_none()
        );
    }

    #[test]
    fn an_external_lock_of_another_life_has_its_place_again() {
        let mut locks = table(2, 1);
        let row = |client, fence| KeptLock {
            guid: Uuid::from_u128(u128::from(fence)),
            client: ClientNumber(client),
            fence: Fence(fence),
            timeout: Duration::from_secs(60),
            holder: "s".to_owned(),
        };
        // A row stayed behind when its lock was over; two are of clients that are not there.
        let (live, over) = locks.restore(vec![row(2, 5), row(2, 7), row(3, 8), row(0, 9)], Mono(1));
        let live: Vec<_> = live.iter().map(|it| (it.client.0, it.fence.0, it.expires.0)).collect();
        assert_eq!(live, [(2, 7, 60_001)]);
        assert_eq!(over, [9, 8, 5].map(|n| (Uuid::from_u128(u128::from(n)), Fence(n))));
        assert_eq!(granted(&locks.acquire(flow(1, "a"), Mono(1), &ALL)), [(1, 1, 100)]);
        assert_eq!(granted(&locks.acquire(flow(2, "a"), Mono(1), &ALL)), []);
    }

    #[test]
    fn without_fences_nobody_is_served_and_they_are_asked_for_once() {
        let mut locks = Locks::new(2, 1);
        assert_eq!(locks.acquire(flow(1, "a"), Mono(0), &ALL), [], "the pool has asked by itself");
        assert_eq!(granted(&locks.refill(Fence(7), Mono(1), &ALL)), [(1, 1, 7)]);
        for n in 2..=u128::from(FENCE_BLOCK) {
            assert_eq!(granted(&locks.acquire(flow(n, "a"), Mono(1), &ALL)).len(), 1);
            locks.release(Uuid::from_u128(n), Mono(1), &ALL);
        }
        assert_eq!(locks.acquire(flow(9_999, "a"), Mono(1), &ALL), [Outcome::NeedFences]);
        assert_eq!(locks.tick(Mono(1), &ALL), [], "once");
    }

    #[test]
    fn a_scripts_client_is_given_on_only_when_the_store_knows_that_its_lock_is_over() {
        let mut locks = table(1, 1);
        locks.acquire(wish(1, Holder::Script("s".into())), Mono(0), &ALL);
        locks.acquire(flow(2, "a"), Mono(0), &ALL);
        let outcomes = locks.release(Uuid::from_u128(1), Mono(1), &ALL);
        assert!(matches!(&outcomes[..], [Outcome::Released(over)] if over.fence == Fence(100)));
        let client = ClientNumber(1);
        assert_eq!(locks.of(client), None, "nobody holds it");
        assert_eq!(locks.closed(client, Fence(99), Mono(2), &ALL), [], "not of this lock");
        assert_eq!(granted(&locks.closed(client, Fence(100), Mono(2), &ALL)), [(2, 1, 101)]);
    }

    #[test]
    fn one_that_is_over_is_taken_away_before_its_guid_gets_another() {
        let mut locks = table(2, 1);
        locks.acquire(flow(1, "a"), Mono(0), &ALL);
        let over = Mono(60_000); // nobody has ticked since
        let outcomes = locks.acquire(flow(1, "a"), over, &ALL);
        assert!(matches!(&outcomes[0], Outcome::Expired(grant) if grant.fence == Fence(100)));
        assert_eq!(granted(&outcomes), [(1, 1, 101)]);
    }

    #[test]
    fn a_block_that_is_older_than_the_one_at_hand_is_left_unused() {
        let mut locks = Locks::new(2, 1);
        locks.refill(Fence(2_001), Mono(0), &ALL);
        locks.refill(Fence(1_001), Mono(0), &ALL);
        assert_eq!(granted(&locks.acquire(flow(1, "a"), Mono(0), &ALL)), [(1, 1, 2_001)]);
    }

    #[test]
    fn whatever_happens_everything_ends_at_its_time() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut locks = table(3, 1);
        let mut now = Mono(0);
        for n in 0..2_000 {
            now = now.plus(Duration::from_millis(random.u64(0..20)));
            let span = Duration::from_millis(random.u64(0..100));
            let any = Uuid::from_u128(random.u128(0..=n));
            match random.u8(0..4) {
                0 | 1 => {
                    let script = || Holder::Command("c".into());
                    let holder =
                        if random.bool() { script() } else { Holder::Flow(BackendId::new("a")) };
                    let wait_until = now.plus(Duration::from_millis(random.u64(0..50)));
                    let wish = Wish { guid: Uuid::from_u128(n), holder, timeout: span, wait_until };
                    locks.acquire(wish, now, &ALL);
                }
                2 => drop(locks.release(any, now, &ALL)),
                _ => drop(locks.tick(now, &ALL)),
            }
            if locks.fences.is_empty() {
                locks.refill(Fence(10_000 + n as u64 * FENCE_BLOCK), now, &ALL);
            }
            let held = locks.held_now().map(|grant| grant.expires);
            let ends: Vec<_> = held.chain(locks.waiters.iter().map(|it| it.wait_until)).collect();
            assert!(ends.iter().all(|end| locks.next_wake().is_some_and(|at| at <= *end)));
            // Who was granted a lock of no length just now keeps it until the next step.
            locks.tick(now, &ALL);
            assert!(locks.waiters.iter().all(|waiter| waiter.wait_until > now), "{n}: {locks:?}");
        }
    }
}
