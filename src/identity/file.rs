//! Reads the files that a configuration names: whole, with a size limit, and without waiting for a writer.
//!
//! Files are read while all signals are blocked, so a plain open(2) of a pipe without a writer could not be
//! interrupted.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{AccessFlags, eaccess};

use crate::domain::SecretBytes;

use super::protected::{OpenError, ProtectedFileError, ProtectedFiles, Purpose};

/// The largest file that is read: the size limit of a Kubernetes Secret.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// Why a file cannot be read. Completes "cannot be read: "; the path is added by the caller.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("{}", words(.0))]
    System(io::Error),
    /// The file's mode allows reading it, but the kernel denies it.
    #[error(
        "permission denied, though its mode allows it: the sandbox refuses what is in a directory that was not there at the \
         start (start again, or --sandbox off), or a security module does (SELinux, AppArmor)"
    )]
    Policy,
    /// A directory.
    #[error("it is a directory; name a file in it")]
    Directory,
    /// A pipe, a socket or a device, whose content may never end.
    #[error("it is not a regular file")]
    NotRegular,
    /// Larger than `MOST_BYTES`.
    #[error("it is larger than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    /// A pipe to which nothing is written.
    #[error("nothing was written to it for {} seconds", PATIENCE.as_secs())]
    Silent,
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The file is protected: it contains this program's own credentials or state.
    #[error("{0}")]
    Protected(ProtectedFileError),
}

impl FileError {
    /// The kind of the I/O error, if it is one.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System(error) => Some(error.kind()),
            Self::Policy => Some(io::ErrorKind::PermissionDenied),
            Self::Directory | Self::NotRegular | Self::TooLarge | Self::Silent | Self::NotText | Self::Protected(_) => {
                None
            }
        }
    }
}

/// Describes an I/O error without its number.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        kind => kind.to_string(),
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<SecretBytes, FileError> {
    read_bytes(path).map(SecretBytes::new)
}

/// Reads a whole file whose content is delivered; an error for a protected file.
pub fn read_unprotected(path: &Path, protected: &ProtectedFiles) -> Result<SecretBytes, FileError> {
    read_for(path, protected, Purpose::Content).map(SecretBytes::new)
}

/// Reads a whole file that proves the workload's identity; an error if its path now leads into the state directory, the
/// volume or a kernel file system.
pub fn read_identity(path: &Path, protected: &ProtectedFiles) -> Result<SecretBytes, FileError> {
    read_for(path, protected, Purpose::Identity).map(SecretBytes::new)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    read_open(file.map_err(|error| cannot_open(path, error))?)
}

/// Opens and reads a file for this purpose, unless it is protected.
fn read_for(path: &Path, protected: &ProtectedFiles, purpose: Purpose) -> Result<Vec<u8>, FileError> {
    let file = protected.open(path, purpose).map_err(|error| match error {
        OpenError::Refused(refusal) => FileError::Protected(refusal),
        OpenError::System(error) => cannot_open(path, error),
    })?;
    read_open(file)
}

/// The error for a file that cannot be opened.
fn cannot_open(path: &Path, error: io::Error) -> FileError {
    match error.raw_os_error() {
        // A socket, or a device without a driver.
        Some(libc::ENXIO) => FileError::NotRegular,
        // Landlock applies to open(2), but not to access(2).
        Some(libc::EACCES) if eaccess(path, AccessFlags::R_OK).is_ok() => FileError::Policy,
        _ => FileError::System(error),
    }
}

/// Reads an open file.
fn read_open(file: File) -> Result<Vec<u8>, FileError> {
    let about = file.metadata().map_err(FileError::System)?;
    if about.is_dir() {
        return Err(FileError::Directory);
    }
    if is_null_device(&about) {
        return Ok(Vec::new());
    }
    if !about.is_file() {
        return Err(FileError::NotRegular);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len().min(MOST_BYTES)).unwrap_or(0).saturating_add(1));
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::System)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLarge);
    }
    Ok(bytes)
}

/// Whether it is `/dev/null`, which stands for an empty file.
pub(super) fn is_null_device(found: &Metadata) -> bool {
    const DEV_NULL: u64 = libc::makedev(1, 3);
    found.file_type().is_char_device() && found.rdev() == DEV_NULL
}

/// How long nothing may be written to a pipe before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a path names standard input (which may be another user's pipe, and cannot be opened again by its path).
pub fn is_stdin(path: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path.as_os_str() == *name)
}

/// Whether the content can be read only once: standard input and pipes.
pub fn is_read_once(path: &Path) -> bool {
    is_stdin(path) || std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

/// Reads text from a file, a pipe (`<(…)`), or standard input for `-`. `interrupted` is checked while waiting for a
/// writer.
pub fn read_source(path: &Path, interrupted: impl Fn() -> bool) -> Result<String, FileError> {
    if is_stdin(path) {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(FileError::System)?);
        return text(read_pipe(stdin, interrupted)?);
    }
    match std::fs::metadata(path) {
        Ok(about) if about.file_type().is_fifo() => {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            let pipe = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(FileError::System)?;
            text(read_pipe(pipe, interrupted)?)
        }
        _ => read_text(path),
    }
}

/// Reads a pipe to its end, unless nothing is written for [`PATIENCE`] or it is interrupted.
fn read_pipe(mut pipe: File, interrupted: impl Fn() -> bool) -> Result<Vec<u8>, FileError> {
    const SLICE: u16 = 100;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let mut silent = Duration::ZERO;
    while silent < PATIENCE {
        if interrupted() {
            return Err(FileError::System(io::ErrorKind::Interrupted.into()));
        }
        let mut waiting = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, SLICE).map_err(|error| FileError::System(error.into()))? == 0 {
            silent = silent.saturating_add(Duration::from_millis(SLICE.into()));
            continue;
        }
        silent = Duration::ZERO;
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(FileError::System(error)),
        }
        if bytes.len() as u64 > MOST_BYTES {
            return Err(FileError::TooLarge);
        }
    }
    Err(FileError::Silent)
}

/// Reads a file as a string.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    text(read_bytes(path)?)
}

/// Reads a file as a string, unless it is protected.
pub fn read_unprotected_text(path: &Path, protected: &ProtectedFiles) -> Result<String, FileError> {
    text(read_for(path, protected, Purpose::Content)?)
}

/// Bytes as a string, without a copy.
fn text(bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|_| FileError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (path, expected) in [
            (path("pipe"), "it is not a regular file"),
            (path("socket"), "it is not a regular file"),
            ("/dev/zero".into(), "it is not a regular file"),
            (folder.path().into(), "it is a directory; name a file in it"),
            (path("missing"), "no such file"),
        ] {
            assert_eq!(read(&path).unwrap_err().to_string(), expected, "{path:?}");
        }
    }

    #[test]
    fn the_null_device_is_an_empty_file() {
        assert_eq!(read_text("/dev/null".as_ref()).unwrap(), "");
        assert_eq!(read_source("/dev/null".as_ref(), || false).unwrap(), "");
    }

    #[test]
    fn a_file_is_read_up_to_the_limit_and_text_is_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "é\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "é\n");
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read_text(&path), Err(FileError::NotText)));
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(&path).unwrap().expose().len(), 1 << 20);
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(matches!(read(&path), Err(FileError::TooLarge)));
    }
}
