//! consul-template's arithmetic: integers are `int64`; if one operand is a float, the result is a float.

use std::cmp::Ordering;

use super::super::arguments::Kind::Any;
use super::super::value::{Int, Uint, Value};
use super::{Function, Outcome};

pub(super) const TABLE: &[Function] = &[
    Function::pure("add", &[Any, Any], |given| {
        apply(given, |a, b| Ok(a.wrapping_add(b)), |a, b| Ok(a.wrapping_add(b)), |a, b| a + b)
    }),
    Function::pure("subtract", &[Any, Any], |given| {
        apply(given, |a, b| Ok(a.wrapping_sub(b)), |a, b| Ok(a.wrapping_sub(b)), |a, b| a - b)
    }),
    Function::pure("multiply", &[Any, Any], |given| {
        apply(given, |a, b| Ok(a.wrapping_mul(b)), |a, b| Ok(a.wrapping_mul(b)), |a, b| a * b)
    }),
    Function::pure("divide", &[Any, Any], |given| {
        apply(
            given,
            |a, b| if b == 0 { Err(by_zero()) } else { Ok(a.wrapping_div(b)) },
            |a, b| a.checked_div(b).ok_or_else(by_zero),
            |a, b| a / b,
        )
    }),
    Function::pure("modulo", &[Any, Any], |given| match (&given[0], &given[1]) {
        (Value::Float(_), _) | (_, Value::Float(_)) => Err("modulo takes integers".to_owned()),
        _ => apply(
            given,
            |a, b| if b == 0 { Err(by_zero()) } else { Ok(a.wrapping_rem(b)) },
            |a, b| a.checked_rem(b).ok_or_else(by_zero),
            |a, _| a,
        ),
    }),
    Function::pure("minimum", &[Any, Any], |given| pick(given, Ordering::Less)),
    Function::pure("maximum", &[Any, Any], |given| pick(given, Ordering::Greater)),
];

/// The error of a division by zero.
fn by_zero() -> String {
    "division by zero".to_owned()
}

/// The second argument if it compares to the first as `wanted`, else the first; each keeps its type.
fn pick(given: &[Value], wanted: Ordering) -> Outcome {
    let (a, b) = (&given[1], &given[0]);
    let order = match (a, b) {
        (Value::Int(a, _), Value::Int(b, _)) => Some(a.cmp(b)),
        (Value::Int(a, _), Value::Uint(b, _)) => Some(a.cmp(&(*b as i64))),
        (Value::Uint(a, _), Value::Int(b, _)) => Some((*a as i64).cmp(b)),
        (Value::Uint(a, _), Value::Uint(b, _)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Float(a), Value::Int(b, _)) => a.partial_cmp(&(*b as f64)),
        (Value::Int(a, _), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Float(a), Value::Uint(b, _)) => a.partial_cmp(&(*b as f64)),
        (Value::Uint(a, _), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (a, b) => return Err(format!("it takes numbers, not {} and {}", a.type_name(), b.type_name())),
    };
    Ok(match if order == Some(wanted) { a } else { b } {
        Value::Int(number, _) => Value::Int(*number, Int::Int64),
        other => other.clone(),
    })
}

/// Applies an operation by the types of its operands. The second argument is the left operand, because a value is
/// piped: `{{ 5 | subtract 2 }}` is 3.
fn apply(
    given: &[Value],
    signed: fn(i64, i64) -> Result<i64, String>,
    unsigned: fn(u64, u64) -> Result<u64, String>,
    float: fn(f64, f64) -> f64,
) -> Outcome {
    let wrap = |number| Value::Int(number, Int::Int64);
    match (&given[1], &given[0]) {
        (Value::Int(a, _), Value::Int(b, _)) => signed(*a, *b).map(wrap),
        (Value::Int(a, _), Value::Uint(b, _)) => signed(*a, *b as i64).map(wrap),
        (Value::Uint(a, _), Value::Int(b, _)) => signed(*a as i64, *b).map(wrap),
        (Value::Uint(a, _), Value::Uint(b, _)) => unsigned(*a, *b).map(|number| Value::Uint(number, Uint::Uint64)),
        (Value::Float(a), Value::Float(b)) => Ok(Value::Float(float(*a, *b))),
        (Value::Float(a), Value::Int(b, _)) => Ok(Value::Float(float(*a, *b as f64))),
        (Value::Int(a, _), Value::Float(b)) => Ok(Value::Float(float(*a as f64, *b))),
        (Value::Float(a), Value::Uint(b, _)) => Ok(Value::Float(float(*a, *b as f64))),
        (Value::Uint(a, _), Value::Float(b)) => Ok(Value::Float(float(*a as f64, *b))),
        (a, b) => Err(format!("it takes numbers, not {} and {}", a.type_name(), b.type_name())),
    }
}
