//! References: where a secret is stored. Parses the grammar of the contract, without I/O.
//!
//! A reference is cut at the first `#` (the rest is one top-level key, verbatim), then at the first `?`. Parameters
//! are percent-decoded and `+` stays; in a path only `%3F`, `%23` and `%25` are decoded.

mod error;
mod parse;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use error::ReferenceError;
use parse::{AwsParameters, arn, aws, by_name, file, near_scheme, vault};

/// A source to fetch from, and optionally one key of its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// One fetch, and at most one lease. References with equal sources share one fetch.
    pub source: Source,
    /// One top-level key; `None` means the whole value.
    pub key: Option<String>,
}

/// What one fetch reads: provider, path and sorted parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Vault or OpenBao, by logical API path.
    Vault(VaultSource),
    /// AWS Secrets Manager.
    Aws(AwsSource),
    /// A file already mounted.
    File(PathBuf),
}

/// A logical path, as in `vault read` or `vault write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultSource {
    /// Decoded, without `v1/`, without slashes at its ends.
    pub path: String,
    /// The operation on the path.
    pub operation: VaultOperation,
}

/// A read, or a write with parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultOperation {
    /// GET; `version` is a KV v2 version.
    Read {
        /// The KV v2 version to read; `None` is the newest.
        version: Option<u32>,
    },
    /// PUT with these parameters: sent once per start, and again only when its result ends.
    Write(BTreeMap<String, String>),
}

/// A Secrets Manager secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsSource {
    /// Name or ARN, as `SecretId`.
    pub id: String,
    /// The ARN's region; `None` for a name.
    pub region: Option<String>,
    /// `VersionStage`; `None` is AWSCURRENT.
    pub stage: Option<String>,
    /// `VersionId`.
    pub version: Option<String>,
    /// A role to assume for this secret.
    pub role: Option<String>,
}

impl SecretRef {
    /// Parses a reference. `named` are the entries of the config's `secrets`; pass an empty map where names are not
    /// allowed.
    pub fn parse(text: &str, named: &BTreeMap<String, SecretRef>) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.starts_with(char::is_whitespace) {
            return Err(ReferenceError::WhiteSpace("at its start"));
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(ReferenceError::Control);
        }
        if let Some(instead) = parse::bank_vaults(text) {
            return Err(ReferenceError::BankVaults(instead));
        }
        let (place, key) = match text.split_once('#') {
            Some((_, "")) => return Err(ReferenceError::EmptyKey),
            Some((place, key)) => (place, Some(key.to_owned())),
            None => (text, None),
        };
        if place.ends_with(char::is_whitespace) {
            let behind = if key.is_some() { "before its \"#\"" } else { "at its end" };
            return Err(ReferenceError::WhiteSpace(behind));
        }
        match place.split_once(':') {
            Some(("vault", rest)) => Ok(Self { source: Source::Vault(vault(rest)?), key }),
            Some(("aws-sm", rest)) => aws(rest, key),
            Some(("arn", _)) => arn(place, AwsParameters::default(), key),
            Some(("file", rest)) => file(rest, key),
            Some((scheme, _)) => {
                Err(ReferenceError::UnknownScheme { scheme: scheme.to_owned(), nearest: near_scheme(scheme) })
            }
            None => by_name(place, key, named),
        }
    }
}

impl SecretRef {
    /// A warning about a reference that parses but probably means another: a key that ends in a version as
    /// bank-vaults writes it (`PATH#KEY#1`), or a Secrets Manager version too short to be an id.
    pub fn doubt(&self) -> Option<String> {
        match &self.source {
            Source::Vault(VaultSource { operation: VaultOperation::Read { version: None }, path }) => {
                let whole = self.key.as_ref()?;
                let (key, version) = whole.rsplit_once('#').or_else(|| whole.rsplit_once("?version="))?;
                let version = version.strip_prefix('v').unwrap_or(version);
                let version = parse::version_number(version).ok().filter(|_| !key.is_empty())?;
                let meant = format!("vault:{}?version={version}#{key}", encoded_path(path));
                Some(format!("{self}: the key is {whole:?} as a whole; version {version} of {key:?} is {meant}"))
            }
            Source::Aws(AwsSource { id, stage: None, version: None, .. }) => {
                let whole = self.key.as_ref()?;
                let (key, stage) = whole.rsplit_once('#').filter(|(key, _)| !key.is_empty())?;
                let meant = format!("aws-sm:{id}?stage={stage}#{key}");
                let is_stage = stage.starts_with("AWS");
                is_stage
                    .then(|| format!("{self}: the key is {whole:?} as a whole; stage {stage} of {key:?} is {meant}"))
            }
            // API reference, GetSecretValue: 32 to 64 characters.
            Source::Aws(AwsSource { version: Some(version), .. }) if version.len() < 32 => Some(format!(
                "{self}: {version:?} is too short for the id of a version; a stage is named by ?stage=, such as AWSPREVIOUS"
            )),
            _ => None,
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        match &self.key {
            Some(key) => write!(f, "#{key}"),
            None => Ok(()),
        }
    }
}

impl Source {
    /// Whether fetching it is a write in Vault, which issues something new each time.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)))
    }

    /// The whole reference, write parameters included, so that parsing it gives this source again. May contain a
    /// ciphertext: for files that a user requested, not for messages (use [`fmt::Display`] there).
    pub fn written(&self) -> String {
        let Self::Vault(VaultSource { operation: VaultOperation::Write(parameters), path }) = self else {
            return self.to_string();
        };
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        format!("vault:{}?{}", encoded_path(path), pairs.join("&"))
    }
}

/// The characters to escape in a parameter: those that would end it or are not visible.
const PARAMETER: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'&').add(b'=').add(b'#').add(b'?');

/// The parameter percent-encoded for a reference.
fn encoded(parameter: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(parameter, PARAMETER)
}

/// A Vault path as a reference writes it: `%`, `?` and `#` escaped.
pub(crate) fn encoded_path(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

/// As a config writes it, with sorted parameters. The values of write parameters can be ciphertext, so they are
/// left out.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(source) => {
                write!(f, "vault:{}", encoded_path(&source.path))?;
                match &source.operation {
                    VaultOperation::Read { version: None } => Ok(()),
                    VaultOperation::Read { version: Some(version) } => write!(f, "?version={version}"),
                    VaultOperation::Write(parameters) => {
                        let names: Vec<_> = parameters.keys().map(|name| format!("{}=…", encoded(name))).collect();
                        write!(f, "?{}", names.join("&"))
                    }
                }
            }
            Self::Aws(source) => {
                write!(f, "aws-sm:{}", source.id)?;
                let mut mark = '?';
                for (name, value) in [("stage", &source.stage), ("version", &source.version), ("role", &source.role)] {
                    if let Some(value) = value {
                        write!(f, "{mark}{name}={}", encoded(value))?;
                        mark = '&';
                    }
                }
                Ok(())
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
