//! Translates another injector's annotations to annotations of this project.

use std::collections::BTreeMap;

use crate::config::{Dialect, GoOptions, Injector, Setting, annotations as own};
use crate::domain::Mode;
use crate::render::gotemplate::{self, Simpler};

use super::super::super::dialects::{self, Translation};
use super::super::super::pod::Pod;
use super::super::doc::Doc;
use super::super::write;

/// Annotations without the prefix, and other changes of the pod.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) annotations: Vec<(String, String)>,
    pub(super) shares_processes: bool,
    pub(super) warnings: Vec<String>,
}

/// The default directory of the files.
const VOLUME: &str = "/run/secret-exec/files";

/// Translates a pod's annotations; `None` if it has none of another injector that ask for injection. Returns every
/// obstacle as an error.
pub(super) fn read(
    pod: &Doc,
    namespace: Option<&str>,
    injector: &Injector,
) -> Result<Option<Annotations>, Vec<String>> {
    let mut pod = Pod::read(&pod.to_json(), &Dialect::ALL).map_err(|error| vec![error])?;
    pod.namespace = pod.namespace.or_else(|| namespace.map(str::to_owned));
    let Some(translation) = dialects::read(&pod, injector, &mut Vec::new())? else { return Ok(None) };
    let mut made = Annotations::default();
    let obstacles = obstacles(&translation);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    made.injection(&translation, &pod);
    let files = Files::read(&translation.settings);
    let rest = translation.settings.iter().filter(|setting| setting.path[0] != "files");
    made.settings(rest, files);
    made.warnings.extend(translation.warnings);
    Ok(Some(made))
}

/// Parts of a translation that annotations of this project cannot express.
fn obstacles(made: &Translation) -> Vec<String> {
    let mut found = Vec::new();
    if made.directories.len() > 1 {
        found.push(format!(
            "files in several directories ({}): ours stand in one; give them one secret-volume-path, and the app the new paths",
            made.directories.join(", ")
        ));
    }
    if made.tls.is_some() {
        found.push(
            "tls-secret, ca-cert: a private CA is the operator's vault.ca in the injector's config, for all pods; set it there and \
             leave these out"
                .to_owned(),
        );
    }
    if made.containers.as_ref().is_some_and(|names| names.is_empty()) {
        found.push("no container would get the secrets; see agent-inject-containers".to_owned());
    }
    found
}

impl Annotations {
    /// Adds an annotation; `key` is without the prefix.
    fn add(&mut self, key: &str, value: impl Into<String>) {
        self.annotations.push((key.to_owned(), value.into()));
    }

    /// Adds the annotations for mode, containers, directory, resources and user.
    fn injection(&mut self, translation: &Translation, pod: &Pod) {
        if let Some(mode) = translation.mode.filter(|mode| *mode != Mode::Sidecar) {
            self.add("mode", mode.name());
        }
        let names: Vec<&str> = translation.containers.iter().flatten().map(String::as_str).collect();
        let is_default =
            matches!((names.as_slice(), pod.containers.as_slice()), ([name], [only]) if *name == only.name);
        if !names.is_empty() && !is_default {
            self.add("containers", names.join(","));
        }
        if let [directory] = translation.directories.as_slice()
            && directory != VOLUME
        {
            self.add("volume", directory);
        }
        if let Some(resources) = &translation.resources {
            let json = serde_json::json!({ "limits": resources.limits, "requests": resources.requests });
            self.add("resources", json.to_string());
        }
        let signals = |value: &String| value.starts_with("signal:");
        let has_signal = translation.settings.iter().any(|s| s.path == ["onChange"] && s.values.iter().any(signals));
        match translation.user {
            None => {}
            // A signal reaches only processes of the same user.
            Some((user, group)) if has_signal => self.add("run-as", format!("{user}:{group}")),
            Some(_) => self.warnings.push(
                "the user of their agent is left out: the injected container has its own, and files are readable for the pod's \
                 group (secret-exec.dev/run-as: \"UID:GID\" makes them one user's own)"
                    .to_owned(),
            ),
        }
        self.shares_processes = translation.shares_processes;
    }

    /// Adds the settings as annotations; what has no annotation of its own goes to `config`.
    fn settings<'a>(&mut self, rest: impl Iterator<Item = &'a Setting>, files: Files) {
        let mut config: Vec<(String, Doc)> = Vec::new();
        for setting in rest {
            let path: Vec<&str> = setting.path.iter().map(String::as_str).collect();
            match (path.as_slice(), setting.values.as_slice()) {
                (["vault", "auth", "role"], [role]) => self.add("vault-role", role),
                ([list, "[]", field], values) => {
                    let item = |value: &String| Doc::Map(vec![((*field).to_owned(), Doc::Text(value.clone()))]);
                    config.push(((*list).to_owned(), Doc::List(values.iter().map(item).collect())));
                }
                ([list, "[]"], values) => {
                    config.push(((*list).to_owned(), Doc::List(values.iter().cloned().map(Doc::Text).collect())));
                }
                (path, [value]) => self.add(&own::option_key(path), value),
                ([list], values) => {
                    config.push(((*list).to_owned(), Doc::List(values.iter().cloned().map(Doc::Text).collect())));
                }
                _ => unreachable!("settings have one value, or are lists"),
            }
        }
        if files.is_go {
            self.add("template-language", "go");
        }
        let mut below = Vec::new();
        for (name, file) in files.all {
            match file.as_slice() {
                [(field, Doc::Text(text))] if field == "from" && own::is_name(&name) => {
                    self.add(&format!("file.{name}"), text);
                }
                [(field, Doc::Text(text))] if field == "template" && own::is_name(&name) => {
                    self.add(&format!("template.{name}"), text);
                }
                _ => below.push((name, Doc::Map(file))),
            }
        }
        if !below.is_empty() {
            config.push(("files".to_owned(), Doc::Map(below)));
        }
        if !config.is_empty() {
            self.add("config", write::yaml(&Doc::Map(config)));
        }
    }
}

/// The files that the settings define.
struct Files {
    /// Name and fields of each file.
    all: Vec<(String, Vec<(String, Doc)>)>,
    /// Whether their templates are Go templates.
    is_go: bool,
}

impl Files {
    /// Collects the fields of each file, with a reference or a Jinja template instead of a Go template where possible.
    fn read(settings: &[Setting]) -> Self {
        let mut fields: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for setting in settings {
            let ([map, name, field], [value]) = (setting.path.as_slice(), setting.values.as_slice()) else { continue };
            if map == "files" {
                fields.entry(name).or_default().push((field, value));
            }
        }
        let simpler: BTreeMap<&str, Option<Simpler>> =
            fields.iter().map(|(name, fields)| (*name, simpler(fields))).collect();
        // A pod has one template language: Jinja if every template can be translated.
        let is_go = fields
            .iter()
            .any(|(name, fields)| simpler[name].is_none() && fields.iter().any(|(field, _)| *field == "template"));
        let all = fields.iter().map(|(name, fields)| {
            let by_reference = match &simpler[name] {
                Some(Simpler::Reference(reference)) => Some(("from", reference.as_str())),
                Some(Simpler::Jinja(text)) if !is_go => Some(("template", text.as_str())),
                _ => None,
            };
            let is_simpler = by_reference.is_some();
            let kept = fields.iter().copied().filter(move |(field, _)| match *field {
                "language" => false,
                "template" | "leftDelimiter" | "rightDelimiter" | "errorOnMissingKey" => !is_simpler,
                _ => true,
            });
            let file = by_reference.into_iter().chain(kept).map(|(field, text)| (field.to_owned(), value(field, text)));
            ((*name).to_owned(), file.collect())
        });
        Self { all: all.collect(), is_go }
    }
}

/// The value of a file's field.
fn value(field: &str, text: &str) -> Doc {
    if field == "errorOnMissingKey" { Doc::Bool(text == "true") } else { Doc::Text(text.to_owned()) }
}

/// A reference or a Jinja template that is equivalent to a file's Go template, if there is one.
fn simpler(fields: &[(&str, &str)]) -> Option<Simpler> {
    let field = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, text)| *text);
    let text = field("template").filter(|_| field("language") == Some("go"))?;
    let mut options = GoOptions::default();
    if let Some(left) = field("leftDelimiter") {
        options.left = left.to_owned();
    }
    if let Some(right) = field("rightDelimiter") {
        options.right = right.to_owned();
    }
    gotemplate::simpler(text, &options)
}
