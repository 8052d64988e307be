//! Children: what became of them, orphans taken in, and who is left.

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
    /// The exit code that stands for it: its own, or 128+n.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal.number(),
        }
    }
}

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is over and reaped: the number may belong to somebody else from now on.
    Ended(Ended),
    /// A signal stopped it.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

/// An answer of [`next_change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Something became of this child.
    Changed(Pid, Change),
    /// There are children; nothing became of them.
    Nothing,
    /// There are none.
    Childless,
}

/// What became of any child, without waiting. Call it until it has nothing to say: one SIGCHLD stands for many.
pub fn next_change() -> io::Result<Waited> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: the kernel writes one integer, which is ours. (nix loses children ended by a real-time signal.)
    match unsafe { libc::waitpid(-1, &raw mut status, flags) } {
        0 => Ok(Waited::Nothing),
        pid if pid > 0 => Ok(Waited::Changed(Pid::from_raw(pid), change(status))),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(Waited::Childless),
            error => Err(error),
        },
    }
}

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
    // SAFETY: the kernel writes one integer, which is ours.
    while unsafe { libc::waitpid(child.as_raw(), &raw mut status, 0) } < 0 && nix::Error::last() == nix::Error::EINTR {}
}

/// From now on orphans among our descendants become our children, as they do with pid 1.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Whether a child is over and waits to be reaped. It stays so: only `next_change` reaps.
pub fn is_over(child: Pid) -> io::Result<bool> {
    // SAFETY: an all-zero siginfo is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(child.as_raw()).expect("a process has a positive number");
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo, which is ours.
    if unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid filled it in, or left it zero when there is nothing to tell.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Our own children that still run. Only we can reap them, so their numbers cannot pass to others meanwhile.
///
/// An error without /proc.
pub fn children() -> io::Result<Vec<Pid>> {
    let own_pid = nix::unistd::getpid();
    // One that ended since is no error.
    let is_running = |pid: &Pid| Stat::read(*pid).is_some_and(|stat| stat.parent == own_pid && !stat.is_over);
    Ok(proc::pids()?.into_iter().filter(is_running).collect())
}

/// Whether there is no child but `one`, reaped to the last.
///
/// A zombie counts as there: other threads of it may still run, and its end will be told. An error without /proc.
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
