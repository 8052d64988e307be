//! Reports expired values: when, and once for each expiry.

use std::time::Duration;

use crate::schedule::secret::Secret;
use crate::schedule::secret_state::{Delivering, Notice, Shown};
use crate::schedule::work::{Event, SecretId, TokenId};

use super::Schedule;

/// If nothing hinders the replacement of an expired value, its expiry is reported only when the value was not replaced
/// within this time.
const GRACE: Duration = Duration::from_secs(10);

impl Schedule {
    /// When a secret's latest value expires: the earlier end of its lease and its token; `None` if it does not.
    pub(super) fn expiry(&self, secret: &Secret) -> Option<Duration> {
        secret.expiry(|id| self.tokens.as_ref().and_then(|tokens| tokens.end(id)))
    }

    /// The same of the value that the app has.
    pub(super) fn shown_expiry(&self, secret: &Secret) -> Option<Duration> {
        secret.shown_expiry(|id| self.tokens.as_ref().and_then(|tokens| tokens.end(id)))
    }

    /// When the last grant of a secret's lease was requested, and the TTL that is believed of it, which may be less than
    /// what the server stated. For a checkpoint.
    pub fn lease_granted(&self, id: SecretId) -> Option<(Duration, Duration)> {
        self.secrets.get(id.0)?.granted()
    }

    /// The same of the current token, with its login.
    pub fn token_granted(&self) -> Option<(TokenId, (Duration, Duration))> {
        self.tokens.as_ref()?.granted()
    }

    /// Returns the event of the first value whose expiry is to be reported now, and marks it as reported.
    pub(super) fn expired(&mut self, now: Duration) -> Option<Event> {
        for index in 0..self.secrets.len() {
            let secret = &self.secrets[index];
            if secret.notice == Notice::Reported || self.shown_expiry(secret).is_none_or(|end| end > now) {
                continue;
            }
            let (seen, is_overdue) = match secret.notice {
                Notice::Seen(at) => (at, now >= at.saturating_add(GRACE)),
                notice => (now, notice == Notice::Overdue),
            };
            let is_reported = is_overdue || self.is_blocked(secret, now);
            self.secrets[index].notice = if is_reported { Notice::Reported } else { Notice::Seen(seen) };
            if is_reported {
                return Some(Event::Expired(SecretId(index)));
            }
        }
        None
    }

    /// Whether the replacement cannot be tried right now: it could not be delivered, the secret waits for a retry, there
    /// is no login, or the backend is down.
    fn is_blocked(&self, secret: &Secret, now: Duration) -> bool {
        let no_login =
            self.tokens.as_ref().is_some_and(|tokens| !tokens.is_live(now) && tokens.last_failure().is_some());
        match secret.shown {
            Shown::Earlier(_, Delivering::HasFailed) => true,
            _ => secret.is_blocked(now) || no_login || self.breaker.down_until().is_some(),
        }
    }

    /// When [`expired`](Self::expired) may have something new to report.
    pub(super) fn next_notice(&self, now: Duration) -> Duration {
        let notices = self.secrets.iter().filter_map(|secret| match secret.notice {
            Notice::Reported => None,
            Notice::Seen(at) => Some(at.saturating_add(GRACE)),
            Notice::None | Notice::Overdue => self.shown_expiry(secret),
        });
        notices.filter(|at| *at > now).min().unwrap_or(Duration::MAX)
    }

    /// Records that the latest value of a secret is valid and the app has it: clears the notice, and reports `Revived`
    /// if an expiry was reported.
    pub(super) fn revived(&mut self, id: SecretId) {
        if std::mem::replace(&mut self.secrets[id.0].notice, Notice::None) == Notice::Reported {
            self.events.push_back(Event::Revived(id));
        }
    }
}
