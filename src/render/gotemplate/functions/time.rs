//! The function `timestamp`: the present time in UTC, in a layout of Go's.

use super::super::arguments::Kind::String as Str;
use super::super::rendering::Rendering;
use super::super::time::Moment;
use super::super::value::Value;
use super::{Function, string};

pub(super) const TABLE: &[Function] = &[Function::with("timestamp", &[], |run, given| match given {
    [] => Ok(Value::text(now(run)?.format("2006-01-02T15:04:05Z07:00"))),
    [format] if super::bytes(format) == b"unix" => Ok(Value::text(run.now.to_string())),
    [format] => Ok(Value::text(now(run)?.format(&string(format)))),
    _ => Err(format!("timestamp: wrong number of arguments, expected 0 or 1, but got {}", given.len())),
})
.rest(Str)];

/// The time of the rendering, in whole seconds.
pub(super) fn now(run: &Rendering<'_>) -> Result<Moment, String> {
    Moment::at(i64::try_from(run.now).unwrap_or(i64::MAX))
}
