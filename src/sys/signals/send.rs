//! Sending signals (man 2 kill, man 3 sigqueue).

use std::io;

use nix::unistd::Pid;

use super::set::{SignalSet, swap_mask};
use super::signal::Signal;

/// Whom a signal goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// One process.
    Process(Pid),
    /// Everybody in its process group.
    Group(Pid),
}

/// Sends a signal.
pub fn send(to: To, signal: Signal) -> io::Result<()> {
    let target = match to {
        To::Process(pid) => pid.as_raw(),
        To::Group(pid) => -pid.as_raw(),
    };
    // 0, -1 and init's group would reach far more than was meant.
    assert!(target != 0 && target != -1, "a signal has one addressee");
    // SAFETY: no memory is touched.
    if unsafe { libc::kill(target, signal.raw()) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal with a value, as `sigqueue` had sent it to us.
pub fn send_with_value(pid: Pid, signal: Signal, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value) };
    // SAFETY: the value is only a number to the kernel; no memory is touched.
    if unsafe { libc::sigqueue(pid.as_raw(), signal.raw(), value) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Stops this process the way Ctrl-Z would have; returns when somebody continues it.
///
/// At once when nobody could continue it: the kernel does not let SIGTSTP stop an orphaned process group.
pub fn stop_ourselves() {
    let before = swap_mask(SignalSet::READ.without(Signal::TSTP));
    // SAFETY: raise touches no memory; by default this signal stops, and the thread goes on here afterwards.
    unsafe { libc::raise(libc::SIGTSTP) };
    swap_mask(before);
}
