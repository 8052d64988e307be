//! Fields and methods of the values: maps, what `secret` and `pkiCert` return, `json.Number`, `scratch`.

use crate::config::MissingKey;

use super::value::{Int, Map, Text, Value};

/// A field of a value. Names only keys that the template spells out.
pub(super) fn field(value: &Value, name: &str, missing: MissingKey) -> Result<Value, String> {
    match value {
        Value::Pending => Ok(Value::Pending),
        Value::Invalid if missing == MissingKey::Error => Err(format!("nil data; no entry for key {name:?}")),
        Value::Invalid => Ok(Value::Invalid),
        Value::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        Value::Map(map, elements) => match (map.get(name.as_bytes()), missing) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::NoValue) => Ok(elements.zero()),
            (None, MissingKey::Error) => Err(format!("map has no entry for key {name:?}")),
        },
        Value::Secret(secret) => Ok(match name {
            "LeaseID" => Value::text(&secret.lease_id),
            "LeaseDuration" => Value::int(secret.lease_duration),
            "Renewable" => Value::Bool(secret.renewable),
            "Data" => secret.data.clone(),
            "Auth" => secret.auth.clone(),
            "WrapInfo" => Value::Nil,
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
        other => Err(format!("can't evaluate field {name} in type {}", other.type_name())),
    }
}

/// A method: the receiver is the first argument.
pub(super) type Method = fn(&[Value]) -> Result<Value, String>;

/// The method of that name, if the value's type has one.
pub(super) fn method(value: &Value, name: &str) -> Option<Method> {
    let table = match value {
        Value::Number(_) => NUMBER,
        Value::Scratch(_) => SCRATCH,
        _ => return None,
    };
    table.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
}

/// The methods of `json.Number`.
const NUMBER: &[(&str, Method)] = &[
    ("String", |given| number(given, |text| Some(Value::text(text)))),
    ("Int64", |given| number(given, |text| Some(Value::Int(text.parse().ok()?, Int::Int64)))),
    ("Float64", |given| number(given, |text| Some(Value::Float(text.parse().ok()?)))),
];

/// The methods of `scratch`.
const SCRATCH: &[(&str, Method)] = &[
    ("Key", |given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => Ok(Value::Bool(map.contains_key(key))),
            _ => Err(count()),
        })
    }),
    ("Get", |given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => Ok(map.get(key).cloned().unwrap_or(Value::Nil)),
            _ => Err(count()),
        })
    }),
    ("Set", |given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key), value] => {
                map.insert(key.clone(), value.clone());
                Ok(Value::text(""))
            }
            _ => Err(count()),
        })
    }),
    ("SetX", |given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key), value] => {
                map.entry(key.clone()).or_insert_with(|| value.clone());
                Ok(Value::text(""))
            }
            _ => Err(count()),
        })
    }),
    ("MapSet", |given| scratch(given, |map, rest| set_inner(map, rest, Existing::Replace))),
    ("MapSetX", |given| scratch(given, |map, rest| set_inner(map, rest, Existing::Keep))),
    ("MapValues", |given| {
        scratch(given, |map, rest| match rest {
            [Value::String(key)] => match map.get(key) {
                None => Ok(Value::Nil),
                Some(Value::Map(map, _)) => Ok(Value::list(map.values().cloned().collect())),
                Some(_) => Err("it is not a map".to_owned()),
            },
            _ => Err(count()),
        })
    }),
];

/// What happens to a key that a map has already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    Keep,
}

fn number(given: &[Value], convert: fn(&str) -> Option<Value>) -> Result<Value, String> {
    let [Value::Number(text)] = given else { return Err(count()) };
    let converted = std::str::from_utf8(text).ok().and_then(convert);
    converted.ok_or_else(|| "the number does not fit the type".to_owned())
}

fn count() -> String {
    "wrong number or types of arguments".to_owned()
}

fn scratch(given: &[Value], work: impl FnOnce(&mut Map, &[Value]) -> Result<Value, String>) -> Result<Value, String> {
    let Some((Value::Scratch(scratch), rest)) = given.split_first() else { return Err(count()) };
    let mut map = scratch.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(&mut map, rest)
}

fn set_inner(map: &mut Map, rest: &[Value], existing: Existing) -> Result<Value, String> {
    let [Value::String(name), Value::String(key), value] = rest else { return Err(count()) };
    let mut changed = match map.get(name) {
        None => Map::new(),
        Some(Value::Map(map, _)) => (**map).clone(),
        Some(_) => return Err("it is not a map".to_owned()),
    };
    if existing == Existing::Replace || !changed.contains_key(key) {
        changed.insert(Text::clone(key), value.clone());
    }
    map.insert(name.clone(), Value::map(changed));
    Ok(Value::text(""))
}
