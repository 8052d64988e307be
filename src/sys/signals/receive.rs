//! Reading signals from a signalfd (man 2 signalfd).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::set::{SET_BYTES, SignalSet};
use super::signal::Signal;

/// The sender of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The kernel: a key pressed in a terminal signals its whole foreground process group.
    Kernel,
    /// A process, by `kill` or similar.
    Process,
    /// A process, by `sigqueue`, with this value.
    Queued(usize),
}

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The signal.
    pub signal: Signal,
    /// Its sender.
    pub origin: Origin,
}

/// The signalfd that [`SignalSet::READ`] is read from: close-on-exec and non-blocking, for `poll` or an async
/// reactor.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Opens it. The signals must be blocked already (see `harden`), in every thread.
    pub fn open() -> io::Result<Self> {
        Self::only(SignalSet::READ)
    }

    /// Opens it for the signals of `set` only; the others stay pending.
    pub fn only(set: SignalSet) -> io::Result<Self> {
        let set = set.bits();
        // SAFETY: the set is eight bytes, which is the size said.
        let fd = unsafe {
            libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET_BYTES, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        let fd = RawFd::try_from(fd).expect("a descriptor fits");
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Reads the next signal without waiting; `None` if none is pending.
    pub fn next_received(&self) -> io::Result<Option<Received>> {
        // SAFETY: an all-zero signalfd_siginfo is valid.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of_val(&info);
        // SAFETY: reads at most `size` bytes into a structure of that size; a signalfd gives whole ones only.
        let count = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        let number = i32::try_from(info.ssi_signo).expect("a signal number is small");
        let origin = match info.ssi_code {
            libc::SI_QUEUE => Origin::Queued(usize::try_from(info.ssi_ptr).expect("pointers are 64 bits here")),
            code if code > 0 => Origin::Kernel,
            _ => Origin::Process,
        };
        Ok(Signal::from_number(number).map(|signal| Received { signal, origin }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
