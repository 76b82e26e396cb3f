//! One told ticket: known rows in, the outcome into the rows.

use super::known::{hold, known, may_be_ours, named};
use super::spread::{line_up, note, spread};
use super::{Record, Synced};
use crate::changes::conclude::announce_of_sync;
use crate::changes::{Context, Halt, Refusal, admission, services};
use crate::logic::sync::{Outcome, Plan, as_before, decide, open_fields, since_told, view};
use crate::model::{
    AsOf, EventName, Fields, HeldBecause, MadeBy, Op, Request, RequestId, STATUS, State, SyncRow,
    Tally, Ticket, TicketStatus, Timestamp, Told, Twin,
};
use crate::ports::{FreshIds, Tx};

/// A record, and when it was told, where that was not just now.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub record: &'a Record,
    /// How things stood when it was told.
    pub as_of: Option<&'a AsOf>,
    /// When it was asked for.
    pub asked_at: Option<Timestamp>,
    /// Up to where the sender of its message had taken what it was sent, and when it sent that, by its
    /// clock.
    pub known: (Option<u64>, Option<Timestamp>),
    /// What the ticket showed when it was read once more, by our names; empty: it cannot be read.
    pub again: Option<&'a Fields>,
}

impl<'a> From<&'a Record> for Taken<'a> {
    fn from(record: &'a Record) -> Self {
        Self { record, as_of: None, asked_at: None, known: (None, None), again: None }
    }
}

/// Takes one record. What cannot be taken is held, with its reason.
pub(super) fn take(
    tx: &mut dyn Tx,
    plan: &Plan,
    row: &mut SyncRow,
    Taken { record, as_of, asked_at, known: (cursor, polled_at), again }: Taken<'_>,
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let mut told = match &record.told {
        Ok(told) => plan.read(told.clone()),
        Err(_) if mutant!(BadRecordStops) => return Err(Refusal::WrongState.into()),
        Err(_) if mutant!(BadRecordUntold) => return Ok(()),
        Err((id, reason)) => {
            if let Some(ticket) = tx.ticket_by_backend_id(&plan.home, id)? {
                let twin = tx.twin(&plan.name, ticket.key)?;
                named(tx, plan, row, twin.as_ref())?;
            }
            hold(tx, plan, id, HeldBecause::Unreadable, reason, (None, None), context)?;
            synced.tally += Tally { read: 1, failed: 1, ..Tally::default() };
            return Ok(());
        }
    };
    let id = told.id();
    let raw = || record.told.clone().ok();
    let (mut known, under) = known(tx, plan, &told)?;
    let (under, attempt) = under.unzip();
    let attempt = attempt.unwrap_or_default();
    let stood = known.twin.as_ref().zip(asked_at).and_then(|(twin, at)| twin.stood(at));
    let stood = stood.filter(|_| !mutant!(PagesAreNew));
    if row.skip.contains(&id) {
        named(tx, plan, row, known.twin.as_ref())?;
        let why = "is on the skip list";
        let now = known.twin.map(|twin| AsOf { theirs: twin.theirs, ..AsOf::default() });
        let as_of = stood.or(now).map(|as_of| AsOf { under, attempt, ..as_of });
        hold(tx, plan, &id, HeldBecause::Skipped, why, (raw(), as_of), context)?;
        synced.tally += Tally { read: 1, skipped: 1, ..Tally::default() };
        return Ok(());
    }
    let mut not_had = Vec::new();
    if let Some(twin) = &mut known.twin {
        twin.has_taken(row.taken);
        known.overtaken =
            twin.was_overtaken(cursor, polled_at) || twin.was_sent_since(cursor, polled_at);
        match as_composed(told, twin, known.ticket.as_ref(), (cursor, polled_at)) {
            Some(news) => (told, not_had) = news,
            None => {
                named(tx, plan, row, Some(twin))?;
                synced.tally += Tally { read: 1, unchanged: 1, ..Tally::default() };
                return Ok(());
            }
        }
    }
    if known.ticket.is_none() && !told.deleted {
        if !plan.takes_over {
            synced.tally += Tally { read: 1, unchanged: 1, ..Tally::default() };
            return Ok(());
        }
        if may_be_ours(tx, plan, &told)? {
            let why = "a create of this backend is not settled: this may be its ticket";
            hold(tx, plan, &id, HeldBecause::UnderWay, why, (raw(), None), context)?;
            synced.tally += Tally { read: 1, ..Tally::default() };
            return Ok(());
        }
    }
    let twin = known.twin.clone();
    let theirs = twin.as_ref().map(|twin| twin.theirs.clone());
    let as_of = as_of.or(stood.as_ref());
    if let (Some(as_of), Some(theirs)) = (as_of, &theirs) {
        let open = open_fields(&told, as_of, theirs);
        told = since_told(told, as_of, theirs);
        match again {
            _ if open.is_empty() || known.busy => {}
            None => {
                named(tx, plan, row, twin.as_ref())?;
                let why = "it is read once more: this was said before a write, or after it";
                let as_of = Some(AsOf { unsure: true, ..as_of.clone() });
                hold(tx, plan, &id, HeldBecause::UnderWay, why, (raw(), as_of), context)?;
                synced.tally += Tally { read: 1, ..Tally::default() };
                synced.again.push((id, told.kind));
                return Ok(());
            }
            Some(read) if read.is_empty() => {}
            Some(read) => {
                for name in open {
                    match read.get(&name) {
                        Some(value) => told.fields.insert(name, value.clone()),
                        None => told.fields.remove(&name),
                    };
                }
            }
        }
    }
    let decided = decide(plan, &told, known, record.ids.ticket, context.node, context.now.wall);
    let Some(mut outcome) = decided else {
        named(tx, plan, row, twin.as_ref())?;
        let why = "a request of this ticket is under way";
        // What was said before does not take the place of what was said since.
        let aside = tx.aside(&plan.name, &id)?;
        let held = aside.as_ref().and_then(|held| held.told.as_ref());
        let newer = |held: &Told| told.is_old_beside(held.said_at, context.now.wall);
        if !held.is_some_and(newer) {
            // Told twice, it has the base of the first time.
            let first =
                aside.as_ref().filter(|it| it.told == raw()).and_then(|it| it.as_of.clone());
            let as_of = first.or_else(|| match as_of {
                Some(stood) => Some(AsOf { under, attempt, ..stood.clone() }),
                None => theirs.map(|theirs| AsOf { theirs, under, attempt, ..AsOf::default() }),
            });
            hold(tx, plan, &id, HeldBecause::UnderWay, why, (raw(), as_of), context)?;
        }
        synced.tally += Tally { read: 1, ..Tally::default() };
        return Ok(());
    };
    // That it says them as we do is our doing: it has yet to take them.
    for name in not_had {
        match twin.as_ref().and_then(|twin| twin.agreed.get(&name)) {
            Some(had) => outcome.twin.agreed.insert(name, had.clone()),
            None => outcome.twin.agreed.remove(&name),
        };
    }
    outcome.twin.seen = row.pass;
    outcome.twin.itself = plan.is_home_itself();
    match store(tx, plan, row, outcome, record.ids, context, synced) {
        Ok(()) => {
            tx.drop_aside(&plan.name, &id)?;
            Ok(())
        }
        // The backend has too much open already; later.
        Err(Halt::Refused(Refusal::Full)) => {
            named(tx, plan, row, twin.as_ref())?;
            let why = Refusal::Full.to_string();
            let stood = || theirs.map(|theirs| AsOf { theirs, under, attempt, ..AsOf::default() });
            let as_of = as_of.cloned().or_else(stood);
            hold(tx, plan, &id, HeldBecause::UnderWay, &why, (raw(), as_of), context)?;
            synced.tally += Tally { read: 1, ..Tally::default() };
            Ok(())
        }
        // Another row holds that place (T4): a person must see which of the two is wrong.
        Err(Halt::Refused(refusal)) => {
            named(tx, plan, row, twin.as_ref())?;
            let why = refusal.to_string();
            hold(tx, plan, &id, HeldBecause::Unreadable, &why, (raw(), None), context)?;
            synced.tally += Tally { read: 1, failed: 1, ..Tally::default() };
            Ok(())
        }
        Err(halt) => Err(halt),
    }
}

/// What a message tells that was composed before its sender got a newer ticket from us, as it reads now, and
/// fields that read so only because we have them so; none: nothing. Where nobody there has changed anything
/// that we do not know, it only says how the ticket was; else only what they had changed of that counts.
fn as_composed(
    told: Told,
    twin: &Twin,
    ticket: Option<&Ticket>,
    (cursor, polled_at): (Option<u64>, Option<Timestamp>),
) -> Option<(Told, Vec<String>)> {
    let had = |theirs: &Fields| AsOf { theirs: theirs.clone(), ..AsOf::default() };
    if twin.was_overtaken(cursor, polled_at) {
        let no_news = twin.said_at.is_some_and(|at| told.said_at <= at);
        if no_news || twin.was_overtaken_twice(cursor, polled_at) {
            return None;
        }
        return Some((since_told(told, &had(&twin.before.0), &twin.agreed), Vec::new()));
    }
    let sent_since = twin.was_sent_since(cursor, polled_at);
    let Some(ticket) = ticket.filter(|_| sent_since) else { return Some((told, Vec::new())) };
    let (as_of, ours) = (had(&twin.agreed), view(ticket));
    let not_had = as_before(&told, &as_of, &ours);
    let news = told.fields != twin.agreed;
    news.then(|| (since_told(told, &as_of, &ours), not_had))
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
    let Outcome { mut ticket, mut twin, event, news, changes, write, make, conflicts, tally } =
        outcome;
    let now = context.now.wall;
    // What can refuse comes first: nothing of the record is written then.
    if write.is_some() {
        admission::check(tx, &plan.admission, &ticket.backend, Op::Update)?;
    }
    if make.is_some() {
        admission::check(tx, &plan.admission, &ticket.backend, Op::Create)?;
    }
    // One that stands where it stood cannot be refused, and is written once, at the end.
    if tx.ticket(ticket.key)?.is_none_or(|known| known.backend_id != ticket.backend_id) {
        tx.put_ticket(&ticket)?;
    }
    note(tx, &mut ticket, &format!("sync {}", plan.name), &changes, now)?;
    if let Some(fields) = write {
        journal(tx, plan, &ticket, &mut twin, (fields, ids), context, synced)?;
    }
    if let Some(fields) = make {
        self::make(tx, plan, &ticket, &mut twin, (fields, ids), context, synced)?;
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
        Some(id) => tx
            .request(id)?
            .filter(|it| !it.frozen && it.state == State::Accepted && it.op != Op::Create),
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
    wanted(tx, plan, ticket, (ids.request, Op::Update, fields), context, synced)?;
    twin.request = Some(ids.request);
    Ok(())
}

/// Has a ticket made that they have first. New ones begin in a state of the backend's own: another one is
/// written behind that.
fn make(
    tx: &mut dyn Tx,
    plan: &Plan,
    ticket: &Ticket,
    twin: &mut Twin,
    (mut fields, ids): (Fields, FreshIds),
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let status = fields.remove(STATUS);
    wanted(tx, plan, ticket, (ids.request, Op::Create, fields), context, synced)?;
    twin.request = Some(ids.request);
    let new = TicketStatus::Acknowledged.as_str();
    if let Some(status) = status.filter(|status| status != new) {
        let fields = Fields::from_iter([(STATUS.to_owned(), status)]);
        wanted(tx, plan, ticket, (ids.second, Op::Update, fields), context, synced)?;
        twin.request = Some(ids.second);
    }
    Ok(())
}

/// A request of this sync; the first of its ticket goes to its lane.
fn wanted(
    tx: &mut dyn Tx,
    plan: &Plan,
    ticket: &Ticket,
    (id, op, fields): (RequestId, Op, Fields),
    context: Context<'_>,
    synced: &mut Synced,
) -> Result<(), Halt> {
    let made_by = MadeBy::Sync { name: plan.name.clone() };
    let place = (ticket.backend.clone(), ticket.key);
    let mut request = Request::accepted(id, place, op, made_by, fields, context.now.wall);
    request.story.add(context.now.wall, format!("wanted by sync {}", plan.name));
    services::accept(tx, &mut request)?;
    let first = tx.first_open_request(ticket.key)?.is_none();
    request.n = tx.add_request(&request)?;
    if first {
        synced.submit.push(request);
    }
    Ok(())
}
