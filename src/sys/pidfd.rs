//! A handle to a process that need not be a child: it never refers to a later process with the same pid
//! (pidfd_open(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::Pid;

use super::signals::{self, Signal, To};

/// A handle to a process. Check which process it is **after** opening the handle.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: Pid,
    /// `None` before Linux 5.3, or where an old seccomp profile refuses the call: then the pid is used, and a race
    /// between the check and the signal remains.
    fd: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Opens a handle.
    pub fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: no memory is touched.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let fd = RawFd::try_from(answer).expect("a descriptor fits");
        if fd >= 0 {
            // SAFETY: the kernel just returned this descriptor (close-on-exec), and nothing else owns it.
            return Ok(Self { pid, fd: Some(unsafe { OwnedFd::from_raw_fd(fd) }) });
        }
        match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(Self { pid, fd: None }),
            error => Err(error),
        }
    }

    /// Sends a signal to the process; fails with ESRCH if it has ended.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        let Some(fd) = &self.fd else { return signals::send(To::Process(self.pid), signal) };
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: without a siginfo the kernel fills in its own, as kill does.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal.raw(), no_info, 0) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
