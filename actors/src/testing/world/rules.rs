//! What is checked while the world runs. Everything here is kept from outside: from calls, rows
//! and ledgers, never from what the machines say of themselves.

use super::World;
use super::system::written;
use crate::changes::{Applied, Change, ChangeSet, End, PersonSays};
use crate::logic::lane::{CLASSES, Capability, HEADS_MAX, READS_MAX, class_of};
use crate::logic::locks::{Grant, Holder, Locks, Outcome, Wish};
use crate::model::{
    BackendId, ClientNumber, Epoch, Fence, MadeBy, Mono, Op, Request, RequestId, State, TicketKey,
};
use crate::ports::{Answer, Call, StoreError, Work};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use uuid::Uuid;

/// A create whose fate is not known, as the table of doubt sees it.
struct Unknown {
    first_sent: u64,
    since: u64,
    /// When looks were answered: nothing there.
    absent: Vec<u64>,
    /// Looks that said nothing.
    other_looks: u32,
}

/// A lane as seen from its backend's door.
#[derive(Default)]
struct Door {
    in_flight: u32,
    create: Option<(TicketKey, u64)>,
    /// Failures in a row that leave no doubt that nothing was done, and the last one's time.
    failed: (u32, u64),
    not_before: u64,
    /// Calls in a row that failed, and until when its breaker keeps it closed for that.
    failures: u32,
    closed_until: u64,
    /// When calls were begun.
    begun: Vec<u64>,
    first_calls: u64,
    retries: u64,
}

/// What the rules remember.
#[derive(Default)]
pub(super) struct Watch {
    doors: BTreeMap<BackendId, Door>,
    unknown: HashMap<TicketKey, Unknown>,
    retryable: HashMap<RequestId, u32>,
    retry_not_before: HashMap<RequestId, u64>,
    pub jumped_at: Option<u64>,
    /// When a lane was last taken.
    pub lane_taken: u64,
    holders: BTreeMap<ClientNumber, Grant>,
    last_fence: u64,
    waiters: Vec<(Uuid, Holder)>,
    before_release: Vec<Option<Grant>>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Calls: G3, G4, G6, G7, G9, G10, G17.
impl World {
    fn door(&mut self, backend: &BackendId) -> &mut Door {
        self.watch.doors.entry(backend.clone()).or_default()
    }

    pub(super) fn watch_call_begun(&mut self, backend: &BackendId) {
        let now = self.now;
        let rate = self.systems[backend].settings.rate;
        let door = self.door(backend);
        door.in_flight += 1;
        door.begun.push(now);
        let fast = rate.and_then(|rate| {
            let begun = door.begun.iter().rev().take(30);
            (1..).zip(begun).find(|(calls, since)| {
                let span = (now - **since) * u64::from(rate.calls);
                *calls > u64::from(rate.burst) + span / millis(rate.per) + 1
            })
        });
        let fast = fast.map(|(calls, since)| (calls, now - since));
        if door.in_flight > 1 {
            self.fail("G3", format!("{backend}: a second call while one is in flight"));
        }
        if let Some((calls, span)) = fast {
            self.fail("G10", format!("{backend}: {calls} calls within {span} ms, not {rate:?}"));
        }
    }

    pub(super) fn watch_quiet(&mut self, backend: &BackendId, quiet: Duration) {
        let until = self.now + millis(quiet);
        let door = self.door(backend);
        door.not_before = door.not_before.max(until);
    }

    /// The process, or the gateway in it, is gone: its connections are closed.
    pub(super) fn watch_lost_calls(&mut self) {
        let now = self.now;
        let doors = std::mem::take(&mut self.watch.doors);
        for door in doors.into_values() {
            let open = |key| self.rows.first_open(key).is_some();
            // Its later answer may have come before.
            if let Some((key, first_sent)) = door.create.filter(|(key, _)| open(*key)) {
                self.unknown_from(key, first_sent, now);
            }
        }
    }

    pub(super) fn watch_resumed(&mut self, backend: &BackendId) {
        let door = self.door(backend);
        door.not_before = 0;
        door.failed = (0, 0);
        door.failures = 0;
        door.closed_until = 0;
    }

    pub(super) fn watch_not_sent(&mut self, _: &BackendId) {
        self.meet("too late to be sent");
    }

    fn unknown_from(&mut self, key: TicketKey, first_sent: u64, since: u64) {
        let unknown = self.watch.unknown.entry(key).or_insert(Unknown {
            first_sent,
            since,
            absent: Vec::new(),
            other_looks: 0,
        });
        unknown.since = since;
        unknown.absent.clear();
        unknown.other_looks = 0;
    }

    pub(super) fn watch_first_byte(&mut self, backend: &BackendId, call: &Call) {
        self.meet("calls");
        let (now, clear) = (self.now, self.watch.jumped_at.is_none());
        let door = self.door(backend);
        if now < door.not_before {
            let early = door.not_before - now;
            self.fail("G10", format!("{backend} was called {early} ms before it asked to be"));
        }
        let door = self.door(backend);
        if now < door.closed_until {
            let early = door.closed_until - now;
            self.fail("G11", format!("{backend} was called {early} ms before its next probe"));
        }
        let Some(target) = written(&call.work) else {
            self.door(backend).first_calls += 1;
            return;
        };
        let Some(id) = call.request else {
            return self.fail("G6", "a write without a request".to_owned());
        };
        let Some(request) = self.rows.request_row(id).cloned() else {
            return self.fail("G6", format!("{id} is sent and is not in the store"));
        };
        // Between its intent and its first byte the later answer to an earlier call may have come.
        let answered = self.systems[backend].settings.answers_later
            && request.attempts > 1
            && (request.state.ended() || request.state == State::Undecided);
        if request.state != State::Intent && !answered {
            let state = request.state.as_str();
            self.fail("G6", format!("{id} is sent and is {state} in the store"));
        }
        let before = self.rows.all_requests().find(|other| {
            other.ticket == request.ticket && other.n < request.n && !other.state.ended()
        });
        if let Some(before) = before.map(|it| it.id) {
            self.fail("G4", format!("{id} is sent before {before}, which is in line before it"));
        }
        // A pause stands in the row, as wall time: a jump may end it early.
        if clear && self.watch.retry_not_before.get(&id).is_some_and(|at| now < *at) {
            self.fail("G10", format!("{id} is sent again before its pause was over"));
        }
        let elapsed = now - self.born;
        let burst = u64::from(self.systems[backend].settings.retry_burst);
        let door = self.door(backend);
        // What was in doubt is paced by its looks, or by the age of its key.
        if request.refusals > 0 && !request.doubted {
            door.retries += 1
        } else {
            door.first_calls += 1
        }
        // Two at most while the budget is read and written.
        if door.retries > burst + 2 + door.first_calls / 5 + elapsed / 10_000 {
            let (retries, first) = (door.retries, door.first_calls);
            self.fail("G10", format!("{backend}: {retries} retries beside {first} first calls"));
        }
        if let Work::Create { .. } = call.work {
            let key = target.key;
            self.check_create(backend, key);
            self.door(backend).create = Some((key, now));
        }
        self.check_age(backend, &request);
    }

    /// G7 and G9: the table of doubt, for a create of which an earlier call may have been done.
    fn check_create(&mut self, backend: &BackendId, key: TicketKey) {
        let Some(unknown) = self.watch.unknown.get(&key) else { return };
        let settings = &self.systems[backend].settings;
        let now = self.now;
        let taken = if settings.answers_later { millis(settings.confirm_within) } else { 0 };
        let settle = 2 * millis(settings.timeout) + taken + millis(settings.index_lag);
        let apart = millis(settings.index_lag.max(Duration::from_secs(1)));
        let jumped = self.watch.jumped_at.is_some_and(|at| at >= unknown.since);
        let broken = match settings.capability {
            Capability::None => Some(("G7", "no person said that it is absent".to_owned())),
            Capability::IdempotencyKey => {
                // By wall time, since it outlives the process: a jump makes it longer or shorter.
                let age = now - unknown.first_sent;
                (age >= millis(settings.key_ttl))
                    .then(|| ("G7", format!("its key is {age} ms old")))
            }
            Capability::ClientId | Capability::Searchable => {
                let rule = if unknown.other_looks > 0 { "G9" } else { "G7" };
                let timed = if jumped { "L4" } else { "G7" };
                match unknown.absent[..] {
                    [] | [_] => {
                        Some((rule, format!("{} looks found it absent", unknown.absent.len())))
                    }
                    [first, .., last] => {
                        if first - unknown.since < settle {
                            let after = first - unknown.since;
                            Some((timed, format!("looked at {after} ms after, settle is {settle}")))
                        } else if last - first < apart {
                            Some((timed, format!("two looks {} ms apart", last - first)))
                        } else {
                            None
                        }
                    }
                }
            }
        };
        self.meet("creates sent again");
        if let Some((rule, why)) = broken {
            self.fail(rule, format!("the create of {key} is sent again: {why}"));
        }
    }

    /// G17: does something that has waited for over a minute stand behind?
    fn check_age(&mut self, backend: &BackendId, request: &Request) {
        const AGED: u64 = 60_000 + 25_000;
        let now = self.clocks().wall;
        let quiet = self.watch.jumped_at.is_none() && self.frozen_until == 0;
        let fresh = self.now - self.born.max(self.watch.lane_taken) < 30_000;
        if !quiet || fresh || self.plan.alarms > 60 || request.attempts > 1 {
            return;
        }
        let age = |at| millis(now.since(at));
        let waits = |it: &&Request| matches!(it.state, State::Accepted | State::Wait);
        let of = self.rows.all_requests().filter(|it| it.backend == *backend);
        let older = of.filter(waits).find(|it| {
            let first = self.rows.all_requests().filter(|o| o.ticket == it.ticket && o.n < it.n);
            let first_since = first.map(|o| o.ended_at).max().flatten();
            it.attempts == 0
                && class_of(it.op) > class_of(request.op)
                && age(it.ready_at) > AGED
                && first_since.is_none_or(|at| age(at) > AGED)
                && age(it.ready_at) > age(request.ready_at) + 1_000
        });
        if let Some(older) = older.map(|it| (it.id, age(it.ready_at))) {
            let (id, age) = older;
            self.fail("G17", format!("{id} is ready for {age} ms, and {} goes first", request.id));
        }
    }

    pub(super) fn watch_heard(&mut self, backend: &BackendId, call: &Call, answer: &Answer) {
        let now = self.now;
        let settings = self.systems[backend].settings.clone();
        let door = self.door(backend);
        door.in_flight = door.in_flight.saturating_sub(1);
        let sent = door.create.take();
        let shortest = |failures: u32| {
            let full = settings.backoff * (1 << failures.saturating_sub(1).min(8));
            millis(full.min(settings.backoff_max)) / 2
        };
        let asked = |after: &Option<Duration>| after.map(|it| millis(it.min(settings.backoff_max)));
        match answer {
            Answer::NotSent(_) => {
                door.failed = (door.failed.0 + 1, now);
                door.not_before = now + shortest(door.failed.0);
            }
            Answer::Busy { retry_after, .. } => {
                door.failed = (door.failed.0 + 1, now);
                door.not_before =
                    now + asked(retry_after).unwrap_or_else(|| shortest(door.failed.0));
            }
            _ => door.failed = (0, now),
        }
        match answer {
            Answer::NotSent(_) | Answer::Retryable { .. } | Answer::InDoubt(_) => {
                door.failures += 1;
                if door.failures >= settings.breaker_after {
                    door.closed_until = now + shortest(door.failures - settings.breaker_after + 1);
                }
            }
            Answer::Busy { .. } => {}
            _ => door.failures = 0,
        }
        let probe = door.failures > settings.breaker_after;
        // Its later answer may have come before.
        let ended = call.request.and_then(|id| self.rows.request_row(id));
        let ended = ended.is_some_and(|request| request.state.ended());
        if let (Some((key, first_sent)), Answer::InDoubt(_) | Answer::Acknowledged { .. }) =
            (sent.filter(|_| !ended), answer)
        {
            self.meet("creates in doubt");
            self.unknown_from(key, first_sent, now);
        }
        if let (Some(id), Answer::Retryable { retry_after, .. }, true) =
            (call.request, answer, written(&call.work).is_some())
        {
            // Of those that were kept: an outcome that died with the process was not counted.
            let times = self.watch.retryable.get(&id).copied().unwrap_or(0) + 1;
            let pause = asked(retry_after).unwrap_or_else(|| shortest(times));
            self.watch.retry_not_before.insert(id, now + pause);
            // What is sent again by its key is bounded by the key's age, not by a count.
            let known = !sent.is_some_and(|(key, _)| self.watch.unknown.contains_key(&key));
            if times > settings.retries + 1 && known && !probe {
                self.fail("G10", format!("{id} was tried {times} times"));
            }
        }
        self.looked(call, answer);
    }

    fn looked(&mut self, call: &Call, answer: &Answer) {
        let Some(request) = call.request.and_then(|id| self.rows.request_row(id)) else { return };
        if written(&call.work).is_some() || request.op != crate::model::Op::Create {
            return;
        }
        let key = request.ticket;
        let now = self.now;
        let Some(unknown) = self.watch.unknown.get_mut(&key) else { return };
        match answer {
            Answer::Read(reading) if reading.tickets.is_empty() && !reading.more => {
                unknown.absent.push(now);
            }
            _ => unknown.other_looks += 1,
        }
    }

    /// G4 and G8, at the ledger.
    pub(super) fn watch_done(&mut self, backend: &BackendId, call: &Call) {
        let Some(target) = written(&call.work) else { return };
        let mut of = self.systems[backend].tickets.iter().filter(|made| {
            made.correlation == target.correlation_key.0
                || Some(&made.id) == target.backend_id.as_ref()
        });
        let (first, second) = (of.next(), of.next());
        if self.systems[backend].too_late.contains(&target.key) {
            return;
        }
        if let (Some(first), Some(second)) = (first, second) {
            let what = format!("{} and {} carry {}", first.id, second.id, first.correlation);
            return self.fail("G8", what);
        }
        let Some(made) = first else { return };
        let order = made.done.iter().filter_map(|id| self.rows.request_row(*id)).map(|it| it.n);
        if !order.is_sorted() {
            let what = format!("{}: {:?} were done in this order", made.id, made.done);
            self.fail("G4", what);
        }
    }

    /// G14.
    pub(super) fn watch_lane(&mut self, backend: &BackendId) {
        let Some(seat) = self.service.seats.get(backend) else { return };
        let glance = seat.lane.glance(self.clocks());
        if glance.heads > CLASSES * HEADS_MAX || glance.reads > READS_MAX {
            let what = format!("{} heads, {} searches in memory", glance.heads, glance.reads);
            self.fail("G14", what);
        }
        if glance.heads >= HEADS_MAX {
            self.meet("full windows");
        }
    }
}

/// Rows before a set, as far as its changes rest on them.
#[derive(Default)]
pub(super) struct Before {
    epochs: Vec<(BackendId, Epoch)>,
    version: Option<u64>,
    asked_for: Option<RequestId>,
    sequence: Option<u64>,
    arrivals: Vec<u64>,
}

/// What was applied: T1, T2, L3, G13, and what the truth learns.
impl World {
    fn arrivals(&self) -> u64 {
        self.rows.all_alarms().map(|alarm| alarm.arrivals).sum()
    }

    pub(super) fn watch_before(&self, set: &ChangeSet) -> Before {
        let mut before = Before::default();
        for change in &set.0 {
            match change {
                Change::Intend(it) => before.epochs.push((it.backend.clone(), it.epoch)),
                Change::Conclude(it) => before.epochs.push((it.backend.clone(), it.epoch)),
                Change::PauseLane(backend, epoch, _) => {
                    before.epochs.push((backend.clone(), *epoch));
                }
                Change::Decide(it) => {
                    let alarm = self.rows.occurrences(&it.at.alarm).find(|row| row.at == it.at);
                    before.version = alarm.map(|row| row.wanted_version);
                    before.asked_for = alarm.and_then(|row| row.request);
                    before.sequence = it
                        .ticket
                        .and_then(|(key, _)| self.rows.ticket_row(key))
                        .map(|ticket| ticket.sequence);
                }
                Change::TakeIn(it) if self.rows.knows(&it.identity) => {
                    before.arrivals.push(self.arrivals());
                }
                _ => {}
            }
        }
        before.epochs.retain(|(backend, epoch)| self.rows.lane_row(backend).epoch != *epoch);
        before
    }

    pub(super) fn watch_applied(&mut self, set: &ChangeSet, before: Before, applied: &[Applied]) {
        if let Some((backend, epoch)) = before.epochs.first() {
            self.fail("G13", format!("{backend}: a change of the old epoch {epoch} was applied"));
        }
        for (change, applied) in set.0.iter().zip(applied) {
            match (change, applied) {
                (Change::Decide(it), Applied::Decided { request, .. }) => {
                    if let Some(request) = request {
                        self.check_room(request);
                    }
                    if before.version != Some(it.version)
                        || before.asked_for.is_some()
                        || it.ticket.map(|(_, sequence)| sequence) != before.sequence
                    {
                        self.fail("T2", format!("a decision on old rows for {}", it.at.alarm));
                    }
                    self.check_lock(it.lock.client, it.lock.fence, it.lock.expires);
                }
                (Change::TakeIn(it), Applied::TakenIn(_))
                    if before.arrivals.first().is_some_and(|was| *was != self.arrivals()) =>
                {
                    self.fail("I1", format!("a repeat counted for {}", it.event.alarm));
                }
                (_, Applied::Later(Some(it))) => {
                    self.meet("requests ended by a later answer");
                    if it.request.state == State::Rejected {
                        self.watch.unknown.remove(&it.ticket.key);
                    }
                }
                (Change::Conclude(_) | Change::Settle(_), Applied::Concluded(it)) => {
                    self.meet(it.request.state.as_str());
                }
                (Change::Intend(_), Applied::Stale(..)) => self.meet("stale levels"),
                (Change::Intend(_), Applied::Skipped) => self.meet("intents skipped"),
                _ => {}
            }
        }
    }

    /// G14: how much a backend has open.
    fn check_room(&mut self, request: &Request) {
        let admission = self.systems[&request.backend].settings.admission;
        let open = self.rows.open_of(&request.backend);
        let most = match request.op {
            Op::Create | Op::Reopen => admission.max_open,
            Op::Update | Op::Close => admission.creates_only_at,
        };
        if open >= most {
            self.meet("backends full");
        }
        if open > most {
            let what = format!(
                "{} has {open} open requests, and {most} are admitted",
                request.op.as_str()
            );
            self.fail("G14", what);
        }
    }

    fn check_lock(&mut self, client: ClientNumber, fence: Fence, expires: Mono) {
        if self.mono() >= expires {
            self.fail("L3", format!("a decision under the lock of {client} that is over"));
        }
        if let Some(holder) = self.watch.holders.get(&client).filter(|it| it.fence > fence) {
            let what = format!("client {client}: fence {fence}, but {} holds it", holder.fence);
            self.fail("L3", what);
        }
    }

    pub(super) fn watch_durable(&mut self, set: &ChangeSet, applied: &[Applied]) {
        for (change, applied) in set.0.iter().zip(applied) {
            match (change, applied) {
                (Change::TakeIn(it), Applied::TakenIn(taken)) if !taken.repeat => {
                    self.truth.take(&it.event);
                }
                (Change::Conclude(it), Applied::Concluded(_))
                    if matches!(it.end, End::Wait { counted: true, .. }) =>
                {
                    *self.watch.retryable.entry(it.request).or_default() += 1;
                }
                (Change::Settle(it), Applied::Concluded(concluded))
                    if it.says == PersonSays::Absent =>
                {
                    // Known now: nothing of it was done, and nothing will be.
                    self.watch.unknown.remove(&concluded.ticket.key);
                    self.watch.retry_not_before.remove(&it.request);
                    self.watch.retryable.remove(&it.request);
                }
                _ => {}
            }
        }
    }

    /// T1.
    pub(super) fn watch_rows(&mut self) {
        let mut level_made: BTreeMap<TicketKey, u32> = BTreeMap::new();
        for request in self.rows.all_requests() {
            if !request.state.ended() && matches!(request.made_by, MadeBy::Level { .. }) {
                *level_made.entry(request.ticket).or_default() += 1;
            }
        }
        if let Some((key, n)) = level_made.into_iter().find(|(_, n)| *n > 1) {
            self.fail("T1", format!("ticket {key} has {n} un-ended level-made requests"));
        }
    }
}

/// Locks: L1, L2, L6, L8, L9, L12.
impl World {
    pub(super) fn watch_pool_gone(&mut self) {
        self.watch.holders.clear();
        self.watch.waiters.clear();
    }

    pub(super) fn watch_wish(&mut self, wish: &Wish) {
        self.note(|| format!("wish {} for {:?}", wish.guid, wish.holder));
        let now = self.mono();
        let known = self.watch.holders.values().any(|it| it.guid == wish.guid && it.expires > now);
        if !known && !self.watch.waiters.iter().any(|(guid, _)| *guid == wish.guid) {
            self.watch.waiters.push((wish.guid, wish.holder.clone()));
        }
    }

    pub(super) fn watch_release(&mut self, guid: Uuid) {
        self.note(|| format!("release {guid}"));
        self.watch.before_release = self.service.locks.clients().to_vec();
        self.watch.waiters.retain(|(waiter, _)| *waiter != guid);
        self.watch.holders.retain(|_, it| it.guid != guid);
    }

    pub(super) fn watch_released(&mut self, guid: Uuid) {
        for (n, was) in std::mem::take(&mut self.watch.before_release).into_iter().enumerate() {
            let others = was.as_ref().is_some_and(|it| it.guid != guid);
            if others && self.service.locks.clients()[n] != was {
                self.fail(
                    "L6",
                    format!("{guid} does not hold {}, and its release freed it", n + 1),
                );
            }
        }
    }

    pub(super) fn watch_outcome(&mut self, outcome: &Outcome) {
        self.note(|| format!("pool: {outcome:?}"));
        let now = self.mono();
        match outcome {
            Outcome::Granted(grant) => self.granted(grant, now),
            Outcome::TimedOut(guid) | Outcome::Busy(guid) => {
                self.watch.waiters.retain(|(waiter, _)| waiter != guid);
            }
            Outcome::Expired(grant) => {
                if grant.expires > now {
                    self.fail("L4", format!("{} expired before its time", grant.guid));
                }
                self.watch.holders.retain(|_, it| it.fence != grant.fence);
            }
            Outcome::NeedFences => {}
        }
    }

    fn granted(&mut self, grant: &Grant, now: Mono) {
        self.meet("grants");
        let live = |it: &&Grant| it.expires > now;
        if let Some(held) =
            self.watch.holders.values().filter(live).find(|it| it.guid == grant.guid)
        {
            if held != grant {
                self.fail("L9", format!("{} got a second lock", grant.guid));
            }
            return;
        }
        if let Some(held) = self.watch.holders.get(&grant.client).filter(live) {
            let what = format!("client {} has two holders: {}", grant.client, held.guid);
            self.fail("L1", what);
        }
        if grant.fence.0 <= self.watch.last_fence {
            self.fail("L2", format!("fence {} after {}", grant.fence, self.watch.last_fence));
        }
        self.watch.last_fence = self.watch.last_fence.max(grant.fence.0);
        let before = self.watch.waiters.iter().take_while(|(guid, _)| *guid != grant.guid);
        let passed = before.filter(|(_, holder)| !self.used_up(holder)).map(|it| it.0).next();
        if let Some(passed) = passed {
            self.fail("L8", format!("{} was granted before {passed}", grant.guid));
        }
        if self.used_up(&grant.holder) {
            self.fail("L12", format!("{:?} holds more than its share", grant.holder));
        }
        self.watch.waiters.retain(|(guid, _)| *guid != grant.guid);
        self.watch.holders.insert(grant.client, grant.clone());
    }

    /// Do its like hold their share already?
    fn used_up(&self, holder: &Holder) -> bool {
        let clients = self.service.clients;
        let count = |like: &dyn Fn(&Holder) -> bool| {
            self.watch.holders.values().filter(|it| like(&it.holder)).count()
        };
        match holder {
            Holder::Script(_) | Holder::Command(_) => {
                count(&|it| matches!(it, Holder::Script(_))) >= (clients / 2).max(1)
            }
            Holder::Flow(_) => {
                count(&|it| it == holder) >= Locks::flow_share(clients, self.systems.len())
            }
        }
    }
}

/// A change set in a few words.
pub(super) fn told(set: &ChangeSet, answer: &Result<Vec<Applied>, StoreError>) -> String {
    let changes: Vec<String> = set
        .0
        .iter()
        .map(|change| match change {
            Change::TakeIn(it) => {
                format!("take in {} {:?} {:?}", it.event.alarm, it.event.state, it.event.changed_at)
            }
            Change::Decide(it) => format!(
                "decide {} v{} {:?}: {}",
                it.at.alarm,
                it.version,
                super::rules::decision(&it.decision),
                it.reason
            ),
            Change::Intend(it) => format!("intend {} e{}", it.request, it.epoch),
            Change::Conclude(it) => {
                format!("conclude {} attempt {} e{} {:?}", it.request, it.attempt, it.epoch, it.end)
            }
            Change::Settle(it) => format!("settle {} {:?}", it.request, it.says),
            other => format!("{other:?}"),
        })
        .collect();
    match answer {
        Ok(applied) => {
            let odd = |it: &&Applied| matches!(it, Applied::Skipped | Applied::Stale(..));
            let odd: Vec<_> =
                applied.iter().filter(odd).map(|it| matches!(it, Applied::Skipped)).collect();
            format!(
                "{} ok{}",
                changes.join("; "),
                if odd.is_empty() { String::new() } else { format!(" skipped {odd:?}") }
            )
        }
        Err(error) => format!("{}: {error}", changes.join("; ")),
    }
}

pub(super) fn decision(decision: &crate::changes::Decision) -> String {
    use crate::changes::Decision;
    match decision {
        Decision::Create { ticket, .. } => format!("create {ticket}"),
        Decision::CreateAgain { ticket, .. } => format!("create again {ticket}"),
        Decision::Adopt { found, .. } => format!("adopt {}", found.backend_id),
        Decision::Write { op, ticket, .. } => format!("{} {ticket}", op.as_str()),
        Decision::TakeOver { ticket, .. } => format!("take over {ticket}"),
        Decision::Nothing => "nothing".to_owned(),
        Decision::Later(at) => format!("later at {at}"),
    }
}

/// A call in a few words.
pub(super) fn told_call(call: &Call) -> String {
    let id = call.request.map_or_else(String::new, |id| format!(" of {id}"));
    match &call.work {
        Work::Create { ticket, .. } => format!("create {}{id}", ticket.key),
        Work::Update { ticket, .. } => format!("update {}{id}", ticket.key),
        Work::Close { ticket, .. } => format!("close {}{id}", ticket.key),
        Work::Reopen { ticket, .. } => format!("reopen {}{id}", ticket.key),
        Work::Get { backend_id, .. } => format!("get {backend_id}{id}"),
        Work::Search { .. } => format!("search{id}"),
    }
}
