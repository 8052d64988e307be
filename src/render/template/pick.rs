//! What a template picks from a secret: the steps from the secret to the value.

use super::super::step::Step;

/// A path of steps that the text picks from a `secret('…')`.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub(super) literal: String,
    pub(super) path: Vec<Step>,
}

impl Pick {
    /// The pick with one more step at the end.
    pub(super) fn with(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}
