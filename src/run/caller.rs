//! The process as we found it: what the app gets back, and what was inherited.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::config::is_steering;
use crate::domain::{Exit, Problem};
use crate::sys::environment::Variable;
use crate::sys::harden::Original;

/// Taken once, first thing.
#[derive(Debug)]
pub struct Caller {
    pub(super) original: Original,
    pub(super) environment: Vec<Variable>,
    settings: Settings,
}

/// Which inherited variables count as settings of ours. The app gets them all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// All.
    All,
    /// None that says something about a backend or the way to it: `--pinned`.
    Pinned,
}

impl Caller {
    /// The end that a signal asks for and nobody has answered yet.
    pub fn interruption(&self) -> Option<Problem> {
        let signal = self.original.pending_end()?;
        Some(Problem::new(Exit::Signal(signal.number()), format!("ended by {signal} before the app started")))
    }

    /// What `main` found.
    pub fn new(original: Original, environment: Vec<Variable>, settings: Settings) -> Self {
        Self { original, environment, settings }
    }

    /// The value of an inherited variable, where it counts.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        if self.settings == Settings::Pinned && is_steering(name) {
            return None;
        }
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        Some(value)
    }

    /// Whether `--pinned` was given.
    pub fn is_pinned(&self) -> bool {
        self.settings == Settings::Pinned
    }

    /// The names of inherited variables that would be settings, but for `--pinned`.
    pub fn ignored(&self) -> Vec<String> {
        if self.settings == Settings::All {
            return Vec::new();
        }
        let names = self.environment.iter().map(|(name, _)| String::from_utf8_lossy(name));
        names.filter(|name| is_steering(name)).map(|name| name.escape_debug().to_string()).collect()
    }

    /// The value of an inherited variable, as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(|value| OsStr::from_bytes(value).into())
    }

    /// The variables whose name and value are text. Others can be neither settings nor references.
    pub fn readable_environment(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        self.environment.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }
}
