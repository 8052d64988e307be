//! Removes a folder of this program with everything that the files' owner put into it: through descriptors, following
//! no links, within limits.

use std::ffi::OsStr;

use crate::sys::fs::{self, Errno, Folder, Kind};
use crate::sys::mount;

use super::Ownership;

/// How many entries a start removes altogether: far more than a delivery has, and a few seconds' work. The next start
/// continues.
const MOST_AT_START: u32 = 200_000;
/// How many entries a process that also renews removes at a time: a tenth of a second's work. The next turn continues.
const MOST_IN_A_TURN: u32 = 4000;
/// How many names are read at once.
const AT_ONCE: usize = 4096;

/// The users whose files may be removed: the files' owner, and we.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owners {
    files: u32,
    ourselves: u32,
}

impl Owners {
    /// The owners for a volume of `owner`.
    pub(super) fn of(owner: Ownership) -> Self {
        let ourselves = fs::effective_ids().0;
        Self { files: owner.uid.unwrap_or(ourselves), ourselves }
    }

    /// The files' owner.
    pub(super) fn files(self) -> u32 {
        self.files
    }

    /// Whether `uid` is one of them.
    pub(super) fn has(self, uid: u32) -> bool {
        uid == self.files || uid == self.ourselves
    }
}

/// How many entries may still be removed.
#[derive(Debug)]
pub(super) struct Budget(u32);

impl Budget {
    /// The budget of a start, which has nothing else to do.
    pub(super) fn of_start() -> Self {
        Self(MOST_AT_START)
    }

    /// The budget of one turn of a process that has other work.
    pub(super) fn of_turn() -> Self {
        Self(MOST_IN_A_TURN)
    }

    /// Counts an entry; E2BIG when the limit is reached.
    fn count(&mut self) -> fs::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

/// Removes a folder with its content, but no more entries than `budget` has left; then returns E2BIG. It is no error if
/// the folder does not exist.
///
/// No link is followed, and no folder of another owner or another mount is emptied. After an error the rest stays under
/// the same name.
///
/// An owner other than root cannot empty a folder that it may not write to; it is then made writable for its owner
/// alone.
///
/// However deeply folders are nested in it, two descriptors suffice: nested folders are moved up before their parent is
/// removed.
pub(super) fn remove(budget: &mut Budget, parent: &Folder, name: &OsStr, owners: Owners) -> fs::Result<()> {
    let top = match open_to_empty(parent, name, owners) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found?,
    };
    // Nobody can have made the names that come, so looking for a free one takes nothing from what may be removed.
    let moved = getrandom::u64().unwrap_or_default();
    let mut removal = Removal { owners, budget, moved };
    loop {
        let names = top.some_names(AT_ONCE)?;
        if names.is_empty() {
            return parent.remove_folder(name);
        }
        for below in names {
            removal.budget.count()?;
            match top.find(&below)?.map(|found| found.kind) {
                Some(Kind::Folder) => removal.flatten(&top, &below)?,
                Some(_) => top.unlink(&below)?,
                None => {}
            }
        }
    }
}

/// The progress of a removal.
struct Removal<'a> {
    owners: Owners,
    budget: &'a mut Budget,
    /// The number in the last name that a folder was moved to.
    moved: u64,
}

impl Removal<'_> {
    /// Removes a folder of `top`, after moving its subfolders into `top`.
    fn flatten(&mut self, top: &Folder, name: &OsStr) -> fs::Result<()> {
        let folder = open_to_empty(top, name, self.owners)?;
        loop {
            let names = folder.some_names(AT_ONCE)?;
            if names.is_empty() {
                return top.remove_folder(name);
            }
            for below in names {
                self.budget.count()?;
                match folder.find(&below)?.map(|found| found.kind) {
                    Some(Kind::Folder) => {
                        // Moving a folder changes its `..` entry, so it has to be writable.
                        drop(open_to_empty(&folder, &below, self.owners)?);
                        self.move_up(&folder, &below, top)?;
                    }
                    Some(_) => folder.unlink(&below)?,
                    None => {}
                }
            }
        }
    }

    /// Moves a folder into `top` under an unused name.
    fn move_up(&mut self, folder: &Folder, name: &OsStr, top: &Folder) -> fs::Result<()> {
        loop {
            self.moved = self.moved.wrapping_add(1);
            let free = format!("..moved_{:x}", self.moved);
            if top.find(free.as_ref())?.is_none() {
                return folder.move_into(name, top, free.as_ref());
            }
            self.budget.count()?;
        }
    }
}

/// Opens a folder in order to empty it, making it writable for its owner if needed. Errors: EPERM for another owner,
/// EXDEV for another mount.
pub(super) fn open_to_empty(parent: &Folder, name: &OsStr, owners: Owners) -> fs::Result<Folder> {
    const OWNER: u32 = 0o700;
    let passed = parent.pass(name)?;
    let found = fs::meta(&passed)?;
    if !owners.has(found.uid) {
        return Err(Errno::EPERM);
    }
    if !mount::is_same(parent, &passed)? {
        return Err(Errno::EXDEV);
    }
    let is_closed = found.mode & OWNER != OWNER && found.uid == fs::effective_ids().0;
    let folder = match passed.open(".".as_ref()) {
        Err(Errno::EACCES) if is_closed => {
            fs::set_mode_of_passed(&passed, OWNER)?;
            return passed.open(".".as_ref());
        }
        opened => opened?,
    };
    if is_closed {
        fs::set_mode(&folder, OWNER)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_has_an_end_and_goes_on_where_it_ended() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = Folder::root().unwrap().pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        let parent = shm.open(dir.path().file_name().unwrap()).unwrap();
        for name in 0..25 {
            std::fs::create_dir_all(dir.path().join(format!("top/{name}"))).unwrap();
        }
        let owners = Owners::of(Ownership::default());
        let turn = || remove(&mut Budget(10), &parent, "top".as_ref(), owners);
        assert_eq!((turn(), turn(), turn(), turn()), (Err(Errno::E2BIG), Err(Errno::E2BIG), Ok(()), Ok(())));
        assert!(!dir.path().join("top").exists());
    }

    #[test]
    fn names_that_are_taken_do_not_keep_a_removal_from_going_on() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = Folder::root().unwrap().pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        let parent = shm.open(dir.path().file_name().unwrap()).unwrap();
        let top = dir.path().join("top");
        // The folder comes first, so that the names are taken when its own folder is moved up.
        for number in 1..=95 {
            std::fs::create_dir_all(top.join(format!("..moved_{number}"))).unwrap();
            std::fs::create_dir_all(top.join(format!("folder_{number}/below"))).unwrap();
        }
        let owners = Owners::of(Ownership::default());
        let mut calls = 0;
        while remove(&mut Budget(50), &parent, "top".as_ref(), owners) == Err(Errno::E2BIG) {
            calls += 1;
            assert!(calls < 100, "it makes no progress");
        }
        assert!(!top.exists());
    }
}
