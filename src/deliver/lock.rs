//! The lock of a volume: whoever keeps its files fresh is alone. Two would remove each other's generations, and each would
//! revoke what the other one delivered.
//!
//! It is a flock(2) on a file that only its creator and root can open: on the directory any reader could hold it. The kernel
//! releases it when the process ends in any way, in other containers and pid namespaces too. An app that runs as the writer
//! can hold it as well, and then keeps itself from starting again; it could also remove every file.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tracing::{debug, warn};

use crate::sys::clock;
use crate::sys::fs::{Create, Folder};

use super::VolumeError;
use super::layout::LOCK;

/// How often the lock is tried.
const EVERY: Duration = Duration::from_millis(50);

/// How long a process writes to the volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writer {
    /// It delivers once and leaves the files behind. Others that do the same may run beside it.
    #[default]
    Once,
    /// It keeps the files fresh until it ends, alone.
    Stays,
    /// The same, and it can write elsewhere if another one is there, so it does not wait for its end.
    StaysOrGoes,
}

impl Writer {
    /// How long the end of another writer is waited for: a process that was killed may take a moment to disappear.
    fn patience(self) -> Duration {
        if self == Self::StaysOrGoes { Duration::ZERO } else { Duration::from_secs(5) }
    }
}

/// The lock, held as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    writer: Writer,
}

impl Lock {
    /// Locks the volume. `None` where there is nothing to lock: no file for a [`Writer::Once`], or one that we may not open
    /// or that the app has put in its place.
    pub(super) fn of(volume: &Folder, path: &Path, writer: Writer) -> Result<Option<Self>, VolumeError> {
        Ok(lock(volume, path, writer, writer.patience())?.map(|file| Self { _file: file, writer }))
    }

    /// Removes the file of a lock that nobody else can hold. Who waits for it finds that it is gone, and makes another one.
    pub(super) fn remove(&self, volume: &Folder) {
        if self.writer != Writer::Once
            && let Err(why) = volume.unlink(LOCK.as_ref())
        {
            debug!("the lock of the volume stays: {}", why.desc());
        }
    }
}

/// Waits for the lock, up to `patience`.
fn lock(volume: &Folder, path: &Path, writer: Writer, patience: Duration) -> Result<Option<File>, VolumeError> {
    let begun = clock::boottime();
    let mut has_said = false;
    loop {
        let create = if writer == Writer::Once { Create::Nothing } else { Create::Missing };
        let Ok(file) = volume.open_lock(LOCK.as_ref(), create) else { return Ok(None) };
        let locked = match writer {
            Writer::Once => file.try_lock_shared(),
            Writer::Stays | Writer::StaysOrGoes => file.try_lock(),
        };
        match locked {
            // Somebody may have removed it since it was opened.
            Ok(()) if file.metadata().is_ok_and(|found| found.nlink() > 0) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if clock::boottime().saturating_sub(begun) >= patience => {
                return Err(VolumeError::Busy(path.to_owned()));
            }
            Err(TryLockError::WouldBlock) => {
                if !has_said {
                    let path = path.display();
                    warn!(
                        "another secret-exec writes below {path}; waiting up to {} s for its end",
                        patience.as_secs()
                    );
                    has_said = true;
                }
                sleep(EVERY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(5);

    fn open(folder: &Path) -> Folder {
        let relative = folder.strip_prefix("/").unwrap();
        relative.iter().fold(Folder::root().unwrap(), |at, name| at.open(name).unwrap())
    }

    #[test]
    fn one_writer_that_stays_is_alone_until_it_has_ended() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let volume = open(dir.path());
        assert!(lock(&volume, dir.path(), Writer::Once, SHORT).unwrap().is_none(), "nobody stays, and nothing is made");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let first = lock(&volume, dir.path(), Writer::Stays, SHORT).unwrap().unwrap();
        assert_eq!(first.metadata().unwrap().mode() & 0o7777, 0o600);
        for other in [Writer::Once, Writer::Stays, Writer::StaysOrGoes] {
            assert_eq!(lock(&volume, dir.path(), other, SHORT).unwrap_err(), VolumeError::Busy(dir.path().to_owned()));
        }
        drop(first);
        let once = [Writer::Once; 2].map(|writer| lock(&volume, dir.path(), writer, SHORT).unwrap().unwrap());
        drop(once);
        assert!(lock(&volume, dir.path(), Writer::Stays, SHORT).unwrap().is_some());
    }

    #[test]
    fn a_writer_that_ends_in_time_is_waited_for() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let volume = open(dir.path());
        let first = lock(&volume, dir.path(), Writer::Stays, SHORT).unwrap().unwrap();
        let ends = std::thread::spawn(move || {
            sleep(Duration::from_millis(300));
            drop(first);
        });
        assert!(lock(&volume, dir.path(), Writer::Stays, LONG).unwrap().is_some());
        ends.join().unwrap();
    }

    #[test]
    fn what_an_app_puts_in_the_place_of_the_lock_hinders_nobody() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (volume, path) = (open(dir.path()), dir.path().join(LOCK));
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(lock(&volume, dir.path(), Writer::Stays, SHORT).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(lock(&volume, dir.path(), Writer::Stays, SHORT).unwrap().is_none());
    }
}
