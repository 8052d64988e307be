//! The byte ranges of a YAML document's values, as far as they can be edited in place.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// The byte range of a value, without trailing white space.
pub(super) struct Node {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Whether it, or a part of it, has an anchor: aliases elsewhere stand for that, so it is neither replaced nor removed.
    pub(super) has_anchor: bool,
}

pub(super) enum Kind {
    /// A map in block style.
    Map(Vec<Entry>),
    /// A list in block style.
    List(Vec<Node>),
    /// A scalar, an alias, or a value in flow style, with an anchor or with merged keys: replaced as a whole.
    Leaf,
}

/// A key of a block map and its value.
pub(super) struct Entry {
    /// Start of the key.
    pub(super) start: usize,
    pub(super) value: Node,
}

/// A collection whose end is not reached yet.
enum Open {
    Map {
        start: usize,
        entries: Vec<Entry>,
        key: Option<(usize, usize)>,
        /// Whether it has an anchor or merged keys.
        is_leaf: bool,
        has_anchor: bool,
    },
    List {
        start: usize,
        items: Vec<Node>,
        has_anchor: bool,
    },
    /// Flow style, with this many nested collections.
    Flow {
        start: usize,
        depth: usize,
        has_anchor: bool,
    },
}

/// The tree of byte ranges; `None` for YAML that is not edited (tags).
pub(super) fn parse(text: &str) -> Option<Node> {
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.ok()?;
        let range = span.byte_range()?;
        let done = match event {
            Event::Alias(_) if matches!(open.last(), Some(Open::Flow { .. })) => None,
            Event::Alias(_) => Some(Node { start: range.start, end: range.end, kind: Kind::Leaf, has_anchor: false }),
            Event::MappingStart(StructureStyle::Block, anchor, None) => {
                let (start, has_anchor) = (range.start, anchor != 0);
                open.push(Open::Map { start, entries: Vec::new(), key: None, is_leaf: has_anchor, has_anchor });
                None
            }
            Event::SequenceStart(StructureStyle::Block, 0, None) => {
                open.push(Open::List { start: range.start, items: Vec::new(), has_anchor: false });
                None
            }
            // A list with an anchor: its dashes may stand behind it in no order that is known here.
            Event::SequenceStart(StructureStyle::Block, _, None) => return None,
            Event::MappingStart(_, anchor, _) | Event::SequenceStart(_, anchor, _) => {
                match open.last_mut() {
                    Some(Open::Flow { depth, has_anchor, .. }) => {
                        *depth += 1;
                        *has_anchor |= anchor != 0;
                    }
                    _ => open.push(Open::Flow { start: range.start, depth: 1, has_anchor: anchor != 0 }),
                }
                None
            }
            Event::MappingEnd | Event::SequenceEnd => match open.last_mut()? {
                Open::Flow { depth, .. } if *depth > 1 => {
                    *depth -= 1;
                    None
                }
                _ => Some(close(open.pop()?, range.end)),
            },
            Event::Scalar(_, _, _, Some(_)) => return None,
            Event::Scalar(name, style, anchor, None) => {
                let is_merge = name == "<<" && style == ScalarStyle::Plain;
                scalar(open.last_mut(), range, text, is_merge, anchor != 0)?
            }
            _ => None,
        };
        if let Some(node) = done {
            match open.last_mut() {
                None => root = Some(node),
                Some(above) => put(above, node, text)?,
            }
        }
    }
    root
}

/// The node of a scalar; `Some(None)` within flow style.
fn scalar(
    above: Option<&mut Open>,
    range: Range<usize>,
    text: &str,
    is_merge: bool,
    is_anchored: bool,
) -> Option<Option<Node>> {
    match above {
        Some(Open::Map { key: None, is_leaf, .. }) => *is_leaf |= is_merge,
        Some(Open::Flow { has_anchor, .. }) => {
            *has_anchor |= is_anchored;
            return Some(None);
        }
        _ => {}
    }
    let end = range.start + text.get(range.clone())?.trim_end().len();
    Some(Some(Node { start: range.start, end, kind: Kind::Leaf, has_anchor: is_anchored }))
}

/// Adds a value to the collection that contains it.
fn put(above: &mut Open, node: Node, text: &str) -> Option<()> {
    match above {
        Open::List { items, has_anchor, .. } => {
            *has_anchor |= node.has_anchor;
            items.push(node);
        }
        Open::Map { entries, key, has_anchor, .. } => match key.take() {
            None => {
                *has_anchor |= node.has_anchor;
                *key = Some((node.start, node.end));
            }
            Some((start, key_end)) => {
                *has_anchor |= node.has_anchor;
                let value = if node.start < node.end { node } else { empty(text, key_end)? };
                entries.push(Entry { start, value });
            }
        },
        Open::Flow { .. } => return None,
    }
    Some(())
}

/// The position of an omitted value: after the colon.
fn empty(text: &str, key_end: usize) -> Option<Node> {
    let rest = &text[key_end..];
    let blanks = rest.len() - rest.trim_start_matches(' ').len();
    let at = key_end + blanks + 1;
    rest[blanks..].starts_with(':').then_some(Node { start: at, end: at, kind: Kind::Leaf, has_anchor: false })
}

/// The node of a completed collection.
fn close(open: Open, end: usize) -> Node {
    match open {
        Open::Map { start, entries, is_leaf, has_anchor, .. } => {
            let end = entries.last().map_or(start, |entry| entry.value.end);
            Node { start, end, kind: if is_leaf { Kind::Leaf } else { Kind::Map(entries) }, has_anchor }
        }
        Open::List { start, items, has_anchor } => {
            let end = items.last().map_or(start, |item| item.end);
            Node { start, end, kind: Kind::List(items), has_anchor }
        }
        Open::Flow { start, has_anchor, .. } => Node { start, end, kind: Kind::Leaf, has_anchor },
    }
}
