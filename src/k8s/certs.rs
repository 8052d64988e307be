//! Certificates for clusters without cert-manager: a CA whose key is discarded, and one certificate that it signs.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::domain::not_after;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Certificates are valid from this long before they are issued, because clocks differ.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// The issued certificates and key, as PEM.
#[expect(missing_debug_implementations, reason = "it holds a private key")]
pub struct Issued {
    /// The certificate, followed by the CA's.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The CA's certificate. Its key is discarded, so it cannot sign another certificate.
    pub ca: String,
}

/// Issues a CA and a certificate for a Service, both valid from now for `life`.
pub fn issue(service: &str, namespace: &str, life: Duration, now: SystemTime) -> Result<Issued, rcgen::Error> {
    let (from, until) = (now - SKEW, now + life);
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "secret-inject");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    (ca.not_before, ca.not_after) = (from.into(), until.into());
    let authority = KeyPair::generate()?;
    let root = ca.self_signed(&authority)?;
    let issuer = Issuer::new(ca, authority);

    let name = format!("{service}.{namespace}.svc");
    let mut leaf = CertificateParams::new(vec![name.clone(), format!("{name}.cluster.local")])?;
    leaf.distinguished_name.push(DnType::CommonName, "secret-inject webhook");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (leaf.not_before, leaf.not_after) = (from.into(), until.into());
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = leaf.signed_by(&key, &issuer)?;
    Ok(Issued { cert: cert.pem() + &root.pem(), key: key.serialize_pem(), ca: root.pem() })
}

/// The new CA followed by all earlier ones that have not expired: only the cluster knows which of them is in use,
/// and until every replica has read the new certificate, the old one must still be trusted.
///
/// `None` if `before` contains something that is not a certificate: a CA in use may be lost with it.
pub fn bundle(new: &str, before: &str, now: SystemTime) -> Option<String> {
    let readable = certificates(before).filter(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).is_ok()).count();
    if readable != before.matches(BEGIN).count() || (readable == 0 && !before.trim().is_empty()) {
        return None;
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut all: Vec<&str> = certificates(new).collect();
    for previous in certificates(before) {
        // A certificate whose end cannot be read is kept: it was trusted before.
        let end = CertificateDer::from_pem_slice(previous.as_bytes()).ok().and_then(|der| not_after(&der));
        let has_ended = end.is_some_and(|end| end <= now);
        if !has_ended && !all.contains(&previous) {
            all.push(previous);
        }
    }
    Some(all.iter().flat_map(|certificate| [certificate, "\n"]).collect())
}

/// Every certificate in a PEM text.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    pem.match_indices(BEGIN).filter_map(move |(start, _)| {
        let end = pem[start..].find(END)? + END.len();
        Some(&pem[start..start + end])
    })
}

/// The patch for the MutatingWebhookConfiguration, as a kustomize patch file.
pub fn ca_patch(bundle: &str) -> String {
    format!("- op: add\n  path: /webhooks/0/clientConfig/caBundle\n  value: {}\n", STANDARD.encode(bundle))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn issued() -> Issued {
        issue("secret-inject", "secret-exec", DAY, now()).unwrap()
    }

    #[test]
    fn the_certificate_comes_with_its_authority() {
        let issued = issued();
        assert_eq!(issued.cert.matches(BEGIN).count(), 2);
        assert!(issued.cert.ends_with(&issued.ca) && issued.key.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_bundle_trusts_every_authority_that_has_not_ended() {
        let (one, two, three) = (issued().ca, issued().ca, issued().ca);
        assert_eq!(bundle(&one, "", now()).as_ref(), Some(&one));
        assert_eq!(bundle(&one, &one, now()).as_ref(), Some(&one));
        let both = bundle(&two, &one, now()).unwrap();
        assert_eq!(both, format!("{two}{one}"));
        // Issued twice before the first was applied: the one in use is still there.
        assert_eq!(bundle(&three, &both, now()), Some(format!("{three}{two}{one}")));
        let later = now() + DAY + Duration::from_secs(1);
        let four = issue("secret-inject", "secret-exec", DAY, later).unwrap().ca;
        assert_eq!(bundle(&four, &both, later).as_ref(), Some(&four), "those have ended");
        for broken in ["garbage", "-----BEGIN CERTIFICATE-----\nAA", &format!("{one}-----BEGIN CERTIFICATE-----\nAA")] {
            assert_eq!(bundle(&four, broken, later), None, "{broken}");
        }
    }
}
