//! What an answer means: judged once, here, into what the lane will do.
//!
//! What always holds: only what the description names, or HTTP is clear about (429, 401, 403, other
//! 4xx), counts as not done. A redirect, a 5xx that is not described, an answer that does not look
//! like success: in doubt. Reasons never hold a body, an address or a secret; a backend's own words
//! only where a selector reads them, shortened.
//!
//! What it leaves to others: what a doubt leads to (the lane).

use super::exchange::Answered;
use super::plan::{CallPlan, Operation, Plan};
use super::selectors::Selector;
use super::wire::{FailureDescription, Means};
use serde_json::Value;
use ticketgate_actors::model::TicketError;
use ticketgate_actors::ports::{Answer, Reading, Work};

/// The longest text of a backend's that is kept.
const DESCRIPTION_CHARS_MAX: usize = 500;
const CODE_CHARS_MAX: usize = 100;

/// An answer to a call, with what is needed to judge it.
pub(super) struct Case<'a> {
    pub plan: &'a Plan,
    pub call: &'a CallPlan,
    pub work: &'a Work,
    pub operation: Operation,
}

impl Case<'_> {
    /// Judges.
    pub fn judge(&self, answered: &Answered) -> Answer {
        let document = json(&answered.body);
        if let Some(means) = self.described(answered) {
            return self.meant(means, answered, document.as_ref());
        }
        let status = answered.status;
        let is_success = match self.call.success_status.as_slice() {
            [] => (200..300).contains(&status),
            described => described.contains(&status),
        };
        let why_not = match is_success.then(|| self.success(answered, document.as_ref())) {
            Some(Ok(answer)) => return answer,
            Some(Err(why_not)) => format!(", but {why_not}"),
            None => String::new(),
        };
        let means = match status {
            429 => Means::Busy,
            401 | 403 | 407 => Means::Unauthorised,
            404 if self.operation == Operation::Get && !answered.html => Means::Absent,
            // A page that says "not found" may speak of the whole service.
            404 if self.operation == Operation::Get => Means::InDoubt,
            // The server has given up on a request that it had in part, or a gateway did.
            408 => Means::InDoubt,
            400..=499 => Means::Refused,
            _ => Means::InDoubt,
        };
        self.with_error(means, answered, self.error(answered, document.as_ref(), &why_not))
    }

    fn described(&self, answered: &Answered) -> Option<Means> {
        let body = String::from_utf8_lossy(&answered.body);
        let fits = |failure: &&FailureDescription| {
            let status = failure.status.is_empty() || failure.status.contains(&answered.status);
            let words = failure.when_body_contains.as_deref();
            status && words.is_none_or(|words| body.contains(words))
        };
        let described = self.call.failures.iter().chain(&self.plan.failures);
        described
            .filter(|failure| failure.means != Means::Absent || self.operation.is_read())
            .find(fits)
            .map(|failure| failure.means)
    }

    fn meant(&self, means: Means, answered: &Answered, document: Option<&Value>) -> Answer {
        self.with_error(means, answered, self.error(answered, document, ""))
    }

    fn with_error(&self, means: Means, answered: &Answered, error: TicketError) -> Answer {
        let retry_after = answered.retry_after;
        match means {
            Means::Busy => Answer::Busy { error, retry_after },
            Means::Retryable => Answer::Retryable { error, retry_after },
            Means::Refused => Answer::Refused(error),
            Means::Unauthorised => Answer::Unauthorised(error),
            Means::InDoubt => Answer::InDoubt(error),
            Means::Absent => Answer::Read(Reading { tickets: Vec::new(), more: false }),
        }
    }

    /// What a success shows, or why it is none.
    fn success(&self, answered: &Answered, document: Option<&Value>) -> Result<Answer, String> {
        let nothing = Value::Null;
        let document = match document {
            Some(document) => document,
            None if self.operation.is_read() => return Err(not_json(answered)),
            None if answered.body.is_empty() || self.call.any_body => &nothing,
            None => return Err(not_json(answered)),
        };
        if let Some(missing) = self.call.json_required.iter().position(|s| !s.finds(document)) {
            return Err(format!("success.json_required.{missing} finds nothing"));
        }
        let read = &self.call.read;
        let statuses = &self.plan.statuses;
        let shown = read.id(document);
        let known = match self.work {
            Work::Search { limit, .. } => {
                return Ok(Answer::Read(read.hits(document, *limit, statuses)?));
            }
            Work::Create { ticket, .. } if read.id.is_none() => Some(ticket.key.to_string()),
            Work::Create { .. } => None,
            Work::Get { backend_id, .. } => {
                if read.id.is_some() && shown.is_none() {
                    return Err("the ticket's id is not in it".to_owned());
                }
                Some(backend_id.clone())
            }
            Work::Update { ticket, .. }
            | Work::Close { ticket, .. }
            | Work::Reopen { ticket, .. } => ticket.backend_id.clone(),
        };
        let id = known.or(shown).ok_or("the ticket's id is not in it")?;
        let found = read.ticket(id, document, statuses);
        Ok(if self.operation == Operation::Get {
            Answer::Read(Reading { tickets: vec![found], more: false })
        } else {
            Answer::Done(found)
        })
    }

    fn error(&self, answered: &Answered, document: Option<&Value>, why_not: &str) -> TicketError {
        let read = |selector: &Option<Selector>, most: usize| {
            let text = selector.as_ref()?.text(document?)?;
            Some(text.chars().take(most).collect())
        };
        let redirect = match answered.status {
            300..=399 => ", a redirect, which is not followed",
            _ => "",
        };
        TicketError {
            reason: format!(
                "the backend answered the {} with {}{redirect}{why_not}",
                self.operation.name(),
                answered.status
            ),
            http_status: Some(answered.status),
            code: read(&self.plan.error_code, CODE_CHARS_MAX),
            description: read(&self.plan.error_description, DESCRIPTION_CHARS_MAX),
        }
    }
}

fn json(body: &[u8]) -> Option<Value> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    serde_json::from_slice(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)).ok()
}

fn not_json(answered: &Answered) -> String {
    match (answered.html, answered.body.is_empty()) {
        (true, _) => "with an HTML page".to_owned(),
        (_, true) => "with nothing in it".to_owned(),
        _ => "it is no JSON".to_owned(),
    }
}
