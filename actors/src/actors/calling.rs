//! One call to a backend, whoever makes it: the gateway for a lane, or a ticket client for itself. The
//! service that it is for is bound just before, and what was said is written down.
//!
//! What always holds: a service's address is read from the store at each call, so that what was imported a
//! moment ago counts. Neither bodies nor fields are written down.

use super::{BackendSeat, Exchanged, Outside};
use crate::model::{BackendId, Service, TicketError};
use crate::ports::{Answer, Call, Heard, Via, Work};
use std::sync::Arc;

/// Makes a call.
pub(super) async fn make(
    outside: Arc<Outside>,
    backend: BackendId,
    seat: BackendSeat,
    mut call: Call,
) -> Heard {
    let began = outside.clock.now();
    let mut row = Exchanged::of(began.wall, &call);
    let probes = call.work == Work::Probe;
    let heard = match bind(&outside, &backend, &call.via).await {
        Ok(service) => {
            row.service = service.as_ref().map(|service| service.name.clone());
            call.service = service.map(Box::new);
            seat.port.call(call).await
        }
        Err(answer) => answer.into(),
    };
    row.took = outside.clock.now().mono.since(began.mono);
    row.said(&heard);
    // A canary that is well would push what people look for out of the log.
    if !probes || !matches!(heard.answer, Answer::Read(_)) {
        outside.views.write_down(backend, row);
    }
    heard
}

/// The service that a call is for.
async fn bind(
    outside: &Outside,
    backend: &BackendId,
    via: &Via,
) -> Result<Option<Service>, Answer> {
    if matches!(via, Via::Accepted(None)) {
        return Ok(None);
    }
    let table = outside.reads.services(backend.clone()).await;
    let table = table.map_err(|error| Answer::NotSent(error.to_string()))?;
    let name = match (via, &table) {
        (Via::Accepted(Some(name)), _) => name,
        (Via::Selected, Some(table)) => &table.selected,
        (Via::Selected | Via::Accepted(None), _) => return Ok(None),
    };
    let service = table.as_ref().and_then(|table| table.named(name));
    // Un-ended requests keep their service; this is for what the store could only be told by hand.
    let gone = || TicketError::because(format!("the service {name} is not in the table any more"));
    service.cloned().map(Some).ok_or_else(|| Answer::Refused(gone()))
}

/// What a call does, in one word.
pub(super) fn word(call: &Call) -> &'static str {
    match &call.work {
        Work::Create { .. } => "create",
        Work::Update { .. } => "update",
        Work::Close { .. } => "close",
        Work::Reopen { .. } => "reopen",
        // A read for a request, or for a ticket that may exist twice, finds something out.
        Work::Get { .. } | Work::Search { .. } if call.ticket.is_some() => "look",
        Work::Get { .. } => "get",
        Work::Search { .. } => "search",
        Work::Changes { .. } => "changes",
        Work::Probe => "probe",
    }
}

/// An answer in a few words.
pub(super) fn verdict(answer: &Answer) -> String {
    match answer {
        Answer::Done(_) => "done".to_owned(),
        Answer::Acknowledged { .. } => "taken, answered later".to_owned(),
        Answer::Read(reading) => match (reading.tickets.len(), reading.more) {
            (1, false) => "1 ticket".to_owned(),
            (n, false) => format!("{n} tickets"),
            (n, true) => format!("{n} tickets, and there are more"),
        },
        Answer::NotSent(reason) => format!("not sent: {reason}"),
        Answer::Busy { error, .. } => format!("busy: {}", error.reason),
        Answer::Retryable { error, .. } => format!("not done: {}", error.reason),
        Answer::Refused(error) => format!("refused: {}", error.reason),
        Answer::Unauthorised(error) => format!("credentials refused: {}", error.reason),
        Answer::InDoubt(error) => format!("in doubt: {}", error.reason),
    }
}
