//! What is wrong with a Go template: place and text, never a value.

use std::fmt;

use crate::domain::Exit;

use super::super::error::Location;

/// A template that cannot be parsed, or that uses what is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {name}:{}:{}: {why}", at.line, at.column)]
pub struct TemplateError {
    /// The template's name.
    pub name: String,
    /// Where.
    pub at: Location,
    /// What is wrong.
    pub why: SyntaxError,
}

impl TemplateError {
    /// The exit code: 65.
    pub fn exit(&self) -> Exit {
        Exit::Data
    }
}

/// What is wrong with a template's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Not the grammar of `text/template`.
    #[error("{0}")]
    Syntax(String),
    /// A function that there is not.
    #[error("function {0:?} not defined")]
    UnknownFunction(String),
    /// A function that exists in consul-template and not here.
    #[error("function {name:?} is refused: {why}")]
    Refused {
        /// The function.
        name: String,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A path that is no reference.
    #[error("{0}")]
    Reference(String),
    /// Larger or deeper than a template needs.
    #[error("{0}")]
    TooLarge(&'static str),
}

/// Why a template that was parsed cannot be rendered. Types, function names and keys that the template spells out; never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) why: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
