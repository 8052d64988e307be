//! One mount of a backend: how long its requests take, and the breaker that its secrets share.

use std::time::Duration;

use crate::domain::{part, scaled};
use crate::schedule::breaker::{Breaker, Scope};
use crate::schedule::settings::Settings;
use crate::schedule::work::Work;

/// A secrets engine, with what its answers have shown.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) breaker: Breaker,
    pub(super) took_to_issue: Duration,
    pub(super) took_to_read: Duration,
}

impl Mount {
    pub(super) fn new(settings: &Settings) -> Self {
        let breaker = Breaker::new(Scope::Mount, settings.parallel.mount);
        Self { breaker, took_to_issue: Duration::ZERO, took_to_read: Duration::ZERO }
    }

    /// Records how long a request took. A slow one is forgotten gradually: each faster one lowers the estimate to no
    /// less than 80 %.
    pub(super) fn took(&mut self, work: Work, time: Duration) {
        let known = match work {
            Work::Issue(_) => &mut self.took_to_issue,
            Work::Read(_) => &mut self.took_to_read,
            _ => return,
        };
        *known = time.max(scaled(*known, 0.8));
    }

    /// The settings for a secret of this mount with a lifetime of `life`: where issues are slow, the window is at least
    /// as long as three of them (at most a third of `life`).
    pub(super) fn settings(&self, settings: &Settings, life: Duration) -> Settings {
        let mut slow = *settings;
        let three = self.took_to_issue.saturating_mul(3).min(part(life, 3));
        slow.window.least = slow.window.least.max(three);
        slow
    }
}
