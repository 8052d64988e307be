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
use super::remove::{Budget, Owners, open_to_empty, remove};
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
    let (owners, mut budget) = (Owners::of(plan.owner), Budget::of_start());
    show(&made, directory, owners, |name| folders.contains_key(name))?;
    for (folder, names) in folders {
        let path = directory.join(folder);
        let found = made.find(folder).map_err(VolumeError::system("look at", &path))?;
        if found.is_some_and(|found| found.kind != Kind::Folder) {
            replace(&mut budget, &made, &path, owners)?;
        }
        match made.make(folder) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(why) => return Err(VolumeError::System { doing: "make", path, why }),
        }
        let links = if claim::is_own_path(&path) { open_to_empty(&made, folder, owners) } else { made.open(folder) };
        let links = links.map_err(VolumeError::system("open", &path))?;
        let files = plan.path.join(folder);
        show(&links, &path, owners, |name| {
            links.target(name).is_ok_and(|target| Path::new(&target) == files.join(name))
        })?;
        fill(&mut budget, &links, &path, &files, &names, owners)?;
    }
    Ok(())
}

/// Lets everyone enter a directory of links. An error if its mode would have to change and it belongs to another user, or
/// holds a name for which `is_own_name` is false: it is in use for something else then, unless its path is ours.
fn show(folder: &Folder, path: &Path, owners: Owners, is_own_name: impl Fn(&OsStr) -> bool) -> Result<(), VolumeError> {
    let found = fs::meta(folder).map_err(VolumeError::system("look at", path))?;
    if found.mode == MODE {
        return Ok(());
    }
    if !owners.has(found.uid) {
        return Err(VolumeError::Foreign { path: path.to_owned(), uid: found.uid, gid: found.gid, mode: found.mode });
    }
    if !claim::is_own_path(path) {
        let names = folder.some_names_where(1, |name| !is_own_name(name)).map_err(VolumeError::system("list", path))?;
        if let Some(name) = names.into_iter().next() {
            return Err(VolumeError::Occupied { path: path.to_owned(), name });
        }
    }
    fs::set_mode(folder, MODE).map_err(VolumeError::system("set the mode of", path))
}

/// Removes something that this program did not create but that has the name of one of its links or folders: only below
/// [`claim::HOME`] and only if it belongs to the files' owner; otherwise an error.
fn replace(budget: &mut Budget, parent: &Folder, path: &Path, owners: Owners) -> Result<(), VolumeError> {
    let name = path.file_name().unwrap_or_default();
    let found = parent.find(name).map_err(VolumeError::system("look at", path))?;
    let Some(found) = found else { return Ok(()) };
    if !claim::is_own_path(path) || found.uid != owners.files() {
        return Err(VolumeError::Taken(path.to_owned()));
    }
    let removed = if found.kind == Kind::Folder { remove(budget, parent, name, owners) } else { parent.unlink(name) };
    removed.map_err(VolumeError::system("remove", path))?;
    log_removed(path);
    Ok(())
}

/// Makes the links in one folder exactly those of `names`.
fn fill(
    budget: &mut Budget,
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
            replace(budget, links, &here(&name), owners)?;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::deliver::{Ownership, Writer};

    fn linked(directory: &Path, owner: Ownership) -> Result<(), VolumeError> {
        let plan = VolumePlan { path: "/run/secret-exec/files".into(), owner, size: 1 << 20, writer: Writer::Once };
        let file = FileName::parse("0/a").unwrap();
        link(directory, &plan, std::iter::once(&file))
    }

    fn made(path: &Path, mode: u32) -> PathBuf {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_owned()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_directory_that_holds_something_else_keeps_its_mode() {
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = made(&shm.path().join("used"), 0o711);
        fs::write(directory.join("of another"), "").unwrap();
        let error = linked(&directory, Ownership::default()).unwrap_err();
        assert!(matches!(error, VolumeError::Occupied { .. }), "{error}");
        assert_eq!((mode(&directory), error.exit().code()), (0o711, 73));

        let directory = made(&shm.path().join("new"), 0o700);
        let folder = made(&directory.join("0"), 0o711);
        symlink("/elsewhere", folder.join("of another")).unwrap();
        let error = linked(&directory, Ownership::default()).unwrap_err();
        assert!(matches!(error, VolumeError::Occupied { .. }), "{error}");
        assert_eq!((mode(&directory), mode(&folder)), (0o755, 0o711));

        fs::remove_file(folder.join("of another")).unwrap();
        linked(&directory, Ownership::default()).unwrap();
        assert_eq!(
            (mode(&folder), fs::read_link(folder.join("a")).unwrap()),
            (0o755, "/run/secret-exec/files/0/a".into())
        );
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
        linked(&directory, Ownership::default()).unwrap();
        assert_eq!(mode(&folder), 0o755, "it holds nothing but our links");
    }

    #[test]
    fn a_directory_of_another_user_keeps_its_mode() {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return;
        }
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = made(&shm.path().join("shared"), 0o755);
        let folder = made(&directory.join("0"), 0o711);
        std::os::unix::fs::chown(&folder, Some(4242), None).unwrap();
        let error = linked(&directory, Ownership::default()).unwrap_err();
        assert!(matches!(error, VolumeError::Foreign { uid: 4242, .. }), "{error}");
        assert_eq!((mode(&folder), error.exit().code()), (0o711, 73));
        linked(&directory, Ownership { uid: Some(4242), ..Ownership::default() }).unwrap();
        assert_eq!(mode(&folder), 0o755);
    }
}
