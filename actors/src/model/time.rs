//! Moments and spans. Wall time (`Timestamp`) is for people, rows and wires; monotonic time
//! (`Mono`) is for everything that is live: a jump of the wall clock must change nothing that
//! runs (rule L4). A `Moment` is both, read at once by the `Clock` port.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A point of wall time with nanosecond precision, from 1677 to 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not a time.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time with an offset (for example 2026-11-21T10:00:00Z)")]
pub struct BadTime(pub String);

const NANOS_PER_MILLI: i64 = 1_000_000;

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z; clamps at the ends of the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_MILLI))
    }
    /// From nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }
    /// Whole milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(NANOS_PER_MILLI)
    }
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
    /// Any RFC 3339 precision and offset (CONTRACT 1.2).
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime(text.chars().take(64).collect());
        let parsed: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        i64::try_from(parsed.as_nanosecond()).map(Self).map_err(|_| bad())
    }
    /// This moment and a span; clamps at the end of the range.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
    /// This moment less a span; clamps at the beginning of the range.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
    /// The span since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .expect("64 bits of nanoseconds lie inside jiff's range")
    }
    /// RFC 3339 in UTC with the full precision, for rows.
    pub fn to_exact(self) -> String {
        self.to_jiff().to_string()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: the form on every wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Self::from_millis(self.as_millis());
        write!(f, "{:.3}", whole.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_exact())
    }
}

impl Serialize for Timestamp {
    /// Text where people may read it; else the nanoseconds in eight bytes, the highest first.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match to.is_human_readable() {
            true => to.collect_str(&self.to_jiff()),
            false => to.serialize_bytes(&self.0.to_be_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Not by `is_human_readable`: inside of a flattened field serde says so of every format.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsWritten)
    }
}

struct AsWritten;

impl serde::de::Visitor<'_> for AsWritten {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        Timestamp::parse(text).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Timestamp, E> {
        let nanos = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok(Timestamp(i64::from_be_bytes(nanos)))
    }
}

/// Milliseconds on the process's monotonic clock. Means nothing in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

/// Where monotonic clocks begin: an hour, so that what has waited for long before the process
/// started still lies in the order of its age (G17).
pub const MONO_BEGINS: Mono = Mono(3_600_000);

impl Mono {
    /// This moment and a span, rounded up to whole milliseconds.
    pub fn plus(self, span: Duration) -> Self {
        let millis = span.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
    /// The span since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moment {
    /// For people, rows and wires.
    pub wall: Timestamp,
    /// For everything that is live.
    pub mono: Mono,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_precision_and_offset_is_read_and_milliseconds_are_written() {
        for (text, out) in [
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000Z"),
            ("2026-11-21T11:00:00.5+01:00", "2026-11-21T10:00:00.500Z"),
            ("2026-11-21T10:00:00.123456789Z", "2026-11-21T10:00:00.123Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), out);
        }
    }

    #[test]
    fn what_is_packed_is_read_back_to_the_nanosecond_and_a_number_is_no_time() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Row {
            at: Timestamp,
            #[serde(flatten)]
            more: More,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct More {
            since: Option<Timestamp>,
        }
        for nanos in [i64::MIN, -1, 0, 1, 1_795_000_000_123_456_789, i64::MAX] {
            let at = Timestamp::from_nanos(nanos);
            let row = Row { at, more: More { since: Some(at) } };
            let packed = rmp_serde::to_vec_named(&row).unwrap();
            assert_eq!(rmp_serde::from_slice::<Row>(&packed).unwrap(), row);
            let text = serde_json::to_string(&row).unwrap();
            assert!(text.contains(&at.to_exact()), "{text}");
            assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
        }
        assert!(serde_json::from_str::<Timestamp>("1795000000").is_err());
    }

    #[test]
    fn a_time_without_offset_or_out_of_range_is_refused() {
        for text in ["2026-11-21T10:00:00", "yesterday", "", "9999-01-01T00:00:00Z"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_stored_form_keeps_every_nanosecond() {
        let time = Timestamp::parse("2026-11-21T10:00:00.123456789Z").unwrap();
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time);
    }
}
