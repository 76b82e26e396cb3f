//! Ticketing systems that speak JSON over HTTP, as their description says.
//!
//! What always holds: one call of the port is at most one request. The way of a call: the
//! description was compiled once (`plan`); the call's values (`variables`) are filled in
//! (`request`), sent (`exchange`), and the answer is judged (`judge`).
//!
//! What it leaves to others: order, retries and doubt (the lane).

mod body;
mod compiler;
mod exchange;
mod judge;
mod plan;
mod reading;
mod request;
mod selectors;
mod templates;
#[cfg(test)]
mod tests;
mod variables;
pub mod wire;

use super::connection;
use super::description::{Description, DescriptionError, Wire};
use exchange::{Exchange, Limits, exchange};
use judge::Case;
use plan::{Operation, Plan};
use reqwest::{Client, Url};
use std::error::Error;
use std::sync::Arc;
use ticketgate_actors::model::TicketError;
use ticketgate_actors::ports::{Answer, Backend, Call, Clock, Heard, Soon};
use variables::Variables;

/// The longest text about a failed connection.
const CAUSES_CHARS_MAX: usize = 300;

/// A ticketing system that speaks JSON over HTTP.
pub struct RestBackend(Arc<Inner>);

struct Inner {
    base: Url,
    plan: Plan,
    client: Client,
    answer_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl RestBackend {
    /// Compiles a description and makes its client. Opens no connection.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn new(
        description: &Description,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<DescriptionError>> {
        let Wire::Rest(rest) = &description.wire;
        let connection = &description.connection;
        let one = |key: &str, problem| vec![DescriptionError::new(description.key(key), problem)];
        let plan = Plan::of(description, rest)?;
        let base = connection::base_url(&connection.base_url)
            .map_err(|problem| one("base_url", problem))?;
        if let Some(credential) = &plan.credential {
            credential.check().map_err(|problem| one("auth", problem))?;
        }
        let client = connection::client(description).map_err(|error| vec![error])?;
        let answer_bytes = connection.max_answer.0;
        Ok(Self(Arc::new(Inner { base, plan, client, answer_bytes, clock })))
    }
}

impl Backend for RestBackend {
    fn call(&self, call: Call) -> Soon<Heard> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.call(call).await })
    }
}

impl Inner {
    async fn call(&self, call: Call) -> Heard {
        let operation = Operation::of(&call.work);
        let refused = |reason: String| Heard::from(Answer::Refused(TicketError::because(reason)));
        let Some(plan) = self.plan.calls.get(&operation) else {
            return refused(format!("this backend's description has no {}", operation.name()));
        };
        let variables = Variables::of(&call);
        let filled = request::request(&self.client, &self.base, &self.plan, plan, &variables);
        let mut request = match filled {
            Ok(request) => request,
            Err(problem) => return refused(format!("{}.{problem}", operation.name())),
        };
        if let Some(credential) = &self.plan.credential {
            request = match credential.put_into(request).await {
                Ok(request) => request,
                Err(problem) => return Answer::NotSent(problem).into(),
            };
        }
        let request = match request.build() {
            Ok(request) => request,
            Err(error) => return refused(format!("no request: {}", causes(&error))),
        };
        let limits = Limits {
            send_by: call.send_by,
            timeout: call.timeout,
            answer_bytes: self.answer_bytes,
        };
        match exchange(&self.client, request, &limits, &*self.clock).await {
            Exchange::NotSent(reason) => Answer::NotSent(reason).into(),
            Exchange::Lost(reason) => Answer::InDoubt(TicketError::because(reason)).into(),
            Exchange::Answered(answered) => {
                let case = Case { plan: &self.plan, call: plan, work: &call.work, operation };
                Heard { answer: case.judge(&answered), quiet: answered.quiet }
            }
        }
    }
}

/// Everything that is wrong with a description, as far as it can be told without opening files.
pub(super) fn check(description: &Description) -> Vec<DescriptionError> {
    let Wire::Rest(rest) = &description.wire;
    Plan::of(description, rest).err().unwrap_or_default()
}

/// Why a connection or request failed. Not what reqwest itself says: that holds the address with
/// its query.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat what they are caused by.
        if !words.iter().any(|known: &String| known.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    if words.is_empty() {
        words.push("the client gives no reason".to_owned());
    }
    words.join(": ").chars().take(CAUSES_CHARS_MAX).collect()
}
