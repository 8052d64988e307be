//! Fields and methods of the values: maps, what `secret` and `pkiCert` return, `json.Number`, `scratch`.

use super::MissingKey;
use super::eval::{Evaluator, zero};
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
            (None, MissingKey::NoValue) => Ok(zero(*elements)),
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
pub(super) type Method = fn(&mut Evaluator<'_>, Vec<Value>) -> Result<Value, String>;

/// The method of that name, if the value's type has one.
pub(super) fn method(value: &Value, name: &str) -> Option<Method> {
    match (value, name) {
        (Value::Number(_), "String") => Some(|_, given| match &given[..] {
            [Value::Number(text)] => Ok(Value::String(text.clone())),
            _ => Err(count()),
        }),
        (Value::Number(_), "Int64") => Some(|_, given| match &given[..] {
            [Value::Number(text)] => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                number.map(|number| Value::Int(number, Int::Int64)).ok_or_else(|| "it is no int64".to_owned())
            }
            _ => Err(count()),
        }),
        (Value::Number(_), "Float64") => Some(|_, given| match &given[..] {
            [Value::Number(text)] => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                number.map(Value::Float).ok_or_else(|| "it is no float64".to_owned())
            }
            _ => Err(count()),
        }),
        (Value::Scratch(_), "Key") => Some(|_, given| {
            scratch(&given, |map, rest| match rest {
                [Value::String(key)] => Ok(map.contains_key(key).into()),
                _ => Err(count()),
            })
        }),
        (Value::Scratch(_), "Get") => Some(|_, given| {
            scratch(&given, |map, rest| match rest {
                [Value::String(key)] => Ok(map.get(key).cloned().unwrap_or(Value::Nil)),
                _ => Err(count()),
            })
        }),
        (Value::Scratch(_), "Set") => Some(|_, given| {
            scratch(&given, |map, rest| match rest {
                [Value::String(key), value] => {
                    map.insert(key.clone(), value.clone());
                    Ok(Value::text(""))
                }
                _ => Err(count()),
            })
        }),
        (Value::Scratch(_), "SetX") => Some(|_, given| {
            scratch(&given, |map, rest| match rest {
                [Value::String(key), value] => {
                    map.entry(key.clone()).or_insert_with(|| value.clone());
                    Ok(Value::text(""))
                }
                _ => Err(count()),
            })
        }),
        (Value::Scratch(_), "MapSet") => Some(|_, given| scratch(&given, |map, rest| inner(map, rest, true))),
        (Value::Scratch(_), "MapSetX") => Some(|_, given| scratch(&given, |map, rest| inner(map, rest, false))),
        (Value::Scratch(_), "MapValues") => Some(|_, given| {
            scratch(&given, |map, rest| match rest {
                [Value::String(key)] => match map.get(key) {
                    None => Ok(Value::Nil),
                    Some(Value::Map(map, _)) => Ok(Value::list(map.values().cloned().collect())),
                    Some(_) => Err("it is not a map".to_owned()),
                },
                _ => Err(count()),
            })
        }),
        _ => None,
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

fn count() -> String {
    "wrong number or types of arguments".to_owned()
}

fn scratch(given: &[Value], work: impl FnOnce(&mut Map, &[Value]) -> Result<Value, String>) -> Result<Value, String> {
    let Some((Value::Scratch(scratch), rest)) = given.split_first() else { return Err(count()) };
    let mut map = scratch.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(&mut map, rest)
}

fn inner(map: &mut Map, rest: &[Value], replaces: bool) -> Result<Value, String> {
    let [Value::String(name), Value::String(key), value] = rest else { return Err(count()) };
    let mut changed = match map.get(name) {
        None => Map::new(),
        Some(Value::Map(map, _)) => (**map).clone(),
        Some(_) => return Err("it is not a map".to_owned()),
    };
    if replaces || !changed.contains_key(key) {
        changed.insert(Text::clone(key), value.clone());
    }
    map.insert(name.clone(), Value::map(changed));
    Ok(Value::text(""))
}
