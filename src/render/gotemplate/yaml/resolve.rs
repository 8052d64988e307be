//! What Go's parser of YAML 1.1 reads plain text as.

const WORDS: [&str; 39] = [
    "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y", "Y", "yes", "Yes", "YES",
    "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF",
    "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// What plain text is read as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// Above the largest `i64`.
    Uint(u64),
    Float(f64),
    Timestamp,
    String,
}

/// Whether plain text is read as a string, by the parser of YAML 1.1 or by one that knows numbers in base 60.
pub(super) fn is_string(text: &str) -> bool {
    resolve(text) == Plain::String && !is_base60(text)
}

/// Reads plain text as Go's parser does.
pub(super) fn resolve(text: &str) -> Plain {
    if WORDS.contains(&text) {
        return word(text);
    }
    match text.bytes().next() {
        Some(b'.') if is_float(text) => text.parse().map_or(Plain::String, Plain::Float),
        Some(b'0'..=b'9' | b'+' | b'-') if is_timestamp(text) => Plain::Timestamp,
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")).unwrap_or(Plain::String),
        _ => Plain::String,
    }
}

/// The value of one of [`WORDS`].
fn word(text: &str) -> Plain {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => Plain::Null,
        "true" | "y" | "yes" | "on" => Plain::Bool(true),
        "false" | "n" | "no" | "off" => Plain::Bool(false),
        ".nan" => Plain::Float(f64::NAN),
        "-.inf" => Plain::Float(f64::NEG_INFINITY),
        _ => Plain::Float(f64::INFINITY),
    }
}

/// Reads a number; underscores have been removed.
fn number(plain: &str) -> Option<Plain> {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let float = || plain.parse().ok().filter(|_| is_float(plain)).map(Plain::Float);
    let in_base_2 = || i64::from_str_radix(&binary(plain)?, 2).ok().map(Plain::Int);
    integer(plain.starts_with('-'), plain.len() > unsigned.len(), unsigned).or_else(float).or_else(in_base_2)
}

/// Reads an integer with Go's prefixes; a number of more than 63 bits only without a sign.
fn integer(is_negative: bool, is_signed: bool, unsigned: &str) -> Option<Plain> {
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&*lower, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let number = u64::from_str_radix(digits, radix).ok()?;
    match (is_negative, i64::try_from(number)) {
        (true, _) => 0_i64.checked_sub_unsigned(number).map(Plain::Int),
        (false, Ok(number)) => Some(Plain::Int(number)),
        (false, Err(_)) => (!is_signed).then_some(Plain::Uint(number)),
    }
}

/// The digits after `0b`, with a sign before the prefix moved to the digits.
fn binary(plain: &str) -> Option<String> {
    let negative = plain.strip_prefix("-0b").map(|digits| format!("-{digits}"));
    negative.or_else(|| plain.strip_prefix("0b").map(str::to_owned))
}

/// Whether the text matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` and is finite.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_made_of_digits = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    is_made_of_digits && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Whether the text is a number in base 60: `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let is_sixtieth = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    let mut rest = parts.peekable();
    rest.peek().is_some()
        && first.starts_with(|c: char| c.is_ascii_digit())
        && is_digits(first)
        && rest.all(is_sixtieth)
        && is_digits(fraction)
}

/// Whether the text is a date, or a date and a time.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(year), Some(month), Some(day)) = (year.parse::<u32>(), small(month), small(day)) else { return false };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    is_year
        && (1..=days).contains(&day)
        && match time {
            None => true,
            Some((" ", clock)) => is_clock(clock),
            Some((_, rest)) => match rest.strip_suffix('Z') {
                Some(clock) => is_clock(clock),
                None => rest.rfind(['+', '-']).is_some_and(|at| is_clock(&rest[..at]) && is_zone(&rest[at + 1..])),
            },
        }
}

/// A number of one or two digits.
fn small(text: &str) -> Option<u32> {
    let is_small = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_small.then(|| text.parse().ok()).flatten()
}

/// Whether the text is a time of day.
fn is_clock(text: &str) -> bool {
    let (whole, fraction) = text.split_once(['.', ',']).map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let parts: Vec<_> = whole.split(':').map(small).collect();
    matches!(parts[..], [Some(..=23), Some(..=59), Some(..=59)])
        && fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the text is a time zone's offset, `HH:MM`, without its sign.
fn is_zone(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').map(|part| small(part).filter(|_| part.len() == 2)).collect();
    matches!(parts[..], [Some(..=24), Some(..=60)])
}
