//! Counts the work of single operations: minijinja's fuel counts instructions, and one instruction can search, compare
//! or sort everything there is. Before an operation runs, the size of its operands is counted against one limit per
//! rendering; what it produces is counted by [`super::made`].

use std::sync::Arc;

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, ObjectRepr, Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, State, tests};

use super::super::error::TemplateRenderError;
use super::made;
use super::trail::Trail;
use super::value::{NODE, is_secret, size};
/// The deepest nesting of a value.
const DEPTH: usize = 64;
/// The type of minijinja's namespaces, which is private.
const NAMESPACE: &str = "Namespace";

/// What a filter or test does with its operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// Nothing that depends on their size.
    None,
    /// It looks at text and keys, and never at the items of a list.
    Keys,
    /// It looks at the length of a text; a list or map knows its own.
    Text,
    /// It looks one item up.
    Item,
    /// It looks at each operand.
    Each,
    /// It looks at each operand, and at the others again for each item of the first.
    Items,
    /// The same, for each comparison of a sort.
    Sort,
    /// It writes the first operand, of which a list can hold the same one many times.
    Writing,
    /// It searches each character of the first operand in the second.
    Characters,
    /// It searches the first operand in the second.
    Search,
}

impl Cost {
    /// Counts the work of a call.
    fn count(self, operands: &[Value], trail: &Trail) -> Result<(), Error> {
        let [first, others @ ..] = operands else { return Ok(()) };
        match self {
            Self::None => Ok(()),
            Self::Keys => operands.iter().try_for_each(|argument| keys(argument, trail)),
            Self::Text => trail.work(text_of(first)),
            Self::Item => {
                trail.work(text_of(first))?;
                others.iter().try_for_each(|other| key(other, trail))
            }
            Self::Writing => {
                let before = trail.worked();
                each(operands, trail)?;
                trail.room(trail.worked() - before)
            }
            Self::Search => others.iter().try_for_each(|container| search(container, first, trail)),
            Self::Characters => {
                let width = others.first().and_then(Value::as_str).map_or(1, str::len);
                trail.work(first.as_str().map_or(0, str::len).saturating_mul(width))?;
                each(operands, trail)
            }
            Self::Each => each(operands, trail),
            Self::Items | Self::Sort => {
                let items = first.as_object().and_then(|object| object.enumerator_len()).unwrap_or_default();
                let own: usize = others.iter().map(|other| NODE + other.as_str().map_or(0, str::len)).sum();
                trail.work(items.saturating_mul(own))?;
                let before = trail.worked();
                each(operands, trail)?;
                if self == Self::Items {
                    return Ok(());
                }
                let comparisons = items.checked_ilog2().unwrap_or_default() as usize;
                trail.work((trail.worked() - before).saturating_mul(comparisons))
            }
        }
    }
}

/// Counts every argument with everything in it.
fn each(operands: &[Value], trail: &Trail) -> Result<(), Error> {
    operands.iter().try_for_each(|argument| whole(argument, DEPTH, trail))
}

/// Counts a value with everything in it. Fails if it is nested too deep, which a namespace that holds itself is.
pub(super) fn whole(value: &Value, depth: usize, trail: &Trail) -> Result<(), Error> {
    if is_secret(value) {
        return trail.work(size(value));
    }
    trail.work(NODE + text_of(value))?;
    let Some(object) = value.as_object() else { return Ok(()) };
    if !matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Iterable | ObjectRepr::Map) {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or_else(|| trail.refuse(TemplateRenderError::TooDeep))?;
    for item in value.try_iter()?.checked() {
        let item = item?;
        whole(&item, depth, trail)?;
        if object.repr() == ObjectRepr::Map {
            whole(&value.get_item(&item)?, depth, trail)?;
        }
    }
    Ok(())
}

/// The bytes of a value's text.
fn text_of(value: &Value) -> usize {
    value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len)).unwrap_or_default()
}

/// Counts a value's text, and the keys of a map.
fn keys(value: &Value, trail: &Trail) -> Result<(), Error> {
    let map = value.as_object().filter(|object| object.repr() == ObjectRepr::Map);
    let count = map.and_then(|map| map.enumerator_len()).unwrap_or_default();
    trail.work(NODE.saturating_mul(count + 1) + text_of(value))
}

/// Counts the search for a value in a list, in the keys of a map or in a text.
pub(super) fn search(container: &Value, value: &Value, trail: &Trail) -> Result<(), Error> {
    let is_map = container.as_object().is_some_and(|object| object.repr() == ObjectRepr::Map);
    if is_map { key(value, trail) } else { whole(container, DEPTH, trail).and_then(|()| whole(value, DEPTH, trail)) }
}

/// Counts a key that is looked up: it is compared with a few others.
pub(super) fn key(key: &Value, trail: &Trail) -> Result<(), Error> {
    const COMPARISONS: usize = 16;
    if key.as_object().is_some() {
        whole(key, DEPTH, trail)?;
    }
    trail.work(COMPARISONS.saturating_mul(NODE + text_of(key)))
}

/// Counts the comparison of two values.
pub(super) fn pair(left: &Value, right: &Value, trail: &Trail) -> Result<(), Error> {
    match (left.as_object(), right.as_object()) {
        (Some(_), Some(_)) if tests::is_sameas(left, right) => Ok(()),
        (Some(_), Some(_)) => whole(left, DEPTH, trail).and_then(|()| whole(right, DEPTH, trail)),
        _ => trail.work(NODE + text_of(left).min(text_of(right))),
    }
}

/// Counts a value that is written as text: a list with everything in it, whose secrets are not written.
pub(super) fn printed(value: &Value, trail: &Trail) -> Result<(), Error> {
    if value.as_object().is_some() { whole(value, DEPTH, trail) } else { Ok(()) }
}

/// Counts a value that is put into another one if it is a namespace. Namespaces can be put into each other after they
/// were made, so that no check of their own depth would notice a chain, which exhausts the stack when it is dropped.
pub(super) fn nest(value: &Value, trail: &Trail) -> Result<(), Error> {
    match value.as_object() {
        Some(object) if object.type_name().ends_with(NAMESPACE) => trail.nest(),
        _ => Ok(()),
    }
}

/// Adds filters and tests whose operands and results are counted.
pub(super) struct Counting<'e> {
    pub(super) environment: &'e mut Environment<'static>,
    pub(super) trail: &'e Arc<Trail>,
}

impl Counting<'_> {
    /// Adds a filter.
    pub(super) fn filter<F, Rv, Args>(&mut self, name: &'static str, cost: Cost, function: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.environment.add_filter(name, counted(self.trail, cost, Value::from_function(function)));
    }

    /// Adds a test.
    pub(super) fn test<F, Rv, Args>(&mut self, name: &'static str, cost: Cost, function: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        let (trail, function) = (Arc::clone(self.trail), Value::from_function(function));
        self.environment.add_test(name, move |state: &mut State<'_, '_>, operands: Rest<ValueOrKwargs>| {
            let operands = operands.into_values();
            cost.count(&operands, &trail)?;
            function.call(state, &operands)
        });
    }
}

/// A function that counts what it is called with and what it returns.
pub(super) fn counted(
    trail: &Arc<Trail>,
    cost: Cost,
    function: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    let trail = Arc::clone(trail);
    move |state: &mut State<'_, '_>, operands: Rest<ValueOrKwargs>| {
        let operands = operands.into_values();
        cost.count(&operands, &trail)?;
        let value = function.call(state, &operands)?;
        if cost == Cost::None { Ok(value) } else { made::counted(&value, &trail) }
    }
}
