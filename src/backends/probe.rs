//! What works of a backend, found out without changing anything there: for `ticketgate check`.
//!
//! What always holds: only reads are sent. What cannot be tried without a write is named as such.

use super::described::{DescribedBackend, NOBODYS_KEY};
use super::description::{Description, DescriptionError};
use std::sync::Arc;
use ticketgate_actors::model::{CorrelationKey, Kind};
use ticketgate_actors::ports::{Answer, Backend, Call, ChangesBy, Clock, SearchBy, Via, Work};

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
    if description.partner {
        let said = "it is not called: its connector sends what changed, and fetches what we have";
        return Ok(vec![Finding { what: "partner", works: None, said: said.to_owned() }]);
    }
    let backend = DescribedBackend::new(description, clock.clone())?;
    let operations = backend.operations();
    let mut findings = Vec::new();
    if let Some(signed_in) = backend.try_sign_in(description.lane.timeout).await {
        findings.push(match signed_in {
            Ok(until) => finding("sign-in", true, format!("a token until {until}")),
            Err(reason) => finding("sign-in", false, reason),
        });
    }
    let searches = operations.contains(&"search") && backend.searches_by_key();
    if searches {
        let answer = backend.call(call(nobodys_search(), description, &*clock)).await;
        findings.push(found_by_search(answer.answer));
    }
    if let Some(page) = backend.changes() {
        let work = Work::Changes { cursor: None, since: None, offset: 0, limit: page.size };
        let answer = backend.call(call(work, description, &*clock)).await;
        findings.push(changes(answer.answer, page.by));
    } else if !searches {
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
    let tried = |name: &str| name == "changes" || name == "search" && searches;
    let untried: Vec<_> = operations.into_iter().filter(|name| !tried(name)).collect();
    findings.push(Finding { what: "not tried", works: None, said: untried.join(", ") });
    Ok(findings)
}

/// A search that shows whether the backend is there and finds nothing: by a key that nobody has.
pub fn nobodys_search() -> Work {
    let by = SearchBy::CorrelationKey(CorrelationKey(NOBODYS_KEY.to_owned()));
    Work::Search { by, kind: Kind::Incident, limit: 1 }
}

/// What its answer shows.
pub fn found_by_search(answer: Answer) -> Finding {
    search(answer)
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

/// One page of what changed, from the beginning.
fn changes(answer: Answer, by: ChangesBy) -> Finding {
    let Answer::Read(reading) = answer else {
        return Finding { what: "changes", ..search(answer) };
    };
    let rows = &reading.tickets;
    let nameless = rows.iter().filter(|row| row.backend_id.is_empty()).count();
    let timeless = rows.iter().filter(|row| row.changed_at.is_none()).count();
    let more = if reading.more { ", and there are more" } else { "" };
    let rows = rows.len();
    match (nameless, timeless) {
        // What is found by comparing needs no time.
        (0, missing) if missing == 0 || by == ChangesBy::Scan => {
            finding("changes", true, format!("read from the beginning: {rows} rows{more}"))
        }
        (0, _) => {
            let said = format!("{timeless} of {rows} rows do not say when they changed{more}");
            Finding { what: "changes", works: None, said }
        }
        _ => {
            let said = format!("{nameless} of {rows} rows do not say which ticket they are{more}");
            finding("changes", false, said)
        }
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
