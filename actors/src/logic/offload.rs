//! Which history rows go to a file, to which one, and when (rules C1–C3): all of it without IO.
//!
//! The names of folders and files are known here alone: `yyyy_MM_dd/Offload_<Hour>_<Timespan>.csv`, by
//! the hour at which the file's span of time begins in the configured zone.

use crate::model::{HistoryList, Mono, Timestamp};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// What the offload was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffloadSettings {
    /// Rows that a list may have.
    pub max_rows: u64,
    /// How far below that an offload brings it; 1 to `max_rows`.
    pub amount: u64,
    /// When it is looked whether there are too many.
    pub check: Check,
    /// Hours of a file; divides 24.
    pub span_hours: i8,
    /// Whose days and hours.
    pub zone: TimeZone,
    /// Files whose span ended longer ago go; none: they stay.
    pub keep_files: Option<Duration>,
}

/// When the lists are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// From one look to the next.
    Every(Duration),
    /// Once a day, by the zone's clock.
    At(Time),
}

/// What a list may have where nothing is offloaded: what is over goes for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Rows that are older go; none: age does not matter.
    pub keep: Option<Duration>,
    /// Rows of a list at most; the oldest go.
    pub most: [(HistoryList, u64); 3],
}

impl Default for HistoryLimits {
    /// 90 days, as the other tables; 1,000 tickets, as Océane's connector has it.
    fn default() -> Self {
        let most = [
            (HistoryList::Status, 10_000),
            (HistoryList::Tickets, 1_000),
            (HistoryList::Failed, 1_000),
        ];
        Self { keep: Some(90 * DAY), most }
    }
}

/// How many of the oldest rows go to a file. A check takes none until there are more than `max_rows`; a
/// person's order takes what is more than an offload leaves. Either leaves `max_rows - amount`.
pub fn rows_to_take(count: u64, ordered: bool, settings: &OffloadSettings) -> u64 {
    if count <= settings.max_rows && !ordered {
        return 0;
    }
    count.saturating_sub(settings.max_rows.saturating_sub(settings.amount))
}

/// Tells when a check is due.
#[derive(Debug)]
pub struct Checks {
    check: Check,
    zone: TimeZone,
    looked: Mono,
    looked_at: Timestamp,
}

impl Checks {
    /// From this moment on.
    pub fn new(settings: &OffloadSettings, mono: Mono, wall: Timestamp) -> Self {
        let zone = settings.zone.clone();
        Self { check: settings.check, zone, looked: mono, looked_at: wall }
    }

    /// Is a check due? Says so once. A time of day that passed while nobody looked counts if that was
    /// within a day; a clock that was set back makes nothing due twice.
    pub fn due(&mut self, mono: Mono, wall: Timestamp) -> bool {
        match self.check {
            Check::Every(span) => {
                let due = mono.since(self.looked) >= span;
                if due {
                    self.looked = mono;
                }
                due
            }
            Check::At(time) => {
                let before = self.looked_at;
                if wall <= before {
                    // It was far ahead, and is right again.
                    if before.since(wall) > DAY {
                        self.looked_at = wall;
                    }
                    return false;
                }
                self.looked_at = wall;
                let today = local(wall, &self.zone).0;
                [Some(today), today.yesterday().ok()].into_iter().flatten().any(|date| {
                    moment(date, time, &self.zone).is_some_and(|at| before < at && at <= wall)
                })
            }
        }
    }
}

/// The date and the hour of a moment in a zone.
fn local(at: Timestamp, zone: &TimeZone) -> (Date, i8) {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos()))
        .expect("64 bits of nanoseconds lie inside jiff's range");
    let there = zone.to_datetime(at);
    (there.date(), there.hour())
}

/// A time of a day in a zone; where the clocks are changed just then, the nearest that there is.
fn moment(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_timestamp(date.to_datetime(time)).ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// The span of time that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    date: Date,
    hour: i8,
    hours: i8,
}

const FOLDER: &str = "%Y_%m_%d";

impl Span {
    /// The span in which a moment lies.
    pub fn of(at: Timestamp, settings: &OffloadSettings) -> Self {
        let (date, hour) = local(at, &settings.zone);
        let hours = settings.span_hours.max(1);
        Self { date, hour: hour - hour % hours, hours }
    }

    /// Its folder.
    pub fn folder(&self) -> String {
        self.date.strftime(FOLDER).to_string()
    }

    /// Its file.
    pub fn file(&self) -> String {
        format!("Offload_{:02}_{}.csv", self.hour, self.hours)
    }

    /// The file that is written before it takes that one's place.
    pub fn unfinished(&self) -> String {
        format!(".{}.part", self.file())
    }

    /// The day of a folder that is one of ours.
    pub fn day_of(folder: &str) -> Option<Date> {
        let date = Date::strptime(FOLDER, folder).ok()?;
        // What is read more kindly than it is written is not ours.
        (date.strftime(FOLDER).to_string() == folder).then_some(date)
    }

    /// The span of a file of ours, finished or not; none: it is somebody else's.
    pub fn read(date: Date, file: &str) -> Option<Self> {
        let finished = file.strip_prefix('.').and_then(|it| it.strip_suffix(".part"));
        let numbers = finished.unwrap_or(file).strip_prefix("Offload_")?.strip_suffix(".csv")?;
        let (hour, hours) = numbers.split_once('_')?;
        let span = Self { date, hour: hour.parse().ok()?, hours: hours.parse().ok()? };
        let right = matches!(span.hours, 1..=24) && matches!(span.hour, 0..=23);
        let written = file == span.file() || file == span.unfinished();
        (right && written).then_some(span)
    }

    /// When it ends; for the last file of a day that is the day's end.
    pub fn end(&self, zone: &TimeZone) -> Option<Timestamp> {
        let hour = self.hour + self.hours;
        if hour >= 24 {
            return moment(self.date.tomorrow().ok()?, Time::midnight(), zone);
        }
        moment(self.date, Time::new(hour, 0, 0, 0).ok()?, zone)
    }

    /// May a file of this span go? What was never finished goes once nobody can be writing it.
    pub fn over(&self, finished: bool, now: Timestamp, settings: &OffloadSettings) -> bool {
        let kept = if finished { settings.keep_files } else { Some(Duration::ZERO) };
        let end = self.end(&settings.zone);
        kept.zip(end).is_some_and(|(kept, end)| end.plus(kept) < now)
    }
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe before it.
pub fn plain(cell: &str) -> Cow<'_, str> {
    match cell.as_bytes().first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') => Cow::Owned(format!("'{cell}")),
        _ => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    fn settings() -> OffloadSettings {
        OffloadSettings {
            max_rows: 100,
            amount: 40,
            check: Check::Every(Duration::from_secs(60)),
            span_hours: 6,
            zone: TimeZone::UTC,
            keep_files: Some(Duration::from_secs(86_400)),
        }
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn an_offload_leaves_max_minus_amount_however_many_there_were() {
        for (count, ordered, taken) in [
            (0, false, 0),
            (100, false, 0),
            (101, false, 41),
            (1_000, false, 940),
            (60, true, 0),
            (61, true, 1),
            (100, true, 40),
        ] {
            assert_eq!(rows_to_take(count, ordered, &settings()), taken, "{count} {ordered}");
        }
        let all = OffloadSettings { amount: 100, ..settings() };
        assert_eq!(rows_to_take(101, false, &all), 101, "nothing is left where amount is max");
    }

    #[test]
    fn a_file_is_named_by_the_hour_at_which_its_span_begins_in_its_zone() {
        let west = TimeZone::fixed(Offset::from_hours(-5).unwrap());
        let half = TimeZone::fixed(Offset::from_seconds(5 * 3600 + 1800).unwrap());
        for (hours, zone, at, folder, file) in [
            (6, &TimeZone::UTC, "2026-11-21T10:59:59Z", "2026_11_21", "Offload_06_6.csv"),
            (1, &TimeZone::UTC, "2026-11-21T10:00:00Z", "2026_11_21", "Offload_10_1.csv"),
            (24, &TimeZone::UTC, "2026-11-21T23:59:59Z", "2026_11_21", "Offload_00_24.csv"),
            (6, &west, "2026-11-21T04:00:00Z", "2026_11_20", "Offload_18_6.csv"),
            (1, &half, "2026-11-21T18:45:00Z", "2026_11_22", "Offload_00_1.csv"),
        ] {
            let settings = OffloadSettings { span_hours: hours, zone: zone.clone(), ..settings() };
            let span = Span::of(time(at), &settings);
            assert_eq!((span.folder().as_str(), span.file().as_str()), (folder, file));
            let read = Span::read(Span::day_of(folder).unwrap(), file);
            assert_eq!(read, Some(span), "its name says what it is");
            assert_eq!(Span::read(Span::day_of(folder).unwrap(), &span.unfinished()), Some(span));
        }
    }

    #[test]
    fn what_is_not_named_as_we_name_it_is_not_ours() {
        for folder in ["2026_11_1", "2026_13_01", "2026-11-21", "2026_11_21 ", "old", "", "."] {
            assert_eq!(Span::day_of(folder), None, "{folder}");
        }
        let day = Span::day_of("2026_11_21").unwrap();
        for file in [
            "Offload_6_6.csv",
            "Offload_06_06.csv",
            "Offload_24_1.csv",
            "Offload_00_25.csv",
            "Offload_00_0.csv",
            "Offload_-1_1.csv",
            "Offload_00_1.csv.bak",
            "Offload_00_1.CSV",
            "notes.txt",
            ".Offload_00_1.csv",
            "Offload_00_1.csv.part",
        ] {
            assert_eq!(Span::read(day, file), None, "{file}");
        }
    }

    #[test]
    fn a_file_goes_when_its_span_has_been_over_for_so_long() {
        let span = Span::of(time("2026-11-21T10:00:00Z"), &settings());
        for (finished, now, over) in [
            (true, "2026-11-22T12:00:00Z", false),
            (true, "2026-11-22T12:00:01Z", true),
            (false, "2026-11-21T12:00:00Z", false),
            (false, "2026-11-21T12:00:01Z", true),
        ] {
            assert_eq!(span.over(finished, time(now), &settings()), over, "{finished} {now}");
        }
        let for_ever = OffloadSettings { keep_files: None, ..settings() };
        assert!(!span.over(true, time("2126-11-21T12:00:00Z"), &for_ever));
        let last = Span::of(time("2026-12-31T23:00:00Z"), &settings());
        assert_eq!(last.end(&TimeZone::UTC), Some(time("2027-01-01T00:00:00Z")));
    }

    #[test]
    fn a_check_is_due_by_the_running_clock_or_once_a_day() {
        let start = time("2026-11-21T01:59:00Z");
        let mut every = Checks::new(&settings(), Mono(0), start);
        // However the wall clock jumps.
        for (mono, due) in [(59_999, false), (60_000, true), (60_001, false), (120_000, true)] {
            assert_eq!(every.due(Mono(mono), time("2020-01-01T00:00:00Z")), due, "{mono}");
        }
        let at = Check::At(jiff::civil::time(2, 0, 0, 0));
        let mut daily = Checks::new(&OffloadSettings { check: at, ..settings() }, Mono(0), start);
        for (wall, due) in [
            ("2026-11-21T01:59:59Z", false),
            ("2026-11-21T02:00:00Z", true),
            ("2026-11-21T02:00:01Z", false),
            ("2026-11-21T01:30:00Z", false),
            ("2026-11-21T02:00:01Z", false),
            // The machine slept over it.
            ("2026-11-22T03:00:00Z", true),
            ("2026-11-23T01:00:00Z", false),
            // It was a year ahead for a moment.
            ("2027-11-23T01:00:00Z", true),
            ("2026-11-23T01:00:01Z", false),
            ("2026-11-23T02:00:00Z", true),
        ] {
            assert_eq!(daily.due(Mono(0), time(wall)), due, "{wall}");
        }
    }

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(plain(cell), format!("'{cell}"));
        }
        for cell in ["", "INC1", "'=1", "a=1", " =1", "\n=1"] {
            assert_eq!(plain(cell), cell);
        }
    }
}
