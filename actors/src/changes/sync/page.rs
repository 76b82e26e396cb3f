//! A page of a feed, or a file of one, is merged, and the feed's place moves with it (rule S1).

use super::record::Taken;
use super::{PlanRef, record};
use crate::changes::{Applied, Context, Halt, Refusal};
use crate::logic::sync::Plan;
use crate::model::{HeldBecause, Kind, Place, Request, SyncRow, Tally, Timestamp, Told};
use crate::ports::{FreshIds, Tx};

/// One told ticket, or why it cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was told, by their names; else its id and what is wrong.
    pub told: Result<Told, (String, String)>,
    /// For what it may need.
    pub ids: FreshIds,
}

/// Where what was told comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// A page of the feed: it began here, and goes on there. A page that does not begin where the
    /// stored place is changes nothing.
    Feed {
        /// Its beginning.
        from: Box<Place>,
        /// Where the next one begins.
        to: Box<Place>,
        /// It is the first of a run.
        begins: bool,
        /// It is the last of a run.
        ends: bool,
        /// The run named every ticket: absence counts.
        complete: bool,
        /// When it was asked for: what was written since, it does not know.
        asked_at: Timestamp,
    },
    /// A file that is replayed: the place stays.
    File,
    /// What was held while a request was under way: by ids from after this one, so many.
    Held {
        /// The last id that was tried.
        after: String,
        /// At most so many.
        limit: u32,
    },
    /// Tickets that were read once more, because nobody knows whether what is held of them was said before a
    /// write or after it. One that could not be read says why.
    Again,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// How that sync works.
    pub plan: PlanRef,
    /// What was told.
    pub records: Vec<Record>,
    /// Where it comes from.
    pub at: Where,
}

/// What a page did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synced {
    /// For the books.
    pub tally: Tally,
    /// Requests that may go to their lanes.
    pub submit: Vec<Request>,
    /// Events were stored.
    pub events: bool,
    /// Other syncs whose connectors have something waiting.
    pub waiting: Vec<String>,
    /// Of held ones: the last id that was tried; none: all were.
    pub after: Option<String>,
    /// Of held ones: tickets that are to be read once more, by their ids there.
    pub again: Vec<(String, Kind)>,
}

pub(in crate::changes) fn perform(
    tx: &mut dyn Tx,
    it: &Page,
    context: Context<'_>,
) -> Result<Applied, Halt> {
    let mut row = tx.sync(&it.plan.name)?;
    let mut synced = Synced::default();
    let now = context.now.wall;
    match &it.at {
        Where::Feed { from, begins, complete, .. } => {
            if row.place != **from && !mutant!(AnyPage) {
                return Err(Refusal::StaleVersion.into());
            }
            if *begins {
                row.last = crate::model::LastRun { begun_at: Some(now), ..Default::default() };
                // One that was torn is begun anew under its number: it has not looked at all of them.
                let torn = **from != Place::default() && !mutant!(TornPassCounts);
                if *complete && row.sweeping.is_none() && !torn {
                    row.pass += 1;
                }
            }
        }
        Where::File | Where::Held { .. } | Where::Again => {}
    }
    let held = match &it.at {
        Where::Held { after, limit } => {
            let held = tx.aside_under_way(&it.plan.name, after, *limit)?;
            synced.after =
                held.last().map(|held| held.id.clone()).filter(|_| held.len() == *limit as usize);
            held
        }
        _ => Vec::new(),
    };
    for (held, fresh) in held.into_iter().zip(&it.records) {
        debug_assert_eq!(held.because, HeldBecause::UnderWay, "no others were asked for");
        let Some(told) = held.told else { continue };
        let record = Record { told: Ok(told), ids: fresh.ids };
        record::take(
            tx,
            &it.plan,
            &mut row,
            Taken { as_of: held.as_of.as_ref(), ..Taken::from(&record) },
            context,
            &mut synced,
        )?;
    }
    for record in &it.records {
        match it.at {
            Where::Feed { asked_at, .. } => {
                let taken = Taken { asked_at: Some(asked_at), ..record.into() };
                record::take(tx, &it.plan, &mut row, taken, context, &mut synced)?;
            }
            Where::File => {
                record::take(tx, &it.plan, &mut row, record.into(), context, &mut synced)?;
            }
            Where::Again => again(tx, &it.plan, &mut row, record, context, &mut synced)?,
            Where::Held { .. } => {}
        }
    }
    if matches!(it.at, Where::Held { .. } | Where::Again) {
        // They were counted as read when they came.
        synced.tally.read = 0;
    }
    row.total += synced.tally;
    row.last.tally += synced.tally;
    if let Where::Feed { to, ends, complete, .. } = &it.at {
        row.place.clone_from(to);
        if *ends {
            row.last.ended_at = Some(now);
            row.last.error = None;
            if *complete || mutant!(AnyPassIsWhole) {
                (row.sweeping, row.swept) = (Some(0), row.pass);
            }
        }
    }
    tx.put_sync(&row)?;
    Ok(Applied::Synced(Box::new(synced)))
}

/// What is held of a ticket that was read once more is taken, if that is still what it waits for.
fn again(
    tx: &mut dyn Tx,
    plan: &Plan,
    row: &mut SyncRow,
    read: &Record,
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let id = match &read.told {
        Ok(told) => told.id(),
        Err((id, _)) => id.clone(),
    };
    let Some(held) = tx.aside(&plan.name, &id)? else { return Ok(()) };
    let (Some(as_of), Some(told)) = (held.as_of.filter(|it| it.unsure), held.told) else {
        return Ok(());
    };
    let shown = read.told.as_ref().map(|told| plan.read(told.clone()).fields).unwrap_or_default();
    let record = Record { told: Ok(told), ids: read.ids };
    let taken = Taken { as_of: Some(&as_of), again: Some(&shown), ..Taken::from(&record) };
    record::take(tx, plan, row, taken, context, synced)
}
