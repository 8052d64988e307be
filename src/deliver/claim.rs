//! Decides whether a volume belongs to this program: by what an earlier run left in it, or by its path.
//!
//! In exec and supervise modes the app owns the volume: it may put anything under this program's names there, or change
//! modes. In a volume of this program the next start repairs this; files of another owner, and a volume that is not
//! known to belong to this program, are never touched.

use std::path::Path;

use tracing::warn;

use crate::sys::fs::{self, Folder, Kind, Meta};
use crate::sys::mount;

use super::VolumeError;
use super::layout::{self, DATA};
use super::remove::Owners;

/// Every directory below this one belongs to this program, because of its path.
pub(super) const HOME: &str = "/run/secret-exec";

/// Whether something else under one of our names may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The volume belongs to this program: an earlier run used it, or its path is below [`HOME`].
    Own,
    /// The directory may be in use for something else.
    Unknown,
}

impl Claim {
    /// Decides whether the directory `volume` at `path` belongs to this program. Errors: it cannot be listed.
    pub(super) fn of(volume: &Folder, path: &Path, owners: Owners) -> Result<Self, VolumeError> {
        if is_own_path(path) {
            return Ok(Self::Own);
        }
        has_own_entries(volume, owners)
            .map(|has| if has { Self::Own } else { Self::Unknown })
            .map_err(VolumeError::system("list", path))
    }
}

/// Whether `path` is below [`HOME`].
pub(super) fn is_own_path(path: &Path) -> bool {
    path.strip_prefix(HOME).is_ok_and(|below| below.components().next().is_some())
}

/// Whether the directory contains something that only this program makes: a generation, or a `..data` link to one, with
/// one of `owners` as its owner.
pub(super) fn has_own_entries(volume: &Folder, owners: Owners) -> fs::Result<bool> {
    for name in volume.names()? {
        let Some(found) = volume.find(&name)? else { continue };
        let is_sign = match found.kind {
            Kind::Folder => layout::is_generation(&name) && is_generation_of(found, owners),
            Kind::Link => name == DATA && owners.has(found.uid) && leads_to_one(volume, owners)?,
            Kind::File | Kind::Other => false,
        };
        if is_sign {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a generation is one of this program. The kubelet's generations have the same names, but belong to root and
/// are readable by everyone.
fn is_generation_of(found: Meta, owners: Owners) -> bool {
    owners.has(found.uid) && (found.uid != 0 || found.mode & 0o007 == 0)
}

/// Whether `..data` points to a generation of this program, or to a missing one.
fn leads_to_one(volume: &Folder, owners: Owners) -> fs::Result<bool> {
    let target = volume.target(DATA.as_ref())?;
    let leads = layout::is_generation(&target);
    Ok(leads && volume.find(&target)?.is_none_or(|found| found.kind != Kind::Folder || is_generation_of(found, owners)))
}

/// Whether mode and group of the volume were changed by its owner and may be set again by us. Not where the root of a
/// mount belongs to root: that is how emptyDir volumes and docker's tmpfs are created.
pub(super) fn may_reset(volume: &Folder, claim: Claim, owners: Owners) -> fs::Result<bool> {
    let uid = fs::meta(volume)?.uid;
    Ok(claim == Claim::Own && uid == owners.files() && (uid != 0 || !mount::is_root(volume)?))
}

/// Logs that something was removed because it had one of our names.
pub(super) fn log_removed(path: &Path) {
    warn!("removed {}: it was in the place of a file that secret-exec writes, and is not one", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_our_own_directory_is_ours_by_its_name() {
        for (path, expected) in [
            ("/run/secret-exec/files", true),
            ("/run/secret-exec/a/b", true),
            ("/run/secret-exec", false),
            ("/run/secret-exec-state", false),
            ("/run", false),
            ("/dev/shm/run/secret-exec/files", false),
        ] {
            assert_eq!(is_own_path(Path::new(path)), expected, "{path}");
        }
    }
}
