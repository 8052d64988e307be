//! Folders of links beside the volume: each folder of files can then be mounted as a directory of its own, and all
//! files still change at once, because every link leads through the volume's `..data`.
//!
//! ```text
//! /run/secret-exec/links/0/db.env -> /run/secret-exec/files/0/db.env
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::domain::FileName;
use crate::sys::fs::{self, Errno, Folder, Kind};

use super::claim::{self, log_removed};
use super::place::walk;
use super::remove::{Owners, open_to_empty, remove};
use super::{VolumeError, VolumePlan, way};

/// Everyone in a container may follow the links; the file's mode decides who may read. Only we may write.
const MODE: u32 = 0o755;

/// Creates `directory` with one folder for each folder of `files`, and in it a link for each name of that folder.
/// Updates what an earlier start made.
pub fn link<'a>(
    directory: &Path,
    plan: &VolumePlan,
    files: impl Iterator<Item = &'a FileName>,
) -> Result<(), VolumeError> {
    let mut folders: BTreeMap<&OsStr, BTreeSet<&OsStr>> = BTreeMap::new();
    for file in files {
        let mut parts = file.components().map(OsStr::new);
        if let (Some(folder), Some(name)) = (parts.next(), parts.next()) {
            folders.entry(folder).or_default().insert(name);
        }
    }
    let here = VolumePlan { path: directory.to_owned(), ..plan.clone() };
    let find = || Ok(walk(directory, plan.owner)?.make(plan.owner.trust())?.folder);
    let made = find().or_else(|error: VolumeError| match way::repair(&here) {
        Ok(true) => find(),
        Ok(false) | Err(_) => Err(error),
    })?;
    fs::set_mode(&made, MODE).map_err(VolumeError::system("set the mode of", directory))?;
    let owners = Owners::of(plan.owner);
    for (folder, names) in folders {
        let path = directory.join(folder);
        let found = made.find(folder).map_err(VolumeError::system("look at", &path))?;
        if found.is_some_and(|found| found.kind != Kind::Folder) {
            replace(&made, &path, owners)?;
        }
        match made.make(folder) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(why) => return Err(VolumeError::System { doing: "make", path, why }),
        }
        let links = if claim::is_own_path(&path) { open_to_empty(&made, folder, owners) } else { made.open(folder) };
        let links = links.map_err(VolumeError::system("open", &path))?;
        fs::set_mode(&links, MODE).map_err(VolumeError::system("set the mode of", &path))?;
        fill(&links, &path, &plan.path.join(folder), &names, owners)?;
    }
    Ok(())
}

/// Removes something that this program did not create but that has the name of one of its links or folders: only below
/// [`claim::HOME`] and only if it belongs to the files' owner; otherwise an error.
fn replace(parent: &Folder, path: &Path, owners: Owners) -> Result<(), VolumeError> {
    let name = path.file_name().unwrap_or_default();
    let found = parent.find(name).map_err(VolumeError::system("look at", path))?;
    let Some(found) = found else { return Ok(()) };
    if !claim::is_own_path(path) || found.uid != owners.files() {
        return Err(VolumeError::Taken(path.to_owned()));
    }
    let removed = if found.kind == Kind::Folder { remove(parent, name, owners) } else { parent.unlink(name) };
    removed.map_err(VolumeError::system("remove", path))?;
    log_removed(path);
    Ok(())
}

/// Makes the links in one folder exactly those of `names`.
fn fill(
    links: &Folder,
    path: &Path,
    files: &Path,
    names: &BTreeSet<&OsStr>,
    owners: Owners,
) -> Result<(), VolumeError> {
    let here = |name: &OsStr| path.join(name);
    let old: Vec<OsString> = links.names().map_err(VolumeError::system("list", path))?;
    for name in old {
        let Ok(target) = links.target(&name) else {
            replace(links, &here(&name), owners)?;
            continue;
        };
        let is_kept = names.contains(name.as_os_str()) && Path::new(&target) == files.join(&name);
        if !is_kept {
            links.unlink(&name).map_err(VolumeError::system("remove", &here(&name)))?;
        }
    }
    for name in names {
        if links.find(name).map_err(VolumeError::system("look at", &here(name)))?.is_none() {
            links.link(files.join(name).as_os_str(), name).map_err(VolumeError::system("make", &here(name)))?;
        }
    }
    Ok(())
}
