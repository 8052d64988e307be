//! Functions of lists and maps: `in`, `containsAll` and its variants, `loop`, `explodeMap`, `mergeMap`.

use super::super::arguments::Kind::{Any, List, Map as AnyMap};
use super::super::rendering::Rendering;
use super::super::value::{Map, Text, Value};
use super::text::is_in;
use super::{Function, Outcome};

pub(super) const TABLE: &[Function] = &[
    Function::with("in", &[Any, Any], |run, given| is_in(run, &given[0], &given[1]).map(Value::Bool)),
    Function::with("containsAll", &[List, Any], |run, given| some(run, given, true, true)),
    Function::with("containsAny", &[List, Any], |run, given| some(run, given, false, false)),
    Function::with("containsNone", &[List, Any], |run, given| some(run, given, true, false)),
    Function::with("containsNotAll", &[List, Any], |run, given| some(run, given, false, true)),
    Function::pure("loop", &[Any], |given| {
        let number = |value: &Value| match value {
            Value::Int(number, _) => Ok(*number),
            Value::Uint(number, _) => Ok(*number as i64),
            Value::String(text) => {
                String::from_utf8_lossy(text).parse().map_err(|_| "the text is no integer".to_owned())
            }
            other => Err(format!("loop takes integers, not {}", other.type_name())),
        };
        match given {
            [to] => Ok(Value::Loop(0, number(to)?)),
            [from, to] => Ok(Value::Loop(number(from)?, number(to)?)),
            _ => Err(format!("loop: wrong number of arguments, expected 1 or 2, but got {}", given.len())),
        }
    })
    .rest(Any),
    Function::with("explodeMap", &[AnyMap], |run, given| {
        let Value::Map(map, _) = &given[0] else { return Ok(Value::map(Map::new())) };
        let mut out = Map::new();
        for (key, value) in map.iter() {
            let path: Vec<&[u8]> = key.split(|b| *b == b'/').collect();
            explode(&mut out, &path, value)?;
        }
        run.nested(Value::map(out))
    }),
    Function::with("mergeMap", &[AnyMap, AnyMap], |run, given| {
        let merged = merge(&given[0], &given[1], false, 64)?;
        run.nested(merged)
    }),
    Function::with("mergeMapWithOverride", &[AnyMap, AnyMap], |run, given| {
        let merged = merge(&given[0], &given[1], true, 64)?;
        run.nested(merged)
    }),
];

/// The `contains…` functions. `all` is the result unless some item decides otherwise; `inverted`: an item decides if it
/// is contained.
fn some(run: &mut Rendering<'_>, given: &[Value], all: bool, inverted: bool) -> Outcome {
    let Value::List(items, _) = &given[0] else { return Ok(Value::Bool(all)) };
    for item in items.iter() {
        if is_in(run, &given[1], item)? != inverted {
            return Ok(Value::Bool(!all));
        }
    }
    Ok(Value::Bool(all))
}

/// Adds a value at a path of nested maps.
fn explode(map: &mut Map, path: &[&[u8]], value: &Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if path == [b""] {
        return Ok(());
    }
    let key = Text::from(*first);
    if rest == [b""] {
        // A path that ends in `/` is a folder without a value.
        map.entry(key).or_insert_with(|| Value::map(Map::new()));
        return Ok(());
    }
    if rest.is_empty() {
        map.insert(key, value.clone());
        return Ok(());
    }
    if rest.len() > 64 {
        return Err("a key has more than 64 parts".to_owned());
    }
    // Taken out, so that a map which only this one has is not copied.
    let mut inner = match map.remove(&key) {
        None => Map::new(),
        Some(Value::Map(inner, _)) => std::rc::Rc::unwrap_or_clone(inner),
        Some(_) => return Err("a key is both a value and a folder".to_owned()),
    };
    explode(&mut inner, rest, value)?;
    map.insert(key, Value::map(inner));
    Ok(())
}

/// Adds the entries of the second map to the first. Nested maps are merged; any other value of the first one stays
/// unless it is false or empty, or `overrides` is set.
fn merge(base: &Value, other: &Value, overrides: bool, depth: usize) -> Outcome {
    let (Value::Map(base, kind), Value::Map(other, _)) = (base, other) else { return Ok(base.clone()) };
    let depth = depth.checked_sub(1).ok_or("values are nested deeper than 64 levels")?;
    let mut out = (**base).clone();
    for (key, value) in other.iter() {
        let merged = match out.get(key) {
            Some(old @ Value::Map(..)) if matches!(value, Value::Map(..)) => merge(old, value, overrides, depth)?,
            Some(old) if old.is_true() && !overrides => continue,
            _ => value.clone(),
        };
        out.insert(key.clone(), merged);
    }
    Ok(Value::Map(out.into(), *kind))
}
