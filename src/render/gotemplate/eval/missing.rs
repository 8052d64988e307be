//! Where a missing key is no error with [`MissingKey::ErrorUnlessDefault`]: in a condition, and as an argument of a
//! function that has another value for it.

use crate::config::MissingKey;

use super::super::ast::{Command, Pipe, Term};
use super::super::error::Stop;
use super::super::functions::Function;
use super::super::value::Value;
use super::Evaluator;

/// The functions that may get a missing key.
const FUNCTIONS: [&str; 6] = ["and", "or", "not", "sprig_default", "sprig_coalesce", "sprig_empty"];

/// Whether an argument of the function may be a missing key.
pub(super) fn is_allowed_in(function: &Function) -> bool {
    FUNCTIONS.contains(&function.name)
}

/// Whether the value that is passed on to this stage of a pipeline may be a missing key.
pub(super) fn is_allowed_by(stage: &Command) -> bool {
    matches!(stage.words[0].term, Term::Function(function) if is_allowed_in(function))
}

impl Evaluator<'_> {
    /// Runs `work`, in which a missing key is allowed or is not.
    pub(super) fn allowing_missing<T>(&mut self, is_allowed: bool, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.allows_missing, is_allowed);
        let result = work(self);
        self.allows_missing = outer;
        result
    }

    /// The value of the pipeline of an `if` or `with`.
    pub(super) fn condition(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, Stop> {
        self.allowing_missing(true, |run| run.pipeline(dot, pipe))
    }

    /// How a missing key is rendered here.
    pub(super) fn missing_key(&self) -> MissingKey {
        match self.rendering.missing_key {
            MissingKey::ErrorUnlessDefault if self.allows_missing => MissingKey::NoValue,
            other => other,
        }
    }

    /// Fails where `<no value>` may not be written.
    pub(super) fn check_printable(&self) -> Result<(), String> {
        match self.rendering.missing_key {
            MissingKey::ErrorUnlessDefault => Err("it has no value; `default` may give it one".to_owned()),
            MissingKey::NoValue | MissingKey::Error => Ok(()),
        }
    }
}
