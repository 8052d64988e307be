//! Children: their changes of state, adopted orphans, and which still run.

use std::io;

use nix::sys::prctl;
use nix::unistd::Pid;

use super::proc::{self, Stat};
use super::signals::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Code(u8),
    /// By a signal.
    Signal(Signal),
}

impl Ended {
    /// The exit code: its own, or 128+n for a signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal.number(),
        }
    }
}

/// A child's change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ended and was reaped: its pid may be reused from now on.
    Ended(Ended),
    /// A signal stopped it.
    Stopped(Signal),
    /// It was continued.
    Continued,
}

/// The result of [`next_change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// This child changed its state.
    Changed(Pid, Change),
    /// There are children, without a change.
    Nothing,
    /// There are no children.
    Childless,
}

/// The next change of any child, without waiting. Call it until it returns no change: one SIGCHLD may stand for
/// several.
pub fn next_change() -> io::Result<Waited> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: the kernel writes one integer, which is a local. (nix loses children ended by a real-time signal.)
    match unsafe { libc::waitpid(-1, &raw mut status, flags) } {
        0 => Ok(Waited::Nothing),
        pid if pid > 0 => Ok(Waited::Changed(Pid::from_raw(pid), change(status))),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(Waited::Childless),
            error => Err(error),
        },
    }
}

/// Decodes the status of waitpid(2).
fn change(status: i32) -> Change {
    let signal = |number| Signal::from_number(number).expect("the kernel's signals are 1 to 64");
    if libc::WIFEXITED(status) {
        Change::Ended(Ended::Code(u8::try_from(libc::WEXITSTATUS(status)).expect("an exit status is one byte")))
    } else if libc::WIFSIGNALED(status) {
        Change::Ended(Ended::Signal(signal(libc::WTERMSIG(status))))
    } else if libc::WIFSTOPPED(status) {
        Change::Stopped(signal(libc::WSTOPSIG(status)))
    } else {
        Change::Continued
    }
}

/// Waits for one child to end and reaps it.
pub(super) fn reap(child: Pid) {
    let mut status = 0;
    // SAFETY: the kernel writes one integer, which is a local.
    while unsafe { libc::waitpid(child.as_raw(), &raw mut status, 0) } < 0 && nix::Error::last() == nix::Error::EINTR {}
}

/// Makes orphaned descendants children of this process from now on, as those of pid 1 are.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Whether a child has ended and is not reaped yet. It stays so: only `next_change` reaps.
pub fn is_over(child: Pid) -> io::Result<bool> {
    // SAFETY: an all-zero siginfo is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(child.as_raw()).expect("a process has a positive number");
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo, which is a local.
    if unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid filled it in, or left it zero if the child has not ended.
    Ok(unsafe { info.si_pid() } != 0)
}

/// The children of this process that still run. Only this process can reap them, so their pids cannot be reused
/// meanwhile.
///
/// Fails without /proc.
pub fn children() -> io::Result<Vec<Pid>> {
    let own_pid = nix::unistd::getpid();
    // One that has ended since is left out.
    let is_running = |pid: &Pid| Stat::read(*pid).is_some_and(|stat| stat.parent == own_pid && !stat.is_over);
    Ok(proc::pids()?.into_iter().filter(is_running).collect())
}

/// Whether this process has no child except `one`.
///
/// A zombie counts as a child: other threads of it may still run, and its end is still to be reported. Fails
/// without /proc.
pub fn is_only_child(one: Pid) -> io::Result<bool> {
    let own_pid = nix::unistd::getpid();
    let is_other = |pid: Pid| pid != one && Stat::read(pid).is_some_and(|stat| stat.parent == own_pid);
    Ok(!proc::pids()?.into_iter().any(is_other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_read_as_the_kernel_packs_it() {
        for code in 0..=255 {
            assert_eq!(change(i32::from(code) << 8), Change::Ended(Ended::Code(code)));
        }
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(change(number), Change::Ended(Ended::Signal(signal)));
            assert_eq!(change(number | 0x80), Change::Ended(Ended::Signal(signal)), "with a core");
            assert_eq!(change((number << 8) | 0x7f), Change::Stopped(signal));
        }
        assert_eq!(change(0xffff), Change::Continued);
        assert_eq!(Ended::Signal(Signal::KILL).code(), 137);
    }
}
