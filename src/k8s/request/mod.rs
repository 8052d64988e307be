//! Parses a pod's annotations and validates them against the injector's config and the mode.

mod validate;
mod annotations;

pub(super) use validate::OWN_MEMORY;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::annotations::PREFIX;
use crate::config::{
    Config, Flag, Injector, Layers, RequestedConfig, Resources, Wraps, is_near_reference, is_setting, resolve,
};
use crate::domain::{Mode, Source};

use super::denial::{Denial, annotation_key, dedup_and_truncate, missing_role, refuse_too_many, sentences};
use super::dialects::{self, Translation};
use super::login::Login;
use super::names::{LINKS_PATH, is_injected_name};
use super::pod::{Container, Pod};
use super::references::references;

/// Kubernetes' limit for all annotations of a pod together, in bytes; it is checked only after admission webhooks.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;
/// The most containers that can get secrets.
const MAX_TARGETS: usize = 1000;
/// The most configuration text that is parsed for containers whose variables differ, in bytes.
const MAX_READ: usize = 512 << 10;
/// What parsing one configuration counts besides its size, in bytes.
const PARSE_OVERHEAD: usize = 2 << 10;
/// The most bytes of configuration that are written into commands.
const MAX_WRITTEN: usize = 2 << 20;

/// A valid request for injection.
#[derive(Debug)]
pub(super) struct InjectionRequest {
    /// How secrets reach the app.
    pub(super) mode: Mode,
    /// The containers that get the secrets, by name.
    pub(super) targets: BTreeSet<String>,
    /// Commands from annotations, by container.
    pub(super) commands: BTreeMap<String, Vec<String>>,
    /// Resources of the injected container.
    pub(super) resources: Resources,
    /// The configuration of the injected program.
    pub(super) admitted: AdmittedConfig,
    /// The identities that the injected program needs.
    pub(super) identity: NeededIdentity,
    /// The user of the injected container and the owner of the files.
    pub(super) file_owner: FileOwner,
    /// The parts of another injector's annotations that are not configuration.
    pub(super) dialect: Translation,
}

/// The whole configuration: the operator's part and the annotations'.
#[derive(Debug)]
pub(super) struct AdmittedConfig {
    /// As flags, which the injected program gets.
    pub(super) arguments: Vec<Flag>,
    /// As the injected program will resolve it.
    pub(super) config: Config,
    /// Config keys that no annotation may set, with their values.
    pub(super) fixed: Vec<(String, String)>,
}

/// The identities that the injected program needs.
#[derive(Debug)]
pub(super) struct NeededIdentity {
    /// The audience of the identity token; `None` if no login needs a token.
    pub(super) audience: Option<String>,
    /// Whether AWS credentials are needed.
    pub(super) needs_aws: bool,
}

/// The parts of a request that do not depend on its configuration.
struct Outline {
    mode: Mode,
    targets: BTreeSet<String>,
    commands: BTreeMap<String, Vec<String>>,
    resources: Resources,
    file_owner: FileOwner,
}

/// The owner of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOwner {
    /// A group that is added to the pod.
    Group(u32),
    /// The app's user and group, which the injected container runs as.
    User(u32, u32),
    /// The user of the wrapped app.
    App,
}

/// Parses the request. `None` if the pod has no relevant annotation, or says `inject: "false"`. `warnings` get what does not
/// prevent the injection, of a pod that is refused too.
pub(super) fn parse(
    pod: &Pod,
    injector: &Injector,
    warnings: &mut Vec<String>,
) -> Result<Option<InjectionRequest>, Denial> {
    if pod.annotations.own.is_empty() && pod.annotations.foreign.is_empty() {
        return Ok(None);
    }
    refuse_too_many(pod.annotations.own.len(), PREFIX)?;
    let bytes = annotation_bytes(pod);
    if bytes > MAX_ANNOTATION_BYTES {
        let (found, most) = (bytes.div_ceil(1 << 10), MAX_ANNOTATION_BYTES >> 10);
        return Err(vec![format!("{found} KiB of annotations; Kubernetes allows {most} KiB")]);
    }
    match annotation(pod, "inject") {
        None | Some("true") => {}
        Some("false") => return Ok(None),
        Some(_) => {
            return Err(vec![format!("annotation {}: expected \"true\" or \"false\"", annotation_key("inject"))]);
        }
    }
    let dialect = dialects::read(pod, injector, warnings)?;
    if pod.annotations.own.is_empty() && dialect.is_none() {
        return Ok(None);
    }
    let mut dialect = dialect.unwrap_or_default();
    warnings.append(&mut dialect.warnings);
    if let (Some((key, _)), Some(setting)) = (pod.annotations.own.first(), dialect.settings.first()) {
        let other = setting.annotation.split('/').next().unwrap_or_default();
        warnings
            .insert(0, format!("{key} stands beside annotations of {other}: where both say something, {PREFIX} wins"));
    }
    let requested = RequestedConfig::read(&pod.annotations.own, &dialect.settings);
    let reader = RequestReader { pod, injector, requested, dialect, denial: Vec::new(), warnings };
    reader.read().map(Some).map_err(|denial| dialects::with_dialect_keys(denial, pod))
}

/// The size of all relevant annotations.
fn annotation_bytes(pod: &Pod) -> usize {
    pod.annotations.own.iter().chain(&pod.annotations.foreign).map(|(key, value)| key.len() + value.len()).sum()
}

/// The first names, for a message, and how many more there are.
fn list_names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 10;
    let mut names = names.into_iter();
    let shown: Vec<&str> = names.by_ref().take(SHOWN).map(String::as_str).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The value of an annotation of this project; `name` is without the prefix.
fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let found = pod.annotations.own.iter().find(|(key, _)| key.strip_prefix(PREFIX) == Some(name));
    found.map(|(_, value)| value.as_str())
}

/// The state while a request is parsed.
struct RequestReader<'a> {
    pod: &'a Pod,
    injector: &'a Injector,
    requested: RequestedConfig,
    dialect: Translation,
    denial: Denial,
    warnings: &'a mut Vec<String>,
}

impl RequestReader<'_> {
    /// Adds a reason to refuse the pod.
    fn deny(&mut self, text: impl Into<String>) {
        self.denial.push(text.into());
    }

    /// Adds a reason to refuse the pod, about an annotation.
    fn deny_annotation(&mut self, name: &str, text: &str) {
        self.denial.push(format!("annotation {}: {text}", annotation_key(name)));
    }

    /// Parses and validates everything; returns all reasons of a denial together, as far as they do not depend on each
    /// other.
    fn read(mut self) -> Result<InjectionRequest, Denial> {
        let Outline { mode, targets, commands, resources, file_owner } = self.outline()?;
        let login = Login::read(&self.requested, self.injector);
        let pinned = self.pinned(mode, file_owner, &login)?;
        let configs = self.resolve(mode, &targets, &pinned, &login)?;
        let references = configs.iter().map(references).collect::<Result<Vec<_>, _>>().map_err(dedup_and_truncate)?;
        let needs_vault = references.iter().any(|all| all.reach(|source| matches!(source, Source::Vault(_))));
        let needs_aws = references.iter().any(|all| all.reach(|source| matches!(source, Source::Aws(_))));
        let needs_aws = needs_aws || (needs_vault && login.method == "aws");
        if needs_aws && !mode.wraps() {
            self.deny_endpoints(&targets);
        }
        let has_login = needs_vault || self.requested.mentions("vault.auth");
        if has_login && login.lacks_role {
            self.deny(missing_role());
        }
        for (config, references) in configs.iter().zip(&references) {
            self.validate_config(mode, &targets, config, references, &login);
        }
        let Some(config) = configs.into_iter().next() else {
            self.deny("names no container");
            return Err(dedup_and_truncate(self.denial));
        };
        self.validate_pod(mode, &targets, &config, &resources);
        if !self.denial.is_empty() {
            return Err(dedup_and_truncate(self.denial));
        }
        let fixed = pinned.iter().filter_map(|flag| flag.value.split_once('='));
        let fixed = fixed.filter(|(key, _)| *key != "volume.owner");
        let fixed = fixed.map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
        let needs_token = if mode.wraps() { has_login } else { needs_vault };
        Ok(InjectionRequest {
            mode,
            targets,
            commands,
            resources,
            admitted: AdmittedConfig { arguments: self.arguments(pinned, has_login), config, fixed },
            identity: NeededIdentity { audience: login.audience.filter(|_| needs_token), needs_aws },
            file_owner,
            dialect: self.dialect,
        })
    }

    /// Reads what does not depend on the configuration. A mistake in it ends the reading, because it would cause further
    /// messages about the same mistake.
    fn outline(&mut self) -> Result<Outline, Denial> {
        match self.pod.os.as_deref() {
            None | Some("linux") => {}
            Some("windows") => self.deny("a pod for Windows; secrets can be injected into Linux pods only"),
            Some(_) => self.deny("a pod for another operating system; secrets can be injected into Linux pods only"),
        }
        let mode = self.mode();
        let targets = self.targets();
        if targets.len() > MAX_TARGETS {
            return Err(vec![format!(
                "{} containers would get the secrets; expected at most {MAX_TARGETS}",
                targets.len()
            )]);
        }
        let written = targets.len() * annotation_bytes(self.pod);
        if mode.wraps() && written > MAX_WRITTEN {
            self.deny(format!(
                "the configuration would be written into the commands of {} containers, {} MiB in all; expected at most {} \
                 MiB: name fewer containers, or shorten the annotations",
                targets.len(),
                written.div_ceil(1 << 20),
                MAX_WRITTEN >> 20
            ));
            return Err(std::mem::take(&mut self.denial));
        }
        let commands = self.commands(mode, &targets);
        if mode.wraps() {
            self.deny_variables(&targets);
        }
        let (resources, file_owner) = (self.resources(), self.file_owner(mode));
        if !self.denial.is_empty() {
            let pairs = self.pod.annotations.own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            self.denial.extend(sentences(&crate::config::annotations::check_all(pairs, &self.dialect.settings)));
            return Err(dedup_and_truncate(std::mem::take(&mut self.denial)));
        }
        Ok(Outline { mode, targets, commands, resources, file_owner })
    }

    /// The operator's part of the configuration as flags: keys that no annotation may set.
    fn pinned(&mut self, mode: Mode, file_owner: FileOwner, login: &Login) -> Result<Vec<Flag>, Denial> {
        let mut also = login.pinned();
        also.extend(self.dialect.operator.iter().map(|(key, text)| (key.as_str(), text.clone())));
        if mode.wraps() && !self.dialect.directories.is_empty() {
            let text =
                format!("files of another injector's annotations need {}: sidecar or init", annotation_key("mode"));
            self.deny_annotation("mode", &text);
            return Err(dedup_and_truncate(std::mem::take(&mut self.denial)));
        }
        if self.dialect.directories.len() > 1 {
            also.push(("volume.links", LINKS_PATH.to_owned()));
        }
        if let FileOwner::Group(gid) = file_owner {
            also.push(("volume.owner", format!(":{gid}")));
        }
        self.injector.pinned(&self.requested, &also).map_err(|mistakes| dedup_and_truncate(sentences(&mistakes)))
    }

    /// The operator's part and the annotations' settings as flags: the injected program reads these and no
    /// annotation. Settings of the login are left out if there is no login.
    fn arguments(&self, operator: Vec<Flag>, is_login: bool) -> Vec<Flag> {
        let mut pinned: BTreeMap<String, String> = self.requested.login();
        let pair = |flag: Flag| flag.value.split_once('=').map(|(key, text)| (key.to_owned(), text.to_owned()));
        pinned.extend(operator.into_iter().filter_map(pair));
        pinned.retain(|key, _| is_login || !key.starts_with("vault.auth."));
        let mut skip = vec!["vault", "aws", "supervise", "volume.path"];
        skip.extend(pinned.keys().map(String::as_str));
        let rest = self.requested.flags(&skip);
        let pinned = pinned.iter().map(|(key, text)| Flag::new("--set", format!("{key}={text}")));
        pinned.chain(rest).collect()
    }

    /// Resolves the configuration as each injected process will: once for each distinct set of relevant variables.
    fn resolve(
        &self,
        mode: Mode,
        targets: &BTreeSet<String>,
        pinned: &[Flag],
        login: &Login,
    ) -> Result<Vec<Config>, Denial> {
        let mut flags = pinned.to_vec();
        if login.lacks_role {
            // Whether Vault is needed is known only after resolving.
            flags.push(Flag::new("--set", "vault.auth.role=unknown"));
        }
        let all = || self.pod.containers.iter().chain(&self.pod.init_containers);
        // Containers with the same relevant variables share one configuration.
        let environments: BTreeSet<Vec<(String, String)>> = if mode.wraps() {
            all().filter(|c| targets.contains(&c.name)).map(environment).collect()
        } else {
            BTreeSet::from([Vec::new()])
        };
        if environments.len() > 1 && environments.len() * (PARSE_OVERHEAD + annotation_bytes(self.pod)) > MAX_READ {
            return Err(vec![format!(
                "{} containers have variables of their own about secrets or settings, and the annotations would have to be \
                 read for each; say these settings in annotations, or name fewer containers with {}",
                environments.len(),
                annotation_key("containers")
            )]);
        }
        let wraps = if mode.wraps() { Wraps::Command } else { Wraps::Nothing };
        let mut configs = Vec::new();
        let mut denial = Vec::new();
        for environment in &environments {
            let layers = Layers {
                environment,
                annotations: Some(crate::config::Annotations::Admitted(
                    &self.pod.annotations.own,
                    &self.dialect.settings,
                )),
                file: None,
                flags: &flags,
                wraps,
            };
            match resolve(&layers) {
                Ok(config) => configs.push(config),
                Err(mistakes) => denial.extend(sentences(&mistakes)),
            }
        }
        if denial.is_empty() { Ok(configs) } else { Err(dedup_and_truncate(denial)) }
    }
}

/// The literal variables of a container that are settings or may be references. Kubelet replaces `$(NAME)`, so
/// values with it are not known here.
fn environment(container: &Container) -> Vec<(String, String)> {
    let known = container.env.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let matters = |name: &str, value: &str| is_setting(name) || is_near_reference(value);
    let known = known.filter(|(name, value)| !value.contains("$(") && matters(name, value));
    known.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a container is an injected one.
pub(super) fn is_own_container(container: &Container) -> bool {
    is_injected_name(&container.name)
}

#[cfg(test)]
mod tests;
