//! The lock of a volume: whoever keeps its files fresh is alone. Two would remove each other's generations, and each would
//! revoke what the other one delivered.
//!
//! It is a flock(2) on a file that only its creator and root can open: on the directory any reader could hold it. The kernel
//! releases it when the process ends in any way, in other containers and pid namespaces too. An app that runs as the writer
//! can hold it as well, and then keeps itself from starting again; it could also remove every file.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::{debug, warn};

use crate::sys::fs::{Create, Errno, Folder};

use super::VolumeError;
use super::layout::LOCK;

/// How long a process writes to the volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writer {
    /// It delivers once and leaves the files behind. Others that do the same may run beside it, and it locks the volume only
    /// while it writes: the wait for a backend keeps nobody away.
    #[default]
    Once,
    /// It keeps the files fresh until it ends, alone.
    Stays,
}

/// The lock, held as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    writer: Writer,
    /// The locked file of a writer that stays.
    file: Option<File>,
}

impl Lock {
    /// A lock that is not held yet.
    pub(super) fn of(writer: Writer) -> Self {
        Self { writer, file: None }
    }

    /// Locks the volume for a writer that stays; nothing to do for another one, or when it is locked already. Returns why the
    /// file cannot be opened: it is another user's, or the app has put something in its place.
    pub(super) fn take(&mut self, volume: &Folder, path: &Path) -> Result<Option<Errno>, VolumeError> {
        if self.writer == Writer::Once || self.file.is_some() {
            return Ok(None);
        }
        let locked = lock(volume, path, self.writer)?;
        let why = locked.as_ref().err().copied();
        self.file = locked.ok();
        Ok(why)
    }

    /// The same; a file that cannot be opened is a warning.
    pub(super) fn take_or_warn(&mut self, volume: &Folder, path: &Path) -> Result<(), VolumeError> {
        if let Some(why) = self.take(volume, path)? {
            let lock = path.join(LOCK);
            let (lock, why) = (lock.display(), why.desc());
            warn!("cannot open {lock}: {why}; a second sidecar or supervisor of this volume is not noticed");
        }
        Ok(())
    }

    /// Locks the volume for one delivery of a writer that does not stay, until the value is dropped. `None` where nobody that
    /// stays has been, or its file cannot be opened.
    pub(super) fn for_a_delivery(&self, volume: &Folder, path: &Path) -> Result<Option<File>, VolumeError> {
        if self.writer == Writer::Once { Ok(lock(volume, path, self.writer)?.ok()) } else { Ok(None) }
    }

    /// Removes the file of a lock that nobody else can hold. Who waits for it finds that it is gone, and makes another one.
    pub(super) fn remove(&self, volume: &Folder) {
        if self.file.is_some()
            && let Err(why) = volume.unlink(LOCK.as_ref())
        {
            debug!("the lock of the volume stays: {}", why.desc());
        }
    }
}

/// Locks the file once, without waiting; the inner error is why it cannot be opened.
fn lock(volume: &Folder, path: &Path, writer: Writer) -> Result<Result<File, Errno>, VolumeError> {
    loop {
        let create = if writer == Writer::Once { Create::Nothing } else { Create::Missing };
        let file = match volume.open_lock(LOCK.as_ref(), create) {
            Ok(file) => file,
            Err(why) => return Ok(Err(why)),
        };
        let locked = match writer {
            Writer::Once => file.try_lock_shared(),
            Writer::Stays => file.try_lock(),
        };
        match locked {
            // Somebody may have removed it since it was opened.
            Ok(()) if file.metadata().is_ok_and(|found| found.nlink() > 0) => return Ok(Ok(file)),
            Ok(()) => {}
            Err(TryLockError::Error(_)) => return Ok(Err(Errno::ENOLCK)),
            Err(TryLockError::WouldBlock) => return Err(VolumeError::Busy(path.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Folder {
        let relative = folder.strip_prefix("/").unwrap();
        relative.iter().fold(Folder::root().unwrap(), |at, name| at.open(name).unwrap())
    }

    #[test]
    fn one_writer_that_stays_is_alone_until_it_has_ended() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (volume, path) = (open(dir.path()), dir.path());
        let once = Lock::of(Writer::Once);
        assert!(once.for_a_delivery(&volume, path).unwrap().is_none(), "nobody stays, and nothing is made");
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
        let [mut first, mut second] = [Writer::Stays; 2].map(Lock::of);
        assert_eq!(first.take(&volume, path), Ok(None));
        assert_eq!(first.file.as_ref().unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(once.for_a_delivery(&volume, path).unwrap_err(), VolumeError::Busy(path.to_owned()));
        assert_eq!(second.take(&volume, path), Err(VolumeError::Busy(path.to_owned())));
        assert_eq!(first.take(&volume, path), Ok(None), "it has it already");
        drop(first);
        let beside = [(); 2].map(|()| once.for_a_delivery(&volume, path).unwrap().unwrap());
        assert_eq!(second.take(&volume, path), Err(VolumeError::Busy(path.to_owned())), "two write");
        drop(beside);
        assert_eq!(second.take(&volume, path), Ok(None));
        second.remove(&volume);
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn what_an_app_puts_in_the_place_of_the_lock_hinders_nobody() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (volume, path) = (open(dir.path()), dir.path().join(LOCK));
        let take = || Lock::of(Writer::Stays).take(&volume, dir.path());
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(take(), Ok(Some(Errno::ELOOP)));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(take(), Ok(Some(Errno::EISDIR)));
    }
}
