//! The state shared by the webhook's threads and connections.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use super::super::metrics::Metrics;
use super::admit::Admissions;
use super::connections::Connections;

/// The largest body, in bytes. The API server accepts objects of 3 MiB and stores those up to 1.5 MiB; the review
/// of a new pod contains one object.
pub(super) const MAX_BODY: usize = 3 << 20;

/// Bodies up to this size are small, as nearly every review is. Bytes.
const SMALL: usize = 64 << 10;
/// Room for all small bodies together, in KiB; further ones wait.
const ALL_SMALL: usize = 3 << 10;
/// Room for all large bodies together, in KiB.
const ALL_LARGE: usize = 6 << 10;

/// Room for bodies and their responses, in KiB. Small ones have a separate semaphore, so that they never wait for
/// large ones.
pub(super) struct Room {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Room {
    /// All room is free.
    pub(super) fn new() -> Self {
        Self { small: Arc::new(Semaphore::new(ALL_SMALL)), large: Arc::new(Semaphore::new(ALL_LARGE)) }
    }

    /// The semaphore for a body of `size` bytes.
    pub(super) fn of(&self, size: usize) -> &Arc<Semaphore> {
        if size <= SMALL { &self.small } else { &self.large }
    }
}

/// The shared state of a server.
pub(super) struct Server {
    /// The thread that decides about reviews.
    pub(super) admissions: Admissions,
    /// Counters.
    pub(super) metrics: Metrics,
    /// The TLS connections.
    pub(super) connections: Arc<Connections>,
    /// Room for bodies and responses.
    pub(super) room: Room,
    /// Whether SIGTERM was received.
    pub(super) is_ending: AtomicBool,
}
