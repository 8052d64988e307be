//! Walks a path one component at a time, as the kernel does.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{self, FileStat, Mode, SFlag};

use super::kernel::is_kernel;
use super::{FileId, OpenError, ProtectedFileError};

/// The number of links that the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// The largest number of directories above a file.
const MOST_PARENTS: u32 = 4096;
/// The most entries of the state directory or the volume that are compared with a file.
const MOST_ENTRIES: usize = 20_000;

/// What a path leads to: the directory that contains it, its name there, and its metadata.
pub(super) struct Target {
    pub(super) directory: OwnedFd,
    pub(super) name: OsString,
    pub(super) about: FileStat,
    /// How many links were followed.
    pub(super) links: u32,
}

/// Resolves a path, with all links followed. An error if it passes through a kernel file system.
pub(super) fn walk(path: &Path) -> Result<Target, OpenError> {
    let mut rest: VecDeque<OsString> = components(path);
    let (mut at, mut device) = directory(if path.is_absolute() { "/" } else { "." })?;
    let mut links: u32 = 0;
    while let Some(name) = rest.pop_front() {
        let (found, about) = look(&at, device, &name)?;
        let kind = kind(&about);
        if kind == SFlag::S_IFLNK {
            links = links.saturating_add(1);
            if links > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let target = fcntl::readlinkat(&at, name.as_os_str())?;
            let target = Path::new(&target);
            if target.is_absolute() {
                (at, device) = directory("/")?;
            }
            for part in components(target).into_iter().rev() {
                rest.push_front(part);
            }
        } else if rest.is_empty() {
            return Ok(Target { directory: at, name, about, links });
        } else if kind == SFlag::S_IFDIR {
            (at, device) = (found, about.st_dev);
        } else {
            return Err(Errno::ENOTDIR.into());
        }
    }
    let about = stat::fstat(&at)?;
    Ok(Target { directory: at, name: ".".into(), about, links })
}

/// The directory in which a walk ended, so that the next file in it needs no walk of its own.
#[derive(Debug)]
pub(super) struct Walked {
    /// Its path, if that has no links.
    path: Option<PathBuf>,
    directory: OwnedFd,
    device: u64,
    /// The name of the file in it.
    pub(super) name: OsString,
    /// The directory, and all above it.
    pub(super) parents: Vec<FileId>,
}

impl Walked {
    /// The directory in which a walk of `path` ended. `last` is that of the walk before.
    pub(super) fn new(path: &Path, target: Target, last: Option<Self>) -> Result<Self, OpenError> {
        let Target { directory, name, links, .. } = target;
        let id = FileId::of(&stat::fstat(&directory)?);
        let parents = match last.map(|last| last.parents).filter(|known| known.first() == Some(&id)) {
            Some(known) => known,
            None => parents(&directory)?,
        };
        let path = directory_of(path).filter(|_| links == 0).map(Path::to_owned);
        Ok(Self { path, directory, device: id.device, name, parents })
    }

    /// The metadata of a file in this directory, its name, and the directories above it. `None` if that takes a walk.
    pub(super) fn find<'p>(&self, path: &'p Path) -> Option<(FileStat, &'p OsStr, &[FileId])> {
        let name =
            path.file_name().filter(|_| self.path.as_deref().is_some_and(|here| directory_of(path) == Some(here)))?;
        let (_, about) = look(&self.directory, self.device, name).ok()?;
        (kind(&about) == SFlag::S_IFREG).then_some((about, name, &self.parents))
    }
}

/// The directory part of a path that ends with a name.
fn directory_of(path: &Path) -> Option<&Path> {
    let name = path.file_name()?;
    path.parent().filter(|_| path.as_os_str().as_bytes().ends_with(name.as_bytes()))
}

/// Opens an entry of a directory without following it; an error if it is in a kernel file system.
fn look(directory: &OwnedFd, device: u64, name: &OsStr) -> Result<(OwnedFd, FileStat), OpenError> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found = fcntl::openat(directory, name, flags, Mode::empty())?;
    let about = stat::fstat(&found)?;
    // On the same device is the same file system.
    if about.st_dev != device && is_kernel(&found)? {
        return Err(ProtectedFileError::Kernel.into());
    }
    Ok((found, about))
}

/// The type bits.
fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT
}

/// The components of a path; a trailing slash becomes `.`, because it requires a directory.
fn components(path: &Path) -> VecDeque<OsString> {
    let parts = path.as_os_str().as_bytes();
    let names = parts.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let mut names: VecDeque<OsString> = names.map(|name| OsString::from_vec(name.to_vec())).collect();
    if parts.ends_with(b"/") || parts.ends_with(b"/.") {
        names.push_back(".".into());
    }
    names
}

/// Opens a directory and returns it with its device; an error if it is on a kernel file system.
fn directory(path: &str) -> Result<(OwnedFd, u64), OpenError> {
    let found = fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    if is_kernel(&found)? {
        return Err(ProtectedFileError::Kernel.into());
    }
    let device = stat::fstat(&found)?.st_dev;
    Ok((found, device))
}

/// A directory and all directories above it, up to the root, across mounts.
pub(super) fn parents(directory: &OwnedFd) -> Result<Vec<FileId>, OpenError> {
    let mut found = vec![FileId::of(&stat::fstat(directory)?)];
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut above = None;
    for _ in 0..MOST_PARENTS {
        let at = fcntl::openat(above.as_ref().unwrap_or(directory), "..", flags, Mode::empty())?;
        let id = FileId::of(&stat::fstat(&at)?);
        if found.last() == Some(&id) {
            return Ok(found);
        }
        found.push(id);
        above = Some(at);
    }
    Err(Errno::ENAMETOOLONG.into())
}

/// Whether a directory contains this file at any depth, for example as a hard link or a bind mount. `None` if it has
/// too many entries to compare.
pub(super) fn contains_file(directory: &Path, id: FileId) -> Option<bool> {
    let mut is_there = false;
    visit(directory, |found| {
        is_there = found == id;
        is_there
    })
    .map(|()| is_there)
}

/// All files and directories below a directory, at any depth. `None` if there are too many.
pub(super) fn files_below(directory: &Path) -> Option<BTreeSet<FileId>> {
    let mut all = BTreeSet::new();
    visit(directory, |found| {
        all.insert(found);
        false
    })
    .map(|()| all)
}

/// Calls `is_enough` with each file and directory below a directory until it returns true. `None` if there are too many.
fn visit(directory: &Path, mut is_enough: impl FnMut(FileId) -> bool) -> Option<()> {
    let mut waiting = vec![directory.to_owned()];
    let mut left = MOST_ENTRIES;
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            left = left.checked_sub(1)?;
            // `lstat` instead of the directory entry's inode, so that mount points count.
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            if is_enough(FileId { device: found.dev(), inode: found.ino() }) {
                return Some(());
            }
            if found.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Some(())
}
