//! The complete and valid configuration. A [`Config`] that exists can be planned without looking back at its text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::{EnvName, FileMode, FileName, Owner, RunAs, SecretRef};

use super::language::Language;
use super::place::Place;
use super::proxies::Proxies;

/// Everything a run needs to know, whatever the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Vault or OpenBao; `None` when no reference can need it, or nothing says where it is. A direct reference, an
    /// address and a login come together; only what templates ask for is not known yet.
    pub vault: Option<Vault>,
    /// Files that `vault.auth` names as proof or half of it (token, secret id, role id, key), also where no reference needs
    /// a login.
    pub identity_files: Vec<PathBuf>,
    /// Secrets Manager.
    pub aws: Aws,
    /// Where files go.
    pub volume: Volume,
    /// Named fetches, by name.
    pub secrets: BTreeMap<String, NamedSecret>,
    /// What becomes a file.
    pub files: Vec<FileEntry>,
    /// What becomes an environment variable: from `env`, and inherited references.
    pub env: Vec<EnvEntry>,
    /// Maps whose every key becomes an environment variable.
    pub env_from: Vec<EnvFrom>,
    /// Patterns (`NAME` or `PREFIX*`) of inherited variables that are neither scrubbed nor resolved.
    pub pass_env: Vec<String>,
    /// Whether the environment alone decides if there is anything to resolve (`inherit: bank-vaults`).
    pub may_be_empty: bool,
    /// Whether the backend's own AWS credentials are taken out of the app's environment.
    pub scrub_aws: bool,
    /// Whom the app runs as.
    pub run_as: Option<RunAs>,
    /// Stay as the app's parent.
    pub supervise: bool,
    /// Accept leased secrets in exec and init.
    pub leave_leases: bool,
    /// What happens after a change; empty means nothing but the files.
    pub on_change: Vec<Action>,
    /// How often secrets without a lease are read again.
    pub refresh: Refresh,
    /// When leases and the login are renewed and replaced.
    pub renewal: Renewal,
    /// What happens to a secret that expired.
    pub on_expired: OnExpired,
    /// From the start until the first delivery.
    pub timeout: Duration,
    /// How long a sidecar that is asked to end goes on before it revokes what was issued.
    pub revoke_delay: Duration,
    /// Our own state directory.
    pub state: PathBuf,
    /// Where it was named; [`Place::Missing`] for the default.
    pub state_place: Place,
    /// Answer every reference from this file instead.
    pub local: Option<PathBuf>,
    /// Health and metrics, `HOST:PORT`.
    pub metrics: Option<String>,
    /// Whether a process that stays confines itself.
    pub sandbox: Sandbox,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How many of them.
    pub log_level: LogLevel,
}

/// How Vault or OpenBao is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// `http://` or `https://`, host, optional port, optional path; or `unix://` and a socket's path. No credentials.
    pub address: String,
    /// `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// The private CA.
    pub ca: Option<Ca>,
    /// The name to ask for and to verify instead of the address's host (SNI).
    pub tls_server_name: Option<String>,
    /// The certificate that is shown in every handshake, whatever the auth method.
    pub client_certificate: Option<CertificateFiles>,
    /// `http://` proxy for this backend; without it `proxies` count.
    pub proxy: Option<String>,
    /// The proxies of the environment.
    pub proxies: Proxies,
    /// Hosts, `HOST[:PORT]`, that the server may redirect to.
    pub redirect_hosts: Vec<String>,
    /// No verification of the certificate. Exists only together with `allowInsecure: true`.
    pub skip_verify: bool,
    /// How we prove who we are; `None` only when no direct reference needs Vault, or a local file answers.
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
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// Default: `/var/run/secrets/kubernetes.io/serviceaccount/token`.
        token_file: PathBuf,
        /// Of the token the injector projects; nothing in the pod reads it.
        audience: String,
    },
    /// A JWT, verified by its issuer's keys.
    Jwt {
        /// The Vault role.
        role: String,
        /// Where the method is mounted.
        mount: String,
        /// The file that holds it.
        token_file: PathBuf,
        /// Of the token the injector projects.
        audience: Option<String>,
    },
    /// Role id and secret id.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role id, or the file that holds it.
        role_id: RoleId,
        /// The file with the secret id; `None` for a role that needs none.
        secret_id_file: Option<PathBuf>,
        /// Whether that file holds a response-wrapping token instead.
        secret_id_wrapped: bool,
    },
    /// A signed `GetCallerIdentity`.
    Aws {
        /// The Vault role.
        role: String,
        /// Where the method is mounted.
        mount: String,
        /// `X-Vault-AWS-IAM-Server-ID`.
        server_id: Option<String>,
        /// Of the STS endpoint signed for.
        region: Option<String>,
    },
    /// A TLS client certificate.
    Cert {
        /// Where the method is mounted.
        mount: String,
        /// The certificate role; `None` lets the server choose.
        role: Option<String>,
        /// PEM certificate chain.
        cert_file: PathBuf,
        /// PEM private key.
        key_file: PathBuf,
    },
    /// A token somebody else keeps alive. Never revoked by us.
    TokenFile {
        /// The file, re-read when it changes.
        path: PathBuf,
    },
}

impl VaultAuth {
    /// The files that prove who we are: whoever reads one can log in as this workload.
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
    /// As an operator knows it: `kubernetes (role web, mount kubernetes)`.
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

/// Secrets Manager's own settings; everything else is the SDK's default chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// Where an ARN does not say.
    pub region: Option<String>,
    /// Assumed for every reference that names no role of its own.
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

/// Where files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Absolute.
    pub path: PathBuf,
    /// Whom the files belong to; default `runAs`, else ourselves.
    pub owner: Option<Owner>,
    /// Bytes, of a tmpfs we mount.
    pub size: u64,
    /// Where each folder of files has a folder of links to them.
    pub links: Option<PathBuf>,
    /// Where the path was written.
    pub place: Place,
}

/// An entry of `secrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// Where it is.
    pub reference: SecretRef,
    /// Its own interval.
    pub refresh: Option<Duration>,
    /// Where it was written.
    pub place: Place,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Below the volume.
    pub name: FileName,
    /// What goes in.
    pub content: Content,
    /// Its own mode; default 0400, with a group 0440.
    pub mode: Option<FileMode>,
    /// Its own interval.
    pub refresh: Option<Duration>,
    /// Where it was written.
    pub place: Place,
}

/// An environment variable to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Its value.
    pub content: Content,
    /// Where it was written; [`Place::Variable`] for an inherited reference.
    pub place: Place,
}

/// A map whose every key becomes a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFrom {
    /// The map.
    pub reference: SecretRef,
    /// In front of every key.
    pub prefix: String,
    /// Where it was written.
    pub place: Place,
}

/// What a file or variable is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One reference.
    Secret {
        /// Where it is.
        reference: SecretRef,
        /// Default: `raw` for one value, `json` for a map.
        format: Option<Format>,
        /// Applied to one value before it is written.
        decode: Option<Decode>,
    },
    /// A template over secrets.
    Template(Template, Language),
}

/// Template text, or the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// In the config.
    Text(String),
    /// In a file, read at start.
    File(PathBuf),
}

/// How a map or value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Exact bytes of one value.
    Raw,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `KEY='value'` lines a shell's `.` and dotenv readers take.
    Dotenv,
    /// Java properties.
    Properties,
}

impl fmt::Display for Format {
    /// As it is written in the config.
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

/// An encoding to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// RFC 4648, standard or URL-safe alphabet, padding optional.
    Base64,
}

/// One action of `onChange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A signal to the child, or to the oldest process of that name.
    Signal {
        /// Linux signal number.
        number: i32,
        /// A process name (sidecar only).
        process: Option<String>,
    },
    /// Stop, wait until reaped, start.
    Restart,
    /// A command with its arguments, as the app's identity.
    Run(Vec<String>),
    /// POST to this URL.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// Whether it may be elsewhere than on loopback.
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

/// When leases and the login are renewed and replaced. Every value that a configuration may hold keeps the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Percent of its life after which something is renewed; `None`: two thirds.
    pub at: Option<u8>,
    /// Percent of its life (or interval) that chance takes off.
    pub jitter: u8,
    /// The longest that a credential and its successor live side by side.
    pub hand_over: Duration,
}

/// What happens to a secret that expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpired {
    /// The files stay.
    Keep,
    /// Its files go.
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
    /// The forms of bank-vaults' `vault-env`, also inside a text.
    pub bank_vaults: bool,
}

/// Whether a process that stays confines itself to the system calls and files it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Not at all.
    Off,
    /// Nothing is refused; the kernel's audit log names what would be.
    Log,
    /// What is not needed is refused.
    On,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what deserves a look.
    Warn,
    /// And each login, issue, delivery, revocation.
    Info,
    /// And each request.
    Debug,
    /// Everything of ours; nothing of foreign crates.
    Trace,
}
