//! Keys, certificates and tokens made once, and what a test asks of files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{base, python};

/// The folder of small programs that stand for other parts of a system.
pub fn parts() -> PathBuf {
    crate::repository().join("tests/parts")
}

/// The folder with what `tests/parts/certificates.py` made: `ca.pem`, `server.pem`, `server.key`, `client.pem`,
/// `client.key`, `other-ca.pem`, `jwt.pub`, and tokens named `*.jwt`.
pub fn certificates() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = base().0.join("certificates");
        fs::create_dir(&folder).unwrap();
        let made = Command::new(python()).arg(parts().join("certificates.py")).arg(&folder).status().unwrap();
        assert!(made.success(), "certificates.py failed");
        folder
    })
}

/// The permission bits of a path, links not followed.
#[track_caller]
pub fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// Uid and gid of a path, links not followed.
#[track_caller]
pub fn owner_of(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.uid(), metadata.gid())
}

/// The names of generation directories in a volume.
pub fn generations(volume: &Path) -> BTreeSet<String> {
    fs::read_dir(volume)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".."))
        .collect()
}
