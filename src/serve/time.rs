//! Dates in RFC 3339 in UTC with a resolution of seconds, as used in JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::DateTime;
use serde::{Deserialize, Deserializer, Serializer, de};

use crate::domain::later;

/// Formats a time as `2026-11-22T00:30:00Z`. Times before 1970 become 1970, and those after 9999 its last second.
fn rfc3339(at: SystemTime) -> String {
    let since = later(at.max(UNIX_EPOCH), Duration::ZERO).duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_unix_duration(since).map_or_else(|_| String::new(), |date| date.to_string())
}

/// Parses exactly the format of [`rfc3339`].
fn parse(text: &str) -> Option<SystemTime> {
    text.parse::<DateTime>().ok().map(|date| UNIX_EPOCH + date.unix_duration())
}

pub(super) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| de::Error::custom("expected a date such as 2026-11-22T00:30:00Z"))
}

/// The same for an optional date (`null`).
pub(super) mod maybe {
    use super::*;

    pub(in crate::serve) fn serialize<S: Serializer>(at: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::serve) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let date = |text: String| parse(&text).ok_or_else(|| de::Error::custom("expected a date, or null"));
        text.map(date).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From date(1): date -u -d @N +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_307_400, "2026-11-22T00:30:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(at(seconds)), text);
            assert_eq!(parse(text), Some(at(seconds)), "{text}");
        }
    }

    #[test]
    fn every_day_comes_back_as_itself() {
        let mut seen = String::new();
        for day in 0..60_000 {
            let moment = at(day * 86_400 + 7);
            let text = rfc3339(moment);
            assert!(text > seen, "{text} after {seen}");
            assert_eq!(parse(&text), Some(moment), "{text}");
            seen = text;
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T00:60:00Z",
            "2026-11-22T00:30:00+01:00",
            "2026-11-22T00:30:00Zx",
            "0000-01-01T00:00:00Z",
            "+026-11-22T00:30:00Z",
            "2026-11-2é00:30:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
