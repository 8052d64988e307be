//! Template languages, and the options of Go templates.

/// The language of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Language {
    /// Jinja, with the function `secret('…')`.
    #[default]
    Jinja,
    /// Go templates with consul-template's functions.
    Go(GoOptions),
}

/// The options of a Go template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoOptions {
    /// The opening delimiter.
    pub left: String,
    /// The closing delimiter.
    pub right: String,
    /// How a missing key is rendered.
    pub missing_key: MissingKey,
}

impl Default for GoOptions {
    fn default() -> Self {
        Self { left: "{{".to_owned(), right: "}}".to_owned(), missing_key: MissingKey::NoValue }
    }
}

/// How a missing key is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// As `<no value>`.
    #[default]
    NoValue,
    /// It is an error.
    Error,
}
