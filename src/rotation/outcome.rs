//! What came of each piece of work, for the log, the counters and the mode: a failure is told once, until it changes.

use std::rc::Rc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::checkpoint::Checkpoint;
use crate::config::OnExpired;
use crate::provider::Extent;
use crate::schedule::{BackendId, Event, Outcome, Work};
use crate::sys::clock;

use super::{Rotation, RotationEvent, log};

/// After this many failures in a row a backend is said not to answer, even if one secret alone found out.
const WARN_AFTER: u32 = 3;

/// What was said of a backend that does not answer.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// In a row, of requests that nobody answered.
    failures: u32,
    is_logged: bool,
}

impl Rotation<'_> {
    pub(super) fn on_event(
        &mut self,
        backend: BackendId,
        event: Event,
        now: Duration,
        events: &mut Vec<RotationEvent>,
    ) {
        let name = self.driver.executor(backend).name();
        match event {
            Event::BackendDown => {
                let why = self.last_failure.get(&backend).map(ToString::to_string).unwrap_or_default();
                self.warn_of_outage(backend, &why);
            }
            Event::Patience(id, wait) => {
                let what = match id {
                    Some(id) => self.plan.sources[self.source_of(backend, id)].shown.clone(),
                    None => name.clone(),
                };
                let (seconds, until) = (wait.as_secs(), crate::domain::http_date(clock::wall() + wait));
                warn!(
                    "{name} asks for patience about {what}: it is not asked for {seconds} s (until {until}), but for what \
                     would expire; `secret-exec refresh` asks at once"
                );
            }
            Event::BackendUp => self.outage_is_over(backend),
            Event::Expired(id) => {
                let index = self.source_of(backend, id);
                self.expired.insert(index);
                let reference = self.plan.sources[index].shown.clone();
                warn!(reference, "{reference} has expired, and nothing has replaced it yet");
                if self.config.on_expired == OnExpired::Remove {
                    self.delivery.remove(index, now);
                }
                events.push(RotationEvent::Expired { reference });
            }
            Event::Revived(id) => {
                let index = self.source_of(backend, id);
                if !self.delivery.is_waiting(index) {
                    self.expired.remove(&index);
                }
                let reference = &self.plan.sources[index].shown;
                info!(reference, "{reference} is valid again");
            }
        }
    }

    pub(super) fn count(
        &mut self,
        backend: BackendId,
        work: Work,
        outcome: &Outcome,
        requested_at: Duration,
        now: Duration,
    ) {
        match (work, outcome) {
            (Work::Login(_) | Work::RenewToken, Outcome::Granted(_) | Outcome::StillHeld(_)) => {
                self.token_requested_at = requested_at;
                if work == Work::RenewToken {
                    self.statistics.counters.renewals += 1;
                } else if let Outcome::Granted(_) = outcome {
                    self.statistics.counters.logins += 1;
                    self.checkpoint.iter_mut().for_each(Checkpoint::logged_in);
                }
            }
            (Work::Renew(id), Outcome::Renewed(life)) => {
                self.statistics.counters.renewals += 1;
                let source = &self.plan.sources[self.source_of(backend, id)].source;
                let life = *life;
                if let Some(checkpoint) = &mut self.checkpoint {
                    checkpoint.renewed(source, life.ttl, life.renewable, requested_at);
                }
            }
            (Work::Issue(_), Outcome::Fetched(_)) => self.statistics.counters.issued += 1,
            (_, Outcome::Failed(failure) | Outcome::TokenDead(failure)) => {
                let executor = Rc::clone(self.driver.executor(backend));
                self.statistics.failed(backend, &executor, work, failure, now);
            }
            _ => {}
        }
    }

    /// One line for each outage.
    fn warn_of_outage(&mut self, backend: BackendId, why: &str) {
        if !std::mem::replace(&mut self.outages.entry(backend).or_default().is_logged, true) {
            let name = self.driver.executor(backend).name();
            warn!("{name} does not answer; what was delivered stays while it is valid: {why}");
        }
    }

    fn outage_is_over(&mut self, backend: BackendId) {
        if std::mem::take(&mut self.outages.entry(backend).or_default().is_logged) {
            info!("{} answers again", self.driver.executor(backend).name());
        }
    }

    /// One line for what matters to an operator; a failure once, until it changes.
    pub(super) fn log(&mut self, backend: BackendId, work: Work, outcome: &Outcome) {
        let executor = Rc::clone(self.driver.executor(backend));
        let index = work.secret().map(|id| self.source_of(backend, id));
        let reference = index.map(|index| self.plan.sources[index].shown.clone());
        match outcome {
            Outcome::Failed(failure) | Outcome::TokenDead(failure) => {
                self.last_failure.insert(backend, failure.clone());
                let what = log::doing(work, reference.as_deref(), &executor);
                let is_logged = match index {
                    Some(index) => {
                        self.last_failures.insert(index, failure.class.clone()) == Some(failure.class.clone())
                    }
                    None => false,
                };
                // What is the backend's is one line of its own.
                let is_the_backends = failure.class.is_retried() && failure.extent == Extent::Backend;
                if is_the_backends || is_logged || index.is_none() && failure.class.is_retried() {
                    debug!("cannot {what}: {failure}");
                } else {
                    warn!("cannot {what}: {failure}");
                }
                // With one secret, or with nothing but a login to send, nobody else finds out.
                if is_the_backends || index.is_none() && failure.class.is_retried() {
                    let outage = self.outages.entry(backend).or_default();
                    outage.failures = outage.failures.saturating_add(1);
                    if outage.failures == WARN_AFTER {
                        self.warn_of_outage(backend, &failure.to_string());
                    }
                }
            }
            _ => {
                if matches!(self.outages.get(&backend), Some(outage) if outage.failures >= WARN_AFTER) {
                    self.outage_is_over(backend);
                }
                self.outages.entry(backend).or_default().failures = 0;
                if let Some(index) = index {
                    self.last_failures.remove(&index);
                }
                log::succeeded(work, outcome, reference.as_deref(), &executor);
            }
        }
    }
}
