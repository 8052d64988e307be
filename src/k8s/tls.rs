//! The webhook's certificate: two PEM files, reloaded when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::domain::{der_certificate_hint, der_key_hint};

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
    #[error("--tls-cert {path}: expected PEM certificates{hint}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What to do where the encoding was recognised.
        hint: &'static str,
    },
    /// The file has no private key.
    #[error("--tls-key {path}: expected a PEM private key{hint}")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What to do where the encoding was recognised.
        hint: &'static str,
    },
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
        let chain = chain.ok_or_else(|| TlsError::NoCertificate {
            path: self.cert.clone(),
            hint: der_certificate_hint(&pair.cert),
        })?;
        let key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|_| TlsError::NoKey { path: self.key.clone(), hint: der_key_hint(&pair.key) })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_der_is_told_its_flag_and_how_to_make_pem_of_it() {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
        let files = Files { cert: "c".into(), key: "k".into() };
        let refused = |cert: &[u8], key: &[u8]| {
            let pair = Pair { cert: cert.to_owned(), key: Zeroizing::new(key.to_owned()) };
            files.serve(&pair).err().map(|error| error.to_string())
        };
        assert_eq!(refused(&cert, &key), None);
        for (text, expected) in [
            (
                refused(made.cert.der(), &key),
                "--tls-cert c: expected PEM certificates; this is DER: `openssl x509 -inform der -in FILE` prints it as PEM",
            ),
            (
                refused(&cert, made.signing_key.serialized_der()),
                "--tls-key k: expected a PEM private key; this is DER: `openssl pkey -inform der -in FILE` prints it as PEM",
            ),
            (refused(b"x", &key), "--tls-cert c: expected PEM certificates"),
            (refused(&cert, b"x"), "--tls-key k: expected a PEM private key"),
        ] {
            assert_eq!(text.as_deref(), Some(expected));
        }
    }
}
