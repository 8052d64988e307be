//! The state directory: owned by us with mode 0700, and locked by one process at a time.
//!
//! It is created while its owner may still be set, and used after privileges were dropped.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use crate::sys::fs::{self, Errno, Folder, Meta, reason};
use crate::sys::mount;
use crate::sys::path::{PathError, Purpose, Trust, WORLD_WRITABLE, walk};

/// The name of the control socket in it.
pub(super) const SOCKET: &str = "control.sock";
/// The prefixes of the checkpoint's files.
const STATE: [&str; 2] = ["state.json", "state.value-"];

const MODE: u32 = 0o700;

/// The owner that the directory gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group, which gets no rights.
    pub gid: u32,
}

/// A directory that we own and have locked as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    /// The open directory, which also holds the flock(2).
    folder: Folder,
    path: PathBuf,
    is_memory: bool,
}

/// Why a directory cannot be used for our state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The path is not absolute, or contains `..`.
    #[error("the state directory {} must be an absolute path below \"/\", without \"..\"", .0.display())]
    Path(PathBuf),
    /// A symbolic link on the path could be redirected by another user.
    #[error("{} is a symbolic link of another user: name the state directory by its real path", .0.display())]
    Link(PathBuf),
    /// Something on the path, or the directory itself, is not a directory.
    #[error("the state directory cannot be there: {} is not a directory; name another with --state", .0.display())]
    NotAFolder(PathBuf),
    /// Everyone may write there.
    #[error(
        "everybody may write in {} (mode {mode:04o}): name a directory below it with --state, such as {}",
        .path.display(), .path.join("own").display()
    )]
    Shared {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory belongs to another user.
    #[error(
        "the state directory {} belongs to user {uid} (mode {mode:04o}): remove it, or name another with --state",
        .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its user.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory is in use for something else, which taking it over would break.
    #[error(
        "{} holds {}, which is not ours: name a directory below it with --state, such as {}", .path.display(),
        .name.to_string_lossy(), .path.join("own").display()
    )]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// The name of another file in it.
        name: OsString,
    },
    /// The directory is locked by another process.
    #[error("another secret-exec runs with the state directory {}: give each its own with --state", .0.display())]
    Busy(PathBuf),
    /// Everyone may rename entries of a directory on the path.
    #[error(
        "everybody may replace what is in {} (mode {mode:04o}, without the sticky bit)", .path.display()
    )]
    Replaceable {
        /// The directory on the path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user may rename entries of a directory on the path.
    #[error(
        "{} is on the way to the state directory and belongs to {uid}:{gid} (mode {mode:04o}), who could put something else \
         in its place: name one with --state below directories of root, of runAs or of ours, in which no other group may \
         write (in a user namespace 65534 stands for everybody outside of it)",
        .path.display()
    )]
    Way {
        /// The directory on the path.
        path: PathBuf,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A system call failed.
    #[error("cannot {doing} {} for the state directory: {}; name another with --state", .path.display(), reason(*.why))]
    System {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The directory.
        path: PathBuf,
        /// The error of the call.
        why: Errno,
    },
}

impl StateError {
    /// Returns a function that makes a [`Self::System`] from an error number.
    fn system<'a>(doing: &'static str, path: &'a Path) -> impl Fn(Errno) -> Self + 'a {
        move |why| Self::System { doing, path: path.to_owned(), why }
    }
}

impl StateDir {
    /// Finds or creates the directory, locks it, and sets its mode and owner (`None`: our own user).
    pub fn prepare(path: &Path, owner: Option<Owner>) -> Result<Self, StateError> {
        let trust =
            Trust { uid: owner.map(|owner| owner.uid), gid: owner.map(|owner| owner.gid), purpose: Purpose::State };
        let found = walk(path, trust)?;
        let here = found.missing.iter().fold(found.real.clone(), |path, name| path.join(name));
        let folder = if found.missing.is_empty() { found.at } else { found.make(trust)?.folder };
        let meta = meta(&folder, &here)?;
        let is_mount = mount::is_root(&folder).map_err(StateError::system("open", &here))?;
        refuse_foreign(meta, is_mount, &here, owner)?;
        let folder = folder.open(".".as_ref()).map_err(StateError::system("open", &here))?;
        lock(&folder, &here)?;
        set_mode_and_owner(&folder, meta, &here, owner)?;
        let is_memory = mount::is_memory(&folder).map_err(StateError::system("find the file system of", &here))?;
        Ok(Self { folder, path: here, is_memory })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, if it is on memory, where tokens, leases and values may be written. `None` if it is on a disk.
    ///
    /// The names of files in it must begin with `state`.
    pub fn memory(&self) -> Option<&Folder> {
        self.is_memory.then_some(&self.folder)
    }

    /// The open directory.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// The path of `name` through the folder's descriptor, which is short enough for a socket address; its plain path where
/// there is no /proc.
pub(super) fn through(folder: &impl AsFd, path: &Path, name: &str) -> PathBuf {
    let opened = PathBuf::from(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()));
    if opened.exists() { opened.join(name) } else { path.join(name) }
}

impl From<PathError> for StateError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Path(path) => Self::Path(path),
            PathError::Link { link, .. } => Self::Link(link),
            PathError::NotAFolder(path) => Self::NotAFolder(path),
            PathError::Replaceable { path, mode } => Self::Replaceable { path, mode },
            PathError::Way { path, uid, gid, mode } => Self::Way { path, uid, gid, mode },
            PathError::System { doing, path, why } => Self::System { doing, path, why },
        }
    }
}

/// Reads the metadata of the directory.
fn meta(folder: &Folder, path: &Path) -> Result<Meta, StateError> {
    fs::meta(folder).map_err(StateError::system("open", path))
}

/// Returns an error unless the directory belongs to us or to its future owner. One that everyone may write to is
/// accepted only if it is the root of a mount of ours (docker and Kubernetes create tmpfs that way);
/// [`set_mode_and_owner`] then requires it to be empty.
fn refuse_foreign(found: Meta, is_mount: bool, path: &Path, owner: Option<Owner>) -> Result<(), StateError> {
    let own_uid = fs::effective_ids().0;
    let Meta { uid, mode, .. } = found;
    if mode & WORLD_WRITABLE != 0 && !(is_mount && uid == own_uid) {
        return Err(StateError::Shared { path: path.to_owned(), mode });
    }
    if uid == own_uid || owner.is_some_and(|owner| owner.uid == uid) {
        return Ok(());
    }
    Err(StateError::Foreign { path: path.to_owned(), uid, mode })
}

/// Locks the directory. A file system that does not support locks counts as not locked.
fn lock(folder: &Folder, path: &Path) -> Result<(), StateError> {
    let shared = folder.as_fd().try_clone_to_owned();
    let shared = shared.map_err(|_| StateError::System { doing: "lock", path: path.to_owned(), why: Errno::EMFILE })?;
    match File::from(shared).try_lock() {
        Err(TryLockError::WouldBlock) => Err(StateError::Busy(path.to_owned())),
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// Sets mode and owner, where they differ. Only of a directory that is not used for anything else: a slip such as
/// `--state /etc` must not lock a system out.
fn set_mode_and_owner(folder: &Folder, found: Meta, path: &Path, owner: Option<Owner>) -> Result<(), StateError> {
    let uid = owner.map(|owner| owner.uid).filter(|uid| *uid != found.uid);
    let gid = owner.map(|owner| owner.gid).filter(|gid| *gid != found.gid);
    if found.mode == MODE && uid.is_none() && gid.is_none() {
        return Ok(());
    }
    refuse_used(folder, found, path)?;
    // The mode comes first: after the change of owner we may not set it.
    let set_mode = |mode| fs::set_mode(folder, mode).map_err(StateError::system("set the mode of", path));
    set_mode(MODE)?;
    if found.mode & WORLD_WRITABLE != 0
        && let Err(used) = refuse_used(folder, found, path)
    {
        set_mode(found.mode)?; // somebody was quicker
        return Err(used);
    }
    fs::set_owner(folder, uid, gid).map_err(StateError::system("set the owner of", path))
}

/// Returns an error for a directory with names that this program does not use. One that everyone may write to must be
/// empty, because files with this program's names may be anyone's.
fn refuse_used(folder: &Folder, found: Meta, path: &Path) -> Result<(), StateError> {
    let names = folder.names().map_err(StateError::system("list", path))?;
    if found.mode & WORLD_WRITABLE != 0 {
        let shared = StateError::Shared { path: path.to_owned(), mode: found.mode };
        return if names.is_empty() { Ok(()) } else { Err(shared) };
    }
    match names.into_iter().find(|name| !is_own_name(name)) {
        Some(name) => Err(StateError::Occupied { path: path.to_owned(), name }),
        None => Ok(()),
    }
}

/// Whether a name is one that this program uses.
fn is_own_name(name: &OsStr) -> bool {
    name == SOCKET || name.to_str().is_some_and(|name| STATE.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as files;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn mode_of(path: &Path) -> u32 {
        files::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        files::set_permissions(path, files::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_directory_is_for_its_owner_only_and_on_memory() {
        let dir = memory();
        let path = dir.path().join("a/b");
        let state = StateDir::prepare(&path, None).unwrap();
        assert_eq!((mode_of(&path), mode_of(&dir.path().join("a"))), (0o700, 0o755));
        assert_eq!(state.path(), path);
        assert!(state.memory().is_some());
    }

    #[test]
    fn a_group_that_a_volume_hands_down_gets_nothing() {
        let dir = memory();
        set_mode(dir.path(), 0o2755); // as Kubernetes does for an fsGroup
        let path = dir.path().join("s");
        StateDir::prepare(&path, None).unwrap();
        assert_eq!(mode_of(&path), 0o700);
    }

    #[test]
    fn nothing_secret_is_kept_on_a_disk() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        if mount::is_memory(&File::open(dir.path()).unwrap()).unwrap() {
            return eprintln!("SKIPPED nothing_secret_is_kept_on_a_disk: there is no disk here");
        }
        assert!(StateDir::prepare(&dir.path().join("s"), None).unwrap().memory().is_none());
    }

    #[test]
    fn one_process_at_a_time_holds_it() {
        let dir = memory();
        let path = dir.path().join("s");
        let first = StateDir::prepare(&path, None).unwrap();
        assert_eq!(StateDir::prepare(&path, None).unwrap_err(), StateError::Busy(path.clone()));
        drop(first);
        StateDir::prepare(&path, None).unwrap();
    }

    #[test]
    fn what_is_ours_is_closed_and_what_holds_other_things_is_left_alone() {
        let dir = memory();
        let path = dir.path().join("s");
        files::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        files::write(path.join("state.json"), "").unwrap();
        StateDir::prepare(&path, None).unwrap();
        assert_eq!(mode_of(&path), 0o700);

        set_mode(&path, 0o755);
        files::write(path.join("passwd"), "").unwrap();
        let error = StateDir::prepare(&path, None).unwrap_err();
        assert!(matches!(&error, StateError::Occupied { name, .. } if name == "passwd"), "{error}");
        assert_eq!(mode_of(&path), 0o755);
    }

    #[test]
    fn a_parent_that_another_user_could_rename_in_is_refused_like_for_a_volume() {
        if fs::effective_ids().0 != 0 {
            return eprintln!(
                "SKIPPED a_parent_that_another_user_could_rename_in…: only root can give a directory away"
            );
        }
        let dir = memory();
        let parent = dir.path().join("parent");
        files::create_dir(&parent).unwrap();
        std::os::unix::fs::chown(&parent, Some(4242), Some(4242)).unwrap();
        let error = StateDir::prepare(&parent.join("s"), None).unwrap_err();
        assert!(matches!(&error, StateError::Way { path, uid: 4242, .. } if *path == parent), "{error}");
        assert!(!parent.join("s").exists());
        // The user we become may own it: it is that user's token.
        StateDir::prepare(&parent.join("s"), Some(Owner { uid: 4242, gid: 4242 })).unwrap();
    }

    #[test]
    fn what_is_no_directory_or_no_path_is_refused() {
        let dir = memory();
        files::write(dir.path().join("file"), "").unwrap();
        let file = dir.path().join("file");
        assert_eq!(StateDir::prepare(&file, None).unwrap_err(), StateError::NotAFolder(file));
        for path in ["/", "relative", "/run/../etc"] {
            assert_eq!(StateDir::prepare(path.as_ref(), None).unwrap_err(), StateError::Path(path.into()));
        }
    }

    #[test]
    fn our_own_links_are_followed_and_loops_end() {
        let dir = memory();
        symlink("real", dir.path().join("link")).unwrap();
        files::create_dir(dir.path().join("real")).unwrap();
        let state = StateDir::prepare(&dir.path().join("link/s"), None).unwrap();
        assert_eq!(state.path(), dir.path().join("real/s"));
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(matches!(StateDir::prepare(&dir.path().join("loop/s"), None), Err(StateError::System { .. })));
    }

    #[test]
    fn where_it_cannot_be_made_the_reason_is_said() {
        let dir = memory();
        set_mode(dir.path(), 0o777);
        let error = StateDir::prepare(&dir.path().join("s"), None).unwrap_err();
        assert!(matches!(error, StateError::Replaceable { .. }), "{error}");
        let error = StateDir::prepare("/proc/secret-exec-state".as_ref(), None).unwrap_err();
        assert!(matches!(error, StateError::System { doing: "make", .. }), "{error}");
    }

    #[test]
    fn one_that_everybody_may_write_is_left_as_it_is() {
        let dir = memory();
        for mode in [0o1777, 0o777, 0o2777] {
            set_mode(dir.path(), mode);
            let error = StateDir::prepare(dir.path(), None).unwrap_err();
            assert!(matches!(error, StateError::Shared { .. }), "{error}");
            assert!(error.to_string().contains("/own"), "{error}");
            assert_eq!(mode_of(dir.path()), mode);
        }
    }
}
