//! The lookup that tells a dead token from a request that is denied, and what follows when the token is dead.

use std::time::Duration;

use crate::schedule::backoff::{refusal_backoff, transient_backoff};

use super::{Current, Old, Tokens, Trust};

/// The lookup of the current token, by which a dead token is told from a request that is denied.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// `None`: not needed.
    pub(super) due: Option<Duration>,
    pub(super) failures: u32,
}

impl Tokens {
    /// When a lookup of the token is due; `None`: none is needed.
    pub(in crate::schedule) fn check_due(&self) -> Option<Duration> {
        self.check.due
    }

    /// Makes a token check due, because a request that used to work was denied. Not before a login could follow, except
    /// for a token that has not been accepted yet.
    pub(in crate::schedule) fn request_check(&mut self, now: Duration) {
        if self.is_untried() {
            self.check.due.get_or_insert(now);
        } else if self.current.is_some() {
            self.check.due.get_or_insert(now.max(self.no_login_before));
        }
    }

    /// Whether a first lookup of a token that has not been accepted yet is due.
    pub(in crate::schedule) fn is_doubted(&self) -> bool {
        self.is_untried() && self.check.due.is_some() && self.check.failures == 0
    }

    /// Records that the token was seen alive.
    pub(in crate::schedule) fn is_alive(&mut self) {
        self.current.iter_mut().for_each(|current| current.trust = Trust::Accepted);
        (self.check, self.deaths) = (Check::default(), 0);
    }

    /// Records that the check got no answer, and schedules it again.
    pub(in crate::schedule) fn check_set_back(&mut self, limit: Option<Duration>, now: Duration, jitter: f64) {
        self.check.failures = self.check.failures.saturating_add(1);
        self.check.due = Some(now.saturating_add(transient_backoff(self.check.failures, limit, jitter)));
    }

    /// Records that the token, and with it every lease, is dead. One new login is due at once; the next one for this
    /// reason only after a minute, doubling to ten, unless something has expired ([`hasten_refused`](Self::hasten_refused)).
    pub(in crate::schedule) fn died(&mut self, now: Duration, jitter: f64) {
        let Some(Current { id, mut term, .. }) = self.current.take() else { return };
        if let Some(term) = &mut term {
            term.cut(now);
        }
        let end = Some(term.map_or(now, |term| term.end()));
        self.old.push(Old { id, end, revocable: false, revoke_at: None, failures: 0 });
        let login = now.max(self.no_login_before);
        self.deaths = self.deaths.saturating_add(1);
        self.no_login_before = login.saturating_add(refusal_backoff(self.deaths, jitter));
        self.due = Some(login);
        (self.check, self.last_failure) = (Check::default(), None);
    }
}
