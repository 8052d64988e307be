//! KV version 2 paths without `data/`: Go templates may omit it, as for Vault Agent; references may not.

use std::collections::BTreeSet;

use crate::domain::{Source, VaultOperation, VaultSource, encoded_path, printable};

use super::answer::Mount;

/// Which paths are read exactly as written, and which mounts are known to be KV version 2.
#[derive(Clone, Default)]
pub(super) struct Kv2 {
    /// Paths of references, which are read as written; `None`: all paths are.
    as_written: Option<BTreeSet<String>>,
    /// The known KV version 2 mounts, each with its trailing slash.
    mounts: BTreeSet<String>,
}

impl Kv2 {
    /// From now on inserts `data/` into every path but these.
    pub(super) fn complete_all_but(&mut self, as_written: BTreeSet<String>) {
        self.as_written = Some(as_written);
    }

    /// Records that this mount is KV version 2.
    pub(super) fn add_mount(&mut self, mount: &str) {
        self.mounts.insert(mount.to_owned());
    }

    /// Forgets the mounts above a path that was not found: another one may have been mounted there.
    pub(super) fn forget(&mut self, source: &VaultSource) {
        self.mounts.retain(|mount| !source.path.starts_with(mount));
    }

    /// The source with `data/` inserted, if its path may lack it and its mount is known.
    pub(super) fn completed(&self, source: &VaultSource) -> Option<VaultSource> {
        let is_as_written = self.as_written.as_ref().is_none_or(|paths| paths.contains(&source.path));
        if is_as_written {
            return None;
        }
        self.mounts.iter().rev().find_map(|mount| with_data(source, mount))
    }
}

/// A hint at the path that was probably meant by one that has no secret; `mount` is what it lies in, if that is known.
pub(super) fn hint(source: &VaultSource, mount: Option<&Mount>) -> Option<String> {
    let path = encoded_path(&source.path);
    let Some(mount) = mount else {
        let is_mount = !source.path.contains('/');
        return is_mount.then(|| format!("a secret lies below its mount: vault:{path}/PATH"));
    };
    let rest = source.path.strip_prefix(mount.path.trim_end_matches('/'))?.trim_start_matches('/');
    let name = encoded_path(mount.path.trim_end_matches('/'));
    match (rest, mount.is_versioned()) {
        ("", true) => Some(format!("that is a KV version 2 mount alone; a secret of it is vault:{name}/data/PATH")),
        ("", false) => {
            Some(format!("that is a mount alone ({}); a secret of it is vault:{name}/PATH", printable(&mount.kind)))
        }
        ("data" | "metadata" | "subkeys", true) => {
            Some(format!("the secret's path is missing behind it: vault:{name}/data/PATH"))
        }
        (_, true) => {
            let meant = Source::Vault(with_data(source, &mount.path)?);
            Some(format!("`{name}` is a KV version 2 mount: did you mean {meant}?"))
        }
        (_, false) => None,
    }
}

/// The source with `data/` inserted after `mount` (which ends with a slash); `None` if the path has it already or it is
/// a write.
pub(super) fn with_data(source: &VaultSource, mount: &str) -> Option<VaultSource> {
    let rest = source.path.strip_prefix(mount)?;
    let is_whole = ["data/", "metadata/", "subkeys/"].iter().any(|part| rest.starts_with(part));
    let is_read = matches!(source.operation, VaultOperation::Read { .. });
    (is_read && !is_whole)
        .then(|| VaultSource { path: format!("{mount}data/{rest}"), operation: source.operation.clone() })
}
