//! Parses YAML into a tree whose nodes know their lines. Scalars keep their spelling.

use granit_parser::{Event, Parser, ScalarStyle};

/// A node and the line it begins on. No `Debug`, because it may contain a secret.
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// An unquoted scalar, whose type depends on its spelling.
    Plain(String),
    /// A string: quoted, a block scalar, or tagged `!!str`.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// An error and its line.
pub(super) type Broken = (usize, String);

/// Parses one document; `None` for a file without one.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Broken> {
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            (error.marker().line(), format!("not valid YAML at column {}", error.marker().col().saturating_add(1)))
        })?;
        let line = span.start.line();
        let broken = |why: &str| Err((line, why.to_owned()));
        if let Event::Alias(_) = event {
            return broken("aliases are not supported here; write the value out");
        }
        let node = match event {
            Event::Scalar(value, style, _, tag) => {
                let is_text = match tag.as_deref() {
                    None => style != ScalarStyle::Plain,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix() == "str" => true,
                    Some(_) => return broken("tags are not supported here"),
                };
                let value = value.into_owned();
                Some(Node { line, kind: if is_text { Kind::Quoted(value) } else { Kind::Plain(value) } })
            }
            Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) if tag.is_some() => {
                return broken("tags are not supported here");
            }
            Event::SequenceStart(..) => {
                open.push(Node { line, kind: Kind::List(Vec::new()) });
                None
            }
            Event::MappingStart(..) => {
                // Keys and values are collected in one list and paired at the end of the map.
                open.push(Node { line, kind: Kind::Map(Vec::new()) });
                open.push(Node { line, kind: Kind::List(Vec::new()) });
                None
            }
            Event::SequenceEnd => open.pop(),
            Event::MappingEnd => {
                let flat = open.pop();
                let mut map = open.pop();
                if let (Some(Node { kind: Kind::List(flat), .. }), Some(Node { kind: Kind::Map(pairs), .. })) =
                    (flat, &mut map)
                {
                    let mut flat = flat.into_iter();
                    while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                        pairs.push((key, value));
                    }
                }
                map
            }
            Event::DocumentStart(..) if root.is_some() => return broken("a second document; expected only one"),
            _ => None,
        };
        if let Some(node) = node {
            match open.last_mut() {
                Some(Node { kind: Kind::List(list), .. }) => list.push(node),
                _ => root = Some(node),
            }
        }
    }
    Ok(root)
}
