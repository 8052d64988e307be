//! `toTOML`: writes exactly what the encoder of `github.com/BurntSushi/toml` (version 1) does.

use super::super::limits::check_written;
use super::float;
use super::value::{Elements, Map, Value};

/// Writes a value as a document, trimmed. A map becomes its keys and tables, another value is written as such.
pub(super) fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match value {
        Value::Map(map, elements) => table(&mut out, &mut Vec::new(), map, *elements)?,
        other => element(&mut out, other)?,
    }
    Ok(out.trim_ascii().to_vec())
}

/// Appends the entries of a table at the path `keys`: first the values, then the tables below it.
fn table(out: &mut Vec<u8>, keys: &mut Vec<String>, map: &Map, elements: Elements) -> Result<(), String> {
    for (key, value) in entries(map, elements)? {
        check_written(out.len())?;
        keys.push(key);
        let indent = "  ".repeat(keys.len() - 1);
        match value {
            Value::Map(inner, elements) => {
                if keys.len() == 1 {
                    blank_line(out);
                }
                out.extend_from_slice(format!("{indent}[{}]\n", keys.join(".")).as_bytes());
                table(out, keys, inner, *elements)?;
            }
            Value::List(items, _) if is_tables(value) => {
                for item in items.iter() {
                    let Value::Map(inner, elements) = item else { continue };
                    check_written(out.len())?;
                    blank_line(out);
                    out.extend_from_slice(format!("{indent}[[{}]]\n", keys.join(".")).as_bytes());
                    table(out, keys, inner, *elements)?;
                }
            }
            _ => {
                let key = keys.last().map_or("", String::as_str);
                out.extend_from_slice(format!("{indent}{key} = ").as_bytes());
                element(out, value)?;
                out.push(b'\n');
            }
        }
        keys.pop();
    }
    Ok(())
}

/// Appends an empty line, but not at the beginning.
fn blank_line(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
    }
}

/// The entries that are written, with their keys quoted where they must be: tables come last, and nil is left out.
fn entries(map: &Map, elements: Elements) -> Result<Vec<(String, &Value)>, String> {
    if elements == Elements::AnyKeys {
        return Err("toTOML: toml: cannot encode a map with non-string key type".to_owned());
    }
    let is_nil = |value: &Value| matches!(value, Value::Nil | Value::Invalid | Value::NilPointer(_) | Value::Pending);
    let is_table = |value: &Value| matches!(value, Value::Map(..)) || is_tables(value);
    let kept = map.iter().filter(|(_, value)| !is_nil(value));
    let (tables, values): (Vec<_>, Vec<_>) = kept.partition(|(_, value)| is_table(value));
    Ok(values.into_iter().chain(tables).map(|(key, value)| (written_key(key), value)).collect())
}

/// Whether a value is a list of maps only.
fn is_tables(value: &Value) -> bool {
    matches!(value, Value::List(items, _) if !items.is_empty() && items.iter().all(|item| matches!(item, Value::Map(..))))
}

/// A key as it is written: bare, or quoted.
fn written_key(key: &[u8]) -> String {
    let is_bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !key.is_empty() && key.iter().all(is_bare) {
        return String::from_utf8_lossy(key).into_owned();
    }
    let mut quoted = Vec::new();
    quote(&mut quoted, key);
    String::from_utf8_lossy(&quoted).into_owned()
}

/// Appends a value in one line.
fn element(out: &mut Vec<u8>, value: &Value) -> Result<(), String> {
    check_written(out.len())?;
    match value {
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float(value) => out.extend_from_slice(number(*value).as_bytes()),
        Value::Number(text) => {
            let text = String::from_utf8_lossy(text);
            let written = text.parse::<i64>().map(|value| value.to_string());
            let written = written.or_else(|_| float::parse(&text).map(number).ok_or("a number is too large for TOML"));
            out.extend_from_slice(written?.as_bytes());
        }
        Value::String(text) => quote(out, text),
        Value::List(items, _) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.extend_from_slice(b", ");
                }
                element(out, item)?;
            }
            out.push(b']');
        }
        Value::Map(map, elements) => {
            out.push(b'{');
            for (place, (key, item)) in entries(map, *elements)?.into_iter().enumerate() {
                if place > 0 {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(format!("{key} = ").as_bytes());
                element(out, item)?;
            }
            out.push(b'}');
        }
        Value::Nil | Value::Invalid | Value::NilPointer(_) | Value::Pending => {
            return Err("toTOML: toml: cannot encode array with nil element".to_owned());
        }
        Value::Time(moment) => out.extend_from_slice(moment.rfc3339().as_bytes()),
        other => return Err(format!("a value of type {} has no TOML here; write its .Data", other.type_name())),
    }
    Ok(())
}

/// A floating-point number, always with a point.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        _ => {
            let text = float::format(value, 'f', None, false);
            if text.contains('.') { text } else { format!("{text}.0") }
        }
    }
}

/// Appends a string in quotes.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}
