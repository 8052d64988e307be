//! The webhook's certificate: two PEM files, reloaded when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// The paths of certificate and key.
#[derive(Debug, Clone)]
pub struct Files {
    /// PEM certificate chain.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Why they cannot be used. Names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing or not readable.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The file has no certificate.
    #[error("{0}: expected PEM certificates")]
    NoCertificate(PathBuf),
    /// The file has no private key.
    #[error("{0}: expected a PEM private key")]
    NoKey(PathBuf),
    /// Certificate and key do not match, or rustls does not support the key.
    #[error("{cert} and {key} do not go together: {source}")]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// The error.
        source: rustls::Error,
    },
}

/// The contents of the two files.
#[derive(PartialEq, Eq)]
pub(super) struct Pair {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    /// Reads both files.
    pub(super) fn read(&self) -> Result<Pair, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        Ok(Pair { cert: read(&self.cert)?, key: Zeroizing::new(read(&self.key)?) })
    }

    /// The configuration of a server with this pair: TLS 1.2 and 1.3, HTTP/1.1.
    pub(super) fn serve(&self, pair: &Pair) -> Result<Arc<ServerConfig>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(self.cert.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        let wrong = |source| TlsError::Pair { cert: self.cert.clone(), key: self.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(wrong)?;
        // No HTTP/2: it would let one connection open many reviews at once, but `Connections` counts and limits
        // connections. An API server offers both protocols; a client that offers h2 only gets the alert of RFC 7301.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The API server keeps its connections open, so stored sessions would only take memory.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}
