//! Back-off after a failure: exponential with full jitter after transient failures (`transient_backoff`), minutes after
//! refusals (`refusal_backoff`).

use std::time::Duration;

use crate::domain::{part, scaled};

/// The ceiling of [`transient_backoff`] after the first failure.
pub(super) const SOON_FIRST: Duration = Duration::from_millis(500);
/// The highest ceiling of [`transient_backoff`].
pub(super) const SOON_LAST: Duration = Duration::from_secs(60);
/// The highest ceiling of the back-off between two probes of a whole server, which are few: one for all its secrets.
pub(super) const PROBE_LAST: Duration = Duration::from_secs(20);
/// When a server or a mount answers again, what waited for it and does not expire soon is tried within this time, so
/// that many clients do not return in the same second.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The wait of [`refusal_backoff`] after the first failure.
const SLOW_FIRST: Duration = Duration::from_secs(60);
/// The longest wait of [`refusal_backoff`].
const SLOW_LAST: Duration = Duration::from_secs(600);
/// The longest wait before the next try for a value that has expired, whatever its back-off.
pub(super) const EXPIRED_WITHIN: Duration = Duration::from_secs(10);
/// A ceiling is never lowered below this.
const LEAST: Duration = Duration::from_secs(1);

/// Returns the wait after a transient failure: exponential with full jitter, a random time below 0.5 s, 1 s, 2 s … 60 s
/// after the first, second, third … failure.
///
/// `limit` lowers the ceiling (to no less than 1 s) when something would expire before the next try. `jitter` is in
/// `[0, 1)`.
pub(super) fn transient_backoff(failures: u32, limit: Option<Duration>, jitter: f64) -> Duration {
    let ceiling = doubled(SOON_FIRST, failures).min(SOON_LAST);
    let ceiling = limit.map_or(ceiling, |limit| ceiling.min(limit.max(LEAST)));
    scaled(ceiling, unit(jitter))
}

/// Returns the wait after a refusal: 1 min, doubling up to 10 min, less up to a quarter by jitter, so that clients that
/// were refused at the same time do not retry at the same time.
pub(super) fn refusal_backoff(failures: u32, jitter: f64) -> Duration {
    with_jitter(doubled(SLOW_FIRST, failures).min(SLOW_LAST), jitter)
}

/// Returns `wait` reduced by up to a quarter, by jitter.
pub(super) fn with_jitter(wait: Duration, jitter: f64) -> Duration {
    scaled(wait, 1.0 - unit(jitter) / 4.0)
}

/// The longest back-off for something that expires in `left`: half of that (at least 1 s), and 10 s once it has
/// expired.
pub(super) fn longest_backoff(left: Duration) -> Duration {
    if left.is_zero() { EXPIRED_WITHIN } else { part(left, 2).max(LEAST) }
}

/// How long something that expires in `left` may wait because the server sent `Retry-After`: until a quarter of `left`
/// remains (between 1 s and 60 s, at most half), so that there is time for some tries before the end. 10 s once it has
/// expired.
pub(super) fn longest_hold(left: Duration) -> Duration {
    if left.is_zero() {
        return EXPIRED_WITHIN;
    }
    let margin = part(left, 4).clamp(LEAST, Duration::from_secs(60)).min(part(left, 2));
    left.saturating_sub(margin).max(part(LEAST, 2))
}

/// Returns `first` doubled for each failure after the first one, at most 16 times.
pub(super) fn doubled(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32 << failures.saturating_sub(1).min(16))
}

/// Clamps `jitter` to `[0, 1]`; NaN and infinities become 0.5.
pub(super) fn unit(jitter: f64) -> f64 {
    if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_a_minute_and_the_jitter_is_full() {
        let ceilings: Vec<_> = (1..=10).map(|failures| transient_backoff(failures, None, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(transient_backoff(9, None, 0.0), Duration::ZERO);
        assert_eq!(transient_backoff(u32::MAX, None, f64::NAN), Duration::from_secs(30));
    }

    #[test]
    fn what_is_about_to_end_is_tried_sooner() {
        assert_eq!(transient_backoff(9, Some(Duration::from_secs(7)), 1.0), Duration::from_secs(7));
        assert_eq!(transient_backoff(9, Some(Duration::ZERO), 1.0), Duration::from_secs(1));
        assert_eq!(longest_backoff(Duration::from_secs(20)), Duration::from_secs(10));
        assert_eq!(longest_backoff(Duration::ZERO), Duration::from_secs(10));
    }

    #[test]
    fn patience_ends_before_what_expires_and_never_lasts_for_what_has_expired() {
        let patience = |left| longest_hold(Duration::from_millis(left)).as_millis();
        assert_eq!([0, 20_000, 60_000, 3_600_000].map(patience), [10_000, 15_000, 45_000, 3_540_000]);
        assert_eq!([1, 600, 1000, 2000, 3000].map(patience), [500, 500, 500, 1000, 2000]);
    }

    #[test]
    fn a_refusal_is_asked_about_after_a_minute_and_at_last_every_ten() {
        let waits: Vec<_> = (1..=6).map(|failures| refusal_backoff(failures, 0.0).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        assert_eq!(refusal_backoff(1, 1.0).as_secs(), 45);
    }
}
