//! `parseYAML`: reads what Go's `yaml.Unmarshal` (version 2) reads into an empty interface.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::domain::MOST_ELEMENTS;

use super::super::key;
use super::super::value::{Elements, Map, Text, Value};
use super::resolve::{Plain, resolve};

/// The deepest nesting.
const DEPTH: usize = 64;
/// The most entries that `<<` takes over, in the whole document.
const MERGED: usize = 100_000;

/// A list or map that is not complete yet.
struct Open {
    /// The number of its anchor; 0 for none.
    anchor: usize,
    /// The largest height of what it contains so far.
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    /// The entries so far, and the key whose value comes next.
    Map(Map, Option<Key>),
}

impl Open {
    fn new(anchor: usize, content: Content) -> Self {
        Self { anchor, height: 0, content }
    }

    /// Adds an item, a key or the value of the last key. `left` is how many entries may still be merged.
    fn add(&mut self, node: Node, left: &mut usize) -> Result<(), &'static str> {
        self.height = self.height.max(node.height);
        match &mut self.content {
            Content::List(items) => items.push(node.value),
            Content::Map(map, next) => match next.take() {
                None => *next = Some(key_of(node)?),
                Some(Key::Text(key)) => _ = map.insert(key, node.value),
                Some(Key::Merge) => merge(map, &node.value, left)?,
            },
        }
        Ok(())
    }

    /// The complete collection, behind the number of its anchor.
    fn into_node(self) -> (usize, Node) {
        let value = match self.content {
            Content::List(items) => Value::list(items),
            Content::Map(map, _) => Value::Map(map.into(), Elements::AnyKeys),
        };
        (self.anchor, Node { value, height: self.height + 1, is_merge: false })
    }
}

/// A key of a map.
enum Key {
    Text(Text),
    /// `<<`: its value is one map or several, whose entries are taken over.
    Merge,
}

/// A scalar or a complete collection.
#[derive(Clone)]
struct Node {
    value: Value,
    /// The number of collections that are nested in each other; 0 for a scalar.
    height: usize,
    is_merge: bool,
}

/// Parses the first document. Errors have a line, and never quote the text.
pub(in super::super) fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut left = MERGED;
    for (nodes, event) in Parser::new_from_str(text).enumerate() {
        let (event, span) = event.map_err(|error| format!("yaml: line {}: not valid YAML", error.marker().line()))?;
        let at = |why: &str| format!("yaml: line {}: {why}", span.start.line());
        if nodes >= MOST_ELEMENTS {
            return Err(at("it has more than 20,000 keys, values and brackets"));
        }
        let (anchor, node) = match event {
            Event::Alias(anchor) => {
                let known = anchors.get(&anchor).cloned();
                let known = known.ok_or_else(|| at("an alias of a collection that contains it"))?;
                (0, Node { is_merge: false, ..known })
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = text == "<<" && style == ScalarStyle::Plain;
                let value = scalar(&text, style, tag.as_deref()).ok_or_else(|| at("a value does not fit its tag"))?;
                (anchor, Node { value, height: 0, is_merge })
            }
            Event::SequenceStart(_, anchor, _) => {
                open.push(Open::new(anchor, Content::List(Vec::new())));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(Open::new(anchor, Content::Map(Map::new(), None)));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(complete) = open.pop() else { continue };
                complete.into_node()
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        // What an alias stands for counts with all its levels.
        if open.len().saturating_add(node.height) > DEPTH {
            return Err(at("values are nested deeper than 64 levels"));
        }
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        let Some(outer) = open.last_mut() else { return Ok(node.value) };
        outer.add(node, &mut left).map_err(at)?;
    }
    Ok(Value::Nil)
}

/// The key that a node is.
fn key_of(node: Node) -> Result<Key, &'static str> {
    match node.value {
        _ if node.is_merge => Ok(Key::Merge),
        value => key::encode(&value).map(Key::Text).ok_or("a key is a list, a map, .nan, -0.0 or no UTF-8"),
    }
}

/// Takes over the entries of a map, or of a list of maps, of which the first one wins. `left` is how many may still be.
fn merge(map: &mut Map, from: &Value, left: &mut usize) -> Result<(), &'static str> {
    let maps = match from {
        Value::List(maps, _) => maps.as_slice(),
        one => std::slice::from_ref(one),
    };
    for more in maps.iter().rev() {
        let Value::Map(more, _) = more else { return Err("map merge requires map or sequence of maps") };
        *left = left.checked_sub(more.len()).ok_or("it merges more than 100,000 entries")?;
        map.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(())
}

/// The value of a scalar; `None` if it does not fit its tag.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Option<Value> {
    let (handle, suffix) = tag.map_or(("", ""), Tag::parts);
    let uri = format!("{handle}{suffix}");
    let core = uri.strip_prefix("tag:yaml.org,2002:");
    let plain = || match resolve(text) {
        Plain::Null => Value::Nil,
        Plain::Bool(value) => Value::Bool(value),
        Plain::Int(value) => Value::int(value),
        Plain::Uint(value) => Value::Uint(value, super::super::value::Uint::Uint64),
        Plain::Float(value) => Value::Float(value),
        Plain::Timestamp | Plain::String => Value::text(text),
    };
    match (core, style) {
        (Some("str"), _) => Some(Value::text(text)),
        (Some("binary"), _) => {
            let digits: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(digits).ok().map(Value::text)
        }
        (Some("int"), _) => Some(plain()).filter(|value| matches!(value, Value::Int(..) | Value::Uint(..))),
        (Some("float"), _) => match plain() {
            Value::Float(value) => Some(Value::Float(value)),
            Value::Int(value, _) => Some(Value::Float(value as f64)),
            _ => None,
        },
        (Some("bool"), _) => Some(plain()).filter(|value| matches!(value, Value::Bool(_))),
        (Some("null"), _) => Some(plain()).filter(|value| matches!(value, Value::Nil)),
        (_, ScalarStyle::Plain) => Some(plain()),
        _ => Some(Value::text(text)),
    }
}
