//! Translates annotations of the Agent Injectors of Vault and OpenBao, which are the same below two prefixes.
//!
//! `keys` is the table of all of them, `secrets` translates those that create files, `command` those that run
//! commands, `login` those about the login and TLS.

mod command;
pub(super) mod keys;
mod login;
mod secrets;

use std::collections::BTreeSet;

use crate::config::{Injector, Resources, Setting, nearest};
use crate::domain::Mode;

use super::super::denial::{Denial, dedup_and_truncate, refuse_too_many};
use super::super::pod::{Container, Pod};
use super::super::quantity;
use super::table::{Fate, Key, Value, find};
use super::translation::Translation;
use super::words;

/// Namespaces that the Agent Injector never injects into.
const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];
/// How many unknown annotations get a suggestion.
const MAX_SUGGESTIONS: usize = 20;

/// Whether the pod has the annotation `agent-inject`, whatever its value.
pub(super) fn mentions_injection(pod: &Pod, prefix: &str) -> bool {
    pod.annotations.foreign.iter().any(|(key, _)| key.strip_prefix(prefix) == Some("agent-inject"))
}

/// Translates the annotations below `prefix`; `None` if they ask for no injection. `warnings` get those of a pod that is refused.
pub(super) fn read(
    pod: &Pod,
    prefix: &'static str,
    injector: &Injector,
    warnings: &mut Vec<String>,
) -> Result<Option<Translation>, Denial> {
    let pairs =
        pod.annotations.foreign.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())));
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let said = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    match said("agent-inject").map(words::boolean) {
        Some(Ok(true)) => {}
        Some(Err(expected)) => return Err(vec![format!("annotation {prefix}agent-inject: {expected}")]),
        Some(Ok(false)) | None => return Ok(None),
    }
    // A pod that has an injected container gets what it lacks, even with a status written by another injector.
    let is_injected = pod.containers.iter().chain(&pod.init_containers).any(Container::is_own);
    if said("agent-inject-status") == Some("injected") && !is_injected {
        return Ok(None);
    }
    if let Some(namespace) = pod.namespace.as_deref().filter(|namespace| SYSTEM_NAMESPACES.contains(namespace)) {
        return Err(vec![format!("nothing is injected into pods of {namespace}; leave {prefix}agent-inject out")]);
    }
    refuse_too_many(pairs.len(), prefix)?;
    let mut reader = Reader { pod, prefix, injector, pairs, made: Translation::default(), denial: Denial::new() };
    reader.read();
    if reader.denial.is_empty() {
        return Ok(Some(reader.made));
    }
    warnings.append(&mut reader.made.warnings);
    Err(dedup_and_truncate(reader.denial))
}

/// The state while annotations are translated.
struct Reader<'a> {
    pod: &'a Pod,
    prefix: &'static str,
    injector: &'a Injector,
    /// Annotations without their prefix, in the order of their keys.
    pairs: Vec<(&'a str, &'a str)>,
    made: Translation,
    denial: Denial,
}

impl<'a> Reader<'a> {
    /// The value of an annotation; `None` if it is absent.
    fn value(&self, name: &str) -> Option<&'a str> {
        let at = self.pairs.binary_search_by_key(&name, |(key, _)| key).ok()?;
        Some(self.pairs[at].1)
    }

    /// The value of an annotation that is not empty.
    fn filled(&self, name: &str) -> Option<&'a str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// The value of a boolean annotation; `default` if it is absent or malformed, which is refused elsewhere.
    fn is_set(&self, name: &str, default: bool) -> bool {
        self.value(name).map_or(default, |value| words::boolean(value).unwrap_or(default))
    }

    /// Adds a reason to refuse the pod.
    fn deny(&mut self, name: &str, text: &str) {
        self.denial.push(format!("annotation {}{name}: {text}", self.prefix));
    }

    /// Adds a warning.
    fn warn(&mut self, name: &str, text: &str) {
        self.made.warnings.push(format!("annotation {}{name}: {text}", self.prefix));
    }

    /// Adds a setting of the config at `path`.
    fn set(&mut self, annotation: &str, path: &[&str], value: impl Into<String>) {
        self.made.settings.push(Setting {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            values: vec![value.into()],
            annotation: format!("{}{annotation}", self.prefix),
        });
    }

    /// Translates all annotations.
    fn read(&mut self) {
        self.check_values();
        self.mode_and_containers();
        self.user();
        self.resources();
        self.login();
        self.tls();
        let done = self.files();
        self.commands(&done);
        self.times();
        self.logs();
    }

    /// Checks every annotation against the table: malformed values, ignored and denied annotations, unknown ones.
    fn check_values(&mut self) {
        let mut unknown = 0;
        for (key, value) in self.pairs.clone() {
            let Some((row, _)) = find(keys::KEYS, key) else {
                unknown += 1;
                if unknown <= MAX_SUGGESTIONS {
                    let known = keys::KEYS.iter().map(|row| row.name);
                    let meant = nearest(key, known).map(|name| format!("; did you mean {}{name}?", self.prefix));
                    self.warn(key, &format!("unknown, and ignored{}", meant.unwrap_or_default()));
                }
                continue;
            };
            if let Err(expected) = check(row, value) {
                self.deny(key, &expected);
                continue;
            }
            let says_something = match row.value {
                Value::Bool => words::boolean(value) == Ok(true),
                _ => !value.trim().is_empty(),
            };
            match row.fate {
                Fate::Denied(why) if says_something => self.deny(key, why),
                Fate::Ignored(why) if says_something => self.warn(key, &format!("ignored: {why}")),
                Fate::Honoured(_) | Fate::Denied(_) | Fate::Ignored(_) => {}
            }
        }
    }

    /// Translates the mode, the containers that get the files, and whether processes are shared.
    fn mode_and_containers(&mut self) {
        let is_populated = self.is_set("agent-pre-populate", true);
        if self.is_set("agent-pre-populate-only", false) {
            if !is_populated {
                self.deny("agent-pre-populate-only", "with agent-pre-populate: false nothing would be injected at all");
            }
            self.made.mode = Some(Mode::Init);
            self.set("agent-pre-populate-only", &["leaveLeases"], "true");
        }
        let containers = self.containers(is_populated);
        const NAMED: &str = "agent-inject-containers";
        if containers.is_empty() && self.value(NAMED).is_some() {
            let apps = self.pod.containers.iter().filter(|c| !c.is_own()).map(|c| c.name.as_str());
            let text = format!("names no container of this pod, which has {}", apps.collect::<Vec<_>>().join(", "));
            self.deny(NAMED, &text);
        }
        self.warn_of_missing_containers(NAMED);
        self.made.containers = Some(containers);
        if self.is_set("agent-share-process-namespace", false) {
            if self.pod.security.shares_processes == Some(false) {
                self.deny("agent-share-process-namespace", "spec.shareProcessNamespace of the pod says false");
            }
            self.made.shares_processes = true;
        }
    }

    /// Warns of names in this annotation that no container has. As theirs, a blank is part of a name.
    fn warn_of_missing_containers(&mut self, annotation: &str) {
        let Some(list) = self.value(annotation) else { return };
        let known: BTreeSet<&str> = self.pod.containers.iter().map(|c| c.name.as_str()).collect();
        let named: BTreeSet<&str> = list.split(',').filter(|name| !name.is_empty()).collect();
        for name in named.difference(&known).take(MAX_SUGGESTIONS) {
            self.warn(annotation, &format!("this pod has no container {name:?}"));
        }
    }

    /// The containers that get the files: every app container or the named ones, and the init containers after the
    /// injected one.
    fn containers(&self, is_populated: bool) -> BTreeSet<String> {
        let apps = || self.pod.containers.iter().filter(|c| !c.is_own());
        let served: BTreeSet<String> = apps().filter(|c| c.is_injected()).map(|c| c.name.clone()).collect();
        let mut names: BTreeSet<String> = match self.value("agent-inject-containers") {
            Some(list) => {
                let named: BTreeSet<&str> = list.split(',').collect();
                apps().filter(|c| named.contains(c.name.as_str())).map(|c| c.name.clone()).collect()
            }
            None if !served.is_empty() => served,
            None => apps().map(|c| c.name.clone()).collect(),
        };
        if is_populated {
            // An init container before the injected one would find no files.
            let own_place = self.pod.init_containers.iter().position(Container::is_own);
            let stays = self.pod.init_containers.iter().rposition(|c| c.stays && !c.is_own());
            let first = own_place.or(stays.map(|at| at + 1)).unwrap_or(0);
            let later = self.pod.init_containers.iter().skip(first).filter(|c| !c.is_own());
            names.extend(later.map(|c| c.name.clone()));
        }
        names
    }

    /// Translates user and group of the injected container; refuses root.
    fn user(&mut self) {
        const ROOT: &str = "root is refused here; leave it out: the files are readable for every user of the pod";
        let number = |name: &str| self.filled(name).and_then(|value| value.parse::<u32>().ok());
        let (user, group) = (number("agent-run-as-user"), number("agent-run-as-group"));
        for name in ["agent-run-as-user", "agent-run-as-group"] {
            if let Some(value) = self.filled(name) {
                match value.parse::<u32>() {
                    Ok(0) => self.deny(name, ROOT),
                    Ok(id) if id < u32::MAX => {}
                    _ => self.deny(name, "expected a number that is not 0, such as 1000"),
                }
            }
        }
        let mut user = user;
        if self.is_set("agent-run-as-same-user", false) {
            let first = self.pod.containers.iter().find(|c| !c.is_own()).and_then(|c| c.ids.user);
            match first.and_then(|uid| u32::try_from(uid).ok()) {
                Some(0) => {
                    self.deny("agent-run-as-same-user", "the first container runs as root, which is refused here")
                }
                Some(uid) => user = Some(uid),
                None => {
                    let text = "securityContext.runAsUser of the first container is missing; set it, or leave this out";
                    self.deny("agent-run-as-same-user", text);
                }
            }
        }
        if user.is_some() || group.is_some() {
            self.made.user = Some((user.unwrap_or(DEFAULT_USER), group.unwrap_or(DEFAULT_GROUP)));
        }
    }

    /// Translates the resources: the operator's, overridden by the annotations.
    fn resources(&mut self) {
        let mut all = self.injector.resources.clone();
        let mut is_said = false;
        for (name, unit) in [("cpu", "cpu"), ("mem", "memory"), ("ephemeral", "ephemeral-storage")] {
            let request = self.filled(&format!("agent-requests-{name}"));
            let limit = self.filled(&format!("agent-limits-{name}"));
            is_said |= request.is_some() || limit.is_some();
            if let Some(limit) = limit {
                all.limits.insert(unit.to_owned(), limit.to_owned());
            }
            if let (Some(request), Some(limit)) = (request, limit)
                && quantity::thousandths(request) > quantity::thousandths(limit)
            {
                let text = format!("it is more than agent-limits-{name} ({limit}), which Kubernetes refuses");
                self.deny(&format!("agent-requests-{name}"), &text);
            }
            match request {
                Some(request) => {
                    all.requests.insert(unit.to_owned(), request.to_owned());
                    if limit.is_none() {
                        raise_limit(&mut all, unit);
                    }
                }
                None => lower_request(&mut all, unit),
            }
        }
        self.made.resources = is_said.then_some(all);
    }

    /// Translates the intervals of refresh and renewal, and the delay before revocation.
    fn times(&mut self) {
        const GRACE: &str = "agent-revoke-grace";
        const INTERVAL: &str = "template-static-secret-render-interval";
        const THRESHOLD: &str = "template-lease-renewal-threshold";
        if self.made.mode == Some(Mode::Init) {
            return;
        }
        let grace = self.filled(GRACE).and_then(|value| words::count(value).ok()).filter(|seconds| *seconds > 0);
        if let (Some(seconds), true) = (grace, self.is_set("agent-revoke-on-shutdown", false)) {
            self.set(GRACE, &["revokeDelay"], format!("{seconds}s"));
        }
        if let Some(Ok(interval)) = self.filled(INTERVAL).map(words::duration) {
            self.set(INTERVAL, &["refresh", "vault"], format!("{}s", interval.as_secs().max(1)));
        }
        if let Some(text) = self.filled(THRESHOLD) {
            match text.parse::<f64>() {
                Ok(part) if (0.0..=1.0).contains(&part) => {
                    let percent = (part * 100.0).round();
                    self.set(THRESHOLD, &["renewal", "at"], format!("{percent}%"));
                }
                _ => self.deny(THRESHOLD, "expected a part of the lease, such as 0.6"),
            }
        }
    }

    /// Translates level and format of the log.
    fn logs(&mut self) {
        if let Some(level) = self.filled("log-level") {
            let level = match level.to_ascii_lowercase().as_str() {
                "warning" => "warn".to_owned(),
                "err" => "error".to_owned(),
                other => other.to_owned(),
            };
            self.set("log-level", &["logLevel"], level);
        }
        match self.filled("log-format").map(str::to_ascii_lowercase).as_deref() {
            None => {}
            Some("standard") => self.set("log-format", &["logFormat"], "text"),
            Some("json") => self.set("log-format", &["logFormat"], "json"),
            Some(_) => self.deny("log-format", "expected standard or json"),
        }
    }
}

/// User and group of Vault's agent, used where annotations set only the other one.
const DEFAULT_USER: u32 = 100;
const DEFAULT_GROUP: u32 = 1000;

/// Lowers a request to the limit, where no annotation sets the request.
fn lower_request(all: &mut Resources, unit: &str) {
    let (Some(request), Some(limit)) = (all.requests.get(unit), all.limits.get(unit)) else { return };
    if quantity::thousandths(request) > quantity::thousandths(limit) {
        let limit = limit.clone();
        all.requests.insert(unit.to_owned(), limit);
    }
}

/// Raises a limit to the request, where no annotation sets the limit.
fn raise_limit(all: &mut Resources, unit: &str) {
    let (Some(request), Some(limit)) = (all.requests.get(unit), all.limits.get(unit)) else { return };
    if quantity::thousandths(request) > quantity::thousandths(limit) {
        let request = request.clone();
        all.limits.insert(unit.to_owned(), request);
    }
}

/// Checks a value against the type of its row.
fn check(row: &Key, value: &str) -> Result<(), String> {
    match row.value {
        Value::Any => Ok(()),
        Value::Bool => words::boolean(value).map(drop),
        Value::Integer => words::integer(value).map(drop),
        Value::Count => words::count(value).map(drop),
        Value::Quantity if value.is_empty() || quantity::thousandths(value).is_some() => Ok(()),
        Value::Quantity => Err("expected a quantity such as 250m or 64Mi".to_owned()),
        Value::Duration if value.is_empty() => Ok(()),
        Value::Duration => words::duration(value).map(drop),
    }
}
