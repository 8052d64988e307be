//! What is told about expiry, and when.

use std::time::Duration;

use crate::schedule::secret::{Notice, Secret};
use crate::schedule::work::{Event, SecretId};

use super::Schedule;

/// An expiry that nothing stands in the way of repairing is told only when it was not repaired within this.
const GRACE: Duration = Duration::from_secs(10);

impl Schedule {
    pub(super) fn expiry(&self, secret: &Secret) -> Option<Duration> {
        secret.expiry(|id| self.tokens.as_ref().and_then(|tokens| tokens.end(id)))
    }

    pub(super) fn expired(&mut self, now: Duration) -> Option<Event> {
        for index in 0..self.secrets.len() {
            let secret = &self.secrets[index];
            if secret.notice == Notice::Reported || self.expiry(secret).is_none_or(|end| end > now) {
                continue;
            }
            let (seen, is_overdue) = match secret.notice {
                Notice::Seen(at) => (at, now >= at.saturating_add(GRACE)),
                notice => (now, notice == Notice::Overdue),
            };
            let is_reported = is_overdue || self.is_hindered(secret, now);
            self.secrets[index].notice = if is_reported { Notice::Reported } else { Notice::Seen(seen) };
            if is_reported {
                return Some(Event::Expired(SecretId(index)));
            }
        }
        None
    }

    /// Whether something stands in the way of replacing it right now.
    fn is_hindered(&self, secret: &Secret, now: Duration) -> bool {
        let no_login = self.tokens.as_ref().is_some_and(|tokens| !tokens.is_live(now) && tokens.trouble().is_some());
        secret.is_hindered(now) || no_login || self.breaker.down_until().is_some()
    }

    pub(super) fn next_notice(&self, now: Duration) -> Duration {
        let notices = self.secrets.iter().filter_map(|secret| match secret.notice {
            Notice::Reported => None,
            Notice::Seen(at) => Some(at.saturating_add(GRACE)),
            Notice::None | Notice::Overdue => self.expiry(secret),
        });
        notices.filter(|at| *at > now).min().unwrap_or(Duration::MAX)
    }

    pub(super) fn replaced(&mut self, id: SecretId, now: Duration) {
        // A login may have overtaken the answer; then it belongs to the old token.
        if let Some(current) = self.current() {
            self.secrets[id.0].token_is_new(current, now);
        }
        if std::mem::replace(&mut self.secrets[id.0].notice, Notice::None) == Notice::Reported {
            self.events.push_back(Event::Revived(id));
        }
    }
}
