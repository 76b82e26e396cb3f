//! What every measurement stands on: a RabbitMQ of our own, the backends' process, a folder.

use crate::backend::Stats;
use crate::process::{self, Program};
use crate::programs::Programs;
use crate::rabbit::{Rabbit, free_port};
use anyhow::{Context, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A program that is not there by then has failed.
pub const START_PATIENCE: Duration = Duration::from_secs(30);

/// Broker and backends; they end with it.
pub struct Stand {
    /// The broker.
    pub rabbit: Rabbit,
    /// The broker's process group.
    pub broker_group: u32,
    /// The backends.
    pub backend: Program,
    /// Where they are.
    pub base: String,
    /// Asks backends and service.
    pub http: reqwest::Client,
    /// What can be started.
    pub programs: Programs,
    /// Each run has a folder in it.
    pub folder: tempfile::TempDir,
}

impl Stand {
    /// Starts all of it.
    pub async fn open(programs: Programs) -> anyhow::Result<Self> {
        let rabbit = Rabbit::started().await;
        let port = rabbit.url();
        let port = port.rsplit(':').next().and_then(|rest| rest.split('/').next());
        let node = format!("RABBITMQ_NODE_PORT={}", port.context("the broker's port")?);
        let broker_group = process::group_of(&node).context("the broker's process")?;
        let folder = tempfile::TempDir::with_prefix("ticketgate-bench")?;
        let port = free_port();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["backend", "--port", &port.to_string()]);
        let backend = Program::start(&mut command, &folder.path().join("backend.log"))?;
        let base = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let stand = Self { rabbit, broker_group, backend, base, http, programs, folder };
        let deadline = Instant::now() + START_PATIENCE;
        while stand.stats().await.is_err() {
            ensure!(Instant::now() < deadline, "the backends do not come up");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(stand)
    }

    /// What the backends have seen since the last reset.
    pub async fn stats(&self) -> anyhow::Result<Stats> {
        let answer = self.http.get(format!("{}/stats", self.base)).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// The backends forget what they have seen, and answer after that time from now on.
    pub async fn reset(&self, answer_after: Duration) -> anyhow::Result<()> {
        let reset = format!("{}/reset/{}", self.base, answer_after.as_millis());
        self.http.post(reset).send().await?.error_for_status()?;
        Ok(())
    }

    /// Waits until the service's `/readyz` says that it is, and that the broker is connected.
    pub async fn is_ready(&self, port: u16, program: &mut Program) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{port}/readyz");
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Ok(answer) = self.http.get(&url).send().await
                && answer.status().is_success()
                && answer.text().await?.contains("\"bus_connected\":true")
            {
                return Ok(());
            }
            if program.ended() || Instant::now() > deadline {
                bail!("it is not ready");
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// `target/bench`, beside the profile's folder that this program is in.
pub fn out_folder() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let target = exe.parent().and_then(Path::parent).context("the target folder")?;
    let out = target.join("bench");
    fs::create_dir_all(&out)?;
    Ok(out)
}

/// Locks a file, for as long as what is returned lives.
pub fn locked(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// The end of a program's log.
pub fn last_words(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
