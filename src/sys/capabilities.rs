//! Capability sets of this thread, by raw system calls (capabilities(7)); usable between fork and execve.

use std::io;

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words per set.
const VERSION: u32 = 0x2008_0522;

/// An unused argument of prctl: a full word, as the kernel compares it; a plain `0` would be an int.
const NONE: libc::c_ulong = 0;

/// The capabilities that this program checks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
}

/// The three sets that `capget` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sets {
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
}

impl Sets {
    pub(super) const EMPTY: Self = Self { effective: 0, permitted: 0, inheritable: 0 };

    /// Whether the capability is effective.
    pub(super) fn has(&self, capability: Capability) -> bool {
        self.effective & (1 << capability as u32) != 0
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Reads this thread's sets.
pub(super) fn read() -> Result<Sets, nix::Error> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut words = [Word::default(); 2];
    // SAFETY: version 3 writes two words; header and words have the kernel's layout.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    nix::Error::result(answer)?;
    let join = |pick: fn(&Word) -> u32| u64::from(pick(&words[0])) | u64::from(pick(&words[1])) << 32;
    Ok(Sets {
        effective: join(|word| word.effective),
        permitted: join(|word| word.permitted),
        inheritable: join(|word| word.inheritable),
    })
}

/// Empties all three sets. Always permitted.
pub(super) fn clear() -> Result<(), nix::Error> {
    let mut header = Header { version: VERSION, pid: 0 };
    let words = [Word::default(); 2];
    // SAFETY: version 3 reads two words; header and words have the kernel's layout.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    nix::Error::result(answer).map(drop)
}

/// Empties the bounding set; needs CAP_SETPCAP.
pub(super) fn clear_bounding() -> Result<(), nix::Error> {
    (0..64).take_while(|number| is_bounding(*number).is_some()).try_for_each(|number| {
        // SAFETY: no memory is touched.
        nix::Error::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, NONE, NONE, NONE) }).map(drop)
    })
}

/// Whether the bounding set is empty.
pub(super) fn is_bounding_empty() -> bool {
    (0..64).map_while(is_bounding).all(|is_in| !is_in)
}

/// Whether the capability is in the bounding set; `None` above the last one that the kernel knows.
fn is_bounding(number: libc::c_ulong) -> Option<bool> {
    // SAFETY: no memory is touched.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, NONE, NONE, NONE) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Empties the ambient set. Kernels before 4.3 have no such set, which counts as empty.
pub(super) fn clear_ambient() -> Result<(), nix::Error> {
    match ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0) {
        Ok(_) | Err(nix::Error::EINVAL) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the ambient set is empty.
pub(super) fn is_ambient_empty() -> bool {
    (0..64).map_while(|number| ambient(libc::PR_CAP_AMBIENT_IS_SET, number).ok()).all(|is_in| is_in == 0)
}

/// The prctl of one operation on the ambient set.
fn ambient(operation: libc::c_int, number: libc::c_ulong) -> Result<libc::c_int, nix::Error> {
    let operation = libc::c_ulong::try_from(operation).expect("a small positive constant");
    // SAFETY: no memory is touched.
    nix::Error::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation, number, NONE, NONE) })
}

/// Whether this process has one thread. Counted in /proc; without /proc by a call that only a single-threaded
/// process may make: `unshare(CLONE_VM)` fails with EINVAL if there are more threads, and does nothing otherwise.
pub(super) fn is_alone() -> io::Result<bool> {
    match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => Ok(tasks.count() == 1),
        // SAFETY: no memory is touched; in a single-threaded process, nothing is unshared.
        Err(_) => match nix::Error::result(unsafe { libc::unshare(libc::CLONE_VM) }) {
            Ok(_) => Ok(true),
            Err(nix::Error::EINVAL) => Ok(false),
            Err(error) => Err(error.into()),
        },
    }
}
