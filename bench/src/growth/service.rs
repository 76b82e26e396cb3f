//! One `ticketgate serve` with a store, a queue and a subscriber's exchange of its own, which is started,
//! stopped and killed.

use crate::broker::{self, Desk};
use crate::process::{Program, Usage};
use crate::programs::{Kind, Place};
use crate::rabbit::free_port;
use crate::stand::{self, START_PATIENCE, Stand};
use anyhow::{Context, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Alarms that wait for their tickets, in the service's own figures.
const UNSETTLED: &str = "ticketgate_alarms_unsettled ";
/// Between two looks at a process that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// It has come to rest if it takes less CPU than this, in seconds, ...
const REST: f64 = 0.02;
/// ... in so long.
const REST_SPAN: Duration = Duration::from_millis(500);
/// One that does not come to rest is measured all the same: then this is a part of what it costs.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// A service and what is its own.
pub struct Service<'a> {
    /// What it stands on.
    pub stand: &'a Stand,
    /// In front of its names at the broker.
    pub prefix: String,
    /// Publishes its alarms.
    pub desk: Desk,
    /// The alarms that it was sent so far.
    pub alarms: usize,
    /// How many backends it has.
    pub backends: usize,
    url: String,
    folder: PathBuf,
    port: u16,
    more: String,
    program: Option<Program>,
}

impl<'a> Service<'a> {
    /// On an empty store, not yet started. `more` is the end of its config.
    pub async fn new(
        stand: &'a Stand,
        name: &str,
        backends: usize,
        more: String,
    ) -> anyhow::Result<Self> {
        let folder = stand.folder.path().join(name);
        fs::create_dir(&folder)?;
        let (url, prefix) = (stand.rabbit.url(), name.to_owned());
        let desk = Desk::open(&url, &prefix).await?;
        let port = free_port();
        Ok(Self {
            stand,
            prefix,
            desk,
            alarms: 0,
            backends,
            url,
            folder,
            port,
            more,
            program: None,
        })
    }

    /// Starts it; how long it took until it was ready.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        let place = Place {
            folder: &self.folder,
            url: &self.url,
            prefix: &self.prefix,
            base: &self.stand.base,
            backends: self.backends,
            port: self.port,
            more: &self.more,
        };
        let began = Instant::now();
        let mut program = self.stand.programs.start(Kind::Ticketgate, &place)?;
        let ready = self.stand.is_ready(self.port, &mut program).await;
        ready.with_context(|| format!("it said: {}", stand::last_words(&self.folder)))?;
        self.program = Some(program);
        Ok(began.elapsed())
    }

    /// Stops it as an operator does.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut program = self.program.take().context("it does not run")?;
        program.terminate()?;
        let deadline = Instant::now() + START_PATIENCE;
        while !program.ended() {
            ensure!(Instant::now() < deadline, "it does not stop");
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// What its process has cost so far.
    pub fn usage(&self) -> Usage {
        self.program.as_ref().map(Program::usage).unwrap_or_default()
    }

    /// Waits until it has nothing to do.
    pub async fn rests(&self) {
        let deadline = Instant::now() + REST_PATIENCE;
        loop {
            let before = self.usage();
            sleep(REST_SPAN).await;
            if crate::process::between(before, self.usage()) <= REST || Instant::now() > deadline {
                return;
            }
        }
    }

    /// No calls are made to this backend any more, also after a restart.
    pub async fn pause(&self, backend: usize) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/api/v1/lanes/b{backend}/pause", self.port);
        let body = r#"{"reason":"make growth"}"#;
        let asked = self.stand.http.post(url).header("content-type", "application/json").body(body);
        asked.send().await?.error_for_status()?;
        Ok(())
    }

    /// Alarms whose tickets have yet to be made, of all its backends: rows of the store.
    pub async fn pending(&self) -> anyhow::Result<usize> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let answer = self.stand.http.get(url).send().await?.error_for_status()?;
        let figures = String::from_utf8(answer.bytes().await?.to_vec())?;
        let of_it = |line: &str| line.strip_prefix(UNSETTLED)?.trim().parse().ok();
        figures.lines().find_map(of_it).with_context(|| format!("no {UNSETTLED} in /metrics"))
    }

    /// Its store's files, in bytes.
    pub fn store_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.join("ticketgate-data")).into_iter().flatten();
        files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// Publishes so many more alarms, for these backends in turn.
    pub async fn send(
        &mut self,
        alarms: usize,
        backends: std::ops::Range<usize>,
    ) -> anyhow::Result<()> {
        let numbers = self.alarms..self.alarms + alarms;
        self.alarms = numbers.end;
        self.desk.publish_all(numbers, backends).await
    }

    /// Nothing of it stays.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.kill();
        self.desk.close(None).await?;
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// What it said last, for a failure.
    pub fn last_words(&self) -> String {
        stand::last_words(&self.folder)
    }

    /// The broker that it is at.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its queue of alarms.
    pub fn intake(&self) -> String {
        broker::intake(&self.prefix)
    }
}
