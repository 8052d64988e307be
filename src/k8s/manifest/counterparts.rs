//! Matches the items of a list before and after a change.

use std::collections::{HashMap, VecDeque};

use super::doc::Doc;

/// For each new item the index of its old counterpart, in increasing order: the item with the same name, or an
/// equal one, or, between lists of equal length, the unnamed map at the same index.
pub(super) fn counterparts(old: &[Doc], new: &[Doc]) -> Vec<Option<usize>> {
    let mut named: HashMap<_, VecDeque<usize>> = HashMap::new();
    for (at, item) in old.iter().enumerate() {
        if let Some(name) = name(item) {
            named.entry(name).or_default().push_back(at);
        }
    }
    let mut from = 0;
    let mut found = Vec::with_capacity(new.len());
    for (place, item) in new.iter().enumerate() {
        let at = match name(item) {
            Some(name) => named.get_mut(&name).and_then(|places| {
                while places.pop_front_if(|at| *at < from).is_some() {}
                places.pop_front()
            }),
            None => {
                let equal = (from..old.len()).find(|at| old[*at] == *item);
                let is_in_place = || {
                    let beside = old.get(place).filter(|_| old.len() == new.len() && from <= place);
                    beside.is_some_and(|old| matches!((old, item), (Doc::Map(_), Doc::Map(_))) && name(old).is_none())
                };
                equal.or_else(|| is_in_place().then_some(place))
            }
        };
        from = at.map_or(from, |at| at + 1);
        found.push(at);
    }
    found
}

/// The identity of an item: a container's name, or kind, namespace and name of an object.
fn name(item: &Doc) -> Option<[Option<&str>; 3]> {
    let metadata = item.get("metadata");
    match item.text("name") {
        Some(name) => Some([None, None, Some(name)]),
        None => {
            let name = metadata?.text("name")?;
            Some([item.text("kind"), metadata?.text("namespace"), Some(name)])
        }
    }
}
