//! Kernel file systems.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::statfs::{self, FsType};

/// File systems whose files the kernel generates, about processes, devices and itself. `/dev` is not among them: it is
/// a tmpfs whose devices are not regular files, and `/dev/shm` is ordinary memory.
const KERNEL: [FsType; 16] = [
    statfs::PROC_SUPER_MAGIC,
    statfs::SYSFS_MAGIC,
    statfs::CGROUP_SUPER_MAGIC,
    statfs::CGROUP2_SUPER_MAGIC,
    statfs::DEBUGFS_MAGIC,
    statfs::TRACEFS_MAGIC,
    statfs::SECURITYFS_MAGIC,
    statfs::SELINUX_MAGIC,
    statfs::SMACK_MAGIC,
    statfs::BPF_FS_MAGIC,
    statfs::DEVPTS_SUPER_MAGIC,
    statfs::NSFS_MAGIC,
    FsType(0x6265_6570), // configfs
    FsType(0x4249_4e4d), // binfmt_misc
    FsType(0xde5e_81e4), // efivarfs
    FsType(0x6165_676c), // pstore
];

/// Whether a file is on one of them.
pub(super) fn is_kernel(found: &OwnedFd) -> Result<bool, Errno> {
    Ok(KERNEL.contains(&statfs::fstatfs(found)?.filesystem_type()))
}
