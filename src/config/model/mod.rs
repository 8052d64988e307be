//! The validated configuration. A [`Config`] can be used without its original text.

mod backends;
mod contents;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{Owner, RunAs};

use super::place::Place;

pub use backends::{AssumeRole, Aws, Ca, CertificateFiles, RoleId, Vault, VaultAuth};
pub use contents::{Content, Decode, EnvEntry, EnvFrom, FileEntry, Format, NamedSecret, Template};

/// The configuration of a run, in any mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Vault, Secrets Manager, and the file that stands for both.
    pub backends: Backends,
    /// The volume for files.
    pub volume: Volume,
    /// The named secrets.
    pub secrets: BTreeMap<String, NamedSecret>,
    /// The files to write.
    pub files: Vec<FileEntry>,
    /// The environment variables to set: from `env`, and inherited references.
    pub env: Vec<EnvEntry>,
    /// Maps whose every key becomes an environment variable.
    pub env_from: Vec<EnvFrom>,
    /// Whether a configuration without any reference is valid, because only the environment decides (`inherit:
    /// bank-vaults`).
    pub may_be_empty: bool,
    /// How the app is run.
    pub app: AppSettings,
    /// When secrets are fetched, renewed and replaced, and what happens then.
    pub rotation: RotationSettings,
    /// The state directory, the listeners, the sandbox and the log of this process.
    pub process: ProcessSettings,
}

/// Where secrets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// Vault or OpenBao; `None` when no reference can need it, or no address is set. With a direct reference, address
    /// and login are always present; only the needs of templates are not known yet.
    pub vault: Option<Vault>,
    /// The files of `vault.auth` that contain credentials (token, secret ID, role ID, key), even if no reference needs
    /// the login.
    pub identity_files: Vec<PathBuf>,
    /// Secrets Manager.
    pub aws: Aws,
    /// The local file that answers every reference, if any.
    pub local: Option<PathBuf>,
}

/// How the app is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// The user that the app runs as.
    pub run_as: Option<RunAs>,
    /// Whether to stay the app's parent.
    pub supervise: bool,
    /// Patterns (`NAME` or `PREFIX*`) of inherited variables that are neither removed nor resolved.
    pub pass_env: Vec<String>,
    /// Whether AWS credentials are removed from the app's environment.
    pub scrub_aws: bool,
    /// Whether leased secrets are accepted in exec and init.
    pub leave_leases: bool,
}

/// When secrets are fetched, renewed and replaced, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationSettings {
    /// The actions after a change.
    pub on_change: Vec<Action>,
    /// Where they were set.
    pub on_change_place: Place,
    /// How often secrets without a lease are read again.
    pub refresh: Refresh,
    /// When leases and the login are renewed and replaced.
    pub renewal: Renewal,
    /// What happens when a secret expires.
    pub on_expired: OnExpired,
    /// Where that was set.
    pub on_expired_place: Place,
    /// The time limit from the start to the first delivery.
    pub timeout: Duration,
    /// How long a sidecar continues after a signal before it revokes.
    pub revoke_delay: Duration,
}

/// The state directory, the listeners, the sandbox and the log of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The state directory.
    pub state: PathBuf,
    /// Where the state directory was set; [`Place::Missing`] for the default.
    pub state_place: Place,
    /// The address of health and metrics, `HOST:PORT`.
    pub metrics: Option<String>,
    /// Whether a process that keeps running is sandboxed.
    pub sandbox: Sandbox,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The level of log lines.
    pub log_level: LogLevel,
}

/// The volume for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Absolute path.
    pub path: PathBuf,
    /// The owner of the files; by default `runAs`, or else our own user.
    pub owner: Option<Owner>,
    /// The size in bytes of a tmpfs that we mount.
    pub size: u64,
    /// The directory that gets a folder of links for each folder of files.
    pub links: Option<PathBuf>,
    /// Where the path was set.
    pub place: Place,
}

/// One action of `onChange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to the child, or to the oldest process of a name.
    Signal {
        /// The Linux signal number.
        number: i32,
        /// The process name (sidecar only).
        process: Option<String>,
    },
    /// Restart the app.
    Restart,
    /// Run a command as the app's user.
    Run(Vec<String>),
    /// POST to this URL.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// Whether hosts other than loopback are permitted.
        remote: bool,
    },
}

/// Intervals of secrets without a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Vault and files; 5 minutes by default.
    pub vault: Duration,
    /// Secrets Manager; 1 hour by default.
    pub aws: Duration,
}

/// When leases and the login are renewed and replaced. All permitted values are consistent with the schedule's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The percentage of a TTL after which it is renewed; `None`: two thirds.
    pub at: Option<u8>,
    /// The largest percentage of a TTL (or interval) that jitter takes off.
    pub jitter: u8,
    /// The longest time in which a credential and its replacement are both valid.
    pub hand_over: Duration,
}

/// What happens when a secret expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpired {
    /// The files stay.
    Keep,
    /// The files are removed.
    Remove,
    /// The app is stopped (exit 75; only with a supervisor).
    Stop,
}

/// Which inherited variables are resolved when their whole value is a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherit {
    /// `vault:PATH#KEY`.
    pub vault: bool,
    /// `aws-sm:…`.
    pub aws_sm: bool,
    /// `arn:aws…:secretsmanager:…`.
    pub arn: bool,
    /// The forms of bank-vaults' `vault-env`, also inside other text.
    pub bank_vaults: bool,
}

/// Whether a process that keeps running restricts itself to the system calls and files it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Not at all.
    Off,
    /// Nothing is refused, but the kernel's audit log records what would be.
    Log,
    /// Everything that is not needed is refused.
    On,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The level of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Also warnings.
    Warn,
    /// Also each login, issue, delivery and revocation.
    Info,
    /// Also each request.
    Debug,
    /// Everything of this program; nothing of other crates.
    Trace,
}
