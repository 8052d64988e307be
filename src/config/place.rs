//! Where a setting was written, and what is wrong with it.

use std::fmt;

use crate::domain::{Diagnostic, Exit};

/// Where a setting came from, as the operator finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file (one-based).
    Line {
        /// The file, as it was named.
        file: String,
        /// One-based.
        line: usize,
    },
    /// A command-line flag, such as `--run-as` or `--set vault.auth.role`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A pod annotation, by its whole key.
    Annotation(String),
    /// Nowhere: a default, or something that is missing.
    Missing,
}

impl Place {
    /// Whether it is an annotation, or a line of the one that holds a config.
    pub fn is_annotation(&self) -> bool {
        match self {
            Self::Annotation(_) => true,
            Self::Line { file, .. } => file.starts_with("annotation "),
            Self::Flag(_) | Self::Variable(_) | Self::Missing => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Annotation(key) => write!(f, "annotation {key}"),
            Self::Missing => f.write_str("config"),
        }
    }
}

/// One mistake in the configuration: where, what, and what was expected. Quotes names, never a value that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong and what was expected; lower-case, no full stop.
    pub text: String,
}

impl ConfigError {
    /// A mistake from its parts.
    pub fn new(place: &Place, text: impl Into<String>) -> Self {
        Self { place: place.clone(), text: text.into() }
    }
}

impl From<ConfigError> for Diagnostic {
    fn from(mistake: ConfigError) -> Self {
        Self::new(Exit::Usage, format!("{}: {}", mistake.place, mistake.text))
    }
}
