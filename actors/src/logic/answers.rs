//! What a command's sender is told: from a ticket event (the final answer) and from a request as it
//! stands (the latest stage), in the words of CONTRACT 1.5.

use crate::model::{
    Code, CommandAnswer, CommandError, CommandId, EventName, Given, MadeBy, Op, Request, RequestId,
    Stage, State, Ticket, TicketError, TicketEvent, TicketView,
};

/// The answer that goes with an event; none where the event says nothing about the command. Also
/// for work that an alarm made: its answer has no id and goes to the backend's route.
pub fn of_event(event: &TicketEvent) -> Option<CommandAnswer> {
    let (stage, said) = match event.event {
        EventName::Created | EventName::Adopted => (
            Stage::Final,
            Ok(Given::Made {
                backend_id: event.ticket.backend_id.clone(),
                url: event.ticket.url.clone(),
            }),
        ),
        EventName::Updated | EventName::Closed | EventName::Reopened => {
            (Stage::Final, Ok(Given::Ticket(Box::new(event.ticket.clone()))))
        }
        EventName::Rejected => (Stage::Final, failed(Code::Rejected, event.error.as_ref())),
        EventName::Failed => (Stage::Final, failed(Code::Failed, event.error.as_ref())),
        EventName::Cancelled => (Stage::Final, failed(Code::Cancelled, event.error.as_ref())),
        EventName::InDoubt => (Stage::Accepted, failed(Code::InDoubt, event.error.as_ref())),
        EventName::Undecided => (Stage::Accepted, failed(Code::Undecided, event.error.as_ref())),
        EventName::DuplicateDetected => return None,
    };
    Some(CommandAnswer {
        id: event.command.as_ref().map(|(id, _)| *id),
        about: Some((event.request_id, event.ticket.key)),
        stage,
        said,
    })
}

/// The latest stage of a command. `front` is the first un-ended request of the same ticket.
pub fn of_request(
    request: &Request,
    ticket: &Ticket,
    front: Option<(RequestId, State)>,
) -> CommandAnswer {
    let error = request.error.as_ref();
    let (stage, said) = match request.state {
        State::Accepted | State::Intent | State::Wait => (Stage::Accepted, waiting(request, front)),
        State::InDoubt => (Stage::Accepted, failed(Code::InDoubt, error)),
        State::Undecided => (Stage::Accepted, failed(Code::Undecided, error)),
        State::Done | State::Adopted if request.op == Op::Create => (
            Stage::Final,
            Ok(Given::Made { backend_id: ticket.backend_id.clone(), url: ticket.url.clone() }),
        ),
        State::Done | State::Adopted => {
            (Stage::Final, Ok(Given::Ticket(Box::new(TicketView::from(ticket)))))
        }
        State::Rejected => (Stage::Final, failed(Code::Rejected, error)),
        State::Failed => (Stage::Final, failed(Code::Failed, error)),
        State::Cancelled | State::Superseded => (Stage::Final, failed(Code::Cancelled, error)),
    };
    CommandAnswer { id: id_of(request), about: Some((request.id, ticket.key)), stage, said }
}

/// Behind a request that is merely on its way, a command is just accepted; behind one that backs
/// off or that nobody knows the outcome of, its sender is told so.
fn waiting(request: &Request, front: Option<(RequestId, State)>) -> Result<Given, CommandError> {
    match front {
        Some((front, State::Wait | State::InDoubt | State::Undecided)) if front != request.id => {
            Err(CommandError::of(
                &front.to_string(),
                Code::BlockedBy,
                "accepted; it waits behind a request of the same ticket",
            ))
        }
        _ => Ok(Given::Accepted),
    }
}

fn id_of(request: &Request) -> Option<CommandId> {
    match &request.made_by {
        MadeBy::Command { id, .. } => Some(*id),
        MadeBy::Level { .. } => None,
    }
}

fn failed(code: Code, error: Option<&TicketError>) -> Result<Given, CommandError> {
    let reason = error.map_or_else(|| code.as_str().to_owned(), |error| error.reason.clone());
    Err(CommandError::new(code, reason))
}
