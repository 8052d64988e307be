//! Skips nodes whose execution depends on a value that is not fetched yet; what they may set becomes pending too.

use std::collections::BTreeSet;

use super::super::ast::{List, Node, Pipe, Templates, Term, Word};
use super::super::error::Stop;
use super::super::value::Value;
use super::{Evaluator, Jump};

impl Evaluator<'_> {
    /// Skips these lists: every outer variable that they may set becomes pending, and so does the scratch if they
    /// may use it. If they may leave the surrounding loop, the result is [`Jump::Pending`].
    pub(super) fn skip<'l>(&mut self, at: usize, lists: impl IntoIterator<Item = &'l List>) -> Result<(), Jump> {
        let mut skipped = Skipped::new(self.templates);
        for list in lists {
            skipped.list(list);
        }
        let Skipped { assigned, uses_scratch, leaves_loop, nodes, .. } = skipped;
        self.rendering.steps(nodes).map_err(|why| Stop { at, why })?;
        for name in assigned {
            if let Some((_, place)) = self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
                *place = Value::Pending;
            }
        }
        self.rendering.is_scratch_pending |= uses_scratch;
        if leaves_loop { Err(Jump::Pending) } else { Ok(()) }
    }
}

/// The possible effects of the skipped lists.
struct Skipped<'l, 't> {
    templates: &'t Templates,
    /// Variables declared in the lists.
    declared: Vec<&'l str>,
    /// Outer variables that the lists may set.
    assigned: BTreeSet<&'l str>,
    uses_scratch: bool,
    leaves_loop: bool,
    loops: usize,
    nodes: u64,
}

impl<'l, 't> Skipped<'l, 't> {
    /// No effects yet.
    fn new(templates: &'t Templates) -> Self {
        Self {
            templates,
            declared: Vec::new(),
            assigned: BTreeSet::new(),
            uses_scratch: false,
            leaves_loop: false,
            loops: 0,
            nodes: 0,
        }
    }

    /// Adds the effects of a list.
    fn list(&mut self, list: &'l List) {
        let mark = self.declared.len();
        for node in list {
            self.nodes += 1;
            let inner = self.declared.len();
            match node {
                Node::Text(_) => {}
                Node::Action(pipe) => self.pipe(pipe),
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                    let is_loop = usize::from(matches!(node, Node::Range(_)));
                    self.pipe(&branch.pipe);
                    self.loops += is_loop;
                    self.list(&branch.then);
                    branch.otherwise.iter().for_each(|list| self.list(list));
                    self.loops -= is_loop;
                    self.declared.truncate(inner);
                }
                // A called template is not searched: if there is any, it may use the scratch.
                Node::Template { pipe, .. } => {
                    pipe.iter().for_each(|pipe| self.pipe(pipe));
                    self.uses_scratch |= self.templates.len() > 1;
                }
                Node::Break | Node::Continue => self.leaves_loop |= self.loops == 0,
            }
        }
        self.declared.truncate(mark);
    }

    /// Adds the effects of a pipeline.
    fn pipe(&mut self, pipe: &'l Pipe) {
        pipe.commands.iter().flat_map(|command| &command.words).for_each(|word| self.word(word));
        for name in &pipe.variables {
            if !pipe.is_assignment {
                self.declared.push(name);
            } else if !self.declared.contains(&&**name) {
                self.assigned.insert(name);
            }
        }
    }

    /// Adds the effects of an operand.
    fn word(&mut self, word: &'l Word) {
        self.nodes += 1;
        match &word.term {
            Term::Function(function) => self.uses_scratch |= matches!(function.name, "scratch" | "executeTemplate"),
            Term::Chain { term, .. } => self.word(term),
            Term::Pipe(pipe) => self.pipe(pipe),
            _ => {}
        }
    }
}
