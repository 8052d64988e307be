//! The tree that every layer is parsed into: single values, lists and maps, each with its place.

use std::fmt;

use super::place::{ConfigError, Place};

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) kind: Kind,
    /// Where it was set.
    pub(crate) place: Place,
}

/// The value of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A single value, in its written form.
    Text(Text),
    /// Values in order.
    List(Vec<Node>),
    /// Entries in their written order, without duplicate keys.
    Map(Vec<Entry>),
    /// A value whose mistake has been reported. It overrides lower layers, and no further mistake is reported for it.
    Bad,
}

/// A single value. Its type is decided by the key, not by its spelling.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The text, with YAML's escapes decoded.
    pub(crate) text: String,
    /// How it was written.
    pub(crate) style: Style,
}

/// Without the text, which may be a secret in a file of local values.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("style", &self.style).finish_non_exhaustive()
    }
}

/// The key with which an editor finds the schema of a file; ignored otherwise.
pub(super) const SCHEMA_KEY: &str = "$schema";

/// How a single value was written. Other YAML readers take an unquoted `0440` or `true` for another type than a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Unquoted YAML.
    Plain,
    /// Quoted YAML, or a block scalar.
    Quoted,
    /// A flag, a variable or an annotation, where everything is a string.
    Given,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key was written.
    pub(crate) place: Place,
    /// Its value.
    pub(crate) value: Node,
}

impl Node {
    /// An empty map without a place: the start of a layer.
    pub(super) fn empty() -> Self {
        Self { kind: Kind::Map(Vec::new()), place: Place::Missing }
    }

    /// A value from a flag, a variable or an annotation.
    pub(super) fn given(text: &str, place: &Place) -> Self {
        Self { kind: Kind::Text(Text { text: text.to_owned(), style: Style::Given }), place: place.clone() }
    }

    /// A tree that contains only `self`, under `path`.
    pub(super) fn under<K: AsRef<str>>(self, path: &[K]) -> Self {
        path.iter().rev().fold(self, |value, key| {
            let place = value.place.clone();
            let entry = Entry { key: key.as_ref().to_owned(), place: place.clone(), value };
            Self { kind: Kind::Map(vec![entry]), place }
        })
    }

    /// Removes the schema's key from the root.
    pub(super) fn drop_schema_key(&mut self) {
        if let Kind::Map(entries) = &mut self.kind {
            entries.retain(|entry| entry.key != SCHEMA_KEY);
        }
    }

    /// The entries of a map; empty for any other node.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; empty for any other node.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The value under `key`.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value under a dotted path of plain field names.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.field(key))
    }

    /// The text of a single value; `None` for any other node.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

impl Text {
    /// Whether the node is YAML's null.
    pub(crate) fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The path of a key for messages: dotted, with quotes around a key that contains dots.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && !key.contains(|c: char| c == '.' || c == '"' || c.is_control());
    match (path.is_empty(), is_plain) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{key:?}"),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}.{key:?}"),
    }
}

/// The path without the file or variable that the place names: `mode` of `--file x` for `files.x.mode`.
fn relative<'a>(place: &Place, path: &'a str) -> &'a str {
    let below = ["files.", "env.", "secrets."].iter().find_map(|map| path.strip_prefix(map));
    let entry = below.and_then(|below| match below.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\"."),
        None => below.split_once('.'),
    });
    entry.filter(|(name, _)| place.names_entry(name)).map_or(path, |(_, field)| field)
}

/// Escapes control characters, so that a name cannot forge a log line.
fn one_line(text: &mut String) {
    if text.contains(char::is_control) {
        let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        *text = text.chars().map(escaped).collect();
    }
}

/// The mistakes so far.
#[derive(Debug, Default)]
pub(super) struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds a mistake.
    pub(super) fn add(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(ConfigError::new(place, text));
    }

    /// Whether a mistake ends with this text.
    pub(super) fn is_about(&self, text: &str) -> bool {
        self.0.iter().any(|mistake| mistake.text.ends_with(text))
    }

    /// Adds a mistake about the key at `path`, which is put before the text unless the place names it already.
    pub(super) fn about(&mut self, place: &Place, path: &str, text: impl std::fmt::Display) {
        let is_named = path.is_empty() || place.names_key(path);
        let path = relative(place, path);
        self.0.push(ConfigError::new(place, if is_named { text.to_string() } else { format!("{path}: {text}") }));
    }

    /// Returns the value, or adds a mistake and returns `None`.
    pub(super) fn take<T, E: std::fmt::Display>(
        &mut self,
        result: Result<T, E>,
        place: &Place,
        path: &str,
    ) -> Option<T> {
        result.map_err(|error| self.about(place, path, error)).ok()
    }

    /// All mistakes, sorted by place, without duplicates, each on one line.
    pub(super) fn sorted(mut self) -> Vec<ConfigError> {
        for mistake in &mut self.0 {
            one_line(&mut mistake.text);
            match &mut mistake.place {
                Place::Line { file: name, .. }
                | Place::Flag(name)
                | Place::Variable(name)
                | Place::Annotation(name) => {
                    one_line(name);
                }
                Place::Missing => {}
            }
        }
        self.0.sort();
        self.0.dedup();
        self.0
    }

    /// Removes the mistakes for which `keep` returns `false`.
    pub(super) fn retain(&mut self, keep: impl FnMut(&ConfigError) -> bool) {
        self.0.retain(keep);
    }
}
