//! Layouts, as `Time.Format` of Go reads them.

use super::{Civil, DAYS, MONTHS, Moment};

/// An element of a layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    Noon,
    SmallNoon,
    ZoneName,
    /// An offset; `z`: UTC is written as `Z`.
    Zone {
        z: bool,
        colon: bool,
        parts: u8,
    },
    /// A fraction of a second with so many digits; `trims`: without zeros at its end.
    Fraction {
        digits: usize,
        trims: bool,
        comma: bool,
    },
}

use Element::*;

/// Elements that begin a layout, those with a common beginning from the longest to the shortest.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", LongMonth),
    ("Jan", Month),
    ("Monday", LongWeekday),
    ("Mon", Weekday),
    ("MST", ZoneName),
    ("002", ZeroYearDay),
    ("01", ZeroMonth),
    ("02", ZeroDay),
    ("03", ZeroHour12),
    ("04", ZeroMinute),
    ("05", ZeroSecond),
    ("06", Year),
    ("15", Hour),
    ("1", NumMonth),
    ("2006", LongYear),
    ("2", Day),
    ("__2", UnderYearDay),
    ("_2", UnderDay),
    ("3", Hour12),
    ("4", Minute),
    ("5", Second),
    ("PM", Noon),
    ("pm", SmallNoon),
    ("-070000", Zone { z: false, colon: false, parts: 3 }),
    ("-07:00:00", Zone { z: false, colon: true, parts: 3 }),
    ("-0700", Zone { z: false, colon: false, parts: 2 }),
    ("-07:00", Zone { z: false, colon: true, parts: 2 }),
    ("-07", Zone { z: false, colon: false, parts: 1 }),
    ("Z070000", Zone { z: true, colon: false, parts: 3 }),
    ("Z07:00:00", Zone { z: true, colon: true, parts: 3 }),
    ("Z0700", Zone { z: true, colon: false, parts: 2 }),
    ("Z07:00", Zone { z: true, colon: true, parts: 2 }),
    ("Z07", Zone { z: true, colon: false, parts: 1 }),
];

/// Splits a layout at its first element: the text before it, the element if there is one, and the rest.
pub(super) fn next(layout: &str) -> (&str, Option<Element>, &str) {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some((digits, trims)) = fraction(rest) {
            let comma = c == ',';
            return (&layout[..at], Some(Fraction { digits, trims, comma }), &rest[1 + digits..]);
        }
        // "_2006" is a literal "_" and a year.
        if let Some(behind) = rest.strip_prefix("_2006") {
            return (&layout[..=at], Some(LongYear), behind);
        }
        let Some((pattern, element)) = ELEMENTS.iter().find(|(pattern, _)| rest.starts_with(pattern)) else {
            continue;
        };
        let behind = &rest[pattern.len()..];
        // "Jan" and "Mon" are literal within a word such as "Janet".
        let is_word = matches!(element, Month | Weekday) && behind.starts_with(|c: char| c.is_ascii_lowercase());
        if !is_word {
            return (&layout[..at], Some(*element), behind);
        }
    }
    (layout, None, "")
}

/// A fraction of a second: `.` or `,` and only zeros or only nines, with no other digit behind them.
fn fraction(rest: &str) -> Option<(usize, bool)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let first = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == first).count();
    let is_end = !digits[count..].starts_with(|c: char| c.is_ascii_digit());
    is_end.then_some((count, first == '9'))
}

impl Moment {
    /// The time in a layout of Go's.
    pub(in super::super) fn format(self, layout: &str) -> String {
        let civil = self.civil();
        let (mut out, mut rest) = (String::new(), layout);
        loop {
            let (text, element, behind) = next(rest);
            out.push_str(text);
            let Some(element) = element else { return out };
            out.push_str(&self.element(element, &civil));
            rest = behind;
        }
    }

    fn element(self, element: Element, civil: &Civil) -> String {
        let month = MONTHS[civil.month as usize - 1];
        let weekday = DAYS[civil.weekday];
        let twelve = if civil.hour.is_multiple_of(12) { 12 } else { civil.hour % 12 };
        match element {
            LongMonth => month.to_owned(),
            Month => month[..3].to_owned(),
            NumMonth => civil.month.to_string(),
            ZeroMonth => format!("{:02}", civil.month),
            LongWeekday => weekday.to_owned(),
            Weekday => weekday[..3].to_owned(),
            Day => civil.day.to_string(),
            UnderDay => format!("{:2}", civil.day),
            ZeroDay => format!("{:02}", civil.day),
            UnderYearDay => format!("{:3}", civil.of_year),
            ZeroYearDay => format!("{:03}", civil.of_year),
            Hour => format!("{:02}", civil.hour),
            Hour12 => twelve.to_string(),
            ZeroHour12 => format!("{twelve:02}"),
            Minute => civil.minute.to_string(),
            ZeroMinute => format!("{:02}", civil.minute),
            Second => civil.second.to_string(),
            ZeroSecond => format!("{:02}", civil.second),
            LongYear => format!("{:04}", civil.year),
            Year => format!("{:02}", civil.year.rem_euclid(100)),
            Noon => if civil.hour < 12 { "AM" } else { "PM" }.to_owned(),
            SmallNoon => if civil.hour < 12 { "am" } else { "pm" }.to_owned(),
            ZoneName => self.zone.name(),
            Zone { z: true, .. } if self.zone.offset == 0 => "Z".to_owned(),
            Zone { colon, parts, .. } => self.zone.written(if colon { ":" } else { "" }, parts),
            Fraction { digits, trims, comma } => self.fraction(digits, trims, comma),
        }
    }

    fn fraction(self, digits: usize, trims: bool, comma: bool) -> String {
        let nanos = format!("{:09}", self.nanos);
        let shown = &nanos[..digits.min(9)];
        let shown = if trims { shown.trim_end_matches('0') } else { shown };
        match shown {
            "" => String::new(),
            shown => format!("{}{shown}", if comma { ',' } else { '.' }),
        }
    }
}
