//! Prints values as Go's `fmt` does with `%v`: for `print`, `println` and actions.

use super::super::limits::GROWTH;
use super::quote::quote;
use super::value::Value;
use super::{float, key};

/// Why a value is not printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unprintable {
    /// It contains a value of this type, which has pointers: Go prints addresses.
    Pointer(&'static str),
    /// The text would be longer than all values of a rendering may be.
    TooLong,
}

impl Unprintable {
    /// The reason, for a message.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Pointer(name) => format!("a value of type {name} cannot be printed"),
            Self::TooLong => format!("the text is larger than {} MiB", GROWTH >> 20),
        }
    }
}

type Printed = Result<(), Unprintable>;

/// Prints a value as `fmt.Fprint` does.
pub(super) fn value(out: &mut Vec<u8>, value: &Value) -> Printed {
    if out.len() > GROWTH {
        return Err(Unprintable::TooLong);
    }
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
        Value::Time(moment) => out.extend_from_slice(moment.printed().as_bytes()),
        Value::Loop(..) | Value::Secret(_) | Value::Pem(_) | Value::Scratch(_) => {
            return Err(Unprintable::Pointer(value.type_name()));
        }
    }
    Ok(())
}

/// Like `fmt.Sprint`: a space between two operands if neither is a string.
pub(super) fn sprint(values: &[Value]) -> Result<Vec<u8>, Unprintable> {
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
    Ok(out)
}

/// The values with a space between them.
pub(super) fn spaced<'v>(values: impl IntoIterator<Item = &'v Value>) -> Result<Vec<u8>, Unprintable> {
    let mut out = Vec::new();
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        self::value(&mut out, value)?;
    }
    Ok(out)
}

/// Prints a value in Go's syntax, like `%#v`.
pub(super) fn syntax(out: &mut Vec<u8>, value: &Value) -> Printed {
    if out.len() > GROWTH {
        return Err(Unprintable::TooLong);
    }
    let separated = |out: &mut Vec<u8>, at: usize| {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
    };
    match value {
        Value::Invalid | Value::Nil | Value::Pending => out.extend_from_slice(b"interface {}(nil)"),
        Value::String(text) | Value::Number(text) => out.extend_from_slice(quote(text, '"', false).as_bytes()),
        Value::Uint(number, _) => out.extend_from_slice(format!("0x{number:x}").as_bytes()),
        Value::Time(_) => return Err(Unprintable::Pointer(value.type_name())),
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
    Ok(())
}
