//! What a pod asks for with its annotations, held against what the operator says and what the mode can do.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::annotations::PREFIX;
use crate::config::{
    Action, Asked, Config, Content, Flag, Injector, Layers, Mistake, OnExpired, Place, Resources, Template, VaultAuth,
    Wraps, nearest, resolve,
};
use crate::domain::Source;

use super::login::{Login, needs_aws, needs_vault};
use super::names::{FILES_PATH, OURS, VOLUME_PATH};
use super::pod::{Container, Pod};
use super::quantity;

/// Sentences for the developer: why the pod is refused.
pub type Denial = Vec<String>;

/// More annotations of ours than a pod has by intention.
const MAX_ANNOTATIONS: usize = 1000;
/// What the program needs beside the files it writes.
const OWN_MEMORY: u64 = 16 << 20;
/// How many mistakes are told at once.
const MAX_TOLD: usize = 20;

/// How secrets reach the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A container beside the app that keeps them fresh.
    Sidecar,
    /// An init container that delivers once.
    Init,
    /// The app's command is wrapped; the program is replaced by it.
    Exec,
    /// The app's command is wrapped; the program stays as its parent.
    Supervise,
}

impl Mode {
    /// Every mode by its name.
    pub const ALL: [(&'static str, Self); 4] =
        [("sidecar", Self::Sidecar), ("init", Self::Init), ("exec", Self::Exec), ("supervise", Self::Supervise)];

    /// Whether the app's own command is wrapped.
    pub(super) fn wraps(self) -> bool {
        matches!(self, Self::Exec | Self::Supervise)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// What is to be done, and for whom. Nothing in it is wrong.
#[derive(Debug)]
pub(super) struct Wish {
    /// How.
    pub(super) mode: Mode,
    /// The containers that get the secrets, by name.
    pub(super) targets: Vec<String>,
    /// Commands that annotations say.
    pub(super) commands: BTreeMap<String, Vec<String>>,
    /// Of the injected container.
    pub(super) resources: Resources,
    /// The operator's part.
    pub(super) pins: Vec<Flag>,
    /// The whole configuration, as the pod will read it.
    pub(super) config: Config,
    /// The audience of the identity token; `None` when no login needs one.
    pub(super) audience: Option<String>,
    /// Whether credentials of AWS are needed.
    pub(super) needs_aws: bool,
    /// Who our container runs as and whom the files belong to.
    pub(super) reader: Reader,
    /// What should be known, though nothing is wrong.
    pub(super) warnings: Vec<String>,
}

/// Whom the files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A group that the pod gets.
    Group(u32),
    /// The app's own user, as whom our container runs.
    User(u32, u32),
    /// Whoever the wrapped app is.
    App,
}

fn ours(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// A mistake as a sentence. Flags are the operator's; the developer sees annotations.
fn sentence(mistake: &Mistake) -> String {
    match &mistake.place {
        Place::Flag(flag) => match flag.strip_prefix("--set ") {
            Some(_) if mistake.text.starts_with("vault.auth.role: is missing") => missing_role(),
            _ => format!("the operator's part ({flag}): {}", mistake.text),
        },
        place => format!("{place}: {}", mistake.text),
    }
}

fn sentences(mistakes: &[Mistake]) -> Denial {
    mistakes.iter().map(sentence).collect()
}

fn missing_role() -> String {
    format!("the Vault role is missing; say it with {}", ours("vault-role"))
}

/// Few enough to be read, each once.
pub(super) fn told(mut denial: Denial) -> Denial {
    let mut seen = BTreeSet::new();
    denial.retain(|sentence| seen.insert(sentence.clone()));
    let more = denial.len().saturating_sub(MAX_TOLD);
    denial.truncate(MAX_TOLD);
    if more > 0 {
        denial.push(format!("and {more} more"));
    }
    denial
}

/// Reads the wish. `None` when the pod does not ask, or says `inject: "false"`.
pub(super) fn wish(pod: &Pod, injector: &Injector) -> Result<Option<Wish>, Denial> {
    match pod.annotations.len() {
        0 => return Ok(None),
        many if many > MAX_ANNOTATIONS => {
            return Err(vec![format!("{many} annotations below {PREFIX}; expected at most {MAX_ANNOTATIONS}")]);
        }
        _ => {}
    }
    match annotation(pod, "inject") {
        None | Some("true") => {}
        Some("false") => return Ok(None),
        Some(_) => return Err(vec![format!("annotation {}: expected \"true\" or \"false\"", ours("inject"))]),
    }
    let asked = Asked::read(&pod.annotations);
    Reading { pod, injector, asked, denial: Vec::new(), warnings: Vec::new() }.read().map(Some)
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let found = pod.annotations.iter().find(|(key, _)| key.strip_prefix(PREFIX) == Some(name));
    found.map(|(_, value)| value.as_str())
}

struct Reading<'a> {
    pod: &'a Pod,
    injector: &'a Injector,
    asked: Asked,
    denial: Denial,
    warnings: Vec<String>,
}

impl Reading<'_> {
    fn deny(&mut self, text: impl Into<String>) {
        self.denial.push(text.into());
    }

    fn deny_annotation(&mut self, name: &str, text: &str) {
        self.denial.push(format!("annotation {}: {text}", ours(name)));
    }

    fn read(mut self) -> Result<Wish, Denial> {
        if self.pod.os.as_deref() == Some("windows") {
            self.deny("a pod for Windows; secrets can be injected into Linux pods only");
        }
        let mode = self.mode();
        let targets = self.targets();
        let commands = self.commands(mode, &targets);
        let resources = self.resources();
        let reader = self.reader(mode);
        // What is wrong with one of these would make the rest say it again in other words.
        if !self.denial.is_empty() {
            let pairs = self.pod.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            self.denial.extend(sentences(&crate::config::annotations::check(pairs)));
            return Err(told(self.denial));
        }
        let login = Login::read(&self.asked, self.injector);
        let mut also = login.pins();
        if let Reader::Group(gid) = reader {
            also.push(("volume.owner", format!(":{gid}")));
        }
        let pins = self.injector.pins(&self.asked, &also).map_err(|mistakes| told(sentences(&mistakes)))?;
        let configs = self.resolve(mode, &targets, &pins, &login)?;
        let needs_vault = configs.iter().any(needs_vault);
        let is_said = needs_vault || self.asked.mentions("vault.auth");
        if is_said && login.lacks_role {
            self.deny(missing_role());
        }
        for config in &configs {
            self.can(mode, &targets, config, &login);
        }
        let Some(config) = configs.into_iter().next() else {
            self.deny("names no container");
            return Err(told(self.denial));
        };
        self.fits(mode, &targets, &config, &resources);
        if !self.denial.is_empty() {
            return Err(told(self.denial));
        }
        let is_token = login.audience.is_some() && if mode.wraps() { is_said } else { needs_vault };
        Ok(Wish {
            mode,
            targets,
            commands,
            resources,
            pins: pins.into_iter().filter(|pin| is_said || !pin.value.starts_with("vault.auth.")).collect(),
            audience: login.audience.filter(|_| is_token),
            needs_aws: needs_aws(&config) || (needs_vault && login.method == "aws"),
            config,
            reader,
            warnings: self.warnings,
        })
    }

    fn mode(&mut self) -> Mode {
        let Some(text) = annotation(self.pod, "mode") else { return Mode::Sidecar };
        if let Some((_, mode)) = Mode::ALL.iter().find(|(name, _)| *name == text) {
            return *mode;
        }
        let meant = nearest(text, Mode::ALL.map(|(name, _)| name)).map(|name| format!("; did you mean {name}?"));
        let text = format!("expected sidecar, init, exec or supervise{}", meant.unwrap_or_default());
        self.deny_annotation("mode", &text);
        Mode::Sidecar
    }

    /// The containers that get secrets: those named, else those that have them already, else the one everybody means.
    fn targets(&mut self) -> Vec<String> {
        let pod = self.pod;
        let all = || pod.containers.iter().chain(&pod.init_containers).filter(|c| !is_ours(c));
        let names = || all().map(|c| c.name.as_str()).collect::<Vec<_>>();
        if let Some(text) = annotation(pod, "containers") {
            let named: BTreeSet<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            let (there, missing): (Vec<&str>, Vec<&str>) = named.iter().partition(|name| names().contains(name));
            if there.is_empty() {
                let text = format!("names no container of this pod, which has {}", names().join(", "));
                self.deny_annotation("containers", &text);
            } else if !missing.is_empty() {
                let text = format!("annotation {}: no container {} here yet", ours("containers"), missing.join(", "));
                self.warnings.push(text);
            }
            return there.into_iter().map(str::to_owned).collect();
        }
        let served: Vec<_> = all().filter(|c| super::inject::is_served(c)).map(|c| c.name.clone()).collect();
        if !served.is_empty() {
            return served;
        }
        let apps: Vec<_> = pod.containers.iter().filter(|c| !is_ours(c)).map(|c| c.name.clone()).collect();
        match (apps.as_slice(), &pod.default_container) {
            ([only], _) => vec![only.clone()],
            (many, Some(default)) if many.contains(default) => vec![default.clone()],
            ([], _) => {
                self.deny("the pod has no containers");
                Vec::new()
            }
            (many, _) => {
                let text = format!(
                    "the pod has several containers; say which get the secrets: {}: {}",
                    ours("containers"),
                    many.join(",")
                );
                self.deny(text);
                Vec::new()
            }
        }
    }

    fn commands(&mut self, mode: Mode, targets: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut commands = BTreeMap::new();
        for (key, value) in &self.pod.annotations {
            let Some(name) = key.strip_prefix(PREFIX).and_then(|key| key.strip_prefix("command.")) else { continue };
            if name.is_empty() {
                continue; // an unknown annotation, which is told with the others
            }
            if !mode.wraps() {
                self.deny(format!("annotation {key}: only with {}: exec or supervise", ours("mode")));
            } else if !targets.iter().any(|target| target == name) {
                let known = targets.join(", ");
                self.deny(format!(
                    "annotation {key}: secrets go to {known}, not to {name}; see {}",
                    ours("containers")
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

    fn resources(&mut self) -> Resources {
        let Some(text) = annotation(self.pod, "resources") else { return self.injector.resources.clone() };
        let place = Place::Annotation(ours("resources"));
        match Resources::parse(text, &place) {
            Ok(resources) => resources,
            Err(mistakes) => {
                self.denial.extend(sentences(&mistakes));
                Resources::default()
            }
        }
    }

    /// `run-as` and `volume-owner`, which a container without privileges and without a passwd file must be able to do.
    fn reader(&mut self, mode: Mode) -> Reader {
        if mode.wraps() {
            return Reader::App;
        }
        let owner = self.asked.text("volume.owner").map(str::to_owned);
        if let Some(text) = self.asked.text("runAs").map(str::to_owned) {
            if owner.is_some() {
                self.deny_annotation("run-as", "cannot stand together with volume-owner; the files are run-as's own");
            }
            let ids = text.split_once(':').map(|(user, group)| (user.parse::<u32>(), group.parse::<u32>()));
            return match ids {
                Some((Ok(0), Ok(_))) => {
                    let text = "root is refused here; leave run-as out: root reads the files as a member of the group";
                    self.deny_annotation("run-as", text);
                    Reader::App
                }
                Some((Ok(user), Ok(group))) => Reader::User(user, group),
                _ => {
                    let text =
                        "expected numbers, UID:GID, such as \"1000:1000\": names are known in the app's image only";
                    self.deny_annotation("run-as", text);
                    Reader::App
                }
            };
        }
        match owner.as_deref().map(|text| text.strip_prefix(':').and_then(|gid| gid.parse::<u32>().ok())) {
            None => Reader::Group(self.injector.reader_group),
            Some(Some(gid)) if gid > 0 && gid < u32::MAX => Reader::Group(gid),
            Some(_) => {
                let text = "expected :GID, a group the pod gets; a container without privileges cannot give files away: \
                            for files of the app's own say run-as";
                self.deny_annotation("volume-owner", text);
                Reader::App
            }
        }
    }

    /// The configuration as each process of ours will read it.
    fn resolve(&self, mode: Mode, targets: &[String], pins: &[Flag], login: &Login) -> Result<Vec<Config>, Denial> {
        let mut flags = pins.to_vec();
        if login.lacks_role {
            // Whether Vault is needed at all is known only afterwards.
            flags.push(Flag::new("--set", "vault.auth.role=unknown"));
        }
        let all = || self.pod.containers.iter().chain(&self.pod.init_containers);
        let environments: Vec<Vec<(String, String)>> = if mode.wraps() {
            all().filter(|c| targets.contains(&c.name)).map(environment).collect()
        } else {
            vec![Vec::new()]
        };
        let wraps = if mode.wraps() { Wraps::Command } else { Wraps::Nothing };
        let mut configs = Vec::new();
        let mut denial = Vec::new();
        for environment in &environments {
            let layers = Layers {
                environment,
                annotations: Some(crate::config::Annotations::Pairs(&self.pod.annotations)),
                file: None,
                flags: &flags,
                wraps,
            };
            match resolve(&layers) {
                Ok(config) => configs.push(config),
                Err(mistakes) => denial.extend(sentences(&mistakes)),
            }
        }
        if denial.is_empty() { Ok(configs) } else { Err(told(denial)) }
    }

    /// What the mode can do.
    fn can(&mut self, mode: Mode, targets: &[String], config: &Config, login: &Login) {
        let name = mode.name();
        if self.asked.mentions("state") {
            self.deny_annotation("state", "is the injector's to set; leave it out");
        }
        if config.supervise && mode != Mode::Supervise {
            self.deny_annotation("supervise", &format!("say {}: supervise instead", ours("mode")));
        }
        if config.on_expired == OnExpired::Stop && mode != Mode::Supervise {
            let text = format!("onExpired: stop needs {}: supervise; nobody else can stop the app", ours("mode"));
            self.deny(text);
        }
        for action in &config.on_change {
            let wrong = match (mode, action) {
                (Mode::Exec | Mode::Init, _) => Some(format!("nothing changes in mode {name}: nobody stays to rotate")),
                (Mode::Sidecar, Action::Restart) => {
                    Some(format!("a sidecar cannot restart the app; say {}: supervise", ours("mode")))
                }
                (Mode::Sidecar, Action::Signal { process: None, .. }) => {
                    Some("a sidecar needs the name of the process: signal:HUP@nginx".to_owned())
                }
                (Mode::Sidecar, Action::Signal { process: Some(_), .. }) if config.run_as.is_none() => Some(format!(
                    "a signal reaches processes of the same user only; say which with {}: \"UID:GID\"",
                    ours("run-as")
                )),
                (Mode::Sidecar, Action::Signal { .. }) if self.pod.shares_processes == Some(false) => {
                    Some("needs spec.shareProcessNamespace, which the pod says is false".to_owned())
                }
                (Mode::Supervise, Action::Signal { process: Some(_), .. }) => {
                    Some("the supervisor signals its own child: signal:HUP, without a name".to_owned())
                }
                _ => None,
            };
            if let Some(text) = wrong {
                self.deny_annotation("on-change", &text);
            }
        }
        if mode.wraps() {
            self.can_wrap(mode, targets, config);
        } else {
            self.can_stand_beside(mode, config, login);
        }
    }

    fn can_wrap(&mut self, mode: Mode, targets: &[String], config: &Config) {
        if config.files.is_empty() {
            return;
        }
        if targets.len() > 1 {
            let text = format!(
                "in mode {} one container has files, this names {}; name one, use variables only, or say {}: sidecar",
                mode.name(),
                targets.join(", "),
                ours("mode")
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

    fn can_stand_beside(&mut self, mode: Mode, config: &Config, login: &Login) {
        for place in config.env.iter().map(|e| &e.place).chain(config.env_from.iter().map(|e| &e.place)) {
            let text = format!(
                "{place}: nobody can set another container's environment; use {}, or {}: exec or supervise",
                ours("file.NAME"),
                ours("mode")
            );
            self.deny(text);
        }
        if config.files.is_empty() && config.env.is_empty() && config.env_from.is_empty() {
            self.deny(format!("asks for injection but names no file; say at least one {}", ours("file.NAME")));
        }
        for entry in &config.files {
            if let Content::Template(Template::File(_)) = &entry.content {
                let text = "the injected container has no such file; put the template into the annotation";
                self.deny(format!("{}: {text}", entry.place));
            }
        }
        let references = config.files.iter().filter_map(|entry| match &entry.content {
            Content::Secret { reference, .. } => Some((reference, &entry.place)),
            Content::Template(_) => None,
        });
        for (reference, place) in references.chain(config.secrets.values().map(|s| (&s.reference, &s.place))) {
            if matches!(reference.source, Source::File(_)) {
                self.denial.push(format!(
                    "{place}: the injected container sees no volume of the app's, so no file: reference"
                ));
            }
        }
        let auth = config.vault.as_ref().and_then(|vault| vault.auth.as_ref());
        if let Some(VaultAuth::AppRole { .. } | VaultAuth::Cert { .. } | VaultAuth::TokenFile { .. }) = auth {
            let text = format!(
                "vault.auth.method {} needs files that an injected container does not have; expected kubernetes, jwt or aws",
                login.method
            );
            self.deny(text);
        }
        if matches!(&config.vault, Some(vault) if matches!(vault.ca, Some(crate::config::Ca::File(_)))) {
            self.deny_annotation(
                "vault-ca-file",
                "the injected container has no such file; the operator sets vault.ca",
            );
        }
        let path = &config.volume.path;
        if path.as_os_str() == VOLUME_PATH {
            self.deny_annotation("volume", &format!("must not be {VOLUME_PATH} itself; the default is {FILES_PATH}"));
        }
        let is_sidecar_container = self.injector.sidecar == crate::config::Sidecar::Container;
        let ends = self.pod.restart_policy.as_deref().is_some_and(|policy| policy != "Always");
        if mode == Mode::Sidecar && is_sidecar_container && ends {
            let text = format!(
                "a pod that ends would wait for its sidecar forever in this cluster; say {}: init, exec or supervise",
                ours("mode")
            );
            self.deny(text);
        }
    }

    /// tmpfs is charged to the container that writes.
    fn fits(&mut self, mode: Mode, targets: &[String], config: &Config, resources: &Resources) {
        if mode.wraps() {
            if would_be_root(self.pod, targets, config) {
                let text = "the app would run as root; say whom it runs as, or \"0\" when root is meant";
                self.deny_annotation("run-as", text);
            }
            return;
        }
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
                    ours("resources"),
                    needed.div_ceil(1 << 20)
                );
                self.deny(text);
            }
            Some(_) => {}
        }
    }
}

/// Whether the pod says itself that an app is root, and nobody says whom it becomes.
fn would_be_root(pod: &Pod, targets: &[String], config: &Config) -> bool {
    let mut all = pod.containers.iter().chain(&pod.init_containers).filter(|c| targets.contains(&c.name));
    config.run_as.is_none() && all.any(|c| c.user.or(pod.user) == Some(0))
}

/// Variables whose value stands in the pod. Kubelet replaces `$(NAME)`; such a value is known only to it.
fn environment(container: &Container) -> Vec<(String, String)> {
    let known = container.env.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    known.filter(|(_, value)| !value.contains("$(")).collect()
}

/// Whether a container is one of ours.
pub(super) fn is_ours(container: &Container) -> bool {
    container.name == OURS || container.name == super::names::FIRST
}
