//! Chooses what runs next, and computes when each slot may run.

use std::time::Duration;

use crate::schedule::backoff::EXPIRED_WITHIN;
use crate::schedule::breaker::{Deadline, Other, Ran, Slot};
use crate::schedule::secret_state::{Server, Step};
use crate::schedule::settings::{Reads, Silence};
use crate::schedule::status::Liveness;
use crate::schedule::token::{TokenStep, Tokens};
use crate::schedule::work::{MountId, SecretId, TokenId, Work};

use super::mount::Mount;
use super::{InFlight, SLOW, Schedule};

/// The order of slots that may run, smallest first: number of failures (counted only while a breaker is open), kind
/// (token, then secrets, then old tokens), expiry, due time.
pub(super) type Rank = (u32, u8, Duration, Duration);

impl Schedule {
    /// Every slot: health check, token, token check, old tokens, secrets.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let old: Vec<TokenId> = self.tokens.iter().flat_map(Tokens::old).collect();
        let login = self.tokens.is_some().then_some([Slot::Health, Slot::Token, Slot::Check]);
        let secrets = (0..self.secrets.len()).map(|index| Slot::Secret(SecretId(index)));
        login.into_iter().flatten().chain(old.into_iter().map(Slot::Old)).chain(secrets)
    }

    /// Returns when `slot` may run, which may be in the past; `None` while it needs nothing or has to wait for a
    /// request under way.
    pub(super) fn ready(&self, slot: Slot, now: Duration) -> Option<Duration> {
        if slot == Slot::Health {
            return self.health_due(now);
        }
        // While the health check is under way nothing else starts: it shows within seconds whether the server answers.
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
                if self.requests.in_flight.iter().any(|flight| flight.token == Some(id)) {
                    return None;
                }
                (self.tokens.as_ref()?.revoke_due(id, now)?, Deadline::default())
            }
            Slot::Secret(id) => {
                if self.waits_for_first_answer() {
                    return None;
                }
                let secret = &self.secrets[id.0];
                let due = secret.due()?;
                let deadline = self.deadline(id);
                if due <= now && !self.may_run(secret.step(self.current(), self.server(), now), deadline.end, now) {
                    return None;
                }
                (due.max(self.mount_gate(id, deadline, now)?), deadline)
            }
        };
        // A request that has been under way for long probably hangs in its mount and does not count against the
        // parallel requests.
        let counts = |flight: &&InFlight| !self.breaker.is_closed() || flight.is_recent(now);
        let others =
            self.requests.in_flight.iter().filter(counts).map(|flight| Other { slot: flight.slot, ran: flight.ran });
        let gate = self.breaker.gate(slot, others, deadline, now)?;
        Some(due.max(gate))
    }

    /// Until when a request for this secret may be put off.
    pub(super) fn deadline(&self, id: SecretId) -> Deadline {
        let secret = &self.secrets[id.0];
        Deadline { end: self.expiry(secret), renewal: secret.renewed_by(self.current(), &self.settings) }
    }

    /// Returns when the breaker of the secret's mount lets it run; `None` while a request of the mount has to end
    /// first. Slow requests do not count against the parallel requests.
    fn mount_gate(&self, id: SecretId, deadline: Deadline, now: Duration) -> Option<Duration> {
        let (mount, breaker) = (self.secrets[id.0].mount(), &self.mount_of(id).breaker);
        let is_beside = |flight: &&InFlight| self.mount_id(flight.slot) == Some(mount) && flight.is_recent(now);
        let others = self.requests.in_flight.iter().filter(is_beside);
        let others = others.map(|flight| Other { slot: flight.slot, ran: flight.ran_in_mount });
        if self.is_unaffected(id, now) {
            breaker.gate_unaffected(others, deadline, now)
        } else {
            breaker.gate(Slot::Secret(id), others, deadline, now)
        }
    }

    /// Whether the mount's failures may be those of other secrets only: this one has not failed, or only once while its
    /// value is still valid.
    pub(super) fn is_unaffected(&self, id: SecretId, now: Duration) -> bool {
        match self.secrets[id.0].history.failures() {
            0 => true,
            1 => self.expiry(&self.secrets[id.0]).is_some_and(|end| end > now),
            _ => false,
        }
    }

    /// When the health check is due: when a request has been under way for longer than `SLOW`, or failed in an unclear
    /// way, and the server has answered nothing since it was sent. While the breaker is open it runs as a probe like
    /// others.
    fn health_due(&self, now: Duration) -> Option<Duration> {
        let can_ask = self.tokens.is_some() && self.settings.silence == Silence::Health;
        if !can_ask || self.is_under_way(Slot::Health) {
            return None;
        }
        if !self.breaker.is_closed() {
            let others = self.requests.in_flight.iter().map(|flight| Other { slot: flight.slot, ran: flight.ran });
            let gate = self.breaker.gate(Slot::Health, others, Deadline::default(), now)?;
            return self.contact.suspected.map(|at| at.max(gate));
        }
        let is_silent = |flight: &&InFlight| {
            self.contact.last_answer <= flight.requested_at && self.contact.last_health <= flight.requested_at
        };
        let slow =
            self.requests.in_flight.iter().filter(is_silent).map(|flight| flight.requested_at.saturating_add(SLOW));
        slow.chain(self.contact.suspected.map(|_| now)).min()
    }

    /// Until when a login waits for issue requests under way, so that their leases do not end with the old token. It
    /// does not wait for slow ones.
    fn issuing_until(&self) -> Duration {
        let issues = self.requests.in_flight.iter().filter(|flight| matches!(flight.work, Work::Issue(_)));
        issues.map(|flight| flight.requested_at.saturating_add(SLOW)).max().unwrap_or(Duration::ZERO)
    }

    /// Whether another secret's request, or a lookup, shows soon whether the server accepts the current token, whose
    /// predecessor died.
    fn waits_for_first_answer(&self) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let is_tried = |flight: &InFlight| flight.work.secret().is_some() && flight.token == self.current();
        tokens.is_doubted() || (tokens.is_untried() && self.requests.in_flight.iter().any(is_tried))
    }

    /// Whether the token permits this step now. An issue waits for a login that is due or under way, unless that login
    /// hangs while the secret's value is about to expire.
    fn may_run(&self, step: Step, end: Option<Duration>, now: Duration) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        if !tokens.is_live(now) {
            return false;
        }
        if step != Step::Issue || !tokens.is_login_due(self.server(), now) {
            return true;
        }
        let hangs = self.requests.in_flight.iter().any(|flight| flight.slot == Slot::Token && !flight.is_recent(now));
        hangs && end.is_some_and(|end| end <= now.saturating_add(EXPIRED_WITHIN))
    }

    /// Whether the server answers, as far as the breaker shows.
    pub(super) fn server(&self) -> Server {
        if self.breaker.is_closed() { Server::Answers } else { Server::IsDown }
    }

    /// Whether the server answers: down, answering, or unknown until a health check that is due has ended.
    pub fn liveness(&self) -> Liveness {
        if self.breaker.down_until().is_some() {
            Liveness::Down
        } else if self.contact.suspected.is_some() || self.is_under_way(Slot::Health) {
            Liveness::Unknown
        } else {
            Liveness::Answers
        }
    }

    /// The mount of a secret.
    pub(super) fn mount_of(&self, id: SecretId) -> &Mount {
        &self.mounts[self.secrets[id.0].mount().0]
    }

    /// The mount of a slot; `None` for logins, token checks and health checks.
    pub(super) fn mount_id(&self, slot: Slot) -> Option<MountId> {
        match slot {
            Slot::Secret(id) => Some(self.secrets[id.0].mount()),
            Slot::Token | Slot::Check | Slot::Health | Slot::Old(_) => None,
        }
    }

    /// The rank of a slot that may run at `now`.
    pub(super) fn rank(&self, slot: Slot, now: Duration) -> Rank {
        let tokens = self.tokens.as_ref();
        let (failures, order, expiry, due) = match slot {
            Slot::Token => (tokens.map_or(0, Tokens::failures), 0, Duration::ZERO, Duration::ZERO),
            // During an outage a secret's request tells as much as a health check, and may be urgent: the health check
            // comes last.
            Slot::Health if self.contact.suspected.is_some() && !self.breaker.is_closed() => {
                (0, 2, Duration::MAX, Duration::MAX)
            }
            // The health check decides whether the failure was the request's or the server's, so it comes first.
            Slot::Health if self.contact.suspected.is_some() => (0, 0, Duration::ZERO, Duration::ZERO),
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

    /// Records the start of a slot's request and returns the work to execute.
    pub(super) fn start(&mut self, slot: Slot, now: Duration) -> Work {
        let work = self.work(slot, now);
        if let (Work::Read(id), Reads::Together, true) = (work, self.settings.reads, self.breaker.is_closed()) {
            self.pull_forward(id, now);
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
            (Slot::Health, _) => (self.contact.last_health, self.contact.suspected) = (now, None),
            (Slot::Token, Some(tokens)) => tokens.record_sent(now),
            (Slot::Secret(id), _) => self.secrets[id.0].history.record_sent(now),
            _ => {}
        }
        self.requests.in_flight.push(InFlight { slot, work, requested_at: now, token, ran, ran_in_mount, limit });
        work
    }

    /// The work that a slot needs, if it runs at `now`.
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

    /// Whether a request of this slot is under way.
    pub(super) fn is_under_way(&self, slot: Slot) -> bool {
        self.requests.in_flight.iter().any(|flight| flight.slot == slot)
    }

    /// The current login.
    pub(super) fn current(&self) -> Option<TokenId> {
        self.tokens.as_ref().and_then(Tokens::current)
    }
}
