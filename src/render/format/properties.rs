//! Writes Java properties for `Properties.load`, which reads ISO 8859-1: characters beyond ASCII become `\uXXXX`.

use std::fmt::Write;

use super::super::tree::Json;
use super::{Datum, Entry, json};

/// A map as `key=value` lines. A key with a null value is left out.
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

/// One value, escaped; `None` for null, which properties cannot express. A nested value becomes JSON text.
pub(in super::super) fn datum(datum: &Datum<'_>) -> Option<String> {
    let mut out = String::new();
    match datum {
        Datum::Text(value) => escape(&mut out, value, Place::Value),
        Datum::Json(Json::Null) => return None,
        Datum::Json(_) => escape(&mut out, &json::datum(datum), Place::Value),
    }
    Some(out)
}

/// Where a text is written; the two need different escapes.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Key,
    Value,
}

/// Appends a text, escaped.
fn escape(out: &mut String, text: &str, place: Place) {
    for (offset, character) in text.char_indices() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0c' => out.push_str("\\f"),
            '\\' => out.push_str("\\\\"),
            // In a value, only a leading blank needs an escape, and `#`, `!`, `=`, `:` have no special meaning.
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
