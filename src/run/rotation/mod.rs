//! Rotation at work: the schedules of all backends driven together, what they bring delivered as one, told once.
//!
//! `backend` carries work out, `values` holds what must be held, `delivery` says when and what is written. Modes own the
//! loop: they ask [`Rotation::advance`] what happened and wait for [`Rotation::poll_landed`] beside their own signals.

mod backend;
mod delivery;
mod events;
mod report;
mod saved;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::{debug, info, warn};

use crate::config::{Config, OnExpired, Renewal};
use crate::deliver::{Volume, Written};
use crate::domain::{Fetched, Problem, Source, VaultOperation};
use crate::provider::{Class, Failure, PostError, post};
use crate::rotate::{
    Answer, Authentication, BackendId, Driver, Event, Landed, Operation, Outcome, Plan, Reads, Refreshed, Schedule,
    SecretId, Settings, Window, Work,
};
use crate::serve::{Action as Notified, Refreshed as Reply};
use crate::sys::image::Image;
use crate::sys::{clock, random};

use super::app::App;
use super::caller::Caller;
use super::ending::{GIVE_BACK_WITHIN, LAST_MOMENT};
use super::gather::Backends;
use super::prepare::{Prepared, bug, moment};
use super::session::Session;
use backend::{Backend, Described, Kind, Logins};
use delivery::Delivery;
use report::Told;
pub(super) use saved::{Found, Kept, Marks, Saved, SavedToken, find};
pub(super) use values::Environment;
use values::Values;

/// The place of a source in the plan.
type SourceId = usize;

/// Everything that is kept fresh.
pub(super) struct Rotation<'a> {
    config: &'a Config,
    pub(super) prepared: Prepared,
    driver: Driver<Backend>,
    /// Where each source of the plan is scheduled.
    places: Vec<(BackendId, SecretId)>,
    values: Values,
    delivery: Delivery,
    /// Told expired; what replaced them is not delivered yet.
    expired: BTreeSet<SourceId>,
    /// Whether the last failure of each was told already.
    troubled: BTreeMap<SourceId, Class>,
    /// What nobody waits for: ending leases that cannot be used, telling a URL.
    errands: FuturesUnordered<Pin<Box<dyn Future<Output = Errand>>>>,
    told: Told,
    /// When what is under way was asked for.
    asked: HashMap<(BackendId, Work), Duration>,
    /// When our token was granted, last.
    token_asked: Duration,
    saved: Option<Saved>,
    /// Why a backend failed last.
    last_failure: BTreeMap<BackendId, Failure>,
}

/// An errand that is done.
enum Errand {
    Discarded,
    Posted { url: String, answer: Result<(), PostError> },
}

/// Something for the mode to act on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// What the app was given has changed: one notification.
    Changed(Change),
    /// A secret died and nothing replaced it.
    Expired {
        /// As the operator wrote it.
        reference: String,
    },
}

/// What one delivery changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// There is a new generation of files.
    pub(super) files: bool,
    /// Variables of the app that would be others now.
    pub(super) environment: Vec<String>,
}

/// What came of a round, and how long there is nothing more to do.
#[derive(Debug)]
pub(super) struct Advanced {
    /// In order.
    pub(super) happenings: Vec<Happening>,
    /// Until something lands, or this is over.
    pub(super) wait: Duration,
}

impl<'a> Rotation<'a> {
    /// Takes over what the start fetched and delivered.
    pub(super) fn begin(
        config: &'a Config,
        prepared: Prepared,
        session: &mut Session,
        environment: Environment,
    ) -> Result<Self, Vec<Problem>> {
        let values = Values::new(&prepared.plan, environment).ok_or_else(|| bug("the kernel gave no random bytes"))?;
        let mut rotation = Self {
            config,
            driver: Driver::default(),
            places: vec![(BackendId(0), SecretId(0)); prepared.plan.sources.len()],
            delivery: Delivery::new(&prepared.plan),
            prepared,
            values,
            expired: BTreeSet::new(),
            troubled: BTreeMap::new(),
            errands: FuturesUnordered::new(),
            told: Told::new(),
            asked: HashMap::new(),
            token_asked: session.backends.asked.borrow().login,
            saved: session.backends.saved.take(),
            last_failure: BTreeMap::new(),
        };
        let kinds: [fn(&Source) -> bool; 3] = [
            |source| matches!(source, Source::Vault(_)),
            |source| matches!(source, Source::Aws(_)),
            |source| matches!(source, Source::File(_)),
        ];
        if config.local.is_some() {
            rotation.add(session, |_| true);
        } else {
            kinds.into_iter().for_each(|is_its| rotation.add(session, is_its));
        }
        rotation.delivery.first(&rotation.prepared.plan, &mut rotation.values);
        rotation.values.delivered();
        rotation.delivery.generation = rotation.prepared.volume.as_ref().and_then(Volume::generation);
        rotation.told.counters.generations = u64::from(rotation.delivery.generation.is_some());
        rotation.save();
        Ok(rotation)
    }

    /// Adds the backend of these sources, if there are any.
    fn add(&mut self, session: &mut Session, is_its: impl Fn(&Source) -> bool) {
        let planned = self.prepared.plan.sources.iter().enumerate().filter(|(_, planned)| is_its(&planned.source));
        let ours: Vec<(SourceId, Source)> = planned.map(|(index, planned)| (index, planned.source.clone())).collect();
        let Some((_, first)) = ours.first() else { return };
        let kind = kind(first, self.config, &self.prepared, &session.backends);
        let authentication = match &kind {
            Kind::Vault(_) => Authentication::Token,
            Kind::Aws(_) | Kind::Files | Kind::Local(_) => Authentication::Nothing,
        };
        let settings = settings(&self.config.renewal);
        let mut schedule = Schedule::new(authentication, settings);
        let backend = Rc::new(Backend::new(kind, ours.iter().map(|(_, source)| source.clone()).collect()));
        let asked = session.backends.asked.borrow();
        if let Kind::Vault(logins) = &backend.kind
            && let Some(token) = logins.latest_token()
            && let Some(id) = schedule.take_up_token(backend::grant(&token), asked.login, random::unit())
        {
            logins.take_up(id);
            if asked.taken_up.is_none() {
                self.told.first_login(&backend);
            }
        }
        let now = clock::boottime();
        for (index, source) in ours {
            let id = schedule.add(Plan { operation: operation(&source), refresh: self.interval(index) });
            if let Some(fetched) = session.fetches.remove(&source) {
                let at = asked.sources.get(&source).copied().unwrap_or(now);
                // A batch does not say when a secret rotates next: it may be soon, and the first description tells.
                let rotates_in = matches!(backend.kind, Kind::Aws(_)).then_some(Duration::ZERO);
                schedule.take_up(id, Answer { rotates_in, ..Answer::from(&fetched) }, at, random::unit());
                backend.accept(id, &fetched);
                if !asked.taken_up.as_ref().is_some_and(|taken_up| taken_up.contains(&source)) {
                    self.told.first_fetch(&backend, &fetched);
                }
                self.told.version(&source, fetched.version.as_ref());
                self.values.take_in(&source, fetched);
            }
            self.places[index] = (BackendId(self.driver.backends().count()), id);
        }
        drop(asked);
        self.driver.add(schedule, backend);
    }

    /// The shortest interval anybody asked for.
    fn interval(&self, index: SourceId) -> Duration {
        let planned = &self.prepared.plan.sources[index];
        let named = self.config.secrets.values().filter(|named| named.reference.source == planned.source);
        let files =
            self.config.files.iter().zip(&self.prepared.plan.files).filter(|(_, file)| {
                file.filling.references().iter().any(|reference| reference.source == planned.source)
            });
        let own = named.filter_map(|named| named.refresh).chain(files.filter_map(|(entry, _)| entry.refresh)).min();
        own.unwrap_or(match planned.source {
            Source::Aws(_) => self.config.refresh.aws,
            Source::Vault(_) | Source::File(_) => self.config.refresh.vault,
        })
    }

    /// Does everything that is due: starts work, delivers, sweeps.
    pub(super) fn advance(&mut self, now: Duration) -> Advanced {
        let mut happenings = Vec::new();
        self.look_after_tokens(now);
        let started = self.driver.start(now);
        for (backend, work) in &started.work {
            self.asked.insert((*backend, *work), now);
            self.told.started(self.driver.carrier(*backend), *work);
        }
        if started.work.iter().any(|(_, work)| matches!(work, Work::Login(_) | Work::Issue(_))) {
            // Nothing has been sent yet: futures wait to be polled.
            self.save();
        }
        for (backend, event) in started.events {
            self.told(backend, event, now, &mut happenings);
        }
        let mut wait = started.wait;
        if self.delivery.is_due(now) {
            happenings.extend(self.deliver(now).map(Happening::Changed));
            // A delivery may be what the next step waited for.
            wait = Duration::ZERO;
        }
        if let Some(volume) = &mut self.prepared.volume
            && let Err(error) = volume.sweep(moment())
        {
            debug!("cannot remove an old generation: {error}");
        }
        Advanced { happenings, wait: wait.min(self.delivery.wait(now)) }
    }

    /// A token file that was replaced is a new login; what hung on a token that we cannot revoke is ended by itself.
    fn look_after_tokens(&mut self, now: Duration) {
        let backends: Vec<(BackendId, Rc<Backend>)> =
            self.driver.backends().map(|(id, _, backend)| (id, Rc::clone(backend))).collect();
        for (id, backend) in backends {
            if matches!(&backend.kind, Kind::Vault(logins) if logins.is_identity_changed()) {
                self.driver.schedule(id).identity_changed(now);
            }
            for lease in backend.take_left_over(now) {
                let discard = Rc::clone(&backend).discard(lease);
                self.errands.push(Box::pin(async move {
                    discard.await;
                    Errand::Discarded
                }));
            }
        }
    }

    /// Takes in what has ended; ready when that was something.
    pub(super) fn poll_landed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(errand)) = self.errands.poll_next_unpin(context) {
            match errand {
                Errand::Discarded => {}
                Errand::Posted { url, answer: Ok(()) } => {
                    info!(url, "told {url} of the change");
                    self.told.counters.notified(Notified::Http, crate::serve::Told::Yes);
                }
                Errand::Posted { url, answer: Err(error) } => {
                    warn!(url, "cannot tell {url} of the change: {error}");
                    self.told.counters.notified(Notified::Http, crate::serve::Told::Failed);
                }
            }
        }
        self.driver.poll_landed(context).map(|landed| self.take_in(landed, clock::boottime()))
    }

    /// The app with the values of now.
    pub(super) fn image(&self, app: &App<'_>, caller: &Caller) -> Result<Image, Vec<Problem>> {
        app.image(self.config, &self.prepared, &self.values.fetches, caller)
    }

    /// Tells a URL that there is a new generation; nobody waits for its answer.
    pub(super) fn post(&mut self, url: &str) {
        let url = url.to_owned();
        self.errands.push(Box::pin(async move {
            let answer = post(&url).await;
            Errand::Posted { url, answer }
        }));
    }

    /// Counts a notification that the mode made.
    pub(super) fn notified(&mut self, action: Notified, told: crate::serve::Told) {
        self.told.counters.notified(action, told);
    }

    /// Writes down what a restart would take up.
    fn save(&mut self) {
        let Some(mut saved) = self.saved.take() else { return };
        let lossy = |work: &Work| matches!(work, Work::Login(_) | Work::Issue(_));
        let under_way = self.asked.keys().filter(|(_, work)| lossy(work));
        let under_way = under_way.map(|(backend, work)| self.named(*backend, *work)).collect();
        let logins = self.driver.backends().find_map(|(_, _, backend)| match &backend.kind {
            Kind::Vault(logins) => Some(logins),
            Kind::Aws(_) | Kind::Files | Kind::Local(_) => None,
        });
        let vault = logins.and_then(|logins| logins.current());
        let token = vault.and_then(|vault| SavedToken::of(&vault, self.token_asked));
        saved.write(token.as_ref(), under_way);
        self.saved = Some(saved);
    }

    fn named(&self, backend: BackendId, work: Work) -> String {
        let reference =
            work.secret().map(|id| self.prepared.plan.sources[self.source_of(backend, id)].source.to_string());
        reference.unwrap_or_else(|| format!("a login to {}", self.driver.carrier(backend).name()))
    }

    fn source_of(&self, backend: BackendId, id: SecretId) -> SourceId {
        let found = self.places.iter().position(|place| *place == (backend, id));
        found.expect("every secret of a schedule was added for a source")
    }

    fn take_in(&mut self, landed: Landed<Fetched>, now: Duration) {
        let Landed { backend, work, mut outcome, brought } = landed;
        let asked = self.asked.remove(&(backend, work)).unwrap_or(now);
        if let (Some(id), Some(fetched)) = (work.secret(), brought)
            && let Err(failure) = self.take_value(backend, id, fetched, asked, now)
        {
            outcome = Outcome::Failed(failure);
        }
        self.count(backend, work, &outcome, asked, now);
        self.log(backend, work, &outcome);
        let brings_a_value = matches!(outcome, Outcome::Fetched(_));
        self.driver.done(backend, work, outcome, now, random::unit());
        if let (Some(id), true) = (work.secret(), brings_a_value)
            && !self.delivery.is_waiting(self.source_of(backend, id))
        {
            // The same as before: what is delivered is what came.
            self.driver.schedule(backend).delivered(&[id], now);
        }
        if !matches!(work, Work::Read(_)) {
            self.save();
        }
        if self.driver.under_way() == 0 {
            self.driver.backends().for_each(|(_, _, backend)| backend.rest());
        }
    }

    /// Holds a new value until it is delivered; one that cannot be rendered is refused, and what there is stays.
    fn take_value(
        &mut self,
        backend: BackendId,
        id: SecretId,
        fetched: Fetched,
        asked: Duration,
        now: Duration,
    ) -> Result<(), Failure> {
        let index = self.source_of(backend, id);
        let source = &self.prepared.plan.sources[index].source;
        let carrier = Rc::clone(self.driver.carrier(backend));
        let is_known = self.values.is_known(source, &fetched.payload) && !self.delivery.is_removed(index);
        if is_known {
            carrier.accept(id, &fetched);
            self.told.version(source, fetched.version.as_ref());
            if let Some(saved) = &mut self.saved {
                saved.value(source, &fetched, asked);
            }
            return Ok(());
        }
        let (lease, version) = (fetched.lease.clone(), fetched.version.clone());
        let before = self.values.take_in(source, fetched);
        if let Err(problem) = self.delivery.try_out(index, &self.prepared.plan, &self.values) {
            self.values.take_back(source, before);
            if let Some(lease) = lease {
                let discard = carrier.discard(lease);
                self.errands.push(Box::pin(async move {
                    discard.await;
                    Errand::Discarded
                }));
            }
            return Err(Failure::new(Class::Malformed, problem.text));
        }
        let held = self.values.fetches.get(source).expect("just taken in");
        carrier.accept(id, held);
        if let Some(saved) = &mut self.saved {
            saved.value(source, held, asked);
        }
        self.told.version(source, held.version.as_ref());
        let lease = lease.as_ref().map(|lease| events::short(&lease.id));
        let version = version.map(|version| version.0);
        match &lease {
            Some(_) => info!(reference = %source, lease, "issued {source}"),
            None => info!(reference = %source, version, "read a new value of {source}"),
        }
        self.delivery.changed(index, now);
        Ok(())
    }

    /// Writes what changed as one generation. A failure is ours: it is tried again later, and asks nobody.
    fn deliver(&mut self, now: Duration) -> Option<Change> {
        let artifacts = match self.delivery.compose(&self.prepared.plan, &self.values, self.prepared.volume.as_ref()) {
            Ok(artifacts) => artifacts,
            Err(text) => {
                self.delivery.failed(text, now, random::unit());
                return None;
            }
        };
        let written = match &mut self.prepared.volume {
            None => Ok(Written::Unchanged),
            Some(volume) => volume.write(&artifacts, moment()),
        };
        let generation = match written {
            Err(error) => {
                self.delivery.failed(error.to_string(), now, random::unit());
                self.told.counters.delivery_failures += 1;
                return None;
            }
            Ok(Written::Unchanged) => None,
            Ok(Written::Generation(name)) => Some(name),
        };
        if let Some(name) = &generation {
            self.told.counters.generations += 1;
            let count = artifacts.len();
            info!(generation = name.as_str(), "delivered {count} files (generation {name})");
        }
        drop(artifacts);
        let environment = self.delivery.environment_changed(&self.prepared.plan, &mut self.values);
        let changed = self.delivery.delivered(generation.clone());
        let mut by_backend: BTreeMap<BackendId, Vec<SecretId>> = BTreeMap::new();
        for index in changed {
            self.expired.remove(&index);
            let (backend, id) = self.places[index];
            by_backend.entry(backend).or_default().push(id);
        }
        for (backend, ids) in by_backend {
            self.driver.schedule(backend).delivered(&ids, now);
            self.driver.carrier(backend).delivered(Settings::default().settle, now);
        }
        self.values.delivered();
        let change = Change { files: generation.is_some(), environment };
        (change.files || !change.environment.is_empty()).then_some(change)
    }

    fn told(&mut self, backend: BackendId, event: Event, now: Duration, happenings: &mut Vec<Happening>) {
        let name = self.driver.carrier(backend).name();
        match event {
            Event::BackendDown => {
                let why = self.last_failure.get(&backend).map(ToString::to_string).unwrap_or_default();
                warn!("{name} does not answer; what was delivered stays while it is valid: {why}");
            }
            Event::BackendUp => info!("{name} answers again"),
            Event::Expired(id) => {
                let index = self.source_of(backend, id);
                self.expired.insert(index);
                let reference = self.prepared.plan.sources[index].shown.clone();
                warn!(reference, "{reference} has expired, and nothing has replaced it yet");
                if self.config.on_expired == OnExpired::Remove {
                    self.delivery.remove(index, now);
                }
                happenings.push(Happening::Expired { reference });
            }
            Event::Revived(id) => {
                let index = self.source_of(backend, id);
                if !self.delivery.is_waiting(index) {
                    self.expired.remove(&index);
                }
                let reference = &self.prepared.plan.sources[index].shown;
                info!(reference, "{reference} is valid again");
            }
        }
    }

    fn count(&mut self, backend: BackendId, work: Work, outcome: &Outcome, asked: Duration, now: Duration) {
        match (work, outcome) {
            (Work::Login(_) | Work::RenewToken, Outcome::Granted(_) | Outcome::StillHeld(_)) => {
                self.token_asked = asked;
                if work == Work::RenewToken {
                    self.told.counters.renewals += 1;
                } else if let Outcome::Granted(_) = outcome {
                    self.told.counters.logins += 1;
                    self.saved.iter_mut().for_each(Saved::logged_in);
                }
            }
            (Work::Renew(id), Outcome::Renewed(life)) => {
                self.told.counters.renewals += 1;
                let source = &self.prepared.plan.sources[self.source_of(backend, id)].source;
                let life = *life;
                if let Some(saved) = &mut self.saved {
                    saved.renewed(source, life.ttl, life.renewable, asked);
                }
            }
            (Work::Issue(_), Outcome::Fetched(_)) => self.told.counters.issued += 1,
            (_, Outcome::Failed(failure) | Outcome::TokenDead(failure)) => {
                let carrier = Rc::clone(self.driver.carrier(backend));
                self.told.failed(backend, &carrier, work, failure, now);
            }
            _ => {}
        }
    }

    /// One line for what matters to an operator; a failure once, until it changes.
    fn log(&mut self, backend: BackendId, work: Work, outcome: &Outcome) {
        let carrier = Rc::clone(self.driver.carrier(backend));
        let index = work.secret().map(|id| self.source_of(backend, id));
        let reference = index.map(|index| self.prepared.plan.sources[index].shown.clone());
        match outcome {
            Outcome::Failed(failure) | Outcome::TokenDead(failure) => {
                self.last_failure.insert(backend, failure.clone());
                let what = events::doing(work, reference.as_deref(), &carrier);
                let is_told = match index {
                    Some(index) => self.troubled.insert(index, failure.class.clone()) == Some(failure.class.clone()),
                    None => false,
                };
                if failure.class.is_retried() || is_told {
                    debug!("cannot {what}: {failure}");
                } else {
                    warn!("cannot {what}: {failure}");
                }
            }
            _ => {
                if let Some(index) = index {
                    self.troubled.remove(&index);
                }
                events::succeeded(work, outcome, reference.as_deref(), &carrier);
            }
        }
    }

    /// Somebody wants fresh values.
    pub(super) fn refresh(&mut self, now: Duration) -> Reply {
        let backends: Vec<BackendId> = self.driver.backends().map(|(id, ..)| id).collect();
        let answers = backends.into_iter().map(|id| self.driver.schedule(id).refresh(now)).collect::<Vec<_>>();
        let waits = answers.into_iter().filter_map(|answer| match answer {
            Refreshed::Accepted => None,
            Refreshed::TooSoon(wait) => Some(wait),
        });
        waits.max().map_or(Reply::Started, |wait| Reply::TooSoon { wait })
    }

    /// Revokes what was issued, within a bounded time. Failures are warnings: every lease ends by itself.
    pub(super) async fn give_back(mut self) {
        let work = async {
            self.hear_out().await;
            let all: Vec<Rc<Backend>> = self.driver.backends().map(|(_, _, backend)| Rc::clone(backend)).collect();
            for backend in all {
                let mut told = Vec::new();
                for revoked in backend.give_back().await {
                    // Twenty leases that may not be revoked are one line.
                    if !told.contains(&revoked) {
                        events::given_back(&revoked, &backend);
                        told.push(revoked);
                    }
                }
            }
            if let Some(saved) = self.saved.take() {
                saved.remove();
            }
        };
        if tokio::time::timeout(GIVE_BACK_WITHIN, work).await.is_err() {
            warn!("gave up revoking after {} s; what was issued ends by itself", GIVE_BACK_WITHIN.as_secs());
        }
    }

    /// What is under way could bring a token or a lease that nobody would know of: it is heard out for a moment. After that
    /// its connection is closed, upon which the server gives up what it was making.
    async fn hear_out(&mut self) {
        let brought = async {
            while self.is_issuing() {
                poll_fn(|context| self.poll_landed(context)).await;
            }
        };
        let _landed = tokio::time::timeout(LAST_MOMENT, brought).await;
        if self.is_issuing() {
            warn!("gave up what was under way; what it may still bring ends by itself");
        }
        self.driver.abandon();
    }

    fn is_issuing(&self) -> bool {
        self.asked.keys().any(|(_, work)| matches!(work, Work::Login(_) | Work::Issue(_)))
    }
}

/// The rules, with what the operator may say of them.
fn settings(renewal: &Renewal) -> Settings {
    let defaults = Settings::default();
    let share = |percent: u8| f64::from(percent) / 100.0;
    Settings {
        renew_after: renewal.at.map_or(defaults.renew_after, share),
        spread: share(renewal.jitter),
        window: Window { most: renewal.hand_over, ..defaults.window },
        reads: Reads::Apart,
        ..defaults
    }
}

/// What is asked of a source.
fn operation(source: &Source) -> Operation {
    match source {
        Source::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)) => Operation::Write,
        Source::Vault(_) | Source::Aws(_) | Source::File(_) => Operation::Read,
    }
}

fn kind(source: &Source, config: &Config, prepared: &Prepared, backends: &Backends) -> Kind {
    if let Some(local) = &backends.local {
        return Kind::Local(Rc::clone(local));
    }
    match source {
        Source::File(_) => Kind::Files,
        Source::Aws(_) => {
            let aws = backends.aws.as_ref().expect("connected for the sources of the plan");
            Kind::Aws(Described::new(Rc::clone(aws)))
        }
        Source::Vault(_) => {
            let (vault, auth) = backends.vault.as_ref().expect("connected for the sources of the plan");
            let settings = config.vault.clone().expect("a connected server has settings");
            let (held, aws) = (Rc::clone(&prepared.held), std::sync::Arc::clone(&backends.aws_identity));
            Kind::Vault(Box::new(Logins::new(settings, auth.clone(), held, aws, Rc::clone(vault))))
        }
    }
}
