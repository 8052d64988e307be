//! Reads one document of a manifest: YAML with kubectl's rules, or JSON.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::doc::Doc;
use super::scalar;

/// The most values of a document with its aliases expanded, against "billion laughs" attacks.
const MAX_VALUES: usize = 2_000_000;
/// The deepest nesting of a document.
const MAX_DEPTH: usize = 100;

/// Why a document cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadError {
    /// One-based line in the document.
    pub(super) line: usize,
    /// What is wrong; never quotes the document.
    pub(super) text: String,
}

impl ReadError {
    /// An error in a line.
    fn at(line: usize, text: impl Into<String>) -> Self {
        Self { line: line.max(1), text: text.into() }
    }
}

impl From<ScanError> for ReadError {
    fn from(error: ScanError) -> Self {
        let marker = error.marker();
        Self::at(marker.line(), format!("broken YAML at column {}: {}", marker.col() + 1, error.info()))
    }
}

/// The syntax of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Yaml,
    Json,
}

/// The parser's events, with the nesting limited.
fn parser(text: &str) -> impl Iterator<Item = Result<(Event<'_>, granit_parser::Span), ScanError>> {
    let mut options = granit_parser::options! { block_nesting_limit: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH };
    options.set_emit_comments(false);
    Parser::new_from_str_with_options(text, options)
}

/// Checks the syntax of a text: JSON, or YAML.
pub(super) fn check(text: &str) -> Result<(), ReadError> {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Ok(());
    }
    parser(text).try_for_each(|event| event.map(drop)).map_err(ReadError::from)
}

/// Reads one document; `None` if there are only white space and comments.
pub(super) fn read(text: &str) -> Result<Option<(Doc, Written)>, ReadError> {
    if text.trim_start().starts_with('{') {
        match serde_json::from_str::<Doc>(text) {
            Ok(doc) => return Ok(Some((doc, Written::Json))),
            Err(error) if error.is_data() => return Err(ReadError::at(error.line(), "duplicate key")),
            Err(_) => {} // a flow map of YAML
        }
    }
    let mut builder = Builder { open: Vec::new(), anchors: HashMap::new(), values: 0 };
    let mut root = None;
    for event in parser(text) {
        let (event, span) = event?;
        let line = span.start.line();
        if let Event::DocumentStart(..) = event
            && root.is_some()
        {
            return Err(ReadError::at(line, "a second document without --- before it"));
        }
        if let Some(doc) = builder.event(event, line)? {
            root = Some(doc);
        }
    }
    Ok(root.filter(|doc| *doc != Doc::Null).map(|doc| (doc, Written::Yaml)))
}

/// A collection whose end is not reached yet.
enum Open {
    List { anchor: usize, items: Vec<Doc> },
    Map { anchor: usize, entries: Vec<(String, Doc)>, seen: HashSet<String>, merged: Vec<Doc>, key: Key },
}

/// The role of the next value in a map.
enum Key {
    Expected,
    Named(String),
    Merge,
}

/// Builds a document from the parser's events.
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Doc>,
    values: usize,
}

impl Builder {
    /// Processes an event; returns the root once it is complete.
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<Option<Doc>, ReadError> {
        match event {
            Event::Scalar(text, style, anchor, ref tag) => {
                let name = tag.as_deref().map(name_of);
                let is_plain = style == ScalarStyle::Plain;
                if is_plain && name.is_none() && text == "<<" && self.expects_key() {
                    self.merge_next();
                    return Ok(None);
                }
                let doc = tagged(&text, is_plain, name.as_deref()).map_err(|error| ReadError::at(line, error))?;
                self.put(doc, anchor, line)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(doc) => {
                    self.count(&doc, line)?;
                    self.put(doc, 0, line)
                }
                None => Err(ReadError::at(line, "an alias (`*…`) inside the very value it stands for")),
            },
            Event::SequenceStart(_, anchor, ref tag) => {
                known(tag.as_deref().map(name_of), line)?;
                self.open.push(Open::List { anchor, items: Vec::new() });
                Ok(None)
            }
            Event::MappingStart(_, anchor, ref tag) => {
                known(tag.as_deref().map(name_of), line)?;
                let (entries, seen, merged) = (Vec::new(), HashSet::new(), Vec::new());
                self.open.push(Open::Map { anchor, entries, seen, merged, key: Key::Expected });
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            _ => Ok(None),
        }
    }

    /// Whether the next value is a key of a map.
    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: Key::Expected, .. }))
    }

    /// Marks the next value as the value of a merge key.
    fn merge_next(&mut self) {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Key::Merge;
        }
    }

    /// Counts a value with everything in it, for an alias or anchor; fails above the limits.
    fn count(&mut self, doc: &Doc, line: usize) -> Result<(), ReadError> {
        self.values += 1;
        if self.values > MAX_VALUES || self.open.len() > MAX_DEPTH {
            return Err(ReadError::at(line, "too large once its aliases are followed, or nested too deeply"));
        }
        match doc {
            Doc::List(items) => items.iter().try_for_each(|item| self.count(item, line)),
            Doc::Map(entries) => entries.iter().try_for_each(|(_, value)| self.count(value, line)),
            _ => Ok(()),
        }
    }

    /// Completes the innermost collection and adds the merged maps' entries to a map.
    fn close(&mut self, line: usize) -> Result<Option<Doc>, ReadError> {
        match self.open.pop().expect("the parser balances its events") {
            Open::List { anchor, items } => self.put(Doc::List(items), anchor, line),
            Open::Map { anchor, mut entries, mut seen, merged, .. } => {
                // Entries of the map itself take precedence, then those merged first.
                for doc in merged {
                    let Doc::Map(more) = doc else {
                        return Err(ReadError::at(line, "a merge key (`<<`) expects a map or a list of maps"));
                    };
                    for (key, value) in more {
                        if seen.insert(key.clone()) {
                            entries.push((key, value));
                        }
                    }
                }
                self.put(Doc::Map(entries), anchor, line)
            }
        }
    }

    /// Adds a value to the innermost collection; returns it if it is the root.
    fn put(&mut self, doc: Doc, anchor: usize, line: usize) -> Result<Option<Doc>, ReadError> {
        self.values += 1;
        if anchor != 0 {
            self.count(&doc, line)?;
            self.anchors.insert(anchor, doc.clone());
        }
        if self.values > MAX_VALUES {
            return Err(ReadError::at(line, "too large"));
        }
        match self.open.last_mut() {
            None => return Ok(Some(doc)),
            Some(Open::List { items, .. }) => items.push(doc),
            Some(Open::Map { entries, seen, merged, key, .. }) => match std::mem::replace(key, Key::Expected) {
                Key::Expected => {
                    let name = key_text(doc).map_err(|error| ReadError::at(line, error))?;
                    if !seen.insert(name.clone()) {
                        return Err(ReadError::at(line, format!("duplicate key `{name}`")));
                    }
                    *key = Key::Named(name);
                }
                Key::Named(name) => entries.push((name, doc)),
                Key::Merge => match doc {
                    Doc::List(docs) => merged.extend(docs),
                    doc => merged.push(doc),
                },
            },
        }
        Ok(None)
    }
}

/// A key as a string: Kubernetes has string keys only, whatever their YAML type.
fn key_text(doc: Doc) -> Result<String, &'static str> {
    match doc {
        Doc::Text(text) => Ok(text),
        Doc::Bool(value) => Ok(value.to_string()),
        Doc::Number(number) => Ok(number.to_string()),
        Doc::Null => Err("a key that is nothing"),
        Doc::List(_) | Doc::Map(_) => Err("a key that is a list or a map"),
    }
}

/// The value of a scalar with its tag.
fn tagged(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Doc, String> {
    match tag {
        None if is_plain => scalar::resolve(text).map_err(str::to_owned),
        None => Ok(Doc::Text(text.to_owned())),
        Some(tag) if is_core(tag, "str") || tag == "!" => Ok(Doc::Text(text.to_owned())),
        Some(tag) if ["int", "float", "bool", "null"].iter().any(|name| is_core(tag, name)) => {
            scalar::resolve(text).map_err(str::to_owned)
        }
        Some(_) => Err("a tag (`!…`) that manifests do not have".to_owned()),
    }
}

/// The tag's full name: `tag:yaml.org,2002:str`.
fn name_of(tag: &Tag) -> String {
    format!("{}{}", tag.handle(), tag.suffix())
}

/// Whether the tag is the YAML core tag with that name.
fn is_core(tag: &str, name: &str) -> bool {
    tag.strip_prefix("tag:yaml.org,2002:").or_else(|| tag.strip_prefix("!!")) == Some(name)
}

/// Refuses a tag on a collection, other than `!!map` and `!!seq`.
fn known(tag: Option<String>, line: usize) -> Result<(), ReadError> {
    match tag {
        Some(tag) if !is_core(&tag, "map") && !is_core(&tag, "seq") => {
            Err(ReadError::at(line, "a tag (`!…`) that manifests do not have"))
        }
        _ => Ok(()),
    }
}
