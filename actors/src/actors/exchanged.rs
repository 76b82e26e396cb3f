//! The communication log: the newest calls to each backend, for people. In memory, and lost with the
//! process: what became of a request, its own story tells.

use super::Views;
use super::calling::{verdict, word};
use crate::model::{BackendId, RequestId, TicketKey, Timestamp};
use crate::ports::{Answer, Call, Heard};
use std::time::Duration;

/// Calls that are kept of each backend: some minutes of a busy lane, and a fraction of a megabyte.
pub const EXCHANGES_MAX: usize = 500;

/// One call and its answer. Neither bodies nor fields nor secrets are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// When it was begun.
    pub at: Timestamp,
    /// Which of the backend's services; none: its own address.
    pub service: Option<String>,
    /// `create`, `update`, `close`, `reopen`, `get`, `search`, `changes`, `probe`, or `look` of a doubt
    /// or a sweep.
    pub what: &'static str,
    /// For which request.
    pub request: Option<RequestId>,
    /// About which of our tickets.
    pub ticket: Option<TicketKey>,
    /// Which attempt of the request; 0 where it has none.
    pub attempt: u32,
    /// From the beginning to the end of the answer.
    pub took: Duration,
    /// Of the last answer, where there was one.
    pub http_status: Option<u16>,
    /// In words.
    pub verdict: String,
    /// It was not done, or it is not known whether it was.
    pub failed: bool,
}

impl Exchanged {
    /// A call that is about to be made.
    pub(super) fn of(at: Timestamp, call: &Call) -> Self {
        Self {
            at,
            service: None,
            what: word(call),
            request: call.request,
            ticket: call.ticket,
            attempt: call.attempt,
            took: Duration::ZERO,
            http_status: None,
            verdict: String::new(),
            failed: false,
        }
    }

    /// Its answer.
    pub(super) fn said(&mut self, heard: &Heard) {
        let of_error = match &heard.answer {
            Answer::Busy { error, .. }
            | Answer::Retryable { error, .. }
            | Answer::Refused(error)
            | Answer::Unauthorised(error)
            | Answer::InDoubt(error) => error.http_status,
            Answer::Done(_)
            | Answer::Acknowledged { .. }
            | Answer::Read(_)
            | Answer::NotSent(_) => None,
        };
        self.http_status = heard.http_status.or(of_error);
        self.verdict = verdict(&heard.answer);
        self.failed = !matches!(
            heard.answer,
            Answer::Done(_) | Answer::Acknowledged { .. } | Answer::Read(_)
        );
    }
}

impl Views {
    /// Adds a call; the oldest goes if there are too many.
    pub(super) fn write_down(&self, backend: BackendId, row: Exchanged) {
        self.tallies.entry(backend.clone()).or_default().count(&row);
        let mut rows = self.exchanges.entry(backend).or_default();
        if rows.len() >= EXCHANGES_MAX {
            rows.pop_front();
        }
        rows.push_back(row);
    }

    /// The newest calls, of one backend or of all, newest first.
    pub fn newest_calls(
        &self,
        backend: Option<&BackendId>,
        limit: usize,
    ) -> Vec<(BackendId, Exchanged)> {
        let mut calls = Vec::new();
        for of in self.exchanges.iter() {
            if backend.is_none_or(|backend| backend == of.key()) {
                let newest = of.value().iter().rev().take(limit);
                calls.extend(newest.map(|row| (of.key().clone(), row.clone())));
            }
        }
        calls.sort_by_key(|(_, row)| std::cmp::Reverse(row.at));
        calls.truncate(limit);
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: i64) -> Exchanged {
        Exchanged {
            at: Timestamp::from_millis(at),
            service: None,
            what: "create",
            request: None,
            ticket: None,
            attempt: 1,
            took: Duration::ZERO,
            http_status: Some(200),
            verdict: "done".to_owned(),
            failed: false,
        }
    }

    #[test]
    fn the_newest_are_kept_of_each_backend_and_shown_first() {
        let views = Views::default();
        let (one, other) = (BackendId::new("one"), BackendId::new("other"));
        views.write_down(other.clone(), row(0));
        for at in 1..=EXCHANGES_MAX as i64 + 3 {
            views.write_down(one.clone(), row(at));
        }
        let of_one = views.newest_calls(Some(&one), 10_000);
        assert_eq!(of_one.len(), EXCHANGES_MAX);
        assert_eq!(of_one[0].1.at, Timestamp::from_millis(503));
        let all = views.newest_calls(None, 10_000);
        assert_eq!((all.len(), &all[EXCHANGES_MAX].0), (EXCHANGES_MAX + 1, &other));
        assert_eq!(views.newest_calls(None, 2).len(), 2);
    }
}
