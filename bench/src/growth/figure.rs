//! The figures of a run: one number each, of one size, in one round.

use crate::table::median;
use serde::Serialize;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Series {
    /// Alarms that wait for their tickets.
    Pending,
    /// Ticketing systems.
    Backends,
    /// Ticket clients.
    Clients,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Backends, Self::Clients];

    /// Its name on the command line, in tables and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Backends => "backends",
            Self::Clients => "clients",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Alarms a second that come into the store.
    PiledPerSecond,
    /// Tickets a second of the work, from the first call to the last event.
    PerSecond,
    /// The service's CPU seconds for 1,000 tickets of the work, and nothing else: so milliseconds for one.
    CpuPer1000,
    /// CPU while nothing is done, in percent of one core.
    IdlePercent,
    /// Resident memory before the work.
    RestingMib,
    /// The peak of resident memory, since the process began.
    PeakMib,
    /// The store's files.
    StoreMib,
    /// From the start to ready; where there is a store, after a clean stop.
    ReadyMs,
    /// From the start after `kill -9` to ready.
    RecoveredMs,
    /// From the start after `kill -9` to the first ticket of an alarm that waited in the queue.
    FirstTicketMs,
}

impl Figure {
    /// All, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::PiledPerSecond,
        Self::PerSecond,
        Self::CpuPer1000,
        Self::IdlePercent,
        Self::RestingMib,
        Self::PeakMib,
        Self::StoreMib,
        Self::ReadyMs,
        Self::RecoveredMs,
        Self::FirstTicketMs,
    ];

    /// With its unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::PiledPerSecond => "alarms/s piled up",
            Self::PerSecond => "tickets/s",
            Self::CpuPer1000 => "CPU s/1,000",
            Self::IdlePercent => "% CPU idle",
            Self::RestingMib => "MiB at rest",
            Self::PeakMib => "MiB at most",
            Self::StoreMib => "MiB on disk",
            Self::ReadyMs => "ms to ready",
            Self::RecoveredMs => "ms to ready after kill -9",
            Self::FirstTicketMs => "ms to a ticket after kill -9",
        }
    }

    /// As it is written.
    pub fn text(self, value: f64) -> String {
        let decimals = match self {
            Self::CpuPer1000 => 3,
            Self::IdlePercent => 2,
            Self::RestingMib | Self::PeakMib => 1,
            _ => 0,
        };
        format!("{value:.decimals$}")
    }
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// What grew.
    pub series: Series,
    /// How many of it there were.
    pub size: usize,
    /// From 1.
    pub round: usize,
    /// What it is.
    pub figure: Figure,
    /// In its unit.
    pub value: f64,
}

/// All numbers of a run.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub struct Samples(Vec<Sample>);

impl Samples {
    /// Says them, and keeps them.
    pub fn add(&mut self, series: Series, size: usize, round: usize, figures: &[(Figure, f64)]) {
        let text =
            |(figure, value): &(Figure, f64)| format!("{} {}", figure.text(*value), figure.title());
        let line: Vec<String> = figures.iter().map(text).collect();
        println!("  {:<9}{:>11}  {}", series.name(), grouped(size), line.join(", "));
        for &(figure, value) in figures {
            self.0.push(Sample { series, size, round, figure, value });
        }
    }

    /// The sizes that there are, the smallest first.
    pub fn sizes(&self, series: Series) -> Vec<usize> {
        let of = self.0.iter().filter(|sample| sample.series == series);
        let mut sizes: Vec<usize> = of.map(|sample| sample.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn values(&self, series: Series, size: usize, figure: Figure) -> Vec<(usize, f64)> {
        let is_it = |sample: &&Sample| {
            (sample.series, sample.size, sample.figure) == (series, size, figure)
        };
        self.0.iter().filter(is_it).map(|sample| (sample.round, sample.value)).collect()
    }

    /// Over the rounds.
    pub fn median(&self, series: Series, size: usize, figure: Figure) -> Option<f64> {
        let values = self.values(series, size, figure);
        median(&mut values.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
    }

    /// To the smallest size in the same round, so that what disturbed one disturbed the other; over the
    /// rounds.
    pub fn ratio(&self, series: Series, size: usize, figure: Figure) -> Option<f64> {
        let smallest = self.values(series, *self.sizes(series).first()?, figure);
        let values = self.values(series, size, figure);
        let ratio = |(round, value): (usize, f64)| {
            let (_, one) = smallest.iter().find(|(at, one)| *at == round && *one > 0.0)?;
            Some(value / one)
        };
        median(&mut values.into_iter().filter_map(ratio).collect::<Vec<_>>())
    }
}

/// 1,000,000.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_to_the_smallest_size_of_the_same_round() {
        let mut samples = Samples::default();
        let cost = Figure::CpuPer1000;
        for (round, size, value) in [(1, 10, 1.0), (1, 100, 1.5), (2, 100, 6.0), (2, 10, 3.0)] {
            samples.add(Series::Backends, size, round, &[(cost, value)]);
        }
        assert_eq!(samples.sizes(Series::Backends), [10, 100]);
        assert_eq!(samples.median(Series::Backends, 100, cost), Some(1.5));
        assert_eq!(samples.ratio(Series::Backends, 100, cost), Some(1.5));
        assert_eq!(samples.ratio(Series::Backends, 10, cost), Some(1.0));
        assert_eq!(samples.ratio(Series::Pending, 10, cost), None);
        assert_eq!(samples.ratio(Series::Backends, 10, Figure::PeakMib), None);
    }

    #[test]
    fn numbers_are_written_for_people() {
        let texts = [7, 999, 1_000, 60_000, 1_000_000].map(grouped);
        assert_eq!(texts, ["7", "999", "1,000", "60,000", "1,000,000"]);
    }
}
