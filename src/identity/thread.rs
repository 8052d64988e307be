//! Checks whether this process can start a thread.

use std::thread;

/// No thread can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no thread can be started; raise the limit on processes (the container's pids limit, ulimit -u)")]
pub(crate) struct NoThread;

/// Starts a thread that does nothing, and joins it.
///
/// For code that panics when the runtime cannot start a thread for a blocking call, such as a name look-up. Another
/// process may still use up the limit in between.
pub(crate) fn prove_startable() -> Result<(), NoThread> {
    let started = thread::Builder::new().stack_size(64 << 10).spawn(|| ());
    // The thread cannot panic.
    started.map(|thread| drop(thread.join())).map_err(|_| NoThread)
}
