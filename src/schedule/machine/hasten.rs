//! Moves requests forward: because a value has expired, or because another value has changed.

use std::time::Duration;

use crate::domain::{part, scaled};
use crate::schedule::backoff::{BACK_WITHIN, EXPIRED_WITHIN, longest_backoff, unit, with_jitter};
use crate::schedule::breaker::Slot;
use crate::schedule::secret::Secret;
use crate::schedule::settings::Reads;
use crate::schedule::work::{MountId, SecretId, Work};

use super::{SLOW, Schedule};

/// A repetition of reads, started because one read found a changed value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// When the reads are sent.
    at: Duration,
    refresh: Duration,
    /// Until when what they bring is waited for.
    until: Duration,
}

/// The gap between reads that are sent together; smaller for short intervals.
const BEHIND: Duration = Duration::from_secs(1);

/// What expires within this time is not put off when a server is back.
const SOON: Duration = Duration::from_secs(60);

/// How long a delivery waits for the results of a round.
const ANSWERS: Duration = Duration::from_secs(1);

impl Schedule {
    /// Reports that a read found a changed value. The other secrets with the same read interval are read again
    /// [`Settings::together_within`](super::super::Settings) later, so that values that changed together are delivered
    /// together.
    pub fn changed(&mut self, id: SecretId, now: Duration) {
        if self.settings.reads == Reads::Apart || self.haste.round.is_some_and(|round| now < round.until) {
            return;
        }
        let refresh = self.secrets[id.0].refresh_interval();
        let at = now.saturating_add(self.settings.together_within);
        let mut beside = 0_usize;
        for (index, secret) in self.secrets.iter_mut().enumerate() {
            if index != id.0 && secret.read_again_at(refresh, at) {
                beside = beside.saturating_add(1);
            }
        }
        self.haste.round = (beside > 0).then_some(Round { at, refresh, until: at.saturating_add(ANSWERS) });
    }

    /// Moves the other secrets' reads that are nearly due right behind the one that is sent, one gap (at most 1 s)
    /// after another, so that spread clients do not send bursts. A secret that was read just now is not moved.
    pub(super) fn pull_forward(&mut self, first: SecretId, now: Duration) {
        let spread = unit(self.settings.spread);
        let reads = self.secrets.iter().filter(|secret| secret.is_read_at_intervals()).count();
        let reads = u32::try_from(reads).unwrap_or(u32::MAX);
        let mut behind = 0_u32;
        for (index, secret) in self.secrets.iter_mut().enumerate() {
            let jitter = scaled(secret.refresh_interval(), spread);
            let gap = part(jitter, reads.max(1)).min(BEHIND);
            // Reads that were last sent together are due at most this far apart.
            let apart = jitter.saturating_add(gap.saturating_mul(reads));
            let is_nearly_due = secret.due().is_some_and(|due| due.saturating_sub(apart) <= now);
            let is_just_read = now.saturating_sub(secret.history.last_sent()) <= apart;
            if index != first.0 && secret.is_read_at_intervals() && is_nearly_due && !is_just_read {
                behind = behind.saturating_add(1);
                secret.pull_forward(now.saturating_add(gap.saturating_mul(behind)));
            }
        }
    }

    /// Until when a delivery waits for the reads of a round; `None` if there is nothing to wait for. It does not wait
    /// for a secret whose last read failed or timed out: the next one may hang as well.
    pub fn settles_at(&self, now: Duration) -> Option<Duration> {
        let Round { at, refresh, until } = self.haste.round.filter(|round| now < round.until)?;
        let is_in_round =
            |secret: &Secret| secret.refresh_interval() == refresh && secret.history.last_failure().is_none();
        let is_reading = self.requests.in_flight.iter().any(|flight| match flight.work {
            Work::Read(id) => is_in_round(&self.secrets[id.0]),
            _ => false,
        });
        let is_due = |secret: &Secret| is_in_round(secret) && secret.due().is_some_and(|due| due <= now);
        if now < at {
            Some(at)
        } else if is_reading || self.secrets.iter().any(is_due) {
            Some(until)
        } else {
            None
        }
    }

    /// Lets a secret whose read was sent before the round take part in the round.
    pub(super) fn joins_round(&mut self, id: SecretId, now: Duration) {
        if let Some(Round { at, refresh, .. }) = self.haste.round.filter(|round| now < round.at) {
            self.secrets[id.0].read_again_at(refresh, at);
        }
    }

    /// Makes due, every 10 s, one secret that was refused and has expired or is about to; a refused login, or the login
    /// after a token that was dead at once, likewise.
    pub(super) fn hasten(&mut self, now: Duration) {
        let ends_soon =
            |secret: &Secret| self.expiry(secret).is_some_and(|end| end <= now.saturating_add(EXPIRED_WITHIN));
        let is_urgent = self.secrets.iter().any(ends_soon);
        let refused = self
            .secrets
            .iter()
            .enumerate()
            .filter(|(_, secret)| secret.is_refused(self.expiry(secret), now) && ends_soon(secret));
        let first = refused.map(|(index, secret)| (index, self.hastened_at(secret))).min_by_key(|(_, at)| *at);
        if let Some((index, at)) = first
            && now >= self.haste.refused_again.max(at)
        {
            self.secrets[index].try_again(now);
            self.haste.refused_again = now.saturating_add(with_jitter(EXPIRED_WITHIN, self.jitter));
        }
        let jitter = self.jitter;
        if let Some(tokens) = &mut self.tokens
            && (is_urgent || (!tokens.is_live(now) && tokens.last_failure().is_some()))
        {
            tokens.hasten_refused(jitter);
        }
    }

    /// When a secret that was refused is tried again although its back-off is longer: half way to its end, but within
    /// 10 s of the last try.
    fn hastened_at(&self, secret: &Secret) -> Duration {
        let tried = secret.history.last_sent();
        let left = self.expiry(secret).map_or(Duration::ZERO, |end| end.saturating_sub(tried));
        tried.saturating_add(longest_backoff(left).min(EXPIRED_WITHIN))
    }

    /// Makes due what was refused and has expired or is about to, because another secret that was refused has been
    /// answered: what was wrong with it may have been wrong with all.
    pub(super) fn hasten_all(&mut self, now: Duration) {
        for index in 0..self.secrets.len() {
            let secret = &self.secrets[index];
            let end = self.expiry(secret);
            let is_over = end.is_some_and(|end| end <= now.saturating_add(EXPIRED_WITHIN));
            let is_just_tried = secret.history.last_sent().saturating_add(part(EXPIRED_WITHIN, 2)) > now;
            if is_over && !is_just_tried && secret.is_refused(end, now) {
                self.secrets[index].try_again(now);
            }
        }
    }

    /// When [`hasten`](Self::hasten) would next move something.
    pub(super) fn next_hastened(&self, now: Duration) -> Duration {
        let is_login_hastened = self.tokens.as_ref().is_some_and(|tokens| tokens.is_hastened(now));
        let hastened = self.secrets.iter().filter_map(|secret| {
            let end = self.expiry(secret)?;
            let soon = end.saturating_sub(EXPIRED_WITHIN);
            if secret.is_refused(Some(end), now) {
                return Some(soon.max(self.hastened_at(secret)).max(self.haste.refused_again));
            }
            is_login_hastened.then_some(soon)
        });
        hastened.filter(|at| *at > now).min().unwrap_or(Duration::MAX)
    }

    /// Makes due what waited for the server or the mount that answers again: what expires within a minute at once, the
    /// rest together within [`BACK_WITHIN`].
    pub(super) fn is_back(&mut self, is_its: impl Fn(MountId) -> bool, now: Duration) {
        let (soon, later) = (now.saturating_add(SOON), now.saturating_add(scaled(BACK_WITHIN, self.jitter)));
        for index in 0..self.secrets.len() {
            let secret = &self.secrets[index];
            if is_its(secret.mount()) {
                let is_urgent = secret.is_pending() || self.expiry(secret).is_some_and(|end| end <= soon);
                self.secrets[index].backend_is_back(if is_urgent { now } else { later }, self.jitter);
            }
        }
        let its = self.mounts.iter_mut().enumerate().filter(|(index, _)| is_its(MountId(*index)));
        its.for_each(|(_, mount)| mount.breaker.server_is_back(later));
    }

    /// When the next request under way becomes slow.
    pub(super) fn next_slow(&self, now: Duration) -> Duration {
        let slow = self.requests.in_flight.iter().map(|flight| flight.requested_at.saturating_add(SLOW));
        slow.filter(|at| *at > now).min().unwrap_or(Duration::MAX)
    }

    /// Until when the breakers hold back a secret's request; `now` if they do not.
    pub(super) fn waits_until(&self, id: SecretId, now: Duration) -> Duration {
        let deadline = self.deadline(id);
        let slot = Slot::Secret(id);
        let backend = self.breaker.gate(slot, std::iter::empty(), deadline, now);
        let breaker = &self.mount_of(id).breaker;
        let mount = if self.is_unaffected(id, now) {
            breaker.gate_unaffected(std::iter::empty(), deadline, now)
        } else {
            breaker.gate(slot, std::iter::empty(), deadline, now)
        };
        backend.unwrap_or(now).max(mount.unwrap_or(now))
    }
}
