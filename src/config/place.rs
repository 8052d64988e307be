//! Places of settings, and mistakes in them.

use std::fmt;

use crate::domain::{Diagnostic, Exit, excerpt};

/// The most characters of an annotation's key in a message. Kubernetes refuses longer names, but only after admission.
const MAX_KEY: usize = 120;

/// Where a setting comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file (counted from one).
    Line {
        /// The file's name.
        file: String,
        /// Counted from one.
        line: usize,
    },
    /// A command-line flag, such as `--run-as` or `--set vault.auth.role`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A pod annotation, by its full key.
    Annotation(String),
    /// No place: a default, or something that is missing.
    Missing,
}

impl Place {
    /// Whether the place is an annotation, or a line of the annotation with a config.
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
            Self::Annotation(key) => write!(f, "annotation {}", excerpt(key, MAX_KEY)),
            Self::Missing => f.write_str("config"),
        }
    }
}

/// A mistake in the configuration: where, what, and what was expected. Quotes names, never a value that may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// The place.
    pub place: Place,
    /// What is wrong and what was expected; in lower case, without a full stop.
    pub text: String,
}

impl ConfigError {
    /// A mistake at `place`.
    pub fn new(place: &Place, text: impl Into<String>) -> Self {
        Self { place: place.clone(), text: text.into() }
    }
}

impl From<ConfigError> for Diagnostic {
    fn from(mistake: ConfigError) -> Self {
        Self::new(Exit::Usage, format!("{}: {}", mistake.place, mistake.text))
    }
}
