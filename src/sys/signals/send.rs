//! Sending signals (man 2 kill, man 3 sigqueue).

use std::io;

use nix::unistd::Pid;

use super::set::{SignalSet, swap_mask};
use super::signal::Signal;

/// The target of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// One process.
    Process(Pid),
    /// Every process of this process group.
    Group(Pid),
}

/// Sends a signal. Panics for a target that would mean many processes (0, -1).
pub fn send(to: To, signal: Signal) -> io::Result<()> {
    let target = match to {
        To::Process(pid) => pid.as_raw(),
        To::Group(pid) => -pid.as_raw(),
    };
    // 0, -1 and init's group would mean far more processes than intended.
    assert!(target != 0 && target != -1, "a signal has one addressee");
    // SAFETY: no memory is touched.
    if unsafe { libc::kill(target, signal.raw()) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal with a value, as `sigqueue` does.
pub fn send_with_value(pid: Pid, signal: Signal, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value) };
    // SAFETY: the value is only a number to the kernel; no memory is touched.
    if unsafe { libc::sigqueue(pid.as_raw(), signal.raw(), value) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Stops this process as Ctrl-Z would; returns when it is continued.
///
/// Returns at once in an orphaned process group, which the kernel does not let SIGTSTP stop: nothing could continue
/// it.
pub fn stop_ourselves() {
    let before = swap_mask(SignalSet::READ.without(Signal::TSTP));
    // SAFETY: raise touches no memory; this signal's default stops the process, and the thread continues here
    // afterwards.
    unsafe { libc::raise(libc::SIGTSTP) };
    swap_mask(before);
}
