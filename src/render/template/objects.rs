//! Objects in the place of those of minijinja's that go through all their items for one of them, or through others that
//! they consist of.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, functions};

use super::super::error::TemplateRenderError;
use super::super::limits::NAMES;
use super::trail::Trail;

/// The numbers of `range`.
#[derive(Debug)]
struct Range {
    start: isize,
    step: isize,
    count: usize,
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize().filter(|index| *index < self.count)?;
        Some(Value::from(self.start + isize::try_from(index).ok()? * self.step))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.count)
    }
}

/// `range` with the numbers of minijinja's own, which are known from the first two and their count.
pub(super) fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Value, Error> {
    let numbers = functions::range(lower, upper, step)?;
    let first = numbers.try_iter()?.next().and_then(|value| isize::try_from(value).ok()).unwrap_or_default();
    let count = numbers.len().unwrap_or_default();
    Ok(Value::from_object(Range { start: first, step: step.unwrap_or(1), count }))
}

/// A map or list in the place of one that consists of others: nine thousand of them in each other exhaust the stack.
pub(super) fn flat(value: &Value) -> Result<Value, Error> {
    let items = value.try_iter()?.checked();
    if value.as_object().is_none_or(|object| object.repr() != ObjectRepr::Map) {
        return items.collect::<Result<Vec<_>, _>>().map(Value::from);
    }
    let mut entries = BTreeMap::new();
    for key in items {
        let key = key?;
        let item = value.get_item(&key)?;
        entries.insert(key, item);
    }
    Ok(Value::from_object(entries))
}

/// One group of `groupby`: what its items have in common, and a list of them.
#[derive(Debug)]
struct Group {
    grouper: Value,
    list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_usize(), key.as_str()) {
            (Some(0), None) | (None, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1), None) | (None, Some("list")) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// The groups of minijinja's `groupby`, with lists that know their items.
pub(super) fn groups(groups: &Value) -> Result<Value, Error> {
    let mut own = Vec::new();
    for group in groups.try_iter()?.checked() {
        let group = group?;
        let list = group.get_item_by_index(1)?.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
        own.push(Value::from_object(Group { grouper: group.get_item_by_index(0)?, list: Value::from(list) }));
    }
    Ok(Value::from(own))
}

/// Refuses a namespace that would begin with too many names.
pub(super) fn check_names(defaults: &Value, trail: &Trail) -> Result<(), Error> {
    match defaults.as_object().and_then(|names| names.enumerator_len()) {
        Some(names) if names > NAMES => Err(trail.refuse(TemplateRenderError::TooManyNames)),
        _ => Ok(()),
    }
}
