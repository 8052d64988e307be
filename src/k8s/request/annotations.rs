//! Reads the annotations that only the injector uses: mode, containers, commands, resources and the files' owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::annotations::PREFIX;
use crate::config::{Config, Place, Resources, is_near_reference, is_steering, is_token, nearest};
use crate::domain::Mode;

use super::super::denial::{alternatives_for_root, annotation_key, sentences};
use super::{FileOwner, RequestReader, annotation, is_own_container, list_names};

impl RequestReader<'_> {
    /// The mode; an unknown one is denied.
    pub(super) fn mode(&mut self) -> Mode {
        let Some(text) = annotation(self.pod, "mode") else { return self.dialect.mode.unwrap_or(Mode::Sidecar) };
        if let Some(mode) = Mode::parse(text) {
            return mode;
        }
        let meant = nearest(text, Mode::ALL.map(Mode::name)).map(|name| format!("; did you mean {name}?"));
        let text = format!("expected sidecar, init, exec or supervise{}", meant.unwrap_or_default());
        self.deny_annotation("mode", &text);
        Mode::Sidecar
    }

    /// The containers that get secrets: those named, else those injected already, else the only or default one.
    pub(super) fn targets(&mut self) -> BTreeSet<String> {
        let pod = self.pod;
        let all = || pod.containers.iter().chain(&pod.init_containers).filter(|c| !is_own_container(c));
        let names = || all().map(|c| c.name.as_str()).collect::<Vec<_>>();
        if let Some(text) = annotation(pod, "containers") {
            let named: BTreeSet<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            let known: BTreeSet<&str> = all().map(|c| c.name.as_str()).collect();
            let (there, missing): (Vec<&str>, Vec<&str>) = named.iter().partition(|name| known.contains(*name));
            if there.is_empty() {
                let text = format!("names no container of this pod, which has {}", names().join(", "));
                self.deny_annotation("containers", &text);
            } else if !missing.is_empty() {
                let text = format!(
                    "annotation {}: no container {} here yet",
                    annotation_key("containers"),
                    missing.join(", ")
                );
                self.warnings.push(text);
            }
            return there.into_iter().map(str::to_owned).collect();
        }
        if let Some(named) = self.dialect.containers.clone() {
            if named.is_empty() {
                self.deny(format!("names no container of this pod, which has {}", names().join(", ")));
            }
            return named;
        }
        let served: BTreeSet<_> = all().filter(|c| c.is_injected()).map(|c| c.name.clone()).collect();
        if !served.is_empty() {
            return served;
        }
        let apps: Vec<_> = pod.containers.iter().filter(|c| !is_own_container(c)).map(|c| c.name.clone()).collect();
        match (apps.as_slice(), &pod.annotations.default_container) {
            ([only], _) => BTreeSet::from([only.clone()]),
            (many, Some(default)) if many.contains(default) => BTreeSet::from([default.clone()]),
            ([], _) => {
                self.deny("the pod has no containers");
                BTreeSet::new()
            }
            (many, _) => {
                let text = format!(
                    "the pod has several containers; say which get the secrets: {}: {}",
                    annotation_key("containers"),
                    many.join(",")
                );
                self.deny(text);
                BTreeSet::new()
            }
        }
    }

    /// The commands of wrapped containers in `command.NAME` annotations, by container name.
    pub(super) fn commands(&mut self, mode: Mode, targets: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
        let mut commands = BTreeMap::new();
        for (key, value) in &self.pod.annotations.own {
            let Some(name) = key.strip_prefix(PREFIX).and_then(|key| key.strip_prefix("command.")) else { continue };
            if name.is_empty() {
                continue; // an unknown annotation, reported with the others
            }
            if !mode.wraps() {
                self.deny(format!("annotation {key}: only with {}: exec or supervise", annotation_key("mode")));
            } else if self.is_named_but_missing(name) {
                // A later webhook may add the container, and then this one is called again. `targets` has warned.
            } else if !targets.contains(name) {
                let known = list_names(targets);
                self.deny(format!(
                    "annotation {key}: secrets go to {known}, not to {name}; see {}",
                    annotation_key("containers")
                ));
            }
            match serde_json::from_str::<Vec<String>>(value) {
                Ok(words) if words.first().is_some_and(|word| !word.is_empty()) => {
                    commands.insert(name.to_owned(), words);
                }
                _ => self
                    .deny(format!("annotation {key}: expected a JSON array such as [\"/app/server\", \"--port=80\"]")),
            }
        }
        commands
    }

    /// Whether the annotation `containers` names a container that does not exist yet.
    fn is_named_but_missing(&self, name: &str) -> bool {
        let is_named = annotation(self.pod, "containers").is_some_and(|text| text.split(',').any(|c| c.trim() == name));
        let mut all = self.pod.containers.iter().chain(&self.pod.init_containers);
        is_named && !all.any(|container| container.name == name)
    }

    /// Denies variables of a wrapped container that would redirect the login or the backend. `--pinned` ignores
    /// them at run time; this tells their author.
    pub(super) fn deny_variables(&mut self, targets: &BTreeSet<String>) {
        let pod = self.pod;
        let is_bank_vaults = self.dialect.settings.iter().any(|setting| setting.path == ["inherit"])
            || annotation(pod, "inherit").is_some_and(|text| text.contains("bank-vaults"));
        let is_meant = |name: &str, value: Option<&str>| {
            is_steering(name, value) && !(is_bank_vaults && value.is_some_and(|value| is_token(name, value)))
        };
        for container in pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name)) {
            for (name, _) in container.env.iter().filter(|(name, value)| is_meant(name, value.as_deref())) {
                let text = if is_steering(name, None) {
                    format!(
                        "the variable {name} would say which backend is asked and how, which only the operator and the \
                         annotations do; leave it out, or let the app have it under another name"
                    )
                } else {
                    not_the_platforms(name)
                };
                self.deny(format!("container {}: {text}", container.name));
            }
        }
    }

    /// Denies variables of an AWS identity, which a sidecar copies from its app, that would send the identity to a
    /// foreign endpoint.
    pub(super) fn deny_endpoints(&mut self, targets: &BTreeSet<String>) {
        let pod = self.pod;
        for container in pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name)) {
            for (name, value) in container.env.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                if is_steering(name, Some(value)) && !is_steering(name, None) {
                    self.deny(format!("container {}: {}", container.name, not_the_platforms(name)));
                }
            }
        }
    }

    /// Denies references in the environment of an app that is not wrapped: they would reach it unresolved.
    /// `passEnv` permits one.
    pub(super) fn deny_references(&mut self, mode: Mode, targets: &BTreeSet<String>, config: &Config) {
        let pod = self.pod;
        for container in pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name)) {
            let literal = container.env.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let references = literal.filter(|(name, value)| is_near_reference(value) && !config.passes(name));
            let names: Vec<&String> = references.map(|(name, _)| name).collect();
            if !names.is_empty() {
                self.deny(format!(
                    "container {}: what looks like a reference in {} would reach the app as it is, since nobody resolves it in \
                     mode {mode}; use {}: exec or supervise, or {}; what is meant for the app is named by passEnv in {}",
                    container.name,
                    list_names(names),
                    annotation_key("mode"),
                    annotation_key("file.NAME"),
                    annotation_key("config")
                ));
            }
        }
    }

    /// The resources of the injected container.
    pub(super) fn resources(&mut self) -> Resources {
        let Some(text) = annotation(self.pod, "resources") else {
            return self.dialect.resources.clone().unwrap_or_else(|| self.injector.resources.clone());
        };
        let place = Place::Annotation(annotation_key("resources"));
        match Resources::parse(text, &place) {
            Ok(resources) => resources,
            Err(mistakes) => {
                self.denial.extend(sentences(&mistakes));
                Resources::default()
            }
        }
    }

    /// The files' owner from `run-as` and `volume-owner`. The injected container has no privileges and no passwd
    /// file, which limits both.
    pub(super) fn file_owner(&mut self, mode: Mode) -> FileOwner {
        if mode.wraps() {
            return FileOwner::App;
        }
        let owner = self.requested.text("volume.owner").map(str::to_owned);
        if let Some(text) = self.requested.text("runAs").map(str::to_owned) {
            if owner.is_some() {
                self.deny_annotation("run-as", "cannot stand together with volume-owner; the files are run-as's own");
            }
            let ids = text.split_once(':').map(|(user, group)| (user.parse::<u32>(), group.parse::<u32>()));
            return match ids {
                Some((Ok(user), Ok(group))) if user != 0 => FileOwner::User(user, group),
                _ if matches!(text.split(':').next(), Some("0" | "root")) => {
                    let text = match self.requested.mentions("onChange") {
                        true => format!("root is refused here; {}", alternatives_for_root()),
                        false => {
                            "root is refused here; leave run-as out: root reads the files as a member of the group"
                                .to_owned()
                        }
                    };
                    self.deny_annotation("run-as", &text);
                    FileOwner::App
                }
                _ => {
                    let text =
                        "expected numbers, UID:GID, such as \"1000:1000\": names are known in the app's image only";
                    self.deny_annotation("run-as", text);
                    FileOwner::App
                }
            };
        }
        match owner.as_deref().map(|text| text.strip_prefix(':').and_then(|gid| gid.parse::<u32>().ok())) {
            None => FileOwner::Group(self.injector.reader_group),
            Some(Some(gid)) if gid > 0 && gid < u32::MAX => FileOwner::Group(gid),
            Some(_) => {
                let text = "expected :GID, a group the pod gets; a container without privileges cannot give files away: \
                            for files of the app's own say run-as";
                self.deny_annotation("volume-owner", text);
                FileOwner::App
            }
        }
    }
}

/// The message about a foreign credentials endpoint. Does not quote the value: its path may contain a credential.
fn not_the_platforms(name: &str) -> String {
    format!(
        "the variable {name} names no credentials endpoint of AWS's platforms; expected loopback, 169.254.170.2, \
         169.254.170.23 or [fd00:ec2::23] (for a relative URI: a path that begins with /)"
    )
}
