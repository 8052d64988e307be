//! Validates a tree against its shape: unknown keys and wrong types in each layer; in the merged tree, missing and
//! conflicting keys.
//!
//! All mistakes are collected. A wrong value is replaced by [`Kind::Bad`], so that it is reported once.

use crate::domain::{EnvName, FileName};

use super::form::alternatives;
use super::nearest::{nearest, suggestion};
use super::place::{PREFIX, Place};
use super::shape::{Choice, Field, Names, Presence, Shape, SingleItem, Source, Tagged};
use super::tree::{ConfigErrors, Entry, Kind, Node, Style, join};
use super::value;

/// The author of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// The operator: the file, the environment or flags.
    Operator,
    /// A pod annotation, which may not set every key.
    Annotation,
}

/// Validates one layer and normalises it: short forms become maps, a single item becomes a list.
pub(super) fn layer(node: Node, shape: &'static Shape, author: Author, mistakes: &mut ConfigErrors) -> Node {
    Checker { author, mistakes }.node(node, shape, "")
}

struct Checker<'m> {
    author: Author,
    mistakes: &'m mut ConfigErrors,
}

impl Checker<'_> {
    /// Validates a value and everything below it.
    fn node(&mut self, node: Node, shape: &'static Shape, path: &str) -> Node {
        let Node { kind, place } = node;
        let is_null = matches!(&kind, Kind::Text(text) if text.is_null());
        let kind = match (shape, kind) {
            (_, Kind::Bad) => Kind::Bad,
            (Shape::Single(form), Kind::Text(text)) => {
                self.kind_or_report(form.check(&text), &place, path, Kind::Text(text))
            }
            (Shape::Short { form, into, .. }, Kind::Text(text)) => {
                let kind = self.kind_or_report(form.check(&text), &place, path, Kind::Text(text));
                match into {
                    Some(field) if kind != Kind::Bad => Node { kind, place: place.clone() }.under(&[field]).kind,
                    _ => kind,
                }
            }
            (Shape::List { .. }, Kind::Text(_)) if is_null => Kind::List(Vec::new()),
            (Shape::List { item, single_item: SingleItem::Allowed }, kind @ (Kind::Text(_) | Kind::Map(_))) => {
                Kind::List(vec![self.node(Node { kind, place: place.clone() }, item, path)])
            }
            (Shape::List { item, .. }, Kind::List(items)) => {
                let items = items.into_iter().enumerate();
                Kind::List(items.map(|(at, node)| self.node(node, item, &format!("{path}[{at}]"))).collect())
            }
            (Shape::Map { .. } | Shape::Object(_) | Shape::Tagged(_), Kind::Text(_)) if is_null => {
                Kind::Map(Vec::new())
            }
            (Shape::Map { names, value }, Kind::Map(entries)) => {
                Kind::Map(entries.into_iter().filter_map(|entry| self.named(entry, *names, value, path)).collect())
            }
            (Shape::Short { .. } | Shape::Object(_) | Shape::Tagged(_), Kind::Map(entries)) => {
                let fields = shape.fields();
                Kind::Map(entries.into_iter().filter_map(|entry| self.field(entry, &fields, path)).collect())
            }
            (_, found) => {
                let is_list = matches!((shape, &place), (Shape::List { .. }, Place::Flag(_) | Place::Variable(_)));
                let hint = if is_list { "; write [ITEM] or [ITEM, ITEM]" } else { "" };
                let text = format!("expected {}, found {}{hint}", expected(shape), describe(&found));
                self.mistakes.about(&place, path, text);
                Kind::Bad
            }
        };
        Node { kind, place }
    }

    /// Returns `kind`, or reports the error and returns [`Kind::Bad`].
    fn kind_or_report(&mut self, result: Result<(), String>, place: &Place, path: &str, kind: Kind) -> Kind {
        match result {
            Ok(()) => kind,
            Err(error) => {
                self.mistakes.about(place, path, error);
                Kind::Bad
            }
        }
    }

    /// Validates an entry of a map with user-defined names.
    fn named(&mut self, entry: Entry, names: Names, shape: &'static Shape, path: &str) -> Option<Entry> {
        let Entry { key, place, value } = entry;
        let path = join(path, &key);
        let result = match names {
            _ if key.contains(char::is_control) => Err("a name with a control character".to_owned()),
            Names::Secrets => value::secret_name(&key).map(drop),
            Names::Files => FileName::parse(&key).map(drop).map_err(|error| error.to_string()),
            Names::Variables => EnvName::parse(&key).map(drop).map_err(|error| error.to_string()),
        };
        self.mistakes.take(result, &place, &path);
        let value = self.node(value, shape, &path);
        Some(Entry { key, place, value })
    }

    /// Validates a field; `None` if an annotation may not set it.
    fn field(&mut self, entry: Entry, fields: &[&'static Field], path: &str) -> Option<Entry> {
        let Entry { key, place, value } = entry;
        let Some(field) = fields.iter().find(|field| field.name == key) else {
            self.mistakes.add(&place, unknown_key(&key, fields, path));
            // Keep it in the tree, so that the key it was meant to be is not also reported as missing.
            let value = Node { kind: Kind::Bad, place: place.clone() };
            return Some(Entry { key, place, value });
        };
        let path = join(path, &key);
        if self.author == Author::Annotation && field.source == Source::NeverAnnotation {
            self.mistakes.about(&place, &path, "is the operator's to set, never an annotation's");
            return None;
        }
        let value = self.node(value, &field.shape, &path);
        Some(Entry { key, place, value })
    }
}

/// The message about an unknown key, with a suggestion.
pub(super) fn unknown_key(key: &str, fields: &[&'static Field], path: &str) -> String {
    let r#in = if path.is_empty() { String::new() } else { format!(" in {path}") };
    if path.is_empty() && key == "local" {
        return "unknown key \"local\"; it is a flag only: --local FILE".to_owned();
    }
    format!("unknown key {key:?}{in}{}", suggestion(key, fields.iter().map(|field| field.name)), in = r#in)
}

/// What a shape expects, for messages.
fn expected(shape: &Shape) -> String {
    let fields = || alternatives(&shape.fields().iter().map(|field| field.name).collect::<Vec<_>>());
    match shape {
        Shape::Single(form) => form.expected(),
        Shape::Short { form, .. } => format!("{}, or a map with {}", form.expected(), fields()),
        Shape::List { .. } => "a list".to_owned(),
        Shape::Map { .. } => "a map".to_owned(),
        Shape::Object(_) | Shape::Tagged(_) => format!("a map with {}", fields()),
    }
}

/// What was found, for messages.
fn describe(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text(text) if text.style == Style::Plain && text.is_null() => "nothing",
        Kind::Text(_) => "a single value",
        Kind::List(_) => "a list",
        Kind::Map(_) => "a map",
        Kind::Bad => "something that is wrong",
    }
}

/// Whether an entry is no field of its map, which has been reported.
fn is_unknown(entry: &Entry, fields: &[&Field]) -> bool {
    entry.value.kind == Kind::Bad && !fields.iter().any(|field| field.name == entry.key)
}

/// Whether `key` is a likely misspelling of this field.
fn is_meant(key: &str, field: &Field, fields: &[&Field]) -> bool {
    nearest(key, fields.iter().map(|field| field.name)) == Some(field.name)
}

/// Whether an unknown key of a map is a likely misspelling of this field.
pub(super) fn is_misspelt(node: &Node, shape: &Shape, name: &str) -> bool {
    let fields = shape.fields();
    let Some(field) = fields.iter().find(|field| field.name == name) else { return false };
    node.entries().iter().any(|entry| is_unknown(entry, &fields) && is_meant(&entry.key, field, &fields))
}

/// Validates the merged tree: reports missing keys, and keys that exclude each other.
pub(super) fn whole(node: &Node, shape: &'static Shape, path: &str, mistakes: &mut ConfigErrors) {
    if let Shape::List { item, .. } = shape {
        for (at, node) in node.items().iter().enumerate() {
            whole(node, item, &format!("{path}[{at}]"), mistakes);
        }
    }
    if !matches!(node.kind, Kind::Map(_)) {
        return;
    }
    match shape {
        Shape::Tagged(tagged) => tagged_whole(node, tagged, path, mistakes),
        _ => {
            let fields = shape.fields();
            object_whole(node, &fields, shape.choice(), path, mistakes);
        }
    }
    for entry in node.entries() {
        if let Some(shape) = shape.under(&entry.key) {
            whole(&entry.value, shape, &join(path, &entry.key), mistakes);
        }
    }
}

/// Validates a map whose fields depend on its tag.
fn tagged_whole(node: &Node, tagged: &'static Tagged, path: &str, mistakes: &mut ConfigErrors) {
    if node.entries().is_empty() {
        return; // the same as not there
    }
    let tag = tagged.tag;
    let Some(value) = node.field(tag.name) else {
        let names: Vec<_> = tagged.variants.iter().map(|variant| variant.name).collect();
        let text = format!("is missing; expected {}", alternatives(&names));
        mistakes.about(&node.place, &join(path, tag.name), text);
        return;
    };
    let Some(variant) = value.text().and_then(|text| tagged.variant(text)) else {
        return; // reported with its layer
    };
    let fields: Vec<_> = variant.object.fields.iter().collect();
    for entry in node.entries() {
        let is_known = entry.key == tag.name || fields.iter().any(|field| field.name == entry.key);
        if !is_known && tagged.fields().iter().any(|field| field.name == entry.key) {
            let known = suggestion(&entry.key, fields.iter().map(|field| field.name));
            let text = format!("unknown key {:?} in {path} with {} {}{known}", entry.key, tag.name, variant.name);
            mistakes.add(&entry.place, text);
        }
    }
    object_whole(node, &fields, variant.object.choice.as_ref(), path, mistakes);
}

/// Validates the required fields of a map, and its choice.
fn object_whole(node: &Node, fields: &[&Field], choice: Option<&Choice>, path: &str, mistakes: &mut ConfigErrors) {
    let mut strays = node.entries().iter().filter(|entry| is_unknown(entry, fields));
    for field in fields.iter().filter(|field| field.presence == Presence::Required) {
        let is_misspelt = strays.clone().any(|stray| is_meant(&stray.key, field, fields));
        if node.field(field.name).is_none() && !is_misspelt {
            let expected = expected(&field.shape);
            mistakes.about(&node.place, &join(path, field.name), format!("is missing; expected {expected}"));
        }
    }
    let Some(choice) = choice else { return };
    let heads = || choice.ways.iter().filter_map(|way| way.first().copied());
    let present: Vec<&str> = heads().filter(|head| node.field(head).is_some()).collect();
    match present.as_slice() {
        [] if choice.presence == Presence::Required && strays.next().is_none() => {
            let heads: Vec<_> = heads().collect();
            let expected = match (&node.place, path.strip_prefix("files.")) {
                (Place::Annotation(_), Some(name)) => {
                    let name = name.trim_matches('"');
                    format!("nothing says what the file holds: say {PREFIX}file.{name} or {PREFIX}template.{name} too")
                }
                _ => format!("expected one of {}", alternatives(&heads)),
            };
            mistakes.about(&node.place, path, expected);
        }
        [] => {}
        [one] => {
            let taken = |key: &str| choice.ways.iter().any(|way| way.first() == Some(one) && way.contains(&key));
            let known = |key: &str| choice.ways.iter().any(|way| way.contains(&key));
            for entry in node.entries().iter().filter(|entry| known(&entry.key) && !taken(&entry.key)) {
                mistakes.about(&entry.place, &join(path, &entry.key), format!("cannot stand together with {one}"));
            }
        }
        [first, rest @ ..] => {
            for entry in node.entries().iter().filter(|entry| rest.contains(&entry.key.as_str())) {
                mistakes.about(&entry.place, &join(path, &entry.key), format!("cannot stand together with {first}"));
            }
        }
    }
}
