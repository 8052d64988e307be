//! Files somebody else mounted: a provider without a login, whose every read is exact bytes.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::domain::{Fetched, Lease, LeaseId, Payload, SecretBytes, Source};

use super::{Class, Failure, Fetch};

/// The largest file that is a secret: what the kubelet allows a whole Secret to hold.
const LIMIT: u64 = 1024 * 1024;

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
    let malformed = |why: &str| Failure::new(Class::Malformed, why);
    // A pipe without a writer would hold an ordinary open(2) for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failure)?;
    let about = file.metadata().map_err(failure)?;
    if about.is_dir() {
        return Err(malformed("it is a directory; name a file in it"));
    }
    if !about.is_file() {
        return Err(malformed("it is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len().min(LIMIT)).unwrap_or(0) + 1);
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failure)?;
    if bytes.len() as u64 > LIMIT {
        return Err(malformed("it is larger than 1 MiB"));
    }
    Ok(SecretBytes::new(bytes))
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
    fn a_pipe_without_a_writer_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(class(path), Class::Malformed);
    }

    #[test]
    fn a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        std::fs::write(&path, vec![b'x'; LIMIT as usize]).unwrap();
        assert_eq!(read(&path).unwrap().expose().len(), LIMIT as usize);
        std::fs::write(&path, vec![b'x'; LIMIT as usize + 1]).unwrap();
        assert_eq!(class(path), Class::Malformed);
    }

    #[test]
    fn a_file_that_is_not_ours_to_read_is_denied() {
        let denied = failure(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(denied.class, Class::Denied);
    }
}
