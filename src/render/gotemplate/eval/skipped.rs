//! What is not walked because what decides about it is not fetched yet: what it may set is not known either.

use std::collections::BTreeSet;

use super::super::ast::{List, Node, Pipe, Templates, Term, Word};
use super::super::error::Stop;
use super::super::value::Value;
use super::{Evaluator, Jump};

impl Evaluator<'_> {
    /// Passes over these lists: every variable that they may set, and the scratch, is from now on as unknown as they are. Where they
    /// may leave the loop around, what comes behind them in it is unknown too.
    pub(super) fn skip<'l>(&mut self, at: usize, lists: impl IntoIterator<Item = &'l List>) -> Result<(), Jump> {
        let mut skipped = Skipped::new(self.templates);
        for list in lists {
            skipped.list(list);
        }
        let Skipped { assigned, uses_scratch, leaves_loop, nodes, .. } = skipped;
        self.rendering.steps(nodes).map_err(|why| Stop { at, why })?;
        for name in assigned {
            if let Some((_, place)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                *place = Value::Pending;
            }
        }
        self.rendering.is_scratch_pending |= uses_scratch;
        if leaves_loop { Err(Jump::Pending) } else { Ok(()) }
    }
}

/// What lists would do when they were walked.
struct Skipped<'l, 't> {
    templates: &'t Templates,
    /// Variables of their own.
    declared: Vec<&'l str>,
    /// Variables from outside that they set.
    assigned: BTreeSet<&'l str>,
    uses_scratch: bool,
    leaves_loop: bool,
    loops: usize,
    nodes: u64,
}

impl<'l, 't> Skipped<'l, 't> {
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
                // What a template uses is not looked for when another one calls it: any of them may use the scratch.
                Node::Template { pipe, .. } => {
                    pipe.iter().for_each(|pipe| self.pipe(pipe));
                    self.uses_scratch |= self.templates.len() > 1;
                }
                Node::Break | Node::Continue => self.leaves_loop |= self.loops == 0,
            }
        }
        self.declared.truncate(mark);
    }

    fn pipe(&mut self, pipe: &'l Pipe) {
        pipe.commands.iter().flat_map(|command| &command.words).for_each(|word| self.word(word));
        for name in &pipe.variables {
            if !pipe.is_assignment {
                self.declared.push(name);
            } else if !self.declared.contains(&name.as_str()) {
                self.assigned.insert(name);
            }
        }
    }

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
