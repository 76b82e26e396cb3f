//! What the store knows of a told ticket, and what it keeps of one that cannot be merged now.

use super::spread::unwritten_fields;
use crate::changes::Context;
use crate::logic::sync::{Known, Plan, first_twin};
use crate::model::{
    AsOf, CorrelationKey, Held, HeldBecause, Op, Request, RequestId, State, SyncRow, Told, Twin,
};
use crate::ports::{Tx, TxError};

/// It was named, whatever becomes of what was told of it: it is not absent (rule S8). What is known of it is
/// remembered from now on, since what is written there meanwhile must count.
pub(super) fn named(
    tx: &mut dyn Tx,
    plan: &Plan,
    row: &SyncRow,
    twin: Option<&Twin>,
) -> Result<(), TxError> {
    let Some(twin) = twin.filter(|_| !mutant!(HeldIsAbsent)) else { return Ok(()) };
    if twin.is_stored() {
        if twin.seen != row.pass {
            tx.put_twin(&Twin { seen: row.pass, ..twin.clone() })?;
        }
        return Ok(());
    }
    // One that is still being made has nothing there yet that could be written over.
    let made = tx.ticket(twin.ticket)?.filter(|ticket| ticket.backend_id.is_some());
    let Some(mut ticket) = made.filter(|_| plan.is_home_itself()) else { return Ok(()) };
    if !ticket.synced {
        ticket.synced = true;
        tx.put_ticket(&ticket)?;
    }
    tx.put_twin(&Twin { itself: true, seen: row.pass, ..twin.clone() })
}

/// What the store knows of it: by our key where they give it back, else by their id; and the request that
/// is on its way to its backend, with its calls.
pub(super) fn known(
    tx: &mut dyn Tx,
    plan: &Plan,
    told: &Told,
) -> Result<(Known, Option<(RequestId, u32)>), TxError> {
    let by_key = match told.key {
        Some(key) => tx.ticket(key)?.filter(|ticket| ticket.backend == plan.home),
        None => None,
    };
    let by_id = match (&by_key, &told.backend_id) {
        (None, Some(_)) if plan.own_ids => {
            tx.ticket_by_correlation_key(&plan.correlation_key(told))?
        }
        (None, Some(id)) => tx.ticket_by_backend_id(&plan.home, id)?,
        _ => None,
    };
    let by_correlation = match (&by_key, &by_id, &told.correlation_key) {
        (None, None, Some(key)) if plan.is_home() && !key.is_empty() => {
            tx.ticket_by_correlation_key(&CorrelationKey(key.clone()))?
        }
        _ => None,
    };
    let ticket = by_key.or(by_id).or(by_correlation);
    let Some(ticket) = ticket else { return Ok((Known::default(), None)) };
    let mut twin = tx.twin(&plan.name, ticket.key)?;
    if twin.is_none() && plan.is_home_itself() {
        let unwritten = unwritten_fields(tx, ticket.key)?;
        twin = Some(first_twin(plan, &ticket, told, &unwritten));
    }
    let front = tx.first_open_request(ticket.key)?;
    let sent = |it: &&Request| !matches!(it.state, State::Accepted | State::Wait);
    let under = front.as_ref().filter(sent).map(|front| (front.id, front.attempts));
    let busy = front.filter(|front| !matches!(front.state, State::Accepted) || front.frozen);
    let (busy, writing) = (busy.is_some(), busy.map(|it| it.fields).unwrap_or_default());
    Ok((Known { ticket: Some(ticket), twin, busy, writing, overtaken: false }, under))
}

/// A ticket that nobody knows here, while nobody knows what became of a create: unless it says that it
/// carries no key of ours, it must not get a second row.
pub(super) fn may_be_ours(tx: &mut dyn Tx, plan: &Plan, told: &Told) -> Result<bool, TxError> {
    if !plan.is_home_itself() || !plan.home_writes || told.correlation_key.is_some() {
        return Ok(false);
    }
    for state in [State::Intent, State::Acknowledged, State::InDoubt, State::Undecided] {
        if tx.requests_in(&plan.home, state)?.iter().any(|request| request.op == Op::Create) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn hold(
    tx: &mut dyn Tx,
    plan: &Plan,
    id: &str,
    because: HeldBecause,
    reason: &str,
    (told, as_of): (Option<Told>, Option<AsOf>),
    context: Context<'_>,
) -> Result<(), TxError> {
    tx.put_aside(&Held {
        sync: plan.name.clone(),
        id: id.to_owned(),
        because,
        reason: reason.to_owned(),
        at: context.now.wall,
        told,
        as_of,
    })
}
