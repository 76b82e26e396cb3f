//! What is over: `[offload]` and `[history]`, and how long the main tables keep it.

use crate::words;
use jiff::civil::Time;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use ticketgate_actors::logic::offload::{Check, HistoryLimits, OffloadSettings};
use ticketgate_actors::model::HistoryList;

const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// Rows of a list at most, in any of these sections.
const ROWS_MAX: u64 = 10_000_000;

/// `[offload]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffloadSection {
    /// History goes to CSV files. Off by default: nobody wants files in a place that they did not name.
    pub enabled: bool,
    /// The folder of the files; made if it is not there.
    pub path: PathBuf,
    /// Rows that a list may have before it is offloaded: "Max Amount of Incidents".
    pub max_rows: u64,
    /// How far below that it is brought: "Amount of Incidents to Offload".
    pub amount: u64,
    /// From one look to the next, 1 s to 1 d.
    #[serde(with = "words::duration")]
    pub check_every: Duration,
    /// Or once a day at this time, `HH:MM`; then `check_every` does not count.
    pub check_at: Option<String>,
    /// What a file is for: whole hours that divide a day.
    #[serde(with = "words::duration")]
    pub timespan: Duration,
    /// Whose days and hours: `UTC`, `+01:00`, or a name that the machine knows, as `Europe/Brussels`.
    pub time_zone: String,
    /// Files are removed so long after their span; absent: never.
    #[serde(with = "words::optional_duration")]
    pub keep_files: Option<Duration>,
}

impl Default for OffloadSection {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "ticketgate-offload".into(),
            max_rows: 10_000,
            amount: 5_000,
            check_every: Duration::from_secs(60),
            check_at: None,
            timespan: HOUR,
            time_zone: "UTC".to_owned(),
            keep_files: None,
        }
    }
}

impl OffloadSection {
    /// As the actor takes it.
    ///
    /// # Errors
    /// Every key at fault, and what is allowed.
    pub fn settings(&self) -> Result<OffloadSettings, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let mut wrong = |key: &'static str, what: String| faults.push((key, what));
        if !(1..=ROWS_MAX).contains(&self.max_rows) {
            wrong("max_rows", format!("must be 1 to {ROWS_MAX}"));
        }
        if !(1..=self.max_rows.max(1)).contains(&self.amount) {
            wrong("amount", "must be 1 to max_rows: an offload leaves max_rows - amount".into());
        }
        if !(Duration::from_secs(1)..=DAY).contains(&self.check_every) {
            wrong("check_every", "must be 1s to 1d".into());
        }
        let check = match self.check_at.as_deref().map(|text| (text, time(text))) {
            None => Check::Every(self.check_every),
            Some((_, Some(time))) => Check::At(time),
            Some((text, None)) => {
                wrong("check_at", format!("{text:?} is not a time of day: write HH:MM"));
                Check::Every(self.check_every)
            }
        };
        let hours = self.timespan.as_secs() / HOUR.as_secs();
        let whole = Duration::from_secs(hours * HOUR.as_secs()) == self.timespan;
        if !whole || hours == 0 || 24 % hours != 0 {
            let what = "must be whole hours that divide a day: 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h";
            wrong("timespan", what.into());
        }
        let zone = zone(&self.time_zone);
        if zone.is_none() {
            let what = format!(
                "{:?} is no time zone that this machine knows: write UTC, an offset as +01:00, or a \
                 name as Europe/Brussels where the machine has the time zone database",
                self.time_zone
            );
            wrong("time_zone", what);
        }
        if self.path.as_os_str().is_empty() {
            wrong("path", "must name a folder".into());
        }
        if self.keep_files.is_some_and(|keep| keep < HOUR) {
            wrong("keep_files", "must be at least 1h; leave it out to keep files for ever".into());
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(OffloadSettings {
            max_rows: self.max_rows,
            amount: self.amount,
            check,
            span_hours: i8::try_from(hours).unwrap_or(24),
            zone: zone.unwrap_or(TimeZone::UTC),
            keep_files: self.keep_files,
        })
    }
}

/// `HH:MM`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = two_numbers(text)?;
    Time::new(hour, minute, 0, 0).ok()
}

fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let (sign, rest) = match name.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, name.strip_prefix('+').unwrap_or_default()),
    };
    if rest.is_empty() {
        return TimeZone::get(name).ok();
    }
    let (hours, minutes) = two_numbers(rest).filter(|(_, minutes)| *minutes < 60)?;
    let seconds = sign * (i32::from(hours) * 3_600 + i32::from(minutes) * 60);
    Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
}

/// Two numbers of two digits and a colon between.
fn two_numbers(text: &str) -> Option<(i8, i8)> {
    let (one, other) = text.split_once(':')?;
    let number = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|it| it.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    };
    number(one).zip(number(other))
}

/// `[history]`: what the lists may have while nothing is offloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySection {
    /// Older rows go: "Ticket Storage Duration Limit".
    #[serde(with = "words::duration")]
    pub keep: Duration,
    /// Rows of the list `status` at most.
    pub status_max: u64,
    /// Of `tickets`: "Ticket Storage Count Limit".
    pub tickets_max: u64,
    /// Of `failed`.
    pub failed_max: u64,
}

impl Default for HistorySection {
    fn default() -> Self {
        let limits = HistoryLimits::default();
        let [(_, status_max), (_, tickets_max), (_, failed_max)] = limits.most;
        Self { keep: limits.keep.unwrap_or(90 * DAY), status_max, tickets_max, failed_max }
    }
}

impl HistorySection {
    /// As the actor takes it.
    pub fn limits(&self) -> HistoryLimits {
        let most = [
            (HistoryList::Status, self.status_max),
            (HistoryList::Tickets, self.tickets_max),
            (HistoryList::Failed, self.failed_max),
        ];
        HistoryLimits { keep: Some(self.keep), most }
    }

    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.keep < HOUR {
            faults.push(("keep", "must be at least 1h".to_owned()));
        }
        for (key, most) in [
            ("status_max", self.status_max),
            ("tickets_max", self.tickets_max),
            ("failed_max", self.failed_max),
        ] {
            if !(1..=ROWS_MAX).contains(&most) {
                faults.push((key, format!("must be 1 to {ROWS_MAX}")));
            }
        }
        faults
    }
}
