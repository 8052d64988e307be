//! Checks arguments against a function's parameters, by Go's rules of assignability for the types that templates
//! have.

use super::value::{Elements, Int, Value};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    String,
    Int,
    Int64,
    /// `[]string`.
    Strings,
    /// `[]interface{}`.
    List,
    /// `map[string]interface{}`.
    Map,
    /// `time.Time`.
    Time,
}

impl Kind {
    /// The type's name in Go.
    fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::String => "string",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Strings => "[]string",
            Self::List => "[]interface {}",
            Self::Map => "map[string]interface {}",
            Self::Time => "time.Time",
        }
    }
}

/// The argument as the parameter receives it, or why it does not fit. A literal number fits any integer type; other
/// values are not converted. `is_nil`: the argument is the literal `nil`.
pub(super) fn fit(value: Value, kind: Kind, is_literal: bool, is_nil: bool) -> Result<Value, String> {
    let fits = match (kind, &value) {
        (_, Value::Pending) | (Kind::Any, _) => true,
        (Kind::String, Value::String(_))
        | (Kind::Int, Value::Int(_, Int::Int))
        | (Kind::Int64, Value::Int(_, Int::Int64))
        | (Kind::Strings, Value::List(_, Elements::Strings))
        | (Kind::List, Value::List(_, Elements::Any))
        | (Kind::Map, Value::Map(_, Elements::Any))
        | (Kind::Time, Value::Time(_)) => true,
        (Kind::Int64, Value::Int(..)) => is_literal,
        (Kind::Strings | Kind::List | Kind::Map, Value::Invalid) => true,
        (Kind::Strings | Kind::List | Kind::Map, Value::Nil) => is_nil,
        _ => false,
    };
    match value {
        Value::Invalid if kind == Kind::Any => Ok(Value::Nil),
        Value::Invalid | Value::Nil if fits && kind != Kind::Any => Ok(empty(kind)),
        Value::Int(number, _) if fits && kind == Kind::Int64 => Ok(Value::Int(number, Int::Int64)),
        value if fits => Ok(value),
        Value::Invalid => Err(format!("invalid value; expected {}", kind.name())),
        Value::Nil if is_nil => Err(format!("cannot assign nil to {}", kind.name())),
        value => Err(format!(
            "wrong type for value; expected {}; got {}",
            kind.name(),
            match value {
                Value::Nil => "interface {}",
                ref other => other.type_name(),
            }
        )),
    }
}

/// The zero value of a type.
fn empty(kind: Kind) -> Value {
    match kind {
        Kind::Strings => Value::strings([""; 0]),
        Kind::List => Value::list(Vec::new()),
        Kind::Map => Value::map(Default::default()),
        _ => Value::Nil,
    }
}
