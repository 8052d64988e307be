//! The volume's directory: found by a walk that trusts no link of others, proven to be on memory or mounted, made ours.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use crate::sys::fs::{self, Errno, Folder, Kind, Meta};
use crate::sys::mount::{self, Tmpfs};

use super::{Ownership, VolumeError, VolumePlan, layout};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;

const WORLD_WRITABLE: u32 = 0o002;
const GROUP_WRITABLE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// How far a path exists.
pub(super) struct Walk {
    /// The deepest folder that exists; only to pass through.
    pub(super) at: Folder,
    /// Its real path.
    pub(super) real: PathBuf,
    /// What is missing below it.
    pub(super) missing: VecDeque<OsString>,
}

/// Walks `path` as far as it exists.
///
/// A link is followed only outside of memory mounts and only when root or we made it (`/var/run` is one), so nobody else
/// decides where the volume is. Nor does a folder lead there in which somebody else may rename what it holds: on memory
/// everybody, anywhere its own user or group, unless that is root, we or the files' owner.
pub(super) fn walk(path: &Path, owner: Ownership) -> Result<Walk, VolumeError> {
    let mut missing = components(path)?;
    let root = Folder::root().map_err(VolumeError::system("open", Path::new("/")))?;
    let mut walk = Walk { at: root, real: PathBuf::from("/"), missing: VecDeque::new() };
    let mut links = 0;
    while let Some(name) = missing.pop_front() {
        let here = walk.real.join(&name);
        let Some(found) = walk.at.find(&name).map_err(VolumeError::system("look at", &here))? else {
            // Only the target of a link can still hold a "..", which has no meaning below what does not exist.
            if missing.iter().any(|name| name == "..") {
                return Err(VolumeError::System { doing: "find", path: here, why: Errno::ENOENT });
            }
            missing.push_front(name);
            break;
        };
        match found.kind {
            Kind::Folder => {
                refuse_replaceable(&walk.at, &walk.real, owner)?;
                walk.at = walk.at.pass(&name).map_err(VolumeError::system("open", &here))?;
                if name == ".." {
                    walk.real.pop();
                } else {
                    walk.real = here;
                }
            }
            Kind::Link => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(VolumeError::System { doing: "open", path: here, why: Errno::ELOOP });
                }
                refuse_replaceable(&walk.at, &walk.real, owner)?;
                let target = follow(&walk, &name, found)?;
                if target.is_absolute() {
                    walk.at = Folder::root().map_err(VolumeError::system("open", Path::new("/")))?;
                    walk.real = PathBuf::from("/");
                }
                for part in target.components().rev() {
                    if let Component::Normal(_) | Component::ParentDir = part {
                        missing.push_front(part.as_os_str().to_owned());
                    }
                }
            }
            Kind::File | Kind::Other => return Err(VolumeError::NotAFolder(here)),
        }
    }
    if !missing.is_empty() {
        refuse_replaceable(&walk.at, &walk.real, owner)?;
    }
    walk.missing = missing;
    Ok(walk)
}

fn components(path: &Path) -> Result<VecDeque<OsString>, VolumeError> {
    let mut names = VecDeque::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(VolumeError::Path(path.to_owned())),
        }
    }
    if !path.is_absolute() || names.is_empty() { Err(VolumeError::Path(path.to_owned())) } else { Ok(names) }
}

fn follow(walk: &Walk, name: &OsStr, link: Meta) -> Result<PathBuf, VolumeError> {
    let here = walk.real.join(name);
    if is_memory(&walk.at, &walk.real)? {
        return Err(VolumeError::Link { link: here, why: "on memory, where no link is followed" });
    }
    if link.uid != 0 && link.uid != fs::ourselves().0 {
        return Err(VolumeError::Link { link: here, why: "of another user, who may point it elsewhere" });
    }
    walk.at.target(name).map(PathBuf::from).map_err(VolumeError::system("read the link", &here))
}

/// Refuses to pass through a folder in which somebody else may put something else in the volume's place.
///
/// The sticky bit keeps a group and everybody from it, but not the folder's own user. On a disk everybody may write in an
/// emptyDir (0777, with fsGroup 2777): a volume mounted below it has to work.
fn refuse_replaceable(folder: &Folder, path: &Path, owner: Ownership) -> Result<(), VolumeError> {
    let Meta { uid, gid, mode, .. } = meta(folder, path)?;
    if mode & (WORLD_WRITABLE | STICKY) == WORLD_WRITABLE && is_memory(folder, path)? {
        return Err(VolumeError::Replaceable { path: path.to_owned(), mode });
    }
    let is_trusted_user = uid == 0 || uid == fs::ourselves().0 || owner.uid == Some(uid);
    let may_group = mode & (GROUP_WRITABLE | STICKY) == GROUP_WRITABLE;
    if !is_trusted_user || (may_group && !is_trusted_group(gid, owner).map_err(VolumeError::system("look at", path))?) {
        return Err(VolumeError::Way { path: path.to_owned(), uid, gid, mode });
    }
    Ok(())
}

/// Root's, the files', ours: an fsGroup is among the supplementary groups of every process of its pod.
fn is_trusted_group(gid: u32, owner: Ownership) -> fs::Result<bool> {
    Ok(gid == 0 || gid == fs::ourselves().1 || owner.gid == Some(gid) || fs::our_other_groups()?.contains(&gid))
}

fn meta(folder: &Folder, path: &Path) -> Result<Meta, VolumeError> {
    fs::meta(folder).map_err(VolumeError::system("look at", path))
}

pub(super) fn is_memory(folder: &Folder, path: &Path) -> Result<bool, VolumeError> {
    mount::is_memory(folder).map_err(VolumeError::system("find the file system of", path))
}

/// The volume's directory: on memory, ours, with its owner and mode.
pub(super) fn prepare(plan: &VolumePlan) -> Result<Folder, VolumeError> {
    let found = walk(&plan.path, plan.owner)?;
    let folder = if is_memory(&found.at, &found.real)? {
        make(&found, plan.owner)?.folder
    } else {
        mount_over(plan, &found)?;
        let mounted = walk(&plan.path, plan.owner)?;
        make(&mounted, plan.owner)?.folder
    };
    // The proof counts on the very folder that everything is written into.
    if !is_memory(&folder, &plan.path)? {
        return Err(VolumeError::NotMemory { path: plan.path.clone(), why: Errno::ENOTSUP });
    }
    accept(&folder, plan)?;
    refuse_occupied(&folder, plan)?;
    give(&folder, plan.owner, plan.owner.volume_mode(), &plan.path)?;
    Ok(folder)
}

/// The folder at the end of a walk, and what had to be made for it: the parents and the names, outermost first.
struct Made {
    folder: Folder,
    new: Vec<(Folder, OsString)>,
}

/// Makes what is missing: folders on the way 0755, so that the reader gets through, the last one 0700.
fn make(walk: &Walk, owner: Ownership) -> Result<Made, VolumeError> {
    // A parent that is only passed through need not be readable; the volume itself is listed and owned.
    let here = if walk.missing.is_empty() { walk.at.open(".".as_ref()) } else { walk.at.pass(".".as_ref()) };
    let mut folder = here.map_err(VolumeError::system("open", &walk.real))?;
    let mut path = walk.real.clone();
    let mut new = Vec::new();
    for (place, name) in walk.missing.iter().enumerate() {
        path.push(name);
        let made = match folder.make(name) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false, // somebody was quicker; it is checked like any that was there
            Err(why) => {
                undo(&new);
                return Err(VolumeError::System { doing: "make", path, why });
            }
        };
        let child = folder.open(name).map_err(VolumeError::system("open", &path))?;
        if place + 1 < walk.missing.len() {
            if made {
                fs::set_mode(&child, 0o755).map_err(VolumeError::system("set the mode of", &path))?;
            }
            refuse_replaceable(&child, &path, owner)?;
        }
        let parent = std::mem::replace(&mut folder, child);
        if made {
            new.push((parent, name.clone()));
        }
    }
    Ok(Made { folder, new })
}

/// Takes back what was made for nothing. What cannot be removed is an empty directory and harms nobody.
fn undo(new: &[(Folder, OsString)]) {
    for (parent, name) in new.iter().rev() {
        let _ = parent.remove_folder(name);
    }
}

/// Mounts a tmpfs over a new or an empty directory of nobody else; refused where we may not.
fn mount_over(plan: &VolumePlan, walk: &Walk) -> Result<(), VolumeError> {
    let refused = |why| VolumeError::NotMemory { path: plan.path.clone(), why };
    if walk.missing.is_empty() {
        let folder = walk.at.open(".".as_ref()).map_err(refused)?;
        let is_used = !folder.names().map_err(VolumeError::system("list", &walk.real))?.is_empty();
        if is_used || meta(&folder, &walk.real)?.mode & WORLD_WRITABLE != 0 {
            return Err(VolumeError::Covering(plan.path.clone()));
        }
    }
    let made = make(walk, plan.owner).map_err(|error| match error {
        VolumeError::System { why, .. } => refused(why),
        other => other,
    })?;
    let Ownership { uid, gid, .. } = plan.owner;
    Tmpfs { size: plan.size, uid, gid }.mount(&made.folder, &plan.path).map_err(|why| {
        undo(&made.new);
        refused(why)
    })
}

/// Whether nobody but us, the files' owner and root could change what is in the directory.
fn accept(folder: &Folder, plan: &VolumePlan) -> Result<(), VolumeError> {
    let Meta { uid, gid, mode, .. } = meta(folder, &plan.path)?;
    if mode & WORLD_WRITABLE != 0 {
        return Err(VolumeError::Shared { path: plan.path.clone(), mode });
    }
    let (our_uid, our_gid) = fs::ourselves();
    let is_ours = uid == 0 || uid == our_uid || plan.owner.uid == Some(uid);
    let is_our_group = gid == our_gid || plan.owner.gid == Some(gid);
    if !is_ours || (mode & GROUP_WRITABLE != 0 && !is_our_group) {
        return Err(VolumeError::Foreign { path: plan.path.clone(), uid, gid, mode });
    }
    Ok(())
}

/// Refuses to give another owner or mode to a directory that somebody uses for something else, such as `/run`.
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

/// Sets mode and owner of what is open; what is so already needs no right. Mode first: after the owner it is no longer ours
/// to set without CAP_FOWNER.
pub(super) fn give(file: &impl std::os::fd::AsFd, owner: Ownership, mode: u32, path: &Path) -> Result<(), VolumeError> {
    let refused = |why| VolumeError::Owner { path: path.to_owned(), owner, mode, why };
    let now = fs::meta(file).map_err(refused)?;
    if now.mode != mode {
        fs::set_mode(file, mode).map_err(refused)?;
    }
    let uid = owner.uid.filter(|uid| *uid != now.uid);
    let gid = owner.gid.filter(|gid| *gid != now.gid);
    if uid.is_some() || gid.is_some() {
        fs::set_owner(file, uid, gid).map_err(refused)?;
    }
    Ok(())
}
