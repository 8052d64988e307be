//! The record of one secret's requests: failures since the last success, and times.

use std::time::Duration;

use crate::provider::{Class, Effect, Extent, Failure};

/// The record of earlier requests.
#[derive(Debug, Default)]
pub(super) struct History {
    last_failure: Option<LastFailure>,
    last_success: Option<Duration>,
    /// How many requests in a row timed out.
    silences: u32,
    /// When the last request was sent.
    last_sent: Duration,
}

/// The last failure since the last success.
#[derive(Debug)]
pub(super) struct LastFailure {
    pub(super) failure: Failure,
    /// Failures in a row of the same kind (retryable, or a refusal).
    pub(super) count: u32,
}

impl History {
    /// The last failure since the last success; `None` after a success.
    pub(super) fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// The number of failures in a row of the same kind.
    pub(super) fn failures(&self) -> u32 {
        self.last_failure.as_ref().map_or(0, |last_failure| last_failure.count)
    }

    /// When the last successful request was sent.
    pub(super) fn last_success(&self) -> Option<Duration> {
        self.last_success
    }

    /// How many requests in a row timed out.
    pub(super) fn silences(&self) -> u32 {
        self.silences
    }

    /// When the last request was sent.
    pub(super) fn last_sent(&self) -> Duration {
        self.last_sent
    }

    /// Records that a request is sent at `now`.
    pub(super) fn record_sent(&mut self, now: Duration) {
        self.last_sent = now;
    }

    /// Records that the request sent at `requested_at` succeeded.
    pub(super) fn succeeded(&mut self, requested_at: Duration) {
        (self.last_failure, self.silences) = (None, 0);
        self.last_success = Some(requested_at);
    }

    /// Records a failure; returns the number of failures in a row of its kind.
    pub(super) fn failed(&mut self, failure: Failure) -> u32 {
        let is_same = |last: &&LastFailure| last.failure.class.is_retried() == failure.class.is_retried();
        let count = self.last_failure.as_ref().filter(is_same).map_or(1, |last| last.count.saturating_add(1));
        self.last_failure = Some(LastFailure { failure, count });
        count
    }

    /// Counts timeouts in a row: any answer starts again at zero.
    pub(super) fn count_timeouts(&mut self, extent: Extent) {
        self.silences = if extent == Extent::Silence { self.silences.saturating_add(1) } else { 0 };
    }

    /// Whether the last request was denied.
    pub(super) fn is_denied(&self) -> bool {
        self.last_failure.as_ref().is_some_and(|last_failure| last_failure.failure.class == Class::Denied)
    }

    /// Whether the last request failed in a way that is retried (no answer, or a transient error).
    pub(super) fn is_retried(&self) -> bool {
        self.last_failure.as_ref().is_some_and(|last_failure| last_failure.failure.class.is_retried())
    }

    /// Whether the last request was refused (denied, not found, rejected) or answered with nothing that can be used,
    /// which may have been corrected by now. A credential that was issued and is over already does not count: each try
    /// would issue another one.
    pub(super) fn is_refused(&self) -> bool {
        let is_refusal = |failure: &Failure| {
            matches!(failure.class, Class::Denied | Class::NotFound | Class::Malformed)
                && failure.effect != Effect::Done
        };
        self.last_failure.as_ref().is_some_and(|last| is_refusal(&last.failure))
    }
}
