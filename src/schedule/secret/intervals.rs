//! How long a secret that is read at intervals, or rotates by itself, waits for its next read.

use std::time::Duration;

use crate::domain::{LONGEST_LIFE, part, scaled};
use crate::schedule::backoff::unit;
use crate::schedule::settings::Settings;

use super::Secret;

/// A rotating value with less than this left is about to rotate.
const SOON_ROTATED: Duration = Duration::from_secs(1);
/// A read that keeps failing is not repeated more often than this, however short its interval.
const SOONEST_RETRY: Duration = Duration::from_secs(10);
/// Near a rotation date a Secrets Manager secret is read this many times as often …
const NEAR: u32 = 12;
/// … but not more often than this.
const NEAREST: Duration = Duration::from_secs(30);

impl Secret {
    /// The wait until a rotating value is read again: until just after its rotation; if that is late, ever longer.
    pub(super) fn after_rotation(&mut self, ttl: Duration, requested_at: Duration, jitter: f64) -> Duration {
        if ttl > SOON_ROTATED {
            self.late_since = None;
            let later = Duration::from_millis(250).saturating_add(scaled(Duration::from_millis(750), unit(jitter)));
            return ttl.min(LONGEST_LIFE).saturating_add(later);
        }
        let late = requested_at.saturating_sub(*self.late_since.get_or_insert(requested_at));
        scaled(part(late, 8).clamp(SOON_ROTATED, Duration::from_secs(60)), 1.0 - unit(jitter) / 10.0)
    }

    /// The longest back-off of a value that is read at intervals: its interval (at least 10 s), since a read that fails
    /// costs the server no more than one that does not.
    pub(in crate::schedule) fn read_within(&self) -> Option<Duration> {
        self.is_read().then(|| self.plan.refresh.max(SOONEST_RETRY))
    }

    /// The read interval: `refresh`, or a twelfth of it (at least 30 s) within one interval of a rotation date.
    pub(super) fn interval(&self, rotation: Option<Duration>, now: Duration) -> Duration {
        let refresh = self.plan.refresh;
        let near = part(refresh, NEAR).max(NEAREST).min(refresh);
        let Some(at) = rotation.filter(|at| now <= at.saturating_add(refresh)) else { return refresh };
        at.saturating_sub(refresh).saturating_sub(now).min(refresh).max(near)
    }
}

/// Returns `wait` less up to [`Settings::spread`] (a tenth), by jitter.
pub(super) fn less(wait: Duration, settings: &Settings, jitter: f64) -> Duration {
    scaled(wait, 1.0 - unit(jitter) * unit(settings.spread))
}

/// The interval after the first read since an outage: less up to half, so that clients that came back together do not
/// go on reading together. The secrets of one schedule came back with the same jitter and stay together.
pub(super) fn after_outage(wait: Duration, jitter: f64) -> Duration {
    scaled(wait, 1.0 - unit(jitter) / 2.0)
}
