//! The timeout of a request: as long as its purpose allows, so that a request that hangs leaves time for the next.

use std::time::Duration;

use crate::domain::part;
use crate::schedule::token::Tokens;
use crate::schedule::work::{SecretId, Work};

use super::Schedule;

/// The timeout of a health check.
const HEALTH: Duration = Duration::from_secs(2);
/// The timeout of requests that nothing waits for.
const IDLE: Duration = Duration::from_secs(5);
/// The longest timeout of renewals and logins, and that of an issue when no valid value remains.
const USUAL: Duration = Duration::from_secs(10);
/// The longest timeout of any request: a database may take long to create a user.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest timeout of any request.
const SHORTEST: Duration = Duration::from_secs(1);

impl Schedule {
    /// The timeout of the request under way for `work`. After it the request is dropped and counts as a
    /// [silence](crate::provider::Extent::Silence).
    pub fn limit(&self, work: Work) -> Duration {
        self.requests.in_flight.iter().find(|flight| flight.work == work).map_or(LONGEST, |flight| flight.limit)
    }

    /// The timeout of a request for `work` that is sent at `now`.
    pub(super) fn limit_now(&self, work: Work, now: Duration) -> Duration {
        let token_left = || {
            let end = self.tokens.as_ref().and_then(Tokens::current_end)?;
            Some(end.saturating_sub(now)).filter(|left| !left.is_zero())
        };
        match work {
            Work::CheckHealth => HEALTH,
            Work::CheckToken | Work::RevokeOldToken(_) => IDLE,
            Work::Login(_) => token_left().map_or(USUAL, |left| part(left, 3).clamp(SHORTEST.saturating_mul(2), USUAL)),
            Work::RenewToken => token_left().map_or(USUAL, |left| {
                let silences = self.tokens.as_ref().map_or(0, Tokens::failures);
                part(left, 4).max(longer_after(silences, left)).clamp(SHORTEST, USUAL)
            }),
            Work::Renew(id) => self.left(id, now).map_or(USUAL, |left| {
                let known = self.mount_of(id).took_to_issue.saturating_mul(4).min(part(left, 2));
                let known = known.max(longer_after(self.secrets[id.0].history.silences(), left));
                part(left, 4).max(known).clamp(SHORTEST, USUAL)
            }),
            Work::Read(id) => {
                let known = self.mount_of(id).took_to_read.saturating_mul(4);
                // A probe that hangs for long would notice late that the server is back.
                let longest = if self.breaker.is_closed() { LONGEST } else { USUAL.max(self.settings.read_limit) };
                doubled(self.settings.read_limit, self.secrets[id.0].history.silences())
                    .max(known)
                    .clamp(SHORTEST, longest)
            }
            Work::Issue(id) => match self.left(id, now) {
                Some(left) => {
                    let known = self.mount_of(id).took_to_issue.saturating_mul(3).min(left);
                    part(left, 2).max(known).clamp(SHORTEST, LONGEST)
                }
                // It is tried again within ten seconds; an answer that arrives after the timeout is used during the
                // next try.
                None => USUAL,
            },
        }
    }

    /// How long the delivered value is still valid; `None` when it has expired or does not expire.
    fn left(&self, id: SecretId, now: Duration) -> Option<Duration> {
        let end = self.expiry(&self.secrets[id.0])?;
        Some(end.saturating_sub(now)).filter(|left| !left.is_zero())
    }
}

/// The timeout after that many timeouts in a row: doubled each time for a slow server, but leaving a quarter of `left`
/// for one more try. Zero after none.
fn longer_after(silences: u32, left: Duration) -> Duration {
    if silences == 0 { Duration::ZERO } else { doubled(SHORTEST, silences).min(left.saturating_sub(part(left, 4))) }
}

/// Returns `first` doubled `times` times, at most 16 times.
fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32 << times.min(16))
}
