//! Sprig's functions about dates. Its local zone is UTC, as in a container.

use super::super::super::arguments::Kind::{Any, String as Str, Time};
use super::super::super::rendering::Rendering;
use super::super::super::time::{Moment, Span};
use super::super::super::value::{Int, Value};
use super::super::time::now;
use super::super::{Function, Outcome, string};

pub(in super::super) const TABLE: &[Function] = &[
    Function::with("sprig_now", &[], |run, _| now(run).map(Value::Time)),
    Function::with("sprig_date", &[Str, Any], |run, given| date(run, &string(&given[0]), &given[1], "UTC")),
    Function::with("sprig_date_in_zone", &[Str, Any, Str], in_zone),
    Function::with("sprig_dateInZone", &[Str, Any, Str], in_zone),
    Function::with("sprig_htmlDate", &[Any], |run, given| date(run, "2006-01-02", &given[0], "UTC")),
    Function::with("sprig_htmlDateInZone", &[Any, Str], |run, given| {
        date(run, "2006-01-02", &given[0], &string(&given[1]))
    }),
    Function::pure("sprig_date_modify", &[Str, Time], |given| modified(given).or_else(|_| Ok(given[1].clone()))),
    Function::pure("sprig_dateModify", &[Str, Time], |given| modified(given).or_else(|_| Ok(given[1].clone()))),
    Function::pure("sprig_must_date_modify", &[Str, Time], modified),
    Function::pure("sprig_mustDateModify", &[Str, Time], modified),
    Function::pure("sprig_toDate", &[Str, Str], |given| {
        Ok(Value::Time(Moment::parse(&string(&given[0]), &string(&given[1])).unwrap_or(Moment::ZERO)))
    }),
    Function::pure("sprig_mustToDate", &[Str, Str], |given| {
        let read = Moment::parse(&string(&given[0]), &string(&given[1]));
        read.map(Value::Time).ok_or_else(|| "the text is no time in that layout".to_owned())
    }),
    Function::pure("sprig_unixEpoch", &[Time], |given| match &given[0] {
        Value::Time(moment) => Ok(Value::text(moment.unix().to_string())),
        other => Err(format!("unixEpoch takes a time, not {}", other.type_name())),
    }),
    Function::with("sprig_ago", &[Any], |run, given| {
        let now = now(run)?;
        let moment = match &given[0] {
            Value::Time(moment) => *moment,
            Value::Int(seconds, _) => Moment::at(*seconds)?,
            _ => now,
        };
        Ok(Value::text(now.since(moment).rounded().printed()))
    }),
    Function::pure("sprig_duration", &[Any], |given| {
        let seconds = match &given[0] {
            Value::String(_) => string(&given[0]).parse().unwrap_or(0),
            // As in Sprig, an `int` is no number of seconds.
            Value::Int(seconds, Int::Int64) => *seconds,
            _ => 0,
        };
        Ok(Value::text(Span::seconds(seconds).printed()))
    }),
    Function::with("sprig_durationRound", &[Any], |run, given| {
        let span = match &given[0] {
            Value::String(_) => Span::parse(&string(&given[0])).unwrap_or(Span::nanos(0)),
            Value::Int(nanos, Int::Int64) => Span::nanos(*nanos),
            Value::Time(moment) => now(run)?.since(*moment),
            _ => Span::nanos(0),
        };
        Ok(Value::text(span.round()))
    }),
];

fn in_zone(run: &mut Rendering<'_>, given: &[Value]) -> Outcome {
    date(run, &string(&given[0]), &given[1], &string(&given[2]))
}

/// A time, or seconds since 1970, in a layout; anything else is the present time, as in Sprig.
fn date(run: &mut Rendering<'_>, layout: &str, date: &Value, zone: &str) -> Outcome {
    let in_zone = match zone {
        "" | "UTC" | "Local" | "Etc/UTC" => Moment::utc,
        "GMT" => Moment::gmt,
        _ => return Err("the only time zone here is UTC".to_owned()),
    };
    let moment = match date {
        Value::Time(moment) => *moment,
        Value::Int(seconds, _) => Moment::at(*seconds)?,
        _ => now(run)?,
    };
    // No element of a layout becomes more than four times as long.
    run.grow(layout.len().saturating_mul(4))?;
    Ok(Value::text(in_zone(moment).format(layout)))
}

/// A time moved by a duration.
fn modified(given: &[Value]) -> Outcome {
    let span = Span::parse(&string(&given[0])).ok_or("the text is no duration such as -1h30m")?;
    match &given[1] {
        Value::Time(moment) => moment.plus(span).map(Value::Time),
        other => Err(format!("it takes a time, not {}", other.type_name())),
    }
}
