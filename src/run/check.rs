//! `check`: shows the plan as tables or JSON; with `--online` also logs in and tries every reference. Never shows a
//! value.

use std::collections::BTreeMap;

use std::ffi::OsString;
use std::sync::Arc;

use crate::backend::Backends;
use crate::config::Config;
use crate::domain::{Diagnostic, Ends, Fetched, Fetches, LONGEST_LIFE, Mode, Source, VaultOperation};
use crate::identity::aws::AwsIdentity;
use crate::plan::{Plan, access, local_file, policy};
use crate::provider::aws::Aws;
use crate::provider::local::Local;
use crate::start::{Session, StartOptions, runtime};
use crate::sys::clock;
use tracing::warn;

use super::app::App;
use super::caller::ProcessContext;
use super::confinement::{Confinement, Stays};
use super::explanation::{Explanation, problems_as_json};
use super::exposure;
use super::modes;
use super::prepare::{named_files, preloaded, protected_files};
use super::run_as::RunAsPlan;

use super::table::Style;

/// What `check` does and shows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Check {
    /// Also log in and try every reference.
    pub online: bool,
    /// Show the least policy instead of the plan.
    pub policy: bool,
    /// Show a `--local` file instead of the plan.
    pub local_skeleton: bool,
    /// The command that would be wrapped, if one was given.
    pub command: Option<Vec<OsString>>,
    /// The format of the plan.
    pub output: CheckOutput,
}

/// The format in which `check` shows the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutput {
    /// For people.
    Table(Style),
    /// One JSON object.
    Json,
}

impl Default for CheckOutput {
    fn default() -> Self {
        Self::Table(Style::Plain)
    }
}

/// Returns the text to show, and the problems of what was tried. Revokes everything that was issued for it. An error is
/// returned as text only with JSON output.
pub fn check(
    config: &Config,
    what: &Check,
    caller: &ProcessContext,
) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    match shown(config, what, caller) {
        Err(problems) if what.output == CheckOutput::Json => Ok((problems_as_json(&problems), problems)),
        shown => shown,
    }
}

/// The text to show, and problems of what was tried; an error if there is no plan.
fn shown(config: &Config, what: &Check, caller: &ProcessContext) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (protected, aws_ca) = (protected_files(config, caller), caller.path("AWS_CA_BUNDLE"));
    let mut plan = Plan::make(config, &protected)?;
    let refused = access::refused(config, &plan, &protected, &named_files(config, &plan, caller));
    if !refused.is_empty() {
        return Err(refused);
    }
    if what.policy {
        return Ok((policy::least(config, &plan), Vec::new()));
    }
    if what.local_skeleton {
        return Ok((local_file::local_file(&plan, clock::wall()), Vec::new()));
    }
    plan.doubts(config).into_iter().for_each(|line| warn!("{line}"));
    let wrapping = if config.app.supervise { Mode::Supervise } else { Mode::Exec };
    let mode = what.command.as_ref().map(|_| wrapping);
    let mut problems = mode.map(|mode| modes::refused(config, mode)).unwrap_or_default();
    let run_as = RunAsPlan::plan(config, mode);
    if let Some(command) = &what.command {
        problems.extend(App::find(command, run_as.as_ref().ok(), caller).problems());
    }
    let exposed = run_as.as_ref().ok().and_then(|run_as| exposure::readable_program(config, &plan, run_as, mode));
    let runs_as = run_as.map_or_else(
        |more| {
            problems.extend(more);
            "(see below)".to_owned()
        },
        |run_as| identity(config, &run_as),
    );
    let mut tried = BTreeMap::new();
    if what.online {
        let session = preloaded(config, protected.clone()).map_err(|problem| vec![problem]).and_then(|preloaded| {
            let backends = Backends::connect(config, &plan, &protected, aws_ca)?;
            Session::open(config, &mut plan, &preloaded, backends, &caller.original, StartOptions::fresh(None))
        });
        match session {
            Ok(mut session) => {
                tried = answers(&session.answers.fetches);
                if what.command.is_some() && !config.app.supervise {
                    problems.extend(session.refuse_expiring_values(config).err().unwrap_or_default());
                }
                let limit = session.render_limit(&caller.original);
                problems.extend(plan.artifacts(&session.answers.fetches, limit).err().unwrap_or_default());
                problems.extend(plan.environment(&session.answers.fetches, limit).err().unwrap_or_default());
                session.revoke_all();
            }
            Err(more) => problems.extend(more),
        }
    } else {
        problems.extend(unusable(config, &plan));
    }
    let runs_as = [Some(runs_as), exposed].into_iter().flatten().collect();
    let confines = confines(config, what, &plan, caller);
    let explanation = Explanation::new(config, &plan, runs_as, confines, &tried);
    let text = match what.output {
        CheckOutput::Json => explanation.json(&problems),
        CheckOutput::Table(style) => explanation.table(style),
    };
    Ok((text, problems))
}

/// What a start would fail with before it sends anything.
fn unusable(config: &Config, plan: &Plan) -> Vec<Diagnostic> {
    match &config.backends.local {
        Some(path) => Local::open(path).err().unwrap_or_default().into_iter().map(Diagnostic::from).collect(),
        None => unusable_aws(config, plan).into_iter().collect(),
    }
}

/// What a start would fail with at the first secret of AWS that it cannot read: no region, a profile, an address or a proxy that
/// cannot be used. The files of `~/.aws` are read, and nothing is sent.
fn unusable_aws(config: &Config, plan: &Plan) -> Option<Diagnostic> {
    let of_aws = plan.sources.iter().filter_map(|planned| match &planned.source {
        Source::Aws(source) => Some((planned, source)),
        Source::Vault(_) | Source::File(_) => None,
    });
    let secrets = Aws::new(Arc::new(AwsIdentity::new(config.backends.aws.clone(), None)));
    let first = async {
        for (planned, source) in of_aws {
            if let Err(failure) = secrets.check(source).await {
                let text = format!("cannot read {}: {failure}", planned.shown);
                return Some(Diagnostic::new(failure.class.exit(), text));
            }
        }
        None
    };
    runtime().ok()?.block_on(first)
}

/// The user and groups that the app would get, in words.
fn identity(config: &Config, run_as: &RunAsPlan) -> String {
    if run_as.drop.uid() == 0 && config.app.run_as.is_none() {
        return "root, which every mode refuses: set runAs (--run-as USER[:GROUP]), or --run-as 0 if root is meant"
            .to_owned();
    }
    run_as.shown()
}

/// The sandbox of the process that keeps running: the supervisor of a command, else a sidecar. Empty in exec mode.
fn confines(config: &Config, what: &Check, plan: &Plan, caller: &ProcessContext) -> Vec<Vec<String>> {
    let stays = match (&what.command, config.app.supervise) {
        (Some(_), true) => Stays::Supervisor,
        (Some(_), false) => return Vec::new(),
        (None, _) => Stays::Sidecar,
    };
    Confinement::plan(config, plan, &config.volume.path, caller, stays).rows()
}

/// For a write whose response states no expiry: when to issue it again is unknown.
pub(super) const NO_END: &str = "no end that we know, so it is issued again only at a refresh set on it";

/// Describes a fetched value without showing it.
fn described(source: &Source, fetched: &Fetched) -> String {
    let is_written = matches!(source, Source::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)));
    let mut parts = vec!["ok".to_owned()];
    if let Some(version) = &fetched.version {
        parts.push(format!("version {version}"));
    }
    if let Some(lease) = &fetched.lease {
        let renewable = if lease.renewable { "renewable" } else { "not renewable" };
        parts.push(format!("lease of {} s, {renewable}", lease.ttl.as_secs()));
    }
    match fetched.ends {
        Some(Ends::Expires(ttl)) => parts.push(format!("expires in {} s", ttl.as_secs())),
        Some(Ends::WithToken(LONGEST_LIFE)) => parts.push("ends with our token".to_owned()),
        Some(Ends::WithToken(ttl)) => parts.push(format!("expires in {} s, or with our token", ttl.as_secs())),
        Some(Ends::Rotates(ttl)) => parts.push(format!("rotates in {} s", ttl.as_secs())),
        Some(Ends::ReadEvery(interval)) => {
            parts.push(format!("read again every {} s (its own ttl)", interval.as_secs()))
        }
        None if fetched.lease.is_none() && is_written => parts.push(NO_END.to_owned()),
        None => {}
    }
    parts.join(", ")
}

/// Describes every fetched value.
fn answers(fetches: &Fetches) -> BTreeMap<Source, String> {
    fetches.iter().map(|(source, fetched)| (source.clone(), described(source, fetched))).collect()
}
