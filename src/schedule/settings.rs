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
    /// How many of them for one mount: 4.
    pub parallel_per_mount: usize,
    /// What a server is asked when nothing comes of a request.
    pub silence: Silence,
    /// A read that takes longer is sent again: a second, or four times what the last one took.
    pub read_limit: Duration,
    /// Changes that come within this are one: when a read brings one, its neighbours are read once more after it.
    pub together_within: Duration,
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

/// How it is found out whether a request hangs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// By [`Work::CheckHealth`](super::Work::CheckHealth).
    Health,
    /// Not at all: a silence that nothing contradicts is the backend's.
    Backend,
}

/// How interval reads of one backend stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each at its own time.
    Apart,
    /// Together, a second behind one another, so that what changes together is delivered together.
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
            parallel_per_mount: 4,
            silence: Silence::Health,
            read_limit: Duration::from_secs(1),
            together_within: Duration::from_millis(500),
            reads: Reads::Together,
            refresh_every: Duration::from_secs(10),
        }
    }
}
