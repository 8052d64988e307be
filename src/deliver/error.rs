//! Errors of delivering files: what was tried, where, and what to do. Never a value.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::domain::{Exit, FileName};
use crate::sys::fs::{Errno, reason};

use super::Ownership;

/// Why the volume cannot be used or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// The path is not absolute, or contains `..`.
    #[error("the volume {} must be an absolute path below \"/\", without \"..\"", .0.display())]
    Path(PathBuf),
    /// A symbolic link on the path could be redirected by another user.
    #[error("{} is a symbolic link {why}: name the volume by its real path", .link.display())]
    Link {
        /// The link.
        link: PathBuf,
        /// Why it is not followed.
        why: &'static str,
    },
    /// Something on the path, or the volume itself, is not a directory.
    #[error(
        "the volume cannot be there: {} is not a directory; name one on memory with --volume, such as {ELSEWHERE}",
        .0.display()
    )]
    NotAFolder(PathBuf),
    /// The volume would be a directory that everyone may write to.
    #[error(
        "everybody may write in {} (mode {mode:04o}), and where fs.protected_symlinks=1 only a link's owner may follow it \
         there: name a directory below it, such as {}",
        .path.display(), .path.join("files").display()
    )]
    Shared {
        /// The volume.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Everyone may rename entries of a directory above the volume.
    #[error(
        "everybody may replace what is in {} (mode {mode:04o}, without the sticky bit): take the right to write from \
         others, or mount it with mode 1777",
        .path.display()
    )]
    Replaceable {
        /// The directory above the volume.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user may rename entries of a directory above the volume.
    #[error(
        "{} is on the way to the volume and belongs to {uid}:{gid} (mode {mode:04o}), who could put something else in its \
         place: name a volume below directories of root, of the files' owner or of ours, in which no other group may write \
         (in a user namespace 65534 stands for everybody outside of it)",
        .path.display()
    )]
    Way {
        /// The directory above the volume.
        path: PathBuf,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory exists already and belongs to another user.
    #[error(
        "{} belongs to {uid}:{gid} (mode {mode:04o}), who could change the files: name a directory that does not exist \
         yet, or one of ours that no other group may write",
        .path.display()
    )]
    Foreign {
        /// The volume.
        path: PathBuf,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory is in use for something else, which a new owner or mode would break.
    #[error(
        "{} holds {}, which is not ours, and is not given another owner or mode: name a directory below it, such as {}",
        .path.display(), .name.to_string_lossy(), .path.join("files").display()
    )]
    Occupied {
        /// The volume.
        path: PathBuf,
        /// The name of another file in it.
        name: OsString,
    },
    /// Not on tmpfs or ramfs, and a tmpfs cannot be mounted.
    #[error(
        "{} is not on memory, and no tmpfs can be mounted there ({}): {}, or name a directory on memory with --volume, such \
         as {ELSEWHERE}",
        .path.display(), reason(*.why), mount(.path)
    )]
    NotMemory {
        /// The volume.
        path: PathBuf,
        /// The error of the mount.
        why: Errno,
    },
    /// The directory is not on memory, and a tmpfs mounted over it would hide its content.
    #[error(
        "{} is not on memory, and a tmpfs mounted over it would hide what others keep there: name a directory below it, \
         such as {}, or one on memory, such as {ELSEWHERE}",
        .0.display(), .0.join("files").display()
    )]
    Covering(PathBuf),
    /// Owner or mode may not be set.
    #[error(
        "cannot make {owner} the owner of {} (mode {mode:04o}): {}: start as that user, or as root with CAP_CHOWN; a group \
         has to be one of the writer's (supplementalGroups)", .path.display(), reason(*.why)
    )]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// The owner it was to get.
        owner: Ownership,
        /// The permission bits it was to get.
        mode: u32,
        /// The error of the call.
        why: Errno,
    },
    /// The directory belongs to its owner, and we may not write there.
    #[error(
        "cannot write in {} as user {writer} ({}): it is for {owner}; start as that user, or as root with CAP_DAC_OVERRIDE \
         and CAP_CHOWN", .path.display(), reason(*.why)
    )]
    Unwritable {
        /// The volume.
        path: PathBuf,
        /// Its owner.
        owner: Ownership,
        /// The user we run as.
        writer: u32,
        /// The error of the call.
        why: Errno,
    },
    /// The file system is full; the files delivered before are unchanged.
    #[error(
        "{} is full: the new files need {needed} bytes{}: give it a larger size (volume.size, or the sizeLimit of the \
         emptyDir; a change needs room for the old files too)",
        .path.display(), .size.map_or(String::new(), |size| format!(", and it has {size} in all"))
    )]
    Full {
        /// The volume.
        path: PathBuf,
        /// The size of the new generation in bytes, in whole pages.
        needed: u64,
        /// The size of the file system in bytes; `None` if it has no limit of its own.
        size: Option<u64>,
    },
    /// The file system has no free inodes; the files delivered before are unchanged.
    #[error(
        "{} is out of inodes: its file system may have no more files (the nr_inodes of a tmpfs); remove some, or mount it \
         with more (nr_inodes=0 is no limit)",
        .0.display()
    )]
    NoInodes(PathBuf),
    /// Another process keeps the files fresh.
    #[error(
        "another secret-exec keeps the files below {} fresh: name another directory with --volume (volume.path), or end it \
         first", .0.display()
    )]
    Busy(PathBuf),
    /// Something that this program did not create has the name of a file to be delivered.
    #[error("{} is there already and is not ours: remove it, or choose another name", .0.display())]
    Taken(PathBuf),
    /// Two files have the same name, or one's name is another's folder.
    #[error("{0} and {1} cannot both be files of the volume")]
    Clash(FileName, FileName),
    /// A system call failed.
    #[error("cannot {doing} {}: {}{}", .path.display(), reason(*.why), way(*.why))]
    System {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the call.
        why: Errno,
    },
}

impl VolumeError {
    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Path(_) | Self::Clash(..) => Exit::Usage,
            _ => Exit::Volume,
        }
    }

    /// Returns a function that makes a [`Self::System`] from an error number.
    pub(super) fn system<'a>(doing: &'static str, path: &'a Path) -> impl Fn(Errno) -> Self + 'a {
        move |why| Self::System { doing, path: path.to_owned(), why }
    }
}

/// What to mount, and where: at the directory above the volume, so that the volume's own directory is made by us. That may be a
/// directory of the system (`/etc`), whose content the mount would hide: then at the volume, which gets a directory below it.
fn mount(volume: &Path) -> String {
    const MEMORY: &str = "mount a tmpfs, or an emptyDir with medium: Memory,";
    let above = volume.parent().filter(|above| above.parent().is_some());
    match above.filter(|above| !SYSTEM.iter().any(|system| above == &Path::new(system))) {
        Some(above) => format!("{MEMORY} at {at} (docker: --tmpfs {at})", at = above.display()),
        None => {
            let below = volume.join("files");
            format!("{MEMORY} at {at} (docker: --tmpfs {at}) and name {} in it", below.display(), at = volume.display())
        }
    }
}

/// Directories of a system that programs need as they are (hier(7)).
const SYSTEM: [&str; 18] = [
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run",
    "/sbin", "/srv", "/sys", "/usr", "/var",
];

/// A directory that is on memory on nearly every Linux and that every user may create.
const ELSEWHERE: &str = "/dev/shm/secret-exec";

/// A hint for a user who may not write to the volume; empty for other errors.
fn way(errno: Errno) -> String {
    match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS => format!(
            "; mount a tmpfs there that user {} may write (docker: --tmpfs has mode 1777), or name a directory on memory with \
             --volume, such as {ELSEWHERE}",
            crate::sys::fs::effective_ids().0
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let path = PathBuf::from("/run/secret-exec/files");
        let text = VolumeError::NotMemory { path, why: Errno::EPERM }.to_string();
        assert_eq!(
            text,
            "/run/secret-exec/files is not on memory, and no tmpfs can be mounted there (operation not permitted): \
             mount a tmpfs, or an emptyDir with medium: Memory, at /run/secret-exec (docker: --tmpfs /run/secret-exec), or \
             name a directory on memory with --volume, such as /dev/shm/secret-exec"
        );
        let text = VolumeError::System { doing: "make", path: "/run/x".into(), why: Errno::EACCES }.to_string();
        assert!(text.starts_with("cannot make /run/x: permission denied; mount a tmpfs there that user "), "{text}");
        let text = VolumeError::System { doing: "make", path: "/run/x".into(), why: Errno::EIO }.to_string();
        assert!(text.starts_with("cannot make /run/x: ") && !text.contains("tmpfs"), "{text}");
        let text = VolumeError::Shared { path: "/run/secrets".into(), mode: 0o1777 }.to_string();
        assert!(text.ends_with("such as /run/secrets/files"), "{text}");
        for (volume, expected) in [
            ("/secrets", "at /secrets (docker: --tmpfs /secrets) and name /secrets/files in it"),
            ("/etc/x", "at /etc/x (docker: --tmpfs /etc/x) and name /etc/x/files in it"),
            ("/secrets/files", "at /secrets (docker: --tmpfs /secrets)"),
        ] {
            let text = VolumeError::NotMemory { path: volume.into(), why: Errno::EPERM }.to_string();
            assert!(text.contains(&format!("Memory, {expected}, or name a directory")), "{text}");
        }
        let full = VolumeError::Full { path: "/v".into(), needed: 8192, size: Some(4096) }.to_string();
        assert!(full.contains("need 8192 bytes, and it has 4096 in all"), "{full}");
    }
}
