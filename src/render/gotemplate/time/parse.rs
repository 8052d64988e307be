//! Reads a time in a layout, like `time.Parse` of Go. A name of a zone counts as UTC.

use super::layout::{Element, next};
use super::{DAYS, MONTHS, Moment, SECONDS_A_DAY, Span, Zone, days_before, days_in};

/// What is read.
struct Read<'t> {
    year: i64,
    month: Option<u32>,
    day: Option<u32>,
    of_year: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    /// Whether it says that it is after noon.
    is_pm: Option<bool>,
    zone: ReadZone<'t>,
}

/// What is read of the zone.
#[derive(Default)]
struct ReadZone<'t> {
    /// Whether it is UTC by name.
    is_utc: bool,
    /// Seconds east of UTC.
    offset: Option<i32>,
    name: Option<&'t str>,
}

impl Moment {
    /// Reads a time in a layout of Go's; `None` if the text does not have it.
    pub(in super::super) fn parse(layout: &str, text: &str) -> Option<Self> {
        let mut read = Read {
            year: 0,
            month: None,
            day: None,
            of_year: None,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            is_pm: None,
            zone: ReadZone::default(),
        };
        let (mut layout, mut text) = (layout, text);
        loop {
            let (before, element, behind) = next(layout);
            text = skip(text, before)?;
            let Some(element) = element else { break };
            text = read.element(element, text, behind)?;
            layout = behind;
        }
        if text.is_empty() { read.moment() } else { None }
    }
}

/// Skips the literal text of a layout. Blanks in it stand for any number of blanks.
fn skip<'t>(mut text: &'t str, before: &str) -> Option<&'t str> {
    let mut before = before;
    while let Some(c) = before.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            (before, text) = (before.trim_start_matches(' '), text.trim_start_matches(' '));
            continue;
        }
        text = text.strip_prefix(c)?;
        before = &before[c.len_utf8()..];
    }
    Some(text)
}

/// One or two digits, exactly two if `fixed`.
fn number(text: &str, fixed: bool) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    match digits {
        0 => None,
        1 if fixed => None,
        count => Some((text[..count].parse().ok()?, &text[count..])),
    }
}

/// Exactly so many digits.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let taken = text.get(..count).filter(|taken| taken.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((taken.parse().ok()?, &text[count..]))
}

/// The place of the name that the text begins with, in any case of letters.
fn name<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Option<(u32, &'t str)> {
    let short = |name: &&str| length.unwrap_or(name.len());
    let place = names.iter().position(|name| {
        text.get(..short(name)).is_some_and(|start| start.eq_ignore_ascii_case(&name[..short(name)]))
    })?;
    Some((u32::try_from(place).ok()? + 1, &text[short(&names[place])..]))
}

/// A fraction behind the seconds, in nanoseconds.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let rest = text.strip_prefix(['.', ','])?;
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return None;
    }
    let nanos: u32 = format!("{:0<9}", &rest[..count.min(9)]).parse().ok()?;
    Some((nanos, &rest[count..]))
}

impl<'t> Read<'t> {
    /// Reads an element, and returns what is behind it.
    fn element(&mut self, element: Element, text: &'t str, behind: &str) -> Option<&'t str> {
        let place = match element {
            Element::LongMonth | Element::Month | Element::NumMonth | Element::ZeroMonth => &mut self.month,
            Element::Day | Element::UnderDay | Element::ZeroDay => &mut self.day,
            Element::UnderYearDay | Element::ZeroYearDay => &mut self.of_year,
            _ => return self.time(element, text, behind),
        };
        let blanks = |most: usize| text.bytes().take(most).take_while(|byte| *byte == b' ').count();
        let (number, rest) = match element {
            Element::LongMonth => name(text, &MONTHS, None)?,
            Element::Month => name(text, &MONTHS, Some(3))?,
            Element::UnderDay => number(&text[blanks(1)..], false)?,
            Element::UnderYearDay => {
                let count = blanks(2);
                digits(&text[count..], 3 - count)?
            }
            Element::ZeroYearDay => digits(text, 3)?,
            Element::ZeroMonth | Element::ZeroDay => number(text, true)?,
            _ => number(text, false)?,
        };
        let is_month = matches!(element, Element::NumMonth | Element::ZeroMonth);
        if is_month && !(1..=12).contains(&number) {
            return None;
        }
        *place = Some(number);
        Some(rest)
    }

    /// The elements of the year, the time of the day and the zone.
    fn time(&mut self, element: Element, text: &'t str, behind: &str) -> Option<&'t str> {
        let (place, fixed, most) = match element {
            Element::LongYear => {
                let (year, rest) = digits(text, 4)?;
                self.year = year.into();
                return Some(rest);
            }
            Element::Year => {
                let (year, rest) = digits(text, 2)?;
                self.year = i64::from(year) + if year >= 69 { 1900 } else { 2000 };
                return Some(rest);
            }
            Element::LongWeekday => return name(text, &DAYS, None).map(|(_, rest)| rest),
            Element::Weekday => return name(text, &DAYS, Some(3)).map(|(_, rest)| rest),
            Element::Noon | Element::SmallNoon => return self.noon(element, text),
            Element::ZoneName => return self.zone_name(text),
            Element::Zone { z, colon, parts } => return self.zone(text, z, colon, parts),
            Element::Fraction { digits: count, trims, .. } => return self.fraction(text, count, trims),
            Element::Hour => (&mut self.hour, false, 23),
            Element::Hour12 => (&mut self.hour, false, 12),
            Element::ZeroHour12 => (&mut self.hour, true, 12),
            Element::Minute => (&mut self.minute, false, 59),
            Element::ZeroMinute => (&mut self.minute, true, 59),
            Element::Second => (&mut self.second, false, 59),
            _ => (&mut self.second, true, 59),
        };
        let rest;
        (*place, rest) = number(text, fixed).filter(|(number, _)| *number <= most)?;
        let is_second = matches!(element, Element::Second | Element::ZeroSecond);
        // A fraction behind the seconds is read even if the layout has none.
        let is_next = matches!(next(behind), ("", Some(Element::Fraction { .. }), _));
        match fraction(rest) {
            Some((nanos, behind)) if is_second && !is_next => {
                self.nanos = nanos;
                Some(behind)
            }
            _ => Some(rest),
        }
    }

    fn noon(&mut self, element: Element, text: &'t str) -> Option<&'t str> {
        let is_pm = match (element, text.get(..2)?) {
            (Element::Noon, "PM") | (Element::SmallNoon, "pm") => true,
            (Element::Noon, "AM") | (Element::SmallNoon, "am") => false,
            _ => return None,
        };
        self.is_pm = Some(is_pm);
        Some(&text[2..])
    }

    fn fraction(&mut self, text: &'t str, count: usize, trims: bool) -> Option<&'t str> {
        if trims && !text.starts_with(['.', ',']) {
            return Some(text);
        }
        let (nanos, rest) = fraction(text)?;
        self.nanos = nanos;
        let is_right = trims || text.len() - rest.len() == count + 1;
        is_right.then_some(rest)
    }

    fn zone(&mut self, text: &'t str, z: bool, colon: bool, parts: u8) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix('Z').filter(|_| z) {
            self.zone.is_utc = true;
            return Some(rest);
        }
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (mut rest, mut seconds) = (&text[1..], 0);
        for (part, unit) in [3600, 60, 1].into_iter().enumerate().take(parts.into()) {
            if part > 0 && colon {
                rest = rest.strip_prefix(':')?;
            }
            let found;
            (found, rest) = digits(rest, 2)?;
            if found > if part == 0 { 24 } else { 60 } {
                return None;
            }
            seconds += i32::try_from(found).unwrap_or_default() * unit;
        }
        self.zone.offset = Some(sign * seconds);
        Some(rest)
    }

    /// The time, if its numbers are one.
    fn moment(self) -> Option<Moment> {
        let hour = match self.is_pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            Some(_) | None => self.hour,
        };
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=12).contains(&month) || !(1..=days_in(self.year, month)).contains(&day) {
            return None;
        }
        let mut days = days_before(self.year, month, day);
        if let Some(of_year) = self.of_year {
            let days_of_year = 337 + days_in(self.year, 2);
            let named = days_before(self.year, 1, 1) + i64::from(of_year) - 1;
            let fits = (self.month.is_none() && self.day.is_none()) || named == days;
            if !(1..=days_of_year).contains(&of_year) || !fits {
                return None;
            }
            days = named;
        }
        let of_day = i64::from(hour * 3600 + self.minute * 60 + self.second);
        let (zone, before) = match (self.zone.is_utc, self.zone.offset, self.zone.name) {
            (false, Some(offset), name) => (Zone::with(offset, name), offset),
            // The time of a zone of which only the name is known counts as UTC.
            (false, None, Some(name)) => (Zone::named(name), 0),
            _ => (Zone::UTC, 0),
        };
        let whole = Moment { seconds: days * SECONDS_A_DAY + of_day - i64::from(before), nanos: 0, zone };
        whole.plus(Span::nanos(self.nanos.into())).ok()
    }

    /// The name of a zone: three to five capital letters, or `GMT+3`.
    fn zone_name(&mut self, text: &'t str) -> Option<&'t str> {
        let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
        let length = match letters {
            3 if text.starts_with("GMT") => 3 + hours(&text[3..]),
            3 => 3,
            4 | 5 if text.as_bytes()[letters - 1] == b'T' => letters,
            _ => return None,
        };
        let (name, rest) = text.split_at(length);
        match name {
            "UTC" => self.zone.is_utc = true,
            name => self.zone.name = Some(name),
        }
        Some(rest)
    }
}

/// The length of the hours behind `GMT`: a sign and at most 23.
fn hours(text: &str) -> usize {
    let digits = text.strip_prefix(['+', '-']).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let is_hour = (1..=4).contains(&digits) && text[1..=digits].parse::<u32>().is_ok_and(|hours| hours <= 23);
    if is_hour { digits + 1 } else { 0 }
}
