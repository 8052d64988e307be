//! Signals by number, real-time ones too: sets, the mask, the signalfd they are read from, and sending them.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::Pid;

/// What the kernel takes for a signal set: 64 signals, one bit each.
const SET_BYTES: usize = size_of::<u64>();

/// A signal, 1 to 64. `nix` knows no real-time signals, which are forwarded like the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// The terminal or the session is gone; by custom: read your configuration again.
    pub const HUP: Self = Self::known(libc::SIGHUP);
    /// Ctrl-C.
    pub const INT: Self = Self::known(libc::SIGINT);
    /// Ctrl-\.
    pub const QUIT: Self = Self::known(libc::SIGQUIT);
    /// Please end.
    pub const TERM: Self = Self::known(libc::SIGTERM);
    /// The end, undeniably.
    pub const KILL: Self = Self::known(libc::SIGKILL);
    /// A reader is gone.
    pub const PIPE: Self = Self::known(libc::SIGPIPE);
    /// A child ended, stopped or went on.
    pub const CHLD: Self = Self::known(libc::SIGCHLD);
    /// Go on.
    pub const CONT: Self = Self::known(libc::SIGCONT);
    /// Stop, undeniably.
    pub const STOP: Self = Self::known(libc::SIGSTOP);
    /// Ctrl-Z.
    pub const TSTP: Self = Self::known(libc::SIGTSTP);
    /// The terminal's size changed.
    pub const WINCH: Self = Self::known(libc::SIGWINCH);
    /// Out-of-band data, and what a broken file lease says here.
    pub const URG: Self = Self::known(libc::SIGURG);
    /// A descriptor is ready, or a file lease is broken.
    pub const IO: Self = Self::known(libc::SIGIO);

    const fn known(number: i32) -> Self {
        assert!(number >= 1 && number <= 64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the line above")]
        Self(number as u8)
    }

    /// A signal by its number; `None` outside 1 to 64.
    pub fn from_number(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=64).contains(number)).map(Self)
    }

    /// A signal by its name: `HUP`, `SIGHUP`, `RTMIN+3`, `RTMAX-1`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Self::from_number(*number);
        }
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        let offset = |text: &str| match text.as_bytes() {
            [] => Some(0),
            [b'+' | b'-', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => text[1..].parse::<i32>().ok(),
            _ => None,
        };
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) if !rest.starts_with('-') => first.checked_add(offset(rest)?)?,
            (_, Some(rest)) if !rest.starts_with('+') => last.checked_sub(offset(rest)?)?,
            _ => return None,
        };
        Self::from_number(number).filter(|_| (first..=last).contains(&number))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    pub(super) fn raw(self) -> i32 {
        i32::from(self.0)
    }

    /// What the kernel does when nobody handles or ignores it.
    fn default_ends(self) -> bool {
        !matches!(
            i32::from(self.0),
            libc::SIGCHLD
                | libc::SIGCONT
                | libc::SIGURG
                | libc::SIGWINCH
                | libc::SIGSTOP
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.raw()) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of signals, as the kernel has it (libc hides two real-time signals of its own from its sets).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Every signal that is blocked and read from the signalfd: all but the ones that report a fault of our own, and the
    /// two libc uses to make `setresuid` reach all threads. (KILL and STOP cannot be blocked; the kernel skips them.)
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

    /// Whether `signal` is in it.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// With `signal` in it.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | signal.bit())
    }

    /// With `signal` not in it.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !signal.bit())
    }

    /// Its signals in rising order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |signal| self.contains(*signal))
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl Signal {
    const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Sets this thread's mask and answers the one before. Only system calls: allowed between fork and execve.
pub(super) fn swap_mask(set: SignalSet) -> SignalSet {
    let mut before = 0_u64;
    // SAFETY: both point to eight bytes, which is the size said; raw, because libc's wrapper edits the set.
    let answer = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const set.0, &raw mut before, SET_BYTES)
    };
    assert_eq!(answer, 0, "a mask of the right size is always accepted");
    SignalSet(before)
}

/// Signals that are blocked and wait, of this thread and of the process.
pub fn pending() -> SignalSet {
    let mut set = 0_u64;
    // SAFETY: the kernel writes eight bytes, which is the size said.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, SET_BYTES) };
    assert_eq!(answer, 0, "a set of the right size is always accepted");
    SignalSet(set)
}

/// Whether a disposition is handed over by `execve`, or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// What the kernel does by itself.
    Default,
    /// Thrown away.
    Ignore,
}

/// Sets one disposition. libc refuses KILL, STOP and its own two, which nobody can have changed; so that is no error.
pub(super) fn set_disposition(signal: Signal, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    // SAFETY: no handler function is installed; the return value is the former one or SIG_ERR, neither is used.
    unsafe { libc::signal(signal.raw(), handler) };
}

/// Which signals are ignored right now.
pub(super) fn ignored() -> SignalSet {
    let mut set = SignalSet::EMPTY;
    for signal in (1..=64).map(Signal) {
        // SAFETY: an all-zero sigaction is valid; the kernel's answer is written to our own.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null new action only reads; numbers libc refuses leave `action` at SIG_DFL.
        let answer = unsafe { libc::sigaction(signal.raw(), std::ptr::null(), &raw mut action) };
        if answer == 0 && action.sa_sigaction == libc::SIG_IGN {
            set = set.with(signal);
        }
    }
    set
}

/// Whether `signal` would end a process with these ignored and blocked signals and no handlers.
pub(super) fn would_end(signal: Signal, ignored: SignalSet, mask: SignalSet) -> bool {
    signal.default_ends() && !ignored.contains(signal) && !mask.contains(signal)
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The kernel: a terminal's key reaches everybody in its foreground group at once.
    Kernel,
    /// A process, by `kill` and the like.
    Process,
    /// A process, by `sigqueue`, with a value.
    Queued(usize),
}

/// A signal that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// From whom.
    pub origin: Origin,
}

/// Where [`SignalSet::READ`] is read from: a signalfd, close-on-exec and non-blocking, for `poll` or an async reactor.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Opens it. The signals must be blocked already (see `harden`), in every thread.
    pub fn open() -> io::Result<Self> {
        Self::only(SignalSet::READ)
    }

    /// Opens it for some of them; the others go on waiting for whom they are meant.
    pub fn only(set: SignalSet) -> io::Result<Self> {
        let set = set.0;
        // SAFETY: the set is eight bytes, which is the size said.
        let fd = unsafe {
            libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET_BYTES, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        let fd = RawFd::try_from(fd).expect("a descriptor fits");
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave it to us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal; `None` when there is none (yet).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (name, number) in NAMES {
            assert_eq!(Signal::from_name(name).map(Signal::raw), Some(number));
            assert_eq!(Signal::from_name(&format!("SIG{name}")).map(Signal::raw), Some(number));
            assert_eq!(Signal::from_number(number).unwrap().to_string(), format!("SIG{name}"));
        }
        let number = |name| Signal::from_name(name).map(Signal::number);
        assert_eq!((number("RTMIN"), number("RTMIN+3"), number("RTMAX"), number("RTMAX-1")), {
            (Some(34), Some(37), Some(64), Some(63))
        });
        for name in ["", "SIG", "hup", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN++1", "RTMIN+ 1", "9", "KILLER"] {
            assert_eq!(Signal::from_name(name), None, "{name:?}");
        }
        assert_eq!((Signal::from_number(0), Signal::from_number(65)), (None, None));
    }

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
