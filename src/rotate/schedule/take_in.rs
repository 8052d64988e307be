//! What an outcome changes.

use std::time::Duration;

use crate::domain::part;
use crate::provider::{Class, Failure};
use crate::rotate::breaker::{Answered, Failed, Setback, Slot};
use crate::rotate::secret::{Refusal, Shown, Step};
use crate::rotate::token::Tokens;
use crate::rotate::work::{Event, Outcome, TokenId, Work};

use super::{Flight, Schedule};

/// What is due within this counts as urgent during an outage.
const SOON: Duration = Duration::from_secs(60);

impl Schedule {
    pub(super) fn answered(&mut self, now: Duration) {
        if self.breaker.answered() == Answered::Recovered {
            self.events.push_back(Event::BackendUp);
            self.secrets.iter_mut().for_each(|secret| secret.backend_is_back(now));
            if let Some(tokens) = &mut self.tokens {
                tokens.backend_is_back(now);
            }
        }
    }

    pub(super) fn set_back(&mut self, flight: &Flight, failure: Failure, now: Duration, jitter: f64) {
        let retry_after = match failure.class {
            Class::Throttled { retry_after } => retry_after,
            _ => None,
        };
        if self.tokens.is_some() && matches!(flight.work, Work::Issue(_)) && failure.class == Class::Transient {
            self.unanswered_issues = self.unanswered_issues.saturating_add(1);
        }
        let limit = self.urgency(now);
        let setback = Setback { retry_after, limit };
        if self.breaker.failed(flight.slot, flight.ran, setback, now, jitter) == Failed::Down {
            self.events.push_back(Event::BackendDown);
        }
        match (flight.slot, &mut self.tokens) {
            (Slot::Secret(id), _) => {
                // Its own wait looks at its own end only: another's must not make it ask more often.
                let own = self
                    .expiry(&self.secrets[id.0])
                    .filter(|end| *end > now)
                    .map(|end| part(end.saturating_sub(now), 2));
                self.secrets[id.0].set_back(failure, own, now, jitter);
            }
            (Slot::Token, Some(tokens)) => tokens.set_back(failure, limit, now, jitter),
            (Slot::Check, Some(tokens)) => tokens.check_set_back(limit, now, jitter),
            (Slot::Old(id), Some(tokens)) => tokens.revoke_set_back(id, limit, now, jitter),
            (Slot::Token | Slot::Check | Slot::Old(_), None) => {}
        }
    }

    /// Half of the time until the first expiry among what is due soon: no back-off should sleep through that.
    fn urgency(&self, now: Duration) -> Option<Duration> {
        let is_soon = |due: Option<Duration>| due.is_some_and(|due| due <= now.saturating_add(SOON));
        let secrets = self.secrets.iter().filter(|secret| is_soon(secret.due())).filter_map(|s| self.expiry(s));
        let token = self.tokens.as_ref().filter(|tokens| is_soon(tokens.due())).and_then(Tokens::current_end);
        secrets.chain(token).filter(|end| *end > now).min().map(|end| part(end.saturating_sub(now), 2))
    }

    pub(super) fn take_in(&mut self, flight: &Flight, outcome: Outcome, now: Duration, jitter: f64) {
        let (settings, asked) = (self.settings, flight.asked);
        match (flight.work, outcome) {
            (Work::Renew(id), Outcome::Renewed(life)) => {
                self.secrets[id.0].renewed(life, &settings, asked, jitter);
                self.replaced(id, now);
            }
            (Work::Issue(id) | Work::Read(id), Outcome::Fetched(answer)) => {
                let secret = &mut self.secrets[id.0];
                secret.accept(answer, flight.token, &settings, asked, jitter);
                if matches!(flight.work, Work::Issue(_)) {
                    secret.shown = Shown::Not;
                }
                self.replaced(id, now);
            }
            (Work::Renew(_) | Work::Issue(_) | Work::Read(_), outcome) => {
                self.secret_refused(flight, refusal(outcome), now, jitter);
            }
            (work, outcome) => {
                let Some(tokens) = &mut self.tokens else { return };
                match (work, outcome) {
                    (Work::Login(id), Outcome::Granted(grant)) => {
                        tokens.logged_in(id, grant, &settings, asked, jitter);
                        self.secrets.iter_mut().for_each(|secret| secret.token_is_new(id, now));
                        self.review_hand_over(now);
                    }
                    (Work::Login(id), Outcome::StillHeld(grant)) => match tokens.current() {
                        Some(_) => tokens.still_held(grant, &settings, asked, jitter),
                        None => tokens.logged_in(id, grant, &settings, asked, jitter),
                    },
                    (Work::Login(_), outcome) => tokens.login_refused(refusal(outcome).failure, now, jitter),
                    (Work::RenewToken, Outcome::Granted(grant)) => tokens.extended(grant, &settings, asked, jitter),
                    (Work::CheckToken, Outcome::Done | Outcome::Granted(_)) => tokens.is_alive(),
                    (Work::RevokeOldToken(id), _) => tokens.revoked(id),
                    (_, outcome) => {
                        let Refused { failure, of } = refusal(outcome);
                        let is_denied = failure.class == Class::Denied;
                        if of == Of::TheToken || (work == Work::CheckToken && is_denied) {
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

    fn secret_refused(&mut self, flight: &Flight, refused: Refused, now: Duration, jitter: f64) {
        let (Slot::Secret(id), Refused { failure, of }) = (flight.slot, refused) else { return };
        let is_denied = failure.class == Class::Denied;
        let secret = &mut self.secrets[id.0];
        let current = self.tokens.as_ref().and_then(Tokens::current);
        if is_denied && flight.token != current {
            return secret.try_again(now);
        }
        if of == Of::TheToken {
            secret.try_again(now);
            if let Some(tokens) = &mut self.tokens {
                tokens.died(now, jitter);
            }
            return self.secrets.iter_mut().for_each(|secret| secret.token_is_dead(now));
        }
        let step = match flight.work {
            Work::Renew(_) => Step::Renew,
            Work::Read(_) => Step::Read,
            _ => Step::Issue,
        };
        let refusal = secret.refused(step, failure, &self.settings, now, jitter);
        if let (Refusal::Suspicious, Some(tokens)) = (refusal, &mut self.tokens) {
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
        let (current, settings) = (self.current(), self.settings);
        let Some(tokens) = &mut self.tokens else { return };
        let Some(login) = tokens.replaced_at(&settings, now).filter(|login| *login > now) else { return };
        for secret in &mut self.secrets {
            let is_due = secret.due().is_some_and(|due| due <= now) && secret.step(current, now) == Step::Issue;
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

/// A refusal, and of what.
struct Refused {
    failure: Failure,
    of: Of,
}

#[derive(PartialEq, Eq)]
enum Of {
    TheRequest,
    TheToken,
}

/// An outcome that is no success. One that does not fit its work is the driver's mistake and counts as a malformed answer.
fn refusal(outcome: Outcome) -> Refused {
    match outcome {
        Outcome::Failed(failure) => Refused { failure, of: Of::TheRequest },
        Outcome::TokenDead(failure) => Refused { failure, of: Of::TheToken },
        _ => Refused {
            failure: Failure::new(Class::Malformed, "the answer does not fit the request"),
            of: Of::TheRequest,
        },
    }
}
