//! Programs as process groups: what they cost, and their end.

use anyhow::{Context, ensure};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The kernel counts a process's time in these.
const TICKS_A_SECOND: f64 = 100.0;

/// What a group of processes has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// In user and kernel, in seconds.
    pub cpu: f64,
    /// The sum of their peaks, in bytes.
    pub peak: u64,
    /// What they have in memory now, in bytes.
    pub resident: u64,
    /// How many live.
    pub processes: usize,
}

/// A program with all its processes; killed when it is dropped.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts it in a group of its own; what it says goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log).context("the program's log")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.process_group(0).spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { child })
    }

    /// What it has cost.
    pub fn usage(&self) -> Usage {
        usage_of(self.child.id())
    }

    /// Asks it to end, as an operator does; it is waited for by [`Self::ended`].
    pub fn terminate(&self) -> anyhow::Result<()> {
        let sent =
            Command::new("kill").args(["-TERM", "--", &self.child.id().to_string()]).status();
        ensure!(sent.is_ok_and(|status| status.success()), "it cannot be told to end");
        Ok(())
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// What the processes of a group have cost.
pub fn usage_of(group: u32) -> Usage {
    let mut usage = Usage::default();
    for (id, stat) in processes() {
        if stat.get(2).and_then(|group| group.parse().ok()) != Some(group) {
            continue;
        }
        let ticks = |place: usize| stat.get(place).and_then(|it| it.parse::<f64>().ok());
        usage.cpu += (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS_A_SECOND;
        usage.peak += memory(id, "VmHWM:");
        usage.resident += memory(id, "VmRSS:");
        usage.processes += 1;
    }
    usage
}

/// The group of the processes that have this in their environment.
pub fn group_of(name: &str) -> Option<u32> {
    processes().find_map(|(id, stat)| {
        let environment = fs::read(format!("/proc/{id}/environ")).ok()?;
        let is_it = environment.split(|byte| *byte == 0).any(|it| it == name.as_bytes());
        stat.get(2).filter(|_| is_it)?.parse().ok()
    })
}

/// Every process, with the fields of its `stat` behind its name.
fn processes() -> impl Iterator<Item = (u32, Vec<String>)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
        Some((id, fields))
    })
}

fn memory(id: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// The CPU of a span between two looks, in seconds.
pub fn between(before: Usage, after: Usage) -> f64 {
    (after.cpu - before.cpu).max(0.0)
}

/// How long a sync of one page to disk takes, at the median of 200.
pub fn fsync_median(folder: &Path) -> anyhow::Result<Duration> {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = File::create(folder.join("fsync"))?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let began = std::time::Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}
