//! KV version 2 paths without `data/`: a Go template may leave it out, as for Vault Agent; a reference may not.

use std::collections::BTreeSet;

use crate::domain::{VaultOperation, VaultSource};

/// Which paths are read as they stand, and what is known of the mounts.
#[derive(Clone, Default)]
pub(super) struct Kv2 {
    /// Paths that references name; `None`: every path.
    as_written: Option<BTreeSet<String>>,
    /// KV version 2 mounts that were found, each with its slash.
    mounts: BTreeSet<String>,
}

impl Kv2 {
    /// From now on `data/` is put into every path but these.
    pub(super) fn complete_all_but(&mut self, as_written: BTreeSet<String>) {
        self.as_written = Some(as_written);
    }

    /// This mount is a KV version 2 one.
    pub(super) fn learn(&mut self, mount: &str) {
        self.mounts.insert(mount.to_owned());
    }

    /// What was not found below a mount that is known may be below another one that is there by now.
    pub(super) fn forget(&mut self, source: &VaultSource) {
        self.mounts.retain(|mount| !source.path.starts_with(mount));
    }

    /// The source with `data/`, where a template left it out below a mount that is known.
    pub(super) fn completed(&self, source: &VaultSource) -> Option<VaultSource> {
        let is_as_written = self.as_written.as_ref().is_none_or(|paths| paths.contains(&source.path));
        if is_as_written {
            return None;
        }
        self.mounts.iter().rev().find_map(|mount| with_data(source, mount))
    }
}

/// The read with `data/` behind the mount (which has its slash), if it lacks it.
pub(super) fn with_data(source: &VaultSource, mount: &str) -> Option<VaultSource> {
    let rest = source.path.strip_prefix(mount)?;
    let is_whole = ["data/", "metadata/", "subkeys/"].iter().any(|part| rest.starts_with(part));
    let is_read = matches!(source.operation, VaultOperation::Read { .. });
    (is_read && !is_whole)
        .then(|| VaultSource { path: format!("{mount}data/{rest}"), operation: source.operation.clone() })
}
