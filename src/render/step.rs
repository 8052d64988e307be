//! A step into the value of a secret, as templates take it.

/// A step into a nested value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// Each item of a list, or one of them.
    Item,
    /// The value itself, which the template calculates with: a number.
    Number,
}
