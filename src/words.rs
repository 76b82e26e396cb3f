//! Spans of time as people write them in a config file: `500ms`, `30s`, `5m`, `2h`, `1d`; and
//! rates: `10/s`, `300/m`.
//!
//! One whole number and one unit. What is written reads back as the same span; spans are whole
//! milliseconds.

use std::time::Duration;

/// The units, largest first, each with its milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time: write a whole number and ms, s, m, h or d, for example 30s")]
pub struct BadDuration(pub String);

/// Reads `30s`.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.chars().take(64).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(bad)
}

/// Writes a span in the largest unit that says it exactly; below a millisecond is cut off.
pub fn format_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.iter().find(|(_, unit)| millis % unit == 0);
    let (name, unit) = exact.expect("every whole number of milliseconds divides by 1 ms");
    format!("{}{name}", millis / unit)
}

/// Why a text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate: write a whole number, a slash and s, m, h or d, for example 10/s")]
pub struct BadRate(pub String);

/// Reads `10/s`: so many in so much time, neither of them none.
pub fn parse_rate(text: &str) -> Result<(u32, Duration), BadRate> {
    let bad = || BadRate(text.chars().take(64).collect());
    let (calls, unit) = text.split_once('/').ok_or_else(bad)?;
    let calls: u32 = calls.parse().map_err(|_| bad())?;
    let (_, millis) =
        UNITS.iter().find(|(name, _)| *name == unit && *name != "ms").ok_or_else(bad)?;
    if calls == 0 {
        return Err(bad());
    }
    Ok((calls, Duration::from_millis(*millis)))
}

/// For fields that may be absent: `#[serde(default, with = "words::optional_rate")]`.
pub mod optional_rate {
    use super::parse_rate;
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    /// Reads a rate from a word, where there is one.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<(u32, Duration)>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_rate(&text).map_err(D::Error::custom)).transpose()
    }
}

/// For fields: `#[serde(with = "words::duration")]`.
pub mod duration {
    use super::{format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    /// Writes a span as a word.
    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*span))
    }

    /// Reads a span from a word.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// For fields that may be absent: `#[serde(default, with = "words::optional_duration")]`.
pub mod optional_duration {
    use super::{format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    /// Writes a span as a word, or nothing.
    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => to.serialize_some(&format_duration(*span)),
            None => to.serialize_none(),
        }
    }

    /// Reads a span from a word, where there is one.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_duration(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_back() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("90s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(parse_duration("1000ms").unwrap()), "1s");
    }

    #[test]
    fn what_is_not_a_number_and_a_unit_is_refused() {
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30S", "1h30m", "99999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_a_number_a_slash_and_a_unit() {
        assert_eq!(parse_rate("10/s"), Ok((10, Duration::from_secs(1))));
        assert_eq!(parse_rate("300/m"), Ok((300, Duration::from_secs(60))));
        for text in ["", "10", "/s", "0/s", "1.5/s", "-1/s", "10/ms", "10 /s", "10/s/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_of_settings_are_words() {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Settings {
            #[serde(with = "duration")]
            must: Duration,
            #[serde(default, with = "optional_duration")]
            may: Option<Duration>,
        }
        let read: Settings = toml::from_str("must = \"30s\"\nmay = \"1d\"").unwrap();
        assert_eq!(read.may, Some(Duration::from_secs(86_400)));
        assert_eq!(toml::from_str::<Settings>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert_eq!(toml::from_str::<Settings>("must = \"1s\"").unwrap().may, None);
        let error = toml::from_str::<Settings>("must = \"soon\"").unwrap_err();
        assert!(error.to_string().contains("for example 30s"), "{error}");
    }
}
