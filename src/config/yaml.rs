//! Parses YAML 1.2 into a tree. Stricter than YAML: one document, no tags, no merge keys, no duplicate keys, aliases
//! within bounds.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::place::Place;
use super::tree::{ConfigErrors, Entry, Kind, Node, Style, Text};

/// The size limit of a ConfigMap.
const MAX_BYTES: usize = 1 << 20;
/// The most nodes after aliases are expanded (a "billion laughs" attack has a billion).
const MAX_NODES: usize = 20_000;
/// The most bytes of text after aliases are expanded.
const MAX_TEXT: usize = 4 << 20;
/// The deepest nesting after aliases are expanded.
const MAX_DEPTH: usize = 64;

/// The beginning of a message about syntax.
const BROKEN: &str = "broken YAML";

/// The origin of the text.
#[derive(Debug, Clone)]
pub(super) enum Origin<'a> {
    /// A file: each place is a line of it.
    File(&'a str),
    /// A single flag or annotation, which is every node's place.
    Value(&'a Place),
}

impl Origin<'_> {
    /// The place of a line, for messages.
    fn place(&self, line: usize) -> Place {
        match self {
            Self::File(file) => Place::Line { file: (*file).to_owned(), line },
            Self::Value(place) => (*place).clone(),
        }
    }
}

/// Parses a text. Returns `None` for a syntax error, which is reported.
pub(super) fn parse(text: &str, origin: &Origin<'_>, mistakes: &mut ConfigErrors) -> Option<Node> {
    parse_bounded(text, origin, MAX_NODES, mistakes)
}

/// Parses a text with a limit on the number of nodes. Returns `None` for a syntax error, which is reported.
pub(super) fn parse_bounded(
    text: &str,
    origin: &Origin<'_>,
    max_nodes: usize,
    mistakes: &mut ConfigErrors,
) -> Option<Node> {
    let result = if text.len() > MAX_BYTES {
        Err(Stop::at(1, format!("the text is larger than {} KiB", MAX_BYTES >> 10)))
    } else {
        Builder { origin, mistakes, max_nodes, open: Vec::new(), anchors: HashMap::new(), nodes: 0, bytes: 0 }.run(text)
    };
    match result {
        Ok(root) => Some(root.unwrap_or_else(|| null(origin.place(1)))),
        Err(stop) => {
            let is_syntax = stop.text.starts_with(BROKEN);
            // The parser may report it one line later.
            let lines = stop.line.saturating_sub(1)..=stop.line;
            let is_template = is_syntax && lines.into_iter().any(|line| has_unquoted_template(text, line));
            if is_template && mistakes.is_about(QUOTE) {
                // The cause was reported already.
            } else if is_template {
                mistakes.add(&origin.place(stop.line), format!("{}; {QUOTE}", stop.text));
            } else {
                mistakes.add(&origin.place(stop.line), stop.text);
            }
            None
        }
    }
}

/// A null value.
fn null(place: Place) -> Node {
    Node { kind: Kind::Text(Text { text: String::new(), style: Style::Plain }), place }
}

/// An error that ends parsing.
struct Stop {
    line: usize,
    text: String,
}

impl Stop {
    /// An error in a line.
    fn at(line: usize, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        // The parser's messages are about syntax; none quotes more than one character.
        let marker = error.marker();
        Self::at(marker.line().max(1), format!("{BROKEN} at column {}: {}", marker.col() + 1, error.info()))
    }
}

/// A collection that is not complete yet.
enum Open {
    List {
        anchor: usize,
        place: Place,
        items: Vec<Node>,
    },
    Map {
        anchor: usize,
        place: Place,
        entries: Vec<Entry>,
        /// The keys so far, with their lines.
        seen: HashMap<String, Option<usize>>,
        key: Pending,
    },
}

/// What the next node of a map is.
enum Pending {
    Key,
    Value {
        key: String,
        place: Place,
    },
    /// The value of a key that was refused.
    Skip,
    /// A part of an unquoted template.
    Template,
}

struct Builder<'a, 'm> {
    origin: &'a Origin<'a>,
    mistakes: &'m mut ConfigErrors,
    max_nodes: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
}

impl Builder<'_, '_> {
    /// Builds the tree from the parser's events.
    fn run(mut self, text: &str) -> Result<Option<Node>, Stop> {
        let mut options = granit_parser::options! { block_nesting_limit: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH };
        options.set_emit_comments(false);
        let mut root = None;
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event?;
            let line = span.start.line().max(1);
            if event.tag().is_some() {
                return Err(Stop::at(line, "tags (`!…`) are not supported; leave the tag out"));
            }
            let finished = match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Stop::at(line, "a second document starts here; expected one"));
                    }
                    None
                }
                Event::Scalar(text, style, anchor, _) => {
                    let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                    let kind = Kind::Text(Text { text: text.into_owned(), style });
                    self.finish(kind, anchor, self.origin.place(line), &span)?
                }
                Event::Alias(anchor) => self.alias(anchor, &span)?,
                Event::SequenceStart(_, anchor, _) => {
                    self.check_depth(line)?;
                    self.open.push(Open::List { anchor, place: self.origin.place(line), items: Vec::new() });
                    None
                }
                Event::MappingStart(_, anchor, _) => {
                    self.check_depth(line)?;
                    let place = self.origin.place(line);
                    let (entries, seen) = (Vec::new(), HashMap::new());
                    self.open.push(Open::Map { anchor, place, entries, seen, key: Pending::Key });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
                _ => None,
            };
            if finished.is_some() {
                root = finished;
            }
        }
        Ok(root)
    }

    /// An error if the nesting is too deep.
    fn check_depth(&self, line: usize) -> Result<(), Stop> {
        if self.open.len() < MAX_DEPTH { Ok(()) } else { Err(too_large(line)) }
    }

    /// Completes the innermost open collection.
    fn close(&mut self, span: &Span) -> Result<Option<Node>, Stop> {
        match self.open.pop().expect("the parser balances its events") {
            Open::List { anchor, place, items } => self.finish(Kind::List(items), anchor, place, span),
            // The mistake was reported already; nothing more is said about this value.
            Open::Map { anchor, place, key: Pending::Template, .. } => self.finish(Kind::Bad, anchor, place, span),
            Open::Map { anchor, place, entries, .. } => self.finish(Kind::Map(entries), anchor, place, span),
        }
    }

    /// Copies the node that an alias refers to.
    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Option<Node>, Stop> {
        let line = span.start.line().max(1);
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Stop::at(line, "an alias (`*…`) inside the very value it stands for"));
        };
        let mut size = Size::default();
        size.add(node, self.open.len());
        if size.depth > MAX_DEPTH
            || self.nodes.saturating_add(size.nodes) > self.max_nodes
            || self.bytes.saturating_add(size.bytes) > MAX_TEXT
        {
            return Err(too_large(line));
        }
        let mut copy = node.clone();
        copy.place = self.origin.place(line);
        self.nodes += size.nodes;
        self.bytes += size.bytes;
        self.put(copy)
    }

    /// Handles a complete node: counts it, remembers its anchor, and adds it to the open collection. Returns it if it
    /// is the root.
    fn finish(&mut self, kind: Kind, anchor: usize, place: Place, span: &Span) -> Result<Option<Node>, Stop> {
        self.nodes += 1;
        if let Kind::Text(text) = &kind {
            self.bytes += text.text.len();
        }
        if self.nodes > self.max_nodes || self.bytes > MAX_TEXT {
            return Err(too_large(span.start.line().max(1)));
        }
        let node = Node { kind, place };
        if anchor != 0 {
            self.nodes += 1; // the copy that is kept
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    /// Adds a node to the innermost open collection. Returns it if it is the root.
    fn put(&mut self, node: Node) -> Result<Option<Node>, Stop> {
        match self.open.last_mut() {
            None => return Ok(Some(node)),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => match std::mem::replace(key, Pending::Key) {
                Pending::Key => *key = accept_key(node, seen, self.mistakes),
                Pending::Value { key, place } => entries.push(Entry { key, place, value: node }),
                Pending::Skip => {}
                Pending::Template => *key = Pending::Template,
            },
        }
        Ok(None)
    }
}

/// The error for a tree that exceeds the limits.
fn too_large(line: usize) -> Stop {
    Stop::at(line, "too large once its aliases are followed, or nested too deeply")
}

/// The hint about an unquoted template.
const QUOTE: &str = "a template needs quotes around it, or stands below `|`";

/// Whether a value in this line (counted from one) begins with `{{`, which opens two maps in YAML, or has it without quotes.
fn has_unquoted_template(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let value = line.split_once(": ").map_or("", |(_, value)| value.trim_start());
    if !value.starts_with(['"', '\'', '|', '>', '{', '[']) && value.contains("{{") {
        return true;
    }
    line.match_indices("{{").any(|(at, _)| {
        let before = line[..at].trim_end();
        before.ends_with([':', '-', ',']) || before.is_empty()
    })
}

/// Handles the key of a map; reports a mistake for one that is not accepted.
fn accept_key(node: Node, seen: &mut HashMap<String, Option<usize>>, mistakes: &mut ConfigErrors) -> Pending {
    let Kind::Text(key) = node.kind else {
        let text = "a key must be a single word or text, not a list or a map";
        match node.kind {
            // YAML parses `{{ … }}` as a map whose only key is a map.
            Kind::Map(_) => {
                mistakes.add(&node.place, format!("{text}; {QUOTE}"));
                return Pending::Template;
            }
            Kind::Bad => return Pending::Template,
            Kind::Text(_) | Kind::List(_) => mistakes.add(&node.place, text),
        }
        return Pending::Skip;
    };
    if key.style == Style::Plain && key.text == "<<" {
        mistakes.add(&node.place, "merge keys (`<<`) are not part of YAML 1.2; write the keys out");
        return Pending::Skip;
    }
    if let Some(first) = seen.get(&key.text) {
        let text = match first {
            Some(line) => format!("duplicate key `{}` (first in line {line})", key.text),
            None => format!("duplicate key `{}`", key.text),
        };
        mistakes.add(&node.place, text);
        return Pending::Skip;
    }
    let line = match &node.place {
        Place::Line { line, .. } => Some(*line),
        _ => None,
    };
    seen.insert(key.text.clone(), line);
    Pending::Value { key: key.text, place: node.place }
}

/// What following an alias would add.
#[derive(Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Size {
    /// Counts a node with everything below it.
    fn add(&mut self, node: &Node, depth: usize) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        match &node.kind {
            Kind::Text(text) => self.bytes += text.text.len(),
            Kind::List(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                self.bytes += entry.key.len();
                self.add(&entry.value, depth + 1);
            }),
            Kind::Bad => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut mistakes = ConfigErrors::default();
        let node = parse(text, &Origin::File("c.yaml"), &mut mistakes);
        (node, mistakes.sorted().into_iter().map(|m| format!("{}: {}", m.place, m.text)).collect())
    }

    fn mistake(text: &str) -> String {
        let (_, mistakes) = read(text);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes.into_iter().next().unwrap()
    }

    #[test]
    fn an_unquoted_template_is_told_to_need_quotes() {
        for text in [
            "a: {{ secret('db').x }}\n",
            "a: {{ secret('db').x }}:{{ secret('db').y }}\n",
            "a:\n  b: {{ secret('db').x }} text\n",
            "a: { b: {{ secret('db').x | upper }}x }\n",
            "a: {{{ x }}}\n",
            "a: user: {{ x }}\n",
            "a: x={{ secret('a: b') }}\n",
        ] {
            let (node, mistakes) = read(text);
            assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
            // Whoever reads the value has nothing to add.
            if let Some(node) = node {
                let value = node.field("a").unwrap();
                assert_eq!(value.field("b").unwrap_or(value).kind, Kind::Bad, "{text}");
            }
            assert!(mistakes[0].ends_with("needs quotes around it, or stands below `|`"), "{text}: {mistakes:?}");
        }
        assert!(!mistake("a: 'x\nb: {}: }").contains("quotes around"));
    }

    #[test]
    fn text_keeps_its_look_and_its_line() {
        let (node, mistakes) = read("a: 0440\nb: \"0440\"\nc: |\n  x\n  y\nd: [yes, 'no']\n");
        assert!(mistakes.is_empty());
        let node = node.unwrap();
        let text = |key: &str| match &node.field(key).unwrap().kind {
            Kind::Text(text) => (text.text.clone(), text.style),
            _ => panic!("not a text"),
        };
        assert_eq!(text("a"), ("0440".into(), Style::Plain));
        assert_eq!(text("b"), ("0440".into(), Style::Quoted));
        assert_eq!(text("c"), ("x\ny\n".into(), Style::Quoted));
        let d = node.field("d").unwrap();
        assert_eq!(d.place, Place::Line { file: "c.yaml".into(), line: 6 });
        assert_eq!(d.items().iter().filter_map(Node::text).collect::<Vec<_>>(), ["yes", "no"]);
    }

    #[test]
    fn an_empty_file_is_an_empty_config() {
        for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}", "---\n...\n"] {
            let (node, mistakes) = read(text);
            assert!(mistakes.is_empty(), "{mistakes:?}");
            assert!(matches!(node.unwrap().kind, Kind::Text(text) if text.is_null()), "{text:?}");
        }
    }

    #[test]
    fn what_is_broken_has_a_line_and_a_column() {
        assert!(mistake("a: b\nc: [d\n").starts_with("c.yaml:"), "{}", mistake("a: b\nc: [d\n"));
        let text = mistake("a: b\nc: 'd\n");
        assert!(text.contains(": broken YAML at column "), "{text}");
        assert_eq!(mistake("a: 1\n b: 2\n").split(" at column ").next(), Some("c.yaml:2: broken YAML"));
        assert_eq!(mistake("a: 1\n---\nb: 2\n"), "c.yaml:2: a second document starts here; expected one");
        assert_eq!(mistake("a: !!str 1\n"), "c.yaml:1: tags (`!…`) are not supported; leave the tag out");
        assert_eq!(mistake("a: 1\nb: 2\na: 3\n"), "c.yaml:3: duplicate key `a` (first in line 1)");
        assert!(mistake("a: 1\n[b]: 2\n").starts_with("c.yaml:2: a key must be"));
        assert!(mistake("x: &x {a: 1}\ny:\n  <<: *x\n").starts_with("c.yaml:3: merge keys"));
        assert!(mistake("a: *b\n").starts_with("c.yaml:1: broken YAML"));
        assert!(mistake(&"x".repeat(MAX_BYTES + 1)).contains("larger than 1024 KiB"));
    }

    #[test]
    fn an_alias_is_followed() {
        let (node, mistakes) = read("a: &a {x: 1}\nb: *a\n");
        assert!(mistakes.is_empty());
        let b = node.unwrap().field("b").unwrap().clone();
        assert_eq!((b.field("x").and_then(Node::text), b.place.to_string()), (Some("1"), "c.yaml:2".into()));
    }

    #[test]
    fn aliases_cannot_explode() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(mistake(&text).contains("too large once its aliases are followed"));
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(mistake(&text).contains("too large once its aliases are followed"));
        assert!(mistake("a: &a [*a]\n").contains("inside the very value"));
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 20].join(", "));
        assert!(mistake(&text).contains("too large"));
    }
}
