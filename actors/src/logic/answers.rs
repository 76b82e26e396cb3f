//! What a command's sender is told: from a ticket event (the final answer) and from a request as it
//! stands (the latest stage), in the words of CONTRACT 1.5.

use crate::model::{
    Code, CommandAnswer, CommandError, CommandId, EventName, Given, MadeBy, Op, Request, RequestId,
    Stage, State, Ticket, TicketError, TicketEvent, TicketView,
};

/// The answer that goes with an event; none where the event says nothing about the command. Also
/// for work that an alarm made: its answer has no id and goes to the backend's route.
pub fn of_event(event: &TicketEvent) -> Option<CommandAnswer> {
    let request = event.request_id?;
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
        EventName::DuplicateDetected
        | EventName::Verified
        | EventName::Merged
        | EventName::Conflict
        | EventName::Deleted
        | EventName::Canary => return None,
    };
    Some(CommandAnswer {
        id: event.command.as_ref().map(|(id, _)| *id),
        about: Some((request, event.ticket.key)),
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
        State::Accepted | State::Intent | State::Acknowledged | State::Wait => {
            (Stage::Accepted, waiting(request, front))
        }
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
        Some((front, State::Wait | State::InDoubt | State::Undecided))
            if front != request.id && !mutant!(FrontUntold) =>
        {
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
        MadeBy::Level { .. } | MadeBy::Sync { .. } => None,
    }
}

fn failed(code: Code, error: Option<&TicketError>) -> Result<Given, CommandError> {
    let reason = error.map_or_else(|| code.as_str().to_owned(), |error| error.reason.clone());
    Err(CommandError::new(code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AlarmRef, BackendId, CorrelationKey, EventId, Fields, Kind, OccurrenceRef, Origin, Reply,
        TicketKey, TicketStatus,
    };
    use crate::testing::at;
    use uuid::Uuid;

    fn ticket() -> Ticket {
        let place = (BackendId::new("crm"), Kind::default());
        let key = CorrelationKey("tgx".into());
        let origin = Origin::Command { id: "c".into() };
        let key_of_ours = TicketKey(Uuid::from_u128(1));
        let ticket = Ticket::pending(key_of_ours, place, key, origin, "node-1", at(0));
        Ticket {
            backend_id: Some("CRM-1".into()),
            url: Some("http://crm/1".into()),
            status: TicketStatus::Acknowledged,
            sequence: 1,
            ..ticket
        }
    }

    fn request(op: Op, state: State) -> Request {
        let made_by =
            MadeBy::Command { id: CommandId(Uuid::from_u128(3)), reply: Reply::default() };
        let place = (BackendId::new("crm"), ticket().key);
        let id = RequestId(Uuid::from_u128(2));
        let request = Request::accepted(id, place, op, made_by, Fields::new(), at(0));
        Request { n: 2, state, attempts: 1, error: Some(TicketError::because("why")), ..request }
    }

    fn event(name: EventName) -> TicketEvent {
        TicketEvent {
            n: 0,
            event_id: EventId(Uuid::from_u128(4)),
            event: name,
            at: at(0),
            sequence: 1,
            request_id: Some(RequestId(Uuid::from_u128(2))),
            correlation_key: ticket().correlation_key,
            alarms: Vec::new(),
            ticket: TicketView::from(&ticket()),
            error: Some(TicketError::because("why")),
            command: Some((CommandId(Uuid::from_u128(3)), Reply::default())),
            conflicts: Vec::new(),
        }
    }

    /// The stage, and the word for what is said.
    fn gist(answer: &CommandAnswer) -> (Stage, &'static str) {
        let word = match &answer.said {
            Ok(Given::Accepted) => "accepted",
            Ok(Given::Made { .. }) => "made",
            Ok(Given::Ticket(_)) => "ticket",
            Ok(_) => "other",
            Err(error) => error.code.as_str(),
        };
        (answer.stage, word)
    }

    #[test]
    fn each_event_is_told_to_the_sender_of_its_command() {
        use EventName as E;
        for (name, expected) in [
            (E::Created, (Stage::Final, "made")),
            (E::Adopted, (Stage::Final, "made")),
            (E::Updated, (Stage::Final, "ticket")),
            (E::Closed, (Stage::Final, "ticket")),
            (E::Reopened, (Stage::Final, "ticket")),
            (E::Rejected, (Stage::Final, "rejected")),
            (E::Failed, (Stage::Final, "failed")),
            (E::Cancelled, (Stage::Final, "cancelled")),
            (E::InDoubt, (Stage::Accepted, "in_doubt")),
            (E::Undecided, (Stage::Accepted, "undecided")),
        ] {
            let answer = of_event(&event(name)).unwrap();
            assert_eq!(gist(&answer), expected, "{name:?}");
            assert_eq!(answer.id, Some(CommandId(Uuid::from_u128(3))));
            assert_eq!(answer.about, Some((RequestId(Uuid::from_u128(2)), ticket().key)));
            if let Err(error) = &answer.said {
                assert_eq!((error.message.as_str(), &error.field), ("why", &None), "{name:?}");
            }
        }
        assert_eq!(of_event(&event(E::DuplicateDetected)), None);
    }

    #[test]
    fn what_an_alarm_made_is_told_without_an_id() {
        let answer = of_event(&TicketEvent { command: None, ..event(EventName::Created) });
        assert_eq!(answer.unwrap().id, None);
        let at =
            OccurrenceRef { alarm: AlarmRef { source: "s".into(), id: "a".into() }, occurrence: 1 };
        let made_by = MadeBy::Level { at, version: 1 };
        let request = Request { made_by, ..request(Op::Create, State::Done) };
        assert_eq!(of_request(&request, &ticket(), None).id, None);
    }

    #[test]
    fn each_state_of_a_request_is_a_stage_of_its_command() {
        for (op, state, expected) in [
            (Op::Create, State::Accepted, (Stage::Accepted, "accepted")),
            (Op::Create, State::Intent, (Stage::Accepted, "accepted")),
            (Op::Create, State::Wait, (Stage::Accepted, "accepted")),
            (Op::Create, State::InDoubt, (Stage::Accepted, "in_doubt")),
            (Op::Create, State::Undecided, (Stage::Accepted, "undecided")),
            (Op::Create, State::Done, (Stage::Final, "made")),
            (Op::Create, State::Adopted, (Stage::Final, "made")),
            (Op::Update, State::Done, (Stage::Final, "ticket")),
            (Op::Close, State::Adopted, (Stage::Final, "ticket")),
            (Op::Close, State::Rejected, (Stage::Final, "rejected")),
            (Op::Update, State::Failed, (Stage::Final, "failed")),
            (Op::Create, State::Cancelled, (Stage::Final, "cancelled")),
            (Op::Update, State::Superseded, (Stage::Final, "cancelled")),
        ] {
            let request = request(op, state);
            let myself = Some((request.id, state));
            let answer = of_request(&request, &ticket(), myself);
            assert_eq!(gist(&answer), expected, "{op:?} {state:?}");
            assert_eq!(answer.about, Some((request.id, request.ticket)));
        }
    }

    #[test]
    fn behind_a_request_whose_end_is_open_a_command_is_told_what_blocks_it() {
        let front = RequestId(Uuid::from_u128(9));
        for (state, blocks) in [
            (State::Accepted, false),
            (State::Intent, false),
            (State::Wait, true),
            (State::InDoubt, true),
            (State::Undecided, true),
        ] {
            let request = request(Op::Update, State::Accepted);
            let answer = of_request(&request, &ticket(), Some((front, state)));
            let expected = if blocks { "blocked_by" } else { "accepted" };
            assert_eq!(gist(&answer), (Stage::Accepted, expected), "{state:?}");
            if let Err(error) = answer.said {
                assert_eq!(error.field, Some(front.to_string()));
            }
        }
    }
}
