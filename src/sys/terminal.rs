//! The terminal on standard input: who controls it, and handing it over.

use std::io::{self, IsTerminal};

use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{self, Pid};

use super::signals::{self, Signal, To};
use super::wait;

/// This process's control over a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtyControl {
    /// No terminal: no keys send signals.
    Without,
    /// There is a terminal, but it is shared with other processes of this group (a pipeline) or with another group:
    /// its keys signal the whole group, and it must not be handed over.
    Shared,
    /// Standard input is a terminal, this process group is its foreground group, and no pipeline uses it.
    Foreground,
}

/// This process's control over the terminal on standard input, or over its controlling terminal.
pub fn tty_control() -> TtyControl {
    let stdin = io::stdin();
    let Ok(foreground) = unistd::tcgetpgrp(&stdin) else {
        return if has_controlling_terminal() { TtyControl::Shared } else { TtyControl::Without };
    };
    let is_piped = fstat(io::stdout()).is_ok_and(|stat| {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    });
    if stdin.is_terminal() && foreground == unistd::getpgrp() && !is_piped {
        TtyControl::Foreground
    } else {
        TtyControl::Shared
    }
}

/// Whether the process has a controlling terminal.
fn has_controlling_terminal() -> bool {
    // Opening it succeeds only with a controlling terminal; the file exists in every container.
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process's group is the foreground group of the terminal on standard input.
pub fn is_in_foreground() -> bool {
    unistd::tcgetpgrp(io::stdin()).is_ok_and(|group| group == unistd::getpgrp())
}

/// Makes `group` the foreground group of the terminal on standard input. A terminal that has gone is ignored. Works
/// from the background too, because SIGTTOU is blocked.
pub fn hand_to(group: Pid) {
    let _gone = unistd::tcsetpgrp(io::stdin(), group);
}

/// Whether this process is the leader of its process group, and so cannot create a new one directly.
pub fn is_group_leader() -> bool {
    unistd::getpgrp() == unistd::getpid()
}

/// Moves this process to a process group of its own, so that signals to the old group no longer reach it. Returns
/// the old group; `None` if it stays, as the leader of a session must (setpgid(2)).
///
/// The leader of a group needs a short-lived child, whose group it joins.
pub fn leave_group() -> Option<Pid> {
    let (own, group) = (unistd::getpid(), unistd::getpgrp());
    if unistd::getsid(None) == Ok(own) {
        return None;
    }
    let zero = Pid::from_raw(0);
    if !is_group_leader() {
        return unistd::setpgid(zero, zero).is_ok().then_some(group);
    }
    // SAFETY: the child makes one system call repeatedly.
    match unsafe { libc::fork() } {
        0 => loop {
            // SAFETY: no memory is involved.
            unsafe { libc::pause() };
        },
        child if child > 0 => {
            let child = Pid::from_raw(child);
            let moved = unistd::setpgid(child, child).and_then(|()| unistd::setpgid(zero, child));
            let _gone = signals::send(To::Process(child), Signal::KILL);
            wait::reap(child);
            moved.is_ok().then_some(group)
        }
        _ => None,
    }
}

/// Moves back to the group that was left, if it still exists.
pub fn join_group(group: Pid) {
    let _gone = unistd::setpgid(Pid::from_raw(0), group);
}
