//! What is chosen next, and when it may run.

use std::time::Duration;

use crate::rotate::breaker::Slot;
use crate::rotate::secret::Step;
use crate::rotate::settings::Reads;
use crate::rotate::token::{TokenStep, Tokens};
use crate::rotate::work::{SecretId, TokenId, Work};

use super::{Flight, Schedule};

/// Smaller goes first: failures (only while a probe is chosen), then token, secrets, old tokens; then expiry, then due.
pub(super) type Rank = (u32, u8, Duration, Duration);

impl Schedule {
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let old: Vec<TokenId> = self.tokens.iter().flat_map(Tokens::old).collect();
        let login = self.tokens.is_some().then_some([Slot::Token, Slot::Check]);
        let secrets = (0..self.secrets.len()).map(|index| Slot::Secret(SecretId(index)));
        login.into_iter().flatten().chain(old.into_iter().map(Slot::Old)).chain(secrets)
    }

    /// From when on `slot` may run; `None` while it needs nothing, or an outcome has to come first.
    pub(super) fn ready(&self, slot: Slot, now: Duration) -> Option<Duration> {
        if self.is_under_way(slot) {
            return None;
        }
        let due = match slot {
            Slot::Token => {
                let tokens = self.tokens.as_ref()?;
                let is_login = tokens.step(now) == TokenStep::Login;
                let is_issuing = self.flights.iter().any(|flight| matches!(flight.work, Work::Issue(_)));
                if self.is_under_way(Slot::Check) || (is_login && is_issuing) {
                    return None;
                }
                tokens.due()?
            }
            Slot::Check => {
                if self.is_under_way(Slot::Token) {
                    return None;
                }
                self.tokens.as_ref()?.check_due()?
            }
            Slot::Old(id) => {
                if self.flights.iter().any(|flight| flight.token == Some(id)) {
                    return None;
                }
                self.tokens.as_ref()?.revoke_due(id, now)?
            }
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let due = secret.due()?;
                if due <= now && !self.may_run(secret.step(self.current(), now), now) {
                    return None;
                }
                due
            }
        };
        let gate = self.breaker.gate(slot, self.flights.len())?;
        Some(due.max(gate))
    }

    /// Whether the token lets this step run: an issue waits for a login that is due or under way.
    fn may_run(&self, step: Step, now: Duration) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        tokens.is_live(now) && (step != Step::Issue || !tokens.is_login_due(now))
    }

    pub(super) fn rank(&self, slot: Slot, now: Duration) -> Rank {
        let tokens = self.tokens.as_ref();
        let (failures, order, expiry, due) = match slot {
            Slot::Token => (tokens.map_or(0, Tokens::failures), 0, Duration::ZERO, Duration::ZERO),
            Slot::Check => (0, 1, Duration::ZERO, Duration::ZERO),
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let expiry = self.expiry(secret).unwrap_or(Duration::MAX);
                (secret.failures(), 2, expiry, secret.due().unwrap_or(now))
            }
            Slot::Old(id) => (tokens.map_or(0, |tokens| tokens.revoke_failures(id)), 3, Duration::ZERO, Duration::ZERO),
        };
        (if self.breaker.is_closed() { 0 } else { failures }, order, expiry, due)
    }

    pub(super) fn start(&mut self, slot: Slot, now: Duration) -> Work {
        let work = self.work(slot, now);
        if let (Work::Read(_), Reads::Together, true) = (work, self.settings.reads, self.breaker.is_closed()) {
            for secret in self.secrets.iter_mut().filter(|secret| secret.joins(&self.settings, now)) {
                secret.join(now);
            }
        }
        let (token, ran) = (self.current(), self.breaker.start(now));
        self.flights.push(Flight { slot, work, asked: now, token, ran });
        work
    }

    pub(super) fn work(&self, slot: Slot, now: Duration) -> Work {
        match slot {
            Slot::Token => match self.tokens.as_ref().map(|tokens| (tokens.step(now), tokens.upcoming())) {
                Some((TokenStep::Login, id)) => Work::Login(id),
                _ => Work::RenewToken,
            },
            Slot::Check => Work::CheckToken,
            Slot::Old(id) => Work::RevokeOldToken(id),
            Slot::Secret(id) => match self.secrets[id.0].step(self.current(), now) {
                Step::Renew => Work::Renew(id),
                Step::Issue => Work::Issue(id),
                Step::Read => Work::Read(id),
            },
        }
    }

    fn is_under_way(&self, slot: Slot) -> bool {
        self.flights.iter().any(|flight| flight.slot == slot)
    }

    pub(super) fn current(&self) -> Option<TokenId> {
        self.tokens.as_ref().and_then(Tokens::current)
    }
}
