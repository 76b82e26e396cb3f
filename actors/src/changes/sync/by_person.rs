//! A person steers a sync: its place, its skip list; each with a reason, in the audit.

use super::record::Taken;
use super::{PlanRef, Synced, record};
use crate::changes::{Applied, Context, Halt};
use crate::model::{HeldBecause, Place};
use crate::ports::{FreshIds, Tx};

/// Ids on one skip list.
pub const SKIP_MAX: usize = 10_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steer {
    /// The feed goes on there; a place that is empty is its beginning, and the next run a full one.
    Cursor(Place),
    /// Leave these ids alone.
    Skip(Vec<String>),
    /// Take these off the list, and what was told of them meanwhile in.
    Unskip(Vec<String>),
}

/// A person's order.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonSync {
    /// How that sync works.
    pub plan: PlanRef,
    /// What.
    pub steer: Steer,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
    /// One for each id that is taken off the list.
    pub ids: Vec<FreshIds>,
}

pub(in crate::changes) fn perform(
    tx: &mut dyn Tx,
    it: &PersonSync,
    context: Context<'_>,
) -> Result<Applied, Halt> {
    let mut row = tx.sync(&it.plan.name)?;
    let mut synced = Synced::default();
    let name = &it.plan.name;
    let what = match &it.steer {
        Steer::Cursor(place) => {
            let was = format!("{:?}", row.place.cursor.as_deref().unwrap_or_default());
            row.place = place.clone();
            let now = place.cursor.as_deref().unwrap_or_default();
            format!("sync {name}: place set to {now:?} (it was {was})")
        }
        Steer::Skip(ids) => {
            for id in ids {
                if !row.skip.contains(id) && row.skip.len() < SKIP_MAX {
                    row.skip.push(id.clone());
                }
            }
            format!("sync {name}: skips {}", ids.join(", "))
        }
        Steer::Unskip(ids) => {
            row.skip.retain(|id| !ids.contains(id));
            for (id, fresh) in ids.iter().zip(&it.ids) {
                let held = tx.aside(name, id)?.filter(|it| it.because == HeldBecause::Skipped);
                let Some(held) = held else { continue };
                tx.drop_aside(name, id)?;
                let Some(told) = held.told else { continue };
                let record = super::Record { told: Ok(told), ids: *fresh };
                let taken = Taken { as_of: held.as_of.as_ref(), ..Taken::from(&record) };
                record::take(tx, &it.plan, &mut row, taken, context, &mut synced)?;
            }
            row.total += synced.tally;
            format!("sync {name}: skips {} no more", ids.join(", "))
        }
    };
    tx.put_sync(&row)?;
    tx.audit(context.now.wall, &it.who, &what, &it.reason)?;
    Ok(Applied::Synced(Box::new(synced)))
}
