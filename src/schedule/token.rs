//! The login token: renewed like a lease, replaced before its end by a new login, revoked once replaced, and dropped
//! when it is dead.

mod check;
mod replaced;

use std::time::Duration;

use crate::provider::{Effect, Extent, Failure};

use super::backoff::{EXPIRED_WITHIN, doubled, refusal_backoff, with_jitter};
use super::breaker::{Deadline, FailureTiming};
use super::history::LastFailure;
use super::secret_state::Server;
use super::settings::Settings;
use super::term::{LeaseTerm, NextStep};
use super::work::{Grant, Lifetime, TokenId};

use check::Check;
use replaced::Old;

/// The current token, the replaced ones, and what is due.
#[derive(Debug)]
pub(super) struct Tokens {
    current: Option<Current>,
    old: Vec<Old>,
    /// When the current token is renewed or replaced; `None`: never.
    due: Option<Duration>,
    /// The lookup of the current token.
    check: Check,
    last_failure: Option<LastFailure>,
    /// Logins because of a dead token since a token was last seen alive.
    deaths: u32,
    /// From then on the token is replaced instead of renewed, because its renewal keeps failing.
    renewal_deadline: Option<Duration>,
    /// When the last login or renewal was sent.
    last_sent: Duration,
    /// No login because of a dead token before this time.
    no_login_before: Duration,
    /// The number of logins so far: the id of the next one.
    issued: u32,
}

#[derive(Debug)]
struct Current {
    id: TokenId,
    term: Option<LeaseTerm>,
    revocable: bool,
    trust: Trust,
}

/// Whether the server has accepted the token for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It was granted after one that died; nothing has been accepted under it yet.
    Untried,
    /// It has been accepted, or there is no reason for doubt.
    Accepted,
}

/// The request that the token needs next.
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
            check: Check::default(),
            last_failure: None,
            deaths: 0,
            renewal_deadline: None,
            last_sent: Duration::ZERO,
            no_login_before: Duration::ZERO,
            issued: 0,
        }
    }

    /// The login whose token is used for requests.
    pub(super) fn current(&self) -> Option<TokenId> {
        self.current.as_ref().map(|current| current.id)
    }

    /// The id of the next login.
    pub(super) fn upcoming(&self) -> TokenId {
        TokenId(self.issued)
    }

    /// Whether there is a token that has not expired.
    pub(super) fn is_live(&self, now: Duration) -> bool {
        self.current.as_ref().is_some_and(|current| current.term.is_none_or(|term| term.end() > now))
    }

    /// When this token ends; `None`: it does not. A token that is unknown has ended.
    pub(super) fn end(&self, id: TokenId) -> Option<Duration> {
        if let Some(current) = self.current.as_ref().filter(|current| current.id == id) {
            return current.term.map(|term| term.end());
        }
        self.old.iter().find(|old| old.id == id).map_or(Some(Duration::ZERO), |old| old.end)
    }

    /// Until when a request for the current token may be put off.
    pub(super) fn deadline(&self, settings: &Settings) -> Deadline {
        let term = self.current.as_ref().and_then(|current| current.term);
        let extendable = term.filter(LeaseTerm::is_extendable);
        let renewal = extendable.map(|term| self.renewal_deadline.unwrap_or(term.renewal_deadline(settings)));
        Deadline { end: term.map(|term| term.end()), renewal }
    }

    /// When the last grant of the current token was requested, and the TTL that is believed of it; `None` if it does not
    /// end.
    pub(super) fn granted(&self) -> Option<(TokenId, (Duration, Duration))> {
        let current = self.current.as_ref()?;
        Some((current.id, current.term?.granted()))
    }

    /// When the current token ends; `None` without a token or when it does not end.
    pub(super) fn current_end(&self) -> Option<Duration> {
        self.current.as_ref()?.term.map(|term| term.end())
    }

    /// The request it needs if it is sent now. A renewal that keeps failing turns into a login while the server
    /// answers.
    pub(super) fn step(&self, server: Server, now: Duration) -> TokenStep {
        let is_past_deadline = server == Server::Answers && self.renewal_deadline.is_some_and(|at| at <= now);
        match self.current.as_ref().map(|current| current.term) {
            Some(Some(term)) if term.need(now) == NextStep::Renewal && !is_past_deadline => TokenStep::Renew,
            _ => TokenStep::Login,
        }
    }

    /// When the next login or renewal is due; `None`: never.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The last failure since the last success.
    pub(super) fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// The number of failures in a row of the same kind.
    pub(super) fn failures(&self) -> u32 {
        self.last_failure.as_ref().map_or(0, |last_failure| last_failure.count)
    }

    /// Whether a login is due, for which issues have to wait.
    pub(super) fn is_login_due(&self, server: Server, now: Duration) -> bool {
        self.step(server, now) == TokenStep::Login && self.due.is_some_and(|due| due <= now)
    }

    /// When the current token is replaced, if its window is open and nothing has failed.
    pub(super) fn replaced_at(&self, settings: &Settings, now: Duration) -> Option<Duration> {
        let term = self.current.as_ref().and_then(|current| current.term)?;
        self.due.filter(|_| self.last_failure.is_none() && term.is_in_window(now, settings))
    }

    /// Makes the replacement due now.
    pub(super) fn hasten(&mut self, now: Duration) {
        self.due = self.due.map(|due| due.min(now));
    }

    /// Makes a login due, because the token file contains another token.
    pub(super) fn identity_changed(&mut self, now: Duration) {
        if self.last_failure.is_none() && self.current.is_some() {
            self.due = Some(self.due.map_or(now, |due| due.min(now)));
        }
    }

    /// Records a new login; the previous token becomes an old one.
    pub(super) fn logged_in(
        &mut self,
        id: TokenId,
        grant: Grant,
        settings: &Settings,
        requested_at: Duration,
        jitter: f64,
    ) {
        if let Some(Current { id, term, revocable, .. }) = self.current.take() {
            let end = term.map(|term| term.end());
            self.old.push(Old { id, end, revocable, revoke_at: None, failures: 0 });
        }
        self.issued = self.issued.max(id.0.saturating_add(1));
        let term = grant.life.map(|life| term_of(grant, life, requested_at));
        let trust = if self.deaths > 0 { Trust::Untried } else { Trust::Accepted };
        self.current = Some(Current { id, term, revocable: grant.revocable, trust });
        self.schedule_next(settings, jitter);
    }

    /// Records that a login returned the token that is already in use (an unchanged token file). Its lifetime starts
    /// anew, so that the file is read again ever more often towards the end, not all the time.
    pub(super) fn unchanged(&mut self, grant: Grant, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let Some(current) = &mut self.current {
            current.term = grant.life.map(|life| LeaseTerm::new(life, requested_at));
        }
        self.schedule_next(settings, jitter);
    }

    /// Records the renewal of the current token. One that states no life leaves the known end, before which a login
    /// replaces the token.
    pub(super) fn extended(&mut self, grant: Grant, settings: &Settings, requested_at: Duration, jitter: f64) {
        if let Some(current) = &mut self.current {
            match (&mut current.term, grant.life) {
                (Some(term), Some(life)) => term.renew(life, requested_at, settings),
                (Some(term), None) => term.finish(),
                (term @ None, life) => *term = life.map(|life| term_of(grant, life, requested_at)),
            }
        }
        self.deaths = 0;
        self.schedule_next(settings, jitter);
    }

    /// Schedules the next request after a success, and clears the failure and the check.
    fn schedule_next(&mut self, settings: &Settings, jitter: f64) {
        let term = self.current.as_ref().and_then(|current| current.term);
        self.due = term.map(|term| term.due(settings, jitter));
        (self.check, self.last_failure, self.renewal_deadline) = (Check::default(), None, None);
    }

    /// Records a failed request that is retried, and schedules the retry. After a failed renewal also sets when a login
    /// replaces it, unless the backend is down.
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
        // Each such login probably left a token that nobody knows. Where something is about to expire, that is the lesser
        // harm; what has expired is tried again within ten seconds all the same.
        let is_urgent = timing.limit.is_some_and(|limit| limit < EXPIRED_WITHIN);
        if step == TokenStep::Login && failure.effect == Effect::Lost && !is_urgent {
            let wait = with_jitter(after_lost_logins(count).min(EXPIRED_WITHIN), jitter);
            due = due.max(timing.sent.saturating_add(wait));
        }
        if let (TokenStep::Renew, Some(term)) = (step, self.current.as_ref().and_then(|current| current.term))
            && failure.extent != Extent::Backend
        {
            let at = *self.renewal_deadline.get_or_insert(term.renewal_deadline_after(now, settings));
            due = if at > now { due.min(at) } else { due };
        }
        self.due = Some(due);
        self.last_failure = Some(LastFailure { failure, count });
    }

    /// Cancels the login instead of renewal: the renewal failed because the backend was down.
    pub(super) fn keep_renewing(&mut self) {
        self.renewal_deadline = None;
    }

    /// Records a refused login, and schedules the retry in minutes, but within `limit`; leases of the old token stay
    /// valid meanwhile.
    pub(super) fn login_refused(&mut self, failure: Failure, limit: Option<Duration>, now: Duration, jitter: f64) {
        let count = self.count(&failure);
        let wait = refusal_backoff(count, jitter);
        let wait = limit.map_or(wait, |limit| wait.min(with_jitter(limit, jitter)));
        self.due = Some(now.saturating_add(wait));
        self.last_failure = Some(LastFailure { failure, count });
    }

    /// Because something has expired meanwhile, moves the retry of a refused login, and the login after a token that was
    /// dead at once (or the first lookup that shows it), forward to 10 s after the last try, less up to a quarter. What
    /// failed in passing has a back-off of its own, which heeds `Retry-After`.
    pub(super) fn hasten_refused(&mut self, jitter: f64) {
        let at = self.last_sent.saturating_add(with_jitter(EXPIRED_WITHIN, jitter));
        if self.is_login_refused() {
            self.due = self.due.map(|due| due.min(at));
        }
        if self.check.failures == 0 {
            self.check.due = self.check.due.map(|check| check.min(at));
        }
    }

    /// Whether [`hasten_refused`](Self::hasten_refused) would move something that is due after `now`.
    pub(super) fn is_hastened(&self, now: Duration) -> bool {
        let later = |due: Option<Duration>| due.is_some_and(|due| due > now);
        (later(self.check.due) && self.check.failures == 0) || (later(self.due) && self.is_login_refused())
    }

    /// Whether the last request was refused, or a token died and no login has been tried since.
    fn is_login_refused(&self) -> bool {
        match &self.last_failure {
            Some(last_failure) => !last_failure.failure.class.is_retried(),
            None => self.current.is_none(),
        }
    }

    /// Whether the current token followed one that died, and the server has accepted it for nothing yet.
    pub(super) fn is_untried(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.trust == Trust::Untried)
    }

    /// Records that a request under this token succeeded.
    pub(super) fn is_accepted(&mut self, id: Option<TokenId>) {
        if let Some(current) = self.current.as_mut().filter(|current| Some(current.id) == id) {
            current.trust = Trust::Accepted;
        }
    }

    /// Puts the next request off until `at`, because the server sent `Retry-After`.
    pub(super) fn not_before(&mut self, at: Duration) {
        self.due = self.due.map(|due| due.max(at));
    }

    /// Records that a login or renewal is sent at `now`.
    pub(super) fn record_sent(&mut self, now: Duration) {
        self.last_sent = now;
    }

    /// Handles a refresh on demand: makes a failed request and a pending check due.
    pub(super) fn refresh(&mut self, now: Duration) {
        if self.last_failure.is_some() {
            self.due = self.due.map(|due| due.min(now));
        }
        self.check.due = self.check.due.map(|at| at.min(now.max(self.no_login_before)));
    }

    /// Records a refused renewal of a token that may still be alive: it is not renewed any more and is replaced in its
    /// window.
    pub(super) fn not_renewable(&mut self, failure: Failure, settings: &Settings, jitter: f64) {
        if let Some(term) = self.current.as_mut().and_then(|current| current.term.as_mut()) {
            term.finish();
            self.due = Some(term.due(settings, jitter));
        }
        self.last_failure = Some(LastFailure { failure, count: 1 });
    }

    /// The number of failures in a row of this failure's kind, including it.
    fn count(&self, failure: &Failure) -> u32 {
        match &self.last_failure {
            Some(last_failure) if last_failure.failure.class.is_retried() == failure.class.is_retried() => {
                last_failure.count.saturating_add(1)
            }
            _ => 1,
        }
    }

    /// Makes a request that waits for a retry due, because the backend answers again.
    pub(super) fn backend_is_back(&mut self, now: Duration) {
        if self.last_failure.as_ref().is_some_and(|last_failure| last_failure.failure.class.is_retried()) {
            self.due = Some(now);
        }
        self.check.due = self.check.due.map(|at| at.min(now.max(self.no_login_before)));
    }
}

/// The shortest wait after so many failed logins in a row, of which the last one's answer was lost.
fn after_lost_logins(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => doubled(Duration::from_secs(4), more.saturating_sub(1)),
    }
}

/// The lifetime of a token. One that we may not revoke keeps its leases valid beside the new ones, so it is replaced
/// only in the (shorter) window of a lease.
fn term_of(grant: Grant, life: Lifetime, requested_at: Duration) -> LeaseTerm {
    if grant.revocable { LeaseTerm::token(life, requested_at) } else { LeaseTerm::new(life, requested_at) }
}
