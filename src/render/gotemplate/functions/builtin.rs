//! Go's predefined functions, except comparisons.

use super::super::arguments::Kind::{Any, String as Str};
use super::super::print::{self, Unprintable};
use super::super::value::{Elements, Uint, Value};
use super::super::{key, printf, quote};
use super::{Function, Outcome};

/// The most bytes that one `printf` may produce.
const MOST: usize = 4 << 20;

pub(super) const TABLE: &[Function] = &[
    Function::lazy("and", false),
    Function::lazy("or", true),
    Function::pure("not", &[Any], |given| Ok(Value::Bool(!given[0].is_true()))),
    Function::pure("print", &[], |given| print::sprint(given).map(Value::text).map_err(Unprintable::reason)).rest(Any),
    Function::pure("println", &[], |given| {
        let line = print::spaced(given).map(|line| [line, vec![b'\n']].concat());
        line.map(Value::text).map_err(Unprintable::reason)
    })
    .rest(Any),
    Function::with("printf", &[Str], |run, given| {
        // A precision may leave little of them.
        run.look(given.iter().map(looked_at).fold(0, usize::saturating_add))?;
        let made = printf::sprintf(super::bytes(&given[0]), &given[1..], MOST).map(Value::text);
        made.ok_or_else(|| match print::sprint(&given[1..]) {
            Err(error) => error.reason(),
            Ok(_) => format!(
                "the result is larger than {} MiB, or a time has another verb than %v, %s, %q and %x",
                MOST >> 20
            ),
        })
    })
    .rest(Any),
    Function::pure("html", &[], |given| Ok(Value::text(quote::html(&joined(given)?)))).rest(Any),
    Function::pure("js", &[], |given| Ok(Value::text(quote::js(&joined(given)?)))).rest(Any),
    Function::pure("urlquery", &[], |given| Ok(Value::text(quote::query(&joined(given)?)))).rest(Any),
    Function::pure("len", &[Any], |given| length(&given[0]).map(Value::int)),
    Function::pure("index", &[Any], index).rest(Any),
    Function::pure("slice", &[Any], slice).rest(Any),
    Function::pure("call", &[Any], |_| Err("there are no values that are functions".to_owned())).rest(Any),
];

/// The arguments printed as one text.
fn joined(given: &[Value]) -> Result<Vec<u8>, String> {
    let shown: Vec<Value> =
        given.iter().map(|value| if value.is_nothing() { Value::text("<no value>") } else { value.clone() }).collect();
    print::sprint(&shown).map_err(Unprintable::reason)
}

/// The bytes of all texts in a list or map.
fn looked_at(value: &Value) -> usize {
    match value {
        Value::List(items, _) => items.iter().map(inside).fold(0, usize::saturating_add),
        Value::Map(map, _) => map.values().map(inside).fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// The bytes of an item with all texts in it.
fn inside(item: &Value) -> usize {
    item.weight().saturating_add(looked_at(item))
}

/// The length of a string, list or map.
fn length(value: &Value) -> Result<i64, String> {
    let length = match value {
        Value::String(text) | Value::Number(text) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Map(map, _) => map.len(),
        Value::Loop(..) => 0,
        Value::Nil | Value::Invalid => return Err("len of untyped nil".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

/// `index`: follows keys and indexes into a value.
fn index(given: &[Value]) -> Outcome {
    let mut value = given[0].clone();
    if matches!(value, Value::Invalid | Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    for at in &given[1..] {
        value = match &value {
            Value::List(items, _) => items[place(at, items.len())?].clone(),
            Value::String(text) | Value::Number(text) => Value::Uint(text[place(at, text.len())?].into(), Uint::Byte),
            Value::Map(map, elements) => match at {
                at if *elements == Elements::AnyKeys || matches!(at, Value::String(_)) => {
                    let found = key::get(map, *elements, at);
                    found.cloned().unwrap_or_else(|| elements.zero())
                }
                Value::Nil | Value::Invalid => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            Value::Nil | Value::Invalid => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

/// An index below `length`.
fn place(key: &Value, length: usize) -> Result<usize, String> {
    let at = number(key)?;
    if at < length { Ok(at) } else { Err("index out of range".to_owned()) }
}

/// An integer argument as an index.
fn number(key: &Value) -> Result<usize, String> {
    let at = match key {
        Value::Int(at, _) => usize::try_from(*at).ok(),
        Value::Uint(at, _) => usize::try_from(*at).ok(),
        Value::Nil | Value::Invalid => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    at.ok_or_else(|| "index out of range".to_owned())
}

/// `slice`: a part of a string or list.
fn slice(given: &[Value]) -> Outcome {
    let keys = &given[1..];
    if keys.len() > 3 {
        return Err(format!("too many slice indexes: {}", keys.len()));
    }
    let length = match &given[0] {
        Value::String(_) | Value::Number(_) if keys.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::String(text) | Value::Number(text) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Nil | Value::Invalid => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, key) in bounds.iter_mut().zip(keys) {
        *bound = number(key)?;
        if *bound > length {
            return Err("index out of range".to_owned());
        }
    }
    let [from, to, most] = bounds;
    if from > to || to > most {
        return Err("invalid slice index".to_owned());
    }
    Ok(match &given[0] {
        Value::List(items, elements) => Value::List(items[from..to].to_vec().into(), *elements),
        Value::Number(text) => Value::Number(text[from..to].into()),
        other => Value::text(&super::bytes(other)[from..to]),
    })
}
