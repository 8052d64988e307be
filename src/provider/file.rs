//! Files somebody else mounted: a provider without a login, whose every read is exact bytes.

use std::io;
use std::path::Path;

use crate::domain::{Fetched, Lease, LeaseId, Payload, SecretBytes, Source};
use crate::identity::file::{self, FileError};

use super::{Class, Failure, Fetch};

/// Files already mounted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Fetch for Files {
    async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        let read = |source: &&Source| match source {
            Source::File(path) => {
                let payload = Payload::Whole(read(path)?);
                Ok(Fetched { payload, version: None, lease: None, ttl: None })
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

fn read(path: &Path) -> Result<SecretBytes, Failure> {
    file::read(path).map_err(|error| match error {
        FileError::System(error) => failure(error),
        other => Failure::new(Class::Malformed, other.to_string()),
    })
}

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
        Class::Denied => "permission denied: the file must be readable for us".to_owned(),
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
        read(&path).unwrap_err().class
    }

    #[test]
    fn the_bytes_are_exact_with_the_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for bytes in [&b"value\n"[..], b"", b"\0\xff"] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap().expose(), bytes);
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
    fn a_file_that_is_not_ours_to_read_is_denied() {
        let denied = failure(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(denied.class, Class::Denied);
    }
}
