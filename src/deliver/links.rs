//! Folders of links beside the volume: each folder of files can then be mounted as a directory of its own, and all files still
//! change as one, because every link leads through the volume's `..data`.
//!
//! ```text
//! /run/secret-exec/links/0/db.env -> /run/secret-exec/files/0/db.env
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::domain::FileName;
use crate::sys::fs::{self, Folder, Kind};

use super::place::{trust, walk};
use super::{VolumeError, VolumePlan};

/// Everybody in a container may follow; who may read decides the file. Only we write.
const MODE: u32 = 0o755;

/// Makes `directory` with a folder for each folder of `files`, and in it a link for each name there. What an earlier start made
/// is brought up to date.
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
    let made = walk(directory, plan.owner)?.make(trust(plan.owner))?.folder;
    fs::set_mode(&made, MODE).map_err(VolumeError::system("set the mode of", directory))?;
    for (folder, names) in folders {
        let path = directory.join(folder);
        let found = made.find(folder).map_err(VolumeError::system("look at", &path))?;
        match found.map(|found| found.kind) {
            None => made.make(folder).map_err(VolumeError::system("make", &path))?,
            Some(Kind::Folder) => {}
            Some(_) => return Err(VolumeError::Taken(path)),
        }
        let links = made.open(folder).map_err(VolumeError::system("open", &path))?;
        fs::set_mode(&links, MODE).map_err(VolumeError::system("set the mode of", &path))?;
        fill(&links, &path, &plan.path.join(folder), &names)?;
    }
    Ok(())
}

fn fill(links: &Folder, path: &Path, files: &Path, names: &BTreeSet<&OsStr>) -> Result<(), VolumeError> {
    let here = |name: &OsStr| path.join(name);
    let old: Vec<OsString> = links.names().map_err(VolumeError::system("list", path))?;
    for name in old {
        let target = links.target(&name).map_err(|_| VolumeError::Taken(here(&name)))?;
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
