//! What a template picks from a secret: the steps from the secret to the value.

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

/// A step into a nested value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// Each item of a list, or one of them.
    Item,
}
