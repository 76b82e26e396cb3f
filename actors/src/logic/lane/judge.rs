//! The table of doubt: what an answer, or a look, means for its request.

use super::gate::{ASKED_PAUSE_MAX, Health};
use super::settings::{Capability, LaneSettings};
use super::shows::{Shows, shows};
use crate::changes::End;
use crate::model::{Found, Moment, Op, Request, Ticket, TicketError};
use crate::ports::{Answer, Reading, SearchBy, TicketTarget, Work};
use std::time::Duration;

/// The least pause between two looks, where the backend's index has no lag.
const LOOKS_APART_AT_LEAST: Duration = Duration::from_secs(1);
/// A look that is not answered is repeated; after so many a person must say. Those that are made
/// while nothing is answered say little of their ticket, and there may be twelve for one of others.
pub(super) const UNANSWERED_LOOKS_MAX: u32 = 5;
const PROBES_FOR_A_LOOK: u32 = 12;

/// What an unanswered look costs of a doubt's patience, and what that is.
pub(super) fn impatience(probe: bool) -> (u32, u32) {
    let cost = if probe { 1 } else { PROBES_FOR_A_LOOK };
    (cost, UNANSWERED_LOOKS_MAX * PROBES_FOR_A_LOOK)
}

/// What an answer to a write means.
#[derive(Debug, PartialEq)]
pub(super) enum Judged {
    /// It goes on, or ends.
    End(End),
    /// Our credentials were refused: the lane pauses.
    Pause(End, TicketError),
}

/// What an answer says of its backend: its health, a reason if it is bad, and the pause that it
/// asked for.
pub(super) fn health(answer: &Answer) -> (Health, &str, Option<Duration>) {
    match answer {
        // Credentials that are refused pause the lane; the breaker has no say in it.
        Answer::Done(_)
        | Answer::Acknowledged { .. }
        | Answer::Read(_)
        | Answer::Refused(_)
        | Answer::Unauthorised(_) => (Health::Works, "", None),
        Answer::NotSent(reason) => (Health::Away, reason, None),
        Answer::Busy { error, retry_after } => (Health::Busy, &error.reason, *retry_after),
        // Its pause is the request's own.
        Answer::Retryable { error, .. } | Answer::InDoubt(error) => {
            (Health::Fails, &error.reason, None)
        }
    }
}

/// Judges the answer to a write. `probe`: it was called though everything failed before, which
/// costs no attempt.
pub(super) fn answer(
    settings: &LaneSettings,
    request: &Request,
    answer: Answer,
    probe: bool,
    now: Moment,
    chance: f64,
) -> Judged {
    let wall = now.wall;
    let taken = matches!(answer, Answer::Done(_) | Answer::Acknowledged { .. });
    if request.doubt.is_some() && !taken {
        return answer_in_doubt(settings, request, answer, now, chance);
    }
    // It keeps its place in line: nothing was done of it, and when it may go says the gate.
    let ready_at = request.ready_at.min(wall);
    let again = |error: TicketError| End::Wait { ready_at, counted: false, error };
    match answer {
        Answer::Done(found) => Judged::End(End::Done(found)),
        Answer::Acknowledged { backend_ref } => Judged::End(End::Acknowledged { backend_ref }),
        Answer::Refused(error) => Judged::End(End::Rejected(error)),
        Answer::NotSent(reason) => Judged::End(again(TicketError::because(reason))),
        Answer::Busy { error, .. } => Judged::End(again(error)),
        Answer::Unauthorised(error) => Judged::Pause(again(error.clone()), error),
        Answer::Retryable { error, .. }
            if request.refusals >= settings.retries && !probe && !mutant!(RetriesForEver) =>
        {
            Judged::End(End::Failed(error))
        }
        Answer::Retryable { error, retry_after } => {
            let own = settings.pause_after(request.refusals + 1, chance);
            let pause = retry_after.unwrap_or(own).min(ASKED_PAUSE_MAX);
            Judged::End(End::Wait { ready_at: wall.plus(pause), counted: !probe, error })
        }
        Answer::InDoubt(error) if mutant!(DoubtIsWait) => Judged::End(again(error)),
        Answer::InDoubt(_) if mutant!(DoubtIsDone) && request.op != Op::Create => {
            Judged::End(End::Done(Found::default()))
        }
        Answer::InDoubt(error) => Judged::End(doubt(settings, request, error, now, chance)),
        Answer::Read(_) => Judged::End(doubt(
            settings,
            request,
            TicketError::because("the adapter answered a write as if it were a read"),
            now,
            chance,
        )),
    }
}

/// The answer to a create that was sent again by its key, while an earlier call may have been done:
/// whatever is said of this call says nothing of that one. It stays in doubt, so that the key's
/// age is looked at before every call; a no is for a person.
fn answer_in_doubt(
    settings: &LaneSettings,
    request: &Request,
    answer: Answer,
    now: Moment,
    chance: f64,
) -> Judged {
    let still = |error| doubt(settings, request, error, now, chance);
    match answer {
        Answer::NotSent(reason) => Judged::End(still(TicketError::because(reason))),
        Answer::Busy { error, .. } => Judged::End(still(error)),
        Answer::Unauthorised(error) => Judged::Pause(still(error.clone()), error),
        Answer::Refused(error) => Judged::End(End::Undecided(TicketError {
            reason: format!("refused, but an earlier call may have been done: {}", error.reason),
            ..error
        })),
        Answer::Retryable { error, retry_after } => {
            Judged::End(match (still(error), retry_after) {
                (End::InDoubt { look_at, error }, Some(span)) => {
                    let asked = now.wall.plus(span.min(ASKED_PAUSE_MAX));
                    End::InDoubt { look_at: look_at.max(asked), error }
                }
                (end, _) => end,
            })
        }
        Answer::InDoubt(error) => Judged::End(still(error)),
        Answer::Done(_) | Answer::Acknowledged { .. } | Answer::Read(_) => Judged::End(still(
            TicketError::because("the adapter answered a write as if it were a read"),
        )),
    }
}

/// What becomes of an acknowledged write whose later answer did not come in time.
pub(super) fn unconfirmed(
    settings: &LaneSettings,
    request: &Request,
    now: Moment,
    chance: f64,
) -> End {
    let error = TicketError::because(format!(
        "the backend took it and did not say within {} s what became of it (confirm_within)",
        settings.confirm_within.as_secs()
    ));
    doubt(settings, request, error, now, chance)
}

fn doubt(
    settings: &LaneSettings,
    request: &Request,
    error: TicketError,
    now: Moment,
    chance: f64,
) -> End {
    if can_be_found_out(settings, request.op) {
        let pause = match (request.op, settings.capability) {
            (Op::Create, Capability::IdempotencyKey) => {
                settings.pause_after(request.attempts, chance)
            }
            _ => settings.settle(),
        };
        return End::InDoubt { look_at: now.wall.plus(pause), error };
    }
    if settings.retry_may_duplicate {
        let pause = settings.pause_after(request.refusals + 1, chance);
        if request.refusals >= settings.retries {
            return End::Failed(error);
        }
        return End::Wait { ready_at: now.wall.plus(pause), counted: true, error };
    }
    End::Undecided(error)
}

pub(super) fn can_be_found_out(settings: &LaneSettings, op: Op) -> bool {
    match op {
        _ if settings.capability == Capability::Partner => true,
        Op::Create => settings.capability != Capability::None,
        Op::Update | Op::Close | Op::Reopen => settings.readable,
    }
}

/// What to do about a doubt that has settled.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// Ask the backend.
    Ask(Work),
    /// Send it again: the backend recognizes the key.
    SendAgain,
    /// It cannot be found out.
    Undecided(TicketError),
}

/// A create that may be done already is about to be sent again by its key. Does its backend know
/// that key no more? To be asked again when the intent is stored, which may have taken its time.
pub(super) fn key_forgotten(
    settings: &LaneSettings,
    request: &Request,
    now: Moment,
) -> Option<TicketError> {
    let known = request.doubt.is_none() || knows_key(settings, request, now);
    let reason = "the backend no longer remembers the idempotency key (key_ttl)";
    (!known && !mutant!(KeyForEver)).then(|| TicketError::because(reason))
}

/// Should a call of it now be in doubt, could it be ended by its key? True where keys have no say in it.
pub(super) fn knows_key(settings: &LaneSettings, request: &Request, now: Moment) -> bool {
    let by_key = settings.capability == Capability::IdempotencyKey && request.op == Op::Create;
    // The last moment at which the backend may come to do it, not that of the first byte.
    let done_by = settings.send_within + settings.done_within();
    // What is done again for a person has an id, and an age, of its own: the calls before it had others.
    let known = now.wall.since(request.accepted_at) + done_by < settings.key_ttl
        && request.retry_of.is_none();
    !by_key || known
}

/// How a settled doubt is looked at.
pub(super) fn look(
    settings: &LaneSettings,
    request: &Request,
    ticket: &Ticket,
    now: Moment,
) -> Look {
    if settings.capability == Capability::Partner {
        return Look::SendAgain;
    }
    if request.op != Op::Create {
        return match &ticket.backend_id {
            Some(id) if settings.readable => {
                Look::Ask(Work::Get { backend_id: id.clone(), kind: ticket.kind })
            }
            Some(_) => Look::Undecided(TicketError::because("the ticket cannot be read back")),
            // Nothing can have been sent: it is found out again that its create made no ticket.
            None => Look::SendAgain,
        };
    }
    match settings.capability {
        Capability::IdempotencyKey => {
            key_forgotten(settings, request, now).map_or(Look::SendAgain, Look::Undecided)
        }
        Capability::Partner => Look::SendAgain,
        Capability::ClientId => {
            Look::Ask(Work::Get { backend_id: ticket.key.to_string(), kind: ticket.kind })
        }
        Capability::Searchable => Look::Ask(Work::Search {
            by: SearchBy::CorrelationKey(ticket.correlation_key.clone()),
            kind: ticket.kind,
            limit: 2,
        }),
        Capability::None => Look::Undecided(TicketError::because("the backend cannot be searched")),
    }
}

/// What a look means.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// It goes on, or ends.
    End(End),
    /// It is not there: send it again.
    SendAgain,
    /// The backend is away or busy, and why: the lane holds, and looks again.
    Away(String),
    /// The look was sent and not answered: look again, a few times.
    Unanswered(TicketError),
    /// Our credentials were refused: the lane pauses.
    Pause(TicketError),
}

/// Judges the answer to a look. A failed or ambiguous look never reads as "absent" (rule G9).
pub(super) fn seen(
    settings: &LaneSettings,
    request: &Request,
    ticket: &Ticket,
    answer: Answer,
    now: Moment,
) -> Seen {
    match answer {
        Answer::InDoubt(_) | Answer::Retryable { .. } if mutant!(FailedLookIsAbsent) => {
            let nothing = Reading::default();
            seen_create(settings, request, ticket, nothing, now)
        }
        Answer::Read(reading) if request.op == Op::Create => {
            seen_create(settings, request, ticket, reading, now)
        }
        Answer::Read(reading) => seen_write(request, ticket, reading),
        Answer::NotSent(reason) => Seen::Away(reason),
        Answer::Busy { error, .. } => Seen::Away(error.reason),
        Answer::Retryable { error, .. } | Answer::InDoubt(error) => Seen::Unanswered(error),
        Answer::Unauthorised(error) => Seen::Pause(error),
        Answer::Refused(error) => Seen::End(End::Undecided(TicketError {
            reason: format!("the look was refused: {}", error.reason),
            ..error
        })),
        Answer::Done(_) | Answer::Acknowledged { .. } => Seen::End(End::Undecided(
            TicketError::because("the adapter answered a look as if it were a write"),
        )),
    }
}

fn seen_create(
    settings: &LaneSettings,
    request: &Request,
    ticket: &Ticket,
    reading: Reading,
    now: Moment,
) -> Seen {
    let undecided = |reason: String| Seen::End(End::Undecided(TicketError::because(reason)));
    let stranger = |found: &Found| {
        found.correlation_key.as_ref().is_some_and(|key| *key != ticket.correlation_key.0)
    };
    if reading.tickets.iter().any(stranger) {
        return undecided("the look found tickets with another key: the search lies".to_owned());
    }
    match reading.tickets.len() {
        1 if !reading.more => {
            let found = reading.tickets.into_iter().next().expect("one ticket was counted");
            Seen::End(End::Adopted(found))
        }
        0 if !reading.more || mutant!(MoreIsAbsent) => {
            let looks_before = request.doubt.as_ref().map_or(0, |doubt| doubt.absent_looks);
            if looks_before >= 1 || mutant!(LookOnce) {
                return Seen::SendAgain;
            }
            let apart = settings.index_lag.max(LOOKS_APART_AT_LEAST);
            Seen::End(End::AbsentOnce { look_at: now.wall.plus(apart) })
        }
        _ => undecided(format!(
            "{} tickets or more carry the key {}",
            reading.tickets.len(),
            ticket.correlation_key
        )),
    }
}

fn seen_write(request: &Request, ticket: &Ticket, reading: Reading) -> Seen {
    let mut tickets = reading.tickets.into_iter();
    let (Some(found), None) = (tickets.next(), tickets.next()) else {
        return Seen::End(End::Undecided(TicketError::because(
            "the backend no longer shows the ticket",
        )));
    };
    match shows(request, ticket, &found) {
        Shows::Done => Seen::End(End::Done(found)),
        Shows::Otherwise(_) | Shows::Nothing => Seen::SendAgain,
    }
}

/// Tickets of one key that a sweep asks for: enough to name them all, should something be wrong.
const SWEEP_LIMIT: u32 = 16;

/// The sweep's look at a ticket.
pub(super) fn sweep(ticket: &Ticket) -> Work {
    Work::Search {
        by: SearchBy::CorrelationKey(ticket.correlation_key.clone()),
        kind: ticket.kind,
        limit: SWEEP_LIMIT,
    }
}

/// Backend ids of the tickets that carry a ticket's key; one that shows another key does not.
pub(super) fn carriers(ticket: &Ticket, reading: Reading) -> Vec<String> {
    let ours = |found: &Found| {
        found.correlation_key.as_ref().is_none_or(|key| *key == ticket.correlation_key.0)
    };
    reading.tickets.into_iter().filter(ours).map(|found| found.backend_id).collect()
}

/// The call that a request stands for.
pub(super) fn work(request: &Request, ticket: &Ticket) -> Work {
    let target = TicketTarget {
        key: ticket.key,
        correlation_key: ticket.correlation_key.clone(),
        kind: ticket.kind,
        backend_id: ticket.backend_id.clone(),
    };
    let fields = request.fields.clone();
    match request.op {
        Op::Create => Work::Create { ticket: target, fields },
        Op::Update => Work::Update { ticket: target, fields },
        Op::Close => Work::Close { ticket: target, fields },
        Op::Reopen => Work::Reopen { ticket: target, fields },
    }
}
