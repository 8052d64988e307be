//! Waits in a tokio runtime until a descriptor is readable.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor registered with a runtime: a duplicate, so that the original keeps its owner.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches `fd` in the current runtime.
    pub fn new(fd: &impl AsFd) -> io::Result<Self> {
        let duplicate = fd.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` stays open, and the same, as long as it is owned; the `AsyncFd` owns it.
        let watched = unsafe { AsyncFd::register_with_interest(duplicate, Interest::READABLE) };
        watched.map(Self).map_err(Into::into)
    }

    /// Waits until the descriptor is readable. Read until it would block before calling this again.
    pub async fn readable(&self) -> io::Result<()> {
        // Cleared before the caller reads, so that data arriving meanwhile is reported again.
        self.0.readable().await.map(|mut guard| guard.clear_ready())
    }
}
