//! Settings of one layer of which only one can count. Between layers the later one takes precedence, but within one layer
//! the author has meant both.

use super::place::Place;
use super::shape::{Choice, Shape};
use super::tree::{Entry, Kind, Node, Text};

/// How two settings contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conflict {
    /// Both set the same key, to texts that differ; their meanings may be equal (`60s` and `1m`).
    SameKey,
    /// They set alternatives that exclude each other.
    Alternatives,
}

/// Two settings that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contradiction<'a> {
    conflict: Conflict,
    earlier: &'a Place,
    /// Where the later of the two is.
    pub(super) later: &'a Place,
}

impl Contradiction<'_> {
    /// The message at the later setting.
    pub(super) fn text(self) -> String {
        if self.earlier == self.later {
            return "given twice".to_owned();
        }
        let what = match self.conflict {
            Conflict::SameKey => "given in two ways, here and in",
            Conflict::Alternatives => "contradicts",
        };
        format!("{what} {}: only one of the two can count; leave the other out", self.earlier)
    }
}

/// Whether a setting that is given twice, in the same way, counts as it was given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    /// A single value: a script appends the flag that changes it.
    Last,
    /// What a file, variable or secret is: its reference or template.
    Refused,
}

/// The first setting of `part` that contradicts a setting of `earlier`, an earlier part of the same layer. Both are normalised by
/// [`super::check::layer`].
pub(super) fn find<'a>(earlier: &'a Node, part: &'a Node, shape: &'static Shape) -> Option<Contradiction<'a>> {
    below(earlier, part, Some(shape), Repeated::Last)
}

/// The first contradiction at or below two nodes.
fn below<'a>(
    earlier: &'a Node,
    later: &'a Node,
    shape: Option<&'static Shape>,
    repeated: Repeated,
) -> Option<Contradiction<'a>> {
    let both = Contradiction { conflict: Conflict::SameKey, earlier: &earlier.place, later: &later.place };
    let (Kind::Map(old), Kind::Map(new)) = (&earlier.kind, &later.kind) else {
        let is_list = matches!(later.kind, Kind::List(_));
        let is_override = earlier.place == later.place && repeated == Repeated::Last && !is_list;
        return (!is_override && !is_same(earlier, later)).then_some(both);
    };
    let choice = shape.and_then(|shape| choice(shape, [later, earlier]));
    let taken = choice.and_then(|choice| {
        let mut ways = choice.ways.iter().filter_map(|way| Some((*way, way.first()?)));
        ways.find_map(|(way, head)| Some((way, new.iter().find(|entry| entry.key == *head)?)))
    });
    if let (Some(choice), Some((way, head))) = (choice, taken) {
        let is_other = |key: &str| !way.contains(&key) && choice.ways.iter().any(|way| way.contains(&key));
        let is_usable = |entry: &&Entry| !matches!(entry.value.kind, Kind::Bad);
        let other = old.iter().filter(is_usable).find(|entry| is_other(&entry.key));
        if let Some(other) = other.filter(|_| is_usable(&head)) {
            return Some(Contradiction { conflict: Conflict::Alternatives, earlier: &other.place, later: &head.place });
        }
    }
    new.iter().find_map(|new| {
        let old = old.iter().find(|old| old.key == new.key)?;
        let repeated = match shape {
            Some(Shape::Map { .. }) => Repeated::Refused,
            Some(shape) if repeated == Repeated::Refused && !is_content(shape, &new.key) => Repeated::Last,
            _ => repeated,
        };
        below(&old.value, &new.value, shape.and_then(|shape| shape.under(&new.key)), repeated)
    })
}

/// The alternatives of a map. One of which these nodes say the kind (`vault.auth` with its method) has those of that kind: what
/// another kind has is unknown here, which is reported once the layers are merged.
fn choice(shape: &'static Shape, nodes: [&Node; 2]) -> Option<&'static Choice> {
    let Shape::Tagged(tagged) = shape else { return shape.choice() };
    let kind = nodes.into_iter().find_map(|node| tagged.variant(node.field(tagged.tag.name)?.text()?));
    kind.map_or_else(|| shape.choice(), |variant| variant.object.choice.as_ref())
}

/// Whether a field of a file, variable or secret is its reference or template, not one of its options.
fn is_content(shape: &Shape, key: &str) -> bool {
    let is_short = matches!(shape, Shape::Short { into: Some(field), .. } if *field == key);
    is_short || shape.choice().is_some_and(|choice| choice.ways.iter().any(|way| way.first() == Some(&key)))
}

/// Whether two nodes say the same. One whose mistake has been reported contradicts nothing.
fn is_same(a: &Node, b: &Node) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Bad, _) | (_, Kind::Bad) => true,
        (Kind::Text(Text { text: a, .. }), Kind::Text(Text { text: b, .. })) => a == b,
        (Kind::List(a), Kind::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Kind::Map(a), Kind::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && is_same(&a.value, &b.value))
        }
        _ => false,
    }
}
