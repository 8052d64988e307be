//! Looks at the system with the rights that this process will have later, in a short-lived child that drops the
//! present ones.
//!
//! Access by another identity cannot be computed (ACLs, security modules), and access(2) checks only the present
//! identity.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};

use nix::fcntl::OFlag;
use nix::unistd::{self, Pid};

use super::privilege::{self, Plan};
use super::signals::{self, Signal, SignalSet, Signals};
use super::wait;

/// Runs `look` in a child after the drop of privileges and returns its result; an error if the drop or the child
/// fails. The result must be a few bytes: it must fit into a pipe.
///
/// Only while there is one thread, because the child runs arbitrary Rust code after fork.
pub fn after(plan: &Plan, look: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    privilege::alone().map_err(io::Error::other)?;
    let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC)?;
    let had_child_signal = signals::pending().contains(Signal::CHLD);
    // SAFETY: this is the only thread, so no lock is held that would stay locked in the child.
    let child = match unsafe { libc::fork() } {
        0 => {
            drop(reader);
            let looked = privilege::drop_in_child(plan).is_ok().then(|| panic::catch_unwind(AssertUnwindSafe(look)));
            if let Some(Ok(answer)) = looked {
                // The first byte marks a result, which may be empty.
                let _nobody_reads = File::from(writer).write_all(&[&[1], answer.as_slice()].concat());
            }
            // SAFETY: ends the child here; no code of the parent runs in it.
            unsafe { libc::_exit(0) }
        }
        child if child > 0 => Pid::from_raw(child),
        _ => return Err(io::Error::last_os_error()),
    };
    drop(writer);
    let mut answer = Vec::new();
    let is_read = File::from(reader).read_to_end(&mut answer);
    wait::reap(child);
    // Consume its SIGCHLD: the app may have that signal blocked, and would find it pending.
    if !had_child_signal && let Ok(waiting) = Signals::only(SignalSet::EMPTY.with(Signal::CHLD)) {
        let _gone = waiting.next_received();
    }
    is_read?;
    if answer.is_empty() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    answer.remove(0);
    Ok(answer)
}
