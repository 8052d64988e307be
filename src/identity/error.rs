//! Why there is no identity, and which file it was about.

use std::fmt;
use std::path::PathBuf;

use crate::domain::Exit;

use super::aws::AwsFault;

/// Why there is nothing to log in with. Reads behind "cannot log in: ", says what to do, never holds a file's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The file is not there.
    #[error("{file} {} does not exist; put it there or set {}", .path.display(), .file.setting())]
    Missing {
        /// What it would hold.
        file: IdentityFile,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("{file} {} cannot be read: {why}", .path.display())]
    Unreadable {
        /// What it would hold.
        file: IdentityFile,
        /// Where it is.
        path: PathBuf,
        /// The system's reason, in words.
        why: String,
    },
    /// Nothing but blanks.
    #[error("{file} {} is empty; whoever writes it has not done so yet", .path.display())]
    Empty {
        /// What it would hold.
        file: IdentityFile,
        /// Where it is.
        path: PathBuf,
    },
    /// Too large, or characters that such a thing never has.
    #[error("{file} {} does not hold one: {why}", .path.display())]
    Malformed {
        /// What it would hold.
        file: IdentityFile,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

impl IdentityError {
    /// The exit code it leads to: without an identity every login would be denied.
    pub fn exit(&self) -> Exit {
        Exit::Denied
    }
}

/// Why there is no proof.
#[derive(Debug)]
pub enum ProofError {
    /// A file.
    File(IdentityError),
    /// No AWS credentials, or none that sign.
    Aws(AwsFault),
}

impl From<IdentityError> for ProofError {
    fn from(error: IdentityError) -> Self {
        Self::File(error)
    }
}

impl From<AwsFault> for ProofError {
    fn from(fault: AwsFault) -> Self {
        Self::Aws(fault)
    }
}

/// What an identity file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFile {
    /// A JWT for the `kubernetes` or `jwt` method.
    Jwt,
    /// A token somebody else keeps alive.
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
