//! What the element says and hears, without IO: time, dice and what comes in are arguments, messages to be
//! sent come out.
//!
//! What always holds: a page stays on its way until it was answered, and is sent again under its own id until
//! then; the next one waits for it. A row counts as told by the number that it had in the page. The last page
//! of a complete pass is sent behind all others. The gateway's credit bounds a page, the element's own bounds
//! an answer.
//!
//! What it leaves to others: the rows (`table`), the broker (`line`), people (`face`).

use super::super::changes::written;
use super::super::faults::Dice;
use super::faults::ElementFaults;
use super::message::{Answer, SyncMessage};
use super::table::{Edit, Row, Table, Taken};
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use uuid::Builder;

/// Rows of one page, if the gateway's credit allows it.
const PAGE_MAX: usize = 100;
/// Events that the element takes at once.
const CREDIT: u32 = 100;

/// How an element is.
#[derive(Debug, Clone)]
pub(super) struct Element {
    /// The gateway's name of it.
    pub backend: String,
    /// `AGENT/ELEMENT`.
    pub name: String,
    /// From one pass to the next.
    pub every_ms: u64,
    /// Every so many passes name all tickets; 0: none does.
    pub complete_every: u64,
    /// Without an answer for so long, a page is sent again.
    pub patience_ms: u64,
    /// The wall clock at moment 0.
    pub began_ms: i64,
    /// Of the dice.
    pub seed: u64,
}

/// What was done, for who looks on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub passes: u64,
    pub complete_passes: u64,
    pub messages: u64,
    pub repeats: u64,
    pub rows_told: u64,
    pub answers: u64,
    /// Answers that nobody waited for, or that were lost.
    pub strays: u64,
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    pub made: u64,
    pub taken_over: u64,
    pub removed: u64,
    /// Events that came too late: a person had changed the row.
    pub kept: u64,
    pub restarts: u64,
    pub unreadable: u64,
}

/// A message on its way.
#[derive(Debug)]
struct Sent {
    message: SyncMessage,
    /// Rows in it, with the numbers that they had.
    rows: Vec<(u64, u64)>,
    polled_ms: i64,
    at_ms: u64,
}

#[derive(Debug)]
struct Pass {
    id: String,
    complete: bool,
    /// Rows that are still to be told.
    rows: VecDeque<u64>,
    /// Something was sent: an empty pass is one empty message.
    begun: bool,
}

/// The element at work.
#[derive(Debug)]
pub(super) struct Machine {
    element: Element,
    table: Table,
    faults: ElementFaults,
    dice: Dice,
    /// For ids: never the same in another life, or a new page would get an old answer.
    id_dice: Dice,
    credit: Option<u32>,
    connected: bool,
    next_pass_ms: u64,
    pass: Option<Pass>,
    sent: Vec<Sent>,
    /// The gateway has more to say; where its next answer begins.
    more: Option<Option<Value>>,
    counts: Counts,
}

impl Machine {
    /// An element with an empty table.
    pub fn new(element: Element, faults: ElementFaults) -> Self {
        let agent = element.name.split('/').next().unwrap_or_default().to_owned();
        Self {
            table: Table::of(&agent),
            dice: Dice::of_backend(element.seed, &element.backend),
            id_dice: Dice::of_backend(element.began_ms.unsigned_abs(), &element.backend),
            element,
            faults,
            credit: None,
            connected: false,
            next_pass_ms: 0,
            pass: None,
            sent: Vec::new(),
            more: None,
            counts: Counts::default(),
        }
    }

    /// Which backend it is to the gateway.
    pub fn backend(&self) -> &str {
        &self.element.backend
    }

    /// Its tickets.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What it does wrong.
    pub fn faults(&self) -> &ElementFaults {
        &self.faults
    }

    /// From now on it does this wrong.
    pub fn set_faults(&mut self, faults: ElementFaults) {
        self.faults = faults;
    }

    /// What was done, and whether all is quiet: all rows told, nothing on its way.
    pub fn report(&self) -> Value {
        let quiet = self.sent.is_empty() && self.more.is_none() && self.table.untold().is_empty();
        serde_json::json!({
            "backend": self.element.backend, "element": self.element.name,
            "tickets": self.table.rows().count(), "connected": self.connected,
            "credit": self.credit, "quiet": quiet, "counts": self.counts,
        })
    }

    /// A person makes a ticket.
    pub fn make(&mut self, edit: Edit, now_ms: u64) -> Row {
        self.table.make(edit, self.clock(now_ms))
    }

    /// A person changes one.
    pub fn edit(&mut self, id: &str, edit: Edit, now_ms: u64) -> Option<Row> {
        self.table.edit(id, edit, self.clock(now_ms))
    }

    /// A person removes one.
    pub fn remove(&mut self, id: &str, now_ms: u64) -> bool {
        self.table.remove(id, self.clock(now_ms))
    }

    /// It starts anew: its cursor and all that was on its way are gone, its table is there.
    pub fn restart(&mut self) {
        self.table.forget();
        self.sent.clear();
        self.pass = None;
        self.more = None;
        self.credit = None;
        self.next_pass_ms = 0;
        self.counts.restarts += 1;
    }

    /// The next pass begins now.
    pub fn poll_now(&mut self) {
        self.next_pass_ms = 0;
    }

    /// There is a line to the broker, or none any more: what was on its way is sent again.
    pub fn connected(&mut self, connected: bool) {
        self.connected = connected;
        self.sent.iter_mut().for_each(|sent| sent.at_ms = 0);
    }

    /// The gateway takes so many changes now.
    pub fn credited(&mut self, credit: Option<u32>) {
        self.credit = credit.or(self.credit);
    }

    /// Something came that cannot be read.
    pub fn unreadable(&mut self) {
        self.counts.unreadable += 1;
    }

    /// Time has passed: what is to be sent.
    pub fn tick(&mut self, now_ms: u64) -> Vec<SyncMessage> {
        if !self.connected || self.faults.silent {
            return Vec::new();
        }
        let clock_ms = self.clock(now_ms);
        let mut out = Vec::new();
        for sent in &mut self.sent {
            if sent.at_ms.saturating_add(self.element.patience_ms) <= now_ms {
                sent.at_ms = now_ms;
                // It says when it was polled, and not when it was first tried.
                sent.message.polled_at = written(clock_ms);
                self.counts.repeats += 1;
                out.push(sent.message.clone());
            }
        }
        let idle = self.pass.is_none() && self.sent.is_empty() && self.more.is_none();
        if idle && self.next_pass_ms <= now_ms {
            self.begin_pass(now_ms);
        }
        out.extend(self.go_on(now_ms));
        out
    }

    /// An answer came: what is to be sent next.
    pub fn answered(&mut self, answer: &Answer, now_ms: u64) -> Vec<SyncMessage> {
        self.credited(answer.credit);
        let Some(at) = self.sent.iter().position(|sent| sent.message.id == answer.id) else {
            self.counts.strays += 1;
            return Vec::new();
        };
        if self.dice.share() < self.faults.lost_answer_rate {
            self.counts.lost += 1;
            return Vec::new();
        }
        self.counts.answers += 1;
        let sent = self.sent.remove(at);
        for (place, number) in sent.rows {
            self.table.was_told(place, number);
        }
        for event in &answer.events {
            let at = event.at.as_deref();
            let taken = self.table.take(&event.event, at, &event.ticket, sent.polled_ms);
            let count = match taken {
                Taken::Made => &mut self.counts.made,
                Taken::Over => &mut self.counts.taken_over,
                Taken::Removed => &mut self.counts.removed,
                Taken::Kept => &mut self.counts.kept,
                Taken::Nothing => continue,
            };
            *count += 1;
        }
        if answer.more {
            self.more = Some(answer.cursor.clone());
        }
        self.go_on(now_ms)
    }

    fn begin_pass(&mut self, now_ms: u64) {
        self.next_pass_ms = now_ms.saturating_add(self.element.every_ms);
        self.counts.passes += 1;
        let every = self.element.complete_every;
        let complete = every > 0 && self.counts.passes.is_multiple_of(every);
        self.counts.complete_passes += u64::from(complete);
        let rows = if complete { self.table.all() } else { self.table.untold() };
        let id = self.new_id();
        self.pass = Some(Pass { id, complete, rows: rows.into(), begun: false });
    }

    /// Sends what may be sent: nothing while something is on its way.
    fn go_on(&mut self, now_ms: u64) -> Vec<SyncMessage> {
        if !self.sent.is_empty() {
            return Vec::new();
        }
        if let Some(cursor) = self.more.take() {
            // Of no pass: within one that is complete, another name would begin it anew.
            let id = self.new_id();
            let ask_on = SyncMessage { cursor, ..self.message(id, None, now_ms) };
            return self.send(ask_on, Vec::new(), now_ms);
        }
        let page = self.credit.map_or(PAGE_MAX, |credit| PAGE_MAX.min(credit as usize));
        let Some(pass) = &self.pass else { return Vec::new() };
        if pass.rows.is_empty() && pass.begun {
            self.pass = None;
            return Vec::new();
        }
        if page == 0 && !pass.rows.is_empty() {
            // No credit: nothing is told. The next pass tries again.
            self.pass = None;
            return Vec::new();
        }
        // Neither of two pages that change places may be the last of its pass.
        let may_reorder = pass.rows.len() > 2 * page;
        let first = self.page(page, now_ms);
        if may_reorder && self.dice.share() < self.faults.reordered_rate {
            self.counts.reordered += 1;
            let second = self.page(page, now_ms);
            return second.into_iter().chain(first).collect();
        }
        first
    }

    /// The next page of the pass.
    fn page(&mut self, most: usize, now_ms: u64) -> Vec<SyncMessage> {
        let id = self.new_id();
        let Some(pass) = &mut self.pass else { return Vec::new() };
        pass.begun = true;
        let places: Vec<u64> = pass.rows.drain(..most.min(pass.rows.len())).collect();
        let (pass_id, complete) = (pass.id.clone(), pass.complete && pass.rows.is_empty());
        let (mut tickets, mut rows) = (Vec::new(), Vec::new());
        for place in places {
            if let Some((told, number)) = self.table.told_of(place) {
                tickets.push(told);
                rows.push((place, number));
            }
        }
        self.counts.rows_told += rows.len() as u64;
        let message = SyncMessage { complete, tickets, ..self.message(id, Some(pass_id), now_ms) };
        self.send(message, rows, now_ms)
    }

    fn send(
        &mut self,
        message: SyncMessage,
        rows: Vec<(u64, u64)>,
        now_ms: u64,
    ) -> Vec<SyncMessage> {
        self.counts.messages += 1;
        let mut out = vec![message.clone()];
        if self.dice.share() < self.faults.doubled_rate {
            self.counts.doubled += 1;
            out.push(message.clone());
        }
        let polled_ms = self.clock(now_ms);
        self.sent.push(Sent { message, rows, polled_ms, at_ms: now_ms });
        out
    }

    fn message(&self, id: String, pass: Option<String>, now_ms: u64) -> SyncMessage {
        SyncMessage {
            id,
            backend: self.element.backend.clone(),
            element: self.element.name.clone(),
            polled_at: written(self.clock(now_ms)),
            credit: CREDIT,
            cursor: None,
            pass,
            complete: false,
            tickets: Vec::new(),
        }
    }

    /// What the element's clock says.
    fn clock(&self, now_ms: u64) -> i64 {
        let offset = self.faults.clock_offset_ms;
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.element.began_ms.saturating_add(now_ms).saturating_add(offset)
    }

    fn new_id(&mut self) -> String {
        let mut bytes = [0; 16];
        bytes.chunks_mut(4).for_each(|part| {
            let number = (self.id_dice.share() * f64::from(u32::MAX)) as u32;
            part.copy_from_slice(&number.to_be_bytes());
        });
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}
