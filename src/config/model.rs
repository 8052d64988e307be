//! The validated configuration. A [`Config`] can be used without its original text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::{EnvName, FileMode, FileName, Owner, RunAs, SecretRef};

use super::language::Language;
use super::place::Place;
use super::proxies::Proxies;

/// The configuration of a run, in any mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Vault or OpenBao; `None` when no reference can need it, or no address is set. With a direct reference, address
    /// and login are always present; only the needs of templates are not known yet.
    pub vault: Option<Vault>,
    /// The files of `vault.auth` that contain credentials (token, secret ID, role ID, key), even if no reference needs
    /// the login.
    pub identity_files: Vec<PathBuf>,
    /// Secrets Manager.
    pub aws: Aws,
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
    /// Patterns (`NAME` or `PREFIX*`) of inherited variables that are neither removed nor resolved.
    pub pass_env: Vec<String>,
    /// Whether a configuration without any reference is valid, because only the environment decides (`inherit:
    /// bank-vaults`).
    pub may_be_empty: bool,
    /// Whether AWS credentials are removed from the app's environment.
    pub scrub_aws: bool,
    /// The user that the app runs as.
    pub run_as: Option<RunAs>,
    /// Whether to stay the app's parent.
    pub supervise: bool,
    /// Whether leased secrets are accepted in exec and init.
    pub leave_leases: bool,
    /// The actions after a change.
    pub on_change: Vec<Action>,
    /// How often secrets without a lease are read again.
    pub refresh: Refresh,
    /// When leases and the login are renewed and replaced.
    pub renewal: Renewal,
    /// What happens when a secret expires.
    pub on_expired: OnExpired,
    /// The time limit from the start to the first delivery.
    pub timeout: Duration,
    /// How long a sidecar continues after a signal before it revokes.
    pub revoke_delay: Duration,
    /// The state directory.
    pub state: PathBuf,
    /// Where the state directory was set; [`Place::Missing`] for the default.
    pub state_place: Place,
    /// The local file that answers every reference, if any.
    pub local: Option<PathBuf>,
    /// The address of health and metrics, `HOST:PORT`.
    pub metrics: Option<String>,
    /// Whether a process that keeps running is sandboxed.
    pub sandbox: Sandbox,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The level of log lines.
    pub log_level: LogLevel,
}

/// How to reach Vault or OpenBao.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// `http://` or `https://`, host, optional port, optional path; or `unix://` and a socket's path. No credentials.
    pub address: String,
    /// `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// The private CA.
    pub ca: Option<Ca>,
    /// The TLS server name (SNI) to verify instead of the address's host.
    pub tls_server_name: Option<String>,
    /// The certificate presented in every handshake, whatever the auth method.
    pub client_certificate: Option<CertificateFiles>,
    /// The `http://` proxy of this backend; without it, `proxies` apply.
    pub proxy: Option<String>,
    /// The proxies of the environment.
    pub proxies: Proxies,
    /// The hosts, `HOST[:PORT]`, to which redirects are followed.
    pub redirect_hosts: Vec<String>,
    /// Whether the server's certificate is not verified. Only possible together with `allowInsecure: true`.
    pub skip_verify: bool,
    /// The login; `None` only when no direct reference needs Vault, or a local file answers.
    pub auth: Option<VaultAuth>,
}

/// A private CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// PEM text.
    Pem(String),
    /// A PEM file.
    File(PathBuf),
    /// A directory of PEM files.
    Directory(PathBuf),
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `vault.auth`: one variant per method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAuth {
    /// A service account token, reviewed by the cluster.
    Kubernetes {
        /// The Vault role.
        role: String,
        /// The mount of the auth method, without `auth/`.
        mount: String,
        /// Default: `/var/run/secrets/kubernetes.io/serviceaccount/token`.
        token_file: PathBuf,
        /// The audience of the token that the injector projects; not used in the pod.
        audience: String,
    },
    /// A JWT, verified by its issuer's keys.
    Jwt {
        /// The Vault role.
        role: String,
        /// The mount of the auth method.
        mount: String,
        /// The file with the JWT.
        token_file: PathBuf,
        /// The audience of the token that the injector projects.
        audience: Option<String>,
    },
    /// AppRole's role ID and secret ID.
    AppRole {
        /// The mount of the auth method.
        mount: String,
        /// The role ID, or the file that contains it.
        role_id: RoleId,
        /// The file with the secret ID; `None` for a role that needs none.
        secret_id_file: Option<PathBuf>,
        /// Whether that file contains a response-wrapping token instead.
        secret_id_wrapped: bool,
    },
    /// A signed `GetCallerIdentity`.
    Aws {
        /// The Vault role.
        role: String,
        /// The mount of the auth method.
        mount: String,
        /// `X-Vault-AWS-IAM-Server-ID`.
        server_id: Option<String>,
        /// The region of the STS endpoint.
        region: Option<String>,
    },
    /// A TLS client certificate.
    Cert {
        /// The mount of the auth method.
        mount: String,
        /// The certificate role; `None` lets the server choose.
        role: Option<String>,
        /// The PEM file with the certificate chain.
        cert_file: PathBuf,
        /// The PEM file with the private key.
        key_file: PathBuf,
    },
    /// A token that another process keeps alive. Never revoked by us.
    TokenFile {
        /// The file, which is read again when it changes.
        path: PathBuf,
    },
}

impl VaultAuth {
    /// The files with credentials: whoever can read one can log in as this workload.
    pub fn secret_files(&self) -> Vec<&Path> {
        match self {
            Self::Kubernetes { token_file, .. } | Self::Jwt { token_file, .. } => vec![token_file],
            Self::AppRole { secret_id_file, .. } => secret_id_file.iter().map(PathBuf::as_path).collect(),
            Self::Aws { .. } => Vec::new(),
            Self::Cert { key_file, .. } => vec![key_file],
            Self::TokenFile { path } => vec![path],
        }
    }
}

impl fmt::Display for VaultAuth {
    /// The login for messages: `kubernetes (role web, mount kubernetes)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubernetes { role, mount, .. } => write!(f, "kubernetes (role {role}, mount {mount})"),
            Self::Jwt { role, mount, .. } => write!(f, "jwt (role {role}, mount {mount})"),
            Self::AppRole { mount, secret_id_file: Some(path), .. } => {
                write!(f, "approle (mount {mount}, secret id in {})", path.display())
            }
            Self::AppRole { mount, .. } => write!(f, "approle (mount {mount})"),
            Self::Aws { role, mount, .. } => write!(f, "aws (role {role}, mount {mount})"),
            Self::Cert { role: Some(role), mount, .. } => write!(f, "cert (role {role}, mount {mount})"),
            Self::Cert { role: None, mount, .. } => write!(f, "cert (mount {mount})"),
            Self::TokenFile { path } => write!(f, "the token in {}", path.display()),
        }
    }
}

/// AppRole's role id, which is not a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleId {
    /// In the config.
    Text(String),
    /// In a file.
    File(PathBuf),
}

/// The settings of Secrets Manager; everything else is the SDK's default chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// The region, where an ARN does not contain one.
    pub region: Option<String>,
    /// The role to assume for references that name none.
    pub assume_role: Option<AssumeRole>,
    /// The proxies of the environment.
    pub proxies: Proxies,
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// Its ARN.
    pub arn: String,
    /// `ExternalId`.
    pub external_id: Option<String>,
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

/// An entry of `secrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// The reference.
    pub reference: SecretRef,
    /// Its own read interval.
    pub refresh: Option<Duration>,
    /// Where it was set.
    pub place: Place,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The path below the volume.
    pub name: FileName,
    /// The content.
    pub content: Content,
    /// The mode; by default 0400, or 0440 with a group.
    pub mode: Option<FileMode>,
    /// Its own read interval.
    pub refresh: Option<Duration>,
    /// Where it was set.
    pub place: Place,
}

/// An environment variable to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Its value.
    pub content: Content,
    /// Where it was set; [`Place::Variable`] for an inherited reference.
    pub place: Place,
}

/// A map whose every key becomes a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFrom {
    /// The map.
    pub reference: SecretRef,
    /// The prefix of the variable names.
    pub prefix: String,
    /// Where it was set.
    pub place: Place,
}

/// What a file or variable is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One reference.
    Secret {
        /// The reference.
        reference: SecretRef,
        /// By default `raw` for one value, `json` for a map.
        format: Option<Format>,
        /// Applied to a single value before it is written.
        decode: Option<Decode>,
    },
    /// A template over secrets.
    Template(Template, Language),
}

/// The text of a template, or its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// In the config.
    Text(String),
    /// In a file, which is read at the start.
    File(PathBuf),
}

/// The output format of a map or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The exact bytes of one value.
    Raw,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `KEY='value'` lines, as read by shells and dotenv libraries.
    Dotenv,
    /// Java properties.
    Properties,
}

impl fmt::Display for Format {
    /// The name in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Dotenv => "dotenv",
            Self::Properties => "properties",
        })
    }
}

/// An encoding to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// RFC 4648, standard or URL-safe alphabet, padding optional.
    Base64,
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
