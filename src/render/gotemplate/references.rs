//! Finds the references in a template whose arguments are literals, or `print` and `printf` of literals.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::SecretRef;

use super::ast::{Command, List, Node, Pipe, Templates, Term, Word};
use super::error::SyntaxError;
use super::functions::{self, Function};
use super::value::{Text, Value};
use super::{print, printf};

/// The references in a template.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) known: Vec<SecretRef>,
    /// Byte offsets of calls whose arguments are computed.
    pub(super) computed: Vec<usize>,
    /// The references of calls, by the call's byte offset.
    pub(super) calls: BTreeMap<usize, SecretRef>,
    seen: BTreeSet<SecretRef>,
    folding: Folding,
}

/// Finds the references in all templates.
pub(super) fn find(templates: &Templates) -> Result<Found, (usize, SyntaxError)> {
    let folding = Folding { room: ROOM, is_spent: false };
    let mut found =
        Found { known: Vec::new(), computed: Vec::new(), calls: BTreeMap::new(), seen: BTreeSet::new(), folding };
    for list in templates.values() {
        found.list(list)?;
    }
    Ok(found)
}

impl Found {
    /// Searches a list of nodes.
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

    /// Searches a pipeline.
    fn pipe(&mut self, pipe: &Pipe) -> Result<(), (usize, SyntaxError)> {
        let is_api = |command: &Command| matches!(command.words[0].term, Term::Function(function) if functions::is_api(function));
        // Constants are folded only as far as they go into a path.
        let needed = pipe.commands.iter().rposition(is_api).unwrap_or(0);
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
            last = if stage < needed { self.folding.command(command, piped) } else { None };
        }
        Ok(())
    }

    /// Searches an operand.
    fn word(&mut self, word: &Word) -> Result<(), (usize, SyntaxError)> {
        match &word.term {
            Term::Pipe(pipe) => self.pipe(pipe),
            Term::Chain { term, .. } => self.word(term),
            Term::Function(function) => self.call(word.at, function, &[], None),
            Term::Data(reference) => self.add(word.at, reference),
            _ => Ok(()),
        }
    }

    /// Adds the reference of a call of `secret` or `pkiCert`. `piped` is the value of the stage before, if there is
    /// one.
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
        let mut given: Vec<Option<Value>> = words.iter().map(|word| self.folding.word(word)).collect();
        given.extend(piped.map(|value| value.cloned()));
        if self.folding.is_spent {
            return Err((at, SyntaxError::TooLarge("the paths that it puts together are larger than 8 MiB")));
        }
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
        self.add(at, &reference)?;
        self.calls.insert(at, reference);
        Ok(())
    }

    /// Adds a reference.
    fn add(&mut self, at: usize, reference: &SecretRef) -> Result<(), (usize, SyntaxError)> {
        if self.seen.insert(reference.clone()) {
            self.known.push(reference.clone());
        }
        if self.known.len() > MOST_REFERENCES {
            return Err((at, SyntaxError::TooLarge("it names more than 1,000 secrets")));
        }
        Ok(())
    }
}

/// The most references, as in one rendering.
const MOST_REFERENCES: usize = 1_000;
/// The most bytes that folding may produce for one template.
const ROOM: usize = 8 << 20;
/// The longest folded text in bytes; no path is longer.
const LONGEST: usize = 4 << 10;

/// Folds constants: evaluates operands that consist of literals.
#[derive(Debug)]
struct Folding {
    room: usize,
    is_spent: bool,
}

impl Folding {
    /// Charges a value to the limit; `None` above it.
    fn take(&mut self, value: Value) -> Option<Value> {
        let left = self.room.checked_sub(value.weight());
        self.is_spent |= left.is_none();
        self.room = left.unwrap_or(0);
        left.map(|_| value)
    }

    /// The value of an operand that consists of literals; `None` for others.
    fn word(&mut self, word: &Word) -> Option<Value> {
        let value = match &word.term {
            Term::String(text) => Value::String(text.clone()),
            Term::Int(value) => Value::int(*value),
            Term::Float(value) => Value::Float(*value),
            Term::Bool(value) => Value::Bool(*value),
            Term::Pipe(pipe) if pipe.variables.is_empty() => {
                let mut last = None;
                for (stage, command) in pipe.commands.iter().enumerate() {
                    last = Some(self.command(command, if stage == 0 { None } else { Some(last.as_ref()) })?);
                }
                return last;
            }
            _ => return None,
        };
        self.take(value)
    }

    /// The value of a stage that consists of literals; `None` for others.
    fn command(&mut self, command: &Command, piped: Option<Option<&Value>>) -> Option<Value> {
        let (first, rest) = command.words.split_first()?;
        let Term::Function(function) = first.term else {
            return if rest.is_empty() && piped.is_none() { self.word(first) } else { None };
        };
        if !matches!(function.name, "print" | "printf") {
            return None;
        }
        let mut given = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            given.push(self.word(word)?);
        }
        if let Some(value) = piped {
            given.push(value?.clone());
        }
        let text = match (function.name, &given[..]) {
            ("print", values) => print::sprint(values).ok()?,
            (_, [Value::String(format), values @ ..]) => printf::sprintf(format, values, LONGEST)?,
            _ => return None,
        };
        if text.len() > LONGEST { None } else { self.take(Value::text(text)) }
    }
}
