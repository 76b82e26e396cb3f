//! Their words for ours, both ways, and their way of writing time.
//!
//! What always holds: a map never guesses. A word that it does not have is an error on the way out
//! and is read as it is on the way in, unless `otherwise` says something else; where two of our words
//! become one of theirs, the description must say which one that reads as.
//!
//! What it leaves to others: where a map is used (`templates`, `places`).

use super::wire::{MapDescription, TimesDescription};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// A compiled map.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    to: BTreeMap<String, String>,
    from: BTreeMap<String, String>,
    otherwise_to: Option<String>,
    otherwise_from: Option<String>,
}

impl Map {
    /// Checks a map and makes its way back.
    ///
    /// # Errors
    /// Of which word it is not clear how it reads.
    pub fn of(described: &MapDescription) -> Result<Self, String> {
        let mut from = described.from.clone();
        let mut told: BTreeMap<&str, &str> = BTreeMap::new();
        for (ours, theirs) in &described.to {
            if described.from.contains_key(theirs) {
                continue;
            }
            if let Some(before) = told.insert(theirs, ours) {
                return Err(format!(
                    "{before:?} and {ours:?} both become {theirs:?}: say in `from` how it reads"
                ));
            }
            from.insert(theirs.clone(), ours.clone());
        }
        Ok(Self {
            to: described.to.clone(),
            from,
            otherwise_to: described.otherwise_to.clone(),
            otherwise_from: described.otherwise_from.clone(),
        })
    }

    /// Their word for ours.
    pub fn to(&self, ours: &str) -> Option<&str> {
        self.to.get(ours).or(self.otherwise_to.as_ref()).map(String::as_str)
    }

    /// Our word for theirs.
    pub fn from<'a>(&'a self, theirs: &'a str) -> &'a str {
        self.from.get(theirs).or(self.otherwise_from.as_ref()).map_or(theirs, String::as_str)
    }

    /// One of our words, to try a template out.
    pub fn example(&self) -> Option<&str> {
        self.to.values().next().or(self.otherwise_to.as_ref()).map(String::as_str)
    }
}

/// How times are written and read.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// None: RFC 3339 in UTC.
    format: Option<String>,
    zone: TimeZone,
}

impl Times {
    /// Checks the description.
    ///
    /// # Errors
    /// The key below `times`, and what is wrong with it.
    pub fn of(described: &TimesDescription) -> Result<Self, (&'static str, String)> {
        let zone = match described.zone.as_str() {
            "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                ("zone", format!("{name:?} is not a time zone of this machine (package tzdata)"))
            })?,
        };
        let times = Self { format: described.format.clone(), zone };
        if times.format.is_some() {
            let written = times.write("2026-11-21T10:00:00Z").map_err(|error| ("format", error))?;
            let unreadable = "a time that is written like this cannot be read again";
            times.read(&written).ok_or_else(|| ("format", unreadable.to_owned()))?;
        }
        Ok(times)
    }

    /// Writes an RFC 3339 time as they want it.
    pub fn write(&self, text: &str) -> Result<String, String> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| "a value is no time (RFC 3339)".to_owned())?;
        match &self.format {
            None => Ok(format!("{time:.3}")),
            Some(format) => strtime::format(format, &time.to_zoned(self.zone.clone()))
                .map_err(|error| format!("times cannot be written so: {error}")),
        }
    }

    /// Reads their time: RFC 3339 with milliseconds in UTC.
    pub fn read(&self, text: &str) -> Option<String> {
        let time = match &self.format {
            None => match text.parse::<jiff::Timestamp>() {
                Ok(time) => time,
                // XML Schema's dateTime need not say its zone.
                Err(_) => {
                    let local: jiff::civil::DateTime = text.parse().ok()?;
                    local.to_zoned(self.zone.clone()).ok()?.timestamp()
                }
            },
            Some(format) => {
                // A format with an offset says which moment it is; without, the zone does.
                let in_format = strtime::parse(format, text).ok().and_then(|broken| {
                    broken.to_timestamp().ok().or_else(|| {
                        let local = broken.to_datetime().ok()?;
                        Some(local.to_zoned(self.zone.clone()).ok()?.timestamp())
                    })
                });
                // Some are asked in one way, and answer with a whole RFC 3339 time, which is never
                // mistaken for another one.
                in_format.or_else(|| text.parse().ok())?
            }
        };
        Some(format!("{time:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_map_goes_both_ways_and_says_where_it_cannot() {
        let to = words(&[("critical", "1"), ("major", "2"), ("minor", "2")]);
        let ambiguous = MapDescription { to: to.clone(), ..MapDescription::default() };
        let told = Map::of(&ambiguous).unwrap_err();
        assert!(told.contains("major") && told.contains("minor"), "{told}");
        let from = words(&[("2", "major")]);
        let map = Map::of(&MapDescription { to, from, ..MapDescription::default() }).unwrap();
        assert_eq!((map.to("minor"), map.to("odd")), (Some("2"), None));
        assert_eq!((map.from("2"), map.from("1"), map.from("9")), ("major", "critical", "9"));
        let otherwise = MapDescription {
            otherwise_to: Some("4".to_owned()),
            otherwise_from: Some("indeterminate".to_owned()),
            ..MapDescription::default()
        };
        let map = Map::of(&otherwise).unwrap();
        assert_eq!((map.to("x"), map.from("y")), (Some("4"), "indeterminate"));
    }

    #[test]
    fn times_are_written_and_read_in_their_format_and_zone() {
        let at = "2026-07-21T10:00:00.250+00:00";
        for (format, zone, written, read) in [
            (None, "UTC", "2026-07-21T10:00:00.250Z", "2026-07-21T10:00:00.250Z"),
            (Some("%Y-%m-%d %H:%M:%S"), "UTC", "2026-07-21 10:00:00", "2026-07-21T10:00:00.000Z"),
            (
                Some("%Y-%m-%dT%H:%M:%S%:z"),
                "UTC",
                "2026-07-21T10:00:00+00:00",
                "2026-07-21T10:00:00.000Z",
            ),
            (Some("%s"), "UTC", "1784628000", "2026-07-21T10:00:00.000Z"),
        ] {
            let described =
                TimesDescription { format: format.map(str::to_owned), zone: zone.to_owned() };
            let times = Times::of(&described).unwrap();
            assert_eq!(times.write(at).as_deref(), Ok(written));
            assert_eq!(times.read(written).as_deref(), Some(read));
            assert_eq!(times.read("soon"), None);
            assert!(times.write("soon").is_err());
        }
    }

    #[test]
    fn a_zone_moves_the_clock_also_over_its_changes() {
        let described = TimesDescription {
            format: Some("%d.%m.%Y %H:%M".to_owned()),
            zone: "Europe/Brussels".to_owned(),
        };
        let Ok(times) = Times::of(&described) else { return };
        for (at, written) in [
            ("2026-01-21T10:00:00Z", "21.01.2026 11:00"),
            ("2026-07-21T10:00:00Z", "21.07.2026 12:00"),
        ] {
            assert_eq!(times.write(at).as_deref(), Ok(written));
        }
        assert_eq!(times.read("21.07.2026 12:00").as_deref(), Some("2026-07-21T10:00:00.000Z"));
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_one_that_the_description_names() {
        let described = |zone: &str| TimesDescription { format: None, zone: zone.to_owned() };
        let times = Times::of(&described("UTC")).unwrap();
        assert_eq!(times.read("2026-07-21T12:00:00").as_deref(), Some("2026-07-21T12:00:00.000Z"));
        assert_eq!(
            times.read("2026-07-21T12:00:00+02:00").as_deref(),
            Some("2026-07-21T10:00:00.000Z")
        );
        let Ok(times) = Times::of(&described("Europe/Brussels")) else { return };
        assert_eq!(times.read("2026-07-21T12:00:00").as_deref(), Some("2026-07-21T10:00:00.000Z"));
    }

    #[test]
    fn a_format_or_zone_that_cannot_work_is_told() {
        for (format, zone, key) in [
            (None, "Mars/Olympus", "zone"),
            (Some("%Q!"), "UTC", "format"),
            (Some("%H:%M"), "UTC", "format"),
        ] {
            let described =
                TimesDescription { format: format.map(str::to_owned), zone: zone.to_owned() };
            assert_eq!(Times::of(&described).unwrap_err().0, key);
        }
    }
}
