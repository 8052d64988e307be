//! Validates a request against the limits of its mode; a denial names an alternative.

use std::collections::BTreeSet;

use crate::config::{Action, Ca, Config, Content, FileEntry, OnExpired, Resources, Sidecar, Template, VaultAuth};
use crate::domain::{Account, Feature, FileMode, Limit, Mode, RunAs, Source};

use super::super::denial::{alternatives_for_root, annotation_key};
use super::super::login::Login;
use super::super::mount_path;
use super::super::names::{FILES_PATH, TLS_PATH, VOLUME_PATH};
use super::super::pod::{Container, Pod};
use super::super::quantity;
use super::super::references::References;
use super::{RequestReader, list_names};

/// Memory that the program needs besides the files it writes, in bytes.
pub(in crate::k8s) const OWN_MEMORY: u64 = 16 << 20;

impl RequestReader<'_> {
    /// Denies settings that do not work in the mode.
    pub(super) fn validate_config(
        &mut self,
        mode: Mode,
        targets: &BTreeSet<String>,
        config: &Config,
        references: &References<'_>,
        login: &Login,
    ) {
        self.validate_use(mode);
        if !mode.wraps() {
            self.deny_references(mode, targets, config);
        }
        if config.app.supervise && mode != Mode::Supervise {
            self.deny_annotation("supervise", &format!("say {}: supervise instead", annotation_key("mode")));
        }
        if let (OnExpired::Stop, Some(limit)) = (config.rotation.on_expired, mode.limit(Feature::StopWhenExpired)) {
            self.deny(format!("onExpired: {}", pod_text(limit, mode)));
        }
        for action in &config.rotation.on_change {
            if let Some(text) = self.action_limit(mode, action, config) {
                self.deny_annotation("on-change", &text);
            }
        }
        for (reference, place) in references.known() {
            if matches!(reference.source, Source::File(_)) {
                let text = "an injected container reads no file for the app, so no file: reference; only a config file has one";
                self.denial.push(format!("{place}: {text}"));
            }
            self.warnings.extend(reference.doubt().map(|doubt| format!("{place}: {doubt}")));
        }
        self.warnings.extend(config.files.iter().filter_map(FileEntry::doubt));
        if mode.wraps() {
            self.validate_wrapped(mode, targets, config);
        } else {
            self.validate_sidecar(mode, config, login);
        }
    }

    /// Why an action does not work in this mode or pod; `None` if it does.
    fn action_limit(&self, mode: Mode, action: &Action, config: &Config) -> Option<String> {
        let feature = match action {
            Action::Restart => Some(Feature::Restart),
            Action::Signal { process: None, .. } => Some(Feature::SignalChild),
            Action::Signal { process: Some(_), .. } => Some(Feature::SignalProcess),
            Action::Run(_) | Action::Http { .. } => None,
        };
        let limit = mode.limit(Feature::OnChange).or_else(|| mode.limit(feature?));
        if let Some(limit) = limit {
            return Some(pod_text(limit, mode));
        }
        match (mode, action) {
            (Mode::Sidecar, Action::Signal { .. }) if config.app.run_as.is_none() && self.dialect.user.is_none() => {
                Some(format!(
                    "a signal reaches processes of the same user only; say which with {}: \"UID:GID\"; {}",
                    annotation_key("run-as"),
                    alternatives_for_root()
                ))
            }
            (Mode::Sidecar, Action::Signal { .. }) if self.pod.security.shares_processes == Some(false) => {
                Some("needs spec.shareProcessNamespace, which the pod says is false".to_owned())
            }
            (Mode::Sidecar, Action::Signal { .. }) if self.pod.security.uses_host_pid => {
                Some("needs spec.shareProcessNamespace, which Kubernetes refuses beside hostPID".to_owned())
            }
            _ => None,
        }
    }

    /// Denies options that have no effect in the mode.
    fn validate_use(&mut self, mode: Mode) {
        for (key, annotation, feature) in [
            ("refresh", "refresh", Feature::Refresh),
            ("metrics", "metrics", Feature::Metrics),
            ("onExpired", "on-expired", Feature::OnExpired),
            ("revokeDelay", "revoke-delay", Feature::RevokeDelay),
            ("inherit", "inherit", Feature::Inherit),
            ("scrubAws", "scrub-aws", Feature::ScrubAws),
            ("leaveLeases", "leave-leases", Feature::LeaveLeases),
        ] {
            if let (true, Some(limit)) = (self.requested.mentions(key), mode.limit(feature)) {
                self.deny_annotation(annotation, &pod_text(limit, mode));
            }
        }
    }

    /// Denies what does not work for wrapped containers: nothing to deliver, files in several containers, or a volume
    /// elsewhere.
    fn validate_wrapped(&mut self, mode: Mode, targets: &BTreeSet<String>, config: &Config) {
        if config.files.is_empty() {
            let has_unknown = |c: &Container| targets.contains(&c.name) && c.has_unknown_variables;
            let mut all = self.pod.containers.iter().chain(&self.pod.init_containers);
            if config.env.is_empty() && config.env_from.is_empty() && !all.any(has_unknown) {
                let text = format!(
                    "asks for injection, but there is nothing to deliver: say at least one {} or {}",
                    annotation_key("env.NAME"),
                    annotation_key("file.NAME")
                );
                self.deny(text);
            }
            return;
        }
        if targets.len() > 1 {
            let text = format!(
                "in mode {} one container has files, this names {}; name one, use variables only, or say {}: sidecar",
                mode.name(),
                list_names(targets),
                annotation_key("mode")
            );
            self.deny_annotation("containers", &text);
        }
        let is_below = config.volume.path.starts_with(VOLUME_PATH) && config.volume.path.as_os_str() != VOLUME_PATH;
        if !is_below {
            let text =
                format!("expected a path below {VOLUME_PATH} in mode {}; the default is {FILES_PATH}", mode.name());
            self.deny_annotation("volume", &text);
        }
    }

    /// Denies what does not work for an injected sidecar or init container.
    fn validate_sidecar(&mut self, mode: Mode, config: &Config, login: &Login) {
        for place in config.env.iter().map(|e| &e.place).chain(config.env_from.iter().map(|e| &e.place)) {
            let Some(limit) = mode.limit(Feature::Environment) else { continue };
            let text = format!("{place}: {}", pod_text(limit, mode));
            self.deny(text);
        }
        if config.files.is_empty() && config.env.is_empty() && config.env_from.is_empty() {
            self.deny(format!(
                "asks for injection but names no file; say at least one {}",
                annotation_key("file.NAME")
            ));
        }
        for entry in &config.files {
            if let Content::Template(Template::File(_), _) = &entry.content {
                let text = "the injected container has no such file; put the template into the annotation";
                self.deny(format!("{}: {text}", entry.place));
            }
        }
        let auth = config.backends.vault.as_ref().and_then(|vault| vault.auth.as_ref());
        if let Some(VaultAuth::AppRole { .. } | VaultAuth::Cert { .. } | VaultAuth::TokenFile { .. }) = auth {
            let text = format!(
                "vault.auth.method {} needs files that an injected container does not have; expected kubernetes, jwt or aws",
                login.method
            );
            self.deny(text);
        }
        if matches!(&config.backends.vault, Some(vault) if matches!(&vault.ca, Some(Ca::File(path)) if !path.starts_with(TLS_PATH)))
        {
            self.deny_annotation(
                "vault-ca-file",
                "the injected container has no such file; the operator sets vault.ca",
            );
        }
        let path = &config.volume.path;
        if path.as_os_str() == VOLUME_PATH {
            self.deny_annotation("volume", &format!("must not be {VOLUME_PATH} itself; the default is {FILES_PATH}"));
        }
        if let Some(why) = mount_path::refused(path) {
            let text =
                format!("{} is {why}; name a directory for the files alone, such as {FILES_PATH}", path.display());
            self.deny_annotation("volume", &text);
        }
        let directories = self.dialect.directories.iter().map(String::as_str);
        if let Some(text) = directories.chain(path.to_str()).find(|text| text.contains(':')) {
            self.deny(format!(
                "the directory {text} of the files has a \":\", which Kubernetes refuses in a mountPath"
            ));
        }
        let is_sidecar_container = self.injector.sidecar == Sidecar::Container;
        let ends = self.pod.ending.restart_policy.as_deref().is_some_and(|policy| policy != "Always");
        if mode == Mode::Sidecar && is_sidecar_container && ends {
            let text = format!(
                "a pod that ends would wait for its sidecar forever in this cluster; say {}: init, exec or supervise",
                annotation_key("mode")
            );
            self.deny(text);
        }
    }

    /// Warns about a pod that is admitted but may never end, or may be killed before it revokes.
    fn warn_about_end(&mut self, mode: Mode, config: &Config) {
        const GRACE: u64 = 30; // terminationGracePeriodSeconds, when the pod names none
        let ending = &self.pod.ending;
        let never_ends = match ending.restart_policy.as_deref().filter(|_| !ending.has_deadline) {
            Some("OnFailure") => Some(
                "restartPolicy OnFailure without activeDeadlineSeconds: a secret that cannot be fetched never fails this pod, \
                 its container is started again and again; say restartPolicy: Never, or set activeDeadlineSeconds",
            ),
            // The container before the sidecar fails the pod; the sidecar itself is started again whatever the policy says.
            Some("Never") if mode == Mode::Sidecar => Some(
                "restartPolicy Never without activeDeadlineSeconds: a secret that cannot be fetched fails this pod, but a \
                 sidecar that then fails before the app starts is restarted for ever; set it here (or in the Job, which is enough)",
            ),
            _ => None,
        };
        self.warnings.extend(never_ends.map(str::to_owned));
        let (delay, grace) = (config.rotation.revoke_delay.as_secs(), ending.grace.unwrap_or(GRACE));
        if mode == Mode::Sidecar && delay > 0 && delay >= grace {
            self.warnings.push(format!(
                "annotation {}: {delay} s is not less than terminationGracePeriodSeconds ({grace}), in which the app ends \
                 first: kubelet kills the sidecar before it revokes; set a longer grace period",
                annotation_key("revoke-delay")
            ));
        }
    }

    /// Denies a `run-as` that differs from the app's user, if the app could not read the files or become that user.
    fn validate_user(&mut self, mode: Mode, targets: &BTreeSet<String>, config: &Config) {
        let Some(RunAs { user: Account::Id(wanted), group }) = &config.app.run_as else { return };
        let pod = self.pod;
        for container in pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name)) {
            let Some(user) =
                container.ids.user.or(pod.security.user).filter(|user| *user != 0 && *user != u64::from(*wanted))
            else {
                continue;
            };
            let is_member = |gid: u32| {
                let groups =
                    container.ids.group.or(pod.security.group).into_iter().chain(pod.security.groups.iter().copied());
                groups.into_iter().any(|known| known == u64::from(gid))
            };
            let is_shared = matches!(group, Some(Account::Id(gid)) if is_member(*gid))
                && config.files.iter().all(|file| file.mode.is_some_and(FileMode::is_for_group));
            if mode.wraps() || !is_shared {
                let why = if mode.wraps() { "cannot become another user" } else { "could not read the files" };
                let name = &container.name;
                let text = format!(
                    "container {name} runs as user {user} (securityContext.runAsUser) and {why}; name that user, or leave \
                     run-as out"
                );
                self.deny_annotation("run-as", &text);
            }
        }
    }

    /// Validates users and the memory limit: files on tmpfs are charged to the container that writes them.
    pub(super) fn validate_pod(
        &mut self,
        mode: Mode,
        targets: &BTreeSet<String>,
        config: &Config,
        resources: &Resources,
    ) {
        self.validate_user(mode, targets, config);
        if mode.wraps() {
            if would_be_root(self.pod, targets, config) {
                let text = "the app would run as root; set the user it runs as, or \"0\" for root";
                self.deny_annotation("run-as", text);
            }
            return;
        }
        self.warn_about_end(mode, config);
        let Some(text) = resources.limits.get("memory") else { return };
        let needed = config.volume.size.saturating_add(OWN_MEMORY);
        match quantity::bytes(text) {
            None => self
                .deny(format!("resources.limits.memory: expected a quantity such as {}Mi", needed.div_ceil(1 << 20))),
            Some(bytes) if bytes < needed => {
                let text = format!(
                    "limits.memory {text} of the injected container is less than volume.size + 16Mi = {}Mi (files in \
                     memory are charged to it); say more with {}, such as {{\"limits\":{{\"memory\":\"{}Mi\"}}}}",
                    needed.div_ceil(1 << 20),
                    annotation_key("resources"),
                    needed.div_ceil(1 << 20)
                );
                self.deny(text);
            }
            Some(_) => {}
        }
    }
}

/// The message about a limit, for a pod's author.
pub(in crate::k8s) fn pod_text(limit: &Limit, mode: Mode) -> String {
    let text = limit.pod.replace("{mode}", &annotation_key("mode")).replace("{file}", &annotation_key("file.NAME"));
    text.replace("{name}", mode.name())
}

/// Whether an app runs as root by the pod's spec, and no `run-as` changes that.
fn would_be_root(pod: &Pod, targets: &BTreeSet<String>, config: &Config) -> bool {
    let mut all = pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name));
    config.app.run_as.is_none() && all.any(|c| c.ids.user.or(pod.security.user) == Some(0))
}
