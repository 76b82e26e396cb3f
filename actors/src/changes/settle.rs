//! A person ends a doubt: it is INC123; it was done; it does not exist, send it again; drop it.
//!
//! Needs no epoch: the lane does not touch an undecided request, and hears of the answer
//! afterwards. Always with a reason, always audited. What is known is not undone: a ticket that has a
//! number keeps it. Whether the backend has what the person names was asked before; what could not be
//! asked, or was contradicted, is told with the answer.

use super::conclude::{Conclude, End, conclude_request};
use super::{Applied, Concluded, Halt, Refusal};
use crate::model::{Epoch, EventId, Found, Op, Request, RequestId, State, Ticket, Timestamp};
use crate::ports::Tx;

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonSays {
    /// Of a create: it is there, under this backend id. Of another: it was done, on the ticket of this
    /// number, which must be its own.
    Found(String),
    /// Of an update, a close or a reopen: it was done.
    Done,
    /// It was not done: send it again.
    Absent,
    /// Leave it alone.
    Drop,
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Settle {
    /// Of which undecided request.
    pub request: RequestId,
    /// The answer.
    pub says: PersonSays,
    /// The ticket as its backend has just shown it, where it was asked and has it.
    pub seen: Option<Box<Found>>,
    /// Why the backend does not bear the answer out, where it does not: it was forced.
    pub unverified: Option<String>,
    /// Who.
    pub who: String,
    /// Why, in the person's words.
    pub reason: String,
    /// For the event that follows.
    pub event_id: EventId,
    /// As in [`Conclude`].
    pub watch_looks: u32,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Settle, now: Timestamp) -> Result<Applied, Halt> {
    let mut request = tx.request(it.request)?.ok_or(Refusal::NotFound)?;
    if request.state != State::Undecided {
        return Err(Refusal::WrongState.into());
    }
    let ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
    let answer = in_words(&it.says, request.op);
    let unverified =
        it.unverified.as_ref().map(|why| format!(", not verified: {why}")).unwrap_or_default();
    let what = format!("request {} settled: {answer}{unverified}", request.id);
    tx.audit(now, &it.who, &what, &it.reason)?;
    let step = format!("settled by {}: {answer}{unverified}", it.who);
    request.story.add_because(now, step, &it.reason);
    let end = match &it.says {
        PersonSays::Found(_) | PersonSays::Done => done(it, &request, &ticket)?,
        PersonSays::Drop => End::Cancelled(it.reason.clone()),
        PersonSays::Absent => {
            // The body stays frozen: what is sent again is what was sent before.
            request.state = State::Accepted;
            request.doubt = None;
            request.ready_at = now;
            tx.put_request(&request)?;
            return Ok(Applied::Concluded(Box::new(Concluded {
                next: Some(request.clone()),
                request,
                ticket,
                due: None,
                events: false,
            })));
        }
    };
    let conclude = Conclude {
        backend: request.backend.clone(),
        epoch: Epoch::default(),
        request: request.id,
        attempt: request.attempts,
        end,
        event_ids: [it.event_id, it.event_id],
        by_later_answer: false,
        watch_looks: it.watch_looks,
    };
    conclude_request(tx, request, &conclude, now)
        .map(|concluded| Applied::Concluded(Box::new(concluded)))
}

/// It is there. Only a create gives its ticket a number.
fn done(it: &Settle, request: &Request, ticket: &Ticket) -> Result<End, Refusal> {
    let seen = it.seen.as_deref().cloned().unwrap_or_default();
    let theirs = ticket.backend_id.as_ref();
    match (&it.says, request.op) {
        (PersonSays::Found(id), Op::Create) => {
            Ok(End::Adopted(Found { backend_id: id.clone(), ..seen }))
        }
        (PersonSays::Found(id), _) if theirs != Some(id) => Err(Refusal::AnotherTicket),
        (_, Op::Create) => Err(Refusal::NoBackendId),
        _ => Ok(End::Done(Found { backend_id: theirs.cloned().unwrap_or_default(), ..seen })),
    }
}

fn in_words(says: &PersonSays, op: Op) -> String {
    match (says, op) {
        (PersonSays::Found(id), Op::Create) => format!("it is there as {id}"),
        (PersonSays::Found(_) | PersonSays::Done, op) => format!("the {} was done", op.as_str()),
        (PersonSays::Absent, Op::Create) => "it does not exist, send it again".to_owned(),
        (PersonSays::Absent, op) => format!("the {} was not done, send it again", op.as_str()),
        (PersonSays::Drop, _) => "dropped, nothing more is sent".to_owned(),
    }
}
