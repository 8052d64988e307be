//! Limits the size of a template's values. minijinja limits steps only, and fifty steps that double a text exhaust
//! memory. So checks are added to the compiled instructions: after everything that builds a value, and instead of
//! literal text, which could be captured. All sizes count against one limit per rendering.
//!
//! An operator or filter can still build one value before it is counted: at most twice the size of what exists (`~`,
//! `+`). Where it could be more (`*`, `replace`, `indent`, `join`), the size is computed and checked before.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, parse};
use minijinja::value::{Kwargs, ObjectRepr, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};

use super::super::error::TemplateRenderError;
use super::made::{DEPTH, NODE, counted, weigh};
use super::read::scalar;
use super::trail::Trail;
use super::value::is_null;
use super::work::{self, Cost, Counting};

// Names with a hyphen, which no template can write.
const CHECK: &str = "-check";
const TIMES: &str = "-times";
const BUILT: &str = "-built";
const GIVEN: &str = "-given";
const NESTED: &str = "-nested";
const OPERANDS: &str = "-operands";
const CYCLED: &str = "-cycled";
const CHOICES: &str = "-choices";
const CONCATENATED: &str = "-concatenated";
const EQUAL: &str = "-equal";
const UNEQUAL: &str = "-unequal";
const LESS: &str = "-less";
const AT_MOST: &str = "-at-most";
const GREATER: &str = "-greater";
const AT_LEAST: &str = "-at-least";
const IN: &str = "-in";
const ITEM: &str = "-item";
/// The id of an unresolved filter: minijinja looks it up at each call.
const NO_SLOT: u8 = u8::MAX;

/// Compiles a template to instructions with checks.
pub(super) fn compile(text: &str) -> Result<Instructions<'_>, Error> {
    let tree = parse(text, "template", super::syntax())?;
    let mut generator = CodeGenerator::new("template", text);
    generator.compile_stmt(&tree);
    let (plain, _) = generator.finish();
    // The new index of each instruction; one more, for jumps to the end.
    let mut places = vec![0];
    let mut bounded = Vec::new();
    for number in 0.. {
        let Some(instruction) = plain.get(number) else { break };
        add_checked(instruction, &mut |instruction| bounded.push((number, instruction)));
        places.push(u32::try_from(bounded.len()).expect("a template has fewer instructions"));
    }
    let mut instructions = Instructions::new("template", text);
    for (number, mut instruction) in bounded {
        use Instruction as I;
        if let I::Jump(to) | I::JumpIfFalse(to) | I::JumpIfFalseOrPop(to) | I::JumpIfTrueOrPop(to) | I::Iterate(to) =
            &mut instruction
        {
            *to = places[*to as usize];
        }
        match plain.get_span(number) {
            Some(span) => instructions.add_with_span(instruction, span),
            None => {
                let line = plain.get_line(number).and_then(|line| u16::try_from(line).ok());
                instructions.add_with_line(instruction, line.unwrap_or_default())
            }
        };
    }
    Ok(instructions)
}

/// Adds an instruction with its checks, or what replaces it.
fn add_checked<'t>(instruction: &Instruction<'t>, add: &mut impl FnMut(Instruction<'t>)) {
    use Instruction as I;
    let filter = |name, operands| I::ApplyFilter(name, Some(operands), NO_SLOT);
    match instruction {
        I::EmitRaw(text) => {
            add(I::LoadConst(Value::from(*text)));
            add(I::Emit);
        }
        I::Mul => add(filter(TIMES, 2)),
        I::StringConcat => add(filter(CONCATENATED, 2)),
        // JSON null is an object here, and minijinja compares objects by identity.
        I::Eq => add(filter(EQUAL, 2)),
        I::Ne => add(filter(UNEQUAL, 2)),
        I::Lt => add(filter(LESS, 2)),
        I::Lte => add(filter(AT_MOST, 2)),
        I::Gt => add(filter(GREATER, 2)),
        I::Gte => add(filter(AT_LEAST, 2)),
        I::In => add(filter(IN, 2)),
        I::GetItem => add(filter(ITEM, 2)),
        I::SetAttr(_) => {
            add(I::Swap);
            add(filter(NESTED, 1));
            add(I::Swap);
            add(instruction.clone());
        }
        I::BuildKwargs(_) => {
            add(instruction.clone());
            add(filter(GIVEN, 1));
        }
        I::BuildMap(_) | I::BuildList(_) | I::BuildTuple(_) => {
            add(instruction.clone());
            add(filter(BUILT, 1));
        }
        I::Add | I::EndCapture => {
            add(instruction.clone());
            add(filter(CHECK, 1));
        }
        I::Slice => {
            add_counted(instruction, 4, OPERANDS, add);
            add(filter(CHECK, 1));
        }
        I::CompareAndPreserve(_) => add_counted(instruction, 2, OPERANDS, add),
        I::UnpackLists(count) => add_counted(instruction, *count, OPERANDS, add),
        I::CallMethod("cycle", None) => {
            add(filter(CHOICES, 1));
            add(instruction.clone());
        }
        I::CallMethod("cycle", Some(count)) => add_counted(instruction, usize::from(*count), CYCLED, add),
        I::CallMethod(_, Some(count)) => add_counted(instruction, usize::from(*count), OPERANDS, add),
        other => add(other.clone()),
    }
}

/// Adds an instruction whose operands are counted before: as a list, which is unpacked again.
fn add_counted<'t>(
    instruction: &Instruction<'t>,
    operands: usize,
    filter: &'static str,
    add: &mut impl FnMut(Instruction<'t>),
) {
    add(Instruction::BuildList(Some(operands)));
    add(Instruction::ApplyFilter(filter, Some(1), NO_SLOT));
    add(Instruction::UnpackList(operands));
    add(instruction.clone());
}

/// Adds the filters that check, and replaces minijinja's filters whose result has no limit.
pub(super) fn add(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    add_checks(environment, trail);
    add_operators(environment, trail);
    add_filters(environment, trail);
}

/// Adds the filters that check what an instruction takes or has made.
fn add_checks(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let own = || Arc::clone(trail);
    let trail = own();
    environment.add_filter(CHECK, move |value: &Value| counted(value, &trail));
    let trail = own();
    environment.add_filter(BUILT, move |value: &Value| {
        nest_items(value, &trail)?;
        weigh(value, DEPTH, &trail)?;
        Ok::<_, Error>(value.clone())
    });
    let trail = own();
    environment.add_filter(GIVEN, move |named: ValueOrKwargs| {
        let named = named.into_value();
        nest_items(&named, &trail).map(|()| named)
    });
    let trail = own();
    environment.add_filter(NESTED, move |value: &Value| work::nest(value, &trail).map(|()| value.clone()));
    let trail = own();
    environment.add_filter(OPERANDS, move |operands: &Value| in_reverse(operands, &trail));
    let trail = own();
    environment.add_filter(CYCLED, move |operands: &Value| {
        choices(operands.len().unwrap_or_default(), &trail)?;
        in_reverse(operands, &trail)
    });
    let trail = own();
    environment.add_filter(CHOICES, move |count: usize| choices(count, &trail).map(|()| count));
}

/// Adds the filters that stand for operators.
fn add_operators(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let own = || Arc::clone(trail);
    let trail = own();
    environment.add_filter(TIMES, move |left: &Value, right: &Value| times(left, right, &trail));
    let trail = own();
    environment.add_filter(CONCATENATED, move |left: &Value, right: &Value| concatenated(left, right, &trail));
    let trail = own();
    environment.add_filter(EQUAL, move |left: &Value, right: &Value| equal(left, right, &trail));
    let trail = own();
    environment.add_filter(UNEQUAL, move |left: &Value, right: &Value| equal(left, right, &trail).map(|are| !are));
    let mut compare = |name, is: fn(Ordering) -> bool| {
        let trail = own();
        environment.add_filter(name, move |left: &Value, right: &Value| {
            both_defined(left, right)?;
            work::pair(left, right, &trail)?;
            Ok::<_, Error>(is(left.cmp(right)))
        });
    };
    compare(LESS, Ordering::is_lt);
    compare(AT_MOST, Ordering::is_le);
    compare(GREATER, Ordering::is_gt);
    compare(AT_LEAST, Ordering::is_ge);
    let trail = own();
    environment.add_filter(IN, move |state: &State<'_, '_>, value: &Value, container: &Value| {
        both_defined(value, container)?;
        if container.as_str().is_none() && container.as_object().is_none() {
            return Err(Error::from(ErrorKind::InvalidOperation));
        }
        work::search(container, value, &trail)?;
        tests::is_in(state, value, container)
    });
    let trail = own();
    environment.add_filter(ITEM, move |value: &Value, key: &Value| {
        trail.work(value.as_str().map_or(0, str::len))?;
        work::key(key, &trail)?;
        value.get_item(key)
    });
}

/// Fails for an undefined operand.
fn both_defined(left: &Value, right: &Value) -> Result<(), Error> {
    if left.is_undefined() || right.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// Whether two values are equal; JSON null equals `none`. An undefined operand is an error.
fn equal(left: &Value, right: &Value, trail: &Trail) -> Result<bool, Error> {
    both_defined(left, right)?;
    if is_null(left) || is_null(right) {
        return Ok(is_null(left) == is_null(right));
    }
    work::pair(left, right, trail)?;
    Ok(left == right)
}

/// The operator `~`.
fn concatenated(left: &Value, right: &Value, trail: &Trail) -> Result<Value, Error> {
    both_defined(left, right)?;
    work::printed(left, trail)?;
    work::printed(right, trail)?;
    let text = match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) => [left, right].concat(),
        _ => format!("{left}{right}"),
    };
    trail.grow(text.len() + NODE)?;
    Ok(Value::from(text))
}

/// Refuses `loop.cycle()` without values, which divides by their number; `count` includes the loop.
fn choices(count: usize, trail: &Trail) -> Result<(), Error> {
    if count > 1 { Ok(()) } else { Err(trail.refuse(TemplateRenderError::NothingToChoose)) }
}

/// Counts operands in a list, and returns them in the order in which they are unpacked.
fn in_reverse(operands: &Value, trail: &Trail) -> Result<Value, Error> {
    let mut reversed = Vec::new();
    for operand in operands.try_iter()?.checked() {
        let operand = operand?;
        work::whole(&operand, DEPTH, trail)?;
        reversed.push(operand);
    }
    reversed.reverse();
    Ok(Value::from(reversed))
}

/// Counts the namespaces among the items of a value that was just made.
fn nest_items(value: &Value, trail: &Trail) -> Result<(), Error> {
    let is_map = value.as_object().is_some_and(|object| object.repr() == ObjectRepr::Map);
    for item in value.try_iter()?.checked() {
        let item = item?;
        work::nest(&item, trail)?;
        if is_map {
            work::nest(&value.get_item(&item)?, trail)?;
        }
    }
    Ok(())
}

/// Adds filters whose result is counted before it is made.
fn add_filters(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let mut counting = Counting { environment, trail };
    let own = || Arc::clone(trail);
    let trail = own();
    counting.filter("replace", Cost::Items, move |value: &Value, from: &Value, to: &Value| {
        let (value, from, to) = (scalar(value, &trail)?, scalar(from, &trail)?, scalar(to, &trail)?);
        trail.room(value.matches(from.as_str()).count().saturating_mul(to.len()))?;
        Ok(Value::from(value.replace(from.as_str(), &to)))
    });
    let trail = own();
    counting.filter(
        "indent",
        Cost::Items,
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
    counting.filter(
        "batch",
        Cost::Items,
        move |state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>| {
            trail.room(count.saturating_mul(NODE))?;
            filters::batch(state, value, count, fill)
        },
    );
    let trail = own();
    counting.filter(
        "slice",
        Cost::Items,
        move |state: &State<'_, '_>, value: Value, count: usize, fill: Option<Value>| {
            trail.room(count.saturating_mul(NODE))?;
            filters::slice(state, value, count, fill)
        },
    );
    counting.environment.remove_filter("format"); // its widths have no bound
}

/// The text without its last line break, like minijinja's own `indent`.
fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
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
