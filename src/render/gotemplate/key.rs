//! Keys of maps that are no strings, which only `parseYAML` makes. In the map they are byte strings that begin with a byte
//! which UTF-8 does not have, in the order in which Go prints types: strings, unsigned and signed integers, floats,
//! booleans; nil, which is first, stands apart.

use super::value::{Elements, Int, Map, Text, Uint, Value};

/// The first byte of a key that is no string.
const MARK: u8 = 0xff;
/// The key nil.
const NIL: &[u8] = &[MARK, 0];

/// A scalar as a key; `None` for what cannot be one here: lists and maps (nor in Go), NaN and negative zero, which are equal
/// to no or to another key, and bytes that begin as a key that is no string.
pub(super) fn encode(value: &Value) -> Option<Text> {
    let marked = |kind: u8, bytes: &[u8]| Some(Text::from([&[MARK, kind], bytes].concat()));
    match value {
        Value::String(text) => (text.first() != Some(&MARK)).then(|| text.clone()),
        Value::Nil => Some(Text::from(NIL)),
        Value::Uint(number, Uint::Uint64) => marked(1, &number.to_be_bytes()),
        Value::Int(number, Int::Int) => marked(2, &(number ^ i64::MIN).to_be_bytes()),
        Value::Float(number) if !number.is_nan() && number.to_bits() != (-0.0_f64).to_bits() => {
            let bits = number.to_bits();
            let sign = 1 << 63;
            marked(3, &(if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes())
        }
        Value::Bool(value) => marked(4, &[u8::from(*value)]),
        _ => None,
    }
}

/// The key as a value.
fn decode(key: &Text, elements: Elements) -> Value {
    let [MARK, kind, bytes @ ..] = &**key else { return Value::String(key.clone()) };
    if elements != Elements::AnyKeys {
        return Value::String(key.clone());
    }
    let number = || u64::from_be_bytes(bytes.try_into().unwrap_or_default());
    match kind {
        1 => Value::Uint(number(), Uint::Uint64),
        2 => Value::int(number().cast_signed() ^ i64::MIN),
        3 => {
            let (bits, sign) = (number(), 1 << 63);
            Value::Float(f64::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign }))
        }
        4 => Value::Bool(bytes == [1]),
        _ => Value::Nil,
    }
}

/// The entries of a map in the order of Go's output.
pub(super) fn entries(map: &Map, elements: Elements) -> impl Iterator<Item = (Value, &Value)> {
    let nil = map.get(NIL).filter(|_| elements == Elements::AnyKeys);
    let others = map.iter().filter(move |(key, _)| nil.is_none() || key.as_ref() != NIL);
    nil.map(|value| (Value::Nil, value))
        .into_iter()
        .chain(others.map(move |(key, value)| (decode(key, elements), value)))
}

/// The value of a key, as `index` finds it; `None` if the map has no such key.
pub(super) fn get<'a>(map: &'a Map, elements: Elements, key: &Value) -> Option<&'a Value> {
    match key {
        Value::String(text) if elements != Elements::AnyKeys => map.get(text),
        key => map.get(&encode(key)?),
    }
}
