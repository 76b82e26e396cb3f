//! What a sender is told of what was not done (CONTRACT 1.5).

use crate::changes::Refusal;
use crate::model::{Code, CommandError};
use crate::ports::{Answer, StoreError};

pub(super) fn replaced() -> CommandError {
    CommandError::new(Code::Busy, "the service is starting over: try again")
}

pub(super) fn unreadable(error: StoreError) -> CommandError {
    CommandError::new(Code::Busy, format!("the store cannot be read: {error}"))
}

pub(super) fn refused(refusal: Refusal) -> CommandError {
    let (code, field) = match refusal {
        Refusal::LockLost => (Code::LockLost, Some("lock")),
        Refusal::IdReused => (Code::IdReused, Some("id")),
        Refusal::NotFound | Refusal::NeverMade => (Code::NotFound, Some("key")),
        Refusal::UnknownAlarm => (Code::NotFound, Some("alarm")),
        Refusal::HasTicket => (Code::Invalid, Some("alarm")),
        Refusal::Full => (Code::Busy, Some("backend")),
        Refusal::NoSnapshot
        | Refusal::StaleVersion
        | Refusal::StaleEpoch
        | Refusal::WrongState
        | Refusal::NoBackendId
        | Refusal::AnotherTicket
        | Refusal::NotLinked
        | Refusal::UnderWay
        | Refusal::Closed
        | Refusal::BeingClosed
        | Refusal::Astray
        | Refusal::AlreadyPaused
        | Refusal::AlreadyHeld
        | Refusal::NotHeld
        | Refusal::TooManyHeld
        | Refusal::AlreadyRetried
        | Refusal::MovedOn
        | Refusal::Conflict => (Code::Busy, None),
    };
    CommandError { code, message: refusal.to_string(), field: field.map(str::to_owned) }
}

pub(super) fn not_read(answer: Answer) -> CommandError {
    match answer {
        Answer::Busy { error, .. } | Answer::Retryable { error, .. } => {
            CommandError::new(Code::Busy, error.reason)
        }
        Answer::Refused(error) => CommandError::new(Code::Rejected, error.reason),
        Answer::Unauthorised(error) => CommandError::new(
            Code::Failed,
            format!("the backend refuses our credentials: {}", error.reason),
        ),
        Answer::InDoubt(error) => CommandError::new(Code::Failed, error.reason),
        Answer::NotSent(reason) => CommandError::new(Code::Timeout, reason),
        Answer::Done(_) | Answer::Acknowledged { .. } | Answer::Read(_) => {
            CommandError::new(Code::Failed, "the backend's answer is no list of tickets")
        }
    }
}
