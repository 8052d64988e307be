//! Certificates for clusters without cert-manager: an authority whose key nobody keeps, and one certificate of it.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Clocks differ.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// What was made, as PEM.
#[expect(missing_debug_implementations, reason = "it holds a private key")]
pub struct Issued {
    /// The certificate, then its authority's.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The authority's certificate. Its key is gone: nobody can make a second certificate of it.
    pub ca: String,
}

/// Makes an authority and a certificate for a Service, valid from now on.
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

/// The new authority and the one before it: while replicas change over, certificates of both are believed.
pub fn bundle(new: &str, before: &str) -> String {
    let mut all = new.trim_end().to_owned() + "\n";
    if let Some(previous) = first(before).filter(|previous| !new.contains(previous)) {
        all.push_str(previous);
        all.push('\n');
    }
    all
}

fn first(pem: &str) -> Option<&str> {
    let start = pem.find(BEGIN)?;
    let end = pem[start..].find(END)? + END.len();
    Some(&pem[start..start + end])
}

/// The patch for the MutatingWebhookConfiguration, as kustomize reads it.
pub fn ca_patch(bundle: &str) -> String {
    format!("- op: add\n  path: /webhooks/0/clientConfig/caBundle\n  value: {}\n", STANDARD.encode(bundle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> Issued {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        issue("secret-inject", "secret-exec", Duration::from_secs(86_400), now).unwrap()
    }

    #[test]
    fn the_certificate_comes_with_its_authority() {
        let issued = issued();
        assert_eq!(issued.cert.matches(BEGIN).count(), 2);
        assert!(issued.cert.ends_with(&issued.ca) && issued.key.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_bundle_believes_the_authority_before_too_but_not_the_one_before_that() {
        let (one, two, three) = (issued().ca, issued().ca, issued().ca);
        assert_eq!(bundle(&one, ""), one);
        assert_eq!(bundle(&one, &one), one);
        let both = bundle(&two, &one);
        assert_eq!(both, format!("{two}{one}"));
        assert_eq!(bundle(&three, &both), format!("{three}{two}"));
    }
}
