//! How long a request may take: what its purpose can afford, so that one that hangs leaves time for the next.

use std::time::Duration;

use crate::domain::part;
use crate::schedule::token::Tokens;
use crate::schedule::work::{SecretId, Work};

use super::Schedule;

/// Of the question whether the server lives.
const HEALTH: Duration = Duration::from_secs(2);
/// Of what nothing waits for.
const IDLE: Duration = Duration::from_secs(5);
/// Of what is renewed or logged in, however much life is left, and of a first issue when none is.
const USUAL: Duration = Duration::from_secs(10);
/// The longest: a database may take its time to make a user.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest.
const SHORTEST: Duration = Duration::from_secs(1);

impl Schedule {
    /// How long the request that is under way for `work` may take. After that it is abandoned and counts as a
    /// [silence](crate::provider::Extent::Silence).
    pub fn limit(&self, work: Work) -> Duration {
        self.in_flight.iter().find(|flight| flight.work == work).map_or(LONGEST, |flight| flight.limit)
    }

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
                doubled(self.settings.read_limit, self.secrets[id.0].history.silences())
                    .max(known)
                    .clamp(SHORTEST, LONGEST)
            }
            Work::Issue(id) => match self.left(id, now) {
                Some(left) => {
                    let known = self.mount_of(id).took_to_issue.saturating_mul(3).min(left);
                    part(left, 2).max(known).clamp(SHORTEST, LONGEST)
                }
                // Tried again within ten seconds: an answer that comes later is taken during the next try.
                None => USUAL,
            },
        }
    }

    /// The life that is left of what is delivered; `None` when there is none.
    fn left(&self, id: SecretId, now: Duration) -> Option<Duration> {
        let end = self.expiry(&self.secrets[id.0])?;
        Some(end.saturating_sub(now)).filter(|left| !left.is_zero())
    }
}

/// A server that is slow, and does not hang, answers within twice as long; a quarter of what is left is for one more try.
fn longer_after(silences: u32, left: Duration) -> Duration {
    if silences == 0 { Duration::ZERO } else { doubled(SHORTEST, silences).min(left.saturating_sub(part(left, 4))) }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32 << times.min(16))
}
