//! The terminal on standard input: whose it is, and handing it over.

use std::io::{self, IsTerminal};

use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{self, Pid};

use super::signals::{self, Signal, To};
use super::wait;

/// What control we have over a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtyControl {
    /// No terminal: nobody's keys reach us.
    Without,
    /// There is one, but others of our process group (a pipeline) or another group use it as well: its keys reach our
    /// whole group, and it is not ours to hand over.
    Shared,
    /// Standard input is a terminal, our group has it, and nobody else of a pipeline needs it.
    Foreground,
}

/// Our control over the terminal on standard input, or over the controlling one.
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

fn has_controlling_terminal() -> bool {
    // Opening it works only with a controlling terminal; the file itself exists in every container.
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether our own group is in the foreground of the terminal on standard input.
pub fn is_in_foreground() -> bool {
    unistd::tcgetpgrp(io::stdin()).is_ok_and(|group| group == unistd::getpgrp())
}

/// Makes `group` the foreground of the terminal on standard input. A terminal that went away is no error worth ending
/// for; SIGTTOU is blocked, so this works from the background as well.
pub fn hand_to(group: Pid) {
    let _gone = unistd::tcsetpgrp(io::stdin(), group);
}

/// Whether we are the leader of our process group, and so cannot make one of our own.
pub fn leads_its_group() -> bool {
    unistd::getpgrp() == unistd::getpid()
}

/// Leaves our process group for one of our own: what is sent to the group then reaches the others of it alone. Returns the
/// group that was left; `None` when we stay, as the leader of a session has to (setpgid(2)).
///
/// The leader of a group needs a child for a moment, in whose group it goes.
pub fn leave_group() -> Option<Pid> {
    let (own, group) = (unistd::getpid(), unistd::getpgrp());
    if unistd::getsid(None) == Ok(own) {
        return None;
    }
    let zero = Pid::from_raw(0);
    if !leads_its_group() {
        return unistd::setpgid(zero, zero).is_ok().then_some(group);
    }
    // SAFETY: the child makes one system call, again and again.
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

/// Back into the group that was left, if anybody is still in it (or it was ours).
pub fn join_group(group: Pid) {
    let _gone = unistd::setpgid(Pid::from_raw(0), group);
}
