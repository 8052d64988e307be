//! Applies the outcome of a request to the schedule.

use std::time::Duration;

use crate::provider::{Class, Extent, Failure};
use crate::schedule::backoff::{EXPIRED_WITHIN, longest_backoff, longest_hold};
use crate::schedule::breaker::{Again, Answered, Deadline, Failed, FailureTiming, Ran, Reach, Slot};
use crate::schedule::secret::Secret;
use crate::schedule::secret_state::{DenialMeaning, Step};
use crate::schedule::settings::Silence;
use crate::schedule::token::{TokenStep, Tokens};
use crate::schedule::work::{Event, Life, Lifetime, MountId, Outcome, PatienceFor, SecretId, Work};

use super::throttled::ThrottledWork;
use super::{InFlight, Schedule};

/// During an outage, work that is due within this time limits the back-off.
const SOON: Duration = Duration::from_secs(60);
/// The longest time that a `Retry-After` delays a login.
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);

/// What a failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureScope {
    /// The mount; the server itself answers.
    Mount,
    /// The whole backend, or at least this slot of it.
    Backend(Reach),
}

impl Schedule {
    /// Records an answer (a success or a refusal): closes the breakers that it proves wrong, and records how long the
    /// request took.
    pub(super) fn answered(&mut self, flight: &InFlight, now: Duration) {
        self.server_answered(now);
        if flight.slot != Slot::Health {
            self.contact.throttled.served(now);
        }
        let Some(mount) = self.mount_id(flight.slot) else { return };
        self.mounts[mount.0].took(flight.work, now.saturating_sub(flight.requested_at));
        let breaker = &mut self.mounts[mount.0].breaker;
        // An answer to a secret that has not failed says nothing about those that do.
        let says_something = flight.ran_in_mount == Ran::AsProbe || breaker.is_closed();
        if says_something && breaker.answered() == Answered::Recovered {
            self.is_back(|of| of == mount, now);
        }
    }

    /// Records that the server is alive, whatever it answered; on recovery, makes everything due that waited for it.
    fn server_answered(&mut self, now: Duration) {
        (self.contact.last_answer, self.contact.suspected) = (now, None);
        if self.breaker.answered() == Answered::Recovered {
            self.events.push_back(Event::BackendUp);
            self.is_back(|_| true, now);
            if let Some(tokens) = &mut self.tokens {
                tokens.backend_is_back(now);
            }
        }
    }

    /// Applies a failure that is retried: decides whether it concerns the mount or the backend, opens that breaker, and
    /// schedules the slot's next try.
    pub(super) fn set_back(&mut self, flight: &InFlight, failure: Failure, now: Duration, jitter: f64) {
        let retry_after = match failure.class {
            Class::Throttled { retry_after } => retry_after.filter(|wait| !wait.is_zero()),
            _ => None,
        };
        if self.tokens.is_some() && matches!(flight.work, Work::Issue(_)) && failure.class == Class::Transient {
            self.requests.unanswered_issues = self.requests.unanswered_issues.saturating_add(1);
        }
        let is_first = match flight.slot {
            Slot::Secret(id) => self.secrets[id.0].history.silences() == 0,
            Slot::Token => self.tokens.as_ref().is_some_and(|tokens| tokens.failures() == 0),
            Slot::Check | Slot::Health | Slot::Old(_) => false,
        };
        let scope = self.failure_scope(flight, &failure);
        let again = match (failure.extent, scope) {
            (Extent::Silence, FailureScope::Mount) if is_first => Again::AtOnce,
            _ => Again::Later,
        };
        let timing = FailureTiming { reach: Reach::Slot, again, sent: flight.requested_at, retry_after, limit: None };
        match scope {
            FailureScope::Backend(reach) => {
                // A probe may have failed only because of its mount: the health check runs next to find out.
                if failure.extent != Extent::Backend && flight.slot != Slot::Health && !self.has_no_health_check() {
                    self.contact.suspected = Some(now);
                }
                let timing = FailureTiming { reach, limit: self.urgency(|_| true, now), ..timing };
                self.backend_failed(flight, timing, now, jitter);
            }
            FailureScope::Mount => {
                self.note_or_suspect_server(flight, &failure, now);
                if let Some(mount) = self.mount_id(flight.slot) {
                    let read = flight.work.secret().and_then(|id| self.secrets[id.0].read_within());
                    let limit = self.urgency(|of| of == mount, now).into_iter().chain(read).min();
                    let timing = FailureTiming { limit, ..timing };
                    let breaker = &mut self.mounts[mount.0].breaker;
                    let was_patient = breaker.retry_after_until(now).is_some();
                    breaker.failed(flight.slot, flight.ran_in_mount, timing, now, jitter);
                    if let (Some(until), Some(id), false) =
                        (breaker.retry_after_until(now), flight.work.secret(), was_patient)
                    {
                        let of = PatienceFor::MountOf(id);
                        self.events.push_back(Event::Patience(of, until.saturating_sub(now)));
                    }
                }
                if matches!(failure.class, Class::Throttled { .. }) {
                    self.handle_throttling(flight, timing, now, jitter);
                }
            }
        }
        self.delay_slot(flight, failure, timing, now, jitter);
    }

    /// Schedules the slot's own next try. Its wait is limited by its own expiry only: another secret's expiry must not
    /// make it retry more often.
    fn delay_slot(&mut self, flight: &InFlight, failure: Failure, timing: FailureTiming, now: Duration, jitter: f64) {
        match (flight.slot, &mut self.tokens) {
            (Slot::Secret(id), _) => {
                let left = self.expiry(&self.secrets[id.0]).map(|end| longest_backoff(end.saturating_sub(now)));
                let limit = left.into_iter().chain(self.secrets[id.0].read_within()).min();
                let timing = FailureTiming { limit, ..timing };
                self.secrets[id.0].set_back(step_of(flight.work), failure, &timing, &self.settings, now, jitter);
            }
            (Slot::Token, _) => {
                let left = self.tokens.as_ref().and_then(Tokens::current_end).map(|end| end.saturating_sub(now));
                let limit = self.urgency(|_| true, now).into_iter().chain(left.map(longest_backoff)).min();
                let timing = FailureTiming { limit, ..timing };
                let step = if flight.work == Work::RenewToken { TokenStep::Renew } else { TokenStep::Login };
                let settings = self.settings;
                if let Some(tokens) = &mut self.tokens {
                    let is_news =
                        tokens.last_failure().is_none_or(|last_failure| last_failure.failure.class != failure.class);
                    tokens.set_back(step, failure, &timing, &settings, now, jitter);
                    let Some(wait) = timing.retry_after.map(|wait| wait.min(LONGEST_PATIENCE)) else { return };
                    let Deadline { end, renewal } = tokens.deadline(&settings);
                    let by = renewal.filter(|at| *at > now).or(end).map(|at| longest_hold(at.saturating_sub(now)));
                    let wait = by.map_or(wait, |by| wait.min(by));
                    tokens.not_before(now.saturating_add(wait));
                    if is_news {
                        self.events.push_back(Event::Patience(PatienceFor::Token, wait));
                    }
                }
            }
            (Slot::Check, Some(tokens)) => tokens.check_set_back(timing.limit, now, jitter),
            (Slot::Old(id), Some(tokens)) => tokens.revoke_set_back(id, timing.limit, now, jitter),
            (Slot::Check | Slot::Old(_), None) | (Slot::Health, _) => {}
        }
    }

    /// Decides what a failure concerns. An answer from a server that works is never an outage of the server.
    fn failure_scope(&self, flight: &InFlight, failure: &Failure) -> FailureScope {
        let is_contradicted = self.contact.last_answer > flight.requested_at;
        let is_probe = flight.ran == Ran::AsProbe && !self.breaker.is_closed();
        match (failure.extent, flight.slot) {
            (Extent::Silence | Extent::Unclear | Extent::Backend, Slot::Health) => FailureScope::Backend(Reach::All),
            (Extent::Backend, _) => FailureScope::Backend(Reach::Slot),
            _ if matches!(failure.class, Class::Throttled { .. }) && self.contact.throttled.is_server_wide() => {
                FailureScope::Backend(Reach::All)
            }
            (Extent::Silence | Extent::Unclear, _) if !is_contradicted && (is_probe || self.has_no_health_check()) => {
                FailureScope::Backend(Reach::Slot)
            }
            (Extent::Silence | Extent::Unclear | Extent::Request, _) => FailureScope::Mount,
        }
    }

    /// Whether there is no health check that could tell a request that hangs from a server that does.
    fn has_no_health_check(&self) -> bool {
        self.tokens.is_none() || self.settings.silence == Silence::Backend
    }

    /// Records that the server answered, or makes a health check due if nothing else shows that it does.
    fn note_or_suspect_server(&mut self, flight: &InFlight, failure: &Failure, now: Duration) {
        if failure.extent == Extent::Request {
            self.server_answered(now);
        } else if self.contact.last_answer <= flight.requested_at {
            self.contact.suspected = Some(now);
        }
    }

    /// Handles a 429: decides whether it limits the whole backend or only what was throttled, and opens the backend's
    /// breaker in the first case.
    fn handle_throttling(&mut self, flight: &InFlight, timing: FailureTiming, now: Duration, jitter: f64) {
        let who = match flight.work {
            Work::Renew(_) | Work::RenewToken | Work::CheckToken | Work::RevokeOldToken(_) => ThrottledWork::Renewals,
            _ => self.mount_id(flight.slot).map_or(ThrottledWork::Login, ThrottledWork::Mount),
        };
        if self.contact.throttled.record(who, now) {
            let limit = self.urgency(|_| true, now);
            let was_patient = self.breaker.retry_after_until(now).is_some();
            self.backend_failed(flight, FailureTiming { reach: Reach::All, limit, ..timing }, now, jitter);
            if let (Some(until), false) = (self.breaker.retry_after_until(now), was_patient) {
                self.events.push_back(Event::Patience(PatienceFor::Everything, until.saturating_sub(now)));
            }
        }
    }

    /// Records a failure of the backend; reports `BackendDown` when its breaker opens for every slot.
    fn backend_failed(&mut self, flight: &InFlight, timing: FailureTiming, now: Duration, jitter: f64) {
        if self.breaker.failed(flight.slot, flight.ran, timing, now, jitter) == Failed::Down {
            self.events.push_back(Event::BackendDown);
            // Renewals that failed before the outage was detected may succeed after it.
            self.secrets.iter_mut().for_each(Secret::keep_renewing);
            self.tokens.iter_mut().for_each(Tokens::keep_renewing);
        }
    }

    /// The longest back-off allowed by the expiry of what is due soon in the mounts selected by `is_its`, or of the
    /// token: no wait may outlast an expiry.
    fn urgency(&self, is_its: impl Fn(MountId) -> bool, now: Duration) -> Option<Duration> {
        let is_soon = |due: Option<Duration>| due.is_some_and(|due| due <= now.saturating_add(SOON));
        let its = self.secrets.iter().filter(|secret| is_its(secret.mount()) && is_soon(secret.due()));
        let secrets = its.filter_map(|secret| self.expiry(secret));
        let token = self.tokens.as_ref().filter(|tokens| is_soon(tokens.due())).and_then(Tokens::current_end);
        secrets.chain(token).map(|end| longest_backoff(end.saturating_sub(now))).min()
    }

    /// Applies an outcome that is no retryable failure: a success, a refusal, or a dead token.
    pub(super) fn take_in(&mut self, flight: &InFlight, outcome: Outcome, now: Duration, jitter: f64) {
        let (settings, requested_at) = (self.settings, flight.requested_at);
        let outcome = match outcome {
            Outcome::Fetched(answer) => answer.over().map_or(Outcome::Fetched(answer), Outcome::Failed),
            outcome => outcome,
        };
        let is_success = !matches!(outcome, Outcome::Failed(_) | Outcome::TokenDead(_));
        if let (true, Some(id)) = (is_success, flight.work.secret()) {
            self.tokens.iter_mut().for_each(|tokens| tokens.is_accepted(flight.token));
            if self.secrets[id.0].history.is_refused() {
                self.hasten_all(now);
            }
        }
        match (flight.work, outcome) {
            (Work::CheckHealth, _) => {}
            (Work::Renew(id), Outcome::Renewed(life)) => {
                let settings = self.mount_of(id).settings(&settings, life.ttl);
                self.secrets[id.0].renewed(life, &settings, requested_at, jitter);
                self.is_under_current_token(id, now);
                if self.secrets[id.0].is_shown() {
                    self.revived(id);
                }
            }
            (Work::Issue(id) | Work::Read(id), Outcome::Fetched(answer)) => {
                let settings = match answer.life {
                    Life::Lease(Lifetime { ttl, .. }) => self.mount_of(id).settings(&settings, ttl),
                    _ => settings,
                };
                self.secrets[id.0].accept(answer, flight.token, &settings, requested_at, jitter);
                if matches!(flight.work, Work::Read(_)) {
                    self.joins_round(id, now);
                }
                self.is_under_current_token(id, now);
            }
            (Work::Renew(_) | Work::Issue(_) | Work::Read(_), outcome) => {
                self.secret_refused(flight, refusal(outcome), now, jitter);
            }
            (_, outcome) => self.token_answered(flight, outcome, now, jitter),
        }
    }

    /// Makes a secret due whose lease belongs to an older token, because a login completed while its request was under
    /// way.
    fn is_under_current_token(&mut self, id: SecretId, now: Duration) {
        if let Some(current) = self.current() {
            self.secrets[id.0].token_is_new(current, now);
        }
    }

    /// Applies the outcome of a request for the token itself.
    fn token_answered(&mut self, flight: &InFlight, outcome: Outcome, now: Duration, jitter: f64) {
        let (settings, requested_at) = (self.settings, flight.requested_at);
        let limit = self.urgency(|_| true, now);
        let Some(tokens) = &mut self.tokens else { return };
        let limit = if tokens.is_live(now) { limit } else { Some(EXPIRED_WITHIN) };
        match (flight.work, outcome) {
            (Work::Login(id), Outcome::Granted(grant)) => {
                tokens.logged_in(id, grant, &settings, requested_at, jitter);
                self.secrets.iter_mut().for_each(|secret| secret.token_is_new(id, now));
                self.review_hand_over(now);
            }
            (Work::Login(id), Outcome::TokenUnchanged(grant)) => match tokens.current() {
                Some(_) => tokens.unchanged(grant, &settings, requested_at, jitter),
                None => tokens.logged_in(id, grant, &settings, requested_at, jitter),
            },
            (Work::Login(_), outcome) => {
                tokens.login_refused(refusal(outcome).failure, limit, now, jitter);
            }
            (Work::RenewToken, Outcome::Granted(grant)) => tokens.extended(grant, &settings, requested_at, jitter),
            (Work::CheckToken, Outcome::Done | Outcome::Granted(_)) => tokens.is_alive(),
            (Work::RevokeOldToken(id), _) => tokens.revoked(id),
            (_, outcome) => {
                let FailedWork { failure, of } = refusal(outcome);
                let is_denied = failure.class == Class::Denied;
                if of == Subject::TheToken || (flight.work == Work::CheckToken && is_denied) {
                    tokens.died(now, jitter);
                    self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
                } else if flight.work == Work::CheckToken {
                    tokens.is_alive();
                } else {
                    tokens.not_renewable(failure, &settings, jitter);
                    if is_denied {
                        tokens.request_check(now);
                    }
                }
            }
        }
    }

    /// Applies the refusal of a secret's request. A denial under an older token is ignored and retried; a first denial
    /// makes a token check due.
    fn secret_refused(&mut self, flight: &InFlight, refused: FailedWork, now: Duration, jitter: f64) {
        let (Slot::Secret(id), FailedWork { failure, of }) = (flight.slot, refused) else { return };
        let is_denied = failure.class == Class::Denied;
        let secret = &mut self.secrets[id.0];
        let current = self.tokens.as_ref().and_then(Tokens::current);
        if is_denied && flight.token != current {
            return secret.try_again(now);
        }
        if of == Subject::TheToken {
            secret.try_again(now);
            if let Some(tokens) = &mut self.tokens {
                tokens.died(now, jitter);
            }
            return self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
        }
        let refusal = secret.refused(step_of(flight.work), failure, &self.settings, now, jitter);
        if let Some(tokens) = &mut self.tokens
            && (refusal == DenialMeaning::Suspicious || (is_denied && tokens.is_untried()))
        {
            tokens.request_check(now);
        }
    }

    /// Makes issues that are due in the token's window wait for the coming login, so that their leases belong to the
    /// new token; an issue that cannot wait makes the login due now. (Logging in at the earliest of many issues would
    /// make the logins of many clients coincide.)
    pub(super) fn await_login(&mut self, now: Duration) {
        let (current, server, settings) = (self.current(), self.server(), self.settings);
        let Some(tokens) = &mut self.tokens else { return };
        let Some(login) = tokens.replaced_at(&settings, now).filter(|login| *login > now) else { return };
        for secret in &mut self.secrets {
            let is_due = secret.due().is_some_and(|due| due <= now) && secret.step(current, server, now) == Step::Issue;
            if is_due && !secret.wait_until(login, &settings) {
                tokens.hasten(now);
            }
        }
    }

    /// Drops old tokens that no lease depends on and that need no revocation.
    pub(super) fn forget_old_tokens(&mut self, now: Duration) {
        let secrets = &self.secrets;
        if let Some(tokens) = &mut self.tokens {
            tokens.forget(now, |id| secrets.iter().any(|secret| secret.ends_with(id)));
        }
    }
}

/// The secret's step that a piece of work executes.
fn step_of(work: Work) -> Step {
    match work {
        Work::Renew(_) => Step::Renew,
        Work::Read(_) => Step::Read,
        _ => Step::Issue,
    }
}

/// A refusal, and what was refused.
struct FailedWork {
    failure: Failure,
    of: Subject,
}

#[derive(PartialEq, Eq)]
enum Subject {
    TheRequest,
    TheToken,
}

/// Converts an outcome that is no success to a refusal. An outcome that does not fit its work is a bug of the driver
/// and counts as a malformed answer.
fn refusal(outcome: Outcome) -> FailedWork {
    match outcome {
        Outcome::Failed(failure) => FailedWork { failure, of: Subject::TheRequest },
        Outcome::TokenDead(failure) => FailedWork { failure, of: Subject::TheToken },
        _ => FailedWork {
            failure: Failure::new(Class::Malformed, "the answer does not fit the request").perhaps_done(),
            of: Subject::TheRequest,
        },
    }
}
