//! YAML that 1.1 and 1.2 readers read alike: a block mapping, every string in double quotes, nested values in flow style.

use std::fmt::Write;

use super::super::tree::Json;
use super::{Datum, Entry};

/// A simple key may be this long (YAML 1.2.2, 7.4.2: 1024 characters; every character may take ten when escaped).
const SIMPLE_KEY: usize = 1000;

/// One line a key; an empty map is `{}`.
pub(super) fn map(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    for (key, datum) in entries {
        put_key(&mut out, key, "\n");
        put(&mut out, datum);
        out.push('\n');
    }
    if entries.is_empty() { "{}\n".to_owned() } else { out }
}

/// One value, in flow style.
pub(in super::super) fn datum(datum: &Datum<'_>) -> String {
    let mut out = String::new();
    put(&mut out, datum);
    out
}

fn put(out: &mut String, datum: &Datum<'_>) {
    match datum {
        Datum::Text(value) => text(out, value),
        Datum::Json(value) => tree(out, value),
    }
}

fn put_key(out: &mut String, key: &str, behind_a_long_one: &str) {
    let start = out.len();
    text(out, key);
    if out.len() - start > SIMPLE_KEY {
        out.insert_str(start, "? ");
        out.push_str(behind_a_long_one);
    }
    out.push_str(": ");
}

fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // What one of the versions calls a line break or does not allow literally: C0, DEL, C1, the Unicode
            // separators, the byte order mark, the two non-characters.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("a String takes everything");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

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

/// To a YAML 1.1 reader `1e3` is a string; it asks for a point and a sign: `1.0e+3`.
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
