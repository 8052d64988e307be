//! The process as we found it: what the app gets back, and what was inherited.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::domain::{Exit, Problem};
use crate::sys::environment::Variable;
use crate::sys::harden::Original;

/// Taken once, first thing.
#[derive(Debug)]
pub struct Caller {
    pub(super) original: Original,
    pub(super) environment: Vec<Variable>,
}

impl Caller {
    /// The end that a signal asks for and nobody has answered yet.
    pub fn interruption(&self) -> Option<Problem> {
        let signal = self.original.pending_end()?;
        Some(Problem::new(Exit::Signal(signal.number()), format!("ended by {signal} before the app started")))
    }

    /// What `main` found.
    pub fn new(original: Original, environment: Vec<Variable>) -> Self {
        Self { original, environment }
    }

    /// The value of an inherited variable.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        Some(value)
    }

    /// The value of an inherited variable, as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(|value| OsStr::from_bytes(value).into())
    }

    /// The variables whose name and value are text. Others can be neither settings nor references.
    pub fn readable_environment(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        self.environment.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }
}
