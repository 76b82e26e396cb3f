//! Ticketing systems that are described: JSON over HTTP, or SOAP, by templates and selectors.
//!
//! What always holds: one call of the port is one operation, one request at a time, and no repeat but
//! where a token was refused. The way of a call: the description was compiled once (`plan`); the call's
//! values (`variables`) are filled in (`request`), sent (`exchange`), the answer is judged (`judge`)
//! and read (`reading`); `conversation` puts steps and pages in order.
//!
//! What it leaves to others: order, retries and doubt (the lane).

mod body;
pub mod callback;
mod calls;
mod compiler;
mod conversation;
mod demands;
mod exchange;
mod failing;
mod feed;
mod judge;
mod maps;
mod pages;
pub mod places;
mod plan;
mod reading;
mod request;
mod saying;
mod selectors;
mod service;
mod soap;
mod templates;
#[cfg(test)]
mod tests;
mod variables;
pub mod wire;
mod words;
mod xml;

pub(super) use exchange::{Exchange, Limits, exchange};
pub(super) use xml::escape as xml_escape;

use super::auth::{Credential, Oauth2, SignInFailed};
use super::connection;
use super::description::{Description, DescriptionError};
use conversation::Conversation;
use feed::FeedPlan;
use plan::{Operation, Plan};
use reqwest::Client;
use service::Place;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ticketgate_actors::model::{
    CorrelationKey, Fields, Kind, Mono, Service, TicketError, Timestamp,
};
use ticketgate_actors::ports::{
    About, Answer, Backend, Call, ChangesPage, Clock, Form, Heard, Reading, SearchBy, Soon, Work,
};
use tokio::time::Instant;

/// The longest text about a failed connection.
const CAUSES_CHARS_MAX: usize = 300;

/// A key that no ticket has: an answer without tickets shows address, sign-in and search.
pub(super) const NOBODYS_KEY: &str = "tgcheckcheckcheckcheckcheck";

/// A ticketing system as its description has it.
pub struct DescribedBackend(Arc<Inner>);

struct Inner {
    place: Place,
    plan: Plan,
    description: Description,
    /// The client for services that are spoken to over TLS where the backend itself is not; made when it
    /// is needed, since it loads the machine's certificates.
    tls_client: OnceLock<Result<Client, String>>,
    answer_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl DescribedBackend {
    /// Compiles a description and makes its client. Opens no connection.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn new(
        description: &Description,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<DescriptionError>> {
        let connection = &description.connection;
        let one = |key: &str, problem| vec![DescriptionError::new(description.key(key), problem)];
        let plan = Plan::of(description, &description.wire)?;
        let base = connection::base_url(&connection.base_url)
            .map_err(|problem| one("base_url", problem))?;
        if let Some(credential) = &plan.credential {
            credential.check().map_err(|problem| one("auth", problem))?;
        }
        let client = connection::client(description).map_err(|error| vec![error])?;
        let answer_bytes = connection.max_answer.0;
        let place = Place { base, client, user: None };
        let (description, tls_client) = (description.clone(), OnceLock::new());
        Ok(Self(Arc::new(Inner { place, plan, description, tls_client, answer_bytes, clock })))
    }

    /// Which operations it can do, by their keys.
    pub fn operations(&self) -> Vec<&'static str> {
        self.0.plan.operations.keys().map(|operation| operation.name()).collect()
    }

    /// Fields that writes send and no answer is read for.
    pub fn unread(&self) -> &[String] {
        &self.0.plan.unread
    }

    /// Does a search ask by our key?
    pub fn searches_by_key(&self) -> bool {
        self.0.searches_by("correlation_key")
    }

    /// Requests a token, where one is needed: until when it is good, or why there is none.
    pub async fn try_sign_in(&self, timeout: Duration) -> Option<Result<Timestamp, String>> {
        let Inner { plan, place, clock, .. } = &*self.0;
        let token = plan.credential.as_ref()?.token()?;
        Some(match token.lend(&place.client, &**clock, timeout).await {
            Ok(lent) => Ok(lent.expires),
            Err(SignInFailed::Away(reason)) => Err(reason),
            Err(SignInFailed::Refused(error)) => Err(error.reason),
        })
    }

    /// Asks for nothing but an answer: whatever it is, somebody is there.
    ///
    /// # Errors
    /// Why nobody is.
    pub async fn reach(&self, timeout: Duration) -> Result<String, String> {
        match self.0.reach(&self.0.place, None, timeout).await {
            Ok(Exchange::Answered(answered)) => {
                Ok(format!("reached: GET of base_url was answered {}", answered.status))
            }
            Ok(Exchange::NotSent(reason) | Exchange::Lost(reason)) | Err(reason) => Err(reason),
        }
    }
}

impl Backend for DescribedBackend {
    fn call(&self, call: Call) -> Soon<Heard> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.call(call).await })
    }

    fn about(&self) -> About {
        let Inner { plan, description, .. } = &*self.0;
        let credential = plan.credential.as_ref();
        About {
            preset: description.preset.clone(),
            speaks: if description.wire.soap.is_some() { "soap" } else { "rest" },
            operations: self.operations(),
            searches_by_key: self.searches_by_key(),
            auth: credential.map_or("none", Credential::word),
            token: credential.and_then(Credential::token).map(Oauth2::shown),
        }
    }

    fn authenticate(&self, timeout: Duration) -> Soon<Option<Result<Timestamp, String>>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let Inner { plan, place, clock, .. } = &*inner;
            let token = plan.credential.as_ref()?.token()?;
            Some(match token.renew(&place.client, &**clock, timeout).await {
                Ok(lent) => Ok(lent.expires),
                Err(SignInFailed::Away(reason)) => Err(reason),
                Err(SignInFailed::Refused(error)) => Err(error.in_words()),
            })
        })
    }

    fn check_service(&self, service: &Service) -> Result<(), (&'static str, String)> {
        self.0.check_service(service)
    }

    fn changes(&self) -> Option<ChangesPage> {
        self.0.plan.operations.get(&Operation::Changes)?.feed.as_ref().map(FeedPlan::page)
    }

    fn read_changes(&self, body: &[u8]) -> Result<Reading, String> {
        self.0.read_file(body)
    }

    fn form(&self) -> Form {
        let operations = &self.0.plan.operations;
        Form {
            needs: operations
                .get(&Operation::Create)
                .map(|it| it.needs.clone())
                .unwrap_or_default(),
            finds_by: operations.get(&Operation::Search).map(|it| it.finds_by.clone()),
        }
    }
}

impl Inner {
    /// Can a search ask by that name?
    fn searches_by(&self, name: &str) -> bool {
        let by = self.description.wire.search.as_ref().map(|search| &search.finds_by);
        by.is_some_and(|by| by.is_empty() || by.iter().any(|one| one == name))
    }

    async fn reach(
        &self,
        place: &Place,
        send_by: Option<Mono>,
        timeout: Duration,
    ) -> Result<Exchange, String> {
        let request = place.client.get(place.base.clone()).build();
        let request = request.map_err(|error| causes(&error))?;
        let ends = Instant::now() + timeout;
        let limits = Limits { send_by, ends, timeout, answer_bytes: self.answer_bytes };
        Ok(exchange(&place.client, request, &limits, &*self.clock).await)
    }

    /// The read that shows the most without changing anything: a search for a key that no ticket has,
    /// the beginning of a feed, or whatever answers at the address.
    async fn probe(&self, mut call: Call) -> Heard {
        let search = |by| Work::Search { by, kind: Kind::Incident, limit: 1 };
        if self.searches_by("correlation_key") {
            call.work = search(SearchBy::CorrelationKey(CorrelationKey(NOBODYS_KEY.to_owned())));
        } else if self.searches_by("cursor") {
            let first = Fields::from_iter([("cursor".to_owned(), "".into())]);
            call.work = search(SearchBy::Fields(first));
        } else {
            let answer = match self.place_of(call.service.as_deref()) {
                Ok(place) => match self.reach(&place, Some(call.send_by), call.timeout).await {
                    Ok(Exchange::Answered(_)) => Answer::Read(Reading::default()),
                    Ok(Exchange::Lost(reason)) => Answer::InDoubt(TicketError::because(reason)),
                    Ok(Exchange::NotSent(reason)) | Err(reason) => Answer::NotSent(reason),
                },
                Err(problem) => Answer::NotSent(problem),
            };
            return answer.into();
        }
        Box::pin(self.call(call)).await
    }

    async fn call(&self, mut call: Call) -> Heard {
        if call.work == Work::Probe {
            return self.probe(call).await;
        }
        let operation = Operation::of(&call.work);
        let Some(plan) = self.plan.operations.get(&operation) else {
            let reason = format!("this backend's description has no {}", operation.name());
            return Answer::Refused(TicketError::because(reason)).into();
        };
        let place = match self.place_of(call.service.as_deref()) {
            Ok(place) => place,
            Err(problem) => return Answer::NotSent(problem).into(),
        };
        let timeout = call.service.as_ref().and_then(|service| service.timeout);
        call.timeout = timeout.map_or(call.timeout, |timeout| timeout.min(call.timeout));
        Conversation::new(self, place, &call, plan).run().await
    }
}

/// Everything that is wrong with a description, as far as it can be told without opening files.
pub(super) fn check(description: &Description) -> Vec<DescriptionError> {
    Plan::of(description, &description.wire).err().unwrap_or_default()
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
