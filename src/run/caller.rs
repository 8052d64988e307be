//! The process as it was started: inherited variables, and signal settings that the app gets back.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::is_steering;
use crate::domain::{Diagnostic, Exit};
use crate::sys::environment::Variable;
use crate::sys::harden::SavedSignalState;

/// What was inherited, read once at the start of `main`.
#[derive(Debug)]
pub struct ProcessContext {
    pub(super) original: SavedSignalState,
    pub(super) environment: Vec<Variable>,
    settings: Settings,
}

/// Which inherited variables count as settings of this program. The app gets all of them in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// All.
    All,
    /// All but those that configure a backend or the connection to it: `--pinned`.
    Pinned,
}

impl ProcessContext {
    /// The problem for a pending signal that would end us while something was done, if there is one.
    pub fn interruption(&self, doing: &str) -> Option<Diagnostic> {
        let signal = self.original.pending_end()?;
        Some(Diagnostic::new(Exit::Signal(signal.number()), format!("ended by {signal} while {doing}")))
    }

    /// The exit code for a pending signal that would end us, for a command with nothing else to do.
    pub fn pending_end(&self) -> Option<Exit> {
        self.original.pending_end().map(|signal| Exit::Signal(signal.number()))
    }

    /// Takes what `main` read.
    pub fn new(original: SavedSignalState, environment: Vec<Variable>, settings: Settings) -> Self {
        Self { original, environment, settings }
    }

    /// The value of an inherited variable; `None` if `--pinned` ignores it.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        let counts = self.settings == Settings::All || !is_steering(name, Some(&String::from_utf8_lossy(value)));
        counts.then_some(value)
    }

    /// Whether `--pinned` was given.
    pub fn is_pinned(&self) -> bool {
        self.settings == Settings::Pinned
    }

    /// The names of inherited variables that `--pinned` ignores.
    pub fn ignored(&self) -> Vec<String> {
        if self.settings == Settings::All {
            return Vec::new();
        }
        let text = |bytes| String::from_utf8_lossy(bytes);
        let variables = self.environment.iter().map(|(name, value)| (text(name), text(value)));
        let steering = variables.filter(|(name, value)| is_steering(name, Some(value)));
        steering.map(|(name, _)| name.escape_debug().to_string()).collect()
    }

    /// The value of an inherited variable as a path; `None` if `--pinned` ignores it.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(|value| OsStr::from_bytes(value).into())
    }

    /// The value of an inherited variable as a path, even if `--pinned` ignores it.
    pub(super) fn inherited_path(&self, name: &str) -> Option<PathBuf> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        Some(OsStr::from_bytes(value).into()).filter(|path: &PathBuf| !path.as_os_str().is_empty())
    }

    /// The default state directory, where it differs from `state`: outside containers, and below `state` if everyone
    /// may write there (as in docker's tmpfs).
    pub fn default_state(&self, state: &Path) -> Option<PathBuf> {
        default_state(&self.environment, is_container(&self.environment)).or_else(|| below_shared(state))
    }

    /// The variables as strings, with U+FFFD for what is not UTF-8: such a variable is no setting, and is refused as a
    /// reference.
    pub fn environment_as_text(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.environment.iter().map(|(name, value)| (text(name), text(value))).collect()
    }
}

/// Whether we run in a container of Docker or Podman, or in a pod.
fn is_container(environment: &[Variable]) -> bool {
    environment.iter().any(|(name, _)| name == b"KUBERNETES_SERVICE_HOST")
        || ["/.dockerenv", "/run/.containerenv"].iter().any(|path| fs::exists(path).unwrap_or(false))
}

/// The default state directory: below the directory that systemd made for the unit, or, outside containers, below the
/// user's runtime directory. `None` for the default of containers.
fn default_state(environment: &[Variable], is_container: bool) -> Option<PathBuf> {
    let value = |wanted: &str| environment.iter().find(|(name, _)| name == wanted.as_bytes()).map(|(_, value)| value);
    let is_own_name = |path: &PathBuf| {
        let meta = path.is_absolute().then(|| fs::metadata(path).ok()).flatten();
        meta.is_some_and(|meta| meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw())
    };
    // systemd.exec(5): several are separated by colons.
    let unit = value("RUNTIME_DIRECTORY").and_then(|value| value.split(|byte| *byte == b':').next());
    let user = value("XDG_RUNTIME_DIR").filter(|_| !is_container).map(Vec::as_slice);
    let mut candidates = [unit, user].into_iter().flatten().map(|value| PathBuf::from(OsStr::from_bytes(value)));
    let state = candidates.find(is_own_name)?.join("secret-exec-state");
    // A symbolic link may lead to a directory that is not meant for state.
    (!state.is_symlink()).then_some(state)
}

/// A directory of our own below `state`, if that belongs to root and everyone may write there (mode 1777).
fn below_shared(state: &Path) -> Option<PathBuf> {
    const SHARED: u32 = 0o1002;
    let meta = fs::symlink_metadata(state).ok().filter(|meta| meta.is_dir() && meta.mode() & SHARED == SHARED)?;
    (meta.uid() == 0).then(|| state.join("own"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn in_a_directory_of_everybody_it_is_one_of_our_own() {
        let folder = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        for (mode, is_shared) in [(0o1777, is_root), (0o777, false), (0o1755, false), (0o700, false)] {
            set(mode);
            assert_eq!(below_shared(folder.path()), is_shared.then(|| folder.path().join("own")), "{mode:o}");
        }
        assert_eq!(below_shared(&folder.path().join("none")), None);
    }

    #[test]
    fn the_default_state_directory_is_the_units_or_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().to_str().unwrap(), "/proc/nowhere");
        let state = |variables: &[(&str, &str)], is_container| {
            let bytes = |text: &str| text.as_bytes().to_vec();
            let variables: Vec<_> = variables.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
            default_state(&variables, is_container)
        };
        let expected = Some(folder.path().join("secret-exec-state"));
        assert_eq!(state(&[("XDG_RUNTIME_DIR", own)], false), expected);
        assert_eq!(state(&[("XDG_RUNTIME_DIR", own)], true), None);
        let both = [("RUNTIME_DIRECTORY", &*format!("{own}:/run/b")), ("XDG_RUNTIME_DIR", other)];
        assert_eq!(state(&both, true), expected);
        assert_eq!(state(&[("XDG_RUNTIME_DIR", other)], false), None);
        assert_eq!(state(&[("XDG_RUNTIME_DIR", "relative")], false), None);
        assert_eq!(state(&[], false), None);
        std::os::unix::fs::symlink("/tmp", folder.path().join("secret-exec-state")).unwrap();
        assert_eq!(state(&[("XDG_RUNTIME_DIR", own)], false), None);
    }
}
