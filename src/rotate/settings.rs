//! The thresholds of the rules; the defaults are the rules.

use std::time::Duration;

/// When things are renewed and replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The part of its life after which something is renewed: two thirds.
    pub renew_after: f64,
    /// The part of its life (or interval) that jitter may take off: a tenth.
    pub spread: f64,
    /// When what cannot be renewed is replaced.
    pub window: Window,
    /// How long the old token outlives the delivery of what replaced its leases: as long as a retired generation.
    pub settle: Duration,
    /// Pieces of work under way at once: 8, which with 12 probes a minute bounds what a minute of outage costs to 20 requests.
    /// A backend that takes many reads in one request may have more.
    pub parallel: usize,
    /// Whether reads that are nearly due go along with one that is.
    pub reads: Reads,
    /// How often [`refresh`](super::Schedule::refresh) is listened to.
    pub refresh_every: Duration,
}

/// The hand-over window: the last part of a life, in which two credentials may live side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// A tenth.
    pub share: f64,
    /// Two seconds.
    pub least: Duration,
    /// Five minutes.
    pub most: Duration,
}

/// How interval reads of one backend stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each at its own time: a backend that takes one request per secret.
    Apart,
    /// Together: a backend that reads many in one request (`BatchGetSecretValue`).
    Together,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            renew_after: 2.0 / 3.0,
            spread: 0.1,
            window: Window { share: 0.1, least: Duration::from_secs(2), most: Duration::from_secs(300) },
            settle: Duration::from_secs(30),
            parallel: 8,
            reads: Reads::Apart,
            refresh_every: Duration::from_secs(10),
        }
    }
}
