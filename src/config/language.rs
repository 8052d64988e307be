//! The languages of templates, and how a Go template is read.

/// The language of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Language {
    /// Jinja, over `secret('…')`.
    #[default]
    Jinja,
    /// Go's, with consul-template's functions.
    Go(GoOptions),
}

/// How a Go template is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoOptions {
    /// The opening delimiter.
    pub left: String,
    /// The closing delimiter.
    pub right: String,
    /// What a key that is not there becomes.
    pub missing_key: MissingKey,
}

impl Default for GoOptions {
    fn default() -> Self {
        Self { left: "{{".to_owned(), right: "}}".to_owned(), missing_key: MissingKey::NoValue }
    }
}

/// What a key that is not there becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// `<no value>`.
    #[default]
    NoValue,
    /// An error.
    Error,
}
