//! The sources of trusted certificates and of our own one: files that may be replaced while the process runs.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::CertificateFiles;
use crate::identity::ClientCertificate;
use crate::identity::file::{self, FileError};
use crate::provider::tls::{self, Trust};

/// Where the trusted certificates come from.
pub(super) enum TrustSource {
    Fixed(Trust),
    File(PathBuf),
    Directory(PathBuf),
}

impl fmt::Display for TrustSource {
    /// Explains that the issuer was not found there, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => {
                let path = path.display();
                write!(f, "it is not in {path} (vault.caFile or VAULT_CACERT); put the CA that signed it there")
            }
            Self::Directory(path) => {
                let path = path.display();
                write!(f, "it is not in {path} (vault.caPath or VAULT_CAPATH); put the CA that signed it there")
            }
            Self::Fixed(Trust::Only(_)) => f.write_str("it is not in vault.ca; put the CA that signed it there"),
            Self::Fixed(_) => {
                f.write_str("it is not among the system's CAs; set vault.caFile to the CA that signed it")
            }
        }
    }
}

impl TrustSource {
    /// Reads the trusted certificates. Returns the path of a file or directory that cannot be read.
    pub(super) fn load(&self) -> Result<Trust, (&PathBuf, FileError)> {
        match self {
            Self::Fixed(trust) => Ok(trust.clone()),
            Self::File(path) => match file::read(path) {
                Ok(pem) => Ok(Trust::Only(pem.expose().to_owned())),
                Err(error) => Err((path, error)),
            },
            Self::Directory(path) => match load_directory(path) {
                Ok(pem) => Ok(Trust::Only(pem)),
                Err(error) => Err((path, error)),
            },
        }
    }

    /// The kind of the source, for messages.
    pub(super) fn what(&self) -> &'static str {
        if matches!(self, Self::Directory(_)) { "directory" } else { "file" }
    }
}

/// Every certificate in the files of a directory, in the order of the names. Skips files without a certificate, and
/// names that begin with two dots (the kubelet's own).
fn load_directory(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in path.read_dir().map_err(FileError::System)? {
        let entry = entry.map_err(FileError::System)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"..") && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut pem = Vec::new();
    for path in paths {
        let text = file::read(&path)?;
        if text.expose().windows(BEGIN.len()).any(|part| part == BEGIN) {
            pem.extend_from_slice(text.expose());
            pem.push(b'\n');
        }
    }
    Ok(pem)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Reads certificate and key from two files; an error if one is invalid or they do not match.
pub(super) fn load_certificate(files: &CertificateFiles, trust: &Trust) -> Result<ClientCertificate, String> {
    let read = |path: &Path, key: &str| {
        file::read(path).map_err(|error| format!("cannot read {} ({key}): {error}", path.display()))
    };
    let chain = read(&files.certificate, "vault.clientCertFile")?;
    let key = read(&files.key, "vault.clientKeyFile")?;
    let certificate = ClientCertificate { chain, key };
    let usable = tls::client_config(trust, Some(&certificate));
    usable.map_err(|error| format!("{error} ({}, {})", files.certificate.display(), files.key.display()))?;
    Ok(certificate)
}
