//! Why the login's credentials cannot be read, and from which file.

use std::fmt;
use std::path::PathBuf;

use crate::domain::Exit;

use super::aws::AwsCredentialsError;

/// Why there are no credentials for the login. Completes "cannot log in: ", says what to do, and never contains a
/// file's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The file does not exist.
    #[error("{file} {} does not exist; put it there or set {}", .path.display(), .file.setting())]
    Missing {
        /// What the file contains.
        file: IdentityFile,
        /// Its path.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{file} {} cannot be read: {why}", .path.display())]
    Unreadable {
        /// What the file contains.
        file: IdentityFile,
        /// Its path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The file is empty or blank.
    #[error("{file} {} is empty; whoever writes it has not done so yet", .path.display())]
    Empty {
        /// What the file contains.
        file: IdentityFile,
        /// Its path.
        path: PathBuf,
    },
    /// The content is too large, or has characters that are not allowed.
    #[error("{file} {} does not hold one: {why}", .path.display())]
    Malformed {
        /// What the file contains.
        file: IdentityFile,
        /// Its path.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
}

impl IdentityError {
    /// The exit code: 77, because a login without credentials would be denied.
    pub fn exit(&self) -> Exit {
        Exit::Denied
    }
}

/// Why the proof of identity cannot be made.
#[derive(Debug)]
pub enum ProofError {
    /// A file cannot be used.
    File(IdentityError),
    /// There are no AWS credentials, or they cannot sign.
    Aws(AwsCredentialsError),
}

impl From<IdentityError> for ProofError {
    fn from(error: IdentityError) -> Self {
        Self::File(error)
    }
}

impl From<AwsCredentialsError> for ProofError {
    fn from(fault: AwsCredentialsError) -> Self {
        Self::Aws(fault)
    }
}

/// What an identity file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFile {
    /// A JWT for the `kubernetes` or `jwt` method.
    Jwt,
    /// A token that another process keeps alive.
    Token,
    /// AppRole's role id.
    RoleId,
    /// AppRole's secret id.
    SecretId,
    /// The wrapping token of AppRole's secret id.
    WrappedSecretId,
    /// A certificate chain.
    Certificate,
    /// A private key.
    Key,
}

impl IdentityFile {
    /// The setting that names the file.
    fn setting(self) -> &'static str {
        match self {
            Self::Jwt => "vault.auth.tokenFile",
            Self::Token => "vault.auth.path",
            Self::RoleId => "vault.auth.roleIdFile",
            Self::SecretId | Self::WrappedSecretId => "vault.auth.secretIdFile",
            Self::Certificate => "vault.auth.certFile",
            Self::Key => "vault.auth.keyFile",
        }
    }
}

impl fmt::Display for IdentityFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jwt | Self::Token => "the token file",
            Self::RoleId => "the role id file",
            Self::SecretId => "the secret id file",
            Self::WrappedSecretId => "the file of the wrapped secret id",
            Self::Certificate => "the certificate file",
            Self::Key => "the key file",
        })
    }
}
