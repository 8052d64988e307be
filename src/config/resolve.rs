//! Builds a [`Config`] from its layers, or returns all mistakes at once.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::Source;

use super::action::{self, Reach};
use super::backends::{Answers, Need, need};
use super::flags::Flag;
use super::inherited;
use super::keys::ROOT;
use super::layer::Reading;
use super::layers::{self, Layers, Merged, Wraps};
use super::model::{
    Action, AppSettings, Aws, Backends, Config, Inherit, LogFormat, LogLevel, OnExpired, ProcessSettings, Refresh,
    Renewal, RotationSettings, Sandbox, Volume,
};
use super::options::options;
use super::place::{ConfigError, Place};
use super::reader::{Reader, owner, run_as};
use super::tree::{ConfigErrors, Kind, Node};
use super::{check, net, value};

const VOLUME_PATH: &str = "/run/secret-exec/files";
const VOLUME_SIZE: u64 = 8 << 20;
const STATE: &str = "/run/secret-exec-state";
const TIMEOUT: Duration = Duration::from_secs(60);
const REFRESH: Refresh = Refresh { vault: Duration::from_secs(5 * 60), aws: Duration::from_secs(60 * 60) };
const RENEWAL: Renewal = Renewal { at: None, jitter: 10, hand_over: Duration::from_secs(5 * 60) };
const INHERIT: Inherit = Inherit { vault: true, aws_sm: true, arn: false, bank_vaults: false };

/// Builds the configuration. Returns all mistakes, sorted by place.
pub fn resolve(layers: &Layers<'_>) -> Result<Config, Vec<ConfigError>> {
    resolve_with(layers, Answers::Backends)
}

/// Builds the configuration for a command that sends no request to a backend: settings for requests may be missing.
/// Returns all mistakes, sorted by place.
pub fn resolve_without_requests(layers: &Layers<'_>) -> Result<Config, Vec<ConfigError>> {
    resolve_with(layers, Answers::Nobody)
}

/// The mistakes in flags with a single value, for when the rest of the configuration cannot be read.
pub fn mistakes_of_flags(flags: &[Flag]) -> Vec<ConfigError> {
    let names: Vec<String> =
        options().into_iter().filter_map(|option| Some(format!("--{}", option.flag?.name))).collect();
    let flags: Vec<Flag> = flags.iter().filter(|flag| names.contains(&flag.name)).cloned().collect();
    let layers = Layers { environment: &[], annotations: None, file: None, flags: &flags, wraps: Wraps::Nothing };
    let mistakes = resolve_without_requests(&layers).err().unwrap_or_default();
    mistakes.into_iter().filter(|mistake| matches!(mistake.place, Place::Flag(_))).collect()
}

/// Builds the configuration for references that `answers` answers.
fn resolve_with(layers: &Layers<'_>, answers: Answers) -> Result<Config, Vec<ConfigError>> {
    let mut mistakes = ConfigErrors::default();
    let merged = layers::merged(layers, &mut mistakes);
    if merged.reading == Reading::Broken {
        return Err(mistakes.sorted()); // what looks missing now may stand in the text that is broken
    }
    check::whole(&merged.tree, &ROOT, "", &mut mistakes);
    let mut reader = Reader { tree: &merged.tree, mistakes };
    let config = reader.config(layers, &merged, answers);
    let mistakes = reader.mistakes.sorted();
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

impl Reader<'_> {
    /// Reads the whole configuration from the merged tree.
    fn config(&mut self, layers: &Layers<'_>, merged: &Merged<'_>, answers: Answers) -> Config {
        let secrets = self.secrets();
        let named = secrets.iter().map(|(name, secret)| (name.clone(), secret.reference.clone())).collect();
        let env = self.variables(&named);
        let pass_env = self.patterns();
        let mut config = Config {
            backends: Backends {
                vault: None,
                identity_files: self.identity_files(),
                aws: Aws::default(),
                local: merged.local.map(PathBuf::from),
            },
            volume: self.volume(),
            files: self.files(&named),
            env_from: self.variable_maps(&named),
            secrets,
            env,
            may_be_empty: false,
            app: AppSettings {
                run_as: self.read("runAs", run_as),
                supervise: self.is_on("supervise"),
                pass_env,
                scrub_aws: self.is_on("scrubAws"),
                leave_leases: self.is_on("leaveLeases"),
            },
            rotation: self.rotation(),
            process: self.process(),
        };
        if config.process.state.starts_with(&config.volume.path) {
            let (state, volume) = (config.process.state.display(), config.volume.path.display());
            match self.place("state") {
                Place::Missing => {
                    let text = format!(
                        "{volume} holds the state directory {state}, which the app must not read: name a directory below it, \
                         such as {volume}/files"
                    );
                    let place = self.place("volume.path");
                    self.mistakes.about(&place, "volume.path", text);
                }
                place => self.mistakes.about(&place, "state", "must not be inside the volume, which the app reads"),
            }
        }
        let mut about_variables = ConfigErrors::default();
        let inherit = self.read("inherit", value::inherit).unwrap_or(INHERIT);
        config.may_be_empty = inherit.bank_vaults;
        if layers.wraps == Wraps::Command {
            let pass_env = &config.app.pass_env;
            let found = inherited::entries(layers.environment, inherit, pass_env, &config.env, &mut about_variables);
            config.env.extend(found);
        }
        self.backends(&mut config, answers, merged);
        for mistake in about_variables.sorted() {
            self.mistakes.add(&mistake.place, inherited::hinted(&mistake, layers));
        }
        config
    }

    /// Reads when secrets are fetched, renewed and replaced.
    fn rotation(&mut self) -> RotationSettings {
        RotationSettings {
            on_change: self.actions(),
            on_change_place: self.place("onChange"),
            refresh: Refresh {
                vault: self.read("refresh.vault", value::duration).unwrap_or(REFRESH.vault),
                aws: self.read("refresh.aws", value::duration).unwrap_or(REFRESH.aws),
            },
            renewal: Renewal {
                at: self.read("renewal.at", value::renewal_at),
                jitter: self.read("renewal.jitter", value::renewal_jitter).unwrap_or(RENEWAL.jitter),
                hand_over: self.read("renewal.handOver", value::hand_over).unwrap_or(RENEWAL.hand_over),
            },
            on_expired: self.read("onExpired", on_expired).unwrap_or(OnExpired::Keep),
            on_expired_place: self.place("onExpired"),
            timeout: self.read("timeout", value::duration).unwrap_or(TIMEOUT),
            revoke_delay: self.read("revokeDelay", value::duration).unwrap_or(Duration::ZERO),
        }
    }

    /// Reads the settings of the process itself.
    fn process(&mut self) -> ProcessSettings {
        ProcessSettings {
            state: self.read("state", value::directory).unwrap_or_else(|| STATE.into()),
            state_place: self.place("state"),
            metrics: self.read("metrics", net::listen),
            sandbox: self.read("sandbox", sandbox).unwrap_or(Sandbox::On),
            log_format: self.read("logFormat", log_format).unwrap_or(LogFormat::Text),
            log_level: self.read("logLevel", log_level).unwrap_or(LogLevel::Info),
        }
    }

    /// The files of `vault.auth` that contain credentials.
    fn identity_files(&self) -> Vec<PathBuf> {
        let paths = ["tokenFile", "roleIdFile", "secretIdFile", "keyFile", "path"];
        let named = paths.iter().filter_map(|name| self.tree.at(&format!("vault.auth.{name}"))?.text());
        named.map(PathBuf::from).collect()
    }

    /// Reads the sections of backends.
    fn backends(&mut self, config: &mut Config, answers: Answers, merged: &Merged<'_>) {
        let vault = need(config, |source| matches!(source, Source::Vault(_)));
        let aws = need(config, |source| matches!(source, Source::Aws(_)));
        let answers = if config.backends.local.is_some() { Answers::LocalFile } else { answers };
        config.backends.vault = self.vault(&vault, answers, merged);
        config.backends.aws = self.aws(merged);
        // A variable of a backend's own tools is only a mistake where its value is used.
        let tree = self.tree;
        self.mistakes.retain(|mistake| match layers::gap(&mistake.place) {
            None => true,
            Some(path) => {
                let is_needed = if path.first() == Some(&"vault") { vault != Need::No } else { aws != Need::No };
                is_needed && tree.at(&path.join(".")).is_some_and(|node| node.place == mistake.place)
            }
        });
    }

    /// Reads the section `volume`.
    fn volume(&mut self) -> Volume {
        Volume {
            path: self.read("volume.path", value::directory).unwrap_or_else(|| VOLUME_PATH.into()),
            owner: self.read("volume.owner", owner),
            size: self.read("volume.size", value::size).unwrap_or(VOLUME_SIZE),
            links: self.read("volume.links", value::directory),
            place: self.place("volume.path"),
        }
    }

    /// Reads `passEnv`.
    fn patterns(&mut self) -> Vec<String> {
        let items = self.tree.field("passEnv").map_or(&[][..], Node::items);
        items.iter().filter_map(Node::text).filter_map(|text| value::pattern(text).ok()).collect()
    }

    /// Reads `onChange`.
    fn actions(&mut self) -> Vec<Action> {
        let items = self.tree.field("onChange").map_or(&[][..], Node::items);
        let mut found = Vec::new();
        for (at, node) in items.iter().enumerate() {
            let path = format!("onChange[{at}]");
            match node.text() {
                Some("none") if items.len() > 1 => {
                    self.mistakes.about(&node.place, &path, "none stands alone");
                }
                Some(text) => found.extend(self.mistakes.take(action::action(text), &node.place, &path).flatten()),
                None => found.extend(self.action(node, &path)),
            }
        }
        found
    }

    /// Reads the long form of an action, whose fields have been checked to be consistent.
    fn action(&mut self, node: &Node, path: &str) -> Option<Action> {
        if node.field("signal").is_some() {
            let number = self.field(node, path, "signal", action::signal);
            let process = self.field(node, path, "process", action::process);
            return Some(Action::Signal { number: number?, process });
        }
        if node.field("http").is_some() {
            let is_remote = self.field(node, path, "remote", value::boolean).unwrap_or(false);
            let reach = if is_remote { Reach::Anywhere } else { Reach::Loopback };
            return self.field(node, path, "http", |url| action::http(url, reach));
        }
        let run = node.field("run")?;
        let words: Vec<String> = run.items().iter().filter_map(Node::text).map(str::to_owned).collect();
        if !matches!(run.kind, Kind::List(_)) || words.len() < run.items().len() {
            return None; // reported
        }
        let is_command = words.first().is_some_and(|program| !program.is_empty());
        if !is_command || words.iter().any(|word| word.contains('\0')) {
            let text = "expected a command and its arguments, without NUL bytes, such as [/bin/reload, now]";
            self.mistakes.about(&run.place, &format!("{path}.run"), text);
            return None;
        }
        Some(Action::Run(words))
    }
}

/// Parses the value of `onExpired`.
fn on_expired(text: &str) -> Result<OnExpired, String> {
    match text {
        "keep" => Ok(OnExpired::Keep),
        "remove" => Ok(OnExpired::Remove),
        "stop" => Ok(OnExpired::Stop),
        _ => Err("expected keep, remove or stop".to_owned()),
    }
}

/// Parses `off`, `log` or `on`.
pub fn sandbox(text: &str) -> Result<Sandbox, String> {
    match text {
        "off" => Ok(Sandbox::Off),
        "log" => Ok(Sandbox::Log),
        "on" => Ok(Sandbox::On),
        _ => Err("expected off, log or on".to_owned()),
    }
}

/// Parses the value of `logFormat`.
fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

/// Parses a log level, also for the webhook.
pub fn log_level(text: &str) -> Result<LogLevel, String> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("expected error, warn, info, debug or trace".to_owned()),
    }
}
