//! Runs the schedules of all backends together, delivers what they fetch as one generation, and reports each delivery
//! once.
//!
//! `begin` takes over from the start, `values` keeps the values needed for later rendering, `delivery` decides when and
//! what is written, `generation` writes it, `outcome` and `log` report each result, `save` writes the checkpoint, `report` builds the status,
//! `shutdown` revokes. The modes own the loop: they call [`Rotation::advance`], act on its events, and wait for
//! [`Rotation::poll_completed`] beside their own signals.

mod begin;
mod computed;
mod delivery;
mod event;
mod generation;
mod log;
mod outage;
mod outcome;
mod render_time;
mod report;
mod save;
mod shutdown;
mod values;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::{debug, info, trace, warn};

use crate::backend::{Backend, Kind};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::deliver::{Moment, Volume};
use crate::domain::{Diagnostic, EnvName, Fetched, Lease, SecretBytes};
use crate::plan::Plan;
use crate::provider::{Class, Failure, PostError, post};
use crate::schedule::{Answer, BackendId, Completed, Driver, Life, Outcome, Refreshed, SecretId, Work};
use crate::serve::{Action as Notified, Refreshed as Reply};
use crate::sys::{clock, random};

pub(crate) use begin::Handover;
use delivery::{Files, Urgency};
pub(crate) use event::{Advanced, Change, RotationEvent};
use outage::Failures;
use report::Statistics;
pub(crate) use values::Environment;
use values::Values;

/// The index of a source in the plan.
type SourceId = usize;

/// The rotation of all secrets of a plan.
pub(crate) struct Rotation<'a> {
    config: &'a Config,
    plan: Plan,
    schedules: Schedules,
    values: Values,
    files: Files,
    failures: Failures,
    /// Work whose result nothing waits for: revoking unused leases, posting to a URL.
    background_tasks: FuturesUnordered<Pin<Box<dyn Future<Output = BackgroundTask>>>>,
    statistics: Statistics,
    requests: RequestTimes,
    checkpoint: Option<Checkpoint>,
}

/// The schedules of all backends.
struct Schedules {
    driver: Driver<Backend>,
    /// The backend and schedule id of each source of the plan.
    places: Vec<(BackendId, SecretId)>,
}

/// When requests were sent.
struct RequestTimes {
    /// Of each request under way.
    under_way: HashMap<(BackendId, Work), Duration>,
    /// Of the one that last granted or renewed our token.
    of_token: Duration,
}

/// A background task that has ended.
enum BackgroundTask {
    Discarded,
    Posted { url: String, answer: Result<(), PostError> },
}

impl<'a> Rotation<'a> {
    /// Does everything that is due at `now`: sends requests, delivers changed values, removes old generations.
    pub(crate) fn advance(&mut self, now: Duration) -> Advanced {
        let mut events = Vec::new();
        self.check_tokens(now);
        let started = self.schedules.driver.start(now);
        for (backend, work) in &started.work {
            self.requests.under_way.insert((*backend, *work), now);
            let executor = self.schedules.driver.executor(*backend);
            self.statistics.started(executor, *work);
            let reference = work.secret().map(|id| self.plan.sources[self.source_of(*backend, id)].shown.as_str());
            log::started(*work, reference, executor);
        }
        if started.work.iter().any(|(_, work)| matches!(work, Work::Login(_) | Work::Issue(_))) {
            // The requests have not been sent yet: futures run only when polled.
            self.save();
        }
        for (backend, event) in started.events {
            self.on_event(backend, event, now, &mut events);
        }
        let mut wait = started.wait;
        let settles = self.settles_at(now);
        if self.files.delivery.is_due(now) && settles.is_none() {
            events.extend(self.deliver(now).map(RotationEvent::Changed));
            // The delivery may make a next request due.
            wait = Duration::ZERO;
        }
        if let Some(volume) = &mut self.files.volume
            && let Err(error) = volume.sweep(Moment::now())
        {
            debug!("cannot remove an old generation: {error}");
        }
        let delivery = self.files.delivery.wait(now).max(settles.map_or(Duration::ZERO, |at| at.saturating_sub(now)));
        let sweep = self.files.volume.as_ref().and_then(Volume::sweep_due);
        let sweep = sweep.map_or(Duration::MAX, |due| due.saturating_sub(now));
        let wait = wait.min(delivery).min(sweep);
        trace!("schedule: nothing is due for {:.1} s", wait.as_secs_f64());
        Advanced { events, wait }
    }

    /// Until when a delivery waits for related values that may have changed as well. A new credential is delivered at
    /// once.
    fn settles_at(&mut self, now: Duration) -> Option<Duration> {
        if self.files.delivery.is_urgent() {
            return None;
        }
        self.schedules.driver.backends().filter_map(|(_, schedule, _)| schedule.settles_at(now)).max()
    }

    /// Makes a login due where a token file has changed, and starts the revocation of leases whose token we cannot
    /// revoke.
    fn check_tokens(&mut self, now: Duration) {
        let backends: Vec<(BackendId, Rc<Backend>)> =
            self.schedules.driver.backends().map(|(id, _, backend)| (id, Rc::clone(backend))).collect();
        for (id, backend) in backends {
            if matches!(&backend.kind, Kind::Vault(logins) if logins.is_identity_changed()) {
                self.schedules.driver.schedule(id).identity_changed(now);
            }
            for lease in backend.take_left_over(now) {
                let discard = Rc::clone(&backend).discard(lease);
                self.background_tasks.push(Box::pin(async move {
                    discard.await;
                    BackgroundTask::Discarded
                }));
            }
        }
    }

    /// Handles ended background tasks, and one ended request. Ready when a request ended.
    pub(crate) fn poll_completed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(task)) = self.background_tasks.poll_next_unpin(context) {
            match task {
                BackgroundTask::Discarded => {}
                BackgroundTask::Posted { url, answer: Ok(()) } => {
                    info!(url, "notified {url} of the change");
                    self.statistics.counters.notified(Notified::Http, crate::serve::NotifyResult::Yes);
                }
                BackgroundTask::Posted { url, answer: Err(error) } => {
                    warn!(url, "cannot notify {url} of the change: {error}");
                    self.statistics.counters.notified(Notified::Http, crate::serve::NotifyResult::Failed);
                }
            }
        }
        self.schedules
            .driver
            .poll_completed(context)
            .map(|completed| self.handle_completed(completed, clock::boottime()))
    }

    /// The app's variables, rendered with the current values.
    pub(crate) fn environment(&self) -> Result<Vec<(EnvName, SecretBytes)>, Vec<Diagnostic>> {
        self.plan.environment(&self.values.fetches, self.files.render_time.full_limit())
    }

    /// The directory of the files; `None` if no file is written.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.files.volume.as_ref().map(Volume::path)
    }

    /// Removes the delivered files, because no app will read them any more.
    pub(crate) fn withdraw(&mut self) {
        self.files.volume.iter_mut().for_each(Volume::withdraw_or_warn);
    }

    /// Posts the notification of a new generation to a URL, in the background; the result is only logged and counted.
    pub(crate) fn post(&mut self, url: &str) {
        let url = url.to_owned();
        self.background_tasks.push(Box::pin(async move {
            let answer = post(&url).await;
            BackgroundTask::Posted { url, answer }
        }));
    }

    /// Counts a notification that the mode sent.
    pub(crate) fn notified(&mut self, action: Notified, result: crate::serve::NotifyResult) {
        self.statistics.counters.notified(action, result);
    }

    /// The source of the plan for a secret of a schedule.
    fn source_of(&self, backend: BackendId, id: SecretId) -> SourceId {
        let found = self.schedules.places.iter().position(|place| *place == (backend, id));
        found.expect("every secret of a schedule was added for a source")
    }

    /// Handles an ended request: accepts its value, counts, logs, and reports the outcome to the schedule.
    fn handle_completed(&mut self, completed: Completed<Fetched>, now: Duration) {
        let Completed { backend, work, mut outcome, output } = completed;
        let requested_at = self.requests.under_way.remove(&(backend, work)).unwrap_or(now);
        if let (Some(id), Some(fetched)) = (work.secret(), output)
            && let Err(failure) = self.accept_value(backend, id, fetched, requested_at, now)
        {
            outcome = Outcome::Failed(failure);
        }
        // Rendering the value may have taken a while.
        let now = now.max(clock::boottime());
        self.count(backend, work, &outcome, requested_at, now);
        self.log(backend, work, &outcome, now);
        let brings_a_value = matches!(outcome, Outcome::Fetched(_));
        let renewed = if let Outcome::Renewed(life) = &outcome { Some(*life) } else { None };
        self.schedules.driver.done(backend, work, outcome, now, random::unit());
        if let (Some(life), Some(id)) = (renewed, work.secret()) {
            self.checkpoint_renewal(backend, id, life);
        }
        self.log_consequences(backend, work.secret(), now);
        if let (Some(id), true) = (work.secret(), brings_a_value)
            && !self.files.delivery.is_waiting(self.source_of(backend, id))
        {
            // The value is the same as before, so it is delivered already.
            self.schedules.driver.schedule(backend).delivered(&[id], now);
        }
        if !matches!(work, Work::Read(_)) || self.checkpoint.as_ref().is_some_and(Checkpoint::is_changed) {
            self.save();
        }
        if self.schedules.driver.under_way() == 0 {
            self.schedules.driver.backends().for_each(|(_, _, backend)| backend.close_idle());
        }
    }

    /// Accepts a fetched value and queues it for delivery. A value that cannot be rendered, or that has nearly expired,
    /// is refused: its lease is revoked, and the delivered value stays.
    fn accept_value(
        &mut self,
        backend: BackendId,
        id: SecretId,
        fetched: Fetched,
        requested_at: Duration,
        now: Duration,
    ) -> Result<(), Failure> {
        let index = self.source_of(backend, id);
        let source = self.plan.sources[index].source.clone();
        let executor = Rc::clone(self.schedules.driver.executor(backend));
        let is_known = self.values.is_known(&source, &fetched.payload) && !self.files.delivery.is_removed(index);
        if is_known {
            executor.accept(id, &fetched);
            self.statistics.version(&source, fetched.version.as_ref());
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.unchanged(&source, &fetched, requested_at);
            }
            return Ok(());
        }
        let (lease, version) = (fetched.lease.clone(), fetched.version.clone());
        let life = Answer::from(&fetched).life;
        if let Some(failure) = (Answer { life, rotates_in: None }).over() {
            self.discard(&executor, lease);
            return Err(failure);
        }
        // The replacement of a value that expires is delivered without waiting for related changes.
        let urgency =
            if matches!(life, Life::Unbounded | Life::ReadEvery(_)) { Urgency::Waits } else { Urgency::AtOnce };
        let before = self.values.store(&source, fetched);
        let is_new = before.is_none();
        if let Err(failure) = self.try_render(index, now) {
            self.values.restore(&source, before);
            self.discard(&executor, lease);
            return Err(failure.done());
        }
        if is_new {
            self.read_waiting(index, now);
        }
        self.set_aside(index, &executor, executor.lease(id));
        let accepted = self.values.fetches.get(&source).expect("just taken in");
        executor.accept(id, accepted);
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.value(&source, accepted, requested_at);
        }
        self.statistics.version(&source, accepted.version.as_ref());
        let lease = lease.as_ref().map(|lease| log::short(&lease.id));
        let version = version.map(|version| version.0);
        match &lease {
            Some(_) => info!(event = "issue", reference = %source, lease, "issued {source}"),
            None => info!(event = "rotate", reference = %source, version, "read a new value of {source}"),
        }
        if urgency == Urgency::Waits {
            self.schedules.driver.schedule(backend).changed(id, now);
        }
        self.files.delivery.changed(index, urgency, now);
        Ok(())
    }

    /// Handles the lease of the value that a newer one replaces: of a value that was never delivered it is revoked, of
    /// one that the app has it is shown until the newer one is delivered.
    fn set_aside(&mut self, index: SourceId, executor: &Rc<Backend>, lease: Option<Lease>) {
        if self.files.delivery.is_waiting(index) && !self.files.delivery.is_removed(index) {
            self.discard(executor, lease);
        } else {
            let shown = lease.map(|lease| log::short(&lease.id));
            self.statistics.keep_delivered(&self.plan.sources[index].source, shown);
        }
    }

    /// Renders what uses this source, and adopts the paths that templates compute with it.
    fn try_render(&mut self, index: SourceId, now: Duration) -> Result<(), Failure> {
        let limit = self.files.render_time.limit(now);
        let tried = self.files.delivery.try_render(index, &self.plan, &self.values, limit);
        let tried = tried.map_err(|problem| Failure::new(Class::Malformed, problem.text));
        let tried = match tried {
            Err(failure) if limit.is_over() => Err(failure),
            tried => self.adopt_computed(limit).and(tried),
        };
        self.files.render_time.ended(limit, now);
        tried
    }

    /// Revokes a lease that is not used, in the background.
    fn discard(&self, executor: &Rc<Backend>, lease: Option<Lease>) {
        if let Some(lease) = lease {
            let discard = Rc::clone(executor).discard(lease);
            self.background_tasks.push(Box::pin(async move {
                discard.await;
                BackgroundTask::Discarded
            }));
        }
    }

    /// Makes every read due now, for `secret-exec refresh` or SIGHUP.
    pub(crate) fn refresh(&mut self, now: Duration) -> Reply {
        let backends: Vec<BackendId> = self.schedules.driver.backends().map(|(id, ..)| id).collect();
        let answers =
            backends.into_iter().map(|id| self.schedules.driver.schedule(id).refresh(now)).collect::<Vec<_>>();
        let waits = answers.into_iter().filter_map(|answer| match answer {
            Refreshed::Accepted => None,
            Refreshed::TooSoon(wait) => Some(wait),
        });
        waits.max().map_or(Reply::Started, |wait| Reply::TooSoon { wait })
    }
}
