//! Who plays: the feed's reader, the lane, the connector, people on every side; and the store between.

use super::sides::{Element, System};
use super::{Broken, Met};
use crate::changes::{Applied, Change, ChangeSet, Context, Page, Record};
use crate::logic::sync::{From, Plan};
use crate::model::{BackendId, Epoch, EventName, Fields, Kind, Moment, Mono, Side, Timestamp};
use crate::ports::{ChangesBy, FreshIds, StoreError};
use crate::testing::{Rows, a_sync, fresh_ids};
use feed::Reader;
#[cfg(test)]
use lane::Answers;
use lane::{Taken, Undo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use wire::Wire;

mod connector;
mod ends;
mod feed;
mod lane;
mod people;
#[cfg(test)]
mod tests;
mod wire;

/// Rows of a page: small, so that there are many.
const PAGE: u32 = 4;
/// How long the feed is read again.
const OVERLAP: Duration = Duration::from_secs(600);

/// A person's edit, for the checks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edit {
    pub by: &'static str,
    pub value: Value,
}

pub(super) struct Cast {
    pub rows: Rows,
    dice: fastrand::Rng,
    /// Chance of what came to be played after the first seeds were known: they stay what they were.
    more: fastrand::Rng,
    now_ms: i64,
    ids: u128,
    epoch: Epoch,
    pub feed: Arc<Plan>,
    pub line: Arc<Plan>,
    pub system: System,
    pub element: Element,
    wire: Wire,
    reader: Reader,
    /// Pages that will come again, and how much had been written then.
    late_pages: Vec<(Page, u64)>,
    /// Ids of records that could not be read.
    pub bad: BTreeSet<String>,
    next_id: u32,
    /// Writes that the system has taken and answers later.
    taken: Vec<Taken>,
    /// Tickets that are to be read once more, by their ids there.
    again: Vec<(String, Kind)>,
    /// What fields had there before they were written.
    undo: Vec<Undo>,
    pub met: Met,
    pub told: Option<Vec<String>>,
    shown: Vec<String>,
    /// What people last did to a field of a ticket, by their id of it.
    pub edits: BTreeMap<(String, String), Vec<Edit>>,
}

fn home() -> BackendId {
    BackendId::new("desk")
}

impl Cast {
    pub fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut more = fastrand::Rng::with_seed(!seed);
        let three_way = dice.bool();
        // The system is master of `b`; towards the connector that makes it ours.
        let by_cursor = more.u8(..3) == 0;
        let by = if by_cursor { ChangesBy::Cursor } else { ChangesBy::Time };
        let mut feed = a_sync("feed", From::Feed(by, PAGE));
        let mut line = a_sync("line", From::Connector);
        for pair in line.rules.pairs.iter_mut().filter(|pair| pair.ours == "b") {
            pair.master = Some(Side::Ours);
        }
        (feed.rules.three_way, line.rules.three_way) = (three_way, three_way);
        let skew = |dice: &mut fastrand::Rng| dice.i64(-600_000..=600_000);
        let mut cast = Self {
            rows: Rows::default(),
            now_ms: 1_800_000_000_000,
            ids: 1,
            epoch: Epoch(0),
            feed: Arc::new(feed),
            line: Arc::new(line),
            system: System {
                ahead_ms: skew(&mut dice),
                by_cursor,
                later: more.u8(..3) == 0,
                shouts: [None, None, None, Some("a"), Some("c")][dice.usize(..5)],
                ..System::default()
            },
            element: Element {
                ahead_ms: skew(&mut dice),
                credit: dice.u32(1..6),
                careful: dice.bool(),
                ..Element::default()
            },
            wire: Wire::default(),
            reader: Reader::default(),
            late_pages: Vec::new(),
            bad: BTreeSet::new(),
            next_id: 1,
            taken: Vec::new(),
            again: Vec::new(),
            undo: Vec::new(),
            met: Met::default(),
            told: None,
            shown: Vec::new(),
            edits: BTreeMap::new(),
            dice,
            more,
        };
        cast.take_lane();
        cast
    }

    /// What was met so far.
    pub fn met(&self) -> Met {
        let events = self.rows.all_events();
        Met {
            tickets: self.rows.all_tickets().count() as u64,
            conflicts: events.filter(|it| it.0.event == EventName::Conflict).count() as u64,
            ..self.met
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(told) = &mut self.told {
            told.push(format!("{now} {}", what()));
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn fresh(&mut self) -> FreshIds {
        fresh_ids(|| self.uuid())
    }

    /// One transaction; a crash takes it back.
    fn apply(&mut self, change: Change, may_crash: bool) -> Option<Result<Applied, StoreError>> {
        let now = Moment { wall: self.now(), mono: Mono(u64::try_from(self.now_ms).unwrap_or(0)) };
        let applied = self.rows.apply_now(&ChangeSet(vec![change]), Context { now, node: "n1" });
        if may_crash && self.dice.u8(..24) == 0 {
            self.rows.crash();
            self.met.crashes += 1;
            self.reader.dies();
            self.tell(|| "crash: the last transaction is lost".into());
            return None;
        }
        self.rows.sync();
        if self.told.is_some() {
            let words = |fields: &Fields| {
                let words = fields.iter().map(|(name, value)| format!("{name}={value}"));
                words.collect::<Vec<_>>().join(" ")
            };
            let rows = &self.rows;
            let state = |ticket: &crate::model::Ticket| {
                let ours = words(&crate::logic::sync::view(ticket));
                let twins = rows.clone_twins(ticket.key);
                let base =
                    |twin: &crate::model::Twin| format!(" | {} {}", twin.sync, words(&twin.agreed));
                let bases: String = twins.iter().map(base).collect();
                format!("{}: {ours}{bases}", ticket.backend_id.as_deref().unwrap_or("-"))
            };
            let all: Vec<_> = rows.all_tickets().map(state).collect();
            if all != self.shown {
                for line in all
                    .iter()
                    .filter(|line| !self.shown.contains(line))
                    .cloned()
                    .collect::<Vec<_>>()
                {
                    self.tell(|| format!("    now {line}"));
                }
                self.shown = all;
            }
        }
        Some(applied.map(|mut applied| applied.remove(0)))
    }

    pub fn step(&mut self) -> Result<(), Broken> {
        self.now_ms += self.dice.i64(0..30_000);
        match self.dice.u8(..22) {
            // Some at once: they have one time.
            0..=3 => (0..self.dice.u32(1..4)).for_each(|_| self.edit_there()),
            4..=5 => self.edit_here(),
            6..=7 => self.edit_at_the_connector(),
            8..=11 => self.run()?,
            12..=14 => drop(self.lane(true)),
            15..=17 => self.message(true)?,
            18 => self.held(true),
            20 => self.late_page()?,
            21 if self.dice.u8(..4) == 0 => self.lose_the_place()?,
            _ => self.sweep()?,
        }
        match self.more.u8(..90) {
            0..=24 => drop(self.answer_later(true)),
            25..=36 => self.change_back(),
            37..=38 => self.skip(),
            39..=41 => self.unskip(),
            42 => self.forget(),
            // Nothing happens for longer than the feed is read again.
            43 => self.now_ms += 700_000,
            _ => {}
        }
        Ok(())
    }
}

fn brief(records: &[Record]) -> Vec<String> {
    let one = |record: &Record| match &record.told {
        Ok(told) => format!("{} {:?} at {}", told.id(), told.fields, told.said_at),
        Err((id, why)) => format!("{id}: {why}"),
    };
    records.iter().map(one).collect()
}
