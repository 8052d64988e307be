//! One generation: a folder that is filled, compared and removed as a whole, always through its descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use der::DateTime;
use zeroize::Zeroizing;

use crate::sys::fs::{self, Errno, Folder, Kind, Meta};

use super::{Artifact, Ownership, VolumeError, place};

/// The page size of tmpfs: files occupy whole pages.
const PAGE: u64 = 4096;

/// The number of bytes that `files` occupy on memory, in whole pages.
pub(super) fn occupied_bytes(files: &[Artifact]) -> u64 {
    files
        .iter()
        .map(|file| u64::try_from(file.bytes.expose().len()).unwrap_or(u64::MAX))
        .fold(0, |sum, bytes| sum.saturating_add(bytes.div_ceil(PAGE).saturating_mul(PAGE)))
}

/// The name of a generation written at `wall` (time since 1970), in kubelet's format:
/// `..2026_11_21_23_13_46.123456789`.
pub(super) fn name(wall: Duration) -> OsString {
    let date = DateTime::from_unix_duration(Duration::from_secs(wall.as_secs())).unwrap_or(DateTime::INFINITY);
    let (year, month, day) = (date.year(), date.month(), date.day());
    let (hour, minute, second) = (date.hour(), date.minutes(), date.seconds());
    format!("..{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}.{:09}", wall.subsec_nanos()).into()
}

/// Creates the folder of a new generation, under the first free name for a time from `wall` on, and returns the name.
pub(super) fn make(volume: &Folder, wall: Duration, path: &Path) -> Result<OsString, VolumeError> {
    let mut wall = wall;
    loop {
        let name = name(wall);
        match volume.make(&name) {
            Ok(()) => return Ok(name),
            Err(Errno::EEXIST) => wall += Duration::from_nanos(1),
            Err(why) => return Err(VolumeError::System { doing: "make a generation in", path: path.to_owned(), why }),
        }
    }
}

/// Writes `files` into a new generation with owner and mode. The generation's own mode is set last: until then only the
/// writer can enter it.
pub(super) fn fill(generation: &Folder, files: &[Artifact], owner: Ownership, path: &Path) -> Result<(), VolumeError> {
    let mut folders: BTreeMap<&Path, Folder> = BTreeMap::new();
    for file in files {
        let name = Path::new(file.name.as_str());
        let here = path.join(name);
        for below in parents(name) {
            if !folders.contains_key(below) {
                let folder = make_folder(parent(&folders, generation, below), below)
                    .map_err(VolumeError::system("make", &path.join(below)))?;
                folders.insert(below, folder);
            }
        }
        let mode = owner.file_mode(file.mode);
        let created = parent(&folders, generation, name).create_file(last(name), mode);
        let mut written = created.map_err(VolumeError::system("create", &here))?;
        written.write_all(file.bytes.expose()).map_err(|error| VolumeError::System {
            doing: "write",
            path: here.clone(),
            why: errno(&error),
        })?;
        place::set_owner_and_mode(&written, owner, mode, &here)?;
    }
    // A folder sorts before its content, so the reverse order is bottom-up.
    for (below, folder) in folders.iter().rev() {
        place::set_owner_and_mode(folder, owner, owner.folder_mode(), &path.join(below))?;
    }
    place::set_owner_and_mode(generation, owner, owner.folder_mode(), path)
}

/// Creates and opens the last component of `path` in `parent`.
fn make_folder(parent: &Folder, path: &Path) -> fs::Result<Folder> {
    parent.make(last(path))?;
    parent.open(last(path))
}

/// The folders above a name, outermost first.
fn parents(name: &Path) -> impl Iterator<Item = &Path> {
    let mut above: Vec<_> = name.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
    above.reverse();
    above.into_iter()
}

/// The open folder that a name belongs into.
fn parent<'a>(folders: &'a BTreeMap<&Path, Folder>, generation: &'a Folder, name: &Path) -> &'a Folder {
    name.parent().and_then(|above| folders.get(above)).unwrap_or(generation)
}

/// The last component of a file's name.
fn last(name: &Path) -> &OsStr {
    name.file_name().expect("a file name has a last component, which is not \"..\"")
}

/// The errno of an I/O error; `EIO` if it has none.
fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether the generation is exactly what [`fill`] would make of `files`: names, bytes, modes, owners.
///
/// It is read from the volume, so that a change by another process is detected and overwritten.
pub(super) fn is_same(generation: &Folder, files: &[Artifact], owner: Ownership) -> fs::Result<bool> {
    let mut expected: BTreeMap<&Path, Option<&Artifact>> = BTreeMap::new();
    for file in files {
        let name = Path::new(file.name.as_str());
        expected.insert(name, Some(file));
        expected.extend(parents(name).map(|above| (above, None)));
    }
    let mut seen = BTreeSet::new();
    let is_so = fs::meta(generation).is_ok_and(|found| has_meta(found, Kind::Folder, owner, owner.folder_mode()));
    Ok(is_so && matches(generation, Path::new(""), &expected, owner, &mut seen)? && seen.len() == expected.len())
}

/// Compares a folder recursively, and adds every name that matches to `seen`.
fn matches(
    folder: &Folder,
    path: &Path,
    expected: &BTreeMap<&Path, Option<&Artifact>>,
    owner: Ownership,
    seen: &mut BTreeSet<std::path::PathBuf>,
) -> fs::Result<bool> {
    // One more than there can be is enough to find one that is not expected.
    for name in folder.some_names(expected.len().saturating_add(1))? {
        let here = path.join(&name);
        let is_so = match expected.get(here.as_path()) {
            None => false,
            Some(None) => {
                let below = folder.open(&name)?;
                has_meta(fs::meta(&below)?, Kind::Folder, owner, owner.folder_mode())
                    && matches(&below, &here, expected, owner, seen)?
            }
            Some(Some(file)) => {
                let mut written = folder.open_file(&name)?;
                let found = fs::meta(&written)?;
                has_meta(found, Kind::File, owner, owner.file_mode(file.mode))
                    && has_content(&mut written, file.bytes.expose())
            }
        };
        if !is_so {
            return Ok(false);
        }
        seen.insert(here);
    }
    Ok(true)
}

/// Whether kind, mode and owner are as expected.
fn has_meta(found: Meta, kind: Kind, owner: Ownership, mode: u32) -> bool {
    found.kind == kind
        && found.mode == mode
        && owner.uid.is_none_or(|uid| uid == found.uid)
        && owner.gid.is_none_or(|gid| gid == found.gid)
}

/// Whether the file contains exactly these bytes; a read error counts as no.
fn has_content(file: &mut File, bytes: &[u8]) -> bool {
    let mut buffer = Zeroizing::new([0_u8; 4096]);
    let mut rest = bytes;
    loop {
        match file.read(buffer.as_mut_slice()) {
            Ok(0) => return rest.is_empty(),
            Ok(count) => match rest.strip_prefix(&buffer[..count]) {
                Some(left) => rest = left,
                None => return false,
            },
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// How many names of retired generations are examined in one turn.
pub(super) const MAX_EXAMINED: usize = 4000;

/// Whether another process has a file of the generation open. What cannot be examined counts as not open, and so does what
/// is nested deeper than the name of a file can be, or comes after `names_left` names: the app may have put it there.
pub(super) fn is_in_use(generation: &Folder, names_left: &mut usize) -> bool {
    const MAX_LEVELS: u32 = 513;
    is_in_use_within(MAX_LEVELS, names_left, generation)
}

fn is_in_use_within(levels: u32, names_left: &mut usize, folder: &Folder) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    let names = folder.some_names(*names_left).unwrap_or_default();
    *names_left = names_left.saturating_sub(names.len());
    names.iter().any(|name| match folder.find(name) {
        Ok(Some(found)) if found.kind == Kind::Folder => {
            folder.open(name).is_ok_and(|below| is_in_use_within(levels, names_left, &below))
        }
        Ok(Some(found)) if found.kind == Kind::File => {
            folder.open_file(name).is_ok_and(|file| fs::is_open_elsewhere(&file))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::layout::is_generation;

    #[test]
    fn a_generation_is_named_by_its_time() {
        for (seconds, nanos, expected) in [
            (0, 0, "..1970_01_01_00_00_00.000000000"),
            (951_782_399, 5, "..2000_02_28_23_59_59.000000005"),
            (951_782_400, 0, "..2000_02_29_00_00_00.000000000"),
            (1_795_302_826, 123_456_789, "..2026_11_21_23_13_46.123456789"),
            (4_107_542_400, 0, "..2100_03_01_00_00_00.000000000"),
        ] {
            let name = name(Duration::new(seconds, nanos));
            assert_eq!(name, expected);
            assert!(is_generation(&name));
        }
        for other in ["..data", "..data_tmp", "..2026", "..2026_11_21_23_13_46.", "..2026_11_21_23_13_46.12a", "a"] {
            assert!(!is_generation(other.as_ref()), "{other}");
        }
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        assert_eq!(parents(Path::new("a/b/c")).collect::<Vec<_>>(), [Path::new("a"), Path::new("a/b")]);
        assert_eq!(parents(Path::new("a")).count(), 0);
    }
}
