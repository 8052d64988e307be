//! Writes YAML that parsers of 1.1 and 1.2 read alike: a block mapping, all strings in double quotes, nested values
//! in flow style.

use std::fmt::Write;

use super::super::tree::Json;
use super::{Datum, Entry};

/// The longest implicit key, in bytes (YAML 1.2.2, 7.4.2 allows 1024 characters).
const SIMPLE_KEY: usize = 1000;

/// A map with one line per key; an empty map is `{}`.
pub(super) fn map(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    for (key, datum) in entries {
        put_key(&mut out, key, "\n");
        put(&mut out, datum);
        out.push('\n');
    }
    if entries.is_empty() { "{}\n".to_owned() } else { out }
}

/// One value in flow style.
pub(in super::super) fn datum(datum: &Datum<'_>) -> String {
    let mut out = String::new();
    put(&mut out, datum);
    out
}

/// Appends a value in flow style.
fn put(out: &mut String, datum: &Datum<'_>) {
    match datum {
        Datum::Text(value) => text(out, value),
        Datum::Json(value) => tree(out, value),
    }
}

/// Appends a key with its colon. A key that is too long gets the explicit form `? KEY`, followed by
/// `behind_a_long_one`.
fn put_key(out: &mut String, key: &str, behind_a_long_one: &str) {
    let start = out.len();
    text(out, key);
    if out.len() - start > SIMPLE_KEY {
        out.insert_str(start, "? ");
        out.push_str(behind_a_long_one);
    }
    out.push_str(": ");
}

/// Appends a string in double quotes.
fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Characters that a version of YAML reads as line breaks or does not allow unescaped: C0, DEL, C1, the
            // Unicode separators, the byte order mark, the two non-characters.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("a String takes everything");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Appends a parsed JSON value in flow style.
fn tree(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(written) => number(out, written),
        Json::Text(value) => text(out, value),
        Json::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                tree(out, item);
            }
            out.push(']');
        }
        Json::Map(entries) => {
            out.push('{');
            for (place, (key, item)) in entries.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                put_key(out, key, " ");
                tree(out, item);
            }
            out.push('}');
        }
    }
}

/// Appends a number. A YAML 1.1 parser reads `1e3` as a string: an exponent needs a point and a sign, `1.0e+3`.
fn number(out: &mut String, written: &str) {
    let Some((mantissa, exponent)) = written.split_once(['e', 'E']) else { return out.push_str(written) };
    out.push_str(mantissa);
    if !mantissa.contains('.') {
        out.push_str(".0");
    }
    out.push('e');
    if !exponent.starts_with(['+', '-']) {
        out.push('+');
    }
    out.push_str(exponent);
}
