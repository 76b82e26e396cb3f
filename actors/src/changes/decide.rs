//! A flow has decided: the journal (docs/rules.md, "The way of an alarm", 4).
//!
//! Commits only on the versions that the flow read and under a lock that is held now (T2, L3).
//! Otherwise nothing is written and the flow runs again: its turn is void.

use super::conclude::announce;
use super::{Admission, Applied, Context, Halt, Refusal, admission, history};
use crate::model::{
    Alarm, BackendId, ClientNumber, CorrelationKey, EventId, EventName, Fence, Fields, Found,
    MadeBy, Mono, OccurrenceRef, Op, Origin, Request, RequestId, State, Ticket, TicketKey,
    TicketStatus, Timestamp,
};
use crate::ports::Tx;
use std::time::Duration;

/// A flow whose ticket another alarm writes to looks again after this span.
const OTHERS_AGAIN: Duration = Duration::from_secs(1);

/// The lock that a flow holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockProof {
    /// Whose lock.
    pub client: ClientNumber,
    /// Which grant.
    pub fence: Fence,
    /// Not valid after this moment.
    pub expires: Mono,
}

/// What a flow wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Make a ticket.
    Create {
        /// Its key.
        ticket: TicketKey,
        /// Its correlation key.
        correlation_key: CorrelationKey,
        /// Its fields.
        fields: Fields,
    },
    /// Send the create of a ticket that was refused before once more, for a newer level.
    CreateAgain {
        /// Its key.
        ticket: TicketKey,
        /// Its fields.
        fields: Fields,
    },
    /// Take a ticket that the backend has already.
    Adopt {
        /// Our key for it.
        ticket: TicketKey,
        /// Its correlation key.
        correlation_key: CorrelationKey,
        /// What was found.
        found: Box<Found>,
        /// It carries our own key: it is ours, its answer was lost.
        ours: bool,
    },
    /// Change an existing ticket.
    Write {
        /// Update, close or reopen.
        op: Op,
        /// Which.
        ticket: TicketKey,
        /// Its fields.
        fields: Fields,
    },
    /// Go on with the ticket of the occurrence before, if that one is done with it.
    TakeOver {
        /// Reopen, or update where it is still open.
        op: Op,
        /// Which.
        ticket: TicketKey,
        /// Its fields.
        fields: Fields,
        /// Else look again at that time.
        or_at: Timestamp,
    },
    /// Nothing is to be done for this version.
    Nothing,
    /// Look again at that time.
    Later(Timestamp),
}

/// A flow's decision and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Decide {
    /// For which occurrence.
    pub at: OccurrenceRef,
    /// The wanted version that was read.
    pub version: u64,
    /// The ticket that was read, with its sequence.
    pub ticket: Option<(TicketKey, u64)>,
    /// The lock that is held.
    pub lock: LockProof,
    /// The id of the request, should one be made.
    pub request: RequestId,
    /// The id of the event, should one be made.
    pub event_id: EventId,
    /// The decision.
    pub decision: Decision,
    /// Why, for `explain`.
    pub reason: String,
    /// How much its backend may have open.
    pub admission: Admission,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Decide, context: Context<'_>) -> Result<Applied, Halt> {
    check_lock(tx, &it.lock, context.now.mono)?;
    let alarm = tx.alarm(&it.at)?.ok_or(Refusal::NotFound)?;
    let stale = alarm.wanted_version != it.version || !alarm.unsettled();
    if alarm.request.is_some() || stale && !mutant!(OldVersion) {
        return Err(Refusal::StaleVersion.into());
    }
    // A flow that saw no ticket must not decide for an alarm that has got one since.
    if alarm.ticket.is_some() && alarm.ticket != it.ticket.map(|(key, _)| key) {
        return Err(Refusal::StaleVersion.into());
    }
    if let Some((key, sequence)) = it.ticket
        && tx.ticket(key)?.ok_or(Refusal::NotFound)?.sequence != sequence
    {
        return Err(Refusal::StaleVersion.into());
    }
    let journal = Journal { it, now: context.now.wall, node: context.node };
    let request = journal.write(tx, alarm)?;
    let first = match &request {
        // Only a new ticket has no other request; there may be commands in line for an older one.
        Some(request) if !matches!(it.decision, Decision::Create { .. }) => {
            tx.first_open_request(request.ticket)?.is_some_and(|first| first.id == request.id)
        }
        _ => true,
    };
    let events = matches!(it.decision, Decision::Adopt { .. });
    Ok(Applied::Decided { request: request.map(Box::new), first, events })
}

pub(super) fn check_lock(tx: &mut dyn Tx, lock: &LockProof, now: Mono) -> Result<(), Halt> {
    if mutant!(LocksForEver) {
        return Ok(());
    }
    if now >= lock.expires || lock.fence < tx.barrier(lock.client)? {
        return Err(Refusal::LockLost.into());
    }
    Ok(())
}

/// Is another occurrence not done with that ticket: a close may be due, or on its way?
fn at_work(tx: &mut dyn Tx, ticket: TicketKey) -> Result<bool, Halt> {
    Ok(!mutant!(SharedTicket)
        && tx.alarms_of(ticket)?.iter().any(|alarm| alarm.unsettled() || alarm.request.is_some()))
}

fn backend_of(alarm: &Alarm) -> BackendId {
    alarm.backend.clone().expect("a flow runs only for a routed alarm")
}

/// The other alarms of that ticket.
fn others(tx: &mut dyn Tx, ticket: TicketKey, than: &Alarm) -> Result<Vec<Alarm>, Halt> {
    let mut alarms = tx.alarms_of(ticket)?;
    alarms.retain(|other| other.at.alarm != than.at.alarm);
    Ok(alarms)
}

struct Journal<'a> {
    it: &'a Decide,
    now: Timestamp,
    node: &'a str,
}

impl Journal<'_> {
    fn write(&self, tx: &mut dyn Tx, mut alarm: Alarm) -> Result<Option<Request>, Halt> {
        let it = self.it;
        alarm.reason = Some(it.reason.clone());
        alarm.due_at = None;
        let others = match &it.decision {
            Decision::Write { ticket, .. } => others(tx, *ticket, &alarm)?,
            _ => Vec::new(),
        };
        let request = match &it.decision {
            Decision::Nothing => {
                alarm.settled_version = it.version;
                alarm.story.add_because(self.now, "nothing to do", &it.reason);
                None
            }
            Decision::Later(due_at) => {
                self.look_again(&mut alarm, *due_at);
                None
            }
            // One request at a time for all alarms of a ticket (T1).
            Decision::Write { .. } if others.iter().any(|other| other.request.is_some()) => {
                self.look_again(&mut alarm, self.now.plus(OTHERS_AGAIN));
                None
            }
            Decision::Write { op: Op::Close, .. } if others.iter().any(|other| other.active) => {
                let why = "cleared; its ticket has other alarms that are not";
                alarm.settled_version = it.version;
                alarm.reason = Some(why.to_owned());
                alarm.story.add_because(self.now, "nothing to do", why);
                None
            }
            Decision::TakeOver { ticket, or_at, .. } if at_work(tx, *ticket)? => {
                self.look_again(&mut alarm, *or_at);
                None
            }
            Decision::Create { ticket, correlation_key, fields } => {
                alarm.tickets_made += 1;
                let made = self.new_ticket(&alarm, *ticket, correlation_key);
                tx.put_ticket(&made)?;
                Some(self.request(&alarm, Op::Create, *ticket, fields))
            }
            Decision::CreateAgain { ticket, fields } => {
                let mut again = tx.ticket(*ticket)?.ok_or(Refusal::NotFound)?;
                again.status = TicketStatus::Pending;
                again.changed_at = self.now;
                tx.put_ticket(&again)?;
                Some(self.request(&alarm, Op::Create, *ticket, fields))
            }
            Decision::Write { op, ticket, fields }
            | Decision::TakeOver { op, ticket, fields, .. } => {
                Some(self.request(&alarm, *op, *ticket, fields))
            }
            Decision::Adopt { ticket, correlation_key, found, ours } => {
                self.adopt(tx, &mut alarm, *ticket, correlation_key, found, *ours)?;
                return Ok(None);
            }
        };
        let Some(mut request) = request else {
            tx.put_alarm(&alarm)?;
            return Ok(None);
        };
        admission::check(tx, &self.it.admission, &request.backend, request.op)?;
        request.n = tx.add_request(&request)?;
        alarm.ticket = Some(request.ticket);
        alarm.request = Some(request.id);
        alarm.story.add_because(
            self.now,
            format!("{} accepted for {}", request.op.as_str(), request.backend),
            &it.reason,
        );
        tx.put_alarm(&alarm)?;
        Ok(Some(request))
    }

    fn look_again(&self, alarm: &mut Alarm, at: Timestamp) {
        alarm.due_at = Some(at);
        alarm.story.add_because(self.now, format!("looked at again at {at}"), &self.it.reason);
    }

    fn request(&self, alarm: &Alarm, op: Op, ticket: TicketKey, fields: &Fields) -> Request {
        let made_by = MadeBy::Level { at: alarm.at.clone(), version: self.it.version };
        let place = (backend_of(alarm), ticket);
        let fields = fields.clone();
        let mut request = Request::accepted(self.it.request, place, op, made_by, fields, self.now);
        request.story.add_because(self.now, "accepted", &self.it.reason);
        request
    }

    fn new_ticket(&self, alarm: &Alarm, key: TicketKey, correlation: &CorrelationKey) -> Ticket {
        let place = (backend_of(alarm), alarm.kind);
        let origin = Origin::Alarm { at: alarm.at.clone(), number: alarm.tickets_made };
        Ticket::pending(key, place, correlation.clone(), origin, self.node, self.now)
    }

    /// A ticket that the backend has already becomes this alarm's, by a request that ends at
    /// once. If it is a ticket of ours already, the alarm is only linked to it.
    fn adopt(
        &self,
        tx: &mut dyn Tx,
        alarm: &mut Alarm,
        key: TicketKey,
        correlation: &CorrelationKey,
        found: &Found,
        ours: bool,
    ) -> Result<(), Halt> {
        let backend = backend_of(alarm);
        let mut ticket = match tx.ticket_by_backend_id(&backend, &found.backend_id)? {
            Some(ticket) => ticket,
            None => {
                alarm.tickets_made += 1;
                let mut ticket = self.new_ticket(alarm, key, correlation);
                ticket.backend_id = Some(found.backend_id.clone());
                ticket.url.clone_from(&found.url);
                ticket.status = found.status.unwrap_or(TicketStatus::Acknowledged);
                ticket.backend_status.clone_from(&found.backend_status);
                ticket.fields.clone_from(&found.fields);
                ticket.adopted = !ours;
                ticket
            }
        };
        let mut request = self.request(alarm, Op::Create, ticket.key, &Fields::new());
        request.state = State::Adopted;
        request.ended_at = Some(self.now);
        request.n = tx.add_request(&request)?;
        alarm.ticket = Some(ticket.key);
        alarm.story.add_because(
            self.now,
            format!("adopted {} {}", ticket.backend, found.backend_id),
            &self.it.reason,
        );
        // What the ticket says may differ from the level: an update, or the close, follows.
        alarm.settled_version = self.it.version.saturating_sub(u64::from(!alarm.active));
        alarm.due_at = alarm.unsettled().then_some(self.now);
        tx.put_alarm(alarm)?;
        let linked = tx.alarms_of(ticket.key)?;
        announce(
            tx,
            &mut ticket,
            &request,
            EventName::Adopted,
            self.it.event_id,
            &linked,
            self.now,
        )?;
        history::write(tx, &request, &ticket, &linked)?;
        tx.put_ticket(&ticket)?;
        Ok(())
    }
}
