//! A change of a ticket reaches every side that keeps it in step, and its history.

use crate::changes::Halt;
use crate::logic::sync::view;
use crate::model::{
    EventId, EventName, Fields, MadeBy, Op, Out, Request, RequestId, STATUS, State, SyncRow, Tally,
    Ticket, TicketChange, TicketKey, TicketStatus, Timestamp, Turned, Twin,
};
use crate::ports::{Tx, TxError};
use serde_json::Value;
use uuid::Uuid;

/// Writes lines into a ticket's history, under one new version of it.
pub(super) fn note(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    user: &str,
    changes: &[(String, Value, Turned)],
    now: Timestamp,
) -> Result<(), TxError> {
    if changes.is_empty() {
        return Ok(());
    }
    ticket.version += 1;
    for (field, value, how) in changes {
        tx.add_ticket_change(&TicketChange {
            ticket: ticket.key,
            version: ticket.version,
            at: now,
            user: user.to_owned(),
            field: field.clone(),
            value: value.clone(),
            how: *how,
        })?;
    }
    Ok(())
}

/// Every other sync whose connector takes our changes is to send this one.
pub(super) fn spread(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    but: Option<&str>,
    waiting: &mut Vec<String>,
) -> Result<(), TxError> {
    for mut twin in tx.twins_of(ticket.key)? {
        if Some(twin.sync.as_str()) == but || !is_sent(&twin) {
            continue;
        }
        let mut row = tx.sync(&twin.sync)?;
        let event_id = stable(&twin, row.out + 1);
        twin.verified_at = None;
        line_up(&mut row, &mut twin, EventName::Merged, event_id);
        if !waiting.contains(&twin.sync) {
            waiting.push(twin.sync.clone());
        }
        tx.put_sync(&row)?;
        tx.put_twin(&twin)?;
    }
    Ok(())
}

/// A twin waits for its connector. One that waits already keeps its place, or those behind it would
/// never have their turn; unless it has been sent with that place, which the connector may yet confirm.
pub(super) fn line_up(row: &mut SyncRow, twin: &mut Twin, event: EventName, event_id: EventId) {
    let n = match twin.out {
        Some(out) if out.n > row.sent => out.n,
        _ => {
            row.out += 1;
            row.out
        }
    };
    twin.out = Some(Out { n, event, event_id });
}

/// Is there a connector behind it? One that has taken or waits for something has been given a place in
/// its line; a feed's twin never is.
fn is_sent(twin: &Twin) -> bool {
    twin.out.is_some() || !twin.sent.is_empty()
}

/// The id of what is sent for a change that another side made: it follows from ticket and place, so
/// that it needs no chance inside a transaction.
fn stable(twin: &Twin, n: u64) -> EventId {
    EventId(Uuid::from_u128(twin.ticket.0.as_u128() ^ u128::from(n).rotate_left(64)))
}

/// A request has ended: what it did to its ticket reaches history and the other sides, and the sync
/// that wanted it learns what became of it. `there`: the status that the backend has it in by this.
/// `unseen`: nobody has looked at the ticket, or written it, since it was on its way.
pub(in crate::changes) fn concluded(
    tx: &mut dyn Tx,
    ticket: &mut Ticket,
    before: &Fields,
    request: &Request,
    (there, unseen): (Option<TicketStatus>, bool),
    now: Timestamp,
) -> Result<(), Halt> {
    if let MadeBy::Sync { name } = &request.made_by {
        count(tx, name, request.state)?;
        if let Some(mut twin) = tx.twin(name, ticket.key)? {
            let written =
                twin.stubborn.iter_mut().filter(|(it, _)| request.fields.contains_key(*it));
            written.for_each(|(_, stubborn)| stubborn.writes += 1);
            tx.put_twin(&twin)?;
        }
    }
    let good = matches!(request.state, State::Done | State::Adopted);
    if !good {
        return Ok(());
    }
    // The backend has what was written, and so have we.
    for mut twin in tx.twins_of(ticket.key)? {
        if twin.itself {
            let status = there.map(|it| (STATUS.to_owned(), Value::from(it.as_str())));
            for (name, value) in request.fields.clone().into_iter().chain(status) {
                twin.was_written(&name, value, unseen, now);
            }
            twin.status = there.or(twin.status);
            sent_since(tx, &twin, ticket, request, (there, unseen))?;
            tx.put_twin(&twin)?;
        }
    }
    if request.op == Op::Reopen && there.is_some_and(|there| there != ticket.status) {
        follow(tx, ticket, request, now)?;
    }
    let after = view(ticket);
    let mut changes = Vec::new();
    for (name, value) in &after {
        match before.get(name) {
            Some(had) if had == value => {}
            Some(_) => changes.push((name.clone(), value.clone(), Turned::Changed)),
            None => changes.push((name.clone(), value.clone(), Turned::Added)),
        }
    }
    if changes.is_empty() && request.op != Op::Create {
        return Ok(());
    }
    let user = match &request.made_by {
        MadeBy::Level { at, .. } => format!("alarm {}/{}", at.alarm.source, at.alarm.id),
        MadeBy::Command { id, .. } => format!("command {id}"),
        MadeBy::Sync { name } => format!("sync {name}"),
    };
    note(tx, ticket, &user, &changes, now)?;
    let by = match &request.made_by {
        MadeBy::Sync { name } => Some(name.as_str()),
        _ => None,
    };
    let mut waiting = Vec::new();
    spread(tx, ticket, by, &mut waiting)?;
    Ok(())
}

/// What was told before this request was sent, and waits, does not know what it has written. What was told
/// while it was on its way may, where it was neither sent again since nor looked at.
fn sent_since(
    tx: &mut dyn Tx,
    twin: &Twin,
    ticket: &Ticket,
    request: &Request,
    (there, unseen): (Option<TicketStatus>, bool),
) -> Result<(), TxError> {
    let Some(id) = &ticket.backend_id else { return Ok(()) };
    let Some(mut held) = tx.aside(&twin.sync, id)? else { return Ok(()) };
    let Some(as_of) = &mut held.as_of else { return Ok(()) };
    if as_of.under == Some(request.id) && as_of.attempt == request.attempts {
        as_of.unsure |= unseen;
        as_of.over.extend(request.fields.keys().cloned());
        as_of.over.extend(there.map(|_| STATUS.to_owned()));
        return tx.put_aside(&held);
    }
    as_of.written.extend(request.fields.clone());
    let status = there.map(|it| (STATUS.to_owned(), Value::from(it.as_str())));
    as_of.written.extend(status);
    tx.put_aside(&held)
}

/// Does the backend of a ticket itself tell how it is?
pub(in crate::changes) fn is_told_of(tx: &mut dyn Tx, ticket: TicketKey) -> Result<bool, TxError> {
    Ok(tx.twins_of(ticket)?.iter().any(|twin| twin.itself))
}

/// Keeps the ids of requests that follow another one apart from all others.
const FOLLOWS: u128 = 0x9c5d_8e1f_37a2_4b60_b1d4_f86a_2e93_07c5;

/// A ticket that was opened again is not yet at work on: that is one more write, right behind.
fn follow(
    tx: &mut dyn Tx,
    ticket: &Ticket,
    request: &Request,
    now: Timestamp,
) -> Result<(), TxError> {
    let MadeBy::Sync { name } = &request.made_by else { return Ok(()) };
    let Some(mut twin) = tx.twin(name, ticket.key)? else { return Ok(()) };
    let fields = Fields::from_iter([(STATUS.to_owned(), ticket.status.as_str().into())]);
    let waits = |it: &Request| !it.frozen && it.state == State::Accepted;
    let waiting = match twin.request {
        Some(id) => tx.request(id)?.filter(waits),
        None => None,
    };
    if let Some(mut request) = waiting {
        request.fields.extend(fields);
        return tx.put_request(&request);
    }
    // Its id follows from that of the one before: it needs no chance inside a transaction.
    let id = RequestId(Uuid::from_u128(request.id.0.as_u128().rotate_left(1) ^ FOLLOWS));
    let place = (ticket.backend.clone(), ticket.key);
    let made_by = request.made_by.clone();
    let mut next = Request::accepted(id, place, Op::Update, made_by, fields, now);
    next.service.clone_from(&request.service);
    next.story.add(now, format!("wanted by sync {name}: the ticket was opened again first"));
    next.n = tx.add_request(&next)?;
    twin.request = Some(id);
    tx.put_twin(&twin)
}

/// What became of a request that a sync wanted.
fn count(tx: &mut dyn Tx, name: &str, state: State) -> Result<(), TxError> {
    let more = match state {
        State::Done | State::Adopted => Tally { written: 1, ..Tally::default() },
        State::Rejected | State::Failed => Tally { failed: 1, ..Tally::default() },
        _ => return Ok(()),
    };
    let mut row = tx.sync(name)?;
    row.total += more;
    tx.put_sync(&row)
}

/// What a sync wants written is our level: it freezes here, at its intent. A status that begins or ends
/// work there is a close or a reopen.
pub(in crate::changes) fn freeze(
    tx: &mut dyn Tx,
    request: &mut Request,
    ticket: &Ticket,
) -> Result<(), TxError> {
    let ours = view(ticket);
    for (name, value) in request.fields.iter_mut() {
        *value = ours.get(name).cloned().unwrap_or_default();
    }
    if request.op == Op::Create || !request.fields.contains_key(STATUS) {
        return Ok(());
    }
    let itself = tx.twins_of(ticket.key)?.into_iter().find(|twin| twin.itself);
    let was_over = itself.and_then(|twin| twin.status).is_some_and(TicketStatus::ended);
    request.op = match ticket.status.ended() {
        true if !was_over => Op::Close,
        false if was_over => Op::Reopen,
        _ => Op::Update,
    };
    if request.op != Op::Update {
        request.fields.remove(STATUS);
    }
    Ok(())
}

/// Fields of a ticket that other sides have changed, and that have not been written to its backend: what
/// we have of them is newer than what a request before theirs writes.
pub(in crate::changes) fn waiting_fields(
    tx: &mut dyn Tx,
    ticket: TicketKey,
) -> Result<Fields, TxError> {
    let mut fields = Fields::new();
    // What the backend itself was read for is kept from our side: a request before it is what we have.
    for twin in tx.twins_of(ticket)?.into_iter().filter(|twin| !twin.itself) {
        let Some(id) = twin.request else { continue };
        if let Some(request) = tx.request(id)?.filter(|it| !it.frozen && !it.state.ended()) {
            fields.extend(request.fields);
        }
    }
    Ok(fields)
}

/// Fields of a ticket that other sides have given it and that its backend does not have: their write
/// waits, or came to nothing.
pub(super) fn unwritten_fields(tx: &mut dyn Tx, ticket: TicketKey) -> Result<Fields, TxError> {
    let mut fields = Fields::new();
    for twin in tx.twins_of(ticket)?.into_iter().filter(|twin| !twin.itself) {
        let Some(id) = twin.request else { continue };
        let there = |it: &Request| matches!(it.state, State::Done | State::Adopted);
        if let Some(request) = tx.request(id)?.filter(|it| !there(it)) {
            fields.extend(request.fields);
        }
    }
    Ok(fields)
}

/// A ticket goes for good: so does what syncs remember of it.
pub(in crate::changes) fn forget(tx: &mut dyn Tx, ticket: TicketKey) -> Result<(), TxError> {
    tx.drop_twins(ticket)?;
    tx.drop_ticket_changes(ticket)
}
