//! Repairs the path to a volume of this program, where its owner changed modes or replaced a directory.

use std::path::Path;

use crate::sys::fs::{self, Folder, Kind, Meta};
use crate::sys::mount;
use crate::sys::path::{self, GROUP_WRITABLE, STICKY, WORLD_WRITABLE};

use super::claim::{HOME, has_own_entries, log_removed};
use super::remove::Owners;
use super::{VolumeError, VolumePlan};

/// Called after a failed walk: restores the modes of our directories that their owner changed, and removes what has the
/// name of one of them. Returns whether anything changed.
pub(super) fn repair(plan: &VolumePlan) -> Result<bool, VolumeError> {
    match plan.path.strip_prefix(HOME) {
        Ok(below) => repair_below(Path::new(HOME), below, plan),
        Err(_) => open_own(plan),
    }
}

/// Repairs the directories below [`HOME`], down to the volume.
fn repair_below(home: &Path, below: &Path, plan: &VolumePlan) -> Result<bool, VolumeError> {
    let owners = Owners::of(plan.owner);
    let found = path::walk(home, plan.owner.trust())?;
    if !found.missing.is_empty()
        || !mount::is_memory(&found.at).map_err(VolumeError::system("find the file system of", home))?
    {
        return Ok(false);
    }
    let (mut at, mut here, mut is_changed) = (found.at, home.to_owned(), false);
    for name in below {
        here.push(name);
        let Some(found) = at.find(name).map_err(VolumeError::system("look at", &here))? else { break };
        if !owners.has(found.uid) {
            break;
        }
        if found.kind != Kind::Folder {
            at.unlink(name).map_err(VolumeError::system("remove", &here))?;
            log_removed(&here);
            return Ok(true);
        }
        let folder = at.pass(name).map_err(VolumeError::system("open", &here))?;
        if !mount::is_same(&at, &folder).map_err(VolumeError::system("look at", &here))? {
            break;
        }
        // What was opened counts: its owner may have put something else there meanwhile.
        let found = fs::meta(&folder).map_err(VolumeError::system("look at", &here))?;
        if !owners.has(found.uid) {
            break;
        }
        let mode = if here == plan.path { 0o700 } else { 0o755 };
        is_changed |= reopen(&folder, &here, found, mode)?;
        at = folder;
    }
    Ok(is_changed)
}

/// Gives a folder `mode` if its owner may not use it or others may replace its content; returns whether it did.
fn reopen(folder: &Folder, path: &Path, found: Meta, mode: u32) -> Result<bool, VolumeError> {
    const OWNER: u32 = 0o700;
    let may_others = found.mode & (WORLD_WRITABLE | GROUP_WRITABLE) != 0 && found.mode & STICKY == 0;
    if found.mode & OWNER == OWNER && !may_others {
        return Ok(false);
    }
    fs::set_mode_of_passed(folder, mode).map_err(VolumeError::system("set the mode of", path))?;
    Ok(true)
}

/// Gives the owner of a directory elsewhere its permissions back, if that is us; undone unless the directory turns out
/// to be ours.
fn open_own(plan: &VolumePlan) -> Result<bool, VolumeError> {
    let found = path::walk(&plan.path, plan.owner.trust())?;
    let error = |doing| VolumeError::system(doing, &plan.path);
    let meta = fs::meta(&found.at).map_err(error("look at"))?;
    if !found.missing.is_empty() || meta.uid != fs::effective_ids().0 || meta.mode & 0o700 == 0o700 {
        return Ok(false);
    }
    fs::set_mode_of_passed(&found.at, meta.mode | 0o700).map_err(error("set the mode of"))?;
    let claim = found.at.open(".".as_ref()).and_then(|folder| has_own_entries(&folder, Owners::of(plan.owner)));
    if claim != Ok(true) {
        fs::set_mode_of_passed(&found.at, meta.mode).map_err(error("set the mode of"))?;
    }
    Ok(claim == Ok(true))
}
