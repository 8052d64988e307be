//! Merges a later layer over an earlier one. Maps are merged key by key; everything else is replaced.
//!
//! Where fields exclude each other the later layer takes precedence, too: `caFile` in a variable does not conflict with
//! `ca` in the file, a `template` replaces a `from`, and another auth `method` replaces all of `vault.auth`.

use super::shape::Shape;
use super::tree::{Entry, Kind, Node};

/// Merges `later` over `earlier`. Both are normalised by [`super::check::layer`].
pub(super) fn over(earlier: Node, later: Node, shape: &'static Shape) -> Node {
    let Node { kind, place } = later;
    let (mut entries, later) = match (earlier.kind, kind) {
        (Kind::Map(earlier), Kind::Map(later)) => (earlier, later),
        (_, kind) => return Node { kind, place },
    };
    if let Shape::Tagged(tagged) = shape {
        let tag = |entries: &[Entry]| {
            entries.iter().find(|entry| entry.key == tagged.tag.name).map(|entry| entry.value.kind.clone())
        };
        if let (Some(earlier), Some(later_tag)) = (tag(&entries), tag(&later))
            && earlier != later_tag
            && !same_text(&earlier, &later_tag)
        {
            return Node { kind: Kind::Map(later), place };
        }
    }
    if let Some(choice) = shape.choice() {
        let decides = |way: &&&[&str]| way.first().is_some_and(|head| later.iter().any(|entry| entry.key == *head));
        if let Some(taken) = choice.ways.iter().find(decides) {
            let is_other = |key: &str| !taken.contains(&key) && choice.ways.iter().any(|way| way.contains(&key));
            entries.retain(|entry| !is_other(&entry.key));
        }
    }
    for new in later {
        match entries.iter_mut().find(|entry| entry.key == new.key) {
            None => entries.push(new),
            Some(old) => {
                let below = std::mem::replace(&mut old.value, Node::empty());
                old.place = new.place;
                old.value = match shape.under(&new.key) {
                    Some(shape) => over(below, new.value, shape),
                    None => new.value,
                };
            }
        }
    }
    Node { kind: Kind::Map(entries), place }
}

/// Whether both are single values with the same text.
fn same_text(a: &Kind, b: &Kind) -> bool {
    matches!((a, b), (Kind::Text(a), Kind::Text(b)) if a.text == b.text)
}
