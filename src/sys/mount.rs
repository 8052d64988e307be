//! Memory-backed file systems: check that a folder is on one, get its size, mount one.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::statfs::{self, FsType, TMPFS_MAGIC};

use super::fs::{Folder, Result};

/// `RAMFS_MAGIC` of linux/magic.h, which nix does not name.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);

/// Whether an open file or folder is on tmpfs or ramfs, as fstatfs(2) reports, not a table of mounts.
pub fn is_memory(file: &impl AsFd) -> Result<bool> {
    let kind = statfs::fstatfs(file)?.filesystem_type();
    Ok(kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

/// The size of the file system in bytes; `None` if it has no limit.
pub fn size(file: &impl AsFd) -> Result<Option<u64>> {
    let found = statfs::fstatfs(file)?;
    let block = u64::try_from(found.block_size()).unwrap_or(0);
    Ok(Some(found.blocks().saturating_mul(block)).filter(|size| *size > 0))
}

/// How many more files the file system can hold; `None` if it has no limit of its own.
pub fn free_inodes(file: &impl AsFd) -> Result<Option<u64>> {
    let found = statfs::fstatfs(file)?;
    Ok(Some(found.files_free()).filter(|_| found.files() > 0))
}

/// Whether two open folders are on the same mount. Kernels before 5.8 do not number mounts: there a bind mount
/// within the same file system counts as the same.
pub fn is_same(folder: &impl AsFd, below: &impl AsFd) -> Result<bool> {
    let (folder, below) = (place(folder)?, place(below)?);
    Ok(folder.device == below.device && folder.mount == below.mount)
}

/// Whether the folder is the root of a mount, as statx(2) reports (Linux 5.8); `false` on older kernels.
pub fn is_root(folder: &impl AsFd) -> Result<bool> {
    Ok(place(folder)?.is_root)
}

/// The file system and mount of an open file.
#[derive(Debug)]
struct Place {
    device: (u32, u32),
    /// `None` before Linux 5.8.
    mount: Option<u64>,
    is_root: bool,
}

/// Reads device, mount and mount root with statx(2).
fn place(file: &impl AsFd) -> Result<Place> {
    const MOUNT_ROOT: u64 = libc::STATX_ATTR_MOUNT_ROOT as u64;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an open descriptor, an empty C string, and space for what statx(2) writes.
    let result = unsafe {
        libc::statx(
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_BASIC_STATS | libc::STATX_MNT_ID,
            found.as_mut_ptr(),
        )
    };
    Errno::result(result)?;
    // SAFETY: every field is a number, zeroed before.
    let found = unsafe { found.assume_init() };
    Ok(Place {
        device: (found.stx_dev_major, found.stx_dev_minor),
        mount: (found.stx_mask & libc::STATX_MNT_ID != 0).then_some(found.stx_mnt_id),
        is_root: found.stx_attributes & found.stx_attributes_mask & MOUNT_ROOT != 0,
    })
}

/// A tmpfs to mount, with mode 0700.
#[derive(Debug, Clone, Copy)]
pub struct Tmpfs {
    /// Size in bytes; the kernel rounds it up to a page.
    pub size: u64,
    /// The owner of its root; `None` is the mounting user.
    pub uid: Option<u32>,
    /// The group of its root; `None` is the mounting user's.
    pub gid: Option<u32>,
}

impl Tmpfs {
    /// The mount options.
    fn options(&self) -> String {
        // A size of 0 would mean no limit.
        let mut text = format!("size={},mode=0700", self.size.max(1));
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if let Some(id) = id {
                text += &format!(",{name}={id}");
            }
        }
        text
    }

    /// Mounts it over `folder`, which was opened at `path`; never swapped out where the kernel supports that (6.4).
    ///
    /// `folder` still refers to the directory underneath; open the path again afterwards.
    pub fn mount(&self, folder: &Folder, path: &Path) -> Result<()> {
        // Through the descriptor, so that renaming the path since has no effect; by path if there is no /proc.
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()));
        match self.mount_at(&by_descriptor) {
            Err(Errno::ENOENT) => self.mount_at(path),
            done => done,
        }
    }

    /// Mounts it at a path, without `noswap` where the kernel does not know that option.
    fn mount_at(&self, target: &Path) -> Result<()> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let options = self.options();
        let never_swapped = options.clone() + ",noswap";
        let mount = |data: &str| nix::mount::mount(Some("secret-exec"), target, Some("tmpfs"), flags, Some(data));
        match mount(&never_swapped) {
            Err(Errno::EINVAL) => mount(&options),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_is_memory() {
        let root = Folder::root().unwrap();
        let shm = root.pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        assert_eq!(is_memory(&shm), Ok(true));
        assert!(size(&shm).unwrap() > Some(0));
        assert_eq!(is_memory(&root.pass("proc".as_ref()).unwrap()), Ok(false));
    }

    #[test]
    fn the_kernel_says_where_a_mount_begins() {
        let root = Folder::root().unwrap();
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = root.pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        let below = shm.pass(dir.path().file_name().unwrap()).unwrap();
        assert_eq!((is_same(&root, &shm), is_same(&shm, &below)), (Ok(false), Ok(true)));
        assert_eq!((is_root(&shm), is_root(&below)), (Ok(true), Ok(false)));
    }

    #[test]
    fn options_name_owner_and_size() {
        let tmpfs = Tmpfs { size: 4096, uid: Some(7), gid: None };
        assert_eq!(tmpfs.options(), "size=4096,mode=0700,uid=7");
    }
}
