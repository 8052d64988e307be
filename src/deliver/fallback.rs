//! A private directory on memory for `--local` on a machine whose configured volume cannot be used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::sys::fs::{self, Errno, Folder, Kind};

use super::{Ownership, VolumeError, place};

/// A directory on memory that everyone may write to, on every Linux (shm_overview(7)).
const SHARED: &str = "/dev/shm";

/// How many names are tried before giving up, where others may have taken some.
const TRIES: u32 = 32;

/// Returns a path for a volume of our own: below the runtime directory (`$XDG_RUNTIME_DIR`) if that is private and on
/// memory, else a directory in `/dev/shm` that it creates. A name that another user has taken is skipped, and so are the
/// first `busy` names: other processes of ours use them.
pub fn private_fallback(runtime_dir: Option<&Path>, busy: u32) -> Result<PathBuf, VolumeError> {
    let (uid, _) = fs::effective_ids();
    match runtime_dir {
        Some(path) if is_private_memory(path, uid) => Ok(path.join(numbered("secret-exec".to_owned(), busy))),
        _ => private_in(Path::new(SHARED), uid, busy),
    }
}

/// Whether the directory exists, is on memory, and only `uid` may write to it.
fn is_private_memory(path: &Path, uid: u32) -> bool {
    place::walk(path, Ownership::default()).is_ok_and(|found| {
        found.missing.is_empty()
            && place::is_memory(&found.at, path).unwrap_or(false)
            && fs::meta(&found.at).is_ok_and(|meta| meta.uid == uid && meta.mode & 0o022 == 0)
    })
}

/// Creates (or finds) a directory of `uid` in the shared directory.
fn private_in(shared: &Path, uid: u32, busy: u32) -> Result<PathBuf, VolumeError> {
    let found = place::walk(shared, Ownership::default())?;
    if !found.missing.is_empty() || !place::is_memory(&found.at, shared)? {
        return Err(VolumeError::NotMemory { path: shared.join("secret-exec"), why: Errno::ENOENT });
    }
    for attempt in busy..TRIES {
        let name = numbered(format!("secret-exec-{uid}"), attempt);
        if is_own_name(&found.at, &name.clone().into(), uid)
            .map_err(VolumeError::system("make", &shared.join(&name)))?
        {
            return Ok(shared.join(name));
        }
    }
    Err(VolumeError::Taken(shared.join(format!("secret-exec-{uid}"))))
}

/// The name, with a number behind it unless that is 0.
fn numbered(name: String, number: u32) -> String {
    if number == 0 { name } else { format!("{name}.{number}") }
}

/// Creates the directory `name` if needed; returns whether it belongs to `uid` and nobody else may write to it.
fn is_own_name(shared: &Folder, name: &OsString, uid: u32) -> fs::Result<bool> {
    match shared.make(name) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let is_private = |found: fs::Meta| found.kind == Kind::Folder && found.uid == uid && found.mode & 0o022 == 0;
    Ok(shared.find(name)?.is_some_and(is_private))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_somebody_made_first_is_passed_over() {
        let shared = tempfile::tempdir_in(SHARED).unwrap();
        let (uid, _) = fs::effective_ids();
        std::os::unix::fs::symlink("/etc", shared.path().join(format!("secret-exec-{uid}"))).unwrap();
        std::fs::write(shared.path().join(format!("secret-exec-{uid}.1")), "").unwrap();
        let first = private_in(shared.path(), uid, 0).unwrap();
        assert_eq!(first, shared.path().join(format!("secret-exec-{uid}.2")));
        assert_eq!(private_in(shared.path(), uid, 0).unwrap(), first, "and found again");
    }

    #[test]
    fn a_runtime_directory_counts_only_when_it_is_private_and_on_memory() {
        use std::os::unix::fs::PermissionsExt;
        let (uid, _) = fs::effective_ids();
        let runtime = tempfile::tempdir_in(SHARED).unwrap();
        let fallback = |busy| private_fallback(Some(runtime.path()), busy);
        assert_eq!(fallback(0), Ok(runtime.path().join("secret-exec")));
        assert_eq!(fallback(2), Ok(runtime.path().join("secret-exec.2")));
        std::fs::set_permissions(runtime.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(!is_private_memory(runtime.path(), uid));
        assert!(!is_private_memory(Path::new("/proc"), uid));
        assert!(!is_private_memory(Path::new("/dev/shm/none"), uid));
        assert!(!is_private_memory(Path::new("relative"), uid));
    }
}
