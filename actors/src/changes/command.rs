//! A write command is taken in: its id is remembered, its request journaled (CONTRACT 1.5; rules
//! G5, L3).
//!
//! The id is looked up before the lock: who repeats a command after its lock is gone hears what
//! became of it, and nothing is done twice. A refusal leaves no trace, so the same id may be sent
//! again.

use super::decide::{LockProof, check_lock};
use super::{Admission, Applied, Context, Halt, Refusal, admission, services};
use crate::model::{
    AlarmRef, BackendId, CommandId, CommandRecord, CorrelationKey, Fields, Kind, MadeBy, Op,
    Origin, Reply, Request, RequestId, State, Ticket, TicketKey, TicketName, TicketStatus,
    Timestamp,
};
use crate::ports::Tx;
use uuid::Uuid;

/// The lock that a command rests on, as the pool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It names none.
    None,
    /// It is held now, under this name.
    Held(Uuid, LockProof),
    /// It names one that is not held.
    Lost,
}

/// What a write command does.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Make a ticket.
    Create {
        /// Where.
        backend: BackendId,
        /// Incident, change or problem.
        kind: Kind,
        /// The alarm that it is for.
        alarm: Option<AlarmRef>,
    },
    /// Update or close one.
    Change(Op, TicketName),
}

/// A write command.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeCommand {
    /// Its sender's idempotency key.
    pub id: CommandId,
    /// Of its canonical body.
    pub body_hash: [u8; 16],
    /// What it does.
    pub write: Write,
    /// The fields to write.
    pub fields: Fields,
    /// What it rests on.
    pub guard: Guard,
    /// How its sender is answered.
    pub reply: Reply,
    /// The id of its request.
    pub request: RequestId,
    /// Our key, should it need a new ticket row.
    pub ticket: TicketKey,
    /// That row's correlation key.
    pub correlation_key: CorrelationKey,
    /// How much its backend may have open.
    pub admission: Admission,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandTaken {
    /// Its request as it is now.
    pub request: Request,
    /// The ticket as it is now.
    pub ticket: Ticket,
    /// The first un-ended request of that ticket, and how far it is.
    pub front: Option<(RequestId, State)>,
    /// The command was known already; nothing was written.
    pub repeat: bool,
}

pub(super) fn perform(
    tx: &mut dyn Tx,
    it: &TakeCommand,
    context: Context<'_>,
) -> Result<Applied, Halt> {
    if let Some(known) = tx.command(it.id)? {
        if known.body_hash != it.body_hash && !mutant!(BodyIgnored) {
            return Err(Refusal::IdReused.into());
        }
        let request = tx.request(known.request)?.ok_or(Refusal::NotFound)?;
        let ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
        return taken(tx, request, ticket, true);
    }
    match &it.guard {
        Guard::None => {}
        Guard::Held(guid, proof) => {
            check_lock(tx, proof, context.now.mono)?;
            // It may have been given back, and its client given on, since the pool was asked.
            if tx.lock(*guid)?.is_none_or(|kept| kept.fence != proof.fence) {
                return Err(Refusal::LockLost.into());
            }
        }
        Guard::Lost => return Err(Refusal::LockLost.into()),
    }
    let intake = Intake { it, now: context.now.wall, node: context.node };
    let (op, ticket) = match &it.write {
        Write::Create { backend, kind, alarm } => {
            (Op::Create, intake.create(tx, backend, *kind, alarm.as_ref())?)
        }
        Write::Change(op, name) => (*op, it.row().ticket(tx, name, context)?),
    };
    admission::check(tx, &it.admission, &ticket.backend, op)?;
    let mut request = intake.request(op, &ticket);
    services::accept(tx, &mut request)?;
    request.n = tx.add_request(&request)?;
    if !mutant!(CommandsForgotten) {
        tx.put_command(&CommandRecord {
            id: it.id,
            body_hash: it.body_hash,
            request: request.id,
            accepted_at: context.now.wall,
        })?;
    }
    taken(tx, request, ticket, false)
}

fn taken(tx: &mut dyn Tx, request: Request, ticket: Ticket, repeat: bool) -> Result<Applied, Halt> {
    let front = tx.first_open_request(ticket.key)?.map(|front| (front.id, front.state));
    Ok(Applied::Command(Box::new(CommandTaken { request, ticket, front, repeat })))
}

/// What names a ticket row that is not there yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Our key.
    pub ticket: TicketKey,
    /// What is written into the backend to find it again.
    pub correlation_key: CorrelationKey,
    /// What it is made for.
    pub origin: Origin,
}

impl Named {
    /// The ticket of that name. One that somebody else made gets a row: whether it exists, its
    /// backend will say.
    pub(super) fn ticket(
        &self,
        tx: &mut dyn Tx,
        name: &TicketName,
        context: Context<'_>,
    ) -> Result<Ticket, Halt> {
        match name {
            TicketName::Key(key) => {
                let ticket = tx.ticket(*key)?.ok_or(Refusal::NotFound)?;
                if !ticket.is_made() && tx.first_open_request(*key)?.is_none() {
                    return Err(Refusal::NeverMade.into());
                }
                Ok(ticket)
            }
            TicketName::Theirs(backend, backend_id, kind) => {
                if let Some(ticket) = tx.ticket_by_backend_id(backend, backend_id)? {
                    return Ok(ticket);
                }
                let theirs = Some(backend_id.clone());
                let ticket =
                    self.new_ticket(backend, *kind, theirs, context.now.wall, context.node);
                tx.put_ticket(&ticket)?;
                Ok(ticket)
            }
        }
    }

    fn new_ticket(
        &self,
        backend: &BackendId,
        kind: Kind,
        backend_id: Option<String>,
        now: Timestamp,
        node: &str,
    ) -> Ticket {
        let (place, key) = ((backend.clone(), kind), self.correlation_key.clone());
        let mut ticket = Ticket::pending(self.ticket, place, key, self.origin.clone(), node, now);
        if backend_id.is_some() {
            ticket.status = TicketStatus::Acknowledged;
            ticket.adopted = true;
        }
        Ticket { backend_id, ..ticket }
    }
}

impl TakeCommand {
    fn row(&self) -> Named {
        Named {
            ticket: self.ticket,
            correlation_key: self.correlation_key.clone(),
            origin: Origin::Command { id: self.id.to_string() },
        }
    }
}

struct Intake<'a> {
    it: &'a TakeCommand,
    now: Timestamp,
    node: &'a str,
}

impl Intake<'_> {
    fn create(
        &self,
        tx: &mut dyn Tx,
        backend: &BackendId,
        kind: Kind,
        alarm: Option<&AlarmRef>,
    ) -> Result<Ticket, Halt> {
        let ticket = self.it.row().new_ticket(backend, kind, None, self.now, self.node);
        if let Some(alarm) = alarm {
            self.link(tx, alarm, ticket.key)?;
        }
        tx.put_ticket(&ticket)?;
        Ok(ticket)
    }

    /// The alarm's newest occurrence gets this ticket. Its level as it is now counts as taken
    /// care of; a flow that has read it before decides again, since its version has moved.
    fn link(&self, tx: &mut dyn Tx, alarm: &AlarmRef, ticket: TicketKey) -> Result<(), Halt> {
        let mut row = tx.newest_alarm(alarm)?.ok_or(Refusal::UnknownAlarm)?;
        if row.request.is_some() {
            return Err(Refusal::HasTicket.into());
        }
        if let Some(key) = row.ticket
            && tx.ticket(key)?.is_some_and(|ticket| !ticket.status.ended())
        {
            return Err(Refusal::HasTicket.into());
        }
        row.take_care_of(Some(ticket));
        row.reason = Some(format!("a ticket was asked for by command {}", self.it.id));
        row.story.add(self.now, format!("ticket {ticket} asked for by command {}", self.it.id));
        tx.put_alarm(&row)?;
        Ok(())
    }

    fn request(&self, op: Op, ticket: &Ticket) -> Request {
        let it = self.it;
        let made_by = MadeBy::Command { id: it.id, reply: it.reply.clone() };
        let place = (ticket.backend.clone(), ticket.key);
        let fields = it.fields.clone();
        let mut request = Request::accepted(it.request, place, op, made_by, fields, self.now);
        request.story.add(self.now, format!("accepted as command {}", it.id));
        request
    }
}
