//! What nobody told of: tickets of ours that a connector has not heard of, and, after a whole pass, those
//! that it did not name (rule S8). A page a transaction, from where the last one stopped.

use super::spread::line_up;
use super::{PlanRef, record};
use crate::changes::{Applied, Context, Halt};
use crate::logic::sync::{From, absent};
use crate::model::{EventName, Twin};
use crate::ports::{ChangesBy, FreshIds, Tx};

/// One page of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// How that sync works.
    pub plan: PlanRef,
    /// One for each row that is looked at; their number bounds the page.
    pub ids: Vec<FreshIds>,
}

/// What it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepDone {
    /// There is more to look at.
    pub more: bool,
    /// Events were stored.
    pub events: bool,
}

pub(in crate::changes) fn perform(
    tx: &mut dyn Tx,
    it: &Sweep,
    context: Context<'_>,
) -> Result<Applied, Halt> {
    let mut row = tx.sync(&it.plan.name)?;
    let before = row.clone();
    let limit = u32::try_from(it.ids.len()).unwrap_or(u32::MAX);
    let mut done = SweepDone::default();
    if it.plan.from == From::Connector {
        let tickets = tx.tickets_of_after(&it.plan.home, row.walked, limit)?;
        done.more |= tickets.len() == limit as usize;
        for ((n, mut ticket), ids) in tickets.into_iter().zip(&it.ids) {
            row.walked = n;
            if tx.twin(&it.plan.name, ticket.key)?.is_some() {
                continue;
            }
            let mut twin = Twin::new(&it.plan.name, ticket.key);
            line_up(&mut row, &mut twin, EventName::Verified, ids.events[0]);
            twin.verified_at = Some(context.now.wall);
            tx.put_twin(&twin)?;
            if !ticket.synced {
                ticket.synced = true;
                tx.put_ticket(&ticket)?;
            }
        }
    }
    if let Some(after) = row.sweeping {
        let twins = tx.twins_after(&it.plan.name, after, limit)?;
        let all = twins.len() < limit as usize;
        let mut synced = super::Synced::default();
        for (twin, ids) in twins.into_iter().zip(&it.ids) {
            row.sweeping = Some(twin.n);
            // A scan by offset may miss what moved meanwhile: only what two passes did not find is gone.
            let scanned = matches!(it.plan.from, From::Feed(ChangesBy::Scan, _));
            let patience = u64::from(scanned && !mutant!(AnyPassIsWhole));
            let pass = if mutant!(NextPassCounts) { row.pass } else { row.swept };
            if twin.gone || twin.seen + patience >= pass {
                continue;
            }
            let Some(ticket) = tx.ticket(twin.ticket)? else { continue };
            let outcome = absent(&it.plan, ticket, twin, context.now.wall);
            record::store(tx, &it.plan, &mut row, outcome, *ids, context, &mut synced)?;
        }
        done.events |= synced.events;
        row.total += synced.tally;
        if all {
            row.sweeping = None;
        } else {
            done.more = true;
        }
    }
    if row != before {
        tx.put_sync(&row)?;
    }
    Ok(Applied::SyncSwept(done))
}
