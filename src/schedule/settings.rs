//! The thresholds of the schedule; the defaults are those of its specification.

use std::time::Duration;

/// When tokens and leases are renewed and replaced, and how much may run at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The share of a TTL after which it is renewed: two thirds.
    pub renew_after: f64,
    /// The largest share of a TTL (or interval) that jitter takes off: a tenth.
    pub spread: f64,
    /// When something that cannot be renewed is replaced.
    pub window: Window,
    /// How long the old token is kept after the delivery of what replaced its leases: as long as a retired generation
    /// of files.
    pub settle: Duration,
    /// How many requests may be under way at once.
    pub parallel: Parallel,
    /// How a request that times out is distinguished from a server that does not respond.
    pub silence: Silence,
    /// The timeout of a read: 1 s, or four times what the last one took.
    pub read_limit: Duration,
    /// Changes within this time count as one: when a read finds a changed value, related secrets are read again this
    /// much later.
    pub together_within: Duration,
    /// Whether reads that are nearly due are sent together with one that is due.
    pub reads: Reads,
    /// The shortest time between two [`refresh`](super::Schedule::refresh)es.
    pub refresh_every: Duration,
}

/// How many requests may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallel {
    /// For a backend: 8, which with 12 probes a minute limits a minute of outage to 20 requests. A backend that batches
    /// reads may have more.
    pub backend: usize,
    /// For one mount: 4.
    pub mount: usize,
}

/// The hand-over window: the last part of a lifetime, in which old and new credential may be valid side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The share of the lifetime: a tenth.
    pub share: f64,
    /// The shortest window: 2 s.
    pub least: Duration,
    /// The longest window: 5 min.
    pub most: Duration,
}

/// How a request that hangs is distinguished from a server that does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// By [`Work::CheckHealth`](super::Work::CheckHealth).
    Health,
    /// Not at all: a timeout counts as a failure of the backend unless another request was answered meanwhile.
    Backend,
}

/// How reads at intervals of one backend are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each at its own time.
    Apart,
    /// Together, one second apart, so that values that change together are delivered together.
    Together,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            renew_after: 2.0 / 3.0,
            spread: 0.1,
            window: Window { share: 0.1, least: Duration::from_secs(2), most: Duration::from_secs(300) },
            settle: Duration::from_secs(30),
            parallel: Parallel { backend: 8, mount: 4 },
            silence: Silence::Health,
            read_limit: Duration::from_secs(1),
            together_within: Duration::from_millis(500),
            reads: Reads::Together,
            refresh_every: Duration::from_secs(10),
        }
    }
}
