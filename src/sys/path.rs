//! The one safe walk to a directory: follows no link of untrusted users and passes no folder in which they may
//! rename entries.
//!
//! Used for the volume and for the state directory, because both hold secrets.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::fs::{self, Errno, Folder, Kind, Meta};
use super::mount;

/// The user and group that a walk trusts besides root and this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// A user that may own folders on the way.
    pub uid: Option<u32>,
    /// A group that may write to folders on the way.
    pub gid: Option<u32>,
    /// What the directory is for.
    pub purpose: Purpose,
}

/// The use of the directory at the end of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The volume: files for others, on its own memory mount. No link on a memory file system is followed, and a
    /// world-writable folder on a disk is passed, because the mount below it cannot be renamed.
    Volume,
    /// The state directory, read only by this process.
    State,
}

/// Why a path cannot be walked to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Relative, `/` itself, or with `..`.
    #[error("{} must be an absolute path below \"/\", without \"..\"", .0.display())]
    Path(PathBuf),
    /// A link that is not followed.
    #[error("{} is a symbolic link {why}", .link.display())]
    Link {
        /// The link.
        link: PathBuf,
        /// Why it is not followed.
        why: &'static str,
    },
    /// A component of the path is not a directory.
    #[error("{} is not a directory", .0.display())]
    NotAFolder(PathBuf),
    /// Any user may rename entries of this folder.
    #[error("everybody may replace what is in {} (mode {mode:04o}, without the sticky bit)", .path.display())]
    Replaceable {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An untrusted user may rename entries of this folder.
    #[error("{} is on the way and belongs to {uid}:{gid} (mode {mode:04o})", .path.display())]
    Way {
        /// The folder.
        path: PathBuf,
        /// Its owning user.
        uid: u32,
        /// Its owning group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A system call failed.
    #[error("cannot {doing} {}: {}", .path.display(), super::fs::reason(*.why))]
    System {
        /// The attempted action, as a verb.
        doing: &'static str,
        /// The path.
        path: PathBuf,
        /// The kernel's error.
        why: Errno,
    },
}

impl PathError {
    /// Turns an errno into a `System` error.
    fn system<'a>(doing: &'static str, path: &'a Path) -> impl Fn(Errno) -> Self + 'a {
        move |why| Self::System { doing, path: path.to_owned(), why }
    }
}

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Mode bit: others may write.
pub const WORLD_WRITABLE: u32 = 0o002;
/// Mode bit: the group may write.
pub const GROUP_WRITABLE: u32 = 0o020;
/// Mode bit: only the owner of an entry, or of the folder, may remove or rename the entry.
pub const STICKY: u32 = 0o1000;

/// The part of a path that exists.
#[derive(Debug)]
pub struct Walk {
    /// The deepest existing folder, opened only to pass through.
    pub at: Folder,
    /// Its path without links.
    pub real: PathBuf,
    /// The components that do not exist below it.
    pub missing: VecDeque<OsString>,
}

/// Walks `path` as far as it exists, without following untrusted links or passing folders with untrusted writers.
///
/// A link is followed only if root or this process's user owns it (`/var/run` is one). A folder is passed only if
/// nobody untrusted may rename its entries: its owner must be root, this process's user or the trusted one; a group
/// with write permission must be trusted or restricted by the sticky bit; others must not be able to write, except as
/// `refuse_replaceable` says.
pub fn walk(path: &Path, trust: Trust) -> Result<Walk, PathError> {
    let mut missing = components(path)?;
    let root = Folder::root().map_err(PathError::system("open", Path::new("/")))?;
    let mut walk = Walk { at: root, real: PathBuf::from("/"), missing: VecDeque::new() };
    let mut links = 0;
    while let Some(name) = missing.pop_front() {
        let here = walk.real.join(&name);
        let Some(found) = walk.at.find(&name).map_err(PathError::system("open", &here))? else {
            // Only a link's target can still contain "..", which has no meaning below a missing component.
            if missing.iter().any(|name| name == "..") {
                return Err(PathError::System { doing: "find", path: here, why: Errno::ENOENT });
            }
            missing.push_front(name);
            break;
        };
        match found.kind {
            Kind::Folder => {
                refuse_replaceable(&walk.at, &walk.real, trust)?;
                walk.at = walk.at.pass(&name).map_err(PathError::system("open", &here))?;
                if name == ".." {
                    walk.real.pop();
                } else {
                    walk.real = here;
                }
            }
            Kind::Link => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(PathError::System { doing: "open", path: here, why: Errno::ELOOP });
                }
                refuse_replaceable(&walk.at, &walk.real, trust)?;
                let target = follow(&walk, &name, found, trust)?;
                if target.is_absolute() {
                    walk.at = Folder::root().map_err(PathError::system("open", Path::new("/")))?;
                    walk.real = PathBuf::from("/");
                }
                for part in target.components().rev() {
                    if let Component::Normal(_) | Component::ParentDir = part {
                        missing.push_front(part.as_os_str().to_owned());
                    }
                }
            }
            Kind::File | Kind::Other => return Err(PathError::NotAFolder(here)),
        }
    }
    if !missing.is_empty() {
        refuse_replaceable(&walk.at, &walk.real, trust)?;
    }
    walk.missing = missing;
    Ok(walk)
}

/// The components of an absolute path below `/`, without `..`.
fn components(path: &Path) -> Result<VecDeque<OsString>, PathError> {
    let mut names = VecDeque::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(PathError::Path(path.to_owned())),
        }
    }
    if !path.is_absolute() || names.is_empty() { Err(PathError::Path(path.to_owned())) } else { Ok(names) }
}

/// Reads the target of a link, if the link is trusted.
fn follow(walk: &Walk, name: &OsStr, link: Meta, trust: Trust) -> Result<PathBuf, PathError> {
    let here = walk.real.join(name);
    if trust.purpose == Purpose::Volume && is_memory(&walk.at, &walk.real)? {
        return Err(PathError::Link { link: here, why: "on memory, where no link is followed" });
    }
    if link.uid != 0 && link.uid != fs::effective_ids().0 {
        return Err(PathError::Link { link: here, why: "of another user, who may point it elsewhere" });
    }
    walk.at.target(name).map(PathBuf::from).map_err(PathError::system("read the link", &here))
}

/// The trust rule: refuses a folder in which an untrusted user may replace an entry.
///
/// The sticky bit restricts the group and others, but not the folder's owner. A world-writable folder on a disk is
/// accepted for the volume: an emptyDir is one (0777, with fsGroup 2777), and a volume mounted below it has to work.
fn refuse_replaceable(folder: &Folder, path: &Path, trust: Trust) -> Result<(), PathError> {
    let Meta { uid, gid, mode, .. } = meta(folder, path)?;
    if mode & (WORLD_WRITABLE | STICKY) == WORLD_WRITABLE
        && (trust.purpose == Purpose::State || is_memory(folder, path)?)
    {
        return Err(PathError::Replaceable { path: path.to_owned(), mode });
    }
    let is_trusted_user = uid == 0 || uid == fs::effective_ids().0 || trust.uid == Some(uid);
    let may_group = mode & (GROUP_WRITABLE | STICKY) == GROUP_WRITABLE;
    if !is_trusted_user || (may_group && !is_trusted_group(gid, trust).map_err(PathError::system("open", path))?) {
        return Err(PathError::Way { path: path.to_owned(), uid, gid, mode });
    }
    Ok(())
}

/// Whether the group is root's, the trusted one, or one of this process's: an fsGroup is a supplementary group of
/// every process in its pod.
fn is_trusted_group(gid: u32, trust: Trust) -> fs::Result<bool> {
    Ok(gid == 0 || gid == fs::effective_ids().1 || trust.gid == Some(gid) || fs::supplementary_groups()?.contains(&gid))
}

/// Type, owner and mode of a folder; `path` is for messages.
fn meta(folder: &Folder, path: &Path) -> Result<Meta, PathError> {
    fs::meta(folder).map_err(PathError::system("open", path))
}

/// Whether a folder is on a memory file system; `path` is for messages.
fn is_memory(folder: &Folder, path: &Path) -> Result<bool, PathError> {
    mount::is_memory(folder).map_err(PathError::system("find the file system of", path))
}

/// The folder at the end of a walk, and the folders created for it: pairs of parent and name, outermost first.
#[derive(Debug)]
pub struct Made {
    /// The directory.
    pub folder: Folder,
    new: Vec<(Folder, OsString)>,
}

impl Walk {
    /// Creates the missing folders: those on the way with mode 0755, so that readers can pass, the last one with
    /// 0700.
    pub fn make(&self, trust: Trust) -> Result<Made, PathError> {
        // A parent that is only passed needs no read permission; the directory itself is listed and its owner is
        // set.
        let here = if self.missing.is_empty() { self.at.open(".".as_ref()) } else { self.at.pass(".".as_ref()) };
        let mut folder = here.map_err(PathError::system("open", &self.real))?;
        let mut path = self.real.clone();
        let mut new = Vec::new();
        for (place, name) in self.missing.iter().enumerate() {
            path.push(name);
            let made = match folder.make(name) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false, // somebody was quicker; it is checked like any that was there
                Err(why) => {
                    undo(&new);
                    return Err(PathError::System { doing: "make", path, why });
                }
            };
            let child = folder.open(name).map_err(PathError::system("open", &path))?;
            if place + 1 < self.missing.len() {
                if made {
                    fs::set_mode(&child, 0o755).map_err(PathError::system("set the mode of", &path))?;
                }
                refuse_replaceable(&child, &path, trust)?;
            }
            let parent = std::mem::replace(&mut folder, child);
            if made {
                new.push((parent, name.clone()));
            }
        }
        Ok(Made { folder, new })
    }
}

impl Made {
    /// Removes the created folders, for example after a later failure. One that cannot be removed stays, empty.
    pub fn undo(&self) {
        undo(&self.new);
    }
}

/// Removes the folders, innermost first; failures are ignored.
fn undo(new: &[(Folder, OsString)]) {
    for (parent, name) in new.iter().rev() {
        let _ = parent.remove_folder(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(uid: Option<u32>, purpose: Purpose) -> Trust {
        Trust { uid, gid: None, purpose }
    }

    #[test]
    fn a_parent_of_another_user_is_not_passed_for_any_purpose() {
        if fs::effective_ids().0 != 0 {
            return eprintln!(
                "SKIPPED a_parent_of_another_user_is_not_passed_for_any_purpose: only root can give it away"
            );
        }
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let parent = dir.path().join("parent");
        std::fs::create_dir(&parent).unwrap();
        std::os::unix::fs::chown(&parent, Some(4242), None).unwrap();
        for purpose in [Purpose::Volume, Purpose::State] {
            let error = walk(&parent.join("x"), trust(None, purpose)).unwrap_err();
            assert!(matches!(&error, PathError::Way { path, uid: 4242, .. } if *path == parent), "{error}");
            walk(&parent.join("x"), trust(Some(4242), purpose)).unwrap();
        }
    }
}
