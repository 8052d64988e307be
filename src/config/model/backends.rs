//! How to reach Vault, OpenBao and Secrets Manager.

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::proxies::Proxies;

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

impl VaultAuth {
    /// A reason for messages behind the words that name this login: without the path that those words name already.
    pub fn without_own_path(&self, reason: &str) -> String {
        match self {
            Self::TokenFile { path } | Self::AppRole { secret_id_file: Some(path), .. } => {
                reason.replacen(&format!("file {}", path.display()), "file", 1)
            }
            _ => reason.to_owned(),
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
