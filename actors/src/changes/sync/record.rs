//! One told ticket: known rows in, the outcome into the rows.

use super::spread::{line_up, note, spread};
use super::{Record, Synced};
use crate::changes::conclude::announce_of_sync;
use crate::changes::{Context, Halt, Refusal, admission, services};
use crate::logic::sync::{Known, Outcome, Plan, decide};
use crate::model::{
    CorrelationKey, EventName, Fields, Held, HeldBecause, MadeBy, Op, Request, State, SyncRow,
    Tally, Ticket, Told, Twin,
};
use crate::ports::{FreshIds, Tx, TxError};

/// Takes one record. What cannot be taken is held, with its reason.
pub(super) fn take(
    tx: &mut dyn Tx,
    plan: &Plan,
    row: &mut SyncRow,
    record: &Record,
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let told = match &record.told {
        Ok(told) => plan.read(told.clone()),
        Err((id, reason)) => {
            hold(tx, plan, id, HeldBecause::Unreadable, reason, None, context)?;
            synced.tally += Tally { read: 1, failed: 1, ..Tally::default() };
            return Ok(());
        }
    };
    let id = told.id();
    if row.skip.contains(&id) {
        let why = "is on the skip list";
        hold(tx, plan, &id, HeldBecause::Skipped, why, record.told.clone().ok(), context)?;
        synced.tally += Tally { read: 1, skipped: 1, ..Tally::default() };
        return Ok(());
    }
    let mut known = known(tx, plan, &told)?;
    if let Some(twin) = &mut known.twin {
        twin.has_taken(row.taken);
    }
    if known.ticket.is_none() && !told.deleted {
        if !plan.takes_over {
            synced.tally += Tally { read: 1, unchanged: 1, ..Tally::default() };
            return Ok(());
        }
        if may_be_ours(tx, plan, &told)? {
            let why = "a create of this backend is not settled: this may be its ticket";
            hold(tx, plan, &id, HeldBecause::UnderWay, why, record.told.clone().ok(), context)?;
            synced.tally += Tally { read: 1, ..Tally::default() };
            return Ok(());
        }
    }
    let decided = decide(plan, &told, known, record.ids.ticket, context.node, context.now.wall);
    let Some(mut outcome) = decided else {
        let why = "a request of this ticket is under way";
        let raw = record.told.clone().ok();
        // What was said before does not take the place of what was said since.
        let newer = tx.aside(&plan.name, &id)?.and_then(|held| held.told);
        if newer.is_none_or(|held| held.said_at <= told.said_at) {
            hold(tx, plan, &id, HeldBecause::UnderWay, why, raw, context)?;
        }
        synced.tally += Tally { read: 1, ..Tally::default() };
        return Ok(());
    };
    outcome.twin.seen = row.pass;
    outcome.twin.itself = plan.is_home_itself();
    match store(tx, plan, row, outcome, record.ids, context, synced) {
        Ok(()) => {
            tx.drop_aside(&plan.name, &id)?;
            Ok(())
        }
        // The backend has too much open already; later.
        Err(Halt::Refused(Refusal::Full)) => {
            let why = Refusal::Full.to_string();
            hold(tx, plan, &id, HeldBecause::UnderWay, &why, record.told.clone().ok(), context)?;
            synced.tally += Tally { read: 1, ..Tally::default() };
            Ok(())
        }
        // Another row holds that place (T4): a person must see which of the two is wrong.
        Err(Halt::Refused(refusal)) => {
            let why = refusal.to_string();
            hold(tx, plan, &id, HeldBecause::Unreadable, &why, record.told.clone().ok(), context)?;
            synced.tally += Tally { read: 1, failed: 1, ..Tally::default() };
            Ok(())
        }
        Err(halt) => Err(halt),
    }
}

/// What the store knows of it: by our key where they give it back, else by their id.
pub(super) fn known(tx: &mut dyn Tx, plan: &Plan, told: &Told) -> Result<Known, TxError> {
    let by_key = match told.key {
        Some(key) => tx.ticket(key)?.filter(|ticket| ticket.backend == plan.home),
        None => None,
    };
    let by_id = match (&by_key, &told.backend_id) {
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
    let Some(ticket) = ticket else { return Ok(Known::default()) };
    let twin = tx.twin(&plan.name, ticket.key)?;
    let front = tx.first_open_request(ticket.key)?;
    let busy = front.is_some_and(|front| !matches!(front.state, State::Accepted) || front.frozen);
    Ok(Known { ticket: Some(ticket), twin, busy })
}

/// A ticket that nobody knows here, while nobody knows what became of a create: unless it says that it
/// carries no key of ours, it must not get a second row.
fn may_be_ours(tx: &mut dyn Tx, plan: &Plan, told: &Told) -> Result<bool, TxError> {
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

fn hold(
    tx: &mut dyn Tx,
    plan: &Plan,
    id: &str,
    because: HeldBecause,
    reason: &str,
    told: Option<Told>,
    context: Context<'_>,
) -> Result<(), TxError> {
    tx.put_aside(&Held {
        sync: plan.name.clone(),
        id: id.to_owned(),
        because,
        reason: reason.to_owned(),
        at: context.now.wall,
        told,
    })
}

/// Writes an outcome into the rows. A refusal comes before the first write.
pub(super) fn store(
    tx: &mut dyn Tx,
    plan: &Plan,
    row: &mut SyncRow,
    outcome: Outcome,
    ids: FreshIds,
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let Outcome { mut ticket, mut twin, event, news, changes, write, conflicts, tally } = outcome;
    let now = context.now.wall;
    // What can refuse comes first: nothing of the record is written then.
    if write.is_some() {
        admission::check(tx, &plan.admission, &ticket.backend, Op::Update)?;
    }
    tx.put_ticket(&ticket)?;
    note(tx, &mut ticket, &format!("sync {}", plan.name), &changes, now)?;
    if let Some(fields) = write {
        journal(tx, plan, &ticket, &mut twin, (fields, ids), context, synced)?;
    }
    row.keep_conflicts(now, (ticket.key, ticket.backend_id.as_deref()), &conflicts);
    if news {
        let linked = tx.alarms_of(ticket.key)?;
        announce_of_sync(tx, &mut ticket, (event, ids.events[0]), Vec::new(), &linked, now)?;
        if !conflicts.is_empty() {
            let said = (EventName::Conflict, ids.events[1]);
            announce_of_sync(tx, &mut ticket, said, conflicts, &linked, now)?;
        }
        synced.events = true;
    }
    if plan.from == crate::logic::sync::From::Connector {
        line_up(row, &mut twin, event, ids.events[0]);
    }
    if !changes.is_empty() {
        spread(tx, &mut ticket, Some(&plan.name), &mut synced.waiting)?;
    }
    tx.put_ticket(&ticket)?;
    tx.put_twin(&twin)?;
    synced.tally += tally;
    Ok(())
}

/// Has the home backend written: in the request that waits already, else in one of its own. What it
/// writes is what we have once it is sent (`intend`), and only then it is known to be a close or a reopen.
fn journal(
    tx: &mut dyn Tx,
    plan: &Plan,
    ticket: &Ticket,
    twin: &mut Twin,
    (fields, ids): (Fields, FreshIds),
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let waiting = match twin.request {
        Some(id) => tx.request(id)?.filter(|it| !it.frozen && it.state == State::Accepted),
        None => None,
    };
    if let Some(mut request) = waiting {
        request.fields.extend(fields);
        request.story.add(context.now.wall, "more was merged before it was sent");
        tx.put_request(&request)?;
        return Ok(());
    }
    if ticket.backend_id.is_none() && tx.first_open_request(ticket.key)?.is_none() {
        // It was never made there: there is nothing to write to.
        return Ok(());
    }
    let made_by = MadeBy::Sync { name: plan.name.clone() };
    let place = (ticket.backend.clone(), ticket.key);
    let mut request =
        Request::accepted(ids.request, place, Op::Update, made_by, fields, context.now.wall);
    request.story.add(context.now.wall, format!("wanted by sync {}", plan.name));
    services::accept(tx, &mut request)?;
    let first = tx.first_open_request(ticket.key)?.is_none();
    request.n = tx.add_request(&request)?;
    twin.request = Some(request.id);
    if first {
        synced.submit.push(request);
    }
    Ok(())
}
