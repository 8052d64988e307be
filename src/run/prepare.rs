//! What every mode that delivers does before the first request: plan everything, then do what needs privilege.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::backend::Backends;
use crate::config::Config;
use crate::deliver::{self, Moment, Volume, VolumeError, VolumePlan, Writer, Written};
use crate::domain::{Diagnostic, Fetches, Mode};
use crate::identity::protected::{ProtectedFiles, Purpose};
use crate::identity::{self, PreloadedFiles};
use crate::plan::access::{self, NamedFile};
use crate::plan::{Plan, RenderLimit};
use crate::sys::clock;

use super::app::ChildContext;
use super::caller::ProcessContext;
use super::confinement::aws_files;
use super::exposure;
use super::modes;
use super::run_as::{RunAsPlan, drop_privileges};

/// With `--local`, this many private directories may be in use by others.
const MOST_BUSY: u32 = 30;

/// How long the end of another process on the volume is waited for at most: one that was killed may take a moment to disappear.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that is ready before the first request.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) run_as: RunAsPlan,
    pub(super) preloaded: Rc<PreloadedFiles>,
    /// `None` when no file is written; then no memory file system is needed either.
    pub(super) volume: Option<Volume>,
}

impl Prepared {
    /// Makes the plan and connects the backends (which read the files they need, but send nothing), then prepares the
    /// volume. Returns all problems at once, including `others` (such as a command that does not exist).
    pub(super) fn make(
        config: &Config,
        caller: &ProcessContext,
        mode: Mode,
        run_as: Result<RunAsPlan, Vec<Diagnostic>>,
        others: Vec<Diagnostic>,
    ) -> Result<(Self, Backends), Vec<Diagnostic>> {
        let mut problems = others;
        problems.extend(modes::refused(config, mode));
        let mut collect = |more: Vec<Diagnostic>| problems.extend(more);
        let protected = protected_files(config, caller);
        let aws_ca = caller.path("AWS_CA_BUNDLE");
        let plan = Plan::make(config, &protected).map_err(&mut collect).ok();
        if let Some(plan) = &plan {
            collect(access::refused(config, plan, &protected, &named_files(config, plan, caller)));
        }
        let run_as = run_as.map_err(&mut collect).ok();
        let preloaded = preloaded(config, protected.clone()).map_err(|problem| collect(vec![problem])).ok();
        let backends =
            plan.as_ref().map(|plan| Backends::connect(config, plan, &protected, aws_ca).map_err(&mut collect).ok());
        let parts = (plan, run_as, preloaded, backends.flatten(), problems.is_empty());
        let (Some(plan), Some(run_as), Some(preloaded), Some(backends), true) = parts else {
            return Err(problems);
        };
        for line in modes::without_effect(config, mode).into_iter().chain(plan.doubts(config)) {
            warn!("{line}");
        }
        if let Some(exposed) = exposure::readable_program(config, &plan, &run_as, Some(mode)) {
            warn!("{exposed}");
        }
        let writer = match mode {
            Mode::Init | Mode::Exec => Writer::Once,
            Mode::Sidecar | Mode::Supervise => Writer::Stays,
        };
        let volume = if plan.files.is_empty() { None } else { Some(volume(config, &plan, &run_as, caller, writer)?) };
        Ok((Self { plan, run_as, preloaded: Rc::new(preloaded), volume }, backends))
    }

    /// Reads the files that need our current privileges, then drops the privileges for good.
    pub(super) fn preload_and_drop_privileges(&mut self, backends: &Backends) -> Result<(), Vec<Diagnostic>> {
        backends.preload(&self.plan);
        drop_privileges(&self.run_as.drop)?;
        self.volume.iter_mut().try_for_each(Volume::lock_or_warn).map_err(volume_problem)?;
        // The files are not shared before the first login.
        if let Some(preloaded) = Rc::get_mut(&mut self.preloaded) {
            preloaded.forget_readable();
        }
        Ok(())
    }

    /// The directory of the files, whether or not there are any.
    pub(super) fn volume_path<'a>(&'a self, config: &'a Config) -> &'a Path {
        self.volume.as_ref().map_or(&config.volume.path, Volume::path)
    }

    /// What the app is started with, besides its variables.
    pub(super) fn child_context<'a>(&'a self, config: &'a Config, caller: &'a ProcessContext) -> ChildContext<'a> {
        let directory = self.volume.as_ref().map(Volume::path);
        ChildContext { config, caller, home: self.run_as.home.as_ref(), directory }
    }

    /// Removes the delivered files, which nothing will read; a failure is logged.
    pub(super) fn withdraw(&mut self) {
        self.volume.iter_mut().for_each(Volume::withdraw_or_warn);
    }
}

/// The files that no reference may read.
pub(super) fn protected_files(config: &Config, caller: &ProcessContext) -> ProtectedFiles {
    // `--pinned` hides HOME and AWS's variables from our settings; their files are protected all the same.
    let variable = |name: &str| caller.inherited_path(name);
    ProtectedFiles::of(config, variable("HOME").as_deref(), aws_files(variable))
}

/// Files that environment variables name and that are read where the configuration needs them, with their purpose.
///
/// Under `--pinned` this includes the files whose content AWS gets as proof: the token for container credentials, which
/// is sent to an address that another variable names (if that is on loopback), and the web identity token, which is
/// sent to the role's account. Without `--pinned` the environment is the operator's.
pub(super) fn named_files(config: &Config, plan: &Plan, caller: &ProcessContext) -> Vec<NamedFile> {
    const PROOFS: [&str; 2] = ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
    let named = |name, purpose| Some((name, caller.path(name)?, purpose));
    let proofs: &[_] = if caller.is_pinned() && access::needs_aws(config, plan) { &PROOFS } else { &[] };
    let proofs = proofs.iter().filter_map(|name| named(name, Purpose::AwsToken));
    named("AWS_CA_BUNDLE", Purpose::Certificates).into_iter().chain(proofs).collect()
}

/// Reads the files of the Vault login that need our current privileges.
pub(super) fn preloaded(config: &Config, protected: ProtectedFiles) -> Result<PreloadedFiles, Diagnostic> {
    let auth = config
        .backends
        .vault
        .as_ref()
        .and_then(|vault| vault.auth.as_ref())
        .filter(|_| config.backends.local.is_none());
    match auth {
        None => Ok(PreloadedFiles::default()),
        Some(auth) => identity::preload(auth, protected).map_err(|error| {
            let why = auth.without_own_path(&error.to_string());
            Diagnostic::new(error.exit(), format!("cannot prepare the login ({auth}): {why}"))
        }),
    }
}

/// Prepares the volume and the directories of links. With `--local`, falls back to a private directory.
fn volume(
    config: &Config,
    plan: &Plan,
    run_as: &RunAsPlan,
    caller: &ProcessContext,
    writer: Writer,
) -> Result<Volume, Vec<Diagnostic>> {
    let (path, size) = (config.volume.path.clone(), config.volume.size);
    let mut wanted = VolumePlan { path, owner: run_as.owner, size, writer };
    wanted.owner.group = plan.group_access(config);
    if config.backends.local.is_some() {
        return deliver::prepare(&wanted).or_else(|error| private_volume(wanted, caller, &error));
    }
    let volume = alone(&wanted, LOCK_PATIENCE.min(config.rotation.timeout), caller)?;
    // Only whoever has the volume changes the links to it.
    if let Some(directory) = &config.volume.links {
        deliver::link(directory, &wanted, config.files.iter().map(|file| &file.name)).map_err(volume_problem)?;
    }
    Ok(volume)
}

/// A volume in a private directory, for `--local` where the configured one cannot be used because of `error`.
fn private_volume(
    mut wanted: VolumePlan,
    caller: &ProcessContext,
    error: &VolumeError,
) -> Result<Volume, Vec<Diagnostic>> {
    let runtime_dir = caller.path("XDG_RUNTIME_DIR");
    let mut busy = 0;
    loop {
        wanted.path = deliver::private_fallback(runtime_dir.as_deref(), busy).map_err(volume_problem)?;
        let kept = deliver::prepare(&wanted);
        let yours = || deliver::prepare(&VolumePlan { owner: deliver::Ownership::default(), ..wanted.clone() });
        match kept {
            Err(VolumeError::Busy(_)) if busy < MOST_BUSY => busy += 1,
            kept => {
                warn!("--local: files go to {} instead, because {error}", wanted.path.display());
                return kept.or_else(|_| yours()).map_err(volume_problem);
            }
        }
    }
}

/// Prepares the volume, and waits up to `patience` for the end of another process that keeps its files fresh.
fn alone(wanted: &VolumePlan, patience: Duration, caller: &ProcessContext) -> Result<Volume, Vec<Diagnostic>> {
    const EVERY: Duration = Duration::from_millis(50);
    let (begun, mut has_said) = (clock::boottime(), false);
    loop {
        match deliver::prepare(wanted) {
            Err(VolumeError::Busy(path)) if clock::boottime().saturating_sub(begun) < patience => {
                if let Some(signal) = caller.interruption("another secret-exec was waited for") {
                    return Err(vec![signal]);
                }
                if !has_said {
                    let (path, seconds) = (path.display(), patience.as_secs_f64());
                    warn!("another secret-exec writes below {path}; waiting up to {seconds} s for its end");
                    has_said = true;
                }
                std::thread::sleep(EVERY);
            }
            prepared => return prepared.map_err(volume_problem),
        }
    }
}

/// The problem for an error of the volume.
fn volume_problem(error: VolumeError) -> Vec<Diagnostic> {
    vec![Diagnostic::new(error.exit(), error.to_string())]
}

impl Prepared {
    /// Renders every file and makes all of them visible at once.
    pub(super) fn deliver(&mut self, fetches: &Fetches, limit: RenderLimit<'_>) -> Result<(), Vec<Diagnostic>> {
        let Some(volume) = &mut self.volume else { return Ok(()) };
        let artifacts = self.plan.artifacts(fetches, limit)?;
        let written = volume.write(&artifacts, Moment::now()).map_err(volume_problem)?;
        match written {
            Written::Unchanged => debug!("nothing changed below {}", volume.path().display()),
            Written::Generation(name) => {
                let (count, folder) = (artifacts.len(), volume.path().display());
                let noun = if count == 1 { "file" } else { "files" };
                let generation = name.as_str();
                info!(event = "deliver", generation, "delivered {count} {noun} below {folder} (generation {name})");
            }
        }
        Ok(())
    }
}
