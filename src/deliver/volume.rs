//! The volume: generations in one directory, and the rename that changes all files at once.
//!
//! ```text
//! ..2026_11_21_23_13_46.123456789/   the generation: 0500, files 0400 (with a reading group 0550 and 0440)
//! ..data -> ..2026_11_21_23_13_46.123456789
//! db.env -> ..data/db.env            a stable name for each first component
//! ..lock                             0600, empty; locked by the process that keeps the files fresh
//! ```
//!
//! A delivery has these steps. No reader sees a change before step 3, and step 3 needs no further space:
//! 1. fill a new generation, and set every owner and mode in it;
//! 2. make `..data_tmp`, and `..new_N` for each stable name that is not there yet;
//! 3. rename `..data_tmp` to `..data`: all files have changed;
//! 4. rename `..new_N` to the new names, which were never seen dangling;
//! 5. remove names that the new generation does not have. The old generation is removed a second later (as kubelet does
//!    at once, so that file watchers are notified), or up to 30 s later while a process has a file of it open.

mod clear;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;

use crate::sys::fs::{self, Errno, Folder, Kind, Meta};
use crate::sys::mount;

use crate::domain::{FileName, SecretBytes};
use crate::sys::clock;

use super::claim::Claim;
use super::layout::{self, DATA, DATA_TMP, new_name, stable};
use super::lock::Lock;
use super::remove::Budget;
use super::{Artifact, Ownership, VolumeError, VolumePlan, generation, place};

/// How long a retired generation stays, so that a process which opened its directory can still open its files.
const GRACE: Duration = Duration::from_secs(1);
/// How long it stays while a process has a file of it open, and may open another one of the same generation.
const GRACE_OF_READERS: Duration = Duration::from_secs(30);

/// How many names of one kind are looked at: the app may have made any number. The next start finds more.
const MOST_NAMES: usize = 20_000;

/// The largest file that is read back; we write none that is larger.
const MOST_BYTES: usize = 16 << 20;

/// The time of a delivery: one clock names the generation, the other measures its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since 1970.
    pub wall: Duration,
    /// Time since boot, including suspend; monotonic.
    pub boot: Duration,
}

impl Moment {
    /// The current time of both clocks.
    pub fn now() -> Self {
        let wall = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { wall, boot: clock::boottime() }
    }
}

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Names, bytes, modes and owners were as required already.
    Unchanged,
    /// The name of the new generation.
    Generation(String),
}

/// An open, verified directory. There is one writer at a time; everything in it is accessed through its descriptor.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
    folder: Folder,
    owner: Ownership,
    claim: Claim,
    lock: Lock,
    retired: Vec<Retired>,
    orphans: Orphans,
    /// The names that this program used, whatever has them now: those in the generations of earlier runs, those of the
    /// links into `..data`, and those of this run.
    known: BTreeSet<OsString>,
    /// How many entries may be removed until the next turn.
    budget: Budget,
}

/// What earlier runs left behind: partial generations, retired ones, temporary links.
#[derive(Debug, PartialEq, Eq)]
enum Orphans {
    Removed,
    /// Not removed yet: the files' owner can do it, which we become before the first delivery.
    Later,
}

/// A generation that is no longer visible.
#[derive(Debug)]
struct Retired {
    name: OsString,
    at: Duration,
    /// When its removal is tried next.
    due: Duration,
}

/// Finds or creates the directory, verifies that it is on memory, locks it, sets its owner, and removes what an earlier
/// run left. Everything that needs privilege is done here, except writing files with another owner.
/// [`VolumeError::Busy`], without any wait, where another process keeps its files fresh.
pub fn prepare(plan: &VolumePlan) -> Result<Volume, VolumeError> {
    let (path, owner) = (plan.path.clone(), plan.owner);
    let (folder, claim) = place::prepare(plan)?;
    let mut lock = Lock::of(plan.writer);
    let _until_the_end = lock.for_a_delivery(&folder, &path)?;
    // Root without CAP_DAC_OVERRIDE cannot open it in what it gave to the owner; see `lock_or_warn`.
    lock.take(&folder, &path)?;
    place::set_owner_and_mode(&folder, owner, owner.volume_mode(), &path)?;
    let (retired, known, budget) = (Vec::new(), BTreeSet::new(), Budget::of_start());
    let mut volume = Volume { path, folder, owner, claim, lock, retired, orphans: Orphans::Later, known, budget };
    // A directory that cannot be listed is reported by the next step.
    volume.known = volume.names_of_generations().unwrap_or_default();
    match volume.remove_orphans() {
        // What could not be removed is tried again at the first delivery.
        Ok(_) => {}
        // Root without CAP_DAC_OVERRIDE cannot enter what it gave to the owner; the owner can, at the first delivery.
        Err(VolumeError::System { why: Errno::EACCES | Errno::EPERM, .. })
            if owner.uid.is_some_and(|uid| uid != fs::effective_ids().0) => {}
        Err(error) => return Err(error),
    }
    Ok(volume)
}

impl Volume {
    /// The path of the volume.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the volume of a process that stays, as the user that it runs as from now on, unless it is locked already.
    pub(crate) fn lock_or_warn(&mut self) -> Result<(), VolumeError> {
        self.lock.take_or_warn(&self.folder, &self.path)
    }

    /// Replaces the content of the volume by `files`, all at once. After an error the delivered files are unchanged
    /// (unless another process adds names meanwhile: then the new content is visible, but not under every name).
    pub fn write(&mut self, files: &[Artifact], now: Moment) -> Result<Written, VolumeError> {
        refuse_clashes(files)?;
        let _until_the_end = self.lock.for_a_delivery(&self.folder, &self.path)?;
        let written = self.write_within_budget(files, now);
        // The first delivery belongs to the start; the next ones share the process with renewals.
        self.budget = Budget::of_turn();
        written
    }

    /// Writes, and removes what has our names within the budget.
    fn write_within_budget(&mut self, files: &[Artifact], now: Moment) -> Result<Written, VolumeError> {
        if let Some(left) = self.remove_orphans().map_err(|error| self.explain(error, files))? {
            warn!("what an earlier start left stays: {left}");
            self.orphans = Orphans::Removed;
        }
        let names: BTreeSet<&OsStr> = files.iter().map(|file| first_component(file).as_ref()).collect();
        let missing = self.missing(&names)?;
        let current = self.current_or_clear()?;

        let is_same = |name: &OsString| {
            let same = self.folder.open(name).and_then(|found| generation::is_same(&found, files, self.owner));
            same.unwrap_or(false) // what cannot be read back is written anew
        };
        if current.as_ref().is_some_and(is_same) {
            // An earlier run that was killed after the rename may have left names unfinished.
            let linked = self.link_new(&missing).and_then(|()| self.show_new(&missing));
            linked.map_err(|error| self.explain(error, files))?;
            self.remove_stale(&names)?;
            return Ok(Written::Unchanged);
        }

        let new = generation::make(&self.folder, now.wall, &self.path).map_err(|error| self.explain(error, files))?;
        let made = self.fill(&new, files).and_then(|()| self.link_data(&new)).and_then(|()| self.link_new(&missing));
        let flipped = made.and_then(|()| {
            let flip = self.folder.replace(DATA_TMP.as_ref(), DATA.as_ref());
            flip.map_err(VolumeError::system("rename", &self.path.join(DATA_TMP)))
        });
        if let Err(error) = flipped {
            let error = self.explain(error, files); // measured before the room is given back
            self.undo(&new, missing.len());
            return Err(error);
        }
        self.claim = Claim::Own;
        if let Some(name) = current {
            self.retired.push(Retired { name, at: now.boot, due: now.boot.saturating_add(GRACE) });
        }
        self.show_new(&missing)?;
        self.remove_stale(&names)?;
        Ok(Written::Generation(new.to_string_lossy().into_owned()))
    }

    /// The name of the visible generation.
    pub fn generation(&self) -> Option<String> {
        self.current().ok().flatten().map(|name| name.to_string_lossy().into_owned())
    }

    /// Reads a file of the visible generation; `None` if it does not exist or is not a regular file.
    pub fn read(&self, name: &FileName) -> Result<Option<SecretBytes>, VolumeError> {
        let path = self.path.join(name.components().collect::<PathBuf>());
        let current = match self.current() {
            Ok(None) | Err(VolumeError::Taken(_)) => return Ok(None),
            Ok(Some(current)) => current,
            Err(error) => return Err(error),
        };
        let parts: Vec<&OsStr> = [current.as_os_str()].into_iter().chain(name.components().map(OsStr::new)).collect();
        let (file, folders) = parts.split_last().expect("a generation and a name");
        let mut folder = self.folder.pass(".".as_ref()).map_err(VolumeError::system("open", &path))?;
        for part in folders {
            folder = match folder.pass(part) {
                Ok(below) => below,
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                Err(why) => return Err(VolumeError::System { doing: "open", path, why }),
            };
        }
        let mut opened = match folder.open_file(file) {
            Ok(opened) => opened,
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(why) => return Err(VolumeError::System { doing: "open", path, why }),
        };
        let found = fs::meta(&opened).map_err(VolumeError::system("look at", &path))?;
        // The files' owner may have replaced it by anything: a FIFO, or a huge sparse file.
        let size = match (found.kind, usize::try_from(found.size)) {
            (Kind::File, Ok(size)) if size <= MOST_BYTES => size,
            (Kind::File, _) => return Err(VolumeError::System { doing: "read", path, why: Errno::EFBIG }),
            _ => return Ok(None),
        };
        let mut bytes = Vec::with_capacity(size + 1);
        opened.by_ref().take(found.size).read_to_end(&mut bytes).map_err(|_| VolumeError::System {
            doing: "read",
            path,
            why: Errno::EIO,
        })?;
        Ok(Some(SecretBytes::new(bytes)))
    }

    /// When [`Self::sweep`] is to be called next, as time since boot.
    pub fn sweep_due(&self) -> Option<Duration> {
        self.retired.iter().map(|retired| retired.due).min()
    }

    /// The generation that `..data` points to; `None` when there is no such link, or its target does not exist.
    fn current(&self) -> Result<Option<OsString>, VolumeError> {
        let path = self.path.join(DATA);
        match self.find(DATA.as_ref())? {
            None => return Ok(None),
            Some(Kind::Link) => {}
            Some(_) => return Err(VolumeError::Taken(path)),
        }
        let name = self.folder.target(DATA.as_ref()).map_err(VolumeError::system("read the link", &path))?;
        if !layout::is_generation(&name) {
            return Err(VolumeError::Taken(path));
        }
        Ok(matches!(self.find(&name)?, Some(Kind::Folder)).then_some(name))
    }

    /// The stable names that have to be created. Something else with such a name is removed, if it may be.
    fn missing<'a>(&mut self, names: &BTreeSet<&'a OsStr>) -> Result<Vec<&'a OsStr>, VolumeError> {
        let mut missing = Vec::new();
        for name in names {
            match self.find(name)? {
                None => missing.push(*name),
                Some(Kind::Link) if self.is_stable(name)? => {}
                Some(_) => {
                    self.replace(name)?;
                    missing.push(*name);
                }
            }
        }
        Ok(missing)
    }

    /// Whether the link `name` points into `..data`.
    fn is_stable(&self, name: &OsStr) -> Result<bool, VolumeError> {
        let target = self.folder.target(name).map_err(VolumeError::system("read the link", &self.path.join(name)))?;
        Ok(target == stable(name))
    }

    /// Fills the new generation `name`.
    fn fill(&self, name: &OsStr, files: &[Artifact]) -> Result<(), VolumeError> {
        let path = self.path.join(name);
        let folder = self.folder.open(name).map_err(VolumeError::system("open", &path))?;
        generation::fill(&folder, files, self.owner, &path)
    }

    /// Creates `..data_tmp`, pointing to the new generation.
    fn link_data(&mut self, generation: &OsStr) -> Result<(), VolumeError> {
        self.clear(DATA_TMP.as_ref())?;
        self.folder.link(generation, DATA_TMP.as_ref()).map_err(VolumeError::system("make", &self.path.join(DATA_TMP)))
    }

    /// Creates the missing links under temporary names, so that making them visible later needs no space.
    fn link_new(&mut self, missing: &[&OsStr]) -> Result<(), VolumeError> {
        for (place, name) in missing.iter().enumerate() {
            let (target, new) = (stable(name), new_name(place));
            let mut linked = self.folder.link(&target, &new);
            if linked == Err(Errno::EEXIST) {
                self.clear(&new)?;
                linked = self.folder.link(&target, &new);
            }
            linked.map_err(VolumeError::system("make", &self.path.join(name)))?;
        }
        Ok(())
    }

    /// Renames the links from their temporary to their stable names.
    fn show_new(&mut self, missing: &[&OsStr]) -> Result<(), VolumeError> {
        for (place, name) in missing.iter().enumerate() {
            let path = self.path.join(name);
            self.folder.rename(&new_name(place), name).map_err(|errno| match errno {
                Errno::EEXIST => VolumeError::Taken(path),
                why => VolumeError::System { doing: "make", path, why },
            })?;
            self.known.insert((*name).to_owned());
        }
        Ok(())
    }

    /// Removes the stable links that are not in `names`; touches nothing else.
    fn remove_stale(&mut self, names: &BTreeSet<&OsStr>) -> Result<(), VolumeError> {
        let stale: Vec<OsString> =
            self.known.iter().filter(|name| !names.contains(name.as_os_str())).cloned().collect();
        for name in stale {
            if self.find(&name)? == Some(Kind::Link) && self.is_stable(&name)? {
                self.clear(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the new generation after an error. What cannot be removed now is removed by the next start.
    fn undo(&mut self, generation: &OsStr, links: usize) {
        for name in (0..links).map(new_name).chain([DATA_TMP.into()]) {
            let _ = self.clear(&name);
        }
        let _ = self.remove_in_turns(generation);
    }

    /// The kind of the entry `name`; `None` if there is none.
    fn find(&self, name: &OsStr) -> Result<Option<Kind>, VolumeError> {
        Ok(self.look_at(name)?.map(|found| found.kind))
    }

    /// The metadata of the entry `name`; `None` if there is none.
    fn look_at(&self, name: &OsStr) -> Result<Option<Meta>, VolumeError> {
        self.folder.find(name).map_err(VolumeError::system("look at", &self.path.join(name)))
    }

    /// The names in the volume for which `is_wanted` holds, at most [`MOST_NAMES`].
    fn list(&self, is_wanted: impl FnMut(&OsStr) -> bool) -> Result<Vec<OsString>, VolumeError> {
        self.folder.some_names_where(MOST_NAMES, is_wanted).map_err(VolumeError::system("list", &self.path))
    }

    /// Whether the file system lacks inodes for a generation: its directory, link and files.
    fn lacks_inodes(&self, files: &[Artifact]) -> bool {
        let needed = u64::try_from(files.len()).unwrap_or(u64::MAX).saturating_add(3);
        mount::free_inodes(&self.folder).is_ok_and(|free| free.is_some_and(|free| free < needed))
    }

    /// Replaces an error whose cause is missing space or permission by one that says so.
    fn explain(&self, error: VolumeError, files: &[Artifact]) -> VolumeError {
        let path = self.path.clone();
        match error {
            VolumeError::System { why: Errno::ENOSPC, .. } if self.lacks_inodes(files) => VolumeError::NoInodes(path),
            VolumeError::System { why: Errno::ENOSPC | Errno::EDQUOT, .. } => {
                let size = mount::size(&self.folder).unwrap_or(None);
                VolumeError::Full { path, needed: generation::occupied_bytes(files), size }
            }
            VolumeError::System { why: why @ (Errno::EACCES | Errno::EPERM), .. } if self.owner.uid.is_some() => {
                VolumeError::Unwritable { path, owner: self.owner, writer: fs::effective_ids().0, why }
            }
            other => other,
        }
    }
}

/// Returns an error if two files cannot exist side by side.
fn refuse_clashes(files: &[Artifact]) -> Result<(), VolumeError> {
    let clash = FileName::first_clash(files.iter().map(|file| &file.name));
    clash.map_or(Ok(()), |(earlier, name)| Err(VolumeError::Clash(earlier.clone(), name.clone())))
}

/// The first component of a file's path.
fn first_component(file: &Artifact) -> &str {
    file.name.components().next().expect("a file name has at least one component")
}
