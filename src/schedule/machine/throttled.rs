//! Decides what a 429 limits: only what was throttled, or the whole backend.

use std::time::Duration;

use crate::schedule::work::MountId;

/// After something succeeded while something else was throttled, a 429 does not count for the whole backend for this
/// long.
const PARTIAL: Duration = Duration::from_secs(600);

/// The record of throttled requests.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    /// What was throttled since the last success.
    by: Option<ThrottledBy>,
    /// When something last succeeded while something else was throttled.
    partial: Option<Duration>,
}

/// What was throttled. Two different values share no limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThrottledWork {
    Mount(MountId),
    Login,
    /// Renewals of leases of all mounts and of the token: they share the server's own paths, which says nothing about
    /// the mounts.
    Renewals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThrottledBy {
    One(ThrottledWork),
    WholeBackend,
}

impl Throttled {
    /// Records a success.
    pub(super) fn served(&mut self, now: Duration) {
        if self.by.take().is_some() {
            self.partial = Some(now);
        }
    }

    /// Records a 429; returns whether it concerns the whole backend: something else was throttled as well, nothing has
    /// succeeded since, and there was no success beside a 429 within [`PARTIAL`].
    pub(super) fn record(&mut self, who: ThrottledWork, now: Duration) -> bool {
        let is_partial = self.partial.is_some_and(|at| now < at.saturating_add(PARTIAL));
        let is_server_wide = !is_partial && self.by.is_some_and(|before| before != ThrottledBy::One(who));
        self.by = Some(if is_server_wide { ThrottledBy::WholeBackend } else { ThrottledBy::One(who) });
        is_server_wide
    }

    /// Whether the last 429 concerned the whole backend.
    pub(super) fn is_server_wide(&self) -> bool {
        self.by == Some(ThrottledBy::WholeBackend)
    }
}
