//! The tree every layer of configuration becomes: text, lists and maps, each with its place.

use super::place::{ConfigError, Place};

/// A value of the tree and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it was written.
    pub(super) place: Place,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A single value, as written.
    Text(Text),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in the order they were written; no key stands twice.
    Map(Vec<Entry>),
    /// Something wrong that has been reported: it still hides what lower layers say, and nobody asks it again.
    Bad,
}

/// A single value: types come from the key, never from the look of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// After YAML's escapes.
    pub(super) text: String,
    /// How it stood there.
    pub(super) style: Style,
}

/// The key under which an editor finds the schema of a file; it says nothing about secrets.
pub(super) const SCHEMA_KEY: &str = "$schema";

/// How a single value stood in its source. Other YAML readers take a plain `0440` or `true` for something else than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// YAML without quotes.
    Plain,
    /// YAML in quotes, or a block.
    Quoted,
    /// A flag, a variable or an annotation, where all is text.
    Given,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key was written.
    pub(super) place: Place,
    /// Its value.
    pub(super) value: Node,
}

impl Node {
    /// An empty map from nowhere: what a layer starts as.
    pub(super) fn empty() -> Self {
        Self { kind: Kind::Map(Vec::new()), place: Place::Missing }
    }

    /// A value from a flag, a variable or an annotation.
    pub(super) fn given(text: &str, place: &Place) -> Self {
        Self { kind: Kind::Text(Text { text: text.to_owned(), style: Style::Given }), place: place.clone() }
    }

    /// The tree that holds only `self`, under `path`.
    pub(super) fn under<K: AsRef<str>>(self, path: &[K]) -> Self {
        path.iter().rev().fold(self, |value, key| {
            let place = value.place.clone();
            let entry = Entry { key: key.as_ref().to_owned(), place: place.clone(), value };
            Self { kind: Kind::Map(vec![entry]), place }
        })
    }

    /// Takes out of a whole file where its schema is.
    pub(super) fn drop_schema_key(&mut self) {
        if let Kind::Map(entries) = &mut self.kind {
            entries.retain(|entry| entry.key != SCHEMA_KEY);
        }
    }

    /// The entries of a map; nothing for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; nothing for anything else.
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

    /// The text of a single value.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

impl Text {
    /// Whether YAML means "nothing" by it.
    pub(super) fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The path of a key for people: dotted, with quotes where a key has dots itself.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && !key.contains(|c: char| c == '.' || c == '"' || c.is_control());
    match (path.is_empty(), is_plain) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{key:?}"),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}.{key:?}"),
    }
}

/// Whether a place says which key it is: `--run-as` is `runAs`, `--file x` is `files.x`.
fn names(place: &Place, path: &str) -> bool {
    let (Place::Flag(name) | Place::Variable(name) | Place::Annotation(name)) = place else { return false };
    let bare =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let path = bare(path);
    let one = path.strip_prefix("files").map(|rest| format!("file{rest}")).unwrap_or_default();
    let name = bare(name);
    name.ends_with(&path) || (!one.is_empty() && name.ends_with(&one))
}

/// Control characters in their escaped form: a log line must not be forged by a name.
fn one_line(text: &mut String) {
    if text.contains(char::is_control) {
        let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        *text = text.chars().map(escaped).collect();
    }
}

/// All mistakes so far.
#[derive(Debug, Default)]
pub(super) struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds one.
    pub(super) fn add(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(ConfigError::new(place, text));
    }

    /// Whether one of them ends with this text.
    pub(super) fn is_about(&self, text: &str) -> bool {
        self.0.iter().any(|mistake| mistake.text.ends_with(text))
    }

    /// Adds one about the key at `path`, which the text names unless the place already does.
    pub(super) fn about(&mut self, place: &Place, path: &str, text: impl std::fmt::Display) {
        let is_named = path.is_empty() || names(place, path);
        self.0.push(ConfigError::new(place, if is_named { text.to_string() } else { format!("{path}: {text}") }));
    }

    /// The value, or `None` and one more mistake.
    pub(super) fn take<T, E: std::fmt::Display>(
        &mut self,
        result: Result<T, E>,
        place: &Place,
        path: &str,
    ) -> Option<T> {
        result.map_err(|error| self.about(place, path, error)).ok()
    }

    /// All of them, sorted by place, each once, each on one line whatever the names in it hold.
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

    /// Only those that `keep` wants.
    pub(super) fn retain(&mut self, keep: impl FnMut(&ConfigError) -> bool) {
        self.0.retain(keep);
    }
}
