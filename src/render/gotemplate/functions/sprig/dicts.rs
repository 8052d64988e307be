//! Sprig's functions of maps, and of values of any type. Keys and values come in the order of the keys, where Sprig's
//! have none.

use super::super::super::super::tree::Json;
use super::super::super::arguments::Kind::{Any, Map as AnyMap, String as Str};
use super::super::super::json;
use super::super::super::value::{Elements, Int, Map, Text, Uint, Value};
use super::super::encoding::{Numbers, from_json};
use super::super::{Function, bytes, printed, string};
use super::same;

pub(in super::super) const TABLE: &[Function] = &[
    Function::with("sprig_dict", &[], |run, given| {
        let mut map = Map::new();
        for pair in given.chunks(2) {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
            map.insert(Text::from(printed(&pair[0])?), value);
        }
        run.nested(Value::map(map))
    })
    .rest(Any),
    Function::pure("sprig_get", &[Any, Str], |given| match &given[0] {
        Value::Map(map, _) => Ok(map.get(bytes(&given[1])).cloned().unwrap_or_else(|| Value::text(""))),
        other => Err(format!("get takes a map, not {}", other.type_name())),
    }),
    Function::pure("sprig_hasKey", &[Any, Str], |given| match &given[0] {
        Value::Map(map, _) => Ok(Value::Bool(map.contains_key(bytes(&given[1])))),
        nothing if nothing.is_nothing() => Ok(Value::Bool(false)),
        other => Err(format!("hasKey takes a map, not {}", other.type_name())),
    }),
    Function::with("sprig_keys", &[], |run, given| {
        let keys = given.iter().filter_map(map).flat_map(|map| map.keys().map(|key| Value::String(key.clone())));
        let Value::List(keys, _) = Value::list(keys.collect()) else { return Ok(Value::Nil) };
        run.nested(Value::List(keys, Elements::Strings))
    })
    .rest(AnyMap),
    Function::with("sprig_values", &[AnyMap], |run, given| {
        run.nested(Value::list(map(&given[0]).into_iter().flat_map(|map| map.values().cloned()).collect()))
    }),
    Function::with("sprig_pick", &[AnyMap], |run, given| {
        run.steps(given.len() as u64)?;
        let Some(whole) = map(&given[0]) else { return Ok(Value::map(Map::new())) };
        let picked = given[1..].iter().filter_map(|key| Some((Text::from(bytes(key)), whole.get(bytes(key))?.clone())));
        run.nested(Value::map(picked.collect()))
    })
    .rest(Str),
    Function::with("sprig_omit", &[AnyMap], |run, given| {
        let mut rest = map(&given[0]).cloned().unwrap_or_default();
        given[1..].iter().for_each(|key| drop(rest.remove(bytes(key))));
        run.nested(Value::map(rest))
    })
    .rest(Str),
    Function::with("sprig_pluck", &[Str], |run, given| {
        let found = given[1..].iter().filter_map(|of| map(of)?.get(bytes(&given[0])).cloned());
        run.nested(Value::list(found.collect()))
    })
    .rest(AnyMap),
    Function::pure("sprig_dig", &[Any, Any, Any], |given| {
        let [keys @ .., default, whole] = given else { return Err("dig needs at least three arguments".to_owned()) };
        if let Some(key) = keys.iter().find(|key| !matches!(key, Value::String(_))) {
            return Err(format!("the keys of dig are strings, not {}", key.type_name()));
        }
        let mut value = whole;
        for key in keys {
            let Value::Map(map, Elements::Any) = value else {
                return Err(format!("dig steps into maps, not {}", value.type_name()));
            };
            match map.get(bytes(key)) {
                Some(inner) => value = inner,
                None => return Ok(default.clone()),
            }
        }
        Ok(value.clone())
    })
    .rest(Any),
    Function::pure("sprig_deepCopy", &[Any], |given| match &given[0] {
        nothing if nothing.is_nothing() => Err("there is no value to copy".to_owned()),
        value => Ok(value.clone()),
    }),
    Function::with("sprig_deepEqual", &[Any, Any], |run, given| {
        let mut compared = 0;
        let is_same = same(&given[0], &given[1], &mut compared);
        run.compared(compared)?;
        Ok(Value::Bool(is_same))
    }),
    Function::pure("sprig_typeOf", &[Any], |given| Ok(Value::text(given[0].type_name()))),
    Function::pure("sprig_typeIs", &[Str, Any], |given| {
        Ok(Value::Bool(bytes(&given[0]) == given[1].type_name().as_bytes()))
    }),
    Function::pure("sprig_kindOf", &[Any], |given| Ok(Value::text(kind(&given[0])))),
    Function::pure("sprig_kindIs", &[Str, Any], |given| {
        Ok(Value::Bool(bytes(&given[0]) == kind(&given[1]).as_bytes()))
    }),
    Function::pure("sprig_toJson", &[Any], |given| json::write(&given[0], None, true).map(Value::text)),
    Function::pure("sprig_toPrettyJson", &[Any], |given| json::write(&given[0], Some(2), true).map(Value::text)),
    Function::pure("sprig_toRawJson", &[Any], |given| json::write(&given[0], None, false).map(Value::text)),
    Function::pure("sprig_fromJson", &[Str], |given| Ok(parsed(&given[0]).unwrap_or(Value::Nil))).slow(),
    Function::pure("sprig_mustFromJson", &[Str], |given| {
        parsed(&given[0]).ok_or_else(|| "the text is no JSON that is read here".to_owned())
    })
    .slow(),
    Function::pure("sprig_fail", &[Str], |_| Err("the template says that it cannot be rendered".to_owned())),
];

/// The map of an argument.
fn map(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map, _) => Some(map),
        _ => None,
    }
}

fn parsed(text: &Value) -> Option<Value> {
    from_json(&Json::parse(&string(text)).ok()?, Numbers::Floats)
}

/// The kind of a value, by its name in Go's `reflect`.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Invalid | Value::Nil | Value::Pending => "invalid",
        Value::NilPointer(_) | Value::Secret(_) | Value::Scratch(_) => "ptr",
        Value::Bool(_) => "bool",
        Value::Int(_, Int::Int) => "int",
        Value::Int(_, Int::Int64) => "int64",
        Value::Uint(_, Uint::Uint64) => "uint64",
        Value::Uint(_, Uint::Byte) => "uint8",
        Value::Float(_) => "float64",
        Value::Number(_) | Value::String(_) => "string",
        Value::List(..) => "slice",
        Value::Map(..) => "map",
        Value::Loop(..) => "chan",
        Value::Pem(_) | Value::Time(_) => "struct",
    }
}
