//! Counts the size of what was made.

use minijinja::Error;
use minijinja::value::{ObjectRepr, Value};

use super::super::error::TemplateRenderError;
use super::trail::Trail;
use super::value::is_secret;

/// The size of a value besides its text, in bytes.
pub(super) const NODE: usize = 32;
/// The deepest nesting of a value.
pub(super) const DEPTH: usize = 64;

/// Counts a value that was made, which is a list if its items were computed at each iteration.
pub(super) fn counted(value: &Value, trail: &Trail) -> Result<Value, Error> {
    let value = listed(value, trail)?;
    weigh(&value, DEPTH, trail)?;
    Ok(value)
}

/// A list in the place of a value whose items are computed at each iteration: the sum of two lists is one, and fifty
/// sums of a sum with itself have more items than any loop could end with.
fn listed(value: &Value, trail: &Trail) -> Result<Value, Error> {
    if value.as_object().is_none_or(|object| object.repr() != ObjectRepr::Iterable) {
        return Ok(value.clone());
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        trail.room(items.len().saturating_mul(NODE))?;
        items.push(item?);
    }
    Ok(Value::from(items))
}

/// Charges a value with everything in it. Secrets themselves are not charged again.
pub(super) fn weigh(value: &Value, depth: usize, trail: &Trail) -> Result<(), Error> {
    let text = value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len));
    trail.grow(text.unwrap_or_default() + NODE)?;
    let Some(object) = value.as_object() else { return Ok(()) };
    if is_secret(value) || !matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Map) {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or_else(|| trail.refuse(TemplateRenderError::TooDeep))?;
    for item in value.try_iter()?.checked() {
        let item = item?;
        weigh(&item, depth, trail)?;
        if object.repr() == ObjectRepr::Map {
            weigh(&value.get_item(&item)?, depth, trail)?;
        }
    }
    Ok(())
}
