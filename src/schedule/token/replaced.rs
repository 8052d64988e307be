//! Tokens that were replaced or are dead: kept while a lease depends on them, and revoked once none does.

use std::time::Duration;

use crate::schedule::backoff::transient_backoff;
use crate::schedule::work::TokenId;

use super::Tokens;

/// A token that was replaced or is dead. Kept while a lease depends on it.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) id: TokenId,
    pub(super) end: Option<Duration>,
    pub(super) revocable: bool,
    pub(super) revoke_at: Option<Duration>,
    pub(super) failures: u32,
}

impl Tokens {
    /// The ids of the replaced tokens.
    pub(in crate::schedule) fn old(&self) -> impl Iterator<Item = TokenId> {
        self.old.iter().map(|old| old.id)
    }

    /// When a replaced token is to be revoked; `None` if it is not revocable, has ended or is still needed.
    pub(in crate::schedule) fn revoke_due(&self, id: TokenId, now: Duration) -> Option<Duration> {
        let old = self.old.iter().find(|old| old.id == id && old.revocable)?;
        old.revoke_at.filter(|_| old.end.is_none_or(|end| end > now))
    }

    /// How often the revocation of this token failed.
    pub(in crate::schedule) fn revoke_failures(&self, id: TokenId) -> u32 {
        self.old.iter().find(|old| old.id == id).map_or(0, |old| old.failures)
    }

    /// Schedules the revocation of a token that nothing depends on any more; an earlier time stays.
    pub(in crate::schedule) fn handed_over(&mut self, id: TokenId, revoke_at: Duration) {
        if let Some(old) = self.old.iter_mut().find(|old| old.id == id) {
            old.revoke_at.get_or_insert(revoke_at);
        }
    }

    /// Records a failed revocation, and schedules the retry.
    pub(in crate::schedule) fn revoke_set_back(
        &mut self,
        id: TokenId,
        limit: Option<Duration>,
        now: Duration,
        jitter: f64,
    ) {
        if let Some(old) = self.old.iter_mut().find(|old| old.id == id) {
            old.failures = old.failures.saturating_add(1);
            old.revoke_at = Some(now.saturating_add(transient_backoff(old.failures, limit, jitter)));
        }
    }

    /// Drops a token that is revoked or cannot be.
    pub(in crate::schedule) fn revoked(&mut self, id: TokenId) {
        self.old.retain(|old| old.id != id);
    }

    /// Drops replaced tokens that no lease depends on and that need no revocation.
    pub(in crate::schedule) fn forget(&mut self, now: Duration, is_leased_under: impl Fn(TokenId) -> bool) {
        self.old.retain(|old| is_leased_under(old.id) || (old.revocable && old.end.is_none_or(|end| end > now)));
    }
}
