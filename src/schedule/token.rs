//! The login token: renewed like a lease, replaced before its end, handed over from, and given up when it is dead.

use std::time::Duration;

use crate::provider::{Extent, Failure};

use super::backoff::{EXPIRED_WITHIN, less_a_quarter, slowly, soon};
use super::breaker::{Deadline, FailureTiming};
use super::history::LastFailure;
use super::secret::Server;
use super::settings::Settings;
use super::term::{LeaseTerm, NextStep};
use super::work::{Grant, Lifetime, TokenId};

/// The current token, the ones handed over from, and what is due.
#[derive(Debug)]
pub(super) struct Tokens {
    current: Option<Current>,
    old: Vec<Old>,
    /// When the current one is renewed or replaced; `None`: never.
    due: Option<Duration>,
    /// When it is asked whether the current one lives.
    check: Option<Duration>,
    trouble: Option<LastFailure>,
    check_failures: u32,
    /// Logins because of a dead token since one of them was last seen alive.
    deaths: u32,
    /// Its renewal fails: from then on it is replaced instead.
    gives_way: Option<Duration>,
    /// When the last login was sent.
    tried: Duration,
    /// No login because of a dead token before this.
    patience: Duration,
    issued: u32,
}

#[derive(Debug)]
struct Current {
    id: TokenId,
    term: Option<LeaseTerm>,
    revocable: bool,
}

/// A token handed over from, or dead. Kept while a lease hangs on it.
#[derive(Debug)]
struct Old {
    id: TokenId,
    end: Option<Duration>,
    revocable: bool,
    revoke_at: Option<Duration>,
    failures: u32,
}

/// What the token needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenStep {
    Login,
    Renew,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            current: None,
            old: Vec::new(),
            due: Some(Duration::ZERO),
            check: None,
            trouble: None,
            check_failures: 0,
            deaths: 0,
            gives_way: None,
            tried: Duration::ZERO,
            patience: Duration::ZERO,
            issued: 0,
        }
    }

    /// The token requests go out with.
    pub(super) fn current(&self) -> Option<TokenId> {
        self.current.as_ref().map(|current| current.id)
    }

    /// The id of the next login.
    pub(super) fn upcoming(&self) -> TokenId {
        TokenId(self.issued)
    }

    pub(super) fn is_live(&self, now: Duration) -> bool {
        self.current.as_ref().is_some_and(|current| current.term.is_none_or(|term| term.end() > now))
    }

    /// When this token dies; `None`: it does not by itself. One that is forgotten is dead.
    pub(super) fn end(&self, id: TokenId) -> Option<Duration> {
        if let Some(current) = self.current.as_ref().filter(|current| current.id == id) {
            return current.term.map(|term| term.end());
        }
        self.old.iter().find(|old| old.id == id).map_or(Some(Duration::ZERO), |old| old.end)
    }

    /// Until when the current one can wait.
    pub(super) fn deadline(&self, settings: &Settings) -> Deadline {
        let term = self.current.as_ref().and_then(|current| current.term);
        let extendable = term.filter(LeaseTerm::is_extendable);
        let renewal = extendable.map(|term| self.gives_way.unwrap_or(term.gives_way(settings)));
        Deadline { end: term.map(|term| term.end()), renewal }
    }

    pub(super) fn current_end(&self) -> Option<Duration> {
        self.current.as_ref()?.term.map(|term| term.end())
    }

    /// What it needs, if it is done now. A renewal that keeps failing gives way to a login where the server answers.
    pub(super) fn step(&self, server: Server, now: Duration) -> TokenStep {
        let gives_way = server == Server::Answers && self.gives_way.is_some_and(|at| at <= now);
        match self.current.as_ref().map(|current| current.term) {
            Some(Some(term)) if term.need(now) == NextStep::Renewal && !gives_way => TokenStep::Renew,
            _ => TokenStep::Login,
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    pub(super) fn check_due(&self) -> Option<Duration> {
        self.check
    }

    pub(super) fn trouble(&self) -> Option<&LastFailure> {
        self.trouble.as_ref()
    }

    pub(super) fn failures(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.count)
    }

    /// Whether an issue has to wait for a login.
    pub(super) fn is_login_due(&self, server: Server, now: Duration) -> bool {
        self.step(server, now) == TokenStep::Login && self.due.is_some_and(|due| due <= now)
    }

    /// When it is replaced, if it is in its window and nothing stands in the way.
    pub(super) fn replaced_at(&self, settings: &Settings, now: Duration) -> Option<Duration> {
        let term = self.current.as_ref().and_then(|current| current.term)?;
        self.due.filter(|_| self.trouble.is_none() && term.is_in_window(now, settings))
    }

    /// It is replaced now.
    pub(super) fn hasten(&mut self, now: Duration) {
        self.due = self.due.map(|due| due.min(now));
    }

    /// Somebody put another token where ours came from.
    pub(super) fn identity_changed(&mut self, now: Duration) {
        if self.trouble.is_none() && self.current.is_some() {
            self.due = Some(self.due.map_or(now, |due| due.min(now)));
        }
    }

    /// A login brought a new token.
    pub(super) fn logged_in(
        &mut self,
        id: TokenId,
        grant: Grant,
        settings: &Settings,
        requested_at: Duration,
        jitter: f64,
    ) {
        if let Some(Current { id, term, revocable }) = self.current.take() {
            let end = term.map(|term| term.end());
            self.old.push(Old { id, end, revocable, revoke_at: None, failures: 0 });
        }
        self.issued = self.issued.max(id.0.saturating_add(1));
        let term = grant.life.map(|life| term_of(grant, life, requested_at));
        self.current = Some(Current { id, term, revocable: grant.revocable });
        self.settled(settings, jitter);
    }

    /// The same token, whose end is somebody else's affair: its life begins anew, so that its file is looked at ever more
    /// often as the end comes near, and not all the time.
    pub(super) fn unchanged(&mut self, grant: Grant, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let Some(current) = &mut self.current {
            current.term = grant.life.map(|life| LeaseTerm::new(life, requested_at));
        }
        self.settled(settings, jitter);
    }

    /// The same token with a new end.
    pub(super) fn extended(&mut self, grant: Grant, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let Some(current) = &mut self.current {
            match (&mut current.term, grant.life) {
                (Some(term), Some(life)) => term.renew(life, requested_at, settings),
                (term, life) => *term = life.map(|life| term_of(grant, life, requested_at)),
            }
        }
        self.deaths = 0;
        self.settled(settings, jitter);
    }

    fn settled(&mut self, settings: &Settings, jitter: f64) {
        let term = self.current.as_ref().and_then(|current| current.term);
        self.due = term.map(|term| term.due(settings, jitter));
        (self.check, self.check_failures, self.trouble, self.gives_way) = (None, 0, None, None);
    }

    /// There was no answer, or one of an auth method that fails.
    pub(super) fn set_back(
        &mut self,
        step: TokenStep,
        failure: Failure,
        timing: &FailureTiming,
        settings: &Settings,
        now: Duration,
        jitter: f64,
    ) {
        let count = self.count(&failure);
        let mut due = timing.due(count, now, jitter);
        if let (TokenStep::Renew, Some(term)) = (step, self.current.as_ref().and_then(|current| current.term))
            && failure.extent != Extent::Backend
        {
            let at = *self.gives_way.get_or_insert(term.gives_way_after(now, settings));
            due = if at > now { due.min(at) } else { due };
        }
        self.due = Some(due);
        self.trouble = Some(LastFailure { failure, count });
    }

    /// That its renewal failed was the backend's.
    pub(super) fn keeps_renewing(&mut self) {
        self.gives_way = None;
    }

    /// The login was refused: slowly again, within `limit`; what the old token holds goes on meanwhile.
    pub(super) fn login_refused(&mut self, failure: Failure, limit: Option<Duration>, now: Duration, jitter: f64) {
        let count = self.count(&failure);
        let wait = slowly(count, jitter);
        let wait = limit.map_or(wait, |limit| wait.min(less_a_quarter(limit, jitter)));
        self.due = Some(now.saturating_add(wait));
        self.trouble = Some(LastFailure { failure, count });
    }

    /// Something has expired meanwhile: a login that was refused is tried again 10 s after the last try.
    pub(super) fn hasten_refused(&mut self) {
        if self.trouble.as_ref().is_some_and(|trouble| !trouble.failure.class.is_retried()) {
            let at = self.tried.saturating_add(EXPIRED_WITHIN);
            self.due = self.due.map(|due| due.min(at));
        }
    }

    /// The server asked for patience.
    pub(super) fn not_before(&mut self, at: Duration) {
        self.due = self.due.map(|due| due.max(at));
    }

    /// A login or a renewal is sent.
    pub(super) fn is_tried(&mut self, now: Duration) {
        self.tried = now;
    }

    /// Somebody wants to know now: what failed is tried again.
    pub(super) fn refresh(&mut self, now: Duration) {
        if self.trouble.is_some() {
            self.due = self.due.map(|due| due.min(now));
        }
        self.check = self.check.map(|at| at.min(now.max(self.patience)));
    }

    /// Renewing was refused, yet the token may live: it is replaced in its window.
    pub(super) fn not_renewable(&mut self, failure: Failure, settings: &Settings, jitter: f64) {
        if let Some(term) = self.current.as_mut().and_then(|current| current.term.as_mut()) {
            term.finish();
            self.due = Some(term.due(settings, jitter));
        }
        self.trouble = Some(LastFailure { failure, count: 1 });
    }

    fn count(&self, failure: &Failure) -> u32 {
        match &self.trouble {
            Some(trouble) if trouble.failure.class.is_retried() == failure.class.is_retried() => {
                trouble.count.saturating_add(1)
            }
            _ => 1,
        }
    }

    pub(super) fn backend_is_back(&mut self, now: Duration) {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.failure.class.is_retried()) {
            self.due = Some(now);
        }
        self.check = self.check.map(|at| at.min(now.max(self.patience)));
    }

    /// Something that worked is refused: perhaps the token is dead. Asked only when a login could follow.
    pub(super) fn suspect(&mut self, now: Duration) {
        if self.current.is_some() {
            self.check.get_or_insert(now.max(self.patience));
        }
    }

    /// It lives.
    pub(super) fn is_alive(&mut self) {
        (self.check, self.check_failures, self.deaths) = (None, 0, 0);
    }

    /// The question whether it lives got no answer.
    pub(super) fn check_set_back(&mut self, limit: Option<Duration>, now: Duration, jitter: f64) {
        self.check_failures = self.check_failures.saturating_add(1);
        self.check = Some(now.saturating_add(soon(self.check_failures, limit, jitter)));
    }

    /// It is dead, and with it every lease. One new login at once; the next such only after a minute, doubling to ten.
    pub(super) fn died(&mut self, now: Duration, jitter: f64) {
        let Some(Current { id, mut term, .. }) = self.current.take() else { return };
        if let Some(term) = &mut term {
            term.cut(now);
        }
        let end = Some(term.map_or(now, |term| term.end()));
        self.old.push(Old { id, end, revocable: false, revoke_at: None, failures: 0 });
        let login = now.max(self.patience);
        self.deaths = self.deaths.saturating_add(1);
        self.patience = login.saturating_add(slowly(self.deaths, jitter));
        self.due = Some(login);
        (self.check, self.check_failures, self.trouble) = (None, 0, None);
    }

    /// The ids handed over from.
    pub(super) fn old(&self) -> impl Iterator<Item = TokenId> {
        self.old.iter().map(|old| old.id)
    }

    /// When an old one is revoked, if it is time to and worth it.
    pub(super) fn revoke_due(&self, id: TokenId, now: Duration) -> Option<Duration> {
        let old = self.old.iter().find(|old| old.id == id && old.revocable)?;
        old.revoke_at.filter(|_| old.end.is_none_or(|end| end > now))
    }

    pub(super) fn revoke_failures(&self, id: TokenId) -> u32 {
        self.old.iter().find(|old| old.id == id).map_or(0, |old| old.failures)
    }

    /// Everything has moved off it.
    pub(super) fn handed_over(&mut self, id: TokenId, revoke_at: Duration) {
        if let Some(old) = self.old.iter_mut().find(|old| old.id == id) {
            old.revoke_at.get_or_insert(revoke_at);
        }
    }

    pub(super) fn revoke_set_back(&mut self, id: TokenId, limit: Option<Duration>, now: Duration, jitter: f64) {
        if let Some(old) = self.old.iter_mut().find(|old| old.id == id) {
            old.failures = old.failures.saturating_add(1);
            old.revoke_at = Some(now.saturating_add(soon(old.failures, limit, jitter)));
        }
    }

    /// It is revoked, or cannot be.
    pub(super) fn revoked(&mut self, id: TokenId) {
        self.old.retain(|old| old.id != id);
    }

    /// Forgets those that nothing hangs on and nothing is left to do about.
    pub(super) fn forget(&mut self, now: Duration, is_leased_under: impl Fn(TokenId) -> bool) {
        self.old.retain(|old| is_leased_under(old.id) || (old.revocable && old.end.is_none_or(|end| end > now)));
    }
}

/// What is not ours to revoke keeps its leases alive beside their successors, so that its window is the leases'.
fn term_of(grant: Grant, life: Lifetime, requested_at: Duration) -> LeaseTerm {
    if grant.revocable { LeaseTerm::token(life, requested_at) } else { LeaseTerm::new(life, requested_at) }
}
