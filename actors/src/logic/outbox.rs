//! Which stored event is published next (rules O2, O3).
//!
//! Always: at most one unconfirmed event a ticket, so that its events arrive in sequence; at most
//! [`WINDOW`] unconfirmed events over all tickets; what was not confirmed is published again, with
//! the same id. The store is the queue: only a part of it is in memory.

use crate::model::{Mono, TicketEvent, TicketKey};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Unconfirmed events over all tickets.
pub const WINDOW: usize = 256;
/// Events in memory that wait.
const QUEUE_MAX: usize = 1_024;
/// Below this more is loaded.
const QUEUE_LOW: usize = 256;
/// The first pause after a failed publish; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The store is looked at this often even if nobody woke the outbox.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// Events were stored.
    Woken,
    /// Rows from after the cursor; none if the read failed. `all`: there were no more.
    Loaded(Option<Vec<TicketEvent>>, bool),
    /// The broker has the event and its write-backs.
    Confirmed(u64),
    /// It may have them or not.
    Failed(u64),
    /// Marks were stored, or not.
    Marked(Vec<u64>, bool),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Read at most so many unsent rows from after this number, then say [`Input::Loaded`].
    Load(u64, u32),
    /// Publish this event and its write-backs.
    Publish(Arc<TicketEvent>),
    /// Mark these as sent, then say [`Input::Marked`].
    Mark(Vec<u64>),
    /// Say [`Input::Tick`] at that time.
    WakeAt(Mono),
}

/// The outbox of one node.
#[derive(Debug, Default)]
pub struct Outbox {
    cursor: u64,
    queue: VecDeque<Arc<TicketEvent>>,
    in_flight: BTreeMap<u64, Arc<TicketEvent>>,
    busy: HashSet<TicketKey>,
    confirmed: Vec<u64>,
    marking: bool,
    loading: bool,
    /// There may be rows after the cursor.
    more: bool,
    woken_while_loading: bool,
    failures: u32,
    hold_until: Option<Mono>,
    closing: bool,
}

impl Outbox {
    /// An outbox that begins with the oldest unsent row.
    pub fn new() -> Self {
        Self { more: true, ..Self::default() }
    }

    /// The one door.
    pub fn step(&mut self, input: Input, now: Mono) -> Vec<Effect> {
        match input {
            Input::Woken if self.loading => self.woken_while_loading = true,
            Input::Woken => self.more = true,
            Input::Loaded(rows, all) => self.loaded(rows, all),
            Input::Confirmed(n) => {
                self.failures = 0;
                if let Some(event) = self.in_flight.remove(&n) {
                    self.busy.remove(&event.ticket.key);
                    self.confirmed.push(n);
                }
            }
            Input::Failed(n) => {
                if let Some(event) = self.in_flight.remove(&n) {
                    self.busy.remove(&event.ticket.key);
                    // Back to its place: its ticket's later events stand behind it.
                    let place = self.queue.partition_point(|other| other.n < n);
                    self.queue.insert(place, event);
                    if self.hold_until.is_none_or(|at| at <= now) {
                        self.failures += 1;
                        let doublings = self.failures.saturating_sub(1).min(8);
                        self.hold_until = Some(now.plus((PAUSE * (1 << doublings)).min(PAUSE_MAX)));
                    }
                }
            }
            Input::Marked(numbers, true) => {
                debug_assert!(!numbers.is_empty());
                self.marking = false;
            }
            Input::Marked(numbers, false) => {
                self.marking = false;
                self.confirmed.extend(numbers);
                self.hold_until = Some(now.plus(PAUSE_MAX.min(LOOK_EVERY)));
            }
            Input::Tick => self.more = true,
        }
        self.go_on(now)
    }

    /// No more loads: what is in flight is waited for.
    pub fn close(&mut self) {
        self.closing = true;
        self.queue.clear();
    }

    /// Nothing is unconfirmed or unmarked.
    pub fn quiet(&self) -> bool {
        self.in_flight.is_empty() && self.confirmed.is_empty() && !self.marking
    }

    /// Unconfirmed events, for faces.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn loaded(&mut self, rows: Option<Vec<TicketEvent>>, all: bool) {
        self.loading = false;
        self.more = !all || std::mem::take(&mut self.woken_while_loading);
        for row in rows.unwrap_or_default() {
            self.cursor = self.cursor.max(row.n);
            if !self.closing {
                self.queue.push_back(Arc::new(row));
            }
        }
    }

    fn go_on(&mut self, now: Mono) -> Vec<Effect> {
        let mut effects = Vec::new();
        let held = self.hold_until.is_some_and(|at| at > now);
        if !self.confirmed.is_empty() && !self.marking && (!held || self.closing) {
            self.marking = true;
            effects.push(Effect::Mark(std::mem::take(&mut self.confirmed)));
        }
        if !held && !self.closing {
            self.publish(&mut effects);
        }
        if self.more && !self.loading && !self.closing && self.queue.len() < QUEUE_LOW {
            self.loading = true;
            self.more = false;
            let room = u32::try_from(QUEUE_MAX - self.queue.len()).unwrap_or(0);
            effects.push(Effect::Load(self.cursor, room));
        }
        let tick = now.plus(LOOK_EVERY);
        effects.push(Effect::WakeAt(match self.hold_until.filter(|_| held) {
            Some(hold) => hold.min(tick),
            None => tick,
        }));
        effects
    }

    /// Publishes from the front whatever ticket is not busy. A ticket whose earlier event was
    /// passed over is passed over too.
    fn publish(&mut self, effects: &mut Vec<Effect>) {
        let mut place = 0;
        let mut passed: HashSet<TicketKey> = HashSet::new();
        while self.in_flight.len() < WINDOW && place < self.queue.len() {
            let key = self.queue[place].ticket.key;
            if (self.busy.contains(&key) || passed.contains(&key)) && !mutant!(NoEventOrder) {
                passed.insert(key);
                place += 1;
                continue;
            }
            let Some(event) = self.queue.remove(place) else { break };
            self.busy.insert(key);
            self.in_flight.insert(event.n, event.clone());
            effects.push(Effect::Publish(event));
        }
    }
}
