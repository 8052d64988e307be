//! The plan as `check` shows it: tables for people, or one JSON object. Never a value.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::config::{Config, VaultAuth};
use crate::domain::{Diagnostic, Source};
use crate::plan::{Filling, Plan};

use super::table::{Style, aligned};

/// Everything that a start would do. The names of the fields are those of the JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    logins: Vec<Login>,
    reads: Vec<Read>,
    volume: String,
    files: Vec<File>,
    variables: Vec<Variable>,
    runs_as: Vec<String>,
    confinement: Vec<Confined>,
}

/// A login to a backend.
#[derive(Debug, Serialize)]
struct Login {
    backend: &'static str,
    address: String,
    auth: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// One source that is read.
#[derive(Debug, Serialize)]
struct Read {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    uses: Vec<String>,
    /// How a Go template's path without `data/` is read on a mount of KV version 2.
    #[serde(rename = "onKv2", skip_serializing_if = "Option::is_none")]
    on_kv2: Option<&'static str>,
    /// A description of the fetched value, with `--online`.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// A file that is written.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    mode: String,
    from: String,
}

/// A variable (or the variables of an `envFrom` map) that is set.
#[derive(Debug, Serialize)]
struct Variable {
    /// A name, or a prefix and `*`.
    name: String,
    from: String,
}

/// One part of the sandbox.
#[derive(Debug, Serialize)]
struct Confined {
    what: String,
    how: String,
}

impl Explanation {
    /// Describes the plan. `tried` describes the fetched value of each source, with `--online`.
    pub(super) fn new(
        config: &Config,
        plan: &Plan,
        runs_as: Vec<String>,
        confines: Vec<Vec<String>>,
        tried: &BTreeMap<Source, String>,
    ) -> Self {
        let confined = |row: Vec<String>| {
            let mut cells = row.into_iter();
            Confined { what: cells.next().unwrap_or_default(), how: cells.next().unwrap_or_default() }
        };
        Self {
            logins: logins(config, plan),
            reads: reads(plan, tried),
            volume: config.volume.path.display().to_string(),
            files: files(config, plan),
            variables: variables(plan),
            runs_as,
            confinement: confines.into_iter().map(confined).collect(),
        }
    }

    /// The plan and the problems as one JSON object.
    pub(super) fn json(&self, problems: &[Diagnostic]) -> String {
        let mut object = json!(self);
        object["ok"] = json!(problems.is_empty());
        object["problems"] = listed(problems);
        format!("{object}\n")
    }

    /// The plan as tables, one for each section.
    pub(super) fn table(&self, style: Style) -> String {
        let mut out = String::new();
        let mut section = |title: String, rows: Vec<Vec<String>>| {
            if !rows.is_empty() {
                out.push_str(&format!("{}\n{}\n", style.title(&title), style.answers(aligned(&rows))));
            }
        };
        let logins = self.logins.iter().map(|login| {
            let namespace = login.namespace.as_ref().map(|name| format!("namespace {name}"));
            let role = login.role.as_ref().map(|role| format!("as {role}"));
            vec![login.address.clone(), login.auth.clone(), namespace.or(role).unwrap_or_default()]
        });
        section("Logs in".to_owned(), logins.collect());
        let reads = self.reads.iter().map(|read| {
            let name = read.name.as_ref().map(|name| format!("({name})")).unwrap_or_default();
            let on_kv2 = read.on_kv2.map(|how| format!(" ({how})")).unwrap_or_default();
            let uses = format!("for {}{on_kv2}", read.uses.join(", "));
            read.answer.clone().into_iter().chain([read.reference.clone(), name, uses]).collect()
        });
        section(format!("Reads ({}, once each)", self.reads.len()), reads.collect());
        let files = self.files.iter().map(|file| vec![file.name.clone(), file.mode.clone(), file.from.clone()]);
        section(format!("Writes files below {} (memory only)", self.volume), files.collect());
        let variables = self.variables.iter().map(|variable| vec![variable.name.clone(), variable.from.clone()]);
        section("Sets variables".to_owned(), variables.collect());
        section("Runs the app as".to_owned(), self.runs_as.iter().map(|line| vec![line.clone()]).collect());
        let confined = self.confinement.iter().map(|row| vec![row.what.clone(), row.how.clone()]);
        section("Confines itself".to_owned(), confined.collect());
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }
}

/// The output of `check --json` without a plan: the problems as one JSON object.
pub fn problems_as_json(problems: &[Diagnostic]) -> String {
    format!("{}\n", json!({ "ok": false, "problems": listed(problems) }))
}

/// The problems as a JSON array.
fn listed(problems: &[Diagnostic]) -> serde_json::Value {
    problems.iter().map(|problem| json!({ "exit": problem.exit.code(), "text": problem.text })).collect()
}

/// The logins that the plan needs.
fn logins(config: &Config, plan: &Plan) -> Vec<Login> {
    if let Some(path) = &config.backends.local {
        let auth = format!("{} answers every reference", path.display());
        return vec![Login { backend: "local", address: "nowhere".to_owned(), auth, namespace: None, role: None }];
    }
    let needs = |wanted: fn(&Source) -> bool| plan.sources.iter().any(|planned| wanted(&planned.source));
    let mut logins = Vec::new();
    if let Some(vault) =
        config.backends.vault.as_ref().filter(|_| needs(|source| matches!(source, Source::Vault(_))) || plan.computes())
    {
        let auth = vault.auth.as_ref().map(VaultAuth::to_string).unwrap_or_default();
        let (address, namespace) = (vault.address.clone(), vault.namespace.clone());
        logins.push(Login { backend: "vault", address, auth, namespace, role: None });
    }
    if needs(|source| matches!(source, Source::Aws(_))) {
        let role = config.backends.aws.assume_role.as_ref().map(|role| role.arn.clone());
        let region =
            config.backends.aws.region.clone().unwrap_or_else(|| "region of the ARN or environment".to_owned());
        let address = format!("AWS Secrets Manager ({region})");
        let auth = "the SDK's default chain".to_owned();
        logins.push(Login { backend: "aws", address, auth, namespace: None, role });
    }
    logins
}

/// The sources that are read.
fn reads(plan: &Plan, tried: &BTreeMap<Source, String>) -> Vec<Read> {
    let read = |planned: &crate::plan::Planned| Read {
        reference: planned.shown.clone(),
        name: planned.name.clone(),
        uses: planned.uses.clone(),
        on_kv2: plan.may_lack_data(planned).then_some("on a KV version 2 mount read as MOUNT/data/..."),
        answer: tried.get(&planned.source).cloned(),
    };
    plan.sources.iter().map(read).collect()
}

/// The files that are written.
fn files(config: &Config, plan: &Plan) -> Vec<File> {
    let default = plan.group_access(config).default_mode();
    let shown = |file: &crate::plan::PlannedFile| File {
        name: file.name.to_string(),
        mode: format!("{:04o}", file.mode.unwrap_or(default).bits()),
        from: made_of(&file.filling),
    };
    plan.files.iter().map(shown).collect()
}

/// The variables that are set.
fn variables(plan: &Plan) -> Vec<Variable> {
    let single = plan
        .variables
        .iter()
        .map(|variable| Variable { name: variable.name.to_string(), from: made_of(&variable.filling) });
    let maps = plan
        .maps
        .iter()
        .map(|map| Variable { name: format!("{}*", map.prefix), from: format!("every key of {}", map.reference) });
    single.chain(maps).collect()
}

/// What a file or variable is made of, in words.
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
