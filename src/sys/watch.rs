//! Waiting in a runtime until a descriptor of ours has something to read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that a runtime watches. It is a duplicate: what it was made from stays where it is.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches `fd`, in the runtime this is called in.
    pub fn new(fd: &impl AsFd) -> io::Result<Self> {
        let duplicate = fd.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` stays open, and the same, as long as it is owned; the `AsyncFd` owns it.
        let watched = unsafe { AsyncFd::register_with_interest(duplicate, Interest::READABLE) };
        watched.map(Self).map_err(Into::into)
    }

    /// Returns when there is something to read. Read until there is nothing more before asking again.
    pub async fn readable(&self) -> io::Result<()> {
        // Cleared before the reader reads: what comes meanwhile is told again.
        self.0.readable().await.map(|mut guard| guard.clear_ready())
    }
}
