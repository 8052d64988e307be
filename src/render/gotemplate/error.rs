//! Errors of Go templates: place and message, never a value.

use std::fmt;

use crate::domain::Exit;

use super::super::error::Location;

/// A template that cannot be parsed, or that uses a refused function.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {name}:{}:{}: {why}", at.line, at.column)]
pub struct TemplateError {
    /// The template's name.
    pub name: String,
    /// The place.
    pub at: Location,
    /// The error.
    pub why: SyntaxError,
}

impl TemplateError {
    /// The exit code: 65.
    pub fn exit(&self) -> Exit {
        Exit::Data
    }
}

/// What is wrong in a template's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A syntax error.
    #[error("{0}")]
    Syntax(String),
    /// An unknown function.
    #[error("function {name:?} not defined{hint}")]
    UnknownFunction {
        /// The function.
        name: String,
        /// What was probably meant, with punctuation before it; may be empty.
        hint: String,
    },
    /// A function of consul-template that is not supported.
    #[error("function {name:?} is refused: {why}")]
    Refused {
        /// The function.
        name: String,
        /// The reason, and what to do instead.
        why: &'static str,
    },
    /// A call of a template that no `define` or `block` defines.
    #[error("template {0:?} not defined")]
    UndefinedTemplate(String),
    /// A path that is not a valid reference.
    #[error("{0}")]
    Reference(String),
    /// The template exceeds a limit of size or depth.
    #[error("{0}")]
    TooLarge(&'static str),
}

/// Why rendering a parsed template stops. Names types, functions and keys written in the template; never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// Byte offset in the template's text.
    pub(super) at: usize,
    pub(super) why: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
