//! What is chosen next, and when it may run.

use std::time::Duration;

use crate::schedule::backoff::EXPIRED_WITHIN;
use crate::schedule::breaker::{Deadline, Other, Ran, Slot};
use crate::schedule::secret::{Server, Step};
use crate::schedule::settings::{Reads, Silence};
use crate::schedule::status::Liveness;
use crate::schedule::token::{TokenStep, Tokens};
use crate::schedule::work::{MountId, SecretId, TokenId, Work};

use super::mount::Mount;
use super::{InFlight, SLOW, Schedule};

/// Smaller goes first: failures (only while a probe is chosen), then token, secrets, old tokens; then expiry, then due.
pub(super) type Rank = (u32, u8, Duration, Duration);

impl Schedule {
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let old: Vec<TokenId> = self.tokens.iter().flat_map(Tokens::old).collect();
        let login = self.tokens.is_some().then_some([Slot::Health, Slot::Token, Slot::Check]);
        let secrets = (0..self.secrets.len()).map(|index| Slot::Secret(SecretId(index)));
        login.into_iter().flatten().chain(old.into_iter().map(Slot::Old)).chain(secrets)
    }

    /// From when on `slot` may run; `None` while it needs nothing, or an outcome has to come first.
    pub(super) fn ready(&self, slot: Slot, now: Duration) -> Option<Duration> {
        if slot == Slot::Health {
            return self.health_due(now);
        }
        // Whether anybody answers is known in a moment.
        if self.is_under_way(slot) || self.is_under_way(Slot::Health) {
            return None;
        }
        let (due, deadline) = match slot {
            Slot::Health => return None,
            Slot::Token => {
                let tokens = self.tokens.as_ref()?;
                if self.is_under_way(Slot::Check) {
                    return None;
                }
                let is_login = tokens.step(self.server(), now) == TokenStep::Login;
                let issuing = if is_login { self.issuing_until() } else { Duration::ZERO };
                (tokens.due()?.max(issuing), tokens.deadline(&self.settings))
            }
            Slot::Check => {
                if self.is_under_way(Slot::Token) {
                    return None;
                }
                (self.tokens.as_ref()?.check_due()?, Deadline::default())
            }
            Slot::Old(id) => {
                if self.in_flight.iter().any(|flight| flight.token == Some(id)) {
                    return None;
                }
                (self.tokens.as_ref()?.revoke_due(id, now)?, Deadline::default())
            }
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let due = secret.due()?;
                let deadline = self.deadline(id);
                if due <= now && !self.may_run(secret.step(self.current(), self.server(), now), deadline.end, now) {
                    return None;
                }
                (due.max(self.mount_gate(id, deadline, now)?), deadline)
            }
        };
        // What has been under way for long hangs in a mount of its own, and takes no room from the others.
        let counts = |flight: &&InFlight| !self.breaker.is_closed() || flight.is_young(now);
        let others = self.in_flight.iter().filter(counts).map(|flight| Other { slot: flight.slot, ran: flight.ran });
        let gate = self.breaker.gate(slot, others, deadline, now)?;
        Some(due.max(gate))
    }

    /// Until when a secret can wait.
    pub(super) fn deadline(&self, id: SecretId) -> Deadline {
        let secret = &self.secrets[id.0];
        Deadline { end: self.expiry(secret), renewal: secret.renewed_by(self.current(), &self.settings) }
    }

    /// From when on its mount lets a secret run. What hangs there takes no room from the others.
    fn mount_gate(&self, id: SecretId, deadline: Deadline, now: Duration) -> Option<Duration> {
        let (mount, breaker) = (self.secrets[id.0].mount(), &self.mount_of(id).breaker);
        let is_beside = |flight: &&InFlight| self.mount_id(flight.slot) == Some(mount) && flight.is_young(now);
        let others = self.in_flight.iter().filter(is_beside);
        let others = others.map(|flight| Other { slot: flight.slot, ran: flight.ran_in_mount });
        if self.is_unaffected(id, now) {
            breaker.gate_unaffected(others, deadline, now)
        } else {
            breaker.gate(Slot::Secret(id), others, deadline, now)
        }
    }

    /// Whether the failures of its mount may be those of others only: it did not fail, or once while its value lives.
    pub(super) fn is_unaffected(&self, id: SecretId, now: Duration) -> bool {
        match self.secrets[id.0].history.failures() {
            0 => true,
            1 => self.expiry(&self.secrets[id.0]).is_some_and(|end| end > now),
            _ => false,
        }
    }

    /// When the server is asked whether it lives: when a request has been under way for long, or was in vain, and nothing was
    /// answered since it was sent. In an outage that is a probe like others.
    fn health_due(&self, now: Duration) -> Option<Duration> {
        let can_ask = self.tokens.is_some() && self.settings.silence == Silence::Health;
        if !can_ask || self.is_under_way(Slot::Health) {
            return None;
        }
        if !self.breaker.is_closed() {
            let others = self.in_flight.iter().map(|flight| Other { slot: flight.slot, ran: flight.ran });
            let gate = self.breaker.gate(Slot::Health, others, Deadline::default(), now)?;
            return self.suspected.map(|at| at.max(gate));
        }
        let is_silent =
            |flight: &&InFlight| self.last_answer <= flight.requested_at && self.last_health <= flight.requested_at;
        let slow = self.in_flight.iter().filter(is_silent).map(|flight| flight.requested_at.saturating_add(SLOW));
        slow.chain(self.suspected.map(|_| now)).min()
    }

    /// Until when a login waits for issues: one that hangs is not waited for.
    fn issuing_until(&self) -> Duration {
        let issues = self.in_flight.iter().filter(|flight| matches!(flight.work, Work::Issue(_)));
        issues.map(|flight| flight.requested_at.saturating_add(SLOW)).max().unwrap_or(Duration::ZERO)
    }

    /// Whether the token lets this step run: an issue waits for a login that is due or under way, but not for one that hangs
    /// while its value is about to end.
    fn may_run(&self, step: Step, end: Option<Duration>, now: Duration) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        if !tokens.is_live(now) {
            return false;
        }
        if step != Step::Issue || !tokens.is_login_due(self.server(), now) {
            return true;
        }
        let hangs = self.in_flight.iter().any(|flight| flight.slot == Slot::Token && !flight.is_young(now));
        hangs && end.is_some_and(|end| end <= now.saturating_add(EXPIRED_WITHIN))
    }

    /// Whether somebody answers, as far as is known.
    pub(super) fn server(&self) -> Server {
        if self.breaker.is_closed() { Server::Answers } else { Server::IsDown }
    }

    /// What is known of the server after a failure that could be its own or one request's.
    pub fn liveness(&self) -> Liveness {
        if self.breaker.down_until().is_some() {
            Liveness::Down
        } else if self.suspected.is_some() || self.is_under_way(Slot::Health) {
            Liveness::Unknown
        } else {
            Liveness::Answers
        }
    }

    pub(super) fn mount_of(&self, id: SecretId) -> &Mount {
        &self.mounts[self.secrets[id.0].mount().0]
    }

    pub(super) fn mount_id(&self, slot: Slot) -> Option<MountId> {
        match slot {
            Slot::Secret(id) => Some(self.secrets[id.0].mount()),
            Slot::Token | Slot::Check | Slot::Health | Slot::Old(_) => None,
        }
    }

    pub(super) fn rank(&self, slot: Slot, now: Duration) -> Rank {
        let tokens = self.tokens.as_ref();
        let (failures, order, expiry, due) = match slot {
            Slot::Token => (tokens.map_or(0, Tokens::failures), 0, Duration::ZERO, Duration::ZERO),
            // In an outage what was not tried yet says as much, and may be about to end.
            Slot::Health if self.suspected.is_some() && !self.breaker.is_closed() => {
                (0, 2, Duration::MAX, Duration::MAX)
            }
            // It decides about what failed, and about all others.
            Slot::Health if self.suspected.is_some() => (0, 0, Duration::ZERO, Duration::ZERO),
            Slot::Check | Slot::Health => (0, 1, Duration::ZERO, Duration::ZERO),
            Slot::Secret(id) => {
                let secret = &self.secrets[id.0];
                let expiry = self.expiry(secret).unwrap_or(Duration::MAX);
                (secret.history.failures(), 2, expiry, secret.due().unwrap_or(now))
            }
            Slot::Old(id) => (tokens.map_or(0, |tokens| tokens.revoke_failures(id)), 3, Duration::ZERO, Duration::ZERO),
        };
        let mount_is_closed = self.mount_id(slot).is_none_or(|mount| self.mounts[mount.0].breaker.is_closed());
        let counts = !self.breaker.is_closed() || !mount_is_closed;
        (if counts { failures } else { 0 }, order, expiry, due)
    }

    pub(super) fn start(&mut self, slot: Slot, now: Duration) -> Work {
        let work = self.work(slot, now);
        if let (Work::Read(id), Reads::Together, true) = (work, self.settings.reads, self.breaker.is_closed()) {
            self.join(id, now);
        }
        let (token, ran, limit) = (self.current(), self.breaker.start(slot, now), self.limit_now(work, now));
        let ran_in_mount = match slot {
            Slot::Secret(id) if !self.is_unaffected(id, now) => {
                let mount = self.secrets[id.0].mount();
                self.mounts[mount.0].breaker.start(slot, now)
            }
            _ => Ran::Freely,
        };
        match (slot, &mut self.tokens) {
            (Slot::Health, _) => (self.last_health, self.suspected) = (now, None),
            (Slot::Token, Some(tokens)) => tokens.is_tried(now),
            (Slot::Secret(id), _) => self.secrets[id.0].history.is_tried(now),
            _ => {}
        }
        self.in_flight.push(InFlight { slot, work, requested_at: now, token, ran, ran_in_mount, limit });
        work
    }

    pub(super) fn work(&self, slot: Slot, now: Duration) -> Work {
        match slot {
            Slot::Token => {
                match self.tokens.as_ref().map(|tokens| (tokens.step(self.server(), now), tokens.upcoming())) {
                    Some((TokenStep::Login, id)) => Work::Login(id),
                    _ => Work::RenewToken,
                }
            }
            Slot::Check => Work::CheckToken,
            Slot::Health => Work::CheckHealth,
            Slot::Old(id) => Work::RevokeOldToken(id),
            Slot::Secret(id) => match self.secrets[id.0].step(self.current(), self.server(), now) {
                Step::Renew => Work::Renew(id),
                Step::Issue => Work::Issue(id),
                Step::Read => Work::Read(id),
            },
        }
    }

    pub(super) fn is_under_way(&self, slot: Slot) -> bool {
        self.in_flight.iter().any(|flight| flight.slot == slot)
    }

    pub(super) fn current(&self) -> Option<TokenId> {
        self.tokens.as_ref().and_then(Tokens::current)
    }
}
