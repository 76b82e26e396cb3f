//! Is a person's answer to a doubt borne out by the backend?
//!
//! What always holds: what the backend contradicts, or could be asked and does not answer, is written down
//! only where the person insists; and no answer gives a ticket another number than it has.

use super::Face;
use super::looked::{self, Looked};
use super::problem::Problem;
use ticketgate_actors::changes::PersonSays;
use ticketgate_actors::logic::lane::{Capability, Shows, shows};
use ticketgate_actors::model::{Found, Op, Origin, Request, STATUS, State, Ticket};

/// Why it cannot be settled now, and when it can be.
pub(super) fn not_undecided(face: &Face, row: &Request) -> Problem {
    let state = row.state.as_str();
    Problem::conflict(match (&row.doubt, row.state) {
        (Some(doubt), State::InDoubt) => format!(
            "the request is in doubt, and Ticketgate is finding out what became of it: it is looked at \
             again from {} on. A person is asked only when that cannot be found out; what is said before \
             could be overtaken by what was sent{}",
            doubt.look_at,
            looked::stands(face, &row.backend).map(|why| format!("; {why}")).unwrap_or_default()
        ),
        _ => format!("the request is not undecided: it is {state}"),
    })
}

/// What the backend shows of a person's answer.
pub(super) enum Shown {
    /// It bears it out, or nobody could ask; the ticket, where it showed one.
    Yes(Option<Box<Found>>),
    /// It does not, or did not answer, and why.
    No(String),
}

/// Asks the backend.
///
/// # Errors
/// The answer fits no request of that kind, or another ticket has that number.
pub(super) async fn borne_out(
    face: &Face,
    row: &Request,
    says: &PersonSays,
) -> Result<Shown, Problem> {
    let ticket = face.cast.outside.reads.ticket(row.ticket).await?;
    let ticket = ticket.ok_or_else(|| Problem::not_found("its ticket is not here any more"))?;
    let (op, backend) = (row.op.as_str(), &row.backend);
    match (says, row.op) {
        (PersonSays::Drop, _) => Ok(Shown::Yes(None)),
        (PersonSays::Absent, Op::Create) => not_there(face, row, &ticket).await,
        // What sets fields to what they are already changes nothing.
        (PersonSays::Absent, _) => Ok(Shown::Yes(None)),
        (PersonSays::Found(theirs), Op::Create) => {
            free(face, &ticket, theirs).await?;
            if let Some(why) = elsewhere(face, row).await? {
                return Ok(Shown::No(why));
            }
            Ok(match looked::at(face, backend, theirs, ticket.kind).await {
                Looked::There(found) => {
                    match looked::foreign(&found, Some(&ticket.correlation_key)) {
                        Some(key) => Shown::No(format!(
                            "{backend}'s ticket {theirs} carries the key {key}, and this request's is \
                             {}: it was made for something else",
                            ticket.correlation_key
                        )),
                        None => Shown::Yes(Some(found)),
                    }
                }
                Looked::NotThere => Shown::No(format!("{backend} has no ticket {theirs}")),
                Looked::Unknown(why) => Shown::No(format!(
                    "{backend} could not be asked whether it has a ticket {theirs}: {why}"
                )),
            })
        }
        (PersonSays::Done, Op::Create) => {
            let detail = "of a create say found, with the ticket's backend_id";
            Err(Problem::field("says", detail))
        }
        (PersonSays::Found(theirs), _) if ticket.backend_id.as_ref() != Some(theirs) => {
            let own = ticket.backend_id.as_deref().unwrap_or("not made yet");
            let detail = format!(
                "this {op} is about {own}, and no answer makes it another ticket: say done, absent or \
                 drop. If its alarm belongs to {theirs}, settle this first and then link the alarm"
            );
            Err(Problem::conflict(detail))
        }
        (PersonSays::Found(_) | PersonSays::Done, _) => was_done(face, row, &ticket).await,
    }
}

/// Was it sent for another service than the one that a look would ask?
async fn elsewhere(face: &Face, row: &Request) -> Result<Option<String>, Problem> {
    let table = face.cast.outside.reads.services(row.backend.clone()).await?;
    let selected = table.map(|table| table.selected);
    Ok((selected != row.service).then(|| {
        format!(
            "{} could not be asked: the request went to {}, and {} is selected now",
            row.backend,
            row.service.as_deref().unwrap_or("its own address"),
            selected.as_deref().unwrap_or("its own address")
        )
    }))
}

/// Another ticket here must not have that number.
async fn free(face: &Face, ticket: &Ticket, theirs: &str) -> Result<(), Problem> {
    let reads = &face.cast.outside.reads;
    let other = reads.ticket_by_backend_id(ticket.backend.clone(), theirs.to_owned()).await?;
    let Some(other) = other.filter(|other| other.key != ticket.key) else { return Ok(()) };
    let alarm = match &other.origin {
        Origin::Alarm { at, .. } | Origin::Group { first: at, .. } => Some(&at.alarm),
        Origin::Command { .. } | Origin::Sync { .. } => None,
    };
    Err(Problem::conflict(looked::taken(theirs, &other, alarm)))
}

/// A create is sent again: is there really no ticket of its key? Of a backend that cannot be searched
/// only the person knows.
async fn not_there(face: &Face, row: &Request, ticket: &Ticket) -> Result<Shown, Problem> {
    let backend = &row.backend;
    let seat = face.cast.outside.backends.get(backend);
    let by_our_id = seat.is_some_and(|seat| seat.settings.capability == Capability::ClientId);
    let key = &ticket.correlation_key;
    let found = match by_our_id {
        true => {
            let theirs = ticket.key.to_string();
            match looked::at(face, backend, &theirs, ticket.kind).await {
                Looked::There(found) => Some(Ok(vec![found.backend_id])),
                Looked::NotThere => Some(Ok(Vec::new())),
                Looked::Unknown(why) => Some(Err(why)),
            }
        }
        false => looked::with_key(face, backend, key, ticket.kind).await,
    };
    if let (Some(_), Some(why)) = (&found, elsewhere(face, row).await?) {
        return Ok(Shown::No(why));
    }
    Ok(match found {
        None => Shown::Yes(None),
        Some(Ok(tickets)) if tickets.is_empty() => Shown::Yes(None),
        Some(Ok(tickets)) => Shown::No(format!(
            "{backend} has {} with the key of this request: that is its ticket, and there would be two",
            tickets.join(" and ")
        )),
        Some(Err(why)) => Shown::No(format!(
            "{backend} could not be asked whether it has a ticket with the key {key}: {why}"
        )),
    })
}

/// Does the ticket look as this write wanted it?
async fn was_done(face: &Face, row: &Request, ticket: &Ticket) -> Result<Shown, Problem> {
    let (backend, op) = (&row.backend, row.op.as_str());
    let Some(theirs) = &ticket.backend_id else {
        return Ok(Shown::No(format!("{backend} has given the ticket no number yet")));
    };
    if let Some(why) = elsewhere(face, row).await? {
        return Ok(Shown::No(why));
    }
    let unknown =
        |why| Shown::No(format!("{backend} could not be asked whether the {op} was done: {why}"));
    Ok(match looked::at(face, backend, theirs, ticket.kind).await {
        Looked::There(found) => match shows(row, ticket, &found) {
            Shows::Done => Shown::Yes(Some(found)),
            // A person may have closed it there, without the texts that ours would have had.
            Shows::Otherwise(fields)
                if matches!(row.op, Op::Close | Op::Reopen)
                    && !fields.iter().any(|name| name == STATUS) =>
            {
                Shown::Yes(Some(found))
            }
            Shows::Otherwise(fields) => Shown::No(format!(
                "the {op} of {theirs} was not done at {backend}: it shows another {}",
                fields.join(", ")
            )),
            Shows::Nothing => {
                unknown("it shows none of the fields that this would have changed".to_owned())
            }
        },
        Looked::NotThere => Shown::No(format!("{backend} has no ticket {theirs} any more")),
        Looked::Unknown(why) => unknown(why),
    })
}
