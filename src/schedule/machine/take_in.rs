//! What an outcome changes.

use std::time::Duration;

use crate::provider::{Class, Extent, Failure};
use crate::schedule::backoff::{EXPIRED_WITHIN, patience, urgency};
use crate::schedule::breaker::{Again, Answered, Deadline, Failed, FailureTiming, Ran, Reach, Slot};
use crate::schedule::secret::{DenialMeaning, Secret, Shown, Step};
use crate::schedule::settings::Silence;
use crate::schedule::token::{TokenStep, Tokens};
use crate::schedule::work::{Event, Life, Lifetime, MountId, Outcome, PatienceFor, TokenId, Work};

use super::throttled::SentAway;
use super::{InFlight, Schedule};

/// What is due within this counts as urgent during an outage.
const SOON: Duration = Duration::from_secs(60);
/// A login waits no longer because it was asked to.
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);

/// Whom a failure speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The mount's; the server itself answers.
    TheMount,
    /// The backend's, at least for this slot.
    TheBackend(Reach),
}

impl Schedule {
    /// An answer that is none of a failing mount.
    pub(super) fn answered(&mut self, flight: &InFlight, now: Duration) {
        self.server_answered(now);
        if flight.slot != Slot::Health {
            self.throttled.served(now);
        }
        let Some(mount) = self.mount_id(flight.slot) else { return };
        self.mounts[mount.0].took(flight.work, now.saturating_sub(flight.requested_at));
        let breaker = &mut self.mounts[mount.0].breaker;
        // An answer to what did not fail says nothing of what does.
        let says_something = flight.ran_in_mount == Ran::AsProbe || breaker.is_closed();
        if says_something && breaker.answered() == Answered::Recovered {
            let its = self.secrets.iter_mut().filter(|secret| secret.mount() == mount);
            its.for_each(|secret| secret.backend_is_back(now));
        }
    }

    /// Whatever it said, the server lives.
    fn server_answered(&mut self, now: Duration) {
        (self.last_answer, self.suspected) = (now, None);
        if self.breaker.answered() == Answered::Recovered {
            self.events.push_back(Event::BackendUp);
            self.secrets.iter_mut().for_each(|secret| secret.backend_is_back(now));
            if let Some(tokens) = &mut self.tokens {
                tokens.backend_is_back(now);
            }
        }
    }

    pub(super) fn set_back(&mut self, flight: &InFlight, failure: Failure, now: Duration, jitter: f64) {
        let retry_after = match failure.class {
            Class::Throttled { retry_after } => retry_after.filter(|wait| !wait.is_zero()),
            _ => None,
        };
        if self.tokens.is_some() && matches!(flight.work, Work::Issue(_)) && failure.class == Class::Transient {
            self.unanswered_issues = self.unanswered_issues.saturating_add(1);
        }
        let is_first = match flight.slot {
            Slot::Secret(id) => self.secrets[id.0].history.silences() == 0,
            Slot::Token => self.tokens.as_ref().is_some_and(|tokens| tokens.failures() == 0),
            Slot::Check | Slot::Health | Slot::Old(_) => false,
        };
        let of = self.of(flight, &failure);
        let again = match (failure.extent, of) {
            (Extent::Silence, Of::TheMount) if is_first => Again::AtOnce,
            _ => Again::Later,
        };
        let timing = FailureTiming { reach: Reach::Slot, again, sent: flight.requested_at, retry_after, limit: None };
        match of {
            Of::TheBackend(reach) => {
                // A probe may have failed because of its mount alone: the next one is the question.
                if failure.extent != Extent::Backend && flight.slot != Slot::Health && !self.cannot_ask() {
                    self.suspected = Some(now);
                }
                let timing = FailureTiming { reach, limit: self.urgency(|_| true, now), ..timing };
                self.backend_failed(flight, timing, now, jitter);
            }
            Of::TheMount => {
                self.server_seems_to_answer(flight, &failure, now);
                if let Some(mount) = self.mount_id(flight.slot) {
                    let timing = FailureTiming { limit: self.urgency(|of| of == mount, now), ..timing };
                    let breaker = &mut self.mounts[mount.0].breaker;
                    let was_patient = breaker.patient_until(now).is_some();
                    breaker.failed(flight.slot, flight.ran_in_mount, timing, now, jitter);
                    if let (Some(until), Some(id), false) =
                        (breaker.patient_until(now), flight.work.secret(), was_patient)
                    {
                        let of = PatienceFor::MountOf(id);
                        self.events.push_back(Event::Patience(of, until.saturating_sub(now)));
                    }
                }
                if matches!(failure.class, Class::Throttled { .. }) {
                    self.sent_away(flight, timing, now, jitter);
                }
            }
        }
        self.own_setback(flight, failure, timing, now, jitter);
    }

    /// What the slot itself waits. Its own wait looks at its own end only: another's must not make it ask more often.
    fn own_setback(&mut self, flight: &InFlight, failure: Failure, timing: FailureTiming, now: Duration, jitter: f64) {
        match (flight.slot, &mut self.tokens) {
            (Slot::Secret(id), _) => {
                let limit = self.expiry(&self.secrets[id.0]).map(|end| urgency(end.saturating_sub(now)));
                let timing = FailureTiming { limit, ..timing };
                self.secrets[id.0].set_back(step_of(flight.work), failure, &timing, &self.settings, now, jitter);
            }
            (Slot::Token, _) => {
                let left = self.tokens.as_ref().and_then(Tokens::current_end).map(|end| end.saturating_sub(now));
                let limit = self.urgency(|_| true, now).into_iter().chain(left.map(urgency)).min();
                let timing = FailureTiming { limit, ..timing };
                let step = if flight.work == Work::RenewToken { TokenStep::Renew } else { TokenStep::Login };
                let settings = self.settings;
                if let Some(tokens) = &mut self.tokens {
                    let is_news = tokens.trouble().is_none_or(|trouble| trouble.failure.class != failure.class);
                    tokens.set_back(step, failure, &timing, &settings, now, jitter);
                    let Some(wait) = timing.retry_after.map(|wait| wait.min(LONGEST_PATIENCE)) else { return };
                    let Deadline { end, renewal } = tokens.deadline(&settings);
                    let by = renewal.filter(|at| *at > now).or(end).map(|at| patience(at.saturating_sub(now)));
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

    /// Whom this failure speaks for. An answer from a server that works is never an outage of the server.
    fn of(&self, flight: &InFlight, failure: &Failure) -> Of {
        let is_contradicted = self.last_answer > flight.requested_at;
        let is_probe = flight.ran == Ran::AsProbe && !self.breaker.is_closed();
        match (failure.extent, flight.slot) {
            (Extent::Silence | Extent::Unclear | Extent::Backend, Slot::Health) => Of::TheBackend(Reach::All),
            (Extent::Backend, _) => Of::TheBackend(Reach::Slot),
            _ if matches!(failure.class, Class::Throttled { .. }) && self.throttled.is_everybodys() => {
                Of::TheBackend(Reach::All)
            }
            (Extent::Silence | Extent::Unclear, _) if !is_contradicted && (is_probe || self.cannot_ask()) => {
                Of::TheBackend(Reach::Slot)
            }
            (Extent::Silence | Extent::Unclear | Extent::Request, _) => Of::TheMount,
        }
    }

    /// Whether nobody can tell a request that hangs from a server that does.
    fn cannot_ask(&self) -> bool {
        self.tokens.is_none() || self.settings.silence == Silence::Backend
    }

    /// The server answered, or it is asked whether it does.
    fn server_seems_to_answer(&mut self, flight: &InFlight, failure: &Failure, now: Duration) {
        if failure.extent == Extent::Request {
            self.server_answered(now);
        } else if self.last_answer <= flight.requested_at {
            self.suspected = Some(now);
        }
    }

    /// It is meant for everybody, or for what was sent away only.
    fn sent_away(&mut self, flight: &InFlight, timing: FailureTiming, now: Duration, jitter: f64) {
        let who = match flight.work {
            Work::Renew(_) | Work::RenewToken | Work::CheckToken | Work::RevokeOldToken(_) => SentAway::Renewals,
            _ => self.mount_id(flight.slot).map_or(SentAway::Login, SentAway::Mount),
        };
        if self.throttled.sent_away(who, now) {
            let limit = self.urgency(|_| true, now);
            let was_patient = self.breaker.patient_until(now).is_some();
            self.backend_failed(flight, FailureTiming { reach: Reach::All, limit, ..timing }, now, jitter);
            if let (Some(until), false) = (self.breaker.patient_until(now), was_patient) {
                self.events.push_back(Event::Patience(PatienceFor::Everything, until.saturating_sub(now)));
            }
        }
    }

    fn backend_failed(&mut self, flight: &InFlight, timing: FailureTiming, now: Duration, jitter: f64) {
        if self.breaker.failed(flight.slot, flight.ran, timing, now, jitter) == Failed::Down {
            self.events.push_back(Event::BackendDown);
            // What failed before it was known may be renewed after it.
            self.secrets.iter_mut().for_each(Secret::keeps_renewing);
            self.tokens.iter_mut().for_each(Tokens::keeps_renewing);
        }
    }

    /// The longest back-off that what is due soon in these mounts allows: none should sleep through an end.
    fn urgency(&self, is_its: impl Fn(MountId) -> bool, now: Duration) -> Option<Duration> {
        let is_soon = |due: Option<Duration>| due.is_some_and(|due| due <= now.saturating_add(SOON));
        let its = self.secrets.iter().filter(|secret| is_its(secret.mount()) && is_soon(secret.due()));
        let secrets = its.filter_map(|secret| self.expiry(secret));
        let token = self.tokens.as_ref().filter(|tokens| is_soon(tokens.due())).and_then(Tokens::current_end);
        secrets.chain(token).map(|end| urgency(end.saturating_sub(now))).min()
    }

    pub(super) fn take_in(&mut self, flight: &InFlight, outcome: Outcome, now: Duration, jitter: f64) {
        let (settings, requested_at) = (self.settings, flight.requested_at);
        let outcome = match outcome {
            Outcome::Fetched(answer) => answer.over().map_or(Outcome::Fetched(answer), Outcome::Failed),
            outcome => outcome,
        };
        match (flight.work, outcome) {
            (Work::CheckHealth, _) => {}
            (Work::Renew(id), Outcome::Renewed(life)) => {
                let settings = self.mount_of(id).settings(&settings, life.ttl);
                self.secrets[id.0].renewed(life, &settings, requested_at, jitter);
                self.replaced(id, now);
            }
            (Work::Issue(id) | Work::Read(id), Outcome::Fetched(answer)) => {
                let settings = match answer.life {
                    Life::Lease(Lifetime { ttl, .. }) => self.mount_of(id).settings(&settings, ttl),
                    _ => settings,
                };
                let secret = &mut self.secrets[id.0];
                secret.accept(answer, flight.token, &settings, requested_at, jitter);
                if matches!(flight.work, Work::Issue(_)) {
                    secret.shown = Shown::Not;
                }
                if matches!(flight.work, Work::Read(_)) {
                    self.joins_round(id, now);
                }
                self.replaced(id, now);
            }
            (Work::Renew(_) | Work::Issue(_) | Work::Read(_), outcome) => {
                self.secret_refused(flight, refusal(outcome), now, jitter);
            }
            (work, outcome) => {
                let limit = self.urgency(|_| true, now);
                let Some(tokens) = &mut self.tokens else { return };
                let limit = if tokens.is_live(now) { limit } else { Some(EXPIRED_WITHIN) };
                match (work, outcome) {
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
                    (Work::RenewToken, Outcome::Granted(grant)) => {
                        tokens.extended(grant, &settings, requested_at, jitter)
                    }
                    (Work::CheckToken, Outcome::Done | Outcome::Granted(_)) => tokens.is_alive(),
                    (Work::RevokeOldToken(id), _) => tokens.revoked(id),
                    (_, outcome) => {
                        let Refused { failure, of } = refusal(outcome);
                        let is_denied = failure.class == Class::Denied;
                        if of == Subject::TheToken || (work == Work::CheckToken && is_denied) {
                            tokens.died(now, jitter);
                            self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
                        } else if work == Work::CheckToken {
                            tokens.is_alive();
                        } else {
                            tokens.not_renewable(failure, &settings, jitter);
                            if is_denied {
                                tokens.suspect(now);
                            }
                        }
                    }
                }
            }
        }
    }

    fn secret_refused(&mut self, flight: &InFlight, refused: Refused, now: Duration, jitter: f64) {
        let (Slot::Secret(id), Refused { failure, of }) = (flight.slot, refused) else { return };
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
        if let (DenialMeaning::Suspicious, Some(tokens)) = (refusal, &mut self.tokens) {
            tokens.suspect(now);
        }
    }

    /// Sets the time of revocation of old tokens that nothing needs any more.
    pub(super) fn review_hand_over(&mut self, now: Duration) {
        let Some(tokens) = &mut self.tokens else { return };
        let leased = || self.secrets.iter().filter(|secret| secret.is_leased());
        if leased().any(|secret| secret.shown == Shown::Not) {
            return;
        }
        let settle = if leased().next().is_some() { self.settings.settle } else { Duration::ZERO };
        let old: Vec<TokenId> = tokens.old().collect();
        for id in old {
            if !leased().any(|secret| secret.leased_under() == Some(id)) {
                tokens.handed_over(id, now.saturating_add(settle));
            }
        }
    }

    /// An issue is due while the token is in its window: it waits for the login where it can, else the login is now, so
    /// that what is issued lives under the new token. The earliest of many would pull the logins of a fleet together.
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

    pub(super) fn forget_old_tokens(&mut self, now: Duration) {
        let secrets = &self.secrets;
        if let Some(tokens) = &mut self.tokens {
            tokens.forget(now, |id| secrets.iter().any(|secret| secret.leased_under() == Some(id)));
        }
    }
}

fn step_of(work: Work) -> Step {
    match work {
        Work::Renew(_) => Step::Renew,
        Work::Read(_) => Step::Read,
        _ => Step::Issue,
    }
}

/// A refusal, and of what.
struct Refused {
    failure: Failure,
    of: Subject,
}

#[derive(PartialEq, Eq)]
enum Subject {
    TheRequest,
    TheToken,
}

/// An outcome that is no success. One that does not fit its work is the driver's mistake and counts as a malformed answer.
fn refusal(outcome: Outcome) -> Refused {
    match outcome {
        Outcome::Failed(failure) => Refused { failure, of: Subject::TheRequest },
        Outcome::TokenDead(failure) => Refused { failure, of: Subject::TheToken },
        _ => Refused {
            failure: Failure::new(Class::Malformed, "the answer does not fit the request"),
            of: Subject::TheRequest,
        },
    }
}
