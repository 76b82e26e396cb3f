//! The backends, as cheap as a server can be: one thread that answers every POST with a new id.
//!
//! `/b3/tickets` is backend 3. Each counts its calls, and how many are in flight at once, which must
//! never be more than one; with an answer time of 0 ms an overlap is not seen, since one thread answers
//! before it reads on. `GET /stats` tells, `POST /reset/MS` starts anew with that answer time.

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// More of a head is nobody's that we know.
const HEAD_MAX: usize = 16 * 1024;

/// Where to listen.
#[derive(Args)]
pub struct Settings {
    /// On this machine only.
    #[arg(long)]
    port: u16,
}

/// What the backends have seen since the last reset.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Stats {
    /// Calls of all backends.
    pub calls: u64,
    /// When the first one came, in microseconds since 1970.
    pub first_call_us: u64,
    /// The most calls of one backend that were in flight at once.
    pub in_flight_max: u32,
    /// Backends that were called.
    pub backends: usize,
    /// What those have waited, all together: for their first call since the first of all, between their calls, and after
    /// their last until the last of all; in microseconds.
    pub waited_us: [u64; 3],
}

impl Stats {
    /// One call for each alarm, and never two at once at one backend.
    pub fn check(&self, alarms: usize) -> anyhow::Result<()> {
        ensure!(self.calls == alarms as u64, "{} calls for {alarms} alarms", self.calls);
        let most = self.in_flight_max;
        ensure!(most <= 1, "{most} calls were in flight at one backend");
        Ok(())
    }

    /// The same as shares of the time of a drain that took so many seconds.
    pub fn waited(&self, seconds: f64) -> [f64; 3] {
        let whole = seconds * 1e6 * self.backends as f64;
        self.waited_us.map(|us| us as f64 / whole)
    }
}

#[derive(Default)]
struct Desk {
    answer_after: Duration,
    next_id: u64,
    stats: Stats,
    counters: Vec<Counter>,
}

/// One backend.
#[derive(Clone, Copy, Default)]
struct Counter {
    in_flight: u32,
    /// When it gave its last answer.
    answered_us: u64,
}

/// Serves until it is killed.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let desk = Rc::new(RefCell::new(Desk::default()));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", settings.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let desk = desk.clone();
            // A client that goes away ends its connection, and nothing else.
            tokio::task::spawn_local(async move { serve(stream, &desk).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream, desk: &RefCell<Desk>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let end = loop {
            match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if buffer.len() > HEAD_MAX => return Ok(()),
                None if stream.read_buf(&mut buffer).await? == 0 => return Ok(()),
                None => {}
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .unwrap_or(0);
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let writes = head.starts_with("post ");
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        buffer.drain(..end + length);
        let answer = answer(&path, writes, desk).await;
        stream.write_all(answer.as_bytes()).await?;
    }
}

async fn answer(path: &str, writes: bool, desk: &RefCell<Desk>) -> String {
    if path == "/stats" {
        let stats = serde_json::to_string(&desk.borrow().stats()).unwrap_or_default();
        return said("200 OK", &stats);
    }
    if let Some(millis) = path.strip_prefix("/reset/") {
        let answer_after = Duration::from_millis(millis.parse().unwrap_or(0));
        let next_id = desk.borrow().next_id;
        *desk.borrow_mut() = Desk { answer_after, next_id, ..Desk::default() };
        return said("200 OK", "{}");
    }
    let number = path.strip_prefix("/b").and_then(|rest| rest.split('/').next()?.parse().ok());
    let Some(number) = number.filter(|number: &usize| *number < 100_000) else {
        return said("404 Not Found", "{}");
    };
    if !writes {
        // Where a run takes longer, the service's canary looks by.
        return said("200 OK", r#"{"tickets":[]}"#);
    }
    let (id, answer_after) = desk.borrow_mut().begin(number);
    if !answer_after.is_zero() {
        tokio::time::sleep(answer_after).await;
    }
    desk.borrow_mut().end(number);
    let body =
        format!(r#"{{"id":"T-{id}","url":"http://127.0.0.1/b{number}/T-{id}","status":"open"}}"#);
    said("201 Created", &body)
}

impl Desk {
    fn begin(&mut self, number: usize) -> (u64, Duration) {
        let (now, stats) = (crate::alarms::now_us(), &mut self.stats);
        if stats.calls == 0 {
            stats.first_call_us = now;
        }
        if self.counters.len() <= number {
            self.counters.resize(number + 1, Counter::default());
        }
        let counter = &mut self.counters[number];
        let (from, what) = match counter.answered_us {
            0 => (stats.first_call_us, 0),
            answered => (answered, 1),
        };
        stats.waited_us[what] += now.saturating_sub(from);
        counter.in_flight += 1;
        stats.calls += 1;
        stats.in_flight_max = stats.in_flight_max.max(counter.in_flight);
        stats.backends = self.counters.len();
        self.next_id += 1;
        (self.next_id, self.answer_after)
    }

    fn end(&mut self, number: usize) {
        let counter = &mut self.counters[number];
        counter.in_flight -= 1;
        counter.answered_us = crate::alarms::now_us();
    }

    fn stats(&self) -> Stats {
        let answered = self.counters.iter().map(|counter| counter.answered_us);
        let last = answered.clone().max().unwrap_or(0);
        let [first, between, _] = self.stats.waited_us;
        let waited_us = [first, between, answered.map(|at| last - at).sum()];
        Stats { waited_us, ..self.stats.clone() }
    }
}

fn said(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
