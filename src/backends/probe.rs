//! What works of a backend, found out without changing anything there: for `ticketgate check`.
//!
//! What always holds: only reads are sent. What cannot be tried without a write is named as such.

use super::described::DescribedBackend;
use super::description::{Description, DescriptionError};
use std::sync::Arc;
use ticketgate_actors::model::{CorrelationKey, Fields, Kind};
use ticketgate_actors::ports::{Answer, Backend, Call, Clock, SearchBy, Via, Work};

/// A key that no ticket has: an answer without tickets shows address, sign-in and search.
const NOBODYS_KEY: &str = "tgcheckcheckcheckcheckcheck";

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// Whether it works; none: it was not tried.
    pub works: Option<bool>,
    /// What was said.
    pub said: String,
}

/// Looks at one backend.
///
/// # Errors
/// What is wrong with its description, as far as only that shows when it is used.
pub async fn probe(
    description: &Description,
    clock: Arc<dyn Clock>,
) -> Result<Vec<Finding>, Vec<DescriptionError>> {
    let backend = DescribedBackend::new(description, clock.clone())?;
    let operations = backend.operations();
    let mut findings = Vec::new();
    if let Some(signed_in) = backend.try_sign_in(description.lane.timeout).await {
        findings.push(match signed_in {
            Ok(until) => finding("sign-in", true, format!("a token until {until}")),
            Err(reason) => finding("sign-in", false, reason),
        });
    }
    if operations.contains(&"search") {
        let by_key = backend.searches_by_key();
        let answer = backend.call(call(nobodys_search(by_key), description, &*clock)).await;
        findings.push(found_by_search(answer.answer, by_key));
    } else {
        findings.push(match backend.reach(description.lane.timeout).await {
            Ok(said) => finding("address", true, said),
            Err(reason) => finding("address", false, reason),
        });
    }
    if !backend.unread().is_empty() {
        let what = "after a lost answer these cannot be compared, and count as done";
        let said =
            format!("{}: sent, and not in [read.fields]: {what}", backend.unread().join(", "));
        findings.push(Finding { what: "not compared", works: None, said });
    }
    let untried: Vec<_> = operations.into_iter().filter(|name| *name != "search").collect();
    findings.push(Finding { what: "not tried", works: None, said: untried.join(", ") });
    Ok(findings)
}

/// A search that shows whether the backend is there and finds nothing: by a key that nobody has, or the
/// beginning of its feed.
pub fn nobodys_search(searches_by_key: bool) -> Work {
    let by = match searches_by_key {
        true => SearchBy::CorrelationKey(CorrelationKey(NOBODYS_KEY.to_owned())),
        false => SearchBy::Fields(Fields::from_iter([("cursor".to_owned(), "".into())])),
    };
    Work::Search { by, kind: Kind::Incident, limit: 1 }
}

/// What its answer shows.
pub fn found_by_search(answer: Answer, searches_by_key: bool) -> Finding {
    if searches_by_key {
        return search(answer);
    }
    match answer {
        Answer::Read(reading) => {
            let n = reading.tickets.len();
            finding("feed", true, format!("reached and read from its beginning: {n} tickets"))
        }
        other => Finding { what: "feed", ..search(other) },
    }
}

fn finding(what: &'static str, works: bool, said: String) -> Finding {
    Finding { what, works: Some(works), said }
}

fn call(work: Work, description: &Description, clock: &dyn Clock) -> Call {
    let lane = &description.lane;
    let send_by = clock.now().mono.plus(lane.send_within);
    Call {
        via: Via::Selected,
        service: None,
        ticket: None,
        attempt: 0,
        request: None,
        alarm: None,
        work,
        send_by,
        timeout: lane.timeout,
    }
}

fn search(answer: Answer) -> Finding {
    let (works, said) = match answer {
        Answer::Read(reading) if reading.tickets.is_empty() => {
            (true, "reached, signed in and searched".to_owned())
        }
        Answer::Read(_) => {
            (false, "it finds tickets by a key that nobody has: it does not heed it".to_owned())
        }
        Answer::NotSent(reason) => (false, format!("not reached: {reason}")),
        Answer::Busy { error, .. } => (true, format!("reached, but busy: {}", error.reason)),
        Answer::Unauthorised(error) => {
            (false, format!("it refuses our credentials: {}", error.reason))
        }
        Answer::Retryable { error, .. } | Answer::Refused(error) | Answer::InDoubt(error) => {
            (false, format!("reached, but: {}", error.reason))
        }
        // A search is a read.
        _ => (false, "the search was answered as if it were a write".to_owned()),
    };
    finding("search", works, said)
}
