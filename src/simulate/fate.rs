//! How a call's fate is carried out, whatever system is simulated: each has its own way of saying it.
//!
//! What always holds: work that was begun is done, whether or not the client is still there; a client
//! that gives up early learns nothing about it. That is how ticketing systems behave, and what makes a
//! time-out doubtful.
//!
//! What it leaves to others: deciding the fate (`faults`), the words of each system (`systems`).

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::sleep;

use super::books::{Books, CallKind};
use super::calls::hang_up;
use super::faults::{Fate, Then};
use super::handlers::{Desk, ledger_error};

/// What clients are told to wait for when nothing was done.
const RETRY_AFTER_SECONDS: &str = "1";
const SIGN_IN_PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head>\
    <body><h1>Please sign in</h1><p>Your session has ended.</p></body></html>";

/// An answer as a system gives it.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let body = body.to_string();
        Self { status, content_type: "application/json", headers: Vec::new(), body }
    }

    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: "text/plain", headers: Vec::new(), body: String::new() }
    }

    fn response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        for (name, value) in self.headers {
            response.insert_header((name, value));
        }
        if self.body.is_empty() {
            return response.finish();
        }
        response.content_type(self.content_type).body(self.body)
    }
}

/// What goes wrong, in the words of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Busy, nothing was done.
    Busy,
    /// Too many calls, nothing was done.
    TooMany,
    /// Who are you?
    Unauthorised,
    /// Something went wrong, and it does not say whether anything was done.
    Error(u16),
}

/// Counts the call, and does with it what its fate is. `say` has the system's words for what goes wrong.
pub(super) async fn carry_out(
    request: &HttpRequest,
    desk: &web::Data<Desk>,
    backend: &str,
    kind: CallKind,
    authorised: bool,
    say: fn(Wrong) -> Reply,
    work: impl FnOnce(&mut Books, u64) -> Reply + 'static,
) -> HttpResponse {
    let arrived = desk.ledger.in_books(backend, |books, now_ms| {
        (books.arrive(kind, authorised), books.wrong_clock(now_ms))
    });
    let (plan, clock_ms) = match arrived {
        Ok(arrived) => arrived,
        Err(unknown) => return ledger_error(&unknown),
    };
    let say = |wrong| dated(say(wrong), clock_ms);
    let then = match plan.fate {
        Fate::Down => return hang_up(request).await,
        Fate::Done(then) => then,
        fate => {
            wait_for(plan.delay).await;
            return without_work(fate, say);
        }
    };

    let (desk, backend) = (desk.clone(), backend.to_owned());
    // A task of its own: it goes on when the client has gone and this future is dropped.
    let work = actix_web::rt::spawn(async move {
        wait_for(plan.delay).await;
        desk.ledger.in_books(&backend, work)
    });
    let done = work.await;
    match then {
        Then::Answer => match done {
            Ok(Ok(reply)) => dated(reply, clock_ms).response(),
            Ok(Err(unknown)) => ledger_error(&unknown),
            // Only while the server is being stopped.
            Err(_) => say(Wrong::Error(500)).response(),
        },
        Then::Error(status) => say(Wrong::Error(status)).response(),
        Then::LoseAnswer => hang_up(request).await,
        Then::Hang => std::future::pending().await,
    }
}

/// The timer's own grain is a millisecond: without latency there must be none of it.
async fn wait_for(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

/// With the date that a wrong clock says; a right one's is the server's own.
fn dated(mut reply: Reply, clock_ms: Option<i64>) -> Reply {
    let date = clock_ms.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let date = date.map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    reply.headers.extend(date.map(|date| ("Date", date)));
    reply
}

fn without_work(fate: Fate, say: impl Fn(Wrong) -> Reply) -> HttpResponse {
    let wait = |wrong| {
        let mut response = say(wrong).response();
        let seconds = actix_web::http::header::HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, seconds);
        response
    };
    match fate {
        Fate::Busy => wait(Wrong::Busy),
        Fate::TooMany => wait(Wrong::TooMany),
        Fate::Html => HttpResponse::Ok().content_type("text/html").body(SIGN_IN_PAGE),
        Fate::Unauthorised => say(Wrong::Unauthorised).response(),
        Fate::ErrorBefore | Fate::Down | Fate::Done(_) => say(Wrong::Error(500)).response(),
    }
}
