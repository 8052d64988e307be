//! How long to wait after a failure: soon (the backend's trouble) or slowly (the secret's own).

use std::time::Duration;

use crate::domain::{part, scaled};

/// The first ceiling of [`soon`].
pub(super) const SOON_FIRST: Duration = Duration::from_millis(500);
/// The last one.
pub(super) const SOON_LAST: Duration = Duration::from_secs(60);
/// The first wait of [`slowly`].
const SLOW_FIRST: Duration = Duration::from_secs(60);
/// The last one.
const SLOW_LAST: Duration = Duration::from_secs(600);
/// What has expired is tried again within this, whatever the back-off has grown to.
pub(super) const EXPIRED_WITHIN: Duration = Duration::from_secs(10);
/// No limit is shorter.
const LEAST: Duration = Duration::from_secs(1);

/// Exponential with full jitter: anything from nothing to 0.5 s, 1 s, 2 s … 60 s after the first, second, third … failure.
///
/// `limit` lowers the ceiling (never below a second) when something would end before the next try.
pub(super) fn soon(failures: u32, limit: Option<Duration>, jitter: f64) -> Duration {
    let ceiling = doubled(SOON_FIRST, failures).min(SOON_LAST);
    let ceiling = limit.map_or(ceiling, |limit| ceiling.min(limit.max(LEAST)));
    scaled(ceiling, unit(jitter))
}

/// A minute, doubling to ten, less up to a quarter so that a fleet that was refused together does not ask together.
pub(super) fn slowly(failures: u32, jitter: f64) -> Duration {
    less_a_quarter(doubled(SLOW_FIRST, failures).min(SLOW_LAST), jitter)
}

/// `wait` less up to a quarter.
pub(super) fn less_a_quarter(wait: Duration, jitter: f64) -> Duration {
    scaled(wait, 1.0 - unit(jitter) / 4.0)
}

/// The longest back-off of something with this much life left: half of it, and 10 s once it has ended.
pub(super) fn urgency(left: Duration) -> Duration {
    if left.is_zero() { EXPIRED_WITHIN } else { part(left, 2).max(LEAST) }
}

/// How long something with this much time left can wait because the server asks for patience: until enough is left for
/// some tries before its end, or before a renewal gives way to a replacement.
pub(super) fn patience(left: Duration) -> Duration {
    if left.is_zero() {
        return EXPIRED_WITHIN;
    }
    let margin = part(left, 4).clamp(LEAST, Duration::from_secs(60)).min(part(left, 2));
    left.saturating_sub(margin).max(part(LEAST, 2))
}

/// `first` after one failure, twice that after two, and so on.
pub(super) fn doubled(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32 << failures.saturating_sub(1).min(16))
}

/// Jitter as it is meant, whatever came in: what is no number is the middle.
pub(super) fn unit(jitter: f64) -> f64 {
    if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_a_minute_and_the_jitter_is_full() {
        let ceilings: Vec<_> = (1..=10).map(|failures| soon(failures, None, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(soon(9, None, 0.0), Duration::ZERO);
        assert_eq!(soon(u32::MAX, None, f64::NAN), Duration::from_secs(30));
    }

    #[test]
    fn what_is_about_to_end_is_tried_sooner() {
        assert_eq!(soon(9, Some(Duration::from_secs(7)), 1.0), Duration::from_secs(7));
        assert_eq!(soon(9, Some(Duration::ZERO), 1.0), Duration::from_secs(1));
        assert_eq!(urgency(Duration::from_secs(20)), Duration::from_secs(10));
        assert_eq!(urgency(Duration::ZERO), Duration::from_secs(10));
    }

    #[test]
    fn patience_ends_before_what_expires_and_never_lasts_for_what_has_expired() {
        let patience = |left| patience(Duration::from_millis(left)).as_millis();
        assert_eq!([0, 20_000, 60_000, 3_600_000].map(patience), [10_000, 15_000, 45_000, 3_540_000]);
        assert_eq!([1, 600, 1000, 2000, 3000].map(patience), [500, 500, 500, 1000, 2000]);
    }

    #[test]
    fn a_refusal_is_asked_about_after_a_minute_and_at_last_every_ten() {
        let waits: Vec<_> = (1..=6).map(|failures| slowly(failures, 0.0).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        assert_eq!(slowly(1, 1.0).as_secs(), 45);
    }
}
