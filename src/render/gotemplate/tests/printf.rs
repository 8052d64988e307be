//! `printf` of every kind of value with every verb.

use super::super::printf::sprintf;
use super::super::value::{Elements, Int, Map, Pem, Scratch, Secret, Text, Uint, Value};

const MOST: usize = 1 << 20;

/// One value of every variant.
fn values() -> Vec<Value> {
    let text = Text::from(&b"a"[..]);
    let secret = Secret { lease_id: String::new(), lease_duration: 0, renewable: false, data: Value::Nil };
    let pem = Pem {
        cert: text.clone(),
        key: text.clone(),
        ca: text.clone(),
        chain: Value::Nil,
        data: Value::map(Map::new()),
    };
    vec![
        Value::Invalid,
        Value::Nil,
        Value::NilPointer("*dependency.SecretAuth"),
        Value::Pending,
        Value::Bool(true),
        Value::Int(-1, Int::Int),
        Value::Int(i64::MIN, Int::Int64),
        Value::Uint(u64::MAX, Uint::Uint64),
        Value::Uint(7, Uint::Byte),
        Value::Float(1.5),
        Value::Float(f64::NAN),
        Value::Number(text.clone()),
        Value::String(text.clone()),
        Value::list(vec![Value::Nil, Value::int(1)]),
        Value::strings(["a"]),
        Value::map(Map::from([(text.clone(), Value::Nil)])),
        Value::Map(Map::from([(text, Value::text("b"))]).into(), Elements::Strings),
        Value::Loop(0, 3),
        Value::Secret(secret.into()),
        Value::Pem(pem.into()),
        Value::Scratch(Scratch::default()),
    ]
}

fn holds_pointers(value: &Value) -> bool {
    matches!(value, Value::Loop(..) | Value::Secret(_) | Value::Pem(_) | Value::Scratch(_))
}

#[test]
fn every_value_ends_with_every_verb() {
    let verbs = (' '..='~').chain(['é', '\u{0}', '\u{fffd}']);
    let formats =
        verbs.flat_map(|verb| ["%", "%#", "%+", "%05.1", "%-8", "%[1]"].map(|start| format!("{start}{verb}")));
    let formats: Vec<String> = formats.collect();
    for value in values() {
        let is_pointer = holds_pointers(&value);
        let inside = Value::map(Map::from([(Text::from(&b"k"[..]), Value::list(vec![value.clone()]))]));
        for format in &formats {
            let alone = sprintf(format.as_bytes(), std::slice::from_ref(&value), MOST);
            let is_printed = format.ends_with(['v', 's', 'd', 'q', 'x', 't']);
            assert!(!(is_pointer && is_printed && alone.is_some()), "{format} of {}", value.type_name());
            assert!(is_pointer || alone.is_some(), "{format} of {}", value.type_name());
            let nested = sprintf(format.as_bytes(), std::slice::from_ref(&inside), MOST);
            assert!(is_pointer || nested.is_some(), "{format} of {} in a list", value.type_name());
        }
    }
}

#[test]
fn an_answer_with_a_verb_is_an_error_and_no_end_of_the_process() {
    for text in [
        "{{ printf \"%v\" (loop 3) }}",
        "{{ printf \"%d\" (sprig_list 1 (loop 2)) }}",
        "{{ printf \"%s\" scratch }}",
        "{{ printf \"%q\" (sprig_dict \"a\" (loop 2)) }}",
        "{{ printf \"x\" (loop 2) }}",
    ] {
        let error = super::rendered(text).unwrap_err();
        assert!(error.contains("cannot be printed"), "{error}");
    }
}

#[test]
fn no_width_and_no_precision_takes_more_room_than_a_text_may() {
    for format in ["%5000000d", "%5000000s", "%.5000000f", "%.5000000d", "%5000000.1e", "%.5000000U", "%05000000v"] {
        assert!(sprintf(format.as_bytes(), &[Value::int(1)], MOST).is_none() || format.contains(['f', 'e', 's', 'v']));
        let many = Value::list(vec![Value::Float(1.0); 100_000]);
        assert!(sprintf(format.as_bytes(), &[many], MOST).is_none(), "{format}");
    }
}
