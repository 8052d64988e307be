//! Logs the certificate chain of each handshake at debug: subjects, issuers, ends, and whether the chain is accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tracing::{Level, debug, enabled};

use crate::domain::certificate_summary;

/// The most certificates of one chain that are logged.
const MOST_SHOWN: usize = 10;

/// A verifier that delegates to another one and logs the chain and the decision.
#[derive(Debug)]
pub(super) struct LoggedVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    /// Whether the inner verifier accepts every chain.
    takes_all: bool,
}

impl LoggedVerifier {
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, takes_all: bool) -> Arc<Self> {
        Arc::new(Self { inner, takes_all })
    }
}

impl ServerCertVerifier for LoggedVerifier {
    /// Verifies the certificate with the inner verifier, and logs the chain and the result at level debug.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if enabled!(Level::DEBUG) {
            log_chain(std::iter::once(end_entity).chain(intermediates), server_name);
            let name = server_name.to_str();
            match &verified {
                Ok(_) if self.takes_all => debug!("TLS with {name}: the chain is not verified (vault.skipVerify)"),
                Ok(_) => debug!("TLS with {name}: the chain is accepted"),
                Err(error) => debug!("TLS with {name}: the chain is not accepted: {error}"),
            }
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// Logs a summary of each certificate.
fn log_chain<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>, server_name: &ServerName<'_>) {
    let name = server_name.to_str();
    for (place, certificate) in chain.take(MOST_SHOWN).enumerate() {
        let number = place.saturating_add(1);
        match certificate_summary(certificate) {
            Some(summary) => debug!("TLS with {name}: certificate {number} is {summary}"),
            None => debug!("TLS with {name}: certificate {number} cannot be parsed"),
        }
    }
}
