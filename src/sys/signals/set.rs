//! Sets of signals, for the mask, pending signals and ignored signals.

use std::fmt;

use super::signal::Signal;

/// The size of the kernel's signal set: 64 signals, one bit each.
pub(super) const SET_BYTES: usize = size_of::<u64>();

/// A set of signals as the kernel defines it (libc's sets hide two real-time signals that libc uses itself).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Every signal that is blocked and read from the signalfd: all but those that report a fault of this process,
    /// and the two that libc uses to make `setresuid` reach all threads. (KILL and STOP cannot be blocked.)
    pub const READ: Self = {
        let faults = [
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGABRT,
            libc::SIGTRAP,
            libc::SIGSYS,
            32,
            33,
            libc::SIGKILL,
            libc::SIGSTOP,
        ];
        let mut set = Self(u64::MAX);
        let mut index = 0;
        while index < faults.len() {
            set.0 &= !Signal::known(faults[index]).bit();
            index += 1;
        }
        set
    };

    /// Whether `signal` is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// The set plus `signal`.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | signal.bit())
    }

    /// The set without `signal`.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !signal.bit())
    }

    /// The signals of the set in rising order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |signal| self.contains(*signal))
    }

    pub(in crate::sys) fn bits(self) -> u64 {
        self.0
    }

    pub(in crate::sys) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Sets this thread's mask and returns the previous one. Only system calls: usable between fork and execve.
pub(in crate::sys) fn swap_mask(set: SignalSet) -> SignalSet {
    let mut before = 0_u64;
    // SAFETY: both point to eight bytes, which is the size said; raw, because libc's wrapper edits the set.
    let answer = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set.0, &raw mut before, SET_BYTES)
    };
    assert_eq!(answer, 0, "a mask of the right size is always accepted");
    SignalSet(before)
}

/// Blocked signals that are pending for this thread or the process.
pub fn pending() -> SignalSet {
    let mut set = 0_u64;
    // SAFETY: the kernel writes eight bytes, which is the size said.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, SET_BYTES) };
    assert_eq!(answer, 0, "a set of the right size is always accepted");
    SignalSet(set)
}

/// A disposition without a handler function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sys) enum Disposition {
    /// The kernel's default action.
    Default,
    /// The signal is discarded.
    Ignore,
}

/// Sets the disposition of one signal. libc refuses KILL, STOP and its own two, whose disposition cannot differ;
/// that is ignored.
pub(in crate::sys) fn set_disposition(signal: Signal, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    // SAFETY: no handler function is installed; the return value is the former one or SIG_ERR, neither is used.
    unsafe { libc::signal(signal.raw(), handler) };
}

/// The signals that this process ignores now.
pub(in crate::sys) fn ignored() -> SignalSet {
    let mut set = SignalSet::EMPTY;
    for signal in (1..=64).map(Signal) {
        // SAFETY: an all-zero sigaction is valid; the kernel writes to this local one.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null new action only reads; numbers libc refuses leave `action` at SIG_DFL.
        let answer = unsafe { libc::sigaction(signal.raw(), std::ptr::null(), &raw mut action) };
        if answer == 0 && action.sa_sigaction == libc::SIG_IGN {
            set = set.with(signal);
        }
    }
    set
}

/// Whether `signal` would end a process that ignores and blocks these signals and has no handlers.
pub(in crate::sys) fn would_end(signal: Signal, ignored: SignalSet, mask: SignalSet) -> bool {
    signal.default_ends() && !ignored.contains(signal) && !mask.contains(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_our_own_and_what_nobody_can_block_are_not_read() {
        let unread: Vec<_> = (1..=64).map(Signal).filter(|signal| !SignalSet::READ.contains(*signal)).collect();
        let names: Vec<_> = unread.iter().map(Signal::to_string).collect();
        let expected = ["ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "SEGV", "STOP", "SYS"].map(|n| format!("SIG{n}"));
        assert_eq!(names[..9], expected);
        assert_eq!(names[9..], ["signal 32", "signal 33"]);
    }

    #[test]
    fn what_ends_a_process_depends_on_what_it_inherited() {
        let (none, hup) = (SignalSet::EMPTY, SignalSet::EMPTY.with(Signal::HUP));
        assert!(would_end(Signal::HUP, none, none));
        assert!(!would_end(Signal::HUP, hup, none), "nohup");
        assert!(!would_end(Signal::HUP, none, hup), "blocked");
        for harmless in [Signal::CHLD, Signal::WINCH, Signal::TSTP, Signal::CONT] {
            assert!(!would_end(harmless, none, none), "{harmless}");
        }
        assert!(would_end(Signal(64), none, none));
    }
}
