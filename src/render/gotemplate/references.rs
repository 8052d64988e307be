//! The references that a template spells out: `secret` with literals, or with `print` and `printf` of literals.

use crate::domain::SecretRef;

use super::ast::{Command, List, Node, Pipe, Templates, Term, Word};
use super::error::SyntaxError;
use super::functions::{self, Call, Function};
use super::value::{Text, Value};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) known: Vec<SecretRef>,
    /// Offsets of calls whose arguments are computed.
    pub(super) computed: Vec<usize>,
}

/// Finds them in all templates.
pub(super) fn find(templates: &Templates) -> Result<Found, (usize, SyntaxError)> {
    let mut found = Found::default();
    for list in templates.values() {
        found.list(list)?;
    }
    Ok(found)
}

impl Found {
    fn list(&mut self, list: &List) -> Result<(), (usize, SyntaxError)> {
        for node in list {
            match node {
                Node::Action(pipe) => self.pipe(pipe)?,
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                    self.pipe(&branch.pipe)?;
                    self.list(&branch.then)?;
                    if let Some(otherwise) = &branch.otherwise {
                        self.list(otherwise)?;
                    }
                }
                Node::Template { pipe: Some(pipe), .. } => self.pipe(pipe)?,
                Node::Text(_) | Node::Template { .. } | Node::Break | Node::Continue => {}
            }
        }
        Ok(())
    }

    fn pipe(&mut self, pipe: &Pipe) -> Result<(), (usize, SyntaxError)> {
        let mut last = None;
        for (stage, command) in pipe.commands.iter().enumerate() {
            let piped = if stage == 0 { None } else { Some(last.as_ref()) };
            let (first, rest) = command.words.split_first().expect("a command has a word");
            if let Term::Function(function) = first.term {
                self.call(first.at, function, rest, piped)?;
            } else {
                self.word(first)?;
            }
            for word in rest {
                self.word(word)?;
            }
            last = fold_command(command, piped);
        }
        Ok(())
    }

    fn word(&mut self, word: &Word) -> Result<(), (usize, SyntaxError)> {
        match &word.term {
            Term::Pipe(pipe) => self.pipe(pipe),
            Term::Chain { term, .. } => self.word(term),
            Term::Function(function) => self.call(word.at, function, &[], None),
            _ => Ok(()),
        }
    }

    fn call(
        &mut self,
        at: usize,
        function: &Function,
        words: &[Word],
        piped: Option<Option<&Value>>,
    ) -> Result<(), (usize, SyntaxError)> {
        if !functions::is_api(function) {
            return Ok(());
        }
        let mut given: Vec<Option<Value>> = words.iter().map(fold).collect();
        given.extend(piped.map(|value| value.cloned()));
        if given.is_empty() {
            return Err((at, SyntaxError::Syntax(format!("{} takes a path", function.name))));
        }
        let texts = given.into_iter().map(|value| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        });
        let Some(texts) = texts.collect::<Option<Vec<Text>>>() else {
            self.computed.push(at);
            return Ok(());
        };
        let reference = functions::reference(function.name, &texts);
        let reference = reference.map_err(|why| (at, SyntaxError::Reference(format!("{}: {why}", function.name))))?;
        if !self.known.contains(&reference) {
            self.known.push(reference);
        }
        Ok(())
    }
}

/// The value of an operand that is made of literals.
fn fold(word: &Word) -> Option<Value> {
    match &word.term {
        Term::String(text) => Some(Value::String(text.clone())),
        Term::Int(value) => Some(Value::int(*value)),
        Term::Float(value) => Some(Value::Float(*value)),
        Term::Bool(value) => Some(Value::Bool(*value)),
        Term::Pipe(pipe) if pipe.variables.is_empty() => {
            let mut last = None;
            for (stage, command) in pipe.commands.iter().enumerate() {
                last = Some(fold_command(command, if stage == 0 { None } else { Some(last.as_ref()) })?);
            }
            last
        }
        _ => None,
    }
}

fn fold_command(command: &Command, piped: Option<Option<&Value>>) -> Option<Value> {
    let (first, rest) = command.words.split_first()?;
    let Term::Function(function) = first.term else {
        return if rest.is_empty() && piped.is_none() { fold(first) } else { None };
    };
    let Call::Pure(call) = function.call else { return None };
    if !matches!(function.name, "print" | "printf") {
        return None;
    }
    let mut given = rest.iter().map(fold).collect::<Option<Vec<_>>>()?;
    if let Some(value) = piped {
        given.push(value?.clone());
    }
    function.check_count(given.len()).ok()?;
    call(&given).ok()
}
