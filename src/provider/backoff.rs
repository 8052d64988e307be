//! The wait before a retry, as pure functions of the attempt, `Retry-After` and jitter.

use std::time::Duration;

use crate::domain::{part, scaled};

/// The bounds of the first wait.
const FIRST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(250));

/// The longest wait without `Retry-After`.
const LONGEST: Duration = Duration::from_secs(60);

/// A longer `Retry-After` is cut to this, so that a server's wrong clock cannot stop us for a year.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The wait before retry number `attempt` + 1 (`attempt` is 0 after the first failure).
///
/// The upper bound doubles from 250 ms up to 60 s; the wait is a random time between 100 ms and that bound (full
/// jitter). With `Retry-After` that time is the minimum, and jitter is added, so that clients that got the same value
/// do not return together. `jitter` is in `[0, 1)`.
pub fn delay(attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let bound = FIRST.1.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST);
    let spread = scaled(bound.saturating_sub(FIRST.0), jitter.clamp(0.0, 1.0));
    match retry_after {
        Some(retry_after) => honoured(retry_after).saturating_add(spread.min(FIRST.1.max(part(retry_after, 10)))),
        None => FIRST.0.saturating_add(spread),
    }
}

/// What is waited because of a `Retry-After`.
pub fn honoured(retry_after: Duration) -> Duration {
    retry_after.min(LONGEST_RETRY_AFTER)
}

/// A `Retry-After` as it was sent, for messages.
pub fn as_sent(retry_after: Duration) -> String {
    const YEAR: u64 = 365 * 24 * 3600;
    match retry_after.as_secs() {
        seconds if seconds > YEAR => "more than a year".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALMOST_ONE: f64 = 1.0 - f64::EPSILON;

    #[test]
    fn the_first_wait_is_short_and_none_is_over_a_minute() {
        assert_eq!(delay(0, None, 0.0), Duration::from_millis(100));
        assert!(delay(0, None, ALMOST_ONE) <= Duration::from_millis(250));
        for attempt in [8, 20, 31, 32, 33, 1000, u32::MAX] {
            assert!(delay(attempt, None, ALMOST_ONE) <= LONGEST);
            assert!(delay(attempt, None, ALMOST_ONE) > scaled(LONGEST, 0.99));
            assert_eq!(delay(attempt, None, 0.0), Duration::from_millis(100));
        }
    }

    #[test]
    fn each_bound_is_twice_the_one_before() {
        let bounds: Vec<_> = (0..8).map(|attempt| delay(attempt, None, 1.0)).collect();
        assert!(bounds.windows(2).all(|pair| pair[1] == pair[0] * 2), "{bounds:?}");
    }

    #[test]
    fn a_minute_of_failures_costs_less_than_twenty_tries_on_the_average() {
        let (mut waited, mut tries) = (Duration::ZERO, 1);
        while waited < Duration::from_secs(60) {
            waited += delay(tries - 1, None, 0.5);
            tries += 1;
        }
        assert!(tries < 12, "{tries}");
    }

    #[test]
    fn what_the_server_asks_for_is_the_least_and_is_spread() {
        let retry_after = Duration::from_secs(30);
        assert_eq!(delay(0, Some(retry_after), 0.0), retry_after);
        assert!(
            delay(9, Some(retry_after), ALMOST_ONE) > retry_after
                && delay(9, Some(retry_after), ALMOST_ONE) <= retry_after * 11 / 10
        );
        assert!(delay(0, Some(Duration::ZERO), 0.9) < Duration::from_millis(251));
    }

    #[test]
    fn a_long_retry_after_is_said_as_it_was_sent_and_not_waited_for() {
        let hour = Duration::from_secs(3600);
        assert_eq!((as_sent(hour), honoured(hour)), ("3600 s".to_owned(), LONGEST_RETRY_AFTER));
        assert_eq!(as_sent(Duration::MAX), "more than a year");
        assert!(delay(3, Some(Duration::MAX), ALMOST_ONE) < Duration::from_secs(661));
    }
}
