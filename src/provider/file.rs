//! Mounted files: a provider without a login; every read returns the exact bytes.
//!
//! A file that only root may read is read once before privileges are dropped ([`Files::preload`]), for the first
//! delivery. If it changes and the app's user cannot read it, the read fails and the delivered value stays.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Fetched, Lease, LeaseId, Payload, SecretBytes, Source};
use crate::identity::file::{self, FileError};
use crate::identity::protected::ProtectedFiles;

use super::{Class, Failure, Fetch};

/// Mounted files, and the content that was preloaded.
#[derive(Debug, Default)]
pub struct Files {
    protected: ProtectedFiles,
    preloaded: RefCell<BTreeMap<PathBuf, SecretBytes>>,
}

impl Files {
    /// A provider of all files that are not protected.
    pub fn new(protected: ProtectedFiles) -> Self {
        Self { protected, preloaded: RefCell::default() }
    }

    /// Reads every file with the current privileges, for one later read. Failures are reported by that read.
    pub fn preload<'a>(&self, sources: impl Iterator<Item = &'a Source>) {
        let read = |source: &'a Source| match source {
            Source::File(path) => Some((path.clone(), file::read_unprotected(path, &self.protected).ok()?)),
            Source::Vault(_) | Source::Aws(_) => None,
        };
        self.preloaded.borrow_mut().extend(sources.filter_map(read));
    }

    /// Reads a file; if permission is denied, returns its preloaded content, once.
    fn read(&self, path: &Path) -> Result<SecretBytes, Failure> {
        let preloaded = self.preloaded.borrow_mut().remove(path);
        match (read(path, &self.protected), preloaded) {
            (Err(failure), Some(bytes)) if failure.class == Class::Denied => Ok(bytes),
            (answer, _) => answer,
        }
    }
}

impl Fetch for Files {
    /// Reads every file; a source of another kind is an error.
    async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        let read = |source: &&Source| match source {
            Source::File(path) => {
                let payload = Payload::Whole(self.read(path)?);
                Failure::of_too_many_secrets().map_or(Ok(()), Err)?;
                Ok(Fetched { payload, version: None, lease: None, ends: None, metadata: None })
            }
            Source::Vault(_) | Source::Aws(_) => Err(Failure::new(Class::Malformed, "this is not a file: reference")),
        };
        sources.iter().map(read).collect()
    }

    async fn renew(&self, _: &Lease) -> Result<Lease, Failure> {
        Err(Failure::new(Class::Malformed, "a file has no lease to renew"))
    }

    async fn revoke(&self, _: &LeaseId) -> Result<(), Failure> {
        Err(Failure::new(Class::Malformed, "a file has no lease to revoke"))
    }
}

/// Reads a file unless it is protected.
fn read(path: &Path, protected: &ProtectedFiles) -> Result<SecretBytes, Failure> {
    file::read_unprotected(path, protected).map_err(|error| match error {
        FileError::System(error) => failure(error),
        FileError::Policy => Failure::new(Class::Denied, error.to_string()),
        other => Failure::new(Class::Malformed, other.to_string()),
    })
}

/// The failure for an I/O error.
fn failure(error: io::Error) -> Failure {
    let class = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Class::NotFound,
        io::ErrorKind::PermissionDenied => Class::Denied,
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => Class::Malformed,
        _ if error.raw_os_error() == Some(libc::ELOOP) => Class::Malformed,
        _ => Class::Transient,
    };
    let why = match class {
        Class::NotFound => "no such file".to_owned(),
        Class::Denied => {
            let uid = nix::unistd::geteuid();
            format!(
                "permission denied for uid {uid}: what only root may read is read once, at the start; let that user read it"
            )
        }
        _ => error.kind().to_string(),
    };
    Failure::new(class, why)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn class(path: impl Into<PathBuf>) -> Class {
        let path: PathBuf = path.into();
        read(&path, &ProtectedFiles::default()).unwrap_err().class
    }

    #[test]
    fn the_bytes_are_exact_with_the_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for bytes in [&b"value\n"[..], b"", b"\0\xff"] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path, &ProtectedFiles::default()).unwrap().expose(), bytes);
        }
    }

    #[test]
    fn what_is_not_there_or_not_a_file_has_its_class() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(class(folder.path().join("missing")), Class::NotFound);
        assert_eq!(class(folder.path()), Class::Malformed);
        assert_eq!(class("/dev/zero"), Class::Malformed);
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert_eq!(class(folder.path().join("file/below")), Class::NotFound);
    }

    #[test]
    fn what_is_held_serves_one_read_and_only_where_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "old").unwrap();
        let (files, source) = (Files::default(), Source::File(path.clone()));
        files.preload([&source].into_iter());
        std::fs::write(&path, "new").unwrap();
        assert_eq!(files.read(&path).unwrap().expose(), b"new", "what can be read is read");
        assert!(files.preloaded.borrow().is_empty(), "and nothing is held for longer");
    }

    #[test]
    fn a_file_that_is_not_ours_to_read_is_denied() {
        let denied = failure(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(denied.class, Class::Denied);
    }
}
