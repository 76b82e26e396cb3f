//! A flow has decided: the journal (docs/rules.md, "The way of an alarm", 4).
//!
//! Commits only on the versions that the flow read and under a lock that is held now (T2, L3).
//! Otherwise nothing is written and the flow runs again: its turn is void.

use super::conclude::announce;
use super::{Admission, Applied, Context, Halt, Refusal, admission, history, services};
use crate::logic::correlation::group_key;
use crate::logic::policy::Storm;
use crate::model::{
    Alarm, BackendId, ClientNumber, CorrelationKey, EventId, EventName, Fence, Fields, Found,
    MadeBy, Mono, OccurrenceRef, Op, Request, RequestId, State, Ticket, TicketKey, TicketStatus,
    Timestamp,
};
use crate::ports::Tx;
use std::time::Duration;

/// A flow whose ticket another alarm writes to is woken by that one's end; should that be missed, it
/// looks again after this span.
const OTHERS_AGAIN: Duration = Duration::from_secs(60);

/// How many tickets of one group are looked at for one that is open. Each but the newest is one whose close
/// was refused or has yet to be made; nobody lets that happen so often.
const GROUP_LOOKS: usize = 8;

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
        /// The close that waits for its delay is not made.
        instead_of_close: bool,
    },
    /// Nothing is to be done for this version.
    Nothing,
    /// Look again at that time.
    Later(Timestamp),
    /// Another alarm of its ticket has a request: look again at its end, or at that time.
    Wait(Timestamp),
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
    /// Other alarms of the ticket whose level goes along, with the versions that were read.
    pub along: Vec<(OccurrenceRef, u64)>,
    /// How much its backend may have open.
    pub admission: Admission,
    /// How many tickets may be made for its backend.
    pub storm: Option<Storm>,
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

/// Is another occurrence not done with that ticket: a close may be due, or on its way? One that only
/// waits for its delay is given up, where the alarm goes on `instead_of_close`.
fn at_work(
    tx: &mut dyn Tx,
    ticket: TicketKey,
    alarm: &Alarm,
    instead_of_close: bool,
    now: Timestamp,
) -> Result<bool, Halt> {
    let all = tx.alarms_of(ticket)?;
    let close_waits = |other: &Alarm| {
        instead_of_close && !other.active && other.request.is_none() && other.unsettled()
    };
    let same = |other: &Alarm| other.at.alarm == alarm.at.alarm;
    let later = |other: &Alarm| other.due_at.is_some_and(|due| due > now);
    let busy = |other: &Alarm| {
        // The close of another alarm that waits for its delay will find this one active.
        let gives_way = close_waits(other) && (same(other) || later(other));
        other.request.is_some() || other.unsettled() && !gives_way
    };
    if all.iter().any(busy) && !mutant!(SharedTicket) {
        return Ok(true);
    }
    for mut other in all.into_iter().filter(|other| close_waits(other) && same(other)) {
        other.settled_version = other.wanted_version;
        other.due_at = None;
        let why = "raised again before its ticket was to be closed";
        other.reason = Some(why.to_owned());
        other.story.add_because(now, "not closed", why);
        tx.put_alarm(&other)?;
    }
    Ok(false)
}

pub(super) fn group_of(alarm: &Alarm) -> Option<[u8; 16]> {
    let (rule, value) = (alarm.rule.as_ref()?, alarm.group.as_ref()?);
    Some(group_key(alarm.backend.as_ref()?, alarm.kind, rule, value))
}

/// The ticket of a group that is open and is not being closed: the newest, or one beside which a newer one was
/// begun and whose close was refused since.
fn open_of_group(tx: &mut dyn Tx, newest: Ticket) -> Result<Option<Ticket>, Halt> {
    let mut row = newest;
    for _ in 0..GROUP_LOOKS {
        if !row.status.ended() && !tx.has_open_request(row.key, Op::Close)? {
            return Ok(Some(row));
        }
        let Some(before) = row.begun_beside else { break };
        // It may have gone since, when it had been over for long (T5).
        let Some(before) = tx.ticket(before)? else { break };
        row = before;
    }
    Ok(None)
}

/// The newest ticket of a group whose close is not done: that has yet to be made, or was refused.
fn not_closed_yet(tx: &mut dyn Tx, group: &[u8; 16]) -> Result<Option<TicketKey>, Halt> {
    let mut next = tx.group(group)?;
    for _ in 0..GROUP_LOOKS {
        let Some(key) = next else { break };
        let Some(row) = tx.ticket(key)? else { break };
        if !row.status.ended() {
            return Ok(Some(key));
        }
        next = row.begun_beside;
    }
    Ok(None)
}

/// An alarm without a group goes on with a ticket that a group's other alarms have, since a person has linked it
/// there. The group may have lost sight of it while it was over.
fn is_the_groups_again(tx: &mut dyn Tx, ticket: TicketKey) -> Result<(), Halt> {
    let mut groups: Vec<_> = tx.alarms_of(ticket)?.iter().filter_map(group_of).collect();
    groups.sort_unstable();
    groups.dedup();
    let [group] = groups[..] else { return Ok(()) };
    if not_closed_yet(tx, &group)?.is_none() {
        return Ok(tx.put_group(&group, ticket)?);
    }
    // The group goes on with its newer one, and with this one once that is closed.
    let mut last = None;
    let mut next = tx.group(&group)?;
    for _ in 0..GROUP_LOOKS {
        let Some(row) = next.map(|key| tx.ticket(key)).transpose()?.flatten() else { break };
        if row.key == ticket {
            return Ok(());
        }
        next = row.begun_beside;
        last = Some(row);
    }
    if let Some(mut last) = last {
        last.begun_beside = Some(ticket);
        tx.put_ticket(&last)?;
    }
    Ok(())
}

fn backend_of(alarm: &Alarm) -> BackendId {
    alarm.backend.clone().expect("a flow runs only for a routed alarm")
}

/// The other alarms of that ticket, and the other occurrences of this one.
fn others(tx: &mut dyn Tx, ticket: TicketKey, than: &Alarm) -> Result<Vec<Alarm>, Halt> {
    let mut alarms = tx.alarms_of(ticket)?;
    alarms.retain(|other| other.at != than.at);
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
        alarm.waits = false;
        let others = match &it.decision {
            Decision::Write { ticket, .. } => others(tx, *ticket, &alarm)?,
            _ => Vec::new(),
        };
        let request = match &it.decision {
            // U5: what makes it or opens it again was rendered with this alarm as it was before; after that, it is told.
            Decision::Nothing if self.waits_for_its_ticket(tx, &alarm)? => {
                self.look_again(&mut alarm, self.now.plus(OTHERS_AGAIN));
                alarm.waits = true;
                None
            }
            Decision::Nothing => {
                alarm.settled_version = it.version;
                alarm.story.add_because(self.now, "nothing to do", &it.reason);
                None
            }
            Decision::Later(due_at) => {
                self.look_again(&mut alarm, *due_at);
                None
            }
            Decision::Wait(due_at) => {
                self.look_again(&mut alarm, *due_at);
                alarm.waits = true;
                None
            }
            // One request at a time for all alarms of a ticket (T1).
            Decision::Write { .. } if others.iter().any(|other| other.request.is_some()) => {
                self.look_again(&mut alarm, self.now.plus(OTHERS_AGAIN));
                alarm.waits = true;
                None
            }
            Decision::Write { op: Op::Close, .. }
                if others.iter().any(|other| other.active) && !mutant!(ClosesUnderOthers) =>
            {
                let why = "cleared; its ticket has other alarms that are not";
                alarm.settled_version = it.version;
                alarm.reason = Some(why.to_owned());
                alarm.story.add_because(self.now, "nothing to do", why);
                None
            }
            // Its close will be made by the one that was cleared last.
            Decision::Write { op: Op::Close | Op::Update, .. }
                if !alarm.active
                    && others.iter().all(|other| !other.active)
                    && others.iter().any(|other| self.is_due_later(other)) =>
            {
                let why = "cleared; its ticket is closed with the last of its alarms";
                alarm.settled_version = it.version;
                alarm.reason = Some(why.to_owned());
                alarm.story.add_because(self.now, "nothing to do", why);
                None
            }
            Decision::TakeOver { ticket, .. } | Decision::CreateAgain { ticket, .. }
                if self.joins_another(tx, &mut alarm, *ticket)? =>
            {
                None
            }
            Decision::TakeOver { ticket, or_at, instead_of_close, .. }
                if at_work(tx, *ticket, &alarm, *instead_of_close, self.now)? =>
            {
                self.look_again(&mut alarm, *or_at);
                None
            }
            Decision::Create { .. } if self.joins(tx, &mut alarm)? => None,
            Decision::Create { .. } if self.storms(tx, &mut alarm)? => None,
            Decision::Create { ticket, correlation_key, fields } => {
                let mut made = self.new_ticket(&alarm, *ticket, correlation_key);
                alarm.tickets_made += 1;
                if let Some(key) = group_of(&alarm) {
                    made.begun_beside = not_closed_yet(tx, &key)?;
                    tx.put_group(&key, *ticket)?;
                }
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
        services::accept(tx, &mut request)?;
        request.n = tx.add_request(&request)?;
        alarm.ticket = Some(request.ticket);
        alarm.request = Some(request.id);
        let goes_on =
            matches!(it.decision, Decision::TakeOver { .. } | Decision::CreateAgain { .. });
        match group_of(&alarm) {
            _ if !goes_on => {}
            Some(key) => tx.put_group(&key, request.ticket)?,
            None => is_the_groups_again(tx, request.ticket)?,
        }
        if matches!(it.decision, Decision::TakeOver { .. }) && alarm.group.is_some() {
            // Stale at its intent, and then rendered with all alarms that share the ticket.
            alarm.wanted_version += 1;
        }
        alarm.story.add_because(
            self.now,
            format!("{} accepted for {}", request.op.as_str(), request.backend),
            &it.reason,
        );
        tx.put_alarm(&alarm)?;
        self.take_along(tx, &request)?;
        Ok(Some(request))
    }

    /// The level of the others that was read stands in the same request: it takes care of them too.
    fn take_along(&self, tx: &mut dyn Tx, request: &Request) -> Result<(), Halt> {
        for (at, version) in &self.it.along {
            let Some(mut other) = tx.alarm(at)? else { continue };
            let as_read = other.wanted_version == *version || mutant!(AlongWhateverVersion);
            let same = other.ticket == Some(request.ticket) && as_read;
            if same && other.unsettled() && other.request.is_none() {
                other.settled_version = other.wanted_version;
                other.due_at = None;
                other.waits = false;
                let with = format!("goes along with that of {}", self.it.at.alarm);
                other.story.add(self.now, with.clone());
                other.reason = Some(with);
                tx.put_alarm(&other)?;
            }
        }
        Ok(())
    }

    /// Is its group's ticket being made or opened again? It is told what has become of its alarms after that.
    fn waits_for_its_ticket(&self, tx: &mut dyn Tx, alarm: &Alarm) -> Result<bool, Halt> {
        let of_group = alarm.group.is_some() && alarm.request.is_none();
        let Some(ticket) = alarm.ticket.filter(|_| of_group) else { return Ok(false) };
        Ok(tx.has_open_request(ticket, Op::Create)? || tx.has_open_request(ticket, Op::Reopen)?)
    }

    fn is_due_later(&self, other: &Alarm) -> bool {
        other.unsettled() && !other.waits && other.due_at.is_some_and(|due| due > self.now)
    }

    /// The group of an alarm that would go on with a ticket of before may have begun another since; or that
    /// of before was never made, and the one beside which it was begun is open still.
    fn joins_another(
        &self,
        tx: &mut dyn Tx,
        alarm: &mut Alarm,
        before: TicketKey,
    ) -> Result<bool, Halt> {
        let Some(key) = group_of(alarm) else { return Ok(false) };
        let again = matches!(self.it.decision, Decision::CreateAgain { .. });
        match tx.group(&key)? {
            Some(ticket) if ticket != before || again => self.joins(tx, alarm),
            _ => Ok(false),
        }
    }

    /// An alarm of a group gets the ticket that the group has, if that is open and not being closed.
    fn joins(&self, tx: &mut dyn Tx, alarm: &mut Alarm) -> Result<bool, Halt> {
        let Some(key) = group_of(alarm).filter(|_| !mutant!(NoJoin)) else { return Ok(false) };
        let Some(ticket) = tx.group(&key)? else { return Ok(false) };
        // It may have gone since, when it had been over for long (T5).
        let Some(row) = tx.ticket(ticket)? else { return Ok(false) };
        if row.status.ended() && tx.has_open_request(ticket, Op::Reopen)? {
            if alarm.ticket != Some(ticket) {
                alarm.ticket = Some(ticket);
                alarm.tickets_made += 1;
            }
            // The end of that wakes it: only then there is a ticket to write to.
            self.look_again(alarm, self.now.plus(OTHERS_AGAIN));
            alarm.waits = true;
            alarm.reason = Some("waits until its group's ticket is open again".to_owned());
            tx.put_alarm(alarm)?;
            return Ok(true);
        }
        let Some(row) = open_of_group(tx, row)? else { return Ok(false) };
        if alarm.ticket == Some(row.key) {
            return Ok(false);
        }
        alarm.ticket = Some(row.key);
        alarm.tickets_made += 1;
        alarm.due_at = Some(self.now);
        let group = alarm.group.clone().unwrap_or_default();
        let name = row.backend_id.as_deref().unwrap_or("being made");
        let what = format!("shares the ticket of its group ({name})");
        alarm.reason = Some(format!("{what}: {group}"));
        alarm.story.add_because(self.now, what, format!("group {group}"));
        tx.put_alarm(alarm)?;
        Ok(true)
    }

    /// Too many tickets were made of late: it waits until the oldest of them is old enough.
    fn storms(&self, tx: &mut dyn Tx, alarm: &mut Alarm) -> Result<bool, Halt> {
        let Some(storm) = &self.it.storm else { return Ok(false) };
        let backend = backend_of(alarm);
        let Some(made) = tx.nth_newest_ticket(&backend, storm.tickets)? else { return Ok(false) };
        let free = made.plus(storm.within);
        if free <= self.now {
            return Ok(false);
        }
        let seconds = storm.within.as_secs();
        let why =
            format!("storm: {} tickets were made for {backend} in {seconds} s", storm.tickets);
        alarm.reason = Some(why.clone());
        alarm.due_at = Some(free);
        alarm.story.add_because(self.now, format!("waits until {free}"), why);
        Ok(true)
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
        let origin = alarm.next_origin();
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
                let mut ticket = self.new_ticket(alarm, key, correlation);
                alarm.tickets_made += 1;
                if let Some(group) = group_of(alarm) {
                    ticket.begun_beside = not_closed_yet(tx, &group)?;
                    tx.put_group(&group, key)?;
                }
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
        alarm.due_at = alarm.due_after(self.now);
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
