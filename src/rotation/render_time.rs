//! How long the rendering of one change may take. Nothing else is done meanwhile: no lease is renewed, no status is
//! answered.

use std::time::Duration;

use crate::plan::RenderLimit;

/// A change may be rendered for this long …
const MOST: Duration = Duration::from_secs(10);
/// … or this many times as long as everything took at the start.
const TIMES: u32 = 3;
/// After a rendering that was given up, others have this long …
const MOST_SOON_AFTER: Duration = Duration::from_secs(1);
/// … or this many times as long as everything took at the start …
const TIMES_SOON_AFTER: u32 = 2;
/// … until this many times of what it took have passed.
const PAUSE: u32 = 10;

/// The time that rendering takes, and may take.
#[derive(Debug)]
pub(super) struct RenderTime {
    /// What the start needed for everything.
    usual: Duration,
    /// Until when little time is granted, because a rendering was given up.
    short_until: Duration,
}

impl RenderTime {
    pub(super) fn new(usual: Duration) -> Self {
        Self { usual, short_until: Duration::ZERO }
    }

    /// The limit for a change that is rendered now.
    pub(super) fn limit(&self, now: Duration) -> RenderLimit<'static> {
        RenderLimit::of_change(self.granted(now))
    }

    /// The same, whatever was given up before: for values that were rendered within their limit already.
    pub(super) fn full_limit(&self) -> RenderLimit<'static> {
        RenderLimit::of_change(self.granted(Duration::MAX))
    }

    /// Records the end of a rendering that began with this limit.
    pub(super) fn ended(&mut self, limit: RenderLimit<'_>, now: Duration) {
        if limit.is_over() {
            self.gave_up(limit.spent(), now);
        }
    }

    fn gave_up(&mut self, spent: Duration, now: Duration) {
        self.short_until = now.saturating_add(spent.saturating_mul(1 + PAUSE));
    }

    fn granted(&self, now: Duration) -> Duration {
        let (times, least) = if now < self.short_until { (TIMES_SOON_AFTER, MOST_SOON_AFTER) } else { (TIMES, MOST) };
        self.usual.saturating_mul(times).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_time_is_granted_after_a_rendering_that_was_given_up() {
        let seconds = Duration::from_secs;
        let mut time = RenderTime::new(Duration::from_millis(5));
        assert_eq!(time.granted(seconds(0)), seconds(10));
        time.gave_up(seconds(11), seconds(100));
        let granted: Vec<_> = [100, 220, 221, 1000].map(|now| time.granted(seconds(now)).as_secs()).into();
        assert_eq!(granted, [1, 1, 10, 10]);
        let slow = RenderTime { usual: seconds(20), ..time };
        assert_eq!([100, 221].map(|now| slow.granted(seconds(now)).as_secs()), [40, 60]);
    }
}
