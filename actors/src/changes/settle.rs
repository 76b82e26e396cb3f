//! A person ends a doubt: it is INC123; it does not exist, send it again; drop it.
//!
//! Needs no epoch: the lane does not touch an undecided request, and hears of the answer
//! afterwards. Always with a reason, always audited.

use super::conclude::{Conclude, End, conclude_request};
use super::{Applied, Concluded, Halt, Refusal};
use crate::model::{Epoch, EventId, Found, RequestId, State, Timestamp};
use crate::ports::Tx;

/// The three answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonSays {
    /// It is there, under this backend id.
    Found(String),
    /// It does not exist: send it again.
    Absent,
    /// Leave it alone.
    Drop,
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Of which undecided request.
    pub request: RequestId,
    /// The answer.
    pub says: PersonSays,
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
    let what = match &it.says {
        PersonSays::Found(id) => format!("request {} settled: it is {id}", request.id),
        PersonSays::Absent => format!("request {} settled: absent, send again", request.id),
        PersonSays::Drop => format!("request {} settled: dropped", request.id),
    };
    tx.audit(now, &it.who, &what, &it.reason)?;
    request.story.add_because(now, format!("settled by {}", it.who), &it.reason);
    let end = match &it.says {
        PersonSays::Found(id) => End::Adopted(Found { backend_id: id.clone(), ..Found::default() }),
        PersonSays::Drop => End::Cancelled(it.reason.clone()),
        PersonSays::Absent => {
            // The body stays frozen: what is sent again is what was sent before.
            request.state = State::Accepted;
            request.doubt = None;
            request.ready_at = now;
            tx.put_request(&request)?;
            let ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
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
