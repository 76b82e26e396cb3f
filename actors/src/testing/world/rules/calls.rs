//! Calls: G3, G4, G6–G11, G14, G17.

use super::{Door, Unknown, millis};
use crate::logic::lane::{CLASSES, Capability, HEADS_MAX, READS_MAX, class_of};
use crate::model::{BackendId, Request, State, TicketKey};
use crate::ports::{Answer, Call, Work};
use crate::testing::world::World;
use crate::testing::world::system::written;
use std::time::Duration;

impl World {
    fn door(&mut self, backend: &BackendId) -> &mut Door {
        self.watch.doors.entry(backend.clone()).or_default()
    }

    pub(crate) fn watch_call_begun(&mut self, backend: &BackendId) {
        let now = self.now;
        let rate = self.systems[backend].settings.rate;
        let door = self.door(backend);
        door.in_flight += 1;
        door.since = Some(now);
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

    pub(crate) fn calling_since(&self, backend: &BackendId) -> Option<u64> {
        self.watch.doors.get(backend).and_then(|door| door.since)
    }

    pub(crate) fn watch_quiet(&mut self, backend: &BackendId, quiet: Duration) {
        let until = self.now + millis(quiet);
        let door = self.door(backend);
        door.not_before = door.not_before.max(until);
    }

    /// The process, or the gateway in it, is gone: its connections are closed.
    pub(crate) fn watch_lost_calls(&mut self) {
        let now = self.now;
        // A pause that was not durable yet is forgotten: of a call that must be taken as in doubt.
        let waits = |id| self.rows.request_row(id).is_some_and(|it| it.state == State::Wait);
        self.watch.retry_not_before.retain(|id, _| waits(*id));
        let doors = std::mem::take(&mut self.watch.doors);
        for door in doors.into_values() {
            let open = |id| self.rows.request_row(id).is_some_and(|it| !it.state.ended());
            // Its later answer may have come before.
            if let Some((key, first_sent, _)) = door.create.filter(|(.., id)| open(*id)) {
                self.unknown_from(key, first_sent, now);
            }
        }
    }

    pub(crate) fn watch_resumed(&mut self, backend: &BackendId) {
        let door = self.door(backend);
        door.not_before = 0;
        door.failed = (0, 0);
        door.failures = 0;
        door.closed_until = 0;
    }

    pub(crate) fn watch_not_sent(&mut self, _: &BackendId) {
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

    pub(crate) fn watch_first_byte(&mut self, backend: &BackendId, call: &Call) {
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
        // Or another gateway has taken the lane: it settles for longer than this call can last.
        let taken_over = request.state == State::InDoubt
            && self.watch.intents.get(&id) != Some(&self.rows.lane_row(backend).epoch);
        if request.state != State::Intent && !answered && !taken_over {
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
            self.door(backend).create = Some((key, now, id));
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
            // Nothing of it is elsewhere.
            Capability::Partner => None,
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
        // While nothing could be stored, what had been chosen before waited.
        let stored = self.disk_full_until == 0 || self.now > self.disk_full_until + 60_000;
        let quiet = self.watch.jumped_at.is_none() && self.frozen_until == 0 && stored;
        let fresh = self.now - self.born.max(self.watch.lane_taken) < 30_000;
        if !quiet || fresh || self.plan.alarms > 60 || request.attempts > 1 {
            return;
        }
        let age = |at| millis(now.since(at));
        let waits = |it: &&Request| matches!(it.state, State::Accepted | State::Wait);
        let of = self.rows.all_requests().filter(|it| it.backend == *backend);
        let older = of.filter(waits).find(|it| {
            let before: Vec<_> =
                self.rows.all_requests().filter(|o| o.ticket == it.ticket && o.n < it.n).collect();
            let in_line = before.iter().all(|o| o.state.ended());
            let first_since = before.iter().map(|o| o.ended_at).max().flatten();
            // It was chosen first: what was chosen after it may come to the store before it.
            let chosen = self.watch.at_store.contains(&it.id);
            it.attempts == 0
                && in_line
                && !chosen
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

    pub(crate) fn watch_heard(&mut self, backend: &BackendId, call: &Call, answer: &Answer) {
        let now = self.now;
        let settings = self.systems[backend].settings.clone();
        let door = self.door(backend);
        door.in_flight = door.in_flight.saturating_sub(1);
        door.since = None;
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
        if let (Some((key, first_sent, _)), Answer::InDoubt(_) | Answer::Acknowledged { .. }) =
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
            let known = !sent.is_some_and(|(key, ..)| self.watch.unknown.contains_key(&key));
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
    pub(crate) fn watch_done(&mut self, backend: &BackendId, call: &Call) {
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
    pub(crate) fn watch_lane(&mut self, backend: &BackendId) {
        let Some(seat) = self.service.seats.get(backend) else { return };
        let glance = seat.lane.glance(self.clocks());
        if glance.heads > CLASSES * HEADS_MAX || glance.reads > READS_MAX {
            let what = format!("{} heads, {} searches in memory", glance.heads, glance.reads);
            self.fail("G14", what);
        }
        if glance.primed > 0 {
            self.meet("primed requests");
        }
        if glance.heads >= HEADS_MAX {
            self.meet("full windows");
        }
    }
}
