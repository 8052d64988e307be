//! Prints values as Go's `fmt` does with `%v`: for `print`, `println` and actions.

use super::quote::quote;
use super::value::Value;
use super::{float, key};

/// Prints a value as `fmt.Fprint` does; `None` for a value that contains pointers, which Go prints as addresses.
pub(super) fn value(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    match value {
        Value::Invalid | Value::Nil | Value::NilPointer(_) | Value::Pending => out.extend_from_slice(b"<nil>"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float(number) => out.extend_from_slice(float::format(*number, 'g', None, false).as_bytes()),
        Value::Number(text) | Value::String(text) => out.extend_from_slice(text),
        Value::List(items, _) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                self::value(out, item)?;
            }
            out.push(b']');
        }
        Value::Map(map, elements) => {
            out.extend_from_slice(b"map[");
            for (at, (key, item)) in key::entries(map, *elements).enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                self::value(out, &key)?;
                out.push(b':');
                self::value(out, item)?;
            }
            out.push(b']');
        }
        Value::Loop(..) | Value::Secret(_) | Value::Pem(_) | Value::Scratch(_) => return None,
    }
    Some(())
}

/// Like `fmt.Sprint`: a space between two operands if neither is a string. `None` if a value contains pointers.
pub(super) fn sprint(values: &[Value]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut was_string = true;
    for (at, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::String(_) | Value::Number(_));
        if at > 0 && !is_string && !was_string {
            out.push(b' ');
        }
        self::value(&mut out, value)?;
        was_string = is_string;
    }
    Some(out)
}

/// Like `fmt.Sprintln`. `None` if a value contains pointers.
pub(super) fn sprintln(values: &[Value]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        self::value(&mut out, value)?;
    }
    out.push(b'\n');
    Some(out)
}

/// Prints a value in Go's syntax, like `%#v`.
pub(super) fn syntax(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    let separated = |out: &mut Vec<u8>, at: usize| {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
    };
    match value {
        Value::Invalid | Value::Nil | Value::Pending => out.extend_from_slice(b"interface {}(nil)"),
        Value::String(text) | Value::Number(text) => out.extend_from_slice(quote(text, '"', false).as_bytes()),
        Value::Uint(number, _) => out.extend_from_slice(format!("0x{number:x}").as_bytes()),
        Value::List(items, _) => {
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'{');
            for (at, item) in items.iter().enumerate() {
                separated(out, at);
                syntax(out, item)?;
            }
            out.push(b'}');
        }
        Value::Map(map, elements) => {
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'{');
            for (at, (key, item)) in key::entries(map, *elements).enumerate() {
                separated(out, at);
                syntax(out, &key)?;
                out.push(b':');
                syntax(out, item)?;
            }
            out.push(b'}');
        }
        other => self::value(out, other)?,
    }
    Some(())
}
