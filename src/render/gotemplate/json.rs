//! `toJSON` and its variants, like Go's `encoding/json`.

use super::super::limits::check_written;
use super::quote::runes;
use super::value::{Elements, Map, Text, Value};
use super::{float, key};

/// Writes a value as JSON, with `indent` spaces per level; `escapes`: write `<`, `>` and `&` as `\u00XX`.
pub(super) fn write(value: &Value, indent: Option<usize>, escapes: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    Writer { indent, escapes }.value(&mut out, value, 0)?;
    Ok(out)
}

/// The entries by name. Integers are names in JSON too; other keys are an error, as in Go.
fn named(map: &Map, elements: Elements) -> Result<Vec<(Text, &Value)>, String> {
    let mut named = Vec::with_capacity(map.len());
    for (key, item) in key::entries(map, elements) {
        let name = match key {
            Value::String(text) => (text, 1),
            Value::Int(number, _) => (Text::from(number.to_string().as_bytes()), 0),
            Value::Uint(number, _) => (Text::from(number.to_string().as_bytes()), 0),
            other => return Err(format!("a key of type {} is no name in JSON", other.type_name())),
        };
        named.push((name, item));
    }
    if elements == Elements::AnyKeys {
        named.sort_by(|(left, _), (right, _)| left.cmp(right));
    }
    Ok(named.into_iter().map(|((name, _), item)| (name, item)).collect())
}

/// The options of the output.
struct Writer {
    indent: Option<usize>,
    escapes: bool,
}

impl Writer {
    /// Appends a value.
    fn value(&self, out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), String> {
        check_written(out.len())?;
        match value {
            Value::Invalid | Value::Nil | Value::NilPointer(_) | Value::Pending => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Int(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Uint(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Float(value) => out.extend_from_slice(number(*value)?.as_bytes()),
            Value::Number(text) => out.extend_from_slice(text),
            Value::String(text) => self.string(out, text),
            Value::List(items, _) if items.is_empty() => out.extend_from_slice(b"[]"),
            Value::List(items, _) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    self.separate(out, at, depth + 1);
                    self.value(out, item, depth + 1)?;
                }
                self.line(out, depth);
                out.push(b']');
            }
            Value::Map(map, _) if map.is_empty() => out.extend_from_slice(b"{}"),
            Value::Map(map, elements) => {
                out.push(b'{');
                for (at, (key, item)) in named(map, *elements)?.into_iter().enumerate() {
                    self.separate(out, at, depth + 1);
                    self.string(out, &key);
                    out.extend_from_slice(if self.indent.is_some() { b": " } else { b":" });
                    self.value(out, item, depth + 1)?;
                }
                self.line(out, depth);
                out.push(b'}');
            }
            Value::Time(moment) => self.string(out, moment.rfc3339().as_bytes()),
            other => return Err(format!("a value of type {} has no JSON here; write its .Data", other.type_name())),
        }
        Ok(())
    }

    /// Appends the comma before all items but the first, and a line break.
    fn separate(&self, out: &mut Vec<u8>, at: usize, depth: usize) {
        if at > 0 {
            out.push(b',');
        }
        self.line(out, depth);
    }

    /// Appends a line break and the indentation, if indented.
    fn line(&self, out: &mut Vec<u8>, depth: usize) {
        if let Some(indent) = self.indent {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', indent * depth));
        }
    }

    /// Appends a string.
    fn string(&self, out: &mut Vec<u8>, text: &[u8]) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
        let plain = text.iter().take_while(|byte| is_plain(byte)).count();
        let (plain, others) = text.split_at(plain);
        out.extend_from_slice(plain);
        for rune in runes(others) {
            match rune {
                Err(_) => out.extend_from_slice("\u{fffd}".as_bytes()),
                Ok('"') => out.extend_from_slice(b"\\\""),
                Ok('\\') => out.extend_from_slice(b"\\\\"),
                Ok('\n') => out.extend_from_slice(b"\\n"),
                Ok('\r') => out.extend_from_slice(b"\\r"),
                Ok('\t') => out.extend_from_slice(b"\\t"),
                Ok('\u{8}') => out.extend_from_slice(b"\\b"),
                Ok('\u{c}') => out.extend_from_slice(b"\\f"),
                Ok(c)
                    if c < ' '
                        || (self.escapes && matches!(c, '<' | '>' | '&'))
                        || matches!(c, '\u{2028}' | '\u{2029}') =>
                {
                    out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
                }
                Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
    }
}

/// A number in the format of ES6.
fn number(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Err("a number that JSON does not have".to_owned());
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = float::format(value, 'e', None, false);
        return Ok(text.replace("e-0", "e-"));
    }
    Ok(float::format(value, 'f', None, false))
}
