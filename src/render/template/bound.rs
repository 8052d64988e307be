//! Limits the size of a template's values. minijinja limits steps only, and fifty steps that double a text exhaust
//! memory. So checks are added to the compiled instructions: after everything that builds a value, and instead of
//! literal text, which could be captured. All sizes count against one limit per rendering.
//!
//! An operator or filter can still build one value before it is counted: at most twice the size of what exists (`~`,
//! `+`). Where it could be more (`*`, `replace`, `indent`, `join`), the size is computed and checked before.

use std::sync::Arc;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, parse};
use minijinja::value::{Kwargs, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::super::error::TemplateRenderError;
use super::trail::Trail;
use super::value::{Binary, Keyed, Listed, Written, is_null, scalar};

// Names with a hyphen, which no template can write.
const CHECK: &str = "-check";
const TIMES: &str = "-times";
const EQUAL: &str = "-equal";
const UNEQUAL: &str = "-unequal";
/// The id of an unresolved filter: minijinja looks it up at each call.
const NO_SLOT: u8 = u8::MAX;
/// The size of a value besides its text, in bytes.
const NODE: usize = 32;
/// The deepest nesting of a value.
const DEPTH: usize = 64;

/// Compiles a template to instructions with checks.
pub(super) fn compile(text: &str) -> Result<Instructions<'_>, Error> {
    let tree = parse(text, "template", super::syntax())?;
    let mut generator = CodeGenerator::new("template", text);
    generator.compile_stmt(&tree);
    let (plain, _) = generator.finish();
    // The new index of each instruction; one more, for jumps to the end.
    let mut places = vec![0];
    let mut pairs = Vec::new();
    for number in 0.. {
        let Some(instruction) = plain.get(number) else { break };
        let (first, second) = checked(instruction);
        places.push(places.last().expect("it begins with one") + 1 + u32::from(second.is_some()));
        pairs.push((number, first, second));
    }
    let mut bounded = Instructions::new("template", text);
    for (number, first, second) in pairs {
        for mut instruction in [Some(first), second].into_iter().flatten() {
            use Instruction as I;
            if let I::Jump(to)
            | I::JumpIfFalse(to)
            | I::JumpIfFalseOrPop(to)
            | I::JumpIfTrueOrPop(to)
            | I::Iterate(to) = &mut instruction
            {
                *to = places[*to as usize];
            }
            match plain.get_span(number) {
                Some(span) => bounded.add_with_span(instruction, span),
                None => {
                    let line = plain.get_line(number).and_then(|line| u16::try_from(line).ok());
                    bounded.add_with_line(instruction, line.unwrap_or_default())
                }
            };
        }
    }
    Ok(bounded)
}

/// Whether two values are equal; JSON null equals `none`. An undefined operand is an error.
fn equal(left: &Value, right: &Value) -> Result<bool, Error> {
    if left.is_undefined() || right.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(if is_null(left) || is_null(right) { is_null(left) == is_null(right) } else { left == right })
}

/// An instruction with its check: the instruction or its replacement, and another one after it.
fn checked<'t>(instruction: &Instruction<'t>) -> (Instruction<'t>, Option<Instruction<'t>>) {
    use Instruction as I;
    match instruction {
        I::EmitRaw(text) => (I::LoadConst(Value::from(*text)), Some(I::Emit)),
        I::Mul => (I::ApplyFilter(TIMES, Some(2), NO_SLOT), None),
        // JSON null is an object here, and minijinja compares objects by identity.
        I::Eq => (I::ApplyFilter(EQUAL, Some(2), NO_SLOT), None),
        I::Ne => (I::ApplyFilter(UNEQUAL, Some(2), NO_SLOT), None),
        I::StringConcat
        | I::Add
        | I::Slice
        | I::EndCapture
        | I::ApplyFilter(..)
        | I::BuildMap(_)
        | I::BuildList(_)
        | I::BuildTuple(_) => (instruction.clone(), Some(I::ApplyFilter(CHECK, Some(1), NO_SLOT))),
        other => (other.clone(), None),
    }
}

/// Adds the check filters, and replaces minijinja's filters whose result has no limit.
pub(super) fn add(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let own = || Arc::clone(trail);
    let trail = own();
    environment.add_filter(CHECK, move |value: &Value| {
        let value = listed(value, &trail)?;
        weigh(&value, DEPTH, &trail)?;
        Ok(value)
    });
    let trail = own();
    environment.add_filter(TIMES, move |left: &Value, right: &Value| times(left, right, &trail));
    environment.add_filter(EQUAL, |left: &Value, right: &Value| equal(left, right));
    environment.add_filter(UNEQUAL, |left: &Value, right: &Value| equal(left, right).map(|are| !are));
    let trail = own();
    environment.add_filter("replace", move |value: &Value, from: &Value, to: &Value| {
        let (value, from, to) = (scalar(value, &trail)?, scalar(from, &trail)?, scalar(to, &trail)?);
        trail.room(value.matches(from.as_str()).count().saturating_mul(to.len()))?;
        Ok(Value::from(value.replace(from.as_str(), &to)))
    });
    let trail = own();
    environment.add_filter(
        "indent",
        move |value: &Value, width: Option<usize>, first: Option<bool>, blank: Option<bool>, more: Kwargs| {
            let text = scalar(value, &trail)?;
            let width = width.map_or_else(|| Ok(more.get::<Option<usize>>("width")?.unwrap_or(4)), Ok::<_, Error>)?;
            let flag = |given: Option<bool>, name| match given {
                Some(given) => Ok(given),
                None => more.get::<Option<bool>>(name).map(Option::unwrap_or_default),
            };
            let (first, blank) = (flag(first, "first")?, flag(blank, "blank")?);
            more.assert_all_used()?;
            trail.room((text.lines().count() + 1).saturating_mul(width))?;
            let indented = without_end(&text).split('\n').enumerate().map(|(line, text)| {
                let is_blank = text.is_empty() || text == "\r";
                let is_indented = (line > 0 || first) && (blank || !is_blank);
                if is_indented { format!("{}{text}", " ".repeat(width)) } else { text.to_owned() }
            });
            let indented = indented.collect::<Vec<_>>().join("\n");
            Ok(Value::from(indented.strip_suffix('\r').unwrap_or(&indented)))
        },
    );
    let trail = own();
    environment.add_filter("batch", move |state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>| {
        trail.room(count.saturating_mul(NODE))?;
        filters::batch(state, value, count, fill)
    });
    let trail = own();
    environment.add_filter("slice", move |state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>| {
        trail.room(count.saturating_mul(NODE))?;
        filters::slice(state, value, count, fill)
    });
    environment.remove_filter("format"); // its widths have no bound
}

/// The text without its last line break, like minijinja's own `indent`.
fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
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
fn weigh(value: &Value, depth: usize, trail: &Trail) -> Result<(), Error> {
    let text = value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len));
    trail.grow(text.unwrap_or_default() + NODE)?;
    let Some(object) = value.as_object() else { return Ok(()) };
    let is_own_object = object.downcast_ref::<Keyed>().is_some()
        || object.downcast_ref::<Listed>().is_some()
        || object.downcast_ref::<Written>().is_some()
        || object.downcast_ref::<Binary>().is_some();
    if is_own_object || !matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Map) {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or_else(|| trail.refuse(TemplateRenderError::NoDatum))?;
    for item in value.try_iter()?.checked() {
        let item = item?;
        weigh(&item, depth, trail)?;
        if object.repr() == ObjectRepr::Map {
            weigh(&value.get_item(&item)?, depth, trail)?;
        }
    }
    Ok(())
}

/// The operator `*`: numbers, or a text repeated.
fn times(left: &Value, right: &Value, trail: &Trail) -> Result<Value, Error> {
    let impossible = || Error::from(ErrorKind::InvalidOperation);
    if left.is_undefined() || right.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = left.as_str().map(|text| (text, right)).or_else(|| right.as_str().map(|text| (text, left)));
    if let Some((text, count)) = text {
        let count = count.as_usize().ok_or_else(impossible)?;
        trail.grow(text.len().saturating_mul(count))?;
        return Ok(Value::from(text.repeat(count)));
    }
    if !left.is_number() || !right.is_number() {
        return Err(impossible()); // a list, too: what is a list of the same secrets for?
    }
    match (i128::try_from(left.clone()), i128::try_from(right.clone())) {
        (Ok(left), Ok(right)) if left.checked_mul(right).is_none() => Err(impossible()),
        (Ok(left), Ok(right)) => Ok(Value::from(left * right)),
        _ => Ok(Value::from(f64::try_from(left.clone())? * f64::try_from(right.clone())?)),
    }
}
