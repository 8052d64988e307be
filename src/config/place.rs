//! Places of settings, and mistakes in them.

use std::fmt;

use crate::domain::{Diagnostic, Exit, excerpt};

/// The prefix of our annotations.
pub const PREFIX: &str = "secret-exec.dev/";

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

    /// The start of a message about a file or variable: the place, and `what` (`file x`, `env X`) unless the place names
    /// it already, as `--env X` does.
    pub fn of(&self, what: &str) -> String {
        let name = what.split_once(' ').map_or(what, |(_, name)| name);
        if self.names_entry(name) { self.to_string() } else { format!("{self}: {what}") }
    }

    /// The start of a message about a setting: the place, and the key unless the place names it already, as `--on-change`
    /// does `onChange`.
    pub fn of_key(&self, key: &str) -> String {
        if self.names_key(key) { self.to_string() } else { format!("{self}: {key}") }
    }

    /// Whether the text of the place names the key already: `--run-as` for `runAs`, `--file x` for `files.x`.
    pub(super) fn names_key(&self, path: &str) -> bool {
        let (Self::Flag(name) | Self::Variable(name) | Self::Annotation(name)) = self else { return false };
        let bare = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        // An item of a list that a flag gives.
        let path = bare(path.split('[').next().filter(|_| path.ends_with(']')).unwrap_or(path));
        let one = path.strip_prefix("files").map(|rest| format!("file{rest}")).unwrap_or_default();
        let name = bare(name);
        name.ends_with(&path) || (!one.is_empty() && name.ends_with(&one))
    }

    /// Whether the place names the file or variable `name`.
    pub(super) fn names_entry(&self, name: &str) -> bool {
        match self {
            Self::Flag(flag) => {
                let written = flag.split_once(' ').map_or("", |(_, written)| written);
                let key = ["files.", "env.", "secrets."].iter().find_map(|map| written.strip_prefix(map));
                let rest = key.unwrap_or(written).strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || (key.is_some() && rest.starts_with('.')))
            }
            Self::Variable(variable) => variable == name,
            Self::Annotation(key) => key.strip_suffix(name).is_some_and(|kind| kind.ends_with('.')),
            Self::Line { .. } | Self::Missing => false,
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
