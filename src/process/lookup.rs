//! Finds a command in the app's PATH, as `execvp` would, before anything is fetched.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use crate::sys::look;
use crate::sys::privilege::Plan;

/// The PATH when the environment has none (glibc's `_CS_PATH`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Why a command cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Exit 127: it is not in PATH.
    #[error("cannot find the command {0:?}: it is not in PATH ({1})")]
    NotFound(OsString, String),
    /// Exit 127: it is empty.
    #[error("the command after -- is empty; is it a variable that is not set?")]
    Empty,
    /// Exit 127: the file does not exist.
    #[error("cannot find the command {0:?}: no such file")]
    NoSuchFile(OsString),
    /// Exit 126: it is a directory.
    #[error("cannot execute {}: it is a directory", .0.display())]
    Directory(PathBuf),
    /// Exit 126: not a regular file, no permission, or a file system mounted noexec.
    #[error("cannot execute {}: {why}", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

impl LookupError {
    /// The exit code of this error.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotFound(..) | Self::NoSuchFile(_) | Self::Empty => 127,
            Self::Directory(_) | Self::NotExecutable { .. } => 126,
        }
    }
}

/// Finds `command` in `path`, the PATH of the app's final environment (`None`: there is none), with the permissions
/// that `drop` leads to (`None`: with our own).
///
/// A name with a `/` is a path. An empty element of PATH is the working directory. A file that cannot be executed is
/// skipped, and reported if no other is found.
pub fn find(command: &OsStr, path: Option<&[u8]>, drop: Option<&Plan>) -> Result<PathBuf, LookupError> {
    if command.is_empty() {
        return Err(LookupError::Empty); // the directories themselves would be found
    }
    let user = drop.map(|plan| format!(" for uid {}", plan.uid())).unwrap_or_default();
    if command.as_bytes().contains(&b'/') {
        let candidate = PathBuf::from(command);
        return match probe_all(std::slice::from_ref(&candidate), drop).first() {
            Some(Probe::Executable) => Ok(candidate),
            Some(Probe::Missing) | None => Err(LookupError::NoSuchFile(command.to_owned())),
            Some(refused) => Err(refused.error(candidate, &user)),
        };
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    let directories = path.split(|byte| *byte == b':');
    let candidates: Vec<PathBuf> = directories.map(|directory| join(directory, command)).collect();
    let mut first_refused = None;
    for (candidate, probe) in candidates.iter().zip(probe_all(&candidates, drop)) {
        match probe {
            Probe::Executable => return Ok(candidate.clone()),
            // A directory without search permission shows nothing about its content.
            Probe::Missing | Probe::Hidden => {}
            Probe::Directory | Probe::NotRegular | Probe::NotExecutable => {
                first_refused.get_or_insert((candidate, probe));
            }
        }
    }
    Err(match first_refused {
        Some((candidate, probe)) => probe.error(candidate.clone(), &user),
        None => LookupError::NotFound(command.to_owned(), String::from_utf8_lossy(path).into_owned()),
    })
}

/// Joins an element of PATH and a command.
fn join(directory: &[u8], command: &OsStr) -> PathBuf {
    // `./` makes no difference to execve, and is easier to read.
    let directory = if directory.is_empty() { b"." } else { directory };
    PathBuf::from(OsString::from_vec([directory, b"/", command.as_bytes()].concat()))
}

/// What a file is to the user who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Executable,
    Missing,
    /// In a directory without search permission.
    Hidden,
    Directory,
    NotRegular,
    NotExecutable,
}

impl Probe {
    const ALL: [Self; 6] =
        [Self::Executable, Self::Missing, Self::Hidden, Self::Directory, Self::NotRegular, Self::NotExecutable];

    /// The error for a file that cannot be executed.
    fn error(self, path: PathBuf, user: &str) -> LookupError {
        let why = match self {
            Self::Directory => return LookupError::Directory(path),
            Self::Hidden => format!("permission denied on the way to it{user}"),
            Self::NotRegular => "it is no regular file".to_owned(),
            _ => format!("it is not executable{user}, or its file system is mounted noexec"),
        };
        LookupError::NotExecutable { path, why }
    }
}

/// Probes the files up to the first executable one, with the permissions after the drop. Where these cannot be tried,
/// uses our own: `execve` decides in the end.
fn probe_all(candidates: &[PathBuf], drop: Option<&Plan>) -> Vec<Probe> {
    let probes = || {
        let mut is_found = false;
        let wanted = candidates.iter().map_while(|candidate| {
            let probe = (!is_found).then(|| probe(candidate))?;
            is_found = probe == Probe::Executable;
            Some(probe)
        });
        wanted.collect::<Vec<_>>()
    };
    let as_app = drop.filter(|plan| plan.changes_access()).and_then(|plan| {
        let seen = look::after(plan, || probes().into_iter().map(|probe| probe as u8).collect()).ok()?;
        seen.into_iter().map(|byte| Probe::ALL.get(usize::from(byte)).copied()).collect()
    });
    as_app.unwrap_or_else(probes)
}

/// Probes one file with the current permissions.
fn probe(candidate: &Path) -> Probe {
    match candidate.metadata() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Probe::Hidden,
        Err(_) => return Probe::Missing,
        Ok(metadata) if metadata.is_dir() => return Probe::Directory,
        Ok(metadata) if !metadata.is_file() => return Probe::NotRegular,
        Ok(_) => {}
    }
    match eaccess(candidate, AccessFlags::X_OK) {
        Ok(()) => Probe::Executable,
        Err(_) => Probe::NotExecutable,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        /// `a` has `plain` (0644) and `folder/`, `b` has `plain` and `tool` (0755).
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for directory in ["a/folder", "b"] {
                fs::create_dir_all(root.path().join(directory)).unwrap();
            }
            for (file, mode) in [("a/plain", 0o644), ("b/plain", 0o755), ("b/tool", 0o755), ("a/only", 0o644)] {
                let path = root.path().join(file);
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            Self(root)
        }

        fn at(&self, place: &str) -> PathBuf {
            self.0.path().join(place)
        }

        fn find(&self, command: &str) -> Result<PathBuf, LookupError> {
            let path = format!("{}:/nonexistent:{}", self.at("a").display(), self.at("b").display());
            find(OsStr::new(command), Some(path.as_bytes()), None)
        }
    }

    #[test]
    fn the_first_executable_candidate_is_taken() {
        let tree = Tree::new();
        assert_eq!(tree.find("tool"), Ok(tree.at("b/tool")));
        assert_eq!(tree.find("plain"), Ok(tree.at("b/plain")), "one that is not executable is passed over");
    }

    #[test]
    fn what_is_there_and_not_executable_is_126_and_what_is_not_there_127() {
        let tree = Tree::new();
        let code = |command: &str| tree.find(command).unwrap_err().code();
        assert_eq!((code("folder"), code("only"), code("nothing"), code("")), (126, 126, 127, 127));
        let empty = find(OsStr::new(""), Some(b"/bin"), None).unwrap_err();
        assert_eq!(empty.to_string(), "the command after -- is empty; is it a variable that is not set?");
        let at = |place: &str| tree.at(place).into_os_string().into_string().unwrap();
        assert_eq!((code(&at("a")), code(&at("a/only")), code(&at("a/none"))), (126, 126, 127));
        assert_eq!(code(&at("a/only/below-a-file")), 127);
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        let tree = Tree::new();
        let tool = tree.at("b/tool");
        assert_eq!(find(tool.as_os_str(), Some(b"/nonexistent"), None), Ok(tool.clone()));
        assert_eq!(tree.find("b/tool").unwrap_err().code(), 127, "relative to the working directory, not to PATH");
    }

    #[test]
    fn an_empty_element_is_the_working_directory() {
        for path in ["", ":/nonexistent", "/nonexistent:", "/nonexistent::/nonexistent"] {
            let error = find(OsStr::new("src"), Some(path.as_bytes()), None).unwrap_err();
            assert_eq!(error, LookupError::Directory("./src".into()), "{path:?}");
        }
    }

    #[test]
    fn without_any_path_the_standard_places_are_searched() {
        assert_eq!(find(OsStr::new("sh"), None, None), Ok("/bin/sh".into()));
    }
}
