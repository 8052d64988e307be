//! Java properties, as `Properties.load` reads them back: ISO 8859-1, so everything beyond ASCII is `\uXXXX`.

use std::fmt::Write;

use super::super::tree::Json;
use super::{Datum, Entry, json};

/// `key=value` lines. A key whose value is null is left out.
pub(super) fn map(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    for (key, value) in entries {
        let Some(value) = datum(value) else { continue };
        escape(&mut out, key, Place::Key);
        out.push('=');
        out.push_str(&value);
        out.push('\n');
    }
    out
}

/// One value; `None` for null, which properties do not have. Nested values are JSON text.
pub(in super::super) fn datum(datum: &Datum<'_>) -> Option<String> {
    let mut out = String::new();
    match datum {
        Datum::Text(value) => escape(&mut out, value, Place::Value),
        Datum::Json(Json::Null) => return None,
        Datum::Json(_) => escape(&mut out, &json::datum(datum), Place::Value),
    }
    Some(out)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Key,
    Value,
}

fn escape(out: &mut String, text: &str, place: Place) {
    for (offset, character) in text.char_indices() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0c' => out.push_str("\\f"),
            '\\' => out.push_str("\\\\"),
            // In a value only leading blanks are skipped, and `#`, `!`, `=`, `:` mean nothing.
            ' ' if place == Place::Key || offset == 0 => out.push_str("\\ "),
            ':' | '=' | '#' | '!' if place == Place::Key => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04X}").expect("a String takes everything");
                }
            }
        }
    }
}
