//! Go's `time` package for templates: points in time, their layouts, and durations.

mod duration;
mod layout;
mod parse;
mod zone;

pub(super) use duration::Span;
use zone::Zone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const SECONDS_A_DAY: i64 = 86_400;
/// The years 0 to 9999, in seconds since 1970: layouts write years of four digits.
const YEARS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

/// A point in time, and the zone in which it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
    zone: Zone,
}

/// A date and the time of the day.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: u32,
    day: u32,
    /// 1 to 366.
    of_year: u32,
    /// 0 is Sunday.
    weekday: usize,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Moment {
    /// Go's zero time: the first second of the year 1.
    pub(super) const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, zone: Zone::UTC };

    /// The time that is `seconds` after 1970 began; an error outside of the years that layouts can write.
    pub(super) fn at(seconds: i64) -> Result<Self, String> {
        if YEARS.contains(&seconds) {
            return Ok(Self { seconds, nanos: 0, zone: Zone::UTC });
        }
        Err("the time is outside of the years 0 to 9999".to_owned())
    }

    /// Seconds since 1970.
    pub(super) fn unix(self) -> i64 {
        self.seconds
    }

    /// The time a span later.
    pub(super) fn plus(self, span: Span) -> Result<Self, String> {
        let nanos = i64::from(self.nanos) + span.0 % 1_000_000_000;
        let seconds = self.seconds.saturating_add(span.0 / 1_000_000_000);
        let moved = Self::at(seconds.saturating_add(nanos.div_euclid(1_000_000_000)))?;
        Ok(Self { nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default(), zone: self.zone, ..moved })
    }

    /// The same time in UTC.
    pub(super) fn utc(self) -> Self {
        Self { zone: Zone::UTC, ..self }
    }

    /// The same time in Greenwich's zone, which is UTC under another name.
    pub(super) fn gmt(self) -> Self {
        Self { zone: Zone::GMT, ..self }
    }

    /// The span from `earlier` to this time, at most 292 years.
    pub(super) fn since(self, earlier: Self) -> Span {
        let seconds = self.seconds.saturating_sub(earlier.seconds);
        let nanos = i64::from(self.nanos) - i64::from(earlier.nanos);
        Span(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// The part of date and time that Go's method of that name returns.
    pub(super) fn number(self, name: &str) -> Option<i64> {
        let civil = self.civil();
        Some(match name {
            "Year" => civil.year,
            "YearDay" => civil.of_year.into(),
            "Day" => civil.day.into(),
            "Hour" => civil.hour.into(),
            "Minute" => civil.minute.into(),
            "Second" => civil.second.into(),
            "Nanosecond" => self.nanos.into(),
            _ => return None,
        })
    }

    /// The time as Go prints it.
    pub(super) fn printed(self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// The time by RFC 3339, with as many digits of a fraction as it has.
    pub(super) fn rfc3339(self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    fn civil(self) -> Civil {
        let local = self.seconds.saturating_add(self.zone.offset.into());
        let (days, seconds) = (local.div_euclid(SECONDS_A_DAY), local.rem_euclid(SECONDS_A_DAY));
        let (year, month, day) = date(days);
        let small = |number: i64| u32::try_from(number).unwrap_or_default();
        Civil {
            year,
            month,
            day,
            of_year: small(days - days_before(year, 1, 1) + 1),
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or_default(),
            hour: small(seconds / 3600),
            minute: small(seconds / 60 % 60),
            second: small(seconds % 60),
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, in eras of 400 years that begin on the first of March
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let small = |number: i64| u32::try_from(number).unwrap_or_default();
    (year + era * 400 + i64::from(month <= 2), small(month), small(day))
}

/// The days from 1970-01-01 to a date.
fn days_before(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The days of a month.
fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests;
