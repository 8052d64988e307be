//! Sprig's lists, and its functions about what is empty.

use super::super::super::arguments::Kind::Any;
use super::super::super::rendering::Rendering;
use super::super::super::value::Value;
use super::super::{Function, Outcome, integer, printed};
use super::numbers::int;
use super::same;

pub(in super::super) const TABLE: &[Function] = &[
    Function::pure("sprig_default", &[Any], |given| match given {
        [_, value, ..] if value.is_true() => Ok(value.clone()),
        _ => Ok(given[0].clone()),
    })
    .rest(Any),
    Function::pure("sprig_empty", &[Any], |given| Ok(Value::Bool(!given[0].is_true()))),
    Function::pure("sprig_coalesce", &[], |given| {
        Ok(given.iter().find(|value| value.is_true()).cloned().unwrap_or(Value::Nil))
    })
    .rest(Any),
    Function::pure("sprig_all", &[], |given| Ok(Value::Bool(given.iter().all(Value::is_true)))).rest(Any),
    Function::pure("sprig_any", &[], |given| Ok(Value::Bool(given.iter().any(Value::is_true)))).rest(Any),
    Function::pure("sprig_ternary", &[Any, Any, Any], |given| match &given[2] {
        Value::Bool(is_first) => Ok(given[usize::from(!is_first)].clone()),
        other => Err(format!("ternary takes a boolean, not {}", other.type_name())),
    }),
    Function::with("sprig_list", &[], |run, given| run.nested(Value::list(given.to_vec()))).rest(Any),
    Function::with("sprig_tuple", &[], |run, given| run.nested(Value::list(given.to_vec()))).rest(Any),
    Function::with("sprig_append", &[Any, Any], append),
    Function::with("sprig_push", &[Any, Any], append),
    Function::with("sprig_prepend", &[Any, Any], |run, given| {
        let mut all = vec![given[1].clone()];
        all.extend_from_slice(items(&given[0])?);
        run.nested(Value::list(all))
    }),
    Function::with("sprig_concat", &[], |run, given| {
        let parts = given.iter().map(items).collect::<Result<Vec<_>, _>>()?;
        run.steps(parts.iter().map(|part| part.len() as u64).sum())?;
        run.nested(Value::list(parts.concat()))
    })
    .rest(Any),
    Function::pure("sprig_first", &[Any], |given| Ok(items(&given[0])?.first().cloned().unwrap_or(Value::Nil))),
    Function::pure("sprig_last", &[Any], |given| Ok(items(&given[0])?.last().cloned().unwrap_or(Value::Nil))),
    Function::with("sprig_rest", &[Any], |run, given| {
        let rest = items(&given[0])?.split_first().map(|(_, rest)| rest).unwrap_or_default();
        run.nested(Value::list(rest.to_vec()))
    }),
    Function::with("sprig_initial", &[Any], |run, given| {
        let rest = items(&given[0])?.split_last().map(|(_, rest)| rest).unwrap_or_default();
        run.nested(Value::list(rest.to_vec()))
    }),
    Function::with("sprig_reverse", &[Any], |run, given| {
        run.nested(Value::list(items(&given[0])?.iter().rev().cloned().collect()))
    }),
    Function::with("sprig_compact", &[Any], |run, given| {
        run.nested(Value::list(items(&given[0])?.iter().filter(|item| item.is_true()).cloned().collect()))
    }),
    Function::with("sprig_uniq", &[Any], |run, given| {
        let mut kept: Vec<Value> = Vec::new();
        for item in items(&given[0])? {
            run.steps(kept.len() as u64)?;
            let mut compared = 0;
            let is_known = kept.iter().any(|known| same(known, item, &mut compared));
            run.compared(compared)?;
            if !is_known {
                kept.push(item.clone());
            }
        }
        run.nested(Value::list(kept))
    }),
    Function::with("sprig_without", &[Any], |run, given| {
        let all = items(&given[0])?;
        run.steps((all.len() as u64).saturating_mul(given.len() as u64))?;
        let mut kept = Vec::new();
        for item in all {
            let mut compared = 0;
            let is_named = given[1..].iter().any(|other| same(other, item, &mut compared));
            run.compared(compared)?;
            if !is_named {
                kept.push(item.clone());
            }
        }
        run.nested(Value::list(kept))
    })
    .rest(Any),
    Function::with("sprig_has", &[Any, Any], |run, given| match &given[1] {
        nothing if nothing.is_nothing() => Ok(Value::Bool(false)),
        list => {
            let mut compared = 0;
            let is_found = items(list)?.iter().any(|item| same(item, &given[0], &mut compared));
            run.compared(compared)?;
            Ok(Value::Bool(is_found))
        }
    }),
    Function::with("sprig_slice", &[Any], |run, given| {
        let all = items(&given[0])?;
        if all.is_empty() {
            return Ok(Value::Nil);
        }
        let place = |at: usize, or: usize| given.get(at).map_or(Some(or), |value| usize::try_from(int(value)).ok());
        let part = place(1, 0).zip(place(2, all.len())).and_then(|(from, to)| all.get(from..to));
        let part = part.ok_or("slice bounds out of range")?;
        let Value::List(_, elements) = &given[0] else { return Ok(Value::Nil) };
        run.nested(Value::List(part.to_vec().into(), *elements))
    })
    .rest(Any),
    Function::with("sprig_sortAlpha", &[Any], |run, given| {
        if given[0].is_nothing() {
            return Ok(Value::strings(["<nil>"]));
        }
        let mut all = strings(&given[0])?;
        run.steps(all.len() as u64)?;
        all.sort();
        run.nested(Value::strings(all))
    }),
    Function::with("sprig_toStrings", &[Any], |run, given| run.nested(Value::strings(strings(&given[0])?))),
    Function::with("sprig_chunk", &[Any, Any], |run, given| {
        let (size, all) = (integer(&given[0]), items(&given[1])?);
        let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or("the size of a chunk is at least 1")?;
        run.nested(Value::list(all.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect()))
    }),
];

/// The items of a list argument.
fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items, _) => Ok(items),
        other => Err(format!("it takes a list, not {}", other.type_name())),
    }
}

fn append(run: &mut Rendering<'_>, given: &[Value]) -> Outcome {
    let mut all = items(&given[0])?.to_vec();
    all.push(given[1].clone());
    run.nested(Value::list(all))
}

/// The items that are not nil, printed; of a value that is no list, the value.
pub(super) fn strings(value: &Value) -> Result<Vec<Vec<u8>>, String> {
    match value {
        Value::List(all, _) => all.iter().filter(|item| !item.is_nothing()).map(printed).collect(),
        other if other.is_nothing() => Ok(Vec::new()),
        other => Ok(vec![printed(other)?]),
    }
}
