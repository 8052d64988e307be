//! Writes a layer as command-line flags that parse to the same layer: the form in which an admitted configuration is
//! passed in a container's arguments.
//!
//! `--file NAME=REF` and `--env NAME=REF` where these suffice, otherwise `--set KEY=VALUE` for each single value, with
//! JSON (which is YAML) for lists and for names that a dotted key cannot express.

use serde_json::{Map, Value};

use super::flags::Flag;
use super::keys::ROOT;
use super::shape::Shape;
use super::tree::{Kind, Node, join};

/// Flags for every value of `tree`, in its order. `skip` lists dotted keys that are omitted, with everything below
/// them.
pub(super) fn flags(tree: &Node, skip: &[&str]) -> Vec<Flag> {
    let mut flags = Vec::new();
    for entry in tree.entries().iter().filter(|entry| !skip.contains(&entry.key.as_str())) {
        let Some(shape) = ROOT.under(&entry.key) else { continue };
        match shape {
            Shape::Map { value, .. } => {
                for item in entry.value.entries() {
                    named(&entry.key, &item.key, &item.value, value, &mut flags);
                }
            }
            _ => single_values(&entry.key, &entry.value, skip, &mut flags),
        }
    }
    flags
}

/// Appends the flags for one entry of `files`, `env` or `secrets`.
fn named(map: &str, name: &str, node: &Node, shape: &Shape, flags: &mut Vec<Flag>) {
    let fields = node.entries();
    let short = match (map, fields) {
        ("files", [only]) if only.key == "from" => Some("--file"),
        ("env", [only]) if only.key == "from" => Some("--env"),
        _ => None,
    };
    if let (Some(flag), Some(text), false) =
        (short, fields.first().and_then(|only| only.value.text()), name.contains('='))
    {
        flags.push(Flag::new(flag, format!("{name}={text}")));
        return;
    }
    let ends_in_a_field =
        name.rsplit_once('.').is_some_and(|(_, last)| shape.fields().iter().any(|field| field.name == last));
    let key = match name {
        _ if name.contains('"') => {
            let mut whole = Map::new();
            whole.insert(name.to_owned(), json(node));
            flags.push(Flag::new("--set", format!("{map}={}", Value::Object(whole))));
            return;
        }
        _ if name.contains('=') || ends_in_a_field => format!("{map}.\"{name}\""),
        _ => format!("{map}.{name}"),
    };
    match fields {
        [only] if only.key == "from" => flags.push(Flag::new("--set", format!("{key}={}", text(&only.value)))),
        _ => {
            for field in fields {
                flags.push(Flag::new("--set", format!("{key}.{}={}", field.key, text(&field.value))));
            }
        }
    }
}

/// The text of a node; empty if it is no single value.
fn text(node: &Node) -> &str {
    node.text().unwrap_or_default()
}

/// Appends `--set` for every single value below a key; a list is one flag.
fn single_values(path: &str, node: &Node, skip: &[&str], flags: &mut Vec<Flag>) {
    if skip.contains(&path) {
        return;
    }
    match &node.kind {
        Kind::Map(entries) => {
            entries.iter().for_each(|entry| single_values(&join(path, &entry.key), &entry.value, skip, flags));
        }
        Kind::List(items) => match items.as_slice() {
            [] => {}
            [only] if path == "onChange" && only.text().is_some() => {
                flags.push(Flag::new("--set", format!("{path}={}", text(only))));
            }
            _ => flags.push(Flag::new("--set", format!("{path}={}", json(node)))),
        },
        Kind::Text(text) if !text.is_null() => flags.push(Flag::new("--set", format!("{path}={}", text.text))),
        Kind::Text(_) | Kind::Bad => {}
    }
}

/// Converts a node to JSON, keeping the order of keys.
fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
        Kind::List(items) => Value::Array(items.iter().map(json).collect()),
        Kind::Text(text) => Value::String(text.text.clone()),
        Kind::Bad => Value::Null,
    }
}
