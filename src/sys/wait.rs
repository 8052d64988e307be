//! Children: what became of them, orphans taken in, and who is left.

use std::io;

use nix::sys::prctl;
use nix::unistd::Pid;

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

/// Our own children that still run. Only we can reap them, so their numbers cannot pass to others meanwhile.
///
/// An error without /proc.
pub fn children() -> io::Result<Vec<Pid>> {
    let ours = nix::unistd::getpid().as_raw();
    let mut found = Vec::new();
    let mut is_mounted = false;
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        is_mounted |= pid == ours;
        // One that ended since is no error.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        if parent_of_running(&stat) == Some(ours) {
            found.push(Pid::from_raw(pid));
        }
    }
    // An empty directory is not the same as nobody.
    if is_mounted { Ok(found) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The parent in a line of `/proc/PID/stat`; `None` for a zombie. The name in it may hold anything, brackets too.
fn parent_of_running(stat: &[u8]) -> Option<i32> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_ends + 1..]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
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

    #[test]
    fn the_parent_is_read_behind_whatever_the_name_is() {
        assert_eq!(parent_of_running(b"7 (a) S 1 (x) R) S 42 7 7 0"), Some(42));
        assert_eq!(parent_of_running(b"7 (gone) Z 42 7 7 0"), None);
        assert_eq!(parent_of_running(b""), None);
    }
}
