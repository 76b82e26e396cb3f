//! The requests of a lane that may go now, as far as they are in memory (rule G14).
//!
//! Three priority classes (create and reopen, close, update), each a window over the store's
//! ready rows in order of acceptance. Every request in here is the first in line of its ticket.
//! A window that is not `complete` has more rows in the store and is loaded when it runs low.

use crate::changes::Change;
use crate::model::{Moment, Mono, Op, Request, RequestId, TicketKey};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Priority classes of writes; searches come after them.
pub const CLASSES: usize = 3;
/// Heads of one class in memory.
pub const HEADS_MAX: usize = 85;
/// A window below this is loaded again, if it is not complete.
const HEADS_LOW: usize = 16;
/// The longest age that a loaded row is given: a wall clock that jumped must not make everything
/// look ancient (rule L4).
const AGE_MAX: Duration = Duration::from_secs(3600);

/// The priority class of an operation: create over close over update.
pub fn class_of(op: Op) -> u8 {
    match op {
        Op::Create | Op::Reopen => 0,
        Op::Close => 1,
        Op::Update => 2,
    }
}

#[derive(Debug, Default)]
struct Window {
    ready: BTreeMap<u64, Head>,
    complete: bool,
    loading: bool,
    /// A request was left out while a load was under way: what it brings is not all.
    left_out: bool,
}

impl Window {
    /// A ready row stays in the store.
    fn leave_out(&mut self) {
        self.complete = false;
        self.left_out = true;
    }
}

#[derive(Debug)]
pub(super) struct Head {
    pub request: Box<Request>,
    pub ready_since: Mono,
}

#[derive(Debug, Default)]
pub(super) struct Heads {
    windows: [Window; CLASSES],
    /// Requests that changed while a load was under way: its rows of them are old.
    touched: HashSet<RequestId>,
}

impl Heads {
    /// Everything may be in the store and nothing is here.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes a request that has just become ready. One that comes back (it was tried, and was not
    /// done) goes before all that were accepted after it, also where there is no room.
    pub fn put(&mut self, request: Box<Request>, now: Moment) {
        let window = &mut self.windows[usize::from(class_of(request.op))];
        let bounded = !mutant!(NoWindow);
        let last = window.ready.last_key_value().map(|(last, _)| *last);
        let goes_before = last.is_some_and(|last| request.n < last);
        let room = window.ready.len() < HEADS_MAX || !bounded;
        if goes_before || room && (window.complete || window.loading) {
            let head = Head { ready_since: ready_since(&request, now), request };
            window.ready.insert(head.request.n, head);
        } else {
            window.leave_out();
        }
        if window.ready.len() > HEADS_MAX && bounded {
            window.ready.pop_last();
            window.leave_out();
        }
    }

    /// Takes out what waits for this ticket: it is held, and its rows stay in the store.
    pub fn leave(&mut self, ticket: TicketKey) {
        for window in &mut self.windows {
            window.ready.retain(|_, head| head.request.ticket != ticket);
            window.leave_out();
        }
    }

    /// Another hand has moved this request.
    pub fn drop(&mut self, id: RequestId) {
        for window in &mut self.windows {
            window.ready.retain(|_, head| head.request.id != id);
        }
        self.touch(id);
    }

    /// Marks a request as changed, so that no load that is under way brings it back.
    pub fn touch(&mut self, id: RequestId) {
        if self.windows.iter().any(|window| window.loading) {
            self.touched.insert(id);
        }
    }

    /// The intent of a request that was in here was not stored: its row is looked for again, also
    /// in the loads that are under way.
    pub fn lost(&mut self, change: &Change) {
        if let Change::Intend(it) = change {
            self.touched.remove(&it.request);
        }
        self.reload();
    }

    /// Which class should be loaded next, if any; the load counts as begun.
    pub fn wants_load(&mut self) -> Option<u8> {
        let class = self.windows.iter().position(|window| {
            !window.complete && !window.loading && window.ready.len() < HEADS_LOW
        })?;
        let window = &mut self.windows[class];
        window.loading = true;
        window.left_out = false;
        u8::try_from(class).ok()
    }

    /// Nothing is ready, here or in the store.
    pub fn none_anywhere(&self) -> bool {
        self.windows.iter().all(|window| window.complete && window.ready.is_empty())
    }

    /// Some waiting rows may have become ready: look at the store again.
    pub fn reload(&mut self) {
        self.windows.iter_mut().for_each(Window::leave_out);
    }

    /// Takes the rows of a load.
    pub fn loaded(&mut self, class: u8, requests: Vec<Request>, all: bool, now: Moment) {
        let window = &mut self.windows[usize::from(class)];
        window.loading = false;
        window.complete = all && !window.left_out;
        for request in requests {
            if self.touched.contains(&request.id) {
                continue;
            }
            if window.ready.len() >= HEADS_MAX {
                window.complete = false;
                break;
            }
            let since = ready_since(&request, now);
            window
                .ready
                .entry(request.n)
                .or_insert_with(|| Head { request: Box::new(request), ready_since: since });
        }
        if !self.windows.iter().any(|window| window.loading) {
            self.touched.clear();
        }
    }

    /// A load failed: it may be tried again.
    pub fn load_failed(&mut self, class: u8) {
        self.windows[usize::from(class)].loading = false;
    }

    /// The first that may go, by class and order of acceptance.
    pub fn first(&self, may: impl Fn(&Head) -> bool) -> Option<(u8, &Head)> {
        self.all().find(|(_, head)| may(head))
    }

    /// The one that has waited longest. By its row's own time, which is exact: what was ready in one
    /// order goes in that order, whenever it was read.
    pub fn oldest(&self, may: impl Fn(&Head) -> bool) -> Option<(u8, &Head)> {
        let since = |head: &Head| (head.request.ready_at, head.request.n);
        self.all().filter(|(_, head)| may(head)).min_by_key(|(_, head)| since(head))
    }

    /// The one that was sent least often, of those the one that has waited longest.
    pub fn least_tried(&self, may: impl Fn(&Head) -> bool) -> Option<(u8, &Head)> {
        let tried = |head: &Head| (head.request.attempts, head.request.ready_at, head.request.n);
        self.all().filter(|(_, head)| may(head)).min_by_key(|(_, head)| tried(head))
    }

    fn all(&self) -> impl Iterator<Item = (u8, &Head)> {
        let classes = (0u8..).zip(&self.windows);
        classes.flat_map(|(class, of)| of.ready.values().map(move |head| (class, head)))
    }

    /// One of them.
    pub fn get(&self, class: u8, n: u64) -> Option<&Request> {
        Some(&self.windows[usize::from(class)].ready.get(&n)?.request)
    }

    /// Takes one out.
    pub fn take(&mut self, class: u8, n: u64) -> Option<Box<Request>> {
        let head = self.windows[usize::from(class)].ready.remove(&n)?;
        self.touch(head.request.id);
        Some(head.request)
    }

    /// How many of each class are in memory.
    pub fn of_each(&self) -> [usize; CLASSES] {
        std::array::from_fn(|class| self.windows[class].ready.len())
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.windows.iter().map(|window| window.ready.len()).sum()
    }
}

fn ready_since(request: &Request, now: Moment) -> Mono {
    let age = now.wall.since(request.ready_at).min(AGE_MAX);
    Mono(now.mono.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use crate::testing::at;

    #[test]
    fn what_comes_back_to_a_full_window_goes_before_what_was_accepted_later() {
        let now = Moment { wall: at(1_000_000), mono: Mono(500_000) };
        let mut heads = Heads::default();
        assert_eq!(heads.wants_load(), Some(0));
        let ready: Vec<_> = (1..=HEADS_MAX as u64).map(|n| request(n, Op::Create)).collect();
        heads.loaded(0, ready, true, now);
        let tried = heads.take(0, 1).unwrap();
        // Its place is taken while it is tried.
        heads.put(Box::new(request(1_000, Op::Create)), now);
        heads.put(tried, now);
        let order: Vec<_> = heads.windows[0].ready.keys().copied().collect();
        assert_eq!(order, (1..=HEADS_MAX as u64).collect::<Vec<_>>());
        assert!(heads.windows[0].left_out, "what had to go is loaded again");
    }
}
