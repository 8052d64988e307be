//! Becoming the app: everything of ours undone in one order, then `execve`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::descriptors;
use super::harden::{STACK, SavedSignalState};
use super::image::Image;
use super::signals::{self, Disposition, Signal, SignalSet};

/// Why the app did not start. In each case this process goes on, hardened as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// A signal that ends us came before: 128+n, and the app must not start.
    #[error("ended by {0} before the command started")]
    Interrupted(Signal),
    /// 127: it is not there (any more).
    #[error("not found")]
    NotFound,
    /// 126: it is neither a program nor a script that says who reads it; it is not given to a shell.
    #[error("neither a program for this machine nor a script that begins with #!")]
    NotAProgram,
    /// 126: it, or the interpreter or loader it names, cannot be executed.
    #[error("cannot be executed: {0}")]
    Refused(&'static str),
}

impl ExecError {
    /// What `execve` said, about a file that was there when it was looked up.
    pub(super) fn from_errno(errno: nix::Error, is_there: bool) -> Self {
        match errno {
            nix::Error::ENOENT if is_there => Self::Refused("the interpreter or loader it names does not exist"),
            nix::Error::ENOENT | nix::Error::ENOTDIR => Self::NotFound,
            nix::Error::ENOEXEC => Self::NotAProgram,
            other => Self::Refused(other.desc()),
        }
    }

    /// The exit code it leads to.
    pub fn code(self) -> u8 {
        match self {
            Self::Interrupted(signal) => 128 + signal.number(),
            Self::NotFound => 127,
            Self::NotAProgram | Self::Refused(_) => 126,
        }
    }
}

/// Replaces this process by the app. Returns only the reason why it could not.
///
/// A waiting signal that would end the app is looked at last, because pid 1 loses it when the mask is given back; other
/// waiting ones reach the app.
pub fn replace(image: &Image, original: &SavedSignalState) -> ExecError {
    if let Some(signal) = original.pending_end() {
        return ExecError::Interrupted(signal);
    }
    let errno = enter(image, original);
    // Still here: as hardened as before, so that the message is written and everything wiped.
    signals::swap_mask(SignalSet::READ);
    signals::set_disposition(Signal::PIPE, Disposition::Ignore);
    signals::set_disposition(Signal::CHLD, Disposition::Default);
    set_soft_limit(Resource::RLIMIT_CORE, 0);
    set_soft_limit(Resource::RLIMIT_STACK, original.stack.max(STACK));
    ExecError::from_errno(errno, image.path().exists())
}

/// The way into the app, for this process or a forked one. Only system calls: allowed between fork and execve.
pub(super) fn enter(image: &Image, original: &SavedSignalState) -> nix::Error {
    // 1. Nothing of ours stays open; what the caller passed does.
    if let Err(error) = descriptors::close_others_on_exec(&original.inherited) {
        return nix::Error::from_raw(error.raw_os_error().unwrap_or(libc::EBADF));
    }
    // 2. The caller's limits.
    set_soft_limit(Resource::RLIMIT_CORE, original.core);
    set_soft_limit(Resource::RLIMIT_STACK, original.stack);
    // 3. Dispositions while signals still wait, then the mask: what waited meets what the caller had set.
    for signal in (1..=64).filter_map(Signal::from_number) {
        let ignored = original.ignored.contains(signal);
        signals::set_disposition(signal, if ignored { Disposition::Ignore } else { Disposition::Default });
    }
    signals::swap_mask(original.mask);
    // 4. execve makes it dumpable again; no-new-privs stays.
    image.execve()
}

/// A soft limit up to the hard one is always accepted.
fn set_soft_limit(resource: Resource, soft: u64) {
    if let Ok((_, hard)) = getrlimit(resource) {
        let _accepted = setrlimit(resource, soft.min(hard), hard);
    }
}
