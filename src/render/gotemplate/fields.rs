//! Fields and methods of values: maps, the results of `secret` and `pkiCert`, `json.Number`, `scratch`.

use std::rc::Rc;

use crate::config::MissingKey;

use super::rendering::Rendering;
use super::time::Moment;
use super::value::{Int, Map, Text, Value};

/// A field of a value. Errors name only keys that the template contains literally.
pub(super) fn field(value: &Value, name: &str, missing: MissingKey) -> Result<Value, String> {
    match value {
        Value::Pending => Ok(Value::Pending),
        Value::Invalid if missing != MissingKey::NoValue => Err(format!("nil data; no entry for key {name:?}")),
        Value::Invalid => Ok(Value::Invalid),
        Value::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        Value::NilPointer(pointer) => Err(format!("nil pointer evaluating {pointer}.{name}")),
        Value::Map(map, elements) => match (map.get(name.as_bytes()), missing) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::NoValue) => Ok(elements.zero()),
            (None, MissingKey::Error | MissingKey::ErrorUnlessDefault) => {
                Err(format!("map has no entry for key {name:?}"))
            }
        },
        Value::Secret(secret) => Ok(match name {
            "LeaseID" => Value::text(&secret.lease_id),
            "LeaseDuration" => Value::int(secret.lease_duration),
            "Renewable" => Value::Bool(secret.renewable),
            "Data" => secret.data.clone(),
            "Auth" => Value::NilPointer("*dependency.SecretAuth"),
            "WrapInfo" => Value::NilPointer("*dependency.SecretWrapInfo"),
            _ => return Err(format!("can't evaluate field {name} in type *dependency.Secret")),
        }),
        Value::Pem(pem) => Ok(match name {
            "Cert" => Value::String(pem.cert.clone()),
            "Key" => Value::String(pem.key.clone()),
            "CA" => Value::String(pem.ca.clone()),
            "CAChain" => pem.chain.clone(),
            "Data" => pem.data.clone(),
            _ => return Err(format!("can't evaluate field {name} in type dependency.PemEncoded")),
        }),
        Value::Time(moment) => time(*moment, name).ok_or_else(|| cannot_evaluate(value, name)),
        other => Err(cannot_evaluate(other, name)),
    }
}

fn cannot_evaluate(value: &Value, name: &str) -> String {
    format!("can't evaluate field {name} in type {}", value.type_name())
}

/// The result of a method of `time.Time` without arguments.
fn time(moment: Moment, name: &str) -> Option<Value> {
    Some(match name {
        "UTC" | "Local" => Value::Time(moment.utc()),
        "String" => Value::text(moment.printed()),
        "Unix" => Value::Int(moment.unix(), Int::Int64),
        number => Value::int(moment.number(number)?),
    })
}

/// A method; the receiver is the first argument.
pub(super) type Method = fn(&mut Rendering<'_>, &[Value]) -> Result<Value, String>;

/// The method with that name, if the value's type has one.
pub(super) fn method(value: &Value, name: &str) -> Option<Method> {
    let table = match value {
        Value::Number(_) => NUMBER,
        Value::Scratch(_) => SCRATCH,
        Value::Time(_) => TIME,
        _ => return None,
    };
    table.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
}

/// The methods of `json.Number`.
const NUMBER: &[(&str, Method)] = &[
    ("String", |_, given| number(given, |text| Some(Value::text(text)))),
    ("Int64", |_, given| number(given, |text| Some(Value::Int(text.parse().ok()?, Int::Int64)))),
    ("Float64", |_, given| number(given, |text| Some(Value::Float(text.parse().ok()?)))),
];

/// The methods of `time.Time` that take arguments.
const TIME: &[(&str, Method)] = &[("Format", |run, given| match given {
    [Value::Time(moment), Value::String(layout)] => {
        run.grow(layout.len().saturating_mul(4))?;
        Ok(Value::text(moment.format(&String::from_utf8_lossy(layout))))
    }
    _ => Err(count()),
})];

/// The methods of `scratch`.
const SCRATCH: &[(&str, Method)] = &[
    ("Key", |_, given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => Ok(Value::Bool(map.contains_key(key))),
            _ => Err(count()),
        })
    }),
    ("Get", |_, given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => Ok(map.get(key).cloned().unwrap_or(Value::Nil)),
            _ => Err(count()),
        })
    }),
    ("Set", |run, given| set(run, given, Existing::Replace)),
    ("SetX", |run, given| set(run, given, Existing::Keep)),
    ("MapSet", |run, given| set_inner(run, given, Existing::Replace)),
    ("MapSetX", |run, given| set_inner(run, given, Existing::Keep)),
    ("MapValues", |run, given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => match map.get(key) {
                Some(Value::Map(map, _)) => {
                    let values = Value::list(map.values().cloned().collect());
                    run.grow(values.weight()).map(|()| values)
                }
                _ => Ok(Value::list(Vec::new())),
            },
            _ => Err(count()),
        })
    }),
];

/// How to treat a key that exists already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    Keep,
}

/// Converts a `json.Number`.
fn number(given: &[Value], convert: fn(&str) -> Option<Value>) -> Result<Value, String> {
    let [Value::Number(text)] = given else { return Err(count()) };
    let converted = std::str::from_utf8(text).ok().and_then(convert);
    converted.ok_or_else(|| "the number does not fit the type".to_owned())
}

/// The error of wrong arguments.
fn count() -> String {
    "wrong number or types of arguments".to_owned()
}

/// Calls `work` with the locked map of a scratch and the arguments after it.
fn scratch(given: &[Value], work: impl FnOnce(&mut Map, &[Value]) -> Result<Value, String>) -> Result<Value, String> {
    let Some((Value::Scratch(scratch), rest)) = given.split_first() else { return Err(count()) };
    let mut map = scratch.0.borrow_mut();
    work(&mut map, rest)
}

/// Sets a key of the scratch; returns an empty string.
fn set(run: &mut Rendering<'_>, given: &[Value], existing: Existing) -> Result<Value, String> {
    scratch(given, |map, rest| {
        let [Value::String(key), value] = rest else { return Err(count()) };
        if existing == Existing::Replace || !map.contains_key(key) {
            map.insert(key.clone(), run.nested(value.clone())?);
        }
        Ok(Value::text(""))
    })
}

/// Sets a key of a map in the scratch, which is created if needed; returns an empty string.
fn set_inner(run: &mut Rendering<'_>, given: &[Value], existing: Existing) -> Result<Value, String> {
    scratch(given, |map, rest| {
        let [Value::String(name), Value::String(key), value] = rest else { return Err(count()) };
        let inner = map.entry(name.clone()).or_insert_with(|| Value::map(Map::new()));
        let weight = inner.weight();
        let Value::Map(inner, _) = inner else { return Err("it is not a map".to_owned()) };
        if existing == Existing::Replace || !inner.contains_key(key) {
            if Rc::get_mut(inner).is_none() {
                // The map is shared, so it will be copied.
                run.grow(weight)?;
            }
            let value = run.nested(value.clone())?;
            Rc::make_mut(inner).insert(Text::clone(key), value);
        }
        Ok(Value::text(""))
    })
}
