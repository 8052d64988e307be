//! Durations and dates received from others: bounded on input, with arithmetic that saturates instead of panicking.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A hundred years: longer durations are cut to this on input, so that their sums stay far from overflow.
pub const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The last second that HTTP dates and RFC 3339 can express, as time since 1970: 9999-12-31T23:59:59Z.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// A number of seconds in a backend's JSON, at most [`LONGEST_LIFE`]: a negative number is 0, and a fraction is cut
/// off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seconds(u64);

impl Seconds {
    /// The seconds as a duration.
    pub fn life(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Whether the duration is 0.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads a JSON number; `None` for anything else.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl From<u64> for Seconds {
    fn from(seconds: u64) -> Self {
        Self(seconds.min(LONGEST_LIFE.as_secs()))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Number)
    }
}

/// The deserializer of [`Seconds`].
struct Number;

impl Visitor<'_> for Number {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
        Ok(seconds.into())
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
        Ok(u64::try_from(seconds).unwrap_or(0).into())
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Seconds, E> {
        // A cast of a float saturates.
        Ok((seconds as u64).into())
    }

    fn visit_unit<E: Error>(self) -> Result<Seconds, E> {
        Ok(Seconds::default())
    }
}

/// `of` times `factor`: zero for a negative factor or NaN, [`Duration::MAX`] if the result is too long.
pub fn scaled(of: Duration, factor: f64) -> Duration {
    if factor.is_nan() || factor <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(of.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// `of` divided by `parts`; `of` itself if `parts` is 0.
pub fn part(of: Duration, parts: u32) -> Duration {
    of.checked_div(parts).unwrap_or(of)
}

/// `at` plus `wait`, at most the last date that can be written.
pub fn later(at: SystemTime, wait: Duration) -> SystemTime {
    let last = UNIX_EPOCH.checked_add(LAST_DATE).unwrap_or(at);
    at.checked_add(wait).map_or(last, |date| date.min(last))
}

/// A date in HTTP's format, for messages. A date outside its range is replaced by the nearest one inside.
#[expect(clippy::disallowed_methods, reason = "bounded here, so that nobody else has to")]
pub fn http_date(at: SystemTime) -> String {
    httpdate::fmt_http_date(later(at.max(UNIX_EPOCH), Duration::ZERO))
}

/// Parses `Retry-After` (RFC 9110, 10.2.3): seconds, or a date relative to `now` (an IMF-fixdate or a
/// date of RFC 850 or asctime); `None` when it is none of them. A date that is past is no wait.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(header.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        for (header, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:17 GMT", Some(0)),
            ("3600", Some(3600)),
            ("Fri, 06 Nov 2093 08:49:37 GMT", Some(3_124_224_000)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected.map(Duration::from_secs), "{header:?}");
        }
        assert_eq!(retry_after("99999999999999999999999999", now), Some(Duration::MAX));
    }

    #[test]
    fn a_life_is_read_from_any_number_and_is_never_longer_than_a_century() {
        let century = LONGEST_LIFE;
        for (json, life) in [
            ("0", Duration::ZERO),
            ("3600", Duration::from_secs(3600)),
            ("59.9", Duration::from_secs(59)),
            ("-1", Duration::ZERO),
            ("-9223372036854775808", Duration::ZERO),
            ("-1e300", Duration::ZERO),
            ("null", Duration::ZERO),
            ("18446744073709551615", century),
            ("18446744073709551616", century),
            ("1e300", century),
        ] {
            assert_eq!(Seconds::parse(json).map(Seconds::life), Some(life), "{json}");
        }
        for json in ["\"1h\"", "\"3600\"", "[]", "{}", "true", "", "NaN"] {
            assert_eq!(Seconds::parse(json), None, "{json}");
        }
    }

    #[test]
    fn scaling_saturates() {
        let hour = Duration::from_secs(3600);
        assert_eq!(scaled(hour, 0.5), hour / 2);
        for factor in [0.0, -1.0, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(scaled(hour, factor), Duration::ZERO, "{factor}");
        }
        assert_eq!(scaled(hour, f64::INFINITY), Duration::MAX);
        assert_eq!(scaled(Duration::MAX, 1.0), Duration::MAX);
        assert_eq!((part(hour, 2), part(hour, 0)), (hour / 2, hour));
    }

    #[test]
    fn dates_end_with_the_year_9999_and_begin_with_1970() {
        let last = "Fri, 31 Dec 9999 23:59:59 GMT";
        assert_eq!(http_date(later(UNIX_EPOCH, Duration::MAX)), last);
        assert_eq!(http_date(later(UNIX_EPOCH, LAST_DATE * 2)), last);
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(later(UNIX_EPOCH, Duration::from_secs(7)), UNIX_EPOCH + Duration::from_secs(7));
    }
}
