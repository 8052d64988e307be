//! The function `timestamp`: the present time in UTC, in a layout of Go's.

use super::super::arguments::Kind::String as Str;
use super::super::value::Value;
use super::{Function, string};

pub(super) const TABLE: &[Function] = &[Function::with("timestamp", &[], |run, given| match given {
    [] => Ok(Value::text(layout("2006-01-02T15:04:05Z07:00", run.now))),
    [format] if super::bytes(format) == b"unix" => Ok(Value::text(run.now.to_string())),
    [format] => Ok(Value::text(layout(&string(format), run.now))),
    _ => Err(format!("timestamp: wrong number of arguments, expected 0 or 1, but got {}", given.len())),
})
.rest(Str)];

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

/// Formats seconds since 1970 in a layout of Go's.
pub(super) fn layout(layout: &str, now: u64) -> String {
    let patterns = patterns(now);
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let found = patterns.iter().find(|(pattern, _)| rest.starts_with(pattern));
        // As in Go: "Jan" and "Mon" are literal within a word such as "Janet", and "_2006" is a literal "_" and a
        // year.
        let is_word =
            |pattern: &str| matches!(pattern, "Jan" | "Mon") && rest[3..].starts_with(|c: char| c.is_ascii_lowercase());
        let taken = match found {
            Some((pattern, _)) if is_word(pattern) => {
                out.push_str(pattern);
                pattern.len()
            }
            Some(("_2", _)) if rest.starts_with("_2006") => {
                out.push('_');
                1
            }
            Some((pattern, text)) => {
                out.push_str(text);
                pattern.len()
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// The elements of a layout and their text, longer ones first, in the order Go tries them.
fn patterns(now: u64) -> [(&'static str, String); 36] {
    let (days, seconds) = (now / 86_400, now % 86_400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (year, month, day, of_year) = date(days);
    let name = MONTHS[month - 1];
    let week = DAYS[usize::try_from((days + 4) % 7).unwrap_or_default()];
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    [
        ("January", name.to_owned()),
        ("Jan", name[..3].to_owned()),
        ("Monday", week.to_owned()),
        ("Mon", week[..3].to_owned()),
        ("MST", "UTC".to_owned()),
        ("2006", format!("{year:04}")),
        ("002", format!("{of_year:03}")),
        ("__2", format!("{of_year:3}")),
        ("_2", format!("{day:2}")),
        ("01", format!("{month:02}")),
        ("02", format!("{day:02}")),
        ("03", format!("{twelve:02}")),
        ("04", format!("{minute:02}")),
        ("05", format!("{second:02}")),
        ("06", format!("{:02}", year % 100)),
        ("15", format!("{hour:02}")),
        ("PM", if hour < 12 { "AM" } else { "PM" }.to_owned()),
        ("pm", if hour < 12 { "am" } else { "pm" }.to_owned()),
        ("Z07:00:00", "Z".to_owned()),
        ("Z07:00", "Z".to_owned()),
        ("Z070000", "Z".to_owned()),
        ("Z0700", "Z".to_owned()),
        ("Z07", "Z".to_owned()),
        ("-07:00:00", "+00:00:00".to_owned()),
        ("-07:00", "+00:00".to_owned()),
        ("-070000", "+000000".to_owned()),
        ("-0700", "+0000".to_owned()),
        ("-07", "+00".to_owned()),
        (".000000000", ".000000000".to_owned()),
        (".000000", ".000000".to_owned()),
        (".000", ".000".to_owned()),
        ("1", month.to_string()),
        ("2", day.to_string()),
        ("3", twelve.to_string()),
        ("4", minute.to_string()),
        ("5", second.to_string()),
    ]
}

/// Year, month, day and day of the year of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, usize, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    while rest >= if is_leap(year) { 366 } else { 365 } {
        rest -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let of_year = rest + 1;
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while rest >= lengths[month] {
        rest -= lengths[month];
        month += 1;
    }
    (year, month + 1, rest + 1, of_year)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_in_gos_layouts() {
        let shown = |layout: &str| super::layout(layout, 1_709_209_805); // 29 February 2024, 12:30:05
        assert_eq!(shown("2006-01-02T15:04:05Z07:00"), "2024-02-29T12:30:05Z");
        assert_eq!(shown("Mon Jan _2 3:04:05PM MST 2006 -0700"), "Thu Feb 29 12:30:05PM UTC 2024 +0000");
    }
}
