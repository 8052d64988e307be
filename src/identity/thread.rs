//! Whether this process may have another thread.

use std::thread;

/// No thread can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no thread can be started; raise the limit on processes (the container's pids limit, ulimit -u)")]
pub(crate) struct NoThread;

/// Starts a thread that does nothing, and waits for its end.
///
/// For code that panics when the runtime finds no thread for a blocking call, such as a name look-up. Another process may
/// still take the last place in between.
pub(crate) fn prove_startable() -> Result<(), NoThread> {
    let started = thread::Builder::new().stack_size(64 << 10).spawn(|| ());
    // It cannot panic.
    started.map(|thread| drop(thread.join())).map_err(|_| NoThread)
}
