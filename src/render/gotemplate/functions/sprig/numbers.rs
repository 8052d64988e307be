//! Sprig's numbers: whatever is no number counts as 0.

use super::super::super::arguments::Kind::{Any, Int as Number, String as Str};
use super::super::super::float;
use super::super::super::rendering::Rendering;
use super::super::super::value::{Int, Value};
use super::super::{Function, Outcome, integer, string};

pub(in super::super) const TABLE: &[Function] = &[
    Function::pure("sprig_int", &[Any], |given| Ok(Value::int(int(&given[0])))).slow(),
    Function::pure("sprig_int64", &[Any], |given| Ok(int64(int(&given[0])))).slow(),
    Function::pure("sprig_float64", &[Any], |given| Ok(Value::Float(float(&given[0])))).slow(),
    Function::pure("sprig_atoi", &[Str], |given| Ok(Value::int(decimal(&string(&given[0]))))).slow(),
    Function::pure("sprig_add1", &[Any], |given| Ok(int64(int(&given[0]).wrapping_add(1)))).slow(),
    Function::pure("sprig_add", &[], |given| Ok(int64(given.iter().map(int).fold(0, i64::wrapping_add))))
        .rest(Any)
        .slow(),
    Function::pure("sprig_sub", &[Any, Any], |given| Ok(int64(int(&given[0]).wrapping_sub(int(&given[1]))))).slow(),
    Function::pure("sprig_mul", &[Any], |given| Ok(int64(given.iter().map(int).fold(1, i64::wrapping_mul))))
        .rest(Any)
        .slow(),
    Function::pure("sprig_div", &[Any, Any], |given| match int(&given[1]) {
        0 => Err(by_zero()),
        by => Ok(int64(int(&given[0]).wrapping_div(by))),
    })
    .slow(),
    Function::pure("sprig_mod", &[Any, Any], |given| match int(&given[1]) {
        0 => Err(by_zero()),
        by => Ok(int64(int(&given[0]).wrapping_rem(by))),
    })
    .slow(),
    Function::pure("sprig_max", &[Any], |given| Ok(int64(given.iter().map(int).max().unwrap_or(0)))).rest(Any).slow(),
    Function::pure("sprig_biggest", &[Any], |given| Ok(int64(given.iter().map(int).max().unwrap_or(0))))
        .rest(Any)
        .slow(),
    Function::pure("sprig_min", &[Any], |given| Ok(int64(given.iter().map(int).min().unwrap_or(0)))).rest(Any).slow(),
    Function::pure("sprig_floor", &[Any], |given| Ok(Value::Float(float(&given[0]).floor()))).slow(),
    Function::pure("sprig_ceil", &[Any], |given| Ok(Value::Float(float(&given[0]).ceil()))).slow(),
    Function::pure("sprig_round", &[Any, Number], |given| {
        Ok(Value::Float(rounded(float(&given[0]), integer(&given[1]), given.get(2).map_or(0.5, float))))
    })
    .rest(Any)
    .slow(),
    Function::with("sprig_until", &[Number], |run, given| {
        let end = integer(&given[0]);
        steps(run, 0, end, if end < 0 { -1 } else { 1 })
    }),
    Function::with("sprig_untilStep", &[Number, Number, Number], |run, given| {
        steps(run, integer(&given[0]), integer(&given[1]), integer(&given[2]))
    }),
];

fn by_zero() -> String {
    "integer divide by zero".to_owned()
}

fn int64(number: i64) -> Value {
    Value::Int(number, Int::Int64)
}

/// A value as an integer.
pub(super) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => i64::try_from(*number).unwrap_or(0),
        // Too large ones are what processors make of them, which is not always the same in Go either.
        Value::Float(number) => *number as i64,
        Value::Bool(is_true) => i64::from(*is_true),
        Value::String(_) | Value::Number(_) => of_text(&string(value)),
        _ => 0,
    }
}

/// An integer in Go's notation (`0x1f`, `0o17`, `017`, `1_000`); zeros behind a point are dropped.
fn of_text(text: &str) -> i64 {
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match () {
        () if lower.starts_with("0x") => (16, &lower[2..]),
        () if lower.starts_with("0b") => (2, &lower[2..]),
        () if lower.starts_with("0o") => (8, &lower[2..]),
        () if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        () => (10, &*lower),
    };
    // Underscores stand between digits, or behind a prefix.
    let mut parts = digits.split('_').enumerate();
    let is_number = parts.all(|(at, part)| match part {
        "" => at == 0 && radix != 10 && digits.len() > 1,
        part => part.chars().all(|c| c.is_digit(radix)),
    });
    let digits = digits.replace('_', "");
    if is_number { i64::from_str_radix(&format!("{sign}{digits}"), radix).unwrap_or(0) } else { 0 }
}

/// A decimal number as `strconv.Atoi` gives it when its error is not looked at: beyond the range the nearest.
fn decimal(text: &str) -> i64 {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

/// A value as a float.
fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Uint(number, _) => *number as f64,
        Value::String(_) | Value::Number(_) => float::parse(&string(value)).unwrap_or(0.0),
        other => int(other) as f64,
    }
}

/// Rounded to decimal places, upwards from a fraction of `limit`.
fn rounded(number: f64, places: i64, limit: f64) -> f64 {
    let power = 10f64.powi(i32::try_from(places).unwrap_or(i32::MAX));
    let digits = power * number;
    let fraction = digits - digits.trunc();
    (if fraction >= limit { digits.ceil() } else { digits.floor() }) / power
}

/// The integers from `start` up to, or down to, but not including `stop`.
fn steps(run: &mut Rendering<'_>, start: i64, stop: i64, step: i64) -> Outcome {
    let is_over = |at: i64| if step > 0 { at >= stop } else { at <= stop };
    let (mut all, mut at) = (Vec::new(), start);
    while step != 0 && !is_over(at) {
        run.steps(1)?;
        all.push(Value::int(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    run.nested(Value::list(all))
}
