//! What the threads and connections of the webhook share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use super::super::metrics::Metrics;
use super::admit::Admissions;
use super::connections::Connections;

/// The API server takes objects of 3 MiB, and stores those up to 1.5 MiB; the review of a new pod holds one object.
pub(super) const MAX_BODY: usize = 3 << 20;

/// A body up to this is small: nearly every review is.
const SMALL: usize = 64 << 10;
/// All small bodies at one time together, in KiB; more wait.
const ALL_SMALL: usize = 3 << 10;
/// All others.
const ALL_LARGE: usize = 6 << 10;

/// Room for bodies and their responses, in KiB. Small ones have their own, so that they never wait for large ones.
pub(super) struct Room {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { small: Arc::new(Semaphore::new(ALL_SMALL)), large: Arc::new(Semaphore::new(ALL_LARGE)) }
    }

    /// The room for a body of `size` bytes.
    pub(super) fn of(&self, size: usize) -> &Arc<Semaphore> {
        if size <= SMALL { &self.small } else { &self.large }
    }
}

/// One server.
pub(super) struct Server {
    /// The thread that decides.
    pub(super) admissions: Admissions,
    /// Counters.
    pub(super) metrics: Metrics,
    /// The TLS connections.
    pub(super) connections: Arc<Connections>,
    /// Room for bodies and responses.
    pub(super) room: Room,
    /// After SIGTERM.
    pub(super) is_ending: AtomicBool,
}
