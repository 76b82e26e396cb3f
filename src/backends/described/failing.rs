//! What the lane hears when a request of an operation came to no success.
//!
//! What always holds: until something was written, a failure is told as it is: nothing was done. After
//! that, whatever the description does not itself call a refusal is in doubt, for part of it was done. Of a
//! look only its own call says that there is nothing (rule G9).

use super::conversation::Conversation;
use super::judge::Failed;
use super::plan::{CallPlan, Operation};
use super::wire::Means;
use crate::backends::auth::SignInFailed;
use ticketgate_actors::model::TicketError;
use ticketgate_actors::ports::Answer;

/// Why a request came to no success.
pub(super) enum Broken {
    /// It could not be filled in.
    Unsayable(String),
    NotSent(String),
    Lost(String),
    SignIn(SignInFailed),
    Failed(Failed),
}
impl Conversation<'_> {
    /// What the lane hears of a request that came to no success.
    pub(super) fn told(&self, broken: Broken, reads: bool) -> Answer {
        if self.wrote {
            return in_part_done(self.operation, broken);
        }
        let is_read = self.operation.is_read();
        match broken {
            Broken::Unsayable(problem) => Answer::Refused(TicketError::because(problem)),
            Broken::NotSent(reason) | Broken::SignIn(SignInFailed::Away(reason)) => {
                Answer::NotSent(reason)
            }
            Broken::SignIn(SignInFailed::Refused(error)) => Answer::Unauthorised(error),
            // A step that only reads was lost: of the write nothing was sent.
            Broken::Lost(reason) if reads && !is_read => Answer::NotSent(reason),
            Broken::Lost(reason) => Answer::InDoubt(TicketError::because(reason)),
            Broken::Failed(failed) => self.failed(failed, reads),
        }
    }

    fn failed(&self, failed: Failed, reads: bool) -> Answer {
        let is_read = self.operation.is_read();
        let is_step = failed_in_step(&failed, &self.plan.call);
        match failed.means {
            // Of a look only its own call says that there is nothing.
            Means::Absent if is_read && is_step => Answer::InDoubt(failed.error),
            // That nothing is there does not say that nothing has changed.
            Means::Absent if self.operation == Operation::Changes => Answer::InDoubt(failed.error),
            Means::Absent if !is_read => Answer::Refused(failed.error),
            Means::InDoubt if reads && !is_read => {
                Answer::Retryable { error: failed.error, retry_after: failed.retry_after }
            }
            _ => failed.answer(),
        }
    }
}

/// Whether a failure is another call's than the operation's own.
fn failed_in_step(failed: &Failed, call: &CallPlan) -> bool {
    failed.label != call.label
}

fn in_part_done(operation: Operation, broken: Broken) -> Answer {
    let doubt = |reason: String| {
        let reason = format!("part of the {} was done, then: {reason}", operation.name());
        Answer::InDoubt(TicketError::because(reason))
    };
    match broken {
        Broken::Failed(Failed { means: Means::Refused, error, described: true, .. }) => {
            Answer::Refused(error)
        }
        Broken::Failed(failed) => {
            let reason =
                format!("part of the {} was done, then: {}", operation.name(), failed.error.reason);
            Answer::InDoubt(TicketError { reason, ..failed.error })
        }
        Broken::Unsayable(reason) | Broken::NotSent(reason) | Broken::Lost(reason) => doubt(reason),
        Broken::SignIn(SignInFailed::Away(reason)) => doubt(reason),
        Broken::SignIn(SignInFailed::Refused(error)) => doubt(error.reason),
    }
}
