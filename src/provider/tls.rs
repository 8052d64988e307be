//! TLS: which certificates are trusted, which one we present, and explanations of errors.
//!
//! One `rustls` configuration with ring. If a private CA is configured, only that is trusted. Otherwise the system's
//! roots are, or the bundled ones where the system has none (an image from scratch).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::domain::{der_certificate_hint, der_key_hint};
use crate::identity::ClientCertificate;

use super::chain_log::LoggedVerifier;

/// Which certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// None: for plain `http://`, where loading roots would only cost time.
    Nobody,
    /// The system's roots, or the bundled ones.
    System,
    /// Only these, in PEM format.
    Only(Vec<u8>),
    /// Every certificate, unverified. Only possible together with `allowInsecure`.
    Anybody,
}

/// Why no TLS configuration can be made; the text follows the name of what is wrong. Bytes that are DER have a hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    /// The CA text contains no certificate, or an invalid one.
    #[error("it holds no valid PEM certificate{0}")]
    Authority(&'static str),
    /// Our certificate file contains no certificate, or an invalid one.
    #[error("the client certificate is no valid PEM certificate chain{0}")]
    Chain(&'static str),
    /// Our key file contains no valid private key.
    #[error("the client certificate's key is no valid PEM private key{0}")]
    Key(&'static str),
    /// Certificate and key do not match, or the kind of key is unsupported.
    #[error("the client certificate and its key do not fit together")]
    Pair,
}

/// The TLS configuration for one backend. It caches sessions for resumption, so it should be kept while its inputs are
/// unchanged.
pub(crate) fn client_config(
    trust: &Trust,
    certificate: Option<&ClientCertificate>,
) -> Result<rustls::ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3");
    let verified_by = |verifier: Arc<dyn ServerCertVerifier>| {
        let builder = builder.clone().dangerous();
        builder.with_custom_certificate_verifier(LoggedVerifier::new(verifier, matches!(trust, Trust::Anybody)))
    };
    let roots = |roots: RootCertStore| {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        verifier.expect("there are roots, and no list of revoked certificates")
    };
    let builder = match trust {
        Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
        Trust::Anybody => verified_by(Arc::new(Anybody::new(&provider))),
        Trust::System => verified_by(roots(system_roots())),
        Trust::Only(pem) => verified_by(roots(private_roots(pem)?)),
    };
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            let invalid = || TlsError::Chain(der_certificate_hint(chain.expose()));
            let chain = certificates(chain.expose()).ok_or_else(invalid)?;
            let key =
                PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::Key(der_key_hint(key.expose())))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::Pair)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Parses PEM certificates; `None` if there is none or one is invalid.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

/// The private CA's certificates as the only roots.
fn private_roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let invalid = || TlsError::Authority(der_certificate_hint(pem));
    for certificate in certificates(pem).ok_or_else(invalid)? {
        roots.add(certificate).map_err(|_| invalid())?;
    }
    Ok(roots)
}

/// The system's roots, without those that rustls cannot read (old stores contain such), or the bundled ones.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

/// Explains why a handshake with `address` failed, and what to do. `unknown` completes the explanation for an unknown
/// issuer.
pub(crate) fn explain(error: &rustls::Error, address: &str, unknown: &str) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => explain_certificate(error, address, unknown),
        E::InvalidMessage(_) => format!("{address} does not speak TLS; is it an http:// address?"),
        E::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            format!("{address} asks for a client certificate; set vault.auth.certFile and keyFile")
        }
        E::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        ) => format!("{address} does not accept our client certificate"),
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{address} has no certificate for the name it was asked for; set vault.tlsServerName")
        }
        E::PeerIncompatible(_) | E::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!("{address} offers no TLS 1.2 or 1.3 that fits")
        }
        E::AlertReceived(alert) => format!(
            "{address} ended the TLS handshake with the alert {alert:?}; does it have a certificate for that name? Its log says \
             why"
        ),
        _ => format!("the TLS handshake with {address} failed"),
    }
}

/// Explains why the server's certificate was not accepted.
fn explain_certificate(error: &CertificateError, address: &str, unknown: &str) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => {
            format!("the certificate of {address} is not trusted: unknown issuer: {unknown}")
        }
        E::Expired | E::ExpiredContext { .. } => format!("the certificate of {address} has expired"),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            format!("the certificate of {address} is not valid yet; is the clock right?")
        }
        E::NotValidForName => {
            format!("the certificate of {address} is for another name; set vault.tlsServerName")
        }
        E::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            let expected = expected.to_str();
            let authority = address.split_once("://").map_or(address, |(_, authority)| authority);
            let is_of_address = authority.trim_start_matches('[').starts_with(&*expected);
            let way =
                if is_of_address { "; set vault.tlsServerName" } else { ", which is what vault.tlsServerName says" };
            format!("the certificate of {address} is for {names}, not for {expected}{way}")
        }
        // An error of webpki that rustls has no variant for.
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => format!(
            "the certificate of {address} is a CA's own (basicConstraints CA:TRUE), which cannot serve: let that CA issue \
             one for the server"
        ),
        E::Revoked => format!("the certificate of {address} is revoked"),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            format!("the certificate of {address} is not for servers")
        }
        // Other errors of webpki contain no values.
        E::Other(other) => format!("the certificate of {address} is not accepted: {other}"),
        _ => format!("the certificate of {address} is not valid"),
    }
}

/// The name inside rustls' notation `DnsName("vault.internal")`.
fn bare(presented: &str) -> &str {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"')
}

/// Accepts every certificate. Handshake signatures are still checked, so that the peer has the certificate's key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    /// Accepts every certificate (`vault.skipVerify`).
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretBytes;

    #[test]
    fn text_without_a_certificate_is_no_authority() {
        for text in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = client_config(&Trust::Only(text.into()), None).unwrap_err();
            assert_eq!(error, TlsError::Authority(""), "{text}");
        }
        let der = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let error = client_config(&Trust::Only(der.cert.der().to_vec()), None).unwrap_err().to_string();
        assert!(error.ends_with("; this is DER: `openssl x509 -inform der -in FILE` prints it as PEM"), "{error}");
    }

    #[test]
    fn a_broken_client_certificate_is_said_without_its_text() {
        let certificate =
            ClientCertificate { chain: SecretBytes::copy_of(b"hunter2"), key: SecretBytes::copy_of(b"hunter2") };
        let error = client_config(&Trust::Nobody, Some(&certificate)).unwrap_err();
        assert_eq!(error, TlsError::Chain(""));
    }

    #[test]
    fn there_are_always_roots() {
        assert!(!system_roots().is_empty());
    }

    #[test]
    fn a_wrong_name_is_said_with_the_right_ones() {
        let error = rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("vault").unwrap(),
            presented: vec!["DnsName(\"a.test\")".into(), "IpAddress(10.0.0.1)".into()],
        });
        assert_eq!(
            explain(&error, "https://vault", ""),
            "the certificate of https://vault is for a.test, 10.0.0.1, not for vault; set vault.tlsServerName"
        );
        assert!(
            explain(&error, "https://10.0.0.7:8200", "")
                .ends_with("not for vault, which is what vault.tlsServerName says")
        );
        assert!(explain(&error, "https://vault:8200", "").ends_with("; set vault.tlsServerName"));
        let alert = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert!(explain(&alert, "https://vault", "").contains("with the alert InternalError"));
    }
}
