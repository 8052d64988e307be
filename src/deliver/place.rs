//! The volume's directory: found by a walk that trusts no other user, verified or mounted to be on memory, and given
//! its owner and mode.

use std::path::Path;

use crate::sys::fs::{self, Errno, Folder, Meta};
use crate::sys::mount::{self, Tmpfs};
use crate::sys::path::{self, GROUP_WRITABLE, PathError, WORLD_WRITABLE, Walk};

use super::claim::{self, Claim};
use super::remove::Owners;
use super::{Ownership, VolumeError, VolumePlan, layout, way};

/// Walks `path` as far as it exists, through directories that only root, we or the files' owner can change.
pub(super) fn walk(path: &Path, owner: Ownership) -> Result<Walk, VolumeError> {
    Ok(path::walk(path, owner.trust())?)
}

/// Reads the metadata of an open folder.
fn meta(folder: &Folder, path: &Path) -> Result<Meta, VolumeError> {
    fs::meta(folder).map_err(VolumeError::system("open", path))
}

/// Whether the folder is on tmpfs or ramfs.
pub(super) fn is_memory(folder: &Folder, path: &Path) -> Result<bool, VolumeError> {
    mount::is_memory(folder).map_err(VolumeError::system("find the file system of", path))
}

impl From<PathError> for VolumeError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Path(path) => Self::Path(path),
            PathError::Link { link, why } => Self::Link { link, why },
            PathError::NotAFolder(path) => Self::NotAFolder(path),
            PathError::Replaceable { path, mode } => Self::Replaceable { path, mode },
            PathError::Way { path, uid, gid, mode } => Self::Way { path, uid, gid, mode },
            PathError::System { doing, path, why } => Self::System { doing, path, why },
        }
    }
}

/// Returns the volume's directory, on memory, and whether it is known to belong to this program (see `claim`): its owner
/// and mode may be set. Mounts a tmpfs and creates directories where needed.
pub(super) fn prepare(plan: &VolumePlan) -> Result<(Folder, Claim), VolumeError> {
    let folder = find(plan).or_else(|error| match way::repair(plan) {
        Ok(true) => find(plan),
        Ok(false) | Err(_) => Err(error),
    })?;
    // Verified on the very descriptor through which everything is written.
    if !is_memory(&folder, &plan.path)? {
        return Err(VolumeError::NotMemory { path: plan.path.clone(), why: Errno::ENOTSUP });
    }
    let owners = Owners::of(plan.owner);
    let claim = Claim::of(&folder, &plan.path, owners)?;
    if !claim::may_reset(&folder, claim, owners).map_err(VolumeError::system("open", &plan.path))? {
        refuse_foreign(&folder, plan)?;
        refuse_occupied(&folder, plan)?;
    }
    Ok((folder, claim))
}

/// Finds or creates the directory, mounting a tmpfs where it is not on memory.
fn find(plan: &VolumePlan) -> Result<Folder, VolumeError> {
    let mut found = walk(&plan.path, plan.owner)?;
    if !is_memory(&found.at, &found.real)? {
        mount_over(plan, &found)?;
        found = walk(&plan.path, plan.owner)?;
    }
    Ok(found.make(plan.owner.trust())?.folder)
}

/// Mounts a tmpfs over a new or empty directory; an error where that would hide something, or where we may not.
fn mount_over(plan: &VolumePlan, walk: &Walk) -> Result<(), VolumeError> {
    let refused = |why| VolumeError::NotMemory { path: plan.path.clone(), why };
    if walk.missing.is_empty() {
        let folder = walk.at.open(".".as_ref()).map_err(refused)?;
        let is_used = !folder.names().map_err(VolumeError::system("list", &walk.real))?.is_empty();
        if is_used || meta(&folder, &walk.real)?.mode & WORLD_WRITABLE != 0 {
            return Err(VolumeError::Covering(plan.path.clone()));
        }
    }
    let made = walk.make(plan.owner.trust()).map_err(|error| match error {
        PathError::System { why, .. } => refused(why),
        other => other.into(),
    })?;
    let Ownership { uid, gid, .. } = plan.owner;
    Tmpfs { size: plan.size, uid, gid }.mount(&made.folder, &plan.path).map_err(|why| {
        made.undo();
        refused(why)
    })
}

/// Returns an error unless only we, the files' owner and root can change the content of the directory.
fn refuse_foreign(folder: &Folder, plan: &VolumePlan) -> Result<(), VolumeError> {
    let Meta { uid, gid, mode, .. } = meta(folder, &plan.path)?;
    if mode & WORLD_WRITABLE != 0 {
        return Err(VolumeError::Shared { path: plan.path.clone(), mode });
    }
    let (our_uid, our_gid) = fs::effective_ids();
    let is_trusted = uid == 0 || uid == our_uid || plan.owner.uid == Some(uid);
    let is_our_group = gid == our_gid || plan.owner.gid == Some(gid);
    if !is_trusted || (mode & GROUP_WRITABLE != 0 && !is_our_group) {
        return Err(VolumeError::Foreign { path: plan.path.clone(), uid, gid, mode });
    }
    Ok(())
}

/// Returns an error if owner or mode would have to change and the directory contains something else, such as in `/run`.
fn refuse_occupied(folder: &Folder, plan: &VolumePlan) -> Result<(), VolumeError> {
    let Meta { uid, gid, mode, .. } = meta(folder, &plan.path)?;
    let Ownership { uid: new_uid, gid: new_gid, .. } = plan.owner;
    let stays = mode == plan.owner.volume_mode()
        && new_uid.is_none_or(|new_uid| new_uid == uid)
        && new_gid.is_none_or(|new_gid| new_gid == gid);
    if stays {
        return Ok(());
    }
    match layout::foreign_name(folder).map_err(VolumeError::system("list", &plan.path))? {
        Some(name) => Err(VolumeError::Occupied { path: plan.path.clone(), name }),
        None => Ok(()),
    }
}

/// Sets mode and owner of an open file or folder, where they differ (so that no privilege is needed otherwise). The
/// mode comes first: after the change of owner, only CAP_FOWNER could set it.
pub(super) fn set_owner_and_mode(
    file: &impl std::os::fd::AsFd,
    owner: Ownership,
    mode: u32,
    path: &Path,
) -> Result<(), VolumeError> {
    let refused = |why| VolumeError::Owner { path: path.to_owned(), owner, mode, why };
    let mut now = fs::meta(file).map_err(refused)?;
    if now.mode != mode {
        match fs::set_mode(file, mode) {
            // Without CAP_FOWNER root can set the mode of its own files only: take ownership for a moment, which
            // CAP_CHOWN allows.
            Err(Errno::EPERM) if owner.uid == Some(now.uid) && fs::effective_ids().0 == 0 => {
                fs::set_owner(file, Some(0), None).and_then(|()| fs::set_mode(file, mode)).map_err(refused)?;
                now.uid = 0;
            }
            set => set.map_err(refused)?,
        }
    }
    let uid = owner.uid.filter(|uid| *uid != now.uid);
    let gid = owner.gid.filter(|gid| *gid != now.gid);
    if uid.is_some() || gid.is_some() {
        fs::set_owner(file, uid, gid).map_err(refused)?;
    }
    Ok(())
}
