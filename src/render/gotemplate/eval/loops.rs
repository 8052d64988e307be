//! Evaluates `range`: over lists, maps, numbers and `loop`.

use std::ops::ControlFlow;

use super::super::ast::Branch;
use super::super::error::Stop;
use super::super::key;
use super::super::value::{Int, Value};
use super::{Evaluator, Jump};

impl Evaluator<'_> {
    /// Evaluates a `range` with its `else`.
    pub(super) fn range(&mut self, dot: &Value, branch: &Branch) -> Result<(), Jump> {
        let outer = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let result = self.iterate(dot, branch, &value);
        self.variables.truncate(outer);
        result
    }

    /// Runs the body for every item of `value`, or the `else` list if there is none.
    fn iterate(&mut self, dot: &Value, branch: &Branch, value: &Value) -> Result<(), Jump> {
        let at = branch.pipe.at;
        let has_two = branch.pipe.variables.len() > 1;
        let is_empty = match value {
            // A jump in the body only leaves this loop.
            Value::Pending => {
                return match self.skip(at, [&branch.then].into_iter().chain(&branch.otherwise)) {
                    Err(Jump::Pending) => Ok(()),
                    result => result,
                };
            }
            Value::Invalid => true,
            Value::List(items, _) => {
                for (index, item) in items.iter().enumerate() {
                    let index = Value::int(i64::try_from(index).unwrap_or(i64::MAX));
                    if self.iteration(branch, index, item)?.is_break() {
                        break;
                    }
                }
                items.is_empty()
            }
            Value::Map(map, elements) => {
                for (key, item) in key::entries(map, *elements) {
                    if self.iteration(branch, key, item)?.is_break() {
                        break;
                    }
                }
                map.is_empty()
            }
            Value::Int(..) if has_two => {
                return Err(
                    Stop { at, why: "can't use an integer to iterate over more than one variable".into() }.into()
                );
            }
            Value::Int(most, kind) => self.numbers(branch, 0, *most, *kind)?,
            Value::Loop(from, to) => self.numbers(branch, *from, *to, Int::Int64)?,
            other => {
                let why = format!("range can't iterate over a value of type {}", other.type_name());
                return Err(Stop { at, why }.into());
            }
        };
        match &branch.otherwise {
            // As in Go: a break in `else` ends this loop, which is over anyway; a continue applies to the
            // surrounding loop.
            Some(otherwise) if is_empty => match self.block(at, dot, otherwise) {
                Err(Jump::Break) => Ok(()),
                result => result,
            },
            _ => Ok(()),
        }
    }

    /// Runs the body for the numbers from `from` up to, but not including, `to`; returns whether there are none.
    fn numbers(&mut self, branch: &Branch, from: i64, to: i64, kind: Int) -> Result<bool, Jump> {
        for (index, number) in (from..to).enumerate() {
            let index = Value::int(i64::try_from(index).unwrap_or(i64::MAX));
            if self.iteration(branch, index, &Value::Int(number, kind))?.is_break() {
                break;
            }
        }
        Ok(from >= to)
    }

    /// Runs the body once; returns whether to go on. If a jump in it is pending, the loop ends.
    fn iteration(&mut self, branch: &Branch, index: Value, item: &Value) -> Result<ControlFlow<()>, Jump> {
        self.step(branch.pipe.at)?;
        let pipe = &branch.pipe;
        let values: &[&Value] = if pipe.variables.len() > 1 { &[&index, item] } else { &[item] };
        let top = self.variables.len();
        for (place, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.is_assignment {
                self.assign(pipe.at, name, (*value).clone())?;
            } else {
                self.variables[top - pipe.variables.len() + place].1 = (*value).clone();
            }
        }
        match self.block(pipe.at, item, &branch.then) {
            Ok(()) | Err(Jump::Continue) => Ok(ControlFlow::Continue(())),
            Err(Jump::Break) => Ok(ControlFlow::Break(())),
            Err(Jump::Pending) => match self.skip(pipe.at, [&branch.then]) {
                Ok(()) | Err(Jump::Pending) => Ok(ControlFlow::Break(())),
                Err(stop) => Err(stop),
            },
            Err(stop) => Err(stop),
        }
    }
}
