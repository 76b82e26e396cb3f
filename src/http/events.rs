//! `GET /api/v1/events`: ticket events as server-sent events, resumable by `Last-Event-ID`.
//!
//! What always holds: a stream carries committed events in the store's order, so that each
//! ticket's come in sequence, and whoever resumes from the last id that it saw misses none. It
//! *pulls*: a page is read when the reader has taken the one before, so that a slow reader costs
//! one page of memory and no more. A signal that events were stored wakes it, and a slow clock
//! should the signal be lost. Streams end when [`Streams::close`] says so: a server that stops
//! gracefully waits for them.

use super::access::{By, Caller};
use super::problem::Problem;
use super::sessions::COOKIE;
use super::{Access, Face};
use crate::wire;
use actix_web::http::header::{self, CACHE_CONTROL};
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::model::{BackendId, EventId, EventName, TicketEvent};
use ticketgate_actors::ports::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Streams at once: dashboards and scripts of one operations centre. Each costs a page of events
/// and reads the store at every commit.
const STREAMS_MAX: usize = 64;
/// Events read at once.
const PAGE: u32 = 32;
/// The store is looked at this often even if nobody woke the stream.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A comment goes out after so much silence, so that proxies and readers see that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A reader that was cut off tries again after this.
const RETRY_MILLIS: u32 = 2_000;
/// What can be resumed: so far back, and so many events.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
const KEPT_EVENTS: u64 = 100_000;

/// The streams of one server.
#[derive(Clone, Default)]
pub struct Streams {
    open: Arc<AtomicUsize>,
    closing: Arc<watch::Sender<bool>>,
}

/// A stream's place among [`STREAMS_MAX`]; given back when the stream is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Streams {
    /// Ends all streams, and lets none begin.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn take(&self) -> Result<Place, Problem> {
        // Taken first and given back by its drop, so that two at once cannot take the last.
        let before = self.open.fetch_add(1, Ordering::SeqCst);
        let place = Place(self.open.clone());
        if *self.closing.borrow() {
            return Err(Problem::busy("the service is stopping"));
        }
        match before < STREAMS_MAX {
            true => Ok(place),
            false => Err(Problem::busy(format!("{STREAMS_MAX} streams are open already"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    backend: Option<String>,
    kind: Option<String>,
    event: Option<String>,
    source: Option<String>,
    last_event_id: Option<String>,
}

/// Which events a reader wants: of each list one word, or any where it is empty.
struct Filter {
    backends: Vec<String>,
    kinds: Vec<String>,
    events: Vec<String>,
    sources: Vec<String>,
    /// Whoever reads may see no others; none: all.
    only: Option<Arc<BTreeSet<BackendId>>>,
}

fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Filter {
    fn of(query: &EventQuery) -> Result<Self, Problem> {
        let kinds = words(query.kind.as_deref());
        let known = ["incident", "change", "problem"];
        if kinds.iter().any(|kind| !known.contains(&kind.as_str())) {
            return Err(Problem::field("kind", "kind is incident, change or problem"));
        }
        Ok(Self {
            backends: words(query.backend.as_deref()),
            kinds,
            // Names of events may grow: one that is not known yet is no mistake.
            events: words(query.event.as_deref()),
            sources: words(query.source.as_deref()),
            only: None,
        })
    }

    fn wants(&self, event: &TicketEvent) -> bool {
        // Of no ticket, and gone in a moment: nothing could be resumed from it.
        if event.event == EventName::Canary {
            return false;
        }
        let any = |list: &[String], is: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|word| is(word))
        };
        let may = self.only.as_ref().is_none_or(|only| only.contains(&event.ticket.backend));
        may && any(&self.backends, &|word| word == event.ticket.backend.as_str())
            && any(&self.kinds, &|word| word == event.ticket.kind.as_str())
            && any(&self.events, &|word| word == event.event.as_str())
            && any(&self.sources, &|word| event.alarms.iter().any(|alarm| alarm.source == word))
    }
}

#[get("/events")]
pub(super) async fn events(
    face: web::Data<Face>,
    caller: Caller,
    request: HttpRequest,
    query: web::Query<EventQuery>,
) -> Result<HttpResponse, Problem> {
    let filter = Filter { only: caller.backends.clone(), ..Filter::of(&query)? };
    let place = face.streams.take()?;
    let outside = face.cast.outside.clone();
    let header = request.headers().get("Last-Event-ID").and_then(|value| value.to_str().ok());
    let last = header.or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    // Subscribed before the first look: what is stored in between wakes the stream.
    let woken = outside.views.events_stored.subscribe();
    let (cursor, opening) = begin(&outside, last).await?;
    let session = match caller.by {
        By::Session(_) => request.cookie(COOKIE).map(|cookie| cookie.value().to_owned()),
        By::Open | By::Token => None,
    };
    let stream = Stream {
        session: session.map(|name| (face.access.clone(), name)),
        filter,
        cursor,
        opening: Some(opening),
        page: VecDeque::new(),
        more: true,
        woken,
        closing: face.streams.closing.subscribe(),
        keep_alive_at: Instant::now() + KEEP_ALIVE,
        outside,
        _place: place,
    };
    let body = stream::unfold(stream, Stream::next).map(Ok::<_, Infallible>);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((header::HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(body))
}

/// Where a stream begins, and what it says first.
async fn begin(outside: &Outside, last: Option<&str>) -> Result<(u64, Bytes), StoreError> {
    let hello = format!("retry: {RETRY_MILLIS}\n: ticketgate\n\n");
    let newest = outside.reads.newest_event().await?;
    let end = newest.as_ref().map_or(0, |event| event.n);
    let Some(last) = last else { return Ok((end, hello.into())) };
    let seen = match last.parse::<EventId>() {
        Ok(id) => outside.reads.event(id).await?,
        Err(_) => None,
    };
    let now = outside.clock.now().wall;
    let why = match seen {
        None => "no event has this id",
        Some(event) if now.since(event.at) > KEPT_FOR => "it is older than 24 hours",
        Some(event) if end.saturating_sub(event.n) > KEPT_EVENTS => "100000 events came after it",
        Some(event) => return Ok((event.n, hello.into())),
    };
    // Its id is that of the last event before the stream goes on, so that a reader which is cut
    // off right now resumes from here.
    let id = newest.map_or_else(String::new, |event| event.event_id.to_string());
    let data = json!({ "reason": why, "last_event_id": last });
    Ok((end, format!("{hello}id: {id}\nevent: reset\ndata: {data}\n\n").into()))
}

fn written(event: &TicketEvent) -> Bytes {
    let head = format!("id: {}\nevent: {}\ndata: ", event.event_id, event.event.as_str());
    let mut bytes = head.into_bytes();
    // JSON of one line: serde_json writes no line break outside a string, and escapes those inside.
    bytes.extend(wire::ticket_json(event));
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// One reader's stream.
struct Stream {
    outside: Arc<Outside>,
    /// The session that it was opened with: it ends with that.
    session: Option<(Arc<Access>, String)>,
    filter: Filter,
    /// The last event that was looked at.
    cursor: u64,
    opening: Option<Bytes>,
    page: VecDeque<TicketEvent>,
    /// There may be events after the page.
    more: bool,
    woken: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    keep_alive_at: Instant,
    _place: Place,
}

impl Stream {
    /// The next piece; none: the stream is over. Asked for only when the reader takes more.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if *self.closing.borrow() || self.is_over() {
                return None;
            }
            if let Some(opening) = self.opening.take() {
                return Some((opening, self));
            }
            while let Some(event) = self.page.pop_front() {
                self.cursor = event.n;
                if self.filter.wants(&event) {
                    self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                    return Some((written(&event), self));
                }
            }
            // Also between pages of which the filter wants nothing.
            if self.keep_alive_at <= Instant::now() {
                self.keep_alive_at = Instant::now() + KEEP_ALIVE;
                return Some((Bytes::from_static(b": alive\n\n"), self));
            }
            match self.more {
                true => self.load().await,
                false => self.wait().await,
            }
        }
    }

    /// The session that it was opened with has ended.
    fn is_over(&self) -> bool {
        let now = self.outside.clock.now().mono;
        self.session.as_ref().is_some_and(|(access, name)| !access.sessions.lives(name, now))
    }

    async fn load(&mut self) {
        // Before the read: what is stored from now on wakes again.
        self.woken.borrow_and_update();
        self.more = false;
        // A store that cannot be read is asked again by the clock; it has told its own log.
        if let Ok(rows) = self.outside.reads.events_after(self.cursor, PAGE).await {
            self.more = rows.len() >= PAGE as usize;
            self.page = rows.into();
        }
    }

    async fn wait(&mut self) {
        let look_at = (Instant::now() + LOOK_EVERY).min(self.keep_alive_at);
        tokio::select! {
            changed = self.woken.changed() => {
                if changed.is_err() {
                    // Nobody will ever wake us: the clock does.
                    sleep_until(look_at).await;
                }
            }
            _ = self.closing.wait_for(|closing| *closing) => {}
            () = sleep_until(look_at) => {}
        }
        self.more = true;
    }
}
