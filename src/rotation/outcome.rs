//! Reports the outcome of each piece of work to the log, the counters and the mode: a failure is logged once, until its
//! class changes.

use std::rc::Rc;
use std::time::Duration;

use tracing::{Level, debug, enabled, info, warn};

use crate::checkpoint::Checkpoint;
use crate::config::OnExpired;
use crate::provider::{Class, Extent, Failure};
use crate::schedule::{BackendId, Event, Liveness, Outcome, PatienceFor, SecretId, Work};
use crate::sys::clock;

use super::outage::{Line, News, Outage, Subject};
use super::{Rotation, RotationEvent, log};

impl Rotation<'_> {
    /// Handles an event of a schedule: logs it, and passes an expiry on to the mode.
    pub(super) fn on_event(
        &mut self,
        backend: BackendId,
        event: Event,
        now: Duration,
        events: &mut Vec<RotationEvent>,
    ) {
        let name = self.schedules.driver.executor(backend).name();
        match event {
            Event::BackendDown => {
                let outage = self.failures.outages.entry(backend).or_default();
                let news = self.failures.last.get(&backend).and_then(|failure| outage.begins(failure, now));
                self.warn_of_outage(backend, news);
            }
            Event::Patience(of, wait) => {
                let of = match of {
                    PatienceFor::MountOf(id) => {
                        format!(" about {}", self.plan.sources[self.source_of(backend, id)].shown)
                    }
                    PatienceFor::Token => " about our token".to_owned(),
                    PatienceFor::Everything => String::new(),
                };
                let (seconds, until) = (wait.as_secs_f64().round(), crate::domain::http_date(clock::wall() + wait));
                warn!(
                    "{name} asks for patience{of}: the next request is in {seconds} s (at {until}), or as soon as something \
                     would expire; `secret-exec refresh` asks at once"
                );
            }
            Event::BackendUp => self.outage_is_over(backend),
            Event::Expired(id) => {
                let index = self.source_of(backend, id);
                let limit = self.files.render_time.limit(now);
                if self.plan.is_abandoned(&self.plan.sources[index], &self.values.fetches, limit) {
                    info!("{} has ended; no template names it any more", self.plan.sources[index].shown);
                    return;
                }
                let reference = self.plan.sources[index].shown.clone();
                let what = if self.files.delivery.is_waiting(index) {
                    "the value that replaces it is not delivered yet"
                } else {
                    "nothing has replaced it yet"
                };
                warn!(event = "expire", reference, "{reference} has expired, and {what}");
                if self.config.rotation.on_expired == OnExpired::Remove {
                    self.files.delivery.remove(index, now);
                }
                events.push(RotationEvent::Expired { reference });
            }
            Event::Revived(id) => {
                let reference = &self.plan.sources[self.source_of(backend, id)].shown;
                info!(reference, "{reference} is valid again");
            }
        }
    }

    /// Updates counters and checkpoint with an outcome.
    pub(super) fn count(
        &mut self,
        backend: BackendId,
        work: Work,
        outcome: &Outcome,
        requested_at: Duration,
        now: Duration,
    ) {
        match (work, outcome) {
            (Work::Login(_) | Work::RenewToken, Outcome::Granted(_) | Outcome::TokenUnchanged(_)) => {
                self.requests.of_token = requested_at;
                if work == Work::RenewToken {
                    self.statistics.counters.renewals += 1;
                } else if let Outcome::Granted(_) = outcome {
                    self.statistics.counters.logins += 1;
                    self.checkpoint.iter_mut().for_each(Checkpoint::logged_in);
                }
            }
            (Work::Renew(_), Outcome::Renewed(_)) => self.statistics.counters.renewals += 1,
            // The old token, and the tokens of other configurations, are revoked together.
            (Work::RevokeOldToken(_), Outcome::Done) => {
                self.checkpoint.iter_mut().for_each(Checkpoint::forget_replaced);
            }
            (Work::Issue(_), Outcome::Fetched(_)) => self.statistics.counters.issued += 1,
            (_, Outcome::Failed(failure) | Outcome::TokenDead(failure)) => {
                let executor = Rc::clone(self.schedules.driver.executor(backend));
                self.statistics.failed(backend, &executor, work, failure, now);
            }
            _ => {}
        }
    }

    /// Logs an outage, or a new reason of it.
    fn warn_of_outage(&self, backend: BackendId, news: Option<News>) {
        let name = self.schedules.driver.executor(backend).name();
        let reason = self.failures.outages.get(&backend).and_then(Outage::reason);
        let why = reason.map(|(failure, _)| failure.clone().at(&name).why).unwrap_or_default();
        match news {
            Some(News::Begins) => {
                warn!("{name} does not answer; what was delivered stays while it is valid: {why}");
            }
            Some(News::Changes) => warn!("{name} still does not answer, now for another reason: {why}"),
            None => {}
        }
    }

    /// Logs the end of an outage, if its begin was logged.
    fn outage_is_over(&mut self, backend: BackendId) {
        if self.failures.outages.entry(backend).or_default().ends() {
            info!("{} answers again", self.schedules.driver.executor(backend).name());
        }
    }

    /// Logs, at debug, what the schedule does next about the secrets or the login of a backend that `is_shown` selects.
    pub(super) fn log_decisions(&self, backend: BackendId, is_shown: impl Fn(Option<SecretId>) -> bool, now: Duration) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        let Some((_, schedule, executor)) = self.schedules.driver.backends().find(|(id, ..)| *id == backend) else {
            return;
        };
        let status = schedule.status(now);
        if let Some(until) = status.down_until {
            let left = until.saturating_sub(now).as_secs_f64();
            debug!("schedule: {} is down; the next probe is in {left:.1} s", executor.name());
        }
        if let Some(token) = status.token.filter(|_| is_shown(None)) {
            log::decided(&format!("the token of {}", executor.name()), token.next, token.expires, now);
        }
        for secret in status.secrets.iter().filter(|secret| is_shown(Some(secret.id))) {
            let shown = &self.plan.sources[self.source_of(backend, secret.id)].shown;
            log::decided(shown, secret.next, secret.expires, now);
        }
    }

    /// Logs an outcome, if it matters to an operator; a failure once, until its class changes.
    pub(super) fn log(&mut self, backend: BackendId, work: Work, outcome: &Outcome, now: Duration) {
        let executor = Rc::clone(self.schedules.driver.executor(backend));
        let reference = work.secret().map(|id| self.plan.sources[self.source_of(backend, id)].shown.clone());
        match outcome {
            Outcome::Failed(failure) | Outcome::TokenDead(failure) => {
                self.failures.last.insert(backend, failure.clone());
                let what = log::doing(work, reference.as_deref(), &executor);
                self.log_failure(backend, work, failure, &what, reference, now);
            }
            _ => {
                if self.failures.outages.entry(backend).or_default().answered() {
                    info!("{} answers again", executor.name());
                }
                if Subject::of(work).is_some() {
                    self.forget_failures(backend, work.secret());
                }
                log::succeeded(work, outcome, reference.as_deref(), &executor);
            }
        }
    }
    /// Logs a failure: at debug if it is part of an outage or was logged before, later if it may be part of one, else
    /// as a warning.
    fn log_failure(
        &mut self,
        backend: BackendId,
        work: Work,
        failure: &Failure,
        what: &str,
        reference: Option<String>,
        now: Duration,
    ) {
        let name = self.schedules.driver.executor(backend).name();
        let shown = if what.contains(&name) { failure.clone().at(&name) } else { failure.clone() };
        let outage = self.failures.outages.entry(backend).or_default();
        let (is_retried, class) = (failure.class.is_retried(), &failure.class);
        if outage.covers(failure) {
            debug!("cannot {what} ({class}): {shown}");
            // With one secret, or only a login to send, no other request detects the outage.
            let news = outage.failed(failure, now);
            return self.warn_of_outage(backend, news);
        }
        let subject = Subject::of(work);
        let last = subject.and_then(|subject| self.failures.classes.insert((backend, subject), class.clone()));
        if (is_retried && subject.is_none()) || last.as_ref() == Some(class) {
            debug!("cannot {what} ({class}): {shown}");
        } else if is_retried && failure.extent != Extent::Request {
            debug!("cannot {what} ({class}): {shown}");
            outage.keep(Line { of: work.secret(), reference, text: format!("cannot {what}: {shown}") });
        } else {
            let event = (failure.class == Class::Denied).then_some("deny");
            warn!(event, reference, "cannot {what}: {shown}");
        }
    }

    /// Forgets the logged failures of one secret, or of the login and its renewal (`None`), so that the next one is
    /// logged again.
    fn forget_failures(&mut self, backend: BackendId, of: Option<SecretId>) {
        self.failures.classes.retain(|(known, subject), _| *known != backend || subject.secret() != of);
    }

    /// Logs what follows from an outcome: at debug what the schedule does next, and the lines that waited until it was
    /// known whether the server is alive.
    pub(super) fn log_consequences(&mut self, backend: BackendId, of: Option<SecretId>, now: Duration) {
        self.log_decisions(backend, |shown| shown == of, now);
        let liveness = self.schedules.driver.schedule(backend).liveness();
        if liveness == Liveness::Unknown {
            return;
        }
        for Line { of, reference, text } in self.failures.outages.entry(backend).or_default().take_kept() {
            match liveness {
                Liveness::Down => self.forget_failures(backend, of),
                Liveness::Answers | Liveness::Unknown => warn!(reference, "{text}"),
            }
        }
    }
}
