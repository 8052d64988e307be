//! Whom a 429 is meant for: what was sent away, or everybody.

use std::time::Duration;

use crate::schedule::work::MountId;

/// After something was served while something else was sent away, patience is not everybody's for this long.
const PARTIAL: Duration = Duration::from_secs(600);

/// What is known of a server that asks for patience.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    /// Since the last success.
    by: Option<By>,
    /// When something was last served while something else was sent away.
    partial: Option<Duration>,
}

/// What was sent away. Two of them share nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentAway {
    Mount(MountId),
    Login,
    /// Leases of all mounts and the token: a limit on the server's own paths says nothing of the mounts.
    Renewals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    One(SentAway),
    Everybody,
}

impl Throttled {
    /// Something had a success.
    pub(super) fn served(&mut self, now: Duration) {
        if self.by.take().is_some() {
            self.partial = Some(now);
        }
    }

    /// True when that is meant for everybody: something else was sent away too, and nothing was served since, nor beside
    /// what was sent away before.
    pub(super) fn sent_away(&mut self, who: SentAway, now: Duration) -> bool {
        let is_partial = self.partial.is_some_and(|at| now < at.saturating_add(PARTIAL));
        let is_everybodys = !is_partial && self.by.is_some_and(|before| before != By::One(who));
        self.by = Some(if is_everybodys { By::Everybody } else { By::One(who) });
        is_everybodys
    }

    /// Whether the last ones were.
    pub(super) fn is_everybodys(&self) -> bool {
        self.by == Some(By::Everybody)
    }
}
