//! Finds calls of templates that are not defined and certain to run. Go finds them only while it renders, as it does here
//! where a call is within a branch, or in an argument that `and` and `or` may leave out.

use std::collections::BTreeSet;

use super::ast::{Command, List, Node, Pipe, Templates, Term, Word};
use super::error::SyntaxError;
use super::functions::Call;

/// Checks every template that the template `main` is certain to call, directly or through others.
pub(super) fn check(templates: &Templates, main: &str) -> Result<(), (usize, SyntaxError)> {
    let mut search = Search { templates, reached: BTreeSet::new(), open: Vec::new() };
    search.called(0, main)?;
    while let Some(list) = search.open.pop() {
        search.list(list)?;
    }
    Ok(())
}

struct Search<'a> {
    templates: &'a Templates,
    reached: BTreeSet<&'a str>,
    /// The bodies of templates that are reached and not searched yet.
    open: Vec<&'a List>,
}

impl<'a> Search<'a> {
    /// Adds a template to the search; fails if there is none of that name.
    fn called(&mut self, at: usize, name: &str) -> Result<(), (usize, SyntaxError)> {
        let Some((name, list)) = self.templates.get_key_value(name) else {
            return Err((at, SyntaxError::UndefinedTemplate(name.to_owned())));
        };
        if self.reached.insert(name) {
            self.open.push(list);
        }
        Ok(())
    }

    fn list(&mut self, list: &'a List) -> Result<(), (usize, SyntaxError)> {
        for node in list {
            match node {
                Node::Action(pipe) => self.pipe(pipe)?,
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => self.pipe(&branch.pipe)?,
                Node::Template { at, name, pipe } => {
                    pipe.iter().try_for_each(|pipe| self.pipe(pipe))?;
                    self.called(*at, name)?;
                }
                Node::Text(_) | Node::Break | Node::Continue => {}
            }
        }
        Ok(())
    }

    fn pipe(&mut self, pipe: &'a Pipe) -> Result<(), (usize, SyntaxError)> {
        pipe.commands.iter().try_for_each(|command| self.command(command))
    }

    fn command(&mut self, command: &'a Command) -> Result<(), (usize, SyntaxError)> {
        let mut certain = &*command.words;
        if let [Word { term: Term::Function(function), .. }, rest @ ..] = certain {
            match (&function.call, rest.first()) {
                (Call::ExecuteTemplate, Some(Word { at, term: Term::String(name) })) => {
                    self.called(*at, &String::from_utf8_lossy(name))?;
                }
                (Call::Lazy { .. }, Some(_)) => certain = &rest[..1],
                _ => {}
            }
        }
        certain.iter().try_for_each(|word| self.word(word))
    }

    fn word(&mut self, word: &'a Word) -> Result<(), (usize, SyntaxError)> {
        match &word.term {
            Term::Pipe(pipe) => self.pipe(pipe),
            Term::Chain { term, .. } => self.word(term),
            _ => Ok(()),
        }
    }
}
