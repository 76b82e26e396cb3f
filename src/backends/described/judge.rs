//! What an answer means: judged once, here, into what the lane will do.
//!
//! What always holds: only what the description names, or HTTP is clear about (429, 401, 403, other
//! 4xx), counts as not done. A redirect, a 5xx that is not described, a fault that is not described, an
//! answer that does not look like success: in doubt. Reasons never hold a body, an address or a secret;
//! a backend's own words only where a selector reads them, shortened.
//!
//! What it leaves to others: what a doubt leads to (the lane), the tickets in a success (`reading`).

use super::exchange::Answered;
use super::plan::{CallPlan, CheckPlan, FailurePlan, Plan};
use super::request;
use super::selectors::{Document, Selector};
use super::soap;
use super::variables::Variables;
use super::wire::Means;
use minijinja::value::Value as Variable;
use serde_json::Value;
use std::time::Duration;
use ticketgate_actors::model::TicketError;
use ticketgate_actors::ports::{Answer, Reading};

/// The longest text of a backend's that is kept.
const DESCRIPTION_CHARS_MAX: usize = 500;
const CODE_CHARS_MAX: usize = 100;

/// What an answer is.
#[derive(Debug)]
pub(super) enum Verdict {
    Success(Document),
    Failed(Failed),
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failed {
    /// Which call it is of.
    pub label: String,
    pub means: Means,
    pub error: TicketError,
    pub retry_after: Option<Duration>,
    /// The description names it.
    pub described: bool,
}

impl Failed {
    /// As the lane hears it.
    pub fn answer(self) -> Answer {
        let Self { means, error, retry_after, .. } = self;
        match means {
            Means::Busy => Answer::Busy { error, retry_after },
            Means::Retryable => Answer::Retryable { error, retry_after },
            Means::Refused => Answer::Refused(error),
            Means::Unauthorised => Answer::Unauthorised(error),
            Means::InDoubt => Answer::InDoubt(error),
            Means::Absent => Answer::Read(Reading::default()),
        }
    }
}

/// An answer to a call, with what is needed to judge it.
pub(super) struct Case<'a> {
    pub plan: &'a Plan,
    pub call: &'a CallPlan,
    pub variables: &'a Variables,
    /// One ticket was asked for by its id: that there is none is an answer.
    pub gets_one: bool,
}

impl Case<'_> {
    /// Judges.
    pub fn judge(&self, answered: &Answered) -> Verdict {
        let document = self.document(answered);
        let readable = document.as_ref().ok();
        let all = self.variables.as_value();
        let described = self.call.failures.iter().chain(&self.plan.failures);
        let described = described
            .filter(|failure| failure.means != Means::Absent || self.call.reads)
            .find(|failure| self.fits(failure, answered, readable, &all));
        if let Some(failure) = described {
            let error = self.error(answered, readable, "");
            let retry_after = answered.retry_after.or(failure.after);
            return self.verdict(failure.means, error, retry_after, true);
        }
        let status = answered.status;
        let is_success = match self.call.success_status.as_slice() {
            [] => (200..300).contains(&status),
            described => described.contains(&status),
        };
        let why_not = match (is_success, document) {
            (true, document) => match self.success(answered, document, &all) {
                Ok(document) => return Verdict::Success(document),
                Err((why_not, document)) => {
                    let error =
                        self.error(answered, document.as_ref(), &format!(", but {why_not}"));
                    return self.failed(answered, error);
                }
            },
            (false, document) => self.error(answered, document.as_ref().ok(), ""),
        };
        self.failed(answered, why_not)
    }

    /// A success that could not be read after all.
    pub fn unreadable(&self, answered: &Answered, document: &Document, why_not: &str) -> Failed {
        let error = self.error(answered, Some(document), &format!(", but {why_not}"));
        let label = self.call.label.clone();
        Failed { label, means: Means::InDoubt, error, retry_after: None, described: false }
    }

    fn failed(&self, answered: &Answered, error: TicketError) -> Verdict {
        // A path of SOAP is that of the service: if it is gone, so are all tickets.
        let gets_one = self.gets_one && self.plan.envelope.is_none();
        let means = match answered.status {
            429 => Means::Busy,
            401 | 403 | 407 => Means::Unauthorised,
            404 if gets_one && !answered.is_html() => Means::Absent,
            // A page that says "not found" may speak of the whole service.
            404 if self.gets_one => Means::InDoubt,
            // The server has given up on a request that it had in part, or a gateway did.
            408 => Means::InDoubt,
            400..=499 => Means::Refused,
            _ => Means::InDoubt,
        };
        self.verdict(means, error, answered.retry_after, false)
    }

    fn verdict(
        &self,
        means: Means,
        error: TicketError,
        retry_after: Option<Duration>,
        described: bool,
    ) -> Verdict {
        let label = self.call.label.clone();
        Verdict::Failed(Failed { label, means, error, retry_after, described })
    }

    /// What it says, or why that cannot be read.
    fn document(&self, answered: &Answered) -> Result<Document, String> {
        if self.plan.envelope.is_some() {
            return soap::unwrapped(&answered.body).map_err(|problem| {
                if answered.is_html() { "with an HTML page".to_owned() } else { problem }
            });
        }
        const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
        let body = &answered.body;
        let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        serde_json::from_slice(text).map(Document::Json).map_err(|_| {
            match (answered.is_html(), body.is_empty()) {
                (true, _) => "with an HTML page".to_owned(),
                (_, true) => "with nothing in it".to_owned(),
                _ => "it is no JSON".to_owned(),
            }
        })
    }

    fn fits(
        &self,
        failure: &FailurePlan,
        answered: &Answered,
        document: Option<&Document>,
        all: &Variable,
    ) -> bool {
        let has = |words: &str| String::from_utf8_lossy(&answered.body).contains(words);
        let holds = |check: &CheckPlan| document.is_some_and(|it| self.holds(check, it, all));
        (failure.status.is_empty() || failure.status.contains(&answered.status))
            && failure.words.as_deref().is_none_or(has)
            && failure.check.as_ref().is_none_or(holds)
    }

    /// Whether a check holds. Nothing found is not "none of these".
    fn holds(&self, check: &CheckPlan, document: &Document, all: &Variable) -> bool {
        if check.is.is_empty() && check.is_not.is_empty() {
            return check.select.finds(document.whole());
        }
        let found: Vec<_> =
            check.select.all(document.whole()).iter().filter_map(|f| f.text()).collect();
        let said = |templates: &[super::templates::Template]| -> Vec<String> {
            let text = |template| request::text(&self.plan.templates, template, all).ok().flatten();
            templates.iter().filter_map(text).collect()
        };
        let (is, is_not) = (said(&check.is), said(&check.is_not));
        !found.is_empty()
            && (check.is.is_empty() || found.iter().any(|text| is.contains(text)))
            && (check.is_not.is_empty() || !found.iter().any(|text| is_not.contains(text)))
    }

    /// What a success says, or why it is none.
    fn success(
        &self,
        answered: &Answered,
        document: Result<Document, String>,
        all: &Variable,
    ) -> Result<Document, (String, Option<Document>)> {
        let document = match document {
            Ok(document) => document,
            Err(problem) if self.call.reads => return Err((problem, None)),
            Err(_) if self.call.any_body => Document::Json(Value::Null),
            // In SOAP an empty answer is no envelope.
            Err(_) if answered.body.is_empty() && self.plan.envelope.is_none() => {
                Document::Json(Value::Null)
            }
            Err(problem) => return Err((problem, None)),
        };
        if soap::is_fault(&document) {
            return Err(("it is a SOAP fault".to_owned(), Some(document)));
        }
        let missing = self.call.required.iter().position(|s| !s.finds(document.whole()));
        if let Some(missing) = missing {
            return Err((format!("success.required[{missing}] finds nothing"), Some(document)));
        }
        let wrong = self.call.checks.iter().position(|check| !self.holds(check, &document, all));
        match wrong {
            Some(wrong) => Err((format!("success.checks[{wrong}] does not hold"), Some(document))),
            None => Ok(document),
        }
    }

    fn error(
        &self,
        answered: &Answered,
        document: Option<&Document>,
        why_not: &str,
    ) -> TicketError {
        let read = |selectors: &[Selector], most: usize| {
            let document = document?;
            let text = selectors.iter().find_map(|selector| selector.text(document.whole()))?;
            Some(text.chars().take(most).collect())
        };
        let redirect = match answered.status {
            300..=399 => ", a redirect, which is not followed",
            _ => "",
        };
        TicketError {
            reason: format!(
                "the backend answered the {} with {}{redirect}{why_not}",
                self.call.label, answered.status
            ),
            http_status: Some(answered.status),
            code: read(&self.plan.error_codes, CODE_CHARS_MAX),
            description: read(&self.plan.error_descriptions, DESCRIPTION_CHARS_MAX),
        }
    }
}
