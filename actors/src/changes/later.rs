//! A backend's later answer: it took a write then, and says now what became of it (CONTRACT 1.5).
//!
//! Needs no epoch: the answer comes from outside, and may come while the call that it belongs to is
//! still under way, while its request is in doubt, or after it became undecided. A repeat changes
//! nothing; what contradicts an end is refused and is for a person.

use super::conclude::{Conclude, End, conclude_request};
use super::{Applied, Concluded, Halt, Refusal};
use crate::model::{
    BackendId, CorrelationKey, Epoch, EventId, Found, Identity, Op, Request, RequestId, State,
    TicketError, Timestamp,
};
use crate::ports::Tx;

/// How the answer names its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By our id.
    Request(RequestId),
    /// By its ticket's key: the request that its ticket waits for.
    Correlation(CorrelationKey),
    /// By the reference that the backend gave when it took the write.
    Reference(String),
    /// By our id, and which of its calls by that reference. Our id is known before the backend's answer
    /// with the reference is stored; the reference tells the last call from those before.
    Both(RequestId, String),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done.
    Done(Found),
    /// It was refused.
    Rejected(TicketError),
}

/// A later answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LaterAnswer {
    /// Names the delivery: a known one changes nothing.
    pub identity: Identity,
    /// Who answers.
    pub backend: BackendId,
    /// What is answered.
    pub asked: Asked,
    /// The answer.
    pub outcome: Outcome,
    /// For the event that follows.
    pub event_id: EventId,
    /// As in [`Conclude`].
    pub watch_looks: u32,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &LaterAnswer, now: Timestamp) -> Result<Applied, Halt> {
    if !tx.remember(&it.identity, now)? {
        return Ok(Applied::Later(None));
    }
    let request = find(tx, it)?.filter(|request| request.backend == it.backend);
    let mut request = request.ok_or(Refusal::NotFound)?;
    let Some(end) = end(tx, it, &request)? else { return Ok(Applied::Later(None)) };
    request.story.add(now, "the backend's later answer came");
    let conclude = Conclude {
        backend: it.backend.clone(),
        epoch: Epoch::default(),
        request: request.id,
        attempt: request.attempts,
        end,
        event_ids: [it.event_id, it.event_id],
        by_later_answer: true,
        watch_looks: it.watch_looks,
    };
    let concluded: Concluded = conclude_request(tx, request, &conclude, now)?;
    Ok(Applied::Later(Some(Box::new(concluded))))
}

fn find(tx: &mut dyn Tx, it: &LaterAnswer) -> Result<Option<Request>, Halt> {
    Ok(match &it.asked {
        Asked::Request(id) | Asked::Both(id, _) => tx.request(*id)?,
        Asked::Reference(reference) => tx.request_by_reference(&it.backend, reference)?,
        Asked::Correlation(key) => match tx.ticket_by_correlation_key(key)? {
            // Which of its requests is meant, nobody can know.
            Some(ticket) if ticket.answers_astray && !mutant!(AnswersMixed) => {
                return Err(Refusal::Astray.into());
            }
            Some(ticket) => tx.first_open_request(ticket.key)?,
            None => None,
        },
    })
}

/// What the answer means for its request as it is now; none: nothing new.
fn end(tx: &mut dyn Tx, it: &LaterAnswer, request: &Request) -> Result<Option<End>, Halt> {
    let sent = request.attempts > 0;
    Ok(match (&it.outcome, request.state) {
        (Outcome::Done(_), State::Done | State::Adopted)
        | (Outcome::Rejected(_), State::Rejected) => None,
        (_, state) if state.ended() || !sent => return Err(Refusal::WrongState.into()),
        (Outcome::Done(found), _) => {
            let mut found = found.clone();
            let known = tx.ticket(request.ticket)?.and_then(|ticket| ticket.backend_id);
            if found.backend_id.is_empty() {
                found.backend_id = known.unwrap_or_default();
            }
            if found.backend_id.is_empty() {
                return Err(Refusal::NoBackendId.into());
            }
            Some(End::Done(found))
        }
        // Of an attempt before; another one is already on its way.
        (Outcome::Rejected(_), State::Accepted | State::Wait) => None,
        (Outcome::Rejected(_), _) if !speaks_of_the_last(it, request) => None,
        (Outcome::Rejected(error), _) => Some(End::Rejected(error.clone())),
    })
}

/// What was sent more than once may have been done by another call than the one that was refused: a
/// refusal counts only if it names the last call, and for a create only if no other was ever in
/// doubt. Else it says nothing that is sure, and the request is found out as if it had not come.
/// The reference that is known may be that of a call before: the last one's answer has not come yet, or
/// was lost.
fn speaks_of_the_last(it: &LaterAnswer, request: &Request) -> bool {
    let of_the_last = request.backend_ref_of == request.attempts;
    let named = match &it.asked {
        Asked::Reference(it) | Asked::Both(_, it) => Some(it) == request.backend_ref.as_ref(),
        Asked::Request(_) | Asked::Correlation(_) => false,
    };
    request.attempts == 1 || named && of_the_last && (request.op != Op::Create || !request.doubted)
}
