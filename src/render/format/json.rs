//! Writes JSON: keys in the backend's order, numbers as written, only necessary escapes (RFC 8259).

use std::fmt::Write;

use super::super::tree::Json;
use super::{Datum, Entry};

/// A map on one line, without a newline at the end.
pub(super) fn map(entries: &[Entry<'_>]) -> String {
    let mut out = String::from("{");
    for (place, (key, datum)) in entries.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        text(&mut out, key);
        out.push(':');
        match datum {
            Datum::Text(value) => text(&mut out, value),
            Datum::Json(value) => tree(&mut out, value),
        }
    }
    out.push('}');
    out
}

/// One value as JSON.
pub(in super::super) fn datum(datum: &Datum<'_>) -> String {
    let mut out = String::new();
    match datum {
        Datum::Text(value) => text(&mut out, value),
        Datum::Json(value) => tree(&mut out, value),
    }
    out
}

/// Appends a string.
pub(super) fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' => write!(out, "\\u{:04x}", u32::from(character)).expect("a String takes everything"),
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Appends a parsed JSON value.
pub(super) fn tree(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => out.push_str(number),
        Json::Text(value) => text(out, value),
        Json::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                tree(out, item);
            }
            out.push(']');
        }
        Json::Map(entries) => {
            out.push('{');
            for (place, (key, item)) in entries.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                text(out, key);
                out.push(':');
                tree(out, item);
            }
            out.push('}');
        }
    }
}
