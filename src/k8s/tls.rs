//! The webhook's certificate: two PEM files, read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct Files {
    /// PEM certificate chain.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Why they cannot be served with. Says which file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not there, or not ours to read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No certificate in it.
    #[error("{0}: expected PEM certificates")]
    NoCertificate(PathBuf),
    /// No key in it.
    #[error("{0}: expected a PEM private key")]
    NoKey(PathBuf),
    /// They do not go together, or rustls knows no such key.
    #[error("{cert} and {key} do not go together: {source}")]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// The two files as they were read.
#[derive(PartialEq, Eq)]
pub(super) struct Pair {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    /// Reads both.
    pub(super) fn read(&self) -> Result<Pair, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        Ok(Pair { cert: read(&self.cert)?, key: Zeroizing::new(read(&self.key)?) })
    }

    /// What a server with them is configured like: TLS 1.2 and 1.3, HTTP/1.1.
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
        // Not h2: it would let one connection open many reviews at once, and `Connections` counts and limits connections.
        // An API server offers both and takes this one; a client that offers h2 only gets the alert of RFC 7301.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The API server keeps its connections; remembered sessions would only be memory.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}
