//! Cleans a volume of this program: removes what earlier runs left, and what the app put under this program's names.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tracing::warn;

use crate::sys::fs::{Errno, Kind};

use super::super::claim::{Claim, is_own_path, log_removed};
use super::super::layout::{self, DATA, DATA_TMP};
use super::super::remove::{Owners, open_to_empty, remove};
use super::super::{VolumeError, generation};
use super::{GRACE, GRACE_OF_READERS, Moment, Orphans, Retired, Volume};

impl Volume {
    /// Removes generations retired at least `GRACE` ago, or `GRACE_OF_READERS` if one of their files is open.
    pub fn sweep(&mut self, now: Moment) -> Result<(), VolumeError> {
        let (old, young): (Vec<_>, Vec<_>) = self.retired.drain(..).partition(|retired| retired.due <= now.boot);
        self.retired = young;
        let mut swept = Ok(());
        for retired in old {
            let is_in_use = || self.folder.open(&retired.name).is_ok_and(|found| generation::is_in_use(&found));
            if now.boot.saturating_sub(retired.at) < GRACE_OF_READERS && is_in_use() {
                self.retired.push(Retired { due: now.boot.saturating_add(GRACE), ..retired });
                continue;
            }
            match self.remove(&retired.name) {
                // The app filled it: one call removes so many names, and the next goes on.
                Err(VolumeError::System { why: Errno::E2BIG, .. }) => {
                    self.retired.push(Retired { due: now.boot.saturating_add(GRACE), ..retired });
                }
                removed => swept = swept.and(removed),
            }
        }
        swept
    }

    /// Removes what a killed run left and the generations that an earlier run retired, until it has succeeded once.
    /// Returns why some generation could not be removed, which is no obstacle to a delivery.
    pub(super) fn remove_orphans(&mut self) -> Result<Option<VolumeError>, VolumeError> {
        if self.orphans == Orphans::Removed {
            return Ok(None);
        }
        let current = self.current_or_clear()?;
        let mut left = None;
        for name in self.list()? {
            if layout::is_generation(&name) && current.as_ref() != Some(&name) {
                left = self.remove(&name).err().or(left);
            } else if name == DATA_TMP || layout::is_new_name(&name) {
                self.clear(&name)?;
            }
        }
        if left.is_none() {
            self.orphans = Orphans::Removed;
        }
        Ok(left)
    }

    /// The visible generation. Something else under the name `..data` is removed if it may be, otherwise it is an
    /// error.
    pub(super) fn current_or_clear(&self) -> Result<Option<OsString>, VolumeError> {
        match self.current() {
            Err(VolumeError::Taken(_)) => self.replace(layout::DATA.as_ref()).map(|()| None),
            found => found,
        }
    }

    /// Removes a generation. Does nothing if the name belongs to something else than a folder.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), VolumeError> {
        if self.find(name)? != Some(Kind::Folder) {
            return Ok(());
        }
        remove(&self.folder, name, Owners::of(self.owner)).map_err(VolumeError::system("remove", &self.path.join(name)))
    }

    /// Removes a link that this program made, or what has its name instead.
    pub(super) fn clear(&self, name: &OsStr) -> Result<(), VolumeError> {
        match self.find(name)? {
            None => Ok(()),
            Some(Kind::Link) => self.folder.unlink(name).map_err(VolumeError::system("remove", &self.path.join(name))),
            Some(_) => self.replace(name),
        }
    }

    /// Removes something that this program did not create but that has one of its names: only in a volume of this
    /// program, and only if it belongs to the files' owner; otherwise an error.
    pub(super) fn replace(&self, name: &OsStr) -> Result<(), VolumeError> {
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
            if let Err(left) = self.remove(&aside) {
                warn!("{left}; the next start tries it again");
            }
        } else {
            self.folder.unlink(name).map_err(error)?;
        }
        log_removed(&path);
        Ok(())
    }

    /// The names in all generations that can be listed.
    pub(super) fn names_of_generations(&self) -> Result<BTreeSet<OsString>, VolumeError> {
        let owners = Owners::of(self.owner);
        let open = |name: &OsStr| match self.folder.open(name) {
            // The owner has removed its own permissions; the generation is rewritten in any case.
            Err(Errno::EACCES) => open_to_empty(&self.folder, name, owners),
            opened => opened,
        };
        let generations = self.list()?.into_iter().filter(|name| layout::is_generation(name));
        Ok(generations.filter_map(|name| open(&name).and_then(|folder| folder.names()).ok()).flatten().collect())
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
