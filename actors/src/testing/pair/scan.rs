//! A ticketing system without a feed of changes: all its tickets are read, page by page, over and over,
//! while people make and delete some there, have some left alone, some rows cannot be read, and passes are
//! torn (rule S8).

use super::Broken;
use crate::changes::{
    Applied, Change, ChangeSet, Context, Page, PersonSync, Record, Steer, Sweep, Where,
};
use crate::logic::sync::{From, Plan, next_place, wanted};
use crate::model::{
    EventId, EventName, Found, Moment, Mono, Place, RequestId, TicketKey, TicketStatus, Timestamp,
};
use crate::ports::{ChangesBy, FreshIds, Reading, SyncTx, Work};
use crate::testing::{Rows, a_sync};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const BY: ChangesBy = ChangesBy::Scan;
const PAGE: u32 = 3;
const STEPS: u32 = 60;
const TICKETS_MAX: usize = 14;

struct Scan {
    rows: Rows,
    dice: fastrand::Rng,
    now_ms: i64,
    ids: u128,
    plan: Arc<Plan>,
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Whole passes since somebody deleted something: a row that moves in two passes in a row may be missed
    /// by both.
    passes: u32,
    /// Every row can be read.
    well: bool,
}

/// Plays one seed.
pub(super) fn play(seed: u64) -> Result<(), Broken> {
    let mut scan = Scan {
        rows: Rows::default(),
        dice: fastrand::Rng::with_seed(seed.rotate_left(17)),
        now_ms: 1_800_000_000_000,
        ids: 1,
        plan: Arc::new(a_sync("scan", From::Feed(BY, PAGE))),
        there: BTreeSet::new(),
        gone: BTreeSet::new(),
        passes: 0,
        well: false,
    };
    for _ in 0..STEPS {
        match scan.dice.u8(..10) {
            0..=2 if scan.there.len() < TICKETS_MAX => {
                let id = format!("S{:04}", scan.dice.u32(..9_999));
                if !scan.gone.contains(&id) {
                    scan.there.insert(id);
                }
            }
            3 if scan.passes >= 2 => scan.delete(),
            4 => scan.leave_alone(),
            _ => {
                let torn = scan.dice.u8(..5) == 0;
                scan.page(torn)?;
            }
        }
    }
    scan.steer(Steer::Unskip(scan.there.iter().chain(&scan.gone).cloned().collect()));
    scan.well = true;
    let end = scan.passes + 3;
    while scan.passes < end {
        scan.page(false)?;
    }
    scan.all_told()
}

impl Scan {
    fn delete(&mut self) {
        let known: Vec<_> = self.there.iter().cloned().collect();
        if !known.is_empty() {
            let id = known[self.dice.usize(..known.len())].clone();
            self.there.remove(&id);
            self.gone.insert(id);
            self.passes = 0;
        }
    }

    /// A person has one left alone, or none any more.
    fn leave_alone(&mut self) {
        let all: Vec<_> = self.there.iter().cloned().collect();
        if self.dice.bool() {
            self.steer(Steer::Unskip(all));
        } else if !all.is_empty() {
            let id = all[self.dice.usize(..all.len())].clone();
            self.steer(Steer::Skip(vec![id]));
        }
    }

    fn steer(&mut self, steer: Steer) {
        let (who, reason) = ("a person".to_owned(), "wanted".to_owned());
        let ids = (0..2 * TICKETS_MAX).map(|_| self.ids()).collect();
        let order = PersonSync { plan: self.plan.clone(), steer, who, reason, ids };
        self.apply(Change::SyncSteer(Box::new(order)));
    }

    fn ids(&mut self) -> FreshIds {
        let mut uuid = || {
            self.ids += 1;
            Uuid::from_u128(self.ids)
        };
        FreshIds {
            ticket: TicketKey(uuid()),
            request: RequestId(uuid()),
            second: RequestId(uuid()),
            events: [EventId(uuid()), EventId(uuid())],
        }
    }

    fn apply(&mut self, change: Change) -> Option<Applied> {
        let wall = Timestamp::from_millis(self.now_ms);
        let now = Moment { wall, mono: Mono(u64::try_from(self.now_ms).unwrap_or(0)) };
        let applied = self.rows.apply_now(&ChangeSet(vec![change]), Context { now, node: "n1" });
        self.rows.sync();
        applied.ok().map(|mut applied| applied.remove(0))
    }

    /// The next page, or the first one of a new pass where the one before was torn.
    fn page(&mut self, torn: bool) -> Result<(), Broken> {
        self.now_ms += 5_000;
        let now = Timestamp::from_millis(self.now_ms);
        let Ok(row) = SyncTx::sync(&mut self.rows, "scan") else { return Ok(()) };
        let place = if torn { Place::default() } else { row.place.clone() };
        let work = wanted(BY, &place, Duration::ZERO, PAGE);
        let Work::Changes { offset, limit, .. } = work else { return Ok(()) };
        let found = |id: &String| Found {
            backend_id: id.clone(),
            correlation_key: Some(String::new()),
            status: Some(TicketStatus::Acknowledged),
            ..Found::default()
        };
        let rest = self.there.iter().skip(offset as usize);
        let tickets: Vec<_> = rest.take(limit as usize).map(found).collect();
        let more = self.there.len() > offset as usize + tickets.len();
        let reading = Reading { tickets, more, ..Reading::default() };
        let turn = next_place(BY, &place, &reading, (Duration::ZERO, now));
        let mut records = Vec::new();
        for found in reading.tickets {
            let unreadable = !self.well && self.dice.u8(..8) == 0;
            let told = match unreadable {
                true => Err((found.backend_id, "cannot be read".to_owned())),
                false => crate::actors::told_of_feed(found, now, now),
            };
            records.push(Record { told, ids: self.ids() });
        }
        let at = Where::Feed {
            begins: place == Place::default(),
            from: Box::new(row.place),
            to: Box::new(turn.place),
            ends: !turn.more,
            complete: true,
            asked_at: now,
        };
        self.apply(Change::SyncPage(Box::new(Page { plan: self.plan.clone(), records, at })));
        self.passes += u32::from(!turn.more);
        loop {
            let ids = (0..4).map(|_| self.ids()).collect();
            let sweep = Sweep { plan: self.plan.clone(), ids };
            match self.apply(Change::SyncSweep(Box::new(sweep))) {
                Some(Applied::SyncSwept(done)) if done.more => {}
                _ => break,
            }
        }
        self.none_told_in_vain()
    }

    /// Nothing that is there was ever told as gone.
    fn none_told_in_vain(&self) -> Result<(), Broken> {
        let gone = self.rows.all_events().filter(|row| row.0.event == EventName::Deleted);
        for (event, _) in gone {
            let id = event.ticket.backend_id.clone().unwrap_or_default();
            if self.there.contains(&id) {
                return Err(Broken { rule: "S8", what: format!("{id} is told as gone") });
            }
        }
        Ok(())
    }

    /// What is gone is told, and over here; the rest is not.
    fn all_told(&self) -> Result<(), Broken> {
        for ticket in self.rows.all_tickets() {
            let id = ticket.backend_id.clone().unwrap_or_default();
            let over = ticket.status == TicketStatus::Cancelled;
            if over == self.there.contains(&id) {
                let what = format!("{id} is {}, there: {}", ticket.status.as_str(), !over);
                return Err(Broken { rule: "S8", what });
            }
        }
        Ok(())
    }
}
