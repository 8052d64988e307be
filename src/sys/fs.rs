//! Folders and files by descriptor: every call names one component below an open folder, and none follows a
//! symbolic link.
//!
//! Callers walk a path one component at a time; so a process that renames a folder on the way, or replaces it with
//! a link, cannot redirect a later call.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::fcntl::{self, AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{self, FileStat, Mode, SFlag};
use nix::unistd::{self, Gid, Uid, UnlinkatFlags};

pub use nix::Result;
pub use nix::errno::Errno;

/// The description of an error number, beginning in lower case. A file system can have room and still hold no more
/// files.
pub fn reason(errno: Errno) -> String {
    let text = errno.desc();
    let mut letters = text.chars();
    let text = letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect());
    match errno {
        Errno::ENOSPC => text + " (or no inode: see df -i, and the nr_inodes of a tmpfs)",
        _ => text,
    }
}

/// The type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else: fifo, socket, device.
    Other,
}

/// Kind, owner, mode and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Type.
    pub kind: Kind,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits with setuid, setgid and sticky: `mode & 07777`.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
}

impl From<FileStat> for Meta {
    fn from(found: FileStat) -> Self {
        let kind = match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Folder,
            SFlag::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        };
        let size = u64::try_from(found.st_size).unwrap_or(0);
        Self { kind, uid: found.st_uid, gid: found.st_gid, mode: found.st_mode & 0o7777, size }
    }
}

/// Whether a file that does not exist is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It is.
    Missing,
    /// It is not: `ENOENT`.
    Nothing,
}

/// An open directory, close-on-exec.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Folder {
    /// Wraps a directory that is already open.
    fn from(folder: OwnedFd) -> Self {
        Self(folder)
    }
}

impl Folder {
    /// Opens `/`, to start a walk from. Like [`Self::pass`], this needs no permission to list it.
    pub fn root() -> Result<Self> {
        fcntl::open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// Opens the folder `name` only to pass through it (`O_PATH`), which needs no read permission.
    pub fn pass(&self, name: &OsStr) -> Result<Self> {
        self.at(name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens the folder `name`, to list it or to change its owner and mode.
    pub fn open(&self, name: &OsStr) -> Result<Self> {
        self.at(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens the file `name` for reading. Does not block if it is a fifo.
    pub fn open_file(&self, name: &OsStr) -> Result<File> {
        self.at(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty()).map(File::from)
    }

    /// Opens the file `name` to lock it; creates an empty one, for its owner only, if `create` says so.
    pub fn open_lock(&self, name: &OsStr, create: Create) -> Result<File> {
        let flags = match create {
            Create::Missing => OFlag::O_RDWR | OFlag::O_CREAT,
            Create::Nothing => OFlag::O_RDWR,
        };
        self.at(name, flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
    }

    /// A new file `name` (`O_EXCL`), open for writing. It has what `mode` gives its owner, less the umask, and nothing for
    /// anybody else until its mode is set.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOCTTY;
        self.at(name, flags, Mode::from_bits_truncate(mode & 0o700)).map(File::from)
    }

    /// openat(2) with `O_NOFOLLOW` and `O_CLOEXEC`.
    fn at(&self, name: &OsStr, flags: OFlag, mode: Mode) -> Result<OwnedFd> {
        fcntl::openat(&self.0, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, mode)
    }

    /// Creates the folder `name` with mode 0700.
    pub fn make(&self, name: &OsStr) -> Result<()> {
        stat::mkdirat(&self.0, name, Mode::S_IRWXU)
    }

    /// Creates the symbolic link `name`.
    pub fn link(&self, target: &OsStr, name: &OsStr) -> Result<()> {
        unistd::symlinkat(target, &self.0, name)
    }

    /// The target of the symbolic link `name`.
    pub fn target(&self, name: &OsStr) -> Result<OsString> {
        fcntl::readlinkat(&self.0, name)
    }

    /// Type and metadata of `name`; `None` if it does not exist. A link is not followed.
    pub fn find(&self, name: &OsStr) -> Result<Option<Meta>> {
        match stat::fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Every name in the folder except `.` and `..`. Fails for a folder from [`Self::pass`] without read
    /// permission.
    pub fn names(&self) -> Result<Vec<OsString>> {
        self.some_names(usize::MAX)
    }

    /// At most `most` names in the folder, without `.` and `..`.
    pub fn some_names(&self, most: usize) -> Result<Vec<OsString>> {
        self.some_names_where(most, |_| true)
    }

    /// At most `most` of the names for which `is_wanted` holds, without `.` and `..`; the others take no memory.
    pub fn some_names_where(&self, most: usize, mut is_wanted: impl FnMut(&OsStr) -> bool) -> Result<Vec<OsString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut names = Vec::new();
        for entry in Dir::openat(&self.0, ".", flags, Mode::empty())?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && is_wanted(OsStr::from_bytes(name)) {
                names.push(OsStr::from_bytes(name).to_owned());
            }
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }

    /// Renames within this folder; atomically replaces an existing `to`.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> Result<()> {
        fcntl::renameat(&self.0, from, &self.0, to)
    }

    /// Renames within this folder; fails with `EEXIST` if `to` exists.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<()> {
        match fcntl::renameat2(&self.0, from, &self.0, to, RenameFlags::RENAME_NOREPLACE) {
            // Kernels and sandboxes without the flag: check first, then rename.
            Err(Errno::EINVAL | Errno::ENOSYS) => match self.find(to)? {
                Some(_) => Err(Errno::EEXIST),
                None => self.replace(from, to),
            },
            done => done,
        }
    }

    /// Moves `name` into another folder of the same file system, under `to`.
    pub fn move_into(&self, name: &OsStr, other: &Self, to: &OsStr) -> Result<()> {
        fcntl::renameat(&self.0, name, &other.0, to)
    }

    /// Removes the file or link `name`.
    pub fn unlink(&self, name: &OsStr) -> Result<()> {
        unistd::unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes the empty folder `name`.
    pub fn remove_folder(&self, name: &OsStr) -> Result<()> {
        unistd::unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }
}

/// fcntl(2): sets the signal that reports a broken lease. The same on every architecture; `libc` has no name for
/// it.
const F_SETSIG: libc::c_int = 10;

/// Whether the file is also open through another open file description. Also `false` where the kernel cannot tell:
/// another user's file, or a file system without leases.
pub fn is_open_elsewhere(file: &File) -> bool {
    let descriptor = file.as_raw_fd();
    // While the lease is held, another open makes the kernel send a signal: SIGURG, which is ignored by default.
    // SAFETY: an open descriptor and plain numbers; no memory is written.
    let result = unsafe {
        libc::fcntl(descriptor, F_SETSIG, libc::SIGURG);
        libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_WRLCK)
    };
    if result == 0 {
        // SAFETY: as above.
        unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK) };
        return false;
    }
    Errno::last() == Errno::EAGAIN
}

/// Type, owner, mode and size of an open file or folder.
pub fn meta(file: &impl AsFd) -> Result<Meta> {
    stat::fstat(file).map(Meta::from)
}

/// Sets the permission bits of an open file or folder, independent of the umask.
pub fn set_mode(file: &impl AsFd, mode: u32) -> Result<()> {
    stat::fchmod(file, Mode::from_bits_truncate(mode))
}

/// Sets the permission bits of a folder from [`Folder::pass`], which its owner may not be able to open: through /proc,
/// so that no link is followed.
pub fn set_mode_of_passed(folder: &Folder, mode: u32) -> Result<()> {
    let opened = format!("/proc/self/fd/{}", folder.0.as_raw_fd());
    let mode = Mode::from_bits_truncate(mode);
    stat::fchmodat(fcntl::AT_FDCWD, opened.as_str(), mode, stat::FchmodatFlags::FollowSymlink)
}

/// Sets user and group of an open file or folder; `None` leaves one unchanged.
pub fn set_owner(file: &impl AsFd, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    unistd::fchown(file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
}

/// The effective user and group of this process.
pub fn effective_ids() -> (u32, u32) {
    (unistd::geteuid().as_raw(), unistd::getegid().as_raw())
}

/// The supplementary groups of this process.
pub fn supplementary_groups() -> Result<Vec<u32>> {
    Ok(unistd::getgroups()?.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shm() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = Folder::root().unwrap().pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        let folder = shm.open(dir.path().file_name().unwrap()).unwrap();
        (dir, folder)
    }

    #[test]
    fn no_call_follows_a_link() {
        let (_dir, folder) = shm();
        folder.link("/etc".as_ref(), "folder".as_ref()).unwrap();
        folder.link("/etc/passwd".as_ref(), "file".as_ref()).unwrap();
        assert_eq!(folder.pass("folder".as_ref()).unwrap_err(), Errno::ENOTDIR);
        assert_eq!(folder.open("folder".as_ref()).unwrap_err(), Errno::ENOTDIR);
        assert_eq!(folder.open_file("file".as_ref()).unwrap_err(), Errno::ELOOP);
        assert_eq!(folder.create_file("file".as_ref(), 0o600).unwrap_err(), Errno::EEXIST);
        assert_eq!(folder.find("file".as_ref()).unwrap().map(|found| found.kind), Some(Kind::Link));
    }

    #[test]
    fn a_file_that_somebody_reads_is_known() {
        let (dir, folder) = shm();
        folder.create_file("a".as_ref(), 0o600).unwrap();
        let file = folder.open_file("a".as_ref()).unwrap();
        assert!(!is_open_elsewhere(&file));
        let theirs = File::open(dir.path().join("a")).unwrap();
        assert!(is_open_elsewhere(&file));
        drop(theirs);
        assert!(!is_open_elsewhere(&file));
    }

    #[test]
    fn a_rename_replaces_only_when_that_is_asked_for() {
        let (_dir, folder) = shm();
        folder.link("1".as_ref(), "a".as_ref()).unwrap();
        folder.link("2".as_ref(), "b".as_ref()).unwrap();
        assert_eq!(folder.rename("a".as_ref(), "b".as_ref()), Err(Errno::EEXIST));
        folder.replace("a".as_ref(), "b".as_ref()).unwrap();
        assert_eq!(folder.target("b".as_ref()).unwrap(), "1");
        assert_eq!(folder.names().unwrap(), ["b"]);
        folder.rename("b".as_ref(), "c".as_ref()).unwrap();
        assert_eq!(folder.names().unwrap(), ["c"]);
    }
}
