//! Builds a [`Rotation`] from what the start fetched and delivered, with a schedule for each backend.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;

use crate::backend::{self, Answers, Backend, Backends, Kind, Logins, Request, Run};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Renewal};
use crate::deliver::Volume;
use crate::domain::{Diagnostic, Fetched, Source};
use crate::identity::PreloadedFiles;
use crate::plan::RenderLimit;
use crate::schedule::{
    Answer, Authentication, BackendId, Driver, MountId, Operation, Plan, Schedule, SecretId, Settings, Silence, Window,
};
use crate::sys::{clock, random};

use super::delivery::{Delivery, Files};
use super::render_time::RenderTime;
use super::report::Statistics;
use super::values::Values;
use super::{Environment, Failures, RequestTimes, Rotation, Schedules, SourceId};

/// What the start passes on, and the settings of the mode.
pub(crate) struct Handover<'a, 's> {
    pub(crate) config: &'a Config,
    pub(crate) plan: crate::plan::Plan,
    pub(crate) volume: Option<Volume>,
    pub(crate) preloaded: &'s Rc<PreloadedFiles>,
    pub(crate) backends: &'s Backends,
    /// Consumed: each value is taken out and stored in the rotation.
    pub(crate) answers: &'s mut Answers,
    pub(crate) checkpoint: &'s mut Option<Checkpoint>,
    pub(crate) environment: Environment,
    /// The limit within which the start rendered everything.
    pub(crate) rendered: RenderLimit<'s>,
}

impl<'a> Rotation<'a> {
    /// Takes over the values that the start fetched and delivered. Fails only if the kernel returns no random bytes.
    pub(crate) fn begin(handover: Handover<'a, '_>) -> Result<Self, Vec<Diagnostic>> {
        let Handover { config, plan, volume, preloaded, backends, answers, checkpoint, environment, rendered } =
            handover;
        let values =
            Values::new(&plan, environment).ok_or_else(|| vec![Diagnostic::bug("the kernel gave no random bytes")])?;
        let mut rotation = Self {
            config,
            schedules: Schedules {
                driver: Driver::default(),
                places: vec![(BackendId(0), SecretId(0)); plan.sources.len()],
            },
            files: Files { delivery: Delivery::new(&plan), volume, render_time: RenderTime::new(rendered.spent()) },
            plan,
            values,
            failures: Failures::default(),
            background_tasks: FuturesUnordered::new(),
            statistics: Statistics::new(),
            requests: RequestTimes { under_way: HashMap::new(), of_token: answers.login_at },
            checkpoint: checkpoint.take(),
        };
        let kinds: [fn(&Source) -> bool; 3] = [
            |source| matches!(source, Source::Vault(_)),
            |source| matches!(source, Source::Aws(_)),
            |source| matches!(source, Source::File(_)),
        ];
        if config.backends.local.is_some() {
            rotation.add(backends, answers, preloaded, |_| true);
        } else {
            kinds.into_iter().for_each(|is_its| rotation.add(backends, answers, preloaded, is_its));
        }
        rotation.files.delivery.first(&rotation.plan, &mut rotation.values, rendered.renewed());
        rotation.values.delivered();
        rotation.files.delivery.generation = rotation.files.volume.as_ref().and_then(Volume::generation);
        rotation.statistics.counters.generations = u64::from(rotation.files.delivery.generation.is_some());
        rotation.save();
        let backends: Vec<BackendId> = rotation.schedules.driver.backends().map(|(id, ..)| id).collect();
        for backend in backends {
            rotation.log_decisions(backend, |_| true, clock::boottime());
        }
        Ok(rotation)
    }

    /// Adds a backend with those sources of the plan that `is_its` selects, if there are any, and resumes their fetched
    /// values.
    fn add(
        &mut self,
        backends: &Backends,
        answers: &mut Answers,
        preloaded: &Rc<PreloadedFiles>,
        is_its: impl Fn(&Source) -> bool,
    ) {
        let planned = self.plan.sources.iter().enumerate().filter(|(_, planned)| is_its(&planned.source));
        let sources: Vec<(SourceId, Source)> =
            planned.map(|(index, planned)| (index, planned.source.clone())).collect();
        let Some((_, first)) = sources.first() else { return };
        let kind = backends.kind_of(first, self.config, preloaded);
        let authentication = match &kind {
            Kind::Vault(_) => Authentication::Token,
            Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => Authentication::Nothing,
        };
        let settings = settings(&self.config.rotation.renewal, &kind);
        let mut schedule = Schedule::new(authentication, settings);
        let backend = Rc::new(Backend::new(kind, sources.iter().map(|(_, source)| source.clone()).collect()));
        if let Kind::Vault(logins) = &backend.kind
            && let Some(token) = logins.latest_token()
        {
            self.resume_replaced(&mut schedule, logins);
            let id = schedule.resume_token(backend::grant(&token), answers.login_at, random::unit());
            logins.resume(id.expect("a schedule with a token"));
            if !answers.is_resumed {
                self.statistics.first_login(&backend);
            }
        }
        let now = clock::boottime();
        let mut mounts: Vec<String> = Vec::new();
        for (index, source) in sources {
            let mount = mount(&source);
            let place = mounts.iter().position(|known| *known == mount).unwrap_or_else(|| {
                mounts.push(mount);
                mounts.len() - 1
            });
            let own = self.own_interval(index);
            let refresh = own.unwrap_or_else(|| self.general_interval(index));
            let id = schedule.add(Plan { operation: operation(&source), refresh, mount: MountId(place) });
            if let Some(interval) = own {
                schedule.reissue_every(id, interval);
            }
            if let Some(fetched) = answers.fetches.remove(&source) {
                let request = answers.requests.get(&source).copied().unwrap_or(Request { at: now, run: Run::This });
                self.resume_value(&mut schedule, &backend, id, request, (&source, fetched));
            }
            self.schedules.places[index] = (BackendId(self.schedules.driver.backends().count()), id);
        }
        // The delivered values replace what was issued to a run with another configuration: review its tokens.
        schedule.delivered(&[], now);
        self.schedules.driver.add(schedule, backend);
    }

    /// Takes over a value that the start or an earlier run fetched.
    fn resume_value(
        &mut self,
        schedule: &mut Schedule,
        backend: &Rc<Backend>,
        id: SecretId,
        request: Request,
        (source, fetched): (&Source, Fetched),
    ) {
        // A batched read does not return the next rotation date; assume it is near until the first description
        // returns it.
        let rotates_in = matches!(backend.kind, Kind::Aws(_)).then_some(Duration::ZERO);
        schedule.resume(id, Answer { rotates_in, ..Answer::from(&fetched) }, request.at, random::unit());
        backend.accept(id, &fetched);
        if request.run == Run::Earlier {
            // The value may have changed while this program was not running.
            schedule.is_of_earlier_run(id, clock::boottime());
        } else {
            self.statistics.first_fetch(backend, &fetched);
        }
        self.statistics.version(source, fetched.version.as_ref());
        self.values.store(source, fetched);
    }

    /// Adds the tokens of runs with other configurations, before the login that replaces them.
    fn resume_replaced(&self, schedule: &mut Schedule, logins: &Logins) {
        for old in self.checkpoint.as_ref().map_or(&[][..], Checkpoint::replaced) {
            let id = schedule.resume_token(backend::grant(&old.token), old.requested_at, random::unit());
            if let Some(id) = id {
                logins.add_replaced(id, &old.secret, &old.token, old.namespace.as_ref());
            }
        }
    }

    /// The shortest interval that is set on the secret itself or on a file that uses it.
    fn own_interval(&self, index: SourceId) -> Option<Duration> {
        let planned = &self.plan.sources[index];
        let named = self.config.secrets.values().filter(|named| named.reference.source == planned.source);
        let files =
            self.config.files.iter().zip(&self.plan.files).filter(|(_, file)| {
                file.filling.references().iter().any(|reference| reference.source == planned.source)
            });
        named.filter_map(|named| named.refresh).chain(files.filter_map(|(entry, _)| entry.refresh)).min()
    }

    /// The refresh interval of the source's backend.
    pub(super) fn general_interval(&self, index: SourceId) -> Duration {
        match self.plan.sources[index].source {
            Source::Aws(_) => self.config.rotation.refresh.aws,
            Source::Vault(_) | Source::File(_) => self.config.rotation.refresh.vault,
        }
    }
}

/// The mount of a source, as far as its path shows it: the unit that fails together (a secrets engine, an AWS region, a
/// file).
fn mount(source: &Source) -> String {
    match source {
        Source::Vault(vault) => {
            let path = vault.path.as_str();
            if let Some((mount, _)) = path.split_once("/data/") {
                return mount.to_owned();
            }
            // `MOUNT/creds/ROLE`, `MOUNT/issue/ROLE`: everything but the last two components.
            let (before, _) = path.rsplit_once('/').unwrap_or((path, ""));
            before.rsplit_once('/').map_or(before, |(mount, _)| mount).to_owned()
        }
        Source::Aws(aws) => aws.region.clone().unwrap_or_default(),
        Source::File(path) => path.display().to_string(),
    }
}

/// The timeout of one read of Secrets Manager.
const AWS_READ: Duration = Duration::from_secs(15);

/// The thresholds of a backend's schedule, with the operator's settings applied.
fn settings(renewal: &Renewal, kind: &Kind) -> Settings {
    let defaults = Settings::default();
    let share = |percent: u8| f64::from(percent) / 100.0;
    Settings {
        renew_after: renewal.at.map_or(defaults.renew_after, share),
        spread: share(renewal.jitter),
        window: Window { most: renewal.hand_over, ..defaults.window },
        silence: if matches!(kind, Kind::Vault(_)) { Silence::Health } else { Silence::Backend },
        // The AWS SDK retries by itself, with its own limits.
        read_limit: if matches!(kind, Kind::Aws(_)) { AWS_READ } else { defaults.read_limit },
        ..defaults
    }
}

/// Whether fetching a source reads or writes.
pub(super) fn operation(source: &Source) -> Operation {
    if source.is_write() { Operation::Write } else { Operation::Read }
}
