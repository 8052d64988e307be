//! The comparisons `eq ne lt le gt ge`, by Go's basic kinds.

use std::cmp::Ordering;

use super::super::arguments::Kind::Any;
use super::super::value::Value;
use super::Function;

pub(super) const TABLE: &[Function] = &[
    Function::pure("eq", &[Any], |given| {
        let (first, rest) = given.split_first().ok_or_else(missing)?;
        if rest.is_empty() {
            return Err(missing());
        }
        for other in rest {
            if equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    })
    .rest(Any),
    Function::pure("ne", &[Any, Any], |given| Ok(Value::Bool(!equal(&given[0], &given[1])?))),
    Function::pure("lt", &[Any, Any], |given| Ok(Value::Bool(less(given)?))),
    Function::pure("le", &[Any, Any], |given| Ok(Value::Bool(less(given)? || equal(&given[0], &given[1])?))),
    Function::pure("gt", &[Any, Any], |given| Ok(Value::Bool(!(less(given)? || equal(&given[0], &given[1])?)))),
    Function::pure("ge", &[Any, Any], |given| Ok(Value::Bool(!less(given)?))),
];

/// The error of a missing argument.
fn missing() -> String {
    "missing argument for comparison".to_owned()
}

/// The error of incompatible types.
fn incompatible() -> String {
    "incompatible types for comparison".to_owned()
}

/// Returns whether two values are equal, or an error if their types have no equality.
fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left, _), Value::Int(right, _)) => left == right,
        (Value::Uint(left, _), Value::Uint(right, _)) => left == right,
        (Value::Int(signed, _), Value::Uint(unsigned, _)) | (Value::Uint(unsigned, _), Value::Int(signed, _)) => {
            u64::try_from(*signed).is_ok_and(|signed| signed == *unsigned)
        }
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Time(left), Value::Time(right)) => left == right,
        (Value::String(left) | Value::Number(left), Value::String(right) | Value::Number(right)) => left == right,
        (left, right) if left.is_nothing() && right.is_nothing() => true,
        (left, right) if left.is_nothing() || right.is_nothing() => false,
        (Value::List(..) | Value::Map(..), Value::List(..) | Value::Map(..)) => {
            return Err("non-comparable types".to_owned());
        }
        _ => return Err(incompatible()),
    })
}

/// Whether the first argument is less than the second.
fn less(given: &[Value]) -> Result<bool, String> {
    let order = match (&given[0], &given[1]) {
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        (Value::Int(left, _), Value::Int(right, _)) => left.cmp(right),
        (Value::Uint(left, _), Value::Uint(right, _)) => left.cmp(right),
        (Value::Int(left, _), Value::Uint(right, _)) => i128::from(*left).cmp(&i128::from(*right)),
        (Value::Uint(left, _), Value::Int(right, _)) => i128::from(*left).cmp(&i128::from(*right)),
        (Value::Float(left), Value::Float(right)) => return Ok(left < right),
        (Value::String(left) | Value::Number(left), Value::String(right) | Value::Number(right)) => left.cmp(right),
        _ => return Err(incompatible()),
    };
    Ok(order == Ordering::Less)
}
