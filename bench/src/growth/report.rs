//! What a run of `make growth` gave: tables on the screen, which are Markdown, and a file.

use super::Scale;
use super::figure::{Figure, Samples, Series, grouped};
use crate::process;
use crate::stand::Stand;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Everything, as it is written to its file.
#[derive(Serialize)]
pub struct Report {
    began: String,
    quick: bool,
    rounds: usize,
    /// Alarms of the work.
    work: usize,
    /// The machine.
    cores: usize,
    processor: String,
    memory: String,
    kernel: String,
    /// The disk's own price of a promise.
    pub fsync_median_us: u64,
    ticketgate: String,
    binary_bytes: u64,
    rabbitmq: String,
    /// All figures.
    pub samples: Samples,
}

impl Report {
    /// All but the figures.
    pub async fn begun(stand: &Stand, scale: &Scale) -> anyhow::Result<Self> {
        let fsync = process::fsync_median(stand.folder.path())?;
        let binary = &stand.programs.ticketgate;
        let version = Command::new(binary).arg("--version").output()?;
        Ok(Self {
            began: jiff::Timestamp::now().to_string(),
            quick: scale.quick,
            rounds: scale.rounds,
            work: scale.work,
            cores: std::thread::available_parallelism()?.get(),
            processor: line_of("/proc/cpuinfo", "model name"),
            memory: line_of("/proc/meminfo", "MemTotal"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            fsync_median_us: u64::try_from(fsync.as_micros()).unwrap_or(0),
            ticketgate: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            binary_bytes: fs::metadata(binary)?.len(),
            rabbitmq: stand.rabbit.ctl(&["version"]).await.trim().to_owned(),
            samples: Samples::default(),
        })
    }

    /// A table a series: medians, and behind them the ratio to the smallest size.
    pub fn tell(&self, series: &[Series]) {
        println!(
            "\nMedians of {} rounds (ratio to the smallest size of the same round, at the median);\n\
             {} cores, {}, RabbitMQ {}, fsync of a page {} us",
            self.rounds, self.cores, self.ticketgate, self.rabbitmq, self.fsync_median_us
        );
        for &series in series {
            println!("\n{}", table(&self.samples, series));
        }
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

fn table(samples: &Samples, series: Series) -> Table {
    let sizes = samples.sizes(series);
    let measured =
        |figure: &Figure| sizes.iter().any(|&size| samples.median(series, size, *figure).is_some());
    let figures: Vec<Figure> = Figure::ALL.into_iter().filter(measured).collect();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let titles = figures.iter().map(|figure| figure.title());
    table.set_header([series.name()].into_iter().chain(titles));
    for size in sizes {
        let cells = figures.iter().map(|&figure| cell(samples, series, size, figure));
        table.add_row([grouped(size)].into_iter().chain(cells));
    }
    table
}

fn cell(samples: &Samples, series: Series, size: usize, figure: Figure) -> String {
    let value = samples.median(series, size, figure).map(|value| figure.text(value));
    // Idle is a handful of the kernel's ticks: a ratio of them says nothing.
    let ratio = samples.ratio(series, size, figure).filter(|_| figure != Figure::IdlePercent);
    let ratio = ratio.map(|ratio| format!(" ({ratio:.2})"));
    value.unwrap_or_default() + &ratio.unwrap_or_default()
}

/// What stands behind a name in a file of the kernel.
fn line_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    line.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_was_measured_and_its_growth() {
        let mut samples = Samples::default();
        samples.add(Series::Clients, 1, 1, &[(Figure::PerSecond, 300.0)]);
        samples.add(Series::Clients, 10, 1, &[(Figure::PerSecond, 1_200.0)]);
        let table = table(&samples, Series::Clients).to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = table.lines().map(words).collect();
        assert_eq!(lines[0], "| clients | tickets/s |");
        assert_eq!(lines[2], "| 1 | 300 (1.00) |");
        assert_eq!(lines[3], "| 10 | 1200 (4.00) |");
    }
}
