//! The process as we found it: what the app gets back, and what was inherited.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::is_steering;
use crate::domain::{Diagnostic, Exit};
use crate::sys::environment::Variable;
use crate::sys::harden::SavedSignalState;

/// Taken once, first thing.
#[derive(Debug)]
pub struct ProcessContext {
    pub(super) original: SavedSignalState,
    pub(super) environment: Vec<Variable>,
    settings: Settings,
}

/// Which inherited variables count as settings. The app gets them all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// All.
    All,
    /// None that says something about a backend or the way to it: `--pinned`.
    Pinned,
}

impl ProcessContext {
    /// A pending signal that ends us, not handled yet.
    pub fn interruption(&self) -> Option<Diagnostic> {
        let signal = self.original.pending_end()?;
        Some(Diagnostic::new(Exit::Signal(signal.number()), format!("ended by {signal} before the app started")))
    }

    /// A pending signal that ends us, as an exit: for whoever waits for nothing else.
    pub fn pending_end(&self) -> Option<Exit> {
        self.original.pending_end().map(|signal| Exit::Signal(signal.number()))
    }

    /// What `main` found.
    pub fn new(original: SavedSignalState, environment: Vec<Variable>, settings: Settings) -> Self {
        Self { original, environment, settings }
    }

    /// The value of an inherited variable, where it counts.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        let counts = self.settings == Settings::All || !is_steering(name, Some(&String::from_utf8_lossy(value)));
        counts.then_some(value)
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
        let text = |bytes| String::from_utf8_lossy(bytes);
        let variables = self.environment.iter().map(|(name, value)| (text(name), text(value)));
        let steering = variables.filter(|(name, value)| is_steering(name, Some(value)));
        steering.map(|(name, _)| name.escape_debug().to_string()).collect()
    }

    /// The value of an inherited variable, as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(|value| OsStr::from_bytes(value).into())
    }

    /// The value of an inherited variable, as a path, whether it counts as a setting or not.
    pub(super) fn inherited_path(&self, name: &str) -> Option<PathBuf> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name.as_bytes())?;
        Some(OsStr::from_bytes(value).into()).filter(|path: &PathBuf| !path.as_os_str().is_empty())
    }

    /// The default state directory, where it is not `state`: outside containers, and where everybody may write in `state`, as
    /// in a tmpfs of docker.
    pub fn default_state(&self, state: &Path) -> Option<PathBuf> {
        default_state(&self.environment, is_container(&self.environment)).or_else(|| below_shared(state))
    }

    /// The variables as text, with U+FFFD for what is not UTF-8: such a one is no setting, and as a reference it is refused.
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

/// The default state directory: below systemd's directory for the unit, or, outside containers,
/// below the user's own; `None`: where containers have it.
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
    // What a link leads to is somebody's who asked for no state there.
    (!state.is_symlink()).then_some(state)
}

/// A directory of our own in one that everybody may write and nobody may take from others (mode 1777).
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
