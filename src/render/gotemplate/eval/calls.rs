//! Calls of functions: arguments, limits, and the functions that are evaluated here.

use super::super::super::limits::GROWTH;
use super::super::arguments;
use super::super::ast::{Term, Word};
use super::super::error::Stop;
use super::super::functions::{Call, Function};
use super::super::value::Value;
use super::{Evaluator, missing};

impl Evaluator<'_> {
    /// Calls a function. If an argument is pending, so is the result.
    pub(super) fn call(
        &mut self,
        dot: &Value,
        at: usize,
        function: &'static Function,
        words: &[Word],
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        self.step(at)?;
        let count = words.len() + usize::from(last.is_some());
        function.check_count(count).map_err(|why| Stop { at, why })?;
        let allows = missing::is_allowed_in(function);
        if let Call::Lazy { stops_at } = function.call {
            return self.allowing_missing(allows, |run| run.lazy(dot, words, last, stops_at));
        }
        let mark = self.arguments.len();
        for (place, word) in words.iter().enumerate() {
            let value = self.allowing_missing(allows, |run| run.word(dot, word))?;
            let kind = function.kind(place);
            let is_literal = matches!(word.term, Term::Int(_) | Term::Float(_));
            let is_nil = matches!(word.term, Term::Nil);
            let fitting = arguments::fit(value, kind, is_literal, is_nil).map_err(|why| Stop { at: word.at, why })?;
            self.arguments.push(fitting);
        }
        if let Some(value) = last {
            let kind = function.kind(words.len());
            self.arguments.push(arguments::fit(value, kind, false, false).map_err(|why| Stop { at, why })?);
        }
        let values = &self.arguments[mark..];
        if values.iter().any(|value| matches!(value, Value::Pending)) {
            self.arguments.truncate(mark);
            return Ok(Value::Pending);
        }
        // A value may occur many times among them.
        if values.iter().map(Value::weight).fold(0, usize::saturating_add) > GROWTH {
            self.arguments.truncate(mark);
            let why = format!("error calling {}: its arguments are larger than {} MiB", function.name, GROWTH >> 20);
            return Err(Stop { at, why });
        }
        let looked_at = values.iter().map(|value| function.looks_at(value)).fold(0, usize::saturating_add);
        self.rendering.look(looked_at).map_err(|why| Stop { at, why })?;
        let result = match function.call {
            Call::Pure(call) => call(values),
            Call::With(call) => call(&mut self.rendering, values),
            Call::ExecuteTemplate => {
                let values = self.arguments.split_off(mark);
                self.execute_template(&values)
            }
            Call::Lazy { .. } => Ok(Value::Invalid),
        };
        self.arguments.truncate(mark);
        let result = result.and_then(|value| self.rendering.grow(value.weight()).map(|()| value));
        result.map_err(|why| Stop { at, why: format!("error calling {}: {why}", function.name) })
    }

    /// Calls `executeTemplate NAME [DOT]`: returns the template's output as a string.
    fn execute_template(&mut self, given: &[Value]) -> Result<Value, String> {
        let (name, dot) = match given {
            [Value::String(name)] => (name, Value::Invalid),
            [Value::String(name), dot] if dot.is_nothing() => (name, Value::Invalid),
            [Value::String(name), dot] => (name, dot.clone()),
            _ => return Err("wrong number of args: want 1 or 2".to_owned()),
        };
        let name = String::from_utf8_lossy(name);
        if !self.templates.contains_key(&*name) {
            // The name may be a secret value, so it is not quoted.
            return Err("there is no template of that name".to_owned());
        }
        self.run(&name, &dot, 0).map(Value::text).map_err(|stop| stop.why)
    }

    /// Evaluates the arguments of `and` or `or` only as far as needed.
    fn lazy(&mut self, dot: &Value, words: &[Word], last: Option<Value>, stops_at: bool) -> Result<Value, Stop> {
        let mut value = Value::Invalid;
        for word in words {
            value = self.word(dot, word)?;
            if value.is_true() == stops_at || matches!(value, Value::Pending) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}
