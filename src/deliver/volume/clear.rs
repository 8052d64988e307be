//! Cleans a volume of this program: removes what earlier runs left, and what the app put under this program's names.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tracing::warn;

use crate::sys::fs::{Errno, Kind};

use super::super::claim::{Claim, is_own_path, log_removed};
use super::super::layout::{self, DATA, DATA_TMP, stable};
use super::super::remove::{Budget, Owners, open_to_empty, remove};
use super::super::{VolumeError, generation};
use super::{GRACE, GRACE_OF_READERS, MOST_NAMES, Moment, Orphans, Retired, Volume};

impl Volume {
    /// Removes generations retired at least `GRACE` ago, or `GRACE_OF_READERS` if one of their files is open.
    ///
    /// One call examines and removes a bounded number of names, because the app may have filled a generation while
    /// renewals wait. The next call begins where this one ended.
    pub fn sweep(&mut self, now: Moment) -> Result<(), VolumeError> {
        let (old, young): (Vec<_>, Vec<_>) = self.retired.drain(..).partition(|retired| retired.due <= now.boot);
        self.retired = young;
        self.budget = Budget::of_turn();
        let mut names_left = generation::MAX_EXAMINED;
        let mut swept = Ok(());
        let mut old = old.into_iter();
        for retired in old.by_ref() {
            let later = |retired| Retired { due: now.boot.saturating_add(GRACE), ..retired };
            let mut is_in_use = || {
                let found = self.folder.open(&retired.name);
                found.is_ok_and(|found| generation::is_in_use(&found, &mut names_left))
            };
            if now.boot.saturating_sub(retired.at) < GRACE_OF_READERS && is_in_use() {
                self.retired.push(later(retired));
                continue;
            }
            match self.remove(&retired.name) {
                Err(VolumeError::System { why: Errno::E2BIG, .. }) => {
                    self.retired.push(later(retired));
                    break;
                }
                removed => swept = swept.and(removed),
            }
        }
        // The others come first in the next turn, so that the one that ended this turn keeps none of them.
        self.retired.splice(0..0, old.map(|retired| Retired { due: now.boot.saturating_add(GRACE), ..retired }));
        swept
    }

    /// [Withdraws](Self::withdraw), and logs a failure as a warning.
    pub(crate) fn withdraw_or_warn(&mut self) {
        if let Err(error) = self.withdraw() {
            warn!("what was delivered stays below {}: {error}", self.path().display());
        }
    }

    /// Removes all delivered files at once. The directory stays.
    pub fn withdraw(&mut self) -> Result<(), VolumeError> {
        self.budget = Budget::of_start();
        self.clear(DATA.as_ref())?;
        self.remove_stale(&BTreeSet::new())?;
        self.orphans = Orphans::Later;
        self.retired.clear();
        self.lock.remove(&self.folder);
        self.remove_orphans()?.map_or(Ok(()), Err)
    }

    /// Removes what a killed run left and the generations that an earlier run retired, until it has succeeded once.
    /// Returns why some generation could not be removed, which is no obstacle to a delivery.
    pub(super) fn remove_orphans(&mut self) -> Result<Option<VolumeError>, VolumeError> {
        if self.orphans == Orphans::Removed {
            return Ok(None);
        }
        let current = self.current_or_clear()?;
        let mut left = None;
        let is_stable_link = |name: &OsStr| self.folder.target(name).is_ok_and(|target| target == stable(name));
        let linked = self.list(is_stable_link)?;
        self.known.extend(linked);
        for name in self.list(layout::is_generation)? {
            if current.as_ref() != Some(&name) {
                left = self.remove(&name).err().or(left);
            }
        }
        for name in self.list(|name| name == DATA_TMP || layout::is_new_name(name))? {
            self.clear(&name)?;
        }
        if left.is_none() {
            self.orphans = Orphans::Removed;
        }
        Ok(left)
    }

    /// The visible generation. Something else under the name `..data` is removed if it may be, otherwise it is an
    /// error.
    pub(super) fn current_or_clear(&mut self) -> Result<Option<OsString>, VolumeError> {
        match self.current() {
            Err(VolumeError::Taken(_)) => self.replace(layout::DATA.as_ref()).map(|()| None),
            found => found,
        }
    }

    /// Removes a generation, within the budget. Does nothing if the name belongs to something else than a folder.
    pub(super) fn remove(&mut self, name: &OsStr) -> Result<(), VolumeError> {
        if self.find(name)? != Some(Kind::Folder) {
            return Ok(());
        }
        let removed = remove(&mut self.budget, &self.folder, name, Owners::of(self.owner));
        removed.map_err(VolumeError::system("remove", &self.path.join(name)))
    }

    /// Removes a folder with the name of a generation; what exceeds the budget is left to the next turns.
    pub(super) fn remove_in_turns(&mut self, name: &OsStr) -> Result<(), VolumeError> {
        let removed = self.remove(name);
        if let Err(VolumeError::System { why: Errno::E2BIG, .. }) = removed {
            // No reader was promised anything of it, so it is due at once.
            self.retired.push(Retired { name: name.to_owned(), at: Duration::ZERO, due: Duration::ZERO });
        }
        removed
    }

    /// Removes a link that this program made, or what has its name instead.
    pub(super) fn clear(&mut self, name: &OsStr) -> Result<(), VolumeError> {
        match self.find(name)? {
            None => Ok(()),
            Some(Kind::Link) => self.folder.unlink(name).map_err(VolumeError::system("remove", &self.path.join(name))),
            Some(_) => self.replace(name),
        }
    }

    /// Removes something that this program did not create but that has one of its names: only in a volume of this
    /// program, and only if it belongs to the files' owner; otherwise an error.
    pub(super) fn replace(&mut self, name: &OsStr) -> Result<(), VolumeError> {
        let path = self.path.join(name);
        let Some(found) = self.look_at(name)? else { return Ok(()) };
        if self.claim != Claim::Own || found.uid != Owners::of(self.owner).files() {
            return Err(VolumeError::Taken(path));
        }
        if found.kind == Kind::Folder && !self.is_name_of_a_delivery(name)? {
            // A name that we never used: its owner may keep something there, so only an empty folder is removed.
            self.folder.remove_folder(name).map_err(|_| VolumeError::Taken(path.clone()))?;
            log_removed(&path);
            return Ok(());
        }
        // EBUSY: a mount point, which is in use.
        let error = |why| match why {
            Errno::EBUSY => VolumeError::Taken(path.clone()),
            why => VolumeError::System { doing: "remove", path: path.clone(), why },
        };
        if found.kind == Kind::Folder {
            let aside = self.set_aside(name).map_err(error)?;
            match self.remove_in_turns(&aside) {
                Ok(()) | Err(VolumeError::System { why: Errno::E2BIG, .. }) => {}
                Err(left) => warn!("{left}; the next start tries it again"),
            }
        } else {
            self.folder.unlink(name).map_err(error)?;
        }
        log_removed(&path);
        Ok(())
    }

    /// The names in all generations that can be listed, at most [`MOST_NAMES`].
    pub(super) fn names_of_generations(&self) -> Result<BTreeSet<OsString>, VolumeError> {
        let owners = Owners::of(self.owner);
        let open = |name: &OsStr| match self.folder.open(name) {
            // The owner has removed its own permissions; the generation is rewritten in any case.
            Err(Errno::EACCES) => open_to_empty(&self.folder, name, owners),
            opened => opened,
        };
        let mut names = BTreeSet::new();
        for generation in self.list(layout::is_generation)? {
            let left = MOST_NAMES.saturating_sub(names.len());
            if left == 0 {
                break;
            }
            names.extend(open(&generation).and_then(|folder| folder.some_names(left)).unwrap_or_default());
        }
        Ok(names)
    }

    /// Whether a name is or was used by this program, whatever has it now. Below [`HOME`](crate::deliver::claim::HOME)
    /// every name is.
    fn is_name_of_a_delivery(&self, name: &OsStr) -> Result<bool, VolumeError> {
        let is_reserved = name == DATA || name == DATA_TMP || layout::is_generation(name) || layout::is_new_name(name);
        let is_known = is_reserved || is_own_path(&self.path) || self.known.contains(name);
        Ok(is_known || self.names_of_generations()?.contains(name))
    }

    /// Renames a folder to the name of a generation, so that it is out of the way while it is removed; returns that
    /// name.
    fn set_aside(&self, name: &OsStr) -> Result<OsString, Errno> {
        let mut wall = Moment::now().wall;
        loop {
            let aside = generation::name(wall);
            match self.folder.rename(name, &aside) {
                Err(Errno::EEXIST) => wall += Duration::from_nanos(1),
                done => return done.map(|()| aside),
            }
        }
    }
}
