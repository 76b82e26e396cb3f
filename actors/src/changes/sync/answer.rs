//! A connector's message: what it told is merged, what it has taken is done with, and it is answered with
//! what waits for it, within its credit (CONTRACT 1.7).

use super::record::Taken;
use super::{PlanRef, Record, Synced, record};
use crate::changes::{Applied, Context, Halt};
use crate::logic::sync::{Plan, view};
use crate::model::{
    Fields, LastRun, Origin, STATUS, SyncAnswer, SyncRow, Ticket, TicketEvent, TicketView,
    Timestamp, Twin,
};
use crate::ports::{Tx, TxError};
use std::time::Duration;

/// What waits for a connector is counted up to so many.
const WAITING_COUNTED_MAX: u32 = 10_000;

/// A message that was sent before one that has come is late, if by no more than this: else its sender's
/// clock was set back.
const LATE_MAX: Duration = Duration::from_secs(3_600);

/// A message of a connector.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// How that sync works.
    pub plan: PlanRef,
    /// Its sender's name of it: a repeat gets the same answer.
    pub id: String,
    /// When it was sent, by its sender's clock.
    pub polled_at: Option<Timestamp>,
    /// What it told.
    pub records: Vec<Record>,
    /// What its sender can take at once; none: as before.
    pub credit: Option<u32>,
    /// Up to here it has taken what it was sent; none: as before.
    pub cursor: Option<u64>,
    /// The pass that the page belongs to.
    pub pass: Option<String>,
    /// The pass ends here, and named every ticket.
    pub complete: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The answer.
    pub answer: SyncAnswer,
    /// What its tickets did.
    pub synced: Synced,
    /// It was answered before; nothing was written.
    pub repeat: bool,
}

pub(in crate::changes) fn perform(
    tx: &mut dyn Tx,
    it: &Message,
    context: Context<'_>,
) -> Result<Applied, Halt> {
    let plan = &*it.plan;
    if let Some(answer) = tx.sync_answer(&plan.name, &it.id)? {
        let answered = Answered { answer, synced: Synced::default(), repeat: true };
        return Ok(Applied::SyncAnswered(Box::new(answered)));
    }
    let mut row = tx.sync(&plan.name)?;
    let late = is_late(&row, it.polled_at);
    // Whoever comes with a new message has taken the answer to the one before: it would repeat that else.
    // One that was overtaken knows nothing of that answer.
    let cursor = it.cursor.unwrap_or(if late { row.taken } else { row.sent });
    taken(tx, plan, &mut row, cursor)?;
    // One that was overtaken belongs to a pass that is over.
    if !late && it.pass.is_some() && it.pass != row.pass_name {
        row.pass += 1;
        row.pass_name.clone_from(&it.pass);
    }
    if !late {
        row.credit = it.credit.or(row.credit);
        row.polled_at = it.polled_at.or(row.polled_at);
    }
    let mut synced = Synced::default();
    for record in &it.records {
        let taken = Taken { known: (it.cursor, it.polled_at), ..Taken::from(record) };
        record::take(tx, plan, &mut row, taken, context, &mut synced)?;
    }
    if (it.complete || it.pass.is_some() && mutant!(PartIsWhole)) && !late {
        (row.sweeping, row.swept) = (Some(0), row.pass);
        row.pass_name = None;
    }
    let now = context.now.wall;
    row.total += synced.tally;
    row.last =
        LastRun { begun_at: Some(now), ended_at: Some(now), tally: synced.tally, error: None };
    let answer = answer(tx, it, &mut row, context)?;
    tx.put_sync(&row)?;
    tx.put_sync_answer(&plan.name, now, &answer)?;
    Ok(Applied::SyncAnswered(Box::new(Answered { answer, synced, repeat: false })))
}

/// Was it sent before one that has come?
fn is_late(row: &SyncRow, polled_at: Option<Timestamp>) -> bool {
    let (Some(newest), Some(at)) = (row.polled_at, polled_at) else { return false };
    at < newest && newest.since(at) <= LATE_MAX
}

/// What a connector has taken is what it has now.
fn taken(tx: &mut dyn Tx, plan: &Plan, row: &mut SyncRow, cursor: u64) -> Result<(), TxError> {
    // A cursor that was never given says nothing.
    let cursor = cursor.min(row.out);
    while row.taken < cursor {
        let page = tx.outgoing(&plan.name, row.taken, cursor, plan.credit)?;
        let Some(last) = page.last().and_then(|twin| twin.out).map(|out| out.n) else { break };
        for mut twin in page {
            twin.out = None;
            twin.has_taken(cursor);
            tx.put_twin(&twin)?;
        }
        row.taken = last;
    }
    row.taken = row.taken.max(cursor);
    Ok(())
}

fn answer(
    tx: &mut dyn Tx,
    it: &Message,
    row: &mut SyncRow,
    context: Context<'_>,
) -> Result<SyncAnswer, Halt> {
    let plan = &*it.plan;
    let credit = row.credit.unwrap_or(plan.credit).min(plan.credit);
    let mut events = Vec::new();
    let mut cursor = row.taken;
    if credit > 0 {
        for mut twin in tx.outgoing(&plan.name, row.taken, row.out, credit)? {
            let Some(ticket) = tx.ticket(twin.ticket)? else { continue };
            let Some(event) = event(tx, plan, &ticket, &twin, context)? else { continue };
            cursor = twin.out.map_or(cursor, |out| out.n);
            // It may have taken an older state of it already, which it lined up behind.
            twin.has_taken(row.taken);
            twin.is_sent(view(&ticket), twin.out.map(|out| out.n), it.polled_at);
            tx.put_twin(&twin)?;
            events.push(event);
        }
    }
    row.sent = row.sent.max(cursor);
    let waiting = tx.outgoing_count(&plan.name, WAITING_COUNTED_MAX)?;
    Ok(SyncAnswer {
        id: it.id.clone(),
        backend: plan.source.clone(),
        credit: plan.credit,
        waiting,
        more: waiting > events.len() as u64,
        events,
        cursor: cursor.to_string(),
    })
}

/// What waits, as a ticket event with the ticket as it is now, by their names.
fn event(
    tx: &mut dyn Tx,
    plan: &Plan,
    ticket: &Ticket,
    twin: &Twin,
    context: Context<'_>,
) -> Result<Option<TicketEvent>, TxError> {
    let Some(out) = twin.out else { return Ok(None) };
    let mut alarms = Vec::new();
    for alarm in tx.alarms_of(ticket.key)? {
        if !alarms.contains(&alarm.at.alarm) {
            alarms.push(alarm.at.alarm);
        }
    }
    let mut shown = TicketView::from(ticket);
    shown.fields = covered(plan, &ticket.fields);
    if plan.own_ids {
        // The backend's id means nothing to them: what they had first is told as they call it, and what
        // we had by our key.
        shown.backend_id = match &ticket.origin {
            Origin::Sync { sync, id } if *sync == plan.name => Some(id.clone()),
            _ => None,
        };
    }
    // In their words: what they said last may be of a status that is over.
    let said = ticket.backend_status.as_deref();
    shown.backend_status = plan.rules.their_status(ticket.status, said);
    Ok(Some(TicketEvent {
        n: 0,
        event_id: out.event_id,
        event: out.event,
        at: context.now.wall,
        sequence: ticket.sequence,
        request_id: None,
        correlation_key: ticket.correlation_key.clone(),
        alarms,
        ticket: shown,
        error: None,
        command: None,
        conflicts: Vec::new(),
    }))
}

fn covered(plan: &Plan, ours: &Fields) -> Fields {
    let mut fields = plan.rules.to_theirs(ours);
    fields.remove(STATUS);
    fields
}
