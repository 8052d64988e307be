//! Durations, as Go writes and reads them.

/// A span of time, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Span(pub(super) i64);

const SECOND: i64 = 1_000_000_000;
/// Units from the longest suffix to the shortest, where one ends like another.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

impl Span {
    /// So many seconds, at most 292 years.
    pub(in super::super) fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// So many nanoseconds.
    pub(in super::super) fn nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Reads `-1h30m`, `1.5h`, `300ms`; `None` if it is no duration (<https://pkg.go.dev/time#ParseDuration>).
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        let (mut rest, mut sum) = (rest, 0i128);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            let (number, behind) = rest.split_at(number);
            let unit = behind.len() - behind.trim_start_matches(|c: char| c != '.' && !c.is_ascii_digit()).len();
            let (unit, behind) = behind.split_at(unit);
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
            sum = sum.checked_add(scaled(number, *unit)?)?;
            rest = behind;
        }
        i64::try_from(if is_negative { -sum } else { sum }).ok().map(Self)
    }

    /// Rounded to whole seconds, halves away from zero.
    pub(in super::super) fn rounded(self) -> Self {
        let half = if self.0 < 0 { -SECOND / 2 } else { SECOND / 2 };
        let whole = self.0.saturating_add(half);
        Self(whole - whole % SECOND)
    }

    /// The span as Go prints it: `1h30m0s`, `1.5s`, `0s`.
    pub(in super::super) fn printed(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let fraction = |unit: u64, name: &str| {
            let digits = format!("{:0width$}", nanos % unit, width = unit.ilog10() as usize);
            match digits.trim_end_matches('0') {
                "" => format!("{sign}{}{name}", nanos / unit),
                digits => format!("{sign}{}.{digits}{name}", nanos / unit),
            }
        };
        match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{nanos}ns"),
            1_000..1_000_000 => fraction(1_000, "µs"),
            1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
            _ => {
                let seconds = nanos / 1_000_000_000;
                let rest = Self(i64::try_from(nanos % 60_000_000_000).unwrap_or_default());
                let small = match rest.0 {
                    0 => "0s".to_owned(),
                    1..1_000_000_000 => format!("0.{}s", format!("{:09}", rest.0).trim_end_matches('0')),
                    _ => rest.short_seconds(),
                };
                match (seconds / 3600, seconds / 60 % 60) {
                    (0, 0) => format!("{sign}{small}"),
                    (0, minutes) => format!("{sign}{minutes}m{small}"),
                    (hours, minutes) => format!("{sign}{hours}h{minutes}m{small}"),
                }
            }
        }
    }

    /// Seconds below a minute, with their fraction.
    fn short_seconds(self) -> String {
        match format!("{:09}", self.0 % SECOND).trim_end_matches('0') {
            "" => format!("{}s", self.0 / SECOND),
            digits => format!("{}.{digits}s", self.0 / SECOND),
        }
    }

    /// The span in its largest unit, as `durationRound` of Sprig writes it: `2h`, `3mo`.
    pub(in super::super) fn round(self) -> String {
        const HOUR: u64 = 3_600_000_000_000;
        const UNITS: [(u64, &str); 6] = [
            (HOUR * 24 * 365, "y"),
            (HOUR * 24 * 30, "mo"),
            (HOUR * 24, "d"),
            (HOUR, "h"),
            (HOUR / 60, "m"),
            (HOUR / 3600, "s"),
        ];
        let nanos = self.0.unsigned_abs();
        let found = UNITS.iter().find(|(unit, _)| nanos > *unit);
        found.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", nanos / unit))
    }
}

/// A decimal number of units, in nanoseconds; what is less than a nanosecond is dropped.
fn scaled(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let part = part * i128::from(unit) / 10i128.pow(u32::try_from(digits.len()).ok()?);
    Some(whole * i128::from(unit) + part)
}
