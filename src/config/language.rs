//! Template languages, and the options of Go templates.

use std::ops::Range;

use crate::domain::SecretRef;

/// The language of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Language {
    /// Jinja, with the function `secret('…')`.
    #[default]
    Jinja,
    /// Go templates with consul-template's functions.
    Go(GoOptions),
    /// A value in bank-vaults' syntax, cut into its pieces.
    BankVaults(Vec<Piece>),
}

/// A piece of a value in bank-vaults' syntax. Texts are ranges of the value's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that is output unchanged.
    Text(Range<usize>),
    /// The value of a key.
    Value(SecretRef),
    /// A Go template over all keys of a secret, with Sprig's functions, between `${` and `}`.
    Template {
        /// The secret; the reference has no key.
        secret: SecretRef,
        /// The template.
        text: Range<usize>,
    },
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
    /// It is an error where no condition and no function such as `default` looks at it.
    ErrorUnlessDefault,
}
