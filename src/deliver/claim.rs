//! Whose a volume is: by what a writer of ours left in it, or by where it is.
//!
//! In exec and supervise modes the app owns the volume, and may put anything in the place of our names or take the rights to
//! read it away. In a volume that is ours this is put right by the next start; what has another owner is never touched, and
//! neither is a volume that is not known to be ours.

use std::path::Path;

use tracing::warn;

use crate::sys::fs::{self, Folder, Kind, Meta};
use crate::sys::mount;

use super::VolumeError;
use super::layout::{self, DATA};
use super::remove::Owners;

/// What is below this directory is ours by its name.
pub(super) const HOME: &str = "/run/secret-exec";

/// Whether what stands in the place of our names may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A writer of ours used it before, or nobody else has a reason to be there.
    Own,
    /// It may be somebody's own directory.
    Unknown,
}

impl Claim {
    pub(super) fn of(volume: &Folder, path: &Path, owners: Owners) -> Result<Self, VolumeError> {
        if is_own_path(path) {
            return Ok(Self::Own);
        }
        has_sign(volume, owners)
            .map(|has| if has { Self::Own } else { Self::Unknown })
            .map_err(VolumeError::system("list", path))
    }
}

/// Whether it is below our own directory.
pub(super) fn is_own_path(path: &Path) -> bool {
    path.strip_prefix(HOME).is_ok_and(|below| below.components().next().is_some())
}

/// A generation, or a `..data` that leads to one, whatever else has been done to it.
pub(super) fn has_sign(volume: &Folder, owners: Owners) -> fs::Result<bool> {
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

/// The kubelet's volumes have the same names: root's, open to everybody.
fn is_generation_of(found: Meta, owners: Owners) -> bool {
    owners.has(found.uid) && (found.uid != 0 || found.mode & 0o007 == 0)
}

fn leads_to_one(volume: &Folder, owners: Owners) -> fs::Result<bool> {
    let target = volume.target(DATA.as_ref())?;
    let leads = layout::is_generation(&target);
    Ok(leads && volume.find(&target)?.is_none_or(|found| found.kind != Kind::Folder || is_generation_of(found, owners)))
}

/// Whether mode and group of a volume are its owner's doing, and ours to set again. Not where the root of a mount is root's: that
/// is how emptyDirs and docker's tmpfs come.
pub(super) fn may_reset(volume: &Folder, claim: Claim, owners: Owners) -> fs::Result<bool> {
    let uid = fs::meta(volume)?.uid;
    Ok(claim == Claim::Own && uid == owners.files() && (uid != 0 || !mount::is_root(volume)?))
}

/// Says what was removed because it was in our way.
pub(super) fn say_removed(path: &Path) {
    warn!("removed {}: it stood in the place of a name of ours, and we did not write it", path.display());
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
