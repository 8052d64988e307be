//! `check`: the plan as tables a person can read; with `--online` also a login and every reference tried. Never a value.

use std::collections::BTreeMap;

use std::ffi::OsString;

use crate::backend::Backends;
use crate::config::{Config, VaultAuth};
use crate::domain::{Diagnostic, Ends, Fetched, Fetches, LONGEST_LIFE, Mode, Source, VaultOperation};
use crate::plan::{Filling, Plan, access, local_file, policy};
use crate::start::{Session, StartOptions};

use super::app::App;
use super::caller::ProcessContext;
use super::confinement::{Confinement, Stays};
use super::exposure;
use super::modes;
use super::prepare::{preloaded, protected_files};
use super::run_as::RunAsPlan;

use super::table::aligned;

/// What `check` shows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Check {
    /// Also log in and try every reference.
    pub online: bool,
    /// The least policy instead of the plan.
    pub policy: bool,
    /// A `--local` file instead of the plan.
    pub local_skeleton: bool,
    /// The command that would be wrapped, if one was given.
    pub command: Option<Vec<OsString>>,
}

/// The text to show, and what is wrong with what was tried. Leaves nothing behind.
pub fn check(
    config: &Config,
    what: &Check,
    caller: &ProcessContext,
) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (protected, aws_ca) = (protected_files(config, caller), caller.path("AWS_CA_BUNDLE"));
    let mut plan = Plan::make(config, &protected)?;
    let refused = access::refused(config, &plan, &protected, aws_ca.as_deref());
    if !refused.is_empty() {
        return Err(refused);
    }
    if what.policy {
        return Ok((policy::least(config, &plan), Vec::new()));
    }
    if what.local_skeleton {
        return Ok((local_file::local_file(&plan), Vec::new()));
    }
    let wrapping = if config.supervise { Mode::Supervise } else { Mode::Exec };
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
        let session = preloaded(config).map_err(|problem| vec![problem]).and_then(|preloaded| {
            let backends = Backends::connect(config, &plan, &protected, aws_ca)?;
            Session::open(config, &mut plan, &preloaded, backends, &caller.original, StartOptions::fresh())
        });
        match session {
            Ok(mut session) => {
                tried = answers(&session.answers.fetches);
                if what.command.is_some() && !config.supervise {
                    problems.extend(session.refuse_mortals(config).err().unwrap_or_default());
                }
                problems.extend(plan.artifacts(&session.answers.fetches).err().unwrap_or_default());
                problems.extend(plan.environment(&session.answers.fetches).err().unwrap_or_default());
                session.give_back();
            }
            Err(more) => problems.extend(more),
        }
    }
    let runs_as = [Some(runs_as), exposed].into_iter().flatten().collect();
    let confines = confines(config, what, &plan, caller);
    Ok((explain(config, &plan, runs_as, confines, &tried), problems))
}

/// The user and groups that the app would get.
fn identity(config: &Config, run_as: &RunAsPlan) -> String {
    if run_as.drop.uid() == 0 && config.run_as.is_none() {
        return "root, which every mode refuses: set runAs (--run-as USER[:GROUP]), or --run-as 0 if root is meant"
            .to_owned();
    }
    run_as.shown()
}

/// The plan, section by section. `tried` is what each source answered, with `--online`.
fn explain(
    config: &Config,
    plan: &Plan,
    runs_as: Vec<String>,
    confines: Vec<Vec<String>>,
    tried: &BTreeMap<Source, String>,
) -> String {
    let mut out = String::new();
    let mut section = |title: String, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out.push_str(&format!("{title}\n{}\n", aligned(&rows)));
        }
    };
    section("Logs in".to_owned(), logins(config, plan));
    section(format!("Reads ({}, once each)", plan.sources.len()), reads(plan, tried));
    section(format!("Writes files below {} (memory only)", config.volume.path.display()), files(config, plan));
    section("Sets variables".to_owned(), variables(plan));
    section("Runs the app as".to_owned(), runs_as.into_iter().map(|line| vec![line]).collect());
    section("Confines itself".to_owned(), confines);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What stays confined: the supervisor of a command, else a sidecar. In exec mode no process stays.
fn confines(config: &Config, what: &Check, plan: &Plan, caller: &ProcessContext) -> Vec<Vec<String>> {
    let stays = match (&what.command, config.supervise) {
        (Some(_), true) => Stays::Supervisor,
        (Some(_), false) => return Vec::new(),
        (None, _) => Stays::Sidecar,
    };
    Confinement::plan(config, plan, &config.volume.path, caller, stays).rows()
}

fn logins(config: &Config, plan: &Plan) -> Vec<Vec<String>> {
    if let Some(path) = &config.local {
        return vec![vec!["nowhere".to_owned(), format!("{} answers every reference", path.display())]];
    }
    let needs = |wanted: fn(&Source) -> bool| plan.sources.iter().any(|planned| wanted(&planned.source));
    let mut rows = Vec::new();
    if let Some(vault) = config.vault.as_ref().filter(|_| needs(|source| matches!(source, Source::Vault(_)))) {
        let auth = vault.auth.as_ref().map(VaultAuth::to_string).unwrap_or_default();
        let namespace = vault.namespace.as_ref().map(|name| format!("namespace {name}")).unwrap_or_default();
        rows.push(vec![vault.address.clone(), auth, namespace]);
    }
    if needs(|source| matches!(source, Source::Aws(_))) {
        let role = config.aws.assume_role.as_ref().map(|role| format!("as {}", role.arn)).unwrap_or_default();
        let region = config.aws.region.clone().unwrap_or_else(|| "region of the ARN or environment".to_owned());
        rows.push(vec![format!("AWS Secrets Manager ({region})"), "the SDK's default chain".to_owned(), role]);
    }
    rows
}

fn reads(plan: &Plan, tried: &BTreeMap<Source, String>) -> Vec<Vec<String>> {
    plan.sources
        .iter()
        .map(|planned| {
            let answer = tried.get(&planned.source).cloned();
            let name = planned.name.as_ref().map(|name| format!("({name})")).unwrap_or_default();
            let uses = format!("for {}", planned.uses.join(", "));
            answer.into_iter().chain([planned.shown.clone(), name, uses]).collect()
        })
        .collect()
}

fn files(config: &Config, plan: &Plan) -> Vec<Vec<String>> {
    let default = plan.group_access(config).default_mode();
    plan.files
        .iter()
        .map(|file| {
            let mode = file.mode.unwrap_or(default);
            vec![file.name.to_string(), format!("{:04o}", mode.bits()), made_of(&file.filling)]
        })
        .collect()
}

fn variables(plan: &Plan) -> Vec<Vec<String>> {
    let single = plan.variables.iter().map(|variable| vec![variable.name.to_string(), made_of(&variable.filling)]);
    let maps = plan.maps.iter().map(|map| vec![format!("{}*", map.prefix), format!("every key of {}", map.reference)]);
    single.chain(maps).collect()
}

fn made_of(filling: &Filling) -> String {
    match filling {
        Filling::Secret { reference, format, decode } => {
            let format = format.map(|format| format!(", as {format}")).unwrap_or_default();
            let decode = decode.map(|_| ", base64-decoded".to_owned()).unwrap_or_default();
            format!("{reference}{format}{decode}")
        }
        Filling::Template(template) => {
            let references: Vec<_> = template.references().map(ToString::to_string).collect();
            let computed = match template.computed() {
                [] => String::new(),
                [at, ..] => format!("; the path at {at} is computed from a value"),
            };
            match references.as_slice() {
                [] if computed.is_empty() => "a template without secrets".to_owned(),
                [] => format!("a template{computed}"),
                _ => format!("a template of {}{computed}", references.join(", ")),
            }
        }
    }
}

/// Of a write whose answer states no end: when to issue it again is unknown.
pub(super) const NO_END: &str = "no end that we know, so it is issued again only at a refresh set on it";

/// What one answer looks like without its value.
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
        None if fetched.lease.is_none() && is_written => parts.push(NO_END.to_owned()),
        None => {}
    }
    parts.join(", ")
}

fn answers(fetches: &Fetches) -> BTreeMap<Source, String> {
    fetches.iter().map(|(source, fetched)| (source.clone(), described(source, fetched))).collect()
}
