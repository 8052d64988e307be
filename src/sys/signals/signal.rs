//! One signal: its number, its names, its default action.

use std::fmt;

/// A signal number, 1 to 64. `nix` has no real-time signals, which this program forwards like the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub(super) u8);

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
    /// The terminal or the session has ended; by convention: reload the configuration.
    pub const HUP: Self = Self::known(libc::SIGHUP);
    /// Ctrl-C.
    pub const INT: Self = Self::known(libc::SIGINT);
    /// Ctrl-\.
    pub const QUIT: Self = Self::known(libc::SIGQUIT);
    /// Request to end.
    pub const TERM: Self = Self::known(libc::SIGTERM);
    /// Ends the process; cannot be caught.
    pub const KILL: Self = Self::known(libc::SIGKILL);
    /// A write to a pipe without a reader.
    pub const PIPE: Self = Self::known(libc::SIGPIPE);
    /// A child ended, stopped or continued.
    pub const CHLD: Self = Self::known(libc::SIGCHLD);
    /// Continues a stopped process.
    pub const CONT: Self = Self::known(libc::SIGCONT);
    /// Stops the process; cannot be caught.
    pub const STOP: Self = Self::known(libc::SIGSTOP);
    /// Ctrl-Z.
    pub const TSTP: Self = Self::known(libc::SIGTSTP);
    /// The terminal's size changed.
    pub const WINCH: Self = Self::known(libc::SIGWINCH);
    /// Out-of-band data; here also the signal of a broken file lease.
    pub const URG: Self = Self::known(libc::SIGURG);
    /// A descriptor is ready, or a file lease is broken.
    pub const IO: Self = Self::known(libc::SIGIO);

    /// A signal by a constant number; panics outside 1 to 64.
    pub(super) const fn known(number: i32) -> Self {
        assert!(number >= 1 && number <= 64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the line above")]
        Self(number as u8)
    }

    /// The signal with that number; `None` outside 1 to 64.
    pub fn from_number(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=64).contains(number)).map(Self)
    }

    /// The signal with that name: `HUP`, `SIGHUP`, `RTMIN+3`, `RTMAX-1`.
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

    /// The signal's number.
    pub fn number(self) -> u8 {
        self.0
    }

    pub(in crate::sys) fn raw(self) -> i32 {
        i32::from(self.0)
    }

    /// Whether the signal's default action ends the process.
    pub(super) fn default_ends(self) -> bool {
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

impl Signal {
    pub(super) const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
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
}
