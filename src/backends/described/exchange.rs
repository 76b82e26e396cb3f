//! One request and its answer over HTTP.
//!
//! What always holds: exactly one request, and only if the clock has not passed `send_by`. It ends at
//! `ends`, which lies at most the call's `timeout` after that look at the clock, by closing the
//! connection if need be: so that no call is under way later than `send_by` + `timeout`, on which a
//! take-over of the lane relies (rule G3). Only what failed before the first byte is `NotSent`.
//!
//! What it leaves to others: what the answer means (`judge`).

use super::causes;
use crate::words;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Request, Response};
use std::time::Duration;
use ticketgate_actors::model::{Mono, Timestamp};
use ticketgate_actors::ports::Clock;
use tokio::time::{Instant, timeout_at};

/// Nobody waits longer because a backend says so; it is asked again instead.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How an exchange ended.
#[derive(Debug)]
pub(in crate::backends) enum Exchange {
    /// Nothing left this machine.
    NotSent(String),
    /// Something may have arrived there; no whole answer came back.
    Lost(String),
    /// A whole answer.
    Answered(Answered),
}

/// A whole answer.
#[derive(Debug)]
pub(in crate::backends) struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub retry_after: Option<Duration>,
    /// Its limit of calls is used up for so long.
    pub quiet: Option<Duration>,
    /// Their clock, where they tell it.
    pub clock: Option<Timestamp>,
    pub body: Vec<u8>,
}

impl Answered {
    /// Is it a page for people?
    pub fn is_html(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.unwrap_or_default().to_ascii_lowercase().contains("html")
    }
}

/// The limits of one exchange.
pub(in crate::backends) struct Limits {
    /// None: the first request of its call was sent in time.
    pub send_by: Option<Mono>,
    pub ends: Instant,
    /// How long the whole call may take, for what is told.
    pub timeout: Duration,
    pub answer_bytes: usize,
}

/// Sends a request, once, and reads the whole answer.
pub(in crate::backends) async fn exchange(
    client: &Client,
    request: Request,
    limits: &Limits,
    clock: &dyn Clock,
) -> Exchange {
    if limits.send_by.is_some_and(|send_by| clock.now().mono > send_by) {
        return Exchange::NotSent("it was too late to send it (send_within)".to_owned());
    }
    let exchange = async {
        match client.execute(request).await {
            Ok(response) => answer(response, limits.answer_bytes, clock).await,
            Err(error) if error.is_connect() => {
                Exchange::NotSent(format!("cannot connect: {}", causes(&error)))
            }
            Err(error) => Exchange::Lost(format!("no answer: {}", causes(&error))),
        }
    };
    // Dropping the exchange closes its connection.
    let in_time = timeout_at(limits.ends, exchange).await;
    in_time.unwrap_or_else(|_| {
        Exchange::Lost(format!("no whole answer in {}", words::format_duration(limits.timeout)))
    })
}

async fn answer(mut response: Response, most: usize, clock: &dyn Clock) -> Exchange {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), clock.now().wall);
    let quiet = quiet(response.headers(), clock.now().wall);
    let clock = response.headers().get(DATE).and_then(|date| moment(date.to_str().ok()?));
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > most => {
                return Exchange::Lost(format!(
                    "the answer is longer than {most} bytes (max_answer)"
                ));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => {
                let answered = Answered { status, headers, retry_after, quiet, clock, body };
                return Exchange::Answered(answered);
            }
            Err(error) => return Exchange::Lost(format!("the answer was cut: {}", causes(&error))),
        }
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let span = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => moment(text)?.since(now),
    };
    Some(span.min(RETRY_AFTER_MAX))
}

/// A date as HTTP has it.
fn moment(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp::from_millis(date.as_millisecond()))
}

/// What is left of a limit of calls, and when it begins anew: seconds from now, or since 1970. The
/// names are those of most systems, and of the draft for a standard.
fn quiet(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    const EPOCH_FROM: u64 = 1_000_000_000;
    let number = |names: [&str; 2]| -> Option<u64> {
        let value = names.iter().find_map(|name| headers.get(*name))?;
        value.to_str().ok()?.trim().parse().ok()
    };
    if number(["x-ratelimit-remaining", "ratelimit-remaining"])? > 0 {
        return None;
    }
    let span = match number(["x-ratelimit-reset", "ratelimit-reset"])? {
        at @ EPOCH_FROM.. => {
            let at = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(1_000);
            Timestamp::from_millis(at).since(now)
        }
        seconds => Duration::from_secs(seconds),
    };
    Some(span.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_limit_is_kept_until_it_begins_anew() {
        let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        for (remaining, reset, seconds) in [
            ("0", "7", Some(7)),
            ("0", "1795255230", Some(30)),
            ("0", "1795255100", Some(0)),
            ("0", "99999999", Some(3600)),
            ("0", "soon", None),
            ("1", "7", None),
        ] {
            let headers = [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)];
            let headers =
                headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers = HeaderMap::from_iter(headers);
            assert_eq!(quiet(&headers, now), seconds.map(Duration::from_secs), "{reset}");
        }
        assert_eq!(quiet(&HeaderMap::new(), now), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("99999999", Some(3600)),
            ("Sat, 21 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
