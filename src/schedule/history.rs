//! How the requests of one secret went: what failed since the last success, and when.

use std::time::Duration;

use crate::provider::{Class, Extent, Failure};

/// What is known of earlier requests.
#[derive(Debug, Default)]
pub(super) struct History {
    trouble: Option<LastFailure>,
    last_success: Option<Duration>,
    /// Requests in a row without an answer.
    silences: u32,
    /// When the last request was sent.
    tried: Duration,
}

/// What is wrong since the last success.
#[derive(Debug)]
pub(super) struct LastFailure {
    pub(super) failure: Failure,
    /// Failures in a row of the same kind (soon or slowly retried).
    pub(super) count: u32,
}

impl History {
    pub(super) fn trouble(&self) -> Option<&LastFailure> {
        self.trouble.as_ref()
    }

    pub(super) fn failures(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.count)
    }

    pub(super) fn last_success(&self) -> Option<Duration> {
        self.last_success
    }

    pub(super) fn silences(&self) -> u32 {
        self.silences
    }

    /// When the last request was sent.
    pub(super) fn tried(&self) -> Duration {
        self.tried
    }

    /// A request is sent.
    pub(super) fn is_tried(&mut self, now: Duration) {
        self.tried = now;
    }

    /// A request that was sent then worked.
    pub(super) fn succeeded(&mut self, requested_at: Duration) {
        (self.trouble, self.silences) = (None, 0);
        self.last_success = Some(requested_at);
    }

    /// Takes a failure in; the number of failures in a row of its kind.
    pub(super) fn failed(&mut self, failure: Failure) -> u32 {
        let is_same = |last: &&LastFailure| last.failure.class.is_retried() == failure.class.is_retried();
        let count = self.trouble.as_ref().filter(is_same).map_or(1, |last| last.count.saturating_add(1));
        self.trouble = Some(LastFailure { failure, count });
        count
    }

    /// Counts whether the last request had no answer.
    pub(super) fn was_answered(&mut self, extent: Extent) {
        self.silences = if extent == Extent::Silence { self.silences.saturating_add(1) } else { 0 };
    }

    pub(super) fn is_denied(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.failure.class == Class::Denied)
    }

    /// Whether it waits for somebody who does not answer, or not well.
    pub(super) fn is_retried(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.failure.class.is_retried())
    }

    /// Whether it was refused, and could be granted by now. Another answer that cannot be used would be another credential.
    pub(super) fn is_refused(&self) -> bool {
        self.trouble.as_ref().is_some_and(|t| matches!(t.failure.class, Class::Denied | Class::NotFound))
    }
}
