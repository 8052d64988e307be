//! Evaluates a template's tree with its values, like Go's `text/template/exec.go`, with limits of steps, memory and
//! depth.

use super::super::limits::OUTPUT;
use super::ast::{Branch, Command, Fields, List, Node, Pipe, Templates, Term, Word};
use super::error::Stop;
use super::rendering::Rendering;
use super::value::Value;
use super::{fields, print};

mod calls;
mod loops;
mod missing;
mod skipped;

/// The deepest nesting of blocks, pipelines and templates.
const DEPTH: usize = 150;

/// Why evaluation leaves a list of nodes early.
enum Jump {
    Break,
    Continue,
    /// It depends on a value that is not fetched yet whether the loop goes on.
    Pending,
    Stop(Stop),
}

impl From<Stop> for Jump {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Evaluates templates and collects their output.
pub(super) struct Evaluator<'a> {
    templates: &'a Templates,
    pub(super) rendering: Rendering<'a>,
    variables: Vec<(Box<str>, Value)>,
    /// The arguments of the calls that are being evaluated, innermost last.
    arguments: Vec<Value>,
    out: Vec<u8>,
    written: usize,
    depth: usize,
    /// Whether a missing key is no error here, with [`MissingKey::ErrorUnlessDefault`](crate::config::MissingKey).
    allows_missing: bool,
}

impl<'a> Evaluator<'a> {
    /// An evaluator without variables or output.
    pub(super) fn new(templates: &'a Templates, rendering: Rendering<'a>) -> Self {
        Self {
            templates,
            rendering,
            variables: Vec::new(),
            arguments: Vec::new(),
            out: Vec::new(),
            written: 0,
            depth: 0,
            allows_missing: false,
        }
    }

    /// Runs the template `name` with `dot` and returns its output.
    pub(super) fn run(&mut self, name: &str, dot: &Value, at: usize) -> Result<Vec<u8>, Stop> {
        let Some(list) = self.templates.get(name) else {
            return Err(Stop { at, why: format!("template {name:?} not defined") });
        };
        let outer = std::mem::take(&mut self.out);
        let variables = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        let result = self.deeper(at, |run| match run.walk(dot, list) {
            Ok(()) | Err(Jump::Break | Jump::Continue | Jump::Pending) => Ok(()),
            Err(Jump::Stop(stop)) => Err(stop),
        });
        self.variables = variables;
        let inner = std::mem::replace(&mut self.out, outer);
        result.map(|()| inner)
    }

    /// Runs `work` one level deeper; fails at the limit of depth.
    fn deeper<T>(&mut self, at: usize, work: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == DEPTH {
            return Err(Stop { at, why: format!("templates and blocks call each other deeper than {DEPTH} levels") });
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    /// Counts a step; fails at the limit.
    fn step(&mut self, at: usize) -> Result<(), Stop> {
        self.rendering.step().map_err(|why| Stop { at, why })
    }

    /// Appends to the output; fails at the limit of output.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Stop> {
        self.written = self.written.saturating_add(bytes.len());
        if self.written > OUTPUT {
            return Err(Stop { at, why: format!("it writes more than {} MiB", OUTPUT >> 20) });
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Evaluates the nodes of a list.
    fn walk(&mut self, dot: &Value, list: &List) -> Result<(), Jump> {
        for node in list {
            match node {
                Node::Text(text) => {
                    self.step(0)?;
                    self.write(0, text.as_bytes())?;
                }
                Node::Action(pipe) => {
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.print(pipe.at, &value)?;
                    }
                }
                Node::If(branch) => self.branch(dot, branch, false)?,
                Node::With(branch) => self.branch(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Break => return Err(Jump::Break),
                Node::Continue => return Err(Jump::Continue),
                Node::Template { at, name, pipe } => {
                    let dot = match pipe {
                        Some(pipe) => self.pipeline(dot, pipe)?,
                        None => Value::Invalid,
                    };
                    let inner = self.run(name, &dot, *at)?;
                    self.out.extend_from_slice(&inner);
                }
            }
        }
        Ok(())
    }

    /// Writes a value as Go prints it; a pending value writes nothing.
    fn print(&mut self, at: usize, value: &Value) -> Result<(), Stop> {
        match value {
            Value::Pending => Ok(()),
            Value::Invalid | Value::Nil => {
                self.check_printable().map_err(|why| Stop { at, why })?;
                self.write(at, b"<no value>")
            }
            Value::String(text) | Value::Number(text) => self.write(at, text),
            other => {
                let mut out = Vec::new();
                print::value(&mut out, other).map_err(|error| Stop { at, why: error.reason() })?;
                self.write(at, &out)
            }
        }
    }

    /// Evaluates a list one level deeper, in a scope of its own for variables.
    fn block(&mut self, at: usize, dot: &Value, list: &List) -> Result<(), Jump> {
        if self.depth == DEPTH {
            let why = format!("templates and blocks call each other deeper than {DEPTH} levels");
            return Err(Stop { at, why }.into());
        }
        self.depth += 1;
        let mark = self.variables.len();
        let result = self.walk(dot, list);
        self.variables.truncate(mark);
        self.depth -= 1;
        result
    }

    /// Evaluates `if` or, with `sets_dot`, `with`. If the condition is pending, both lists are skipped.
    fn branch(&mut self, dot: &Value, mut branch: &Branch, sets_dot: bool) -> Result<(), Jump> {
        let mark = self.variables.len();
        let result = loop {
            let value = self.condition(dot, &branch.pipe)?;
            let at = branch.pipe.at;
            match (&value, branch.otherwise.as_deref()) {
                (Value::Pending, _) => {
                    break self.skip(at, [&branch.then].into_iter().chain(&branch.otherwise));
                }
                (value, _) if value.is_true() => {
                    break self.block(at, if sets_dot { value } else { dot }, &branch.then);
                }
                // Chains of `else if` or `else with` are followed here.
                (_, Some([Node::If(next)])) if !sets_dot => branch = next,
                (_, Some([Node::With(next)])) if sets_dot => branch = next,
                (_, Some(_)) => break branch.otherwise.as_ref().map_or(Ok(()), |list| self.block(at, dot, list)),
                _ => break Ok(()),
            }
        };
        self.variables.truncate(mark);
        result
    }

    /// Assigns to the innermost variable with that name.
    fn assign(&mut self, at: usize, name: &str, value: Value) -> Result<(), Stop> {
        match self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => Err(Stop { at, why: format!("undefined variable: {name}") }),
        }
    }

    /// The value of a pipeline; sets its variables.
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, Stop> {
        self.deeper(pipe.at, |run| {
            let mut value = None;
            for (stage, command) in pipe.commands.iter().enumerate() {
                let mut result = match pipe.commands.get(stage + 1) {
                    Some(next) => {
                        run.allowing_missing(missing::is_allowed_by(next), |run| run.command(dot, command, value))
                    }
                    None => run.command(dot, command, value),
                }?;
                if matches!(result, Value::Nil) {
                    result = Value::Invalid;
                }
                value = Some(result);
            }
            let value = value.unwrap_or(Value::Invalid);
            for name in &pipe.variables {
                if pipe.is_assignment {
                    run.assign(pipe.at, name, value.clone())?;
                } else {
                    run.variables.push((name.clone(), value.clone()));
                }
            }
            Ok(value)
        })
    }

    /// The value of one stage. `last` is the value of the stage before, passed as the last argument.
    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Result<Value, Stop> {
        let Word { at, term } = &command.words[0];
        self.step(*at)?;
        let arguments = &command.words[1..];
        match term {
            Term::Function(function) => return self.call(dot, *at, function, arguments, last),
            Term::Field(fields) => return self.fields(dot, *at, dot.clone(), fields, arguments, last),
            Term::Chain { term, fields } => {
                let receiver = self.word(dot, term)?;
                return self.fields(dot, *at, receiver, fields, arguments, last);
            }
            Term::Variable { name, fields } if !fields.is_empty() => {
                let receiver = self.variable(*at, name)?;
                return self.fields(dot, *at, receiver, fields, arguments, last);
            }
            _ => {}
        }
        if !arguments.is_empty() || last.is_some() {
            return Err(Stop { at: *at, why: "can't give argument to non-function".into() });
        }
        match term {
            Term::Nil => Err(Stop { at: *at, why: "nil is not a command".into() }),
            _ => self.word(dot, &command.words[0]),
        }
    }

    /// The value of the innermost variable with that name.
    fn variable(&self, at: usize, name: &str) -> Result<Value, Stop> {
        let found = self.variables.iter().rev().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| Stop { at, why: format!("undefined variable: {name}") })
    }

    /// The value of an operand without arguments.
    pub(super) fn word(&mut self, dot: &Value, word: &Word) -> Result<Value, Stop> {
        let at = word.at;
        match &word.term {
            Term::Function(function) => self.call(dot, at, function, &[], None),
            Term::Variable { name, fields } => {
                let receiver = self.variable(at, name)?;
                self.fields(dot, at, receiver, fields, &[], None)
            }
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Field(fields) => self.fields(dot, at, dot.clone(), fields, &[], None),
            Term::Chain { term, fields } => {
                let receiver = self.deeper(at, |run| run.word(dot, term))?;
                self.fields(dot, at, receiver, fields, &[], None)
            }
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Int(value) => Ok(Value::int(*value)),
            Term::Float(value) => Ok(Value::Float(*value)),
            Term::String(text) => Ok(Value::String(text.clone())),
            Term::Pipe(pipe) => self.pipeline(dot, pipe),
            Term::Data(reference) => self.rendering.data(reference).map_err(|why| Stop { at, why }),
        }
    }

    /// Follows field names from `receiver`. A name may be a method; the last one then gets the arguments.
    fn fields(
        &mut self,
        dot: &Value,
        at: usize,
        receiver: Value,
        fields: &Fields,
        arguments: &[Word],
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        // A name of nothing is nothing, however many there are.
        const A_NAME: usize = 64;
        self.rendering.look(fields.names().count() * A_NAME).map_err(|why| Stop { at, why })?;
        let mut value = receiver;
        let mut names = fields.names().peekable();
        while let Some(name) = names.next() {
            let is_last = names.peek().is_none();
            let has_arguments = is_last && (!arguments.is_empty() || last.is_some());
            if matches!(value, Value::Scratch(_)) && self.rendering.is_scratch_pending {
                return Ok(Value::Pending);
            }
            if let Some(method) = fields::method(&value, name) {
                let mut given = vec![value];
                if is_last {
                    for word in arguments {
                        given.push(self.word(dot, word)?);
                    }
                    given.extend(last.clone());
                }
                value = method(&mut self.rendering, &given)
                    .map_err(|why| Stop { at, why: format!("error calling {name}: {why}") })?;
                continue;
            }
            let is_known = !matches!(value, Value::Pending | Value::Invalid);
            value = fields::field(&value, name, self.missing_key()).map_err(|why| Stop { at, why })?;
            if has_arguments && is_known && !matches!(value, Value::Pending) {
                return Err(Stop { at, why: format!("{name} is not a method but has arguments") });
            }
        }
        Ok(value)
    }
}
