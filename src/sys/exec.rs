//! Executes the app: restores what this program changed for itself, in a fixed order, then calls `execve`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::descriptors;
use super::harden::{STACK, SavedSignalState};
use super::image::Image;
use super::signals::{self, Disposition, Signal, SignalSet};

/// Why the app did not start. In each case this process continues, hardened as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// A terminating signal arrived before: exit code 128+n, and the app must not start.
    #[error("ended by {0} before the command started")]
    Interrupted(Signal),
    /// 127: the file does not exist (any more).
    #[error("not found")]
    NotFound,
    /// 126: neither a program nor a script with `#!`; it is not run by a shell.
    #[error("neither a program for this machine nor a script that begins with #!")]
    NotAProgram,
    /// 126: the file, or the interpreter or loader it names, cannot be executed.
    #[error("cannot be executed: {0}")]
    Refused(&'static str),
}

impl ExecError {
    /// Translates the errno of `execve`. `is_there` says whether the file exists.
    pub(super) fn from_errno(errno: nix::Error, is_there: bool) -> Self {
        match errno {
            nix::Error::ENOENT if is_there => Self::Refused("the interpreter or loader it names does not exist"),
            nix::Error::ENOENT | nix::Error::ENOTDIR => Self::NotFound,
            nix::Error::ENOEXEC => Self::NotAProgram,
            other => Self::Refused(other.desc()),
        }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Interrupted(signal) => 128 + signal.number(),
            Self::NotFound => 127,
            Self::NotAProgram | Self::Refused(_) => 126,
        }
    }
}

/// Replaces this process with the app. Returns only on failure.
///
/// Pending signals that would end the app are checked last, because pid 1 would lose them once the mask is
/// restored; other pending signals reach the app.
pub fn replace(image: &Image, original: &SavedSignalState) -> ExecError {
    if let Some(signal) = original.pending_end() {
        return ExecError::Interrupted(signal);
    }
    let errno = enter(image, original);
    // execve failed: harden the process again, so that the message is written and secrets are wiped.
    signals::swap_mask(SignalSet::READ);
    signals::set_disposition(Signal::PIPE, Disposition::Ignore);
    signals::set_disposition(Signal::CHLD, Disposition::Default);
    set_soft_limit(Resource::RLIMIT_CORE, 0);
    set_soft_limit(Resource::RLIMIT_STACK, original.stack.max(STACK));
    ExecError::from_errno(errno, image.path().exists())
}

/// Restores the caller's descriptors, limits, dispositions and mask, then calls `execve`; for this process or a
/// forked child. Returns only on failure. Only system calls: usable between fork and execve.
pub(super) fn enter(image: &Image, original: &SavedSignalState) -> nix::Error {
    // 1. This program's descriptors are closed on exec; those the caller passed stay open.
    if let Err(error) = descriptors::close_others_on_exec(&original.inherited) {
        return nix::Error::from_raw(error.raw_os_error().unwrap_or(libc::EBADF));
    }
    // 2. The caller's limits.
    set_soft_limit(Resource::RLIMIT_CORE, original.core);
    set_soft_limit(Resource::RLIMIT_STACK, original.stack);
    // 3. Dispositions while signals are still blocked, then the mask: pending signals are handled as the caller had
    // set.
    for signal in (1..=64).filter_map(Signal::from_number) {
        let ignored = original.ignored.contains(signal);
        signals::set_disposition(signal, if ignored { Disposition::Ignore } else { Disposition::Default });
    }
    signals::swap_mask(original.mask);
    // 4. execve makes the process dumpable again; no-new-privs stays.
    image.execve()
}

/// Sets a soft limit, at most the hard one, which is always permitted.
fn set_soft_limit(resource: Resource, soft: u64) {
    if let Ok((_, hard)) = getrlimit(resource) {
        let _accepted = setrlimit(resource, soft.min(hard), hard);
    }
}
