//! What the threads and connections of the webhook share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use super::super::metrics::Metrics;
use super::admit::Admissions;
use super::connections::Connections;

/// The API server takes objects of 3 MiB, and stores those up to 1.5 MiB; the review of a new pod holds one object.
pub(super) const MAX_BODY: usize = 3 << 20;

/// One server.
pub(super) struct Server {
    /// The thread that decides.
    pub(super) admissions: Admissions,
    /// Counters.
    pub(super) metrics: Metrics,
    /// The TLS connections.
    pub(super) connections: Arc<Connections>,
    /// Room for bodies and responses, in KiB.
    pub(super) room: Arc<Semaphore>,
    /// After SIGTERM.
    pub(super) is_ending: AtomicBool,
}
