//! Reads when X.509 certificates, OpenSSH certificates and JSON web tokens expire, as time since 1970. Nothing else is
//! checked: they come from the server.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use der::DateTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use crate::domain::not_after;

/// Longer input is not parsed.
const LONGEST: usize = 1 << 20;

/// The `notAfter` of the first certificate in PEM format (RFC 5280, 4.1).
pub(super) fn x509(pem: &str) -> Option<Duration> {
    if pem.len() > LONGEST || !pem.contains("-----BEGIN CERTIFICATE-----") {
        return None;
    }
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    not_after(&certificate)
}

/// The `valid before` of an OpenSSH certificate in one line (OpenSSH's PROTOCOL.certkeys); `None` also when it never
/// expires.
pub(super) fn ssh(line: &str) -> Option<Duration> {
    let mut words = line.split_ascii_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    if line.len() > LONGEST || !kind.ends_with("-cert-v01@openssh.com") {
        return None;
    }
    let blob = STANDARD.decode(blob).or_else(|_| STANDARD_NO_PAD.decode(blob)).ok()?;
    let mut wire = Wire(&blob);
    if wire.string()? != kind.as_bytes() {
        return None;
    }
    // Skip the nonce and the public key, whose fields are all encoded as strings (multiple-precision integers too).
    let fields = match kind.trim_end_matches("-cert-v01@openssh.com") {
        "ssh-ed25519" => 1,
        "ssh-rsa" | "rsa-sha2-256" | "rsa-sha2-512" | "sk-ssh-ed25519" => 2,
        "ssh-dss" => 4,
        name if name.starts_with("sk-ecdsa-") => 3,
        name if name.starts_with("ecdsa-") => 2,
        _ => return None,
    };
    for _ in 0..=fields {
        wire.string()?;
    }
    wire.bytes(8)?; // serial
    wire.bytes(4)?; // type
    wire.string()?; // key id
    wire.string()?; // principals
    wire.bytes(8)?; // valid after
    let seconds = u64::from_be_bytes(wire.bytes(8)?.try_into().ok()?);
    (seconds != u64::MAX).then_some(Duration::from_secs(seconds))
}

/// The rest of a message in OpenSSH's wire format (RFC 4251, 5).
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    /// Reads this many bytes.
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// Reads a string with its length prefix.
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.bytes(4)?.try_into().ok()?);
        self.bytes(usize::try_from(length).ok()?)
    }
}

/// The `exp` of a JSON web token (RFC 7519, 4.1.4).
pub(super) fn jwt(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    // `{"` in base64.
    if token.len() > LONGEST || !token.starts_with("eyJ") {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Duration::try_from_secs_f64(claims.exp).ok()
}

/// Parses a time in RFC 3339, in UTC; fractions of a second are dropped.
pub(super) fn rfc3339(text: &str) -> Option<Duration> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{whole}Z").parse::<DateTime>().ok().map(|moment| moment.unix_duration())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn a_certificate_says_when_it_ends_before_and_after_2050() {
        for (year, seconds) in
            [(2030, 1_893_456_000), (2049, 2_493_072_000), (2050, 2_524_608_000), (2100, 4_102_444_800)]
        {
            let mut params = CertificateParams::new(["x.test".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
            assert_eq!(x509(&pem), Some(Duration::from_secs(seconds)), "{year}");
            let bundle = format!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{pem}{pem}");
            assert_eq!(x509(&bundle), Some(Duration::from_secs(seconds)), "{year}");
            for cut in 0..pem.len() {
                let _nothing_panics = x509(&pem[..cut]);
            }
        }
    }

    #[test]
    fn damaged_certificates_have_no_end() {
        let whole = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap().cert;
        let whole = whole.der();
        for cut in 0..whole.len() {
            assert!(not_after(&whole[..cut]).is_none(), "cut at {cut}");
        }
        for at in 0..whole.len().min(120) {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 0xff;
            let _nothing_panics = not_after(&damaged);
        }
    }

    /// A certificate as `ssh-keygen` writes it, for a key with these fields.
    fn certificate(kind: &str, fields: usize, valid_before: u64) -> String {
        let mut blob = Vec::new();
        let string = |blob: &mut Vec<u8>, bytes: &[u8]| {
            blob.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            blob.extend(bytes);
        };
        string(&mut blob, kind.as_bytes());
        for _ in 0..=fields {
            string(&mut blob, b"nonce or key");
        }
        blob.extend([0; 12]);
        string(&mut blob, b"id");
        string(&mut blob, b"");
        blob.extend([0; 8]);
        blob.extend(valid_before.to_be_bytes());
        format!("{kind} {} comment\n", STANDARD.encode(blob))
    }

    #[test]
    fn a_signed_key_of_every_kind_says_when_it_ends() {
        for (kind, fields) in [
            ("ssh-rsa-cert-v01@openssh.com", 2),
            ("ssh-ed25519-cert-v01@openssh.com", 1),
            ("ssh-dss-cert-v01@openssh.com", 4),
            ("ecdsa-sha2-nistp256-cert-v01@openssh.com", 2),
            ("sk-ssh-ed25519-cert-v01@openssh.com", 2),
            ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3),
        ] {
            assert_eq!(ssh(&certificate(kind, fields, 1700)), Some(Duration::from_secs(1700)), "{kind}");
            assert_eq!(ssh(&certificate(kind, fields, u64::MAX)), None, "{kind}");
            let line = certificate(kind, fields, 1700);
            for cut in 0..line.len() - "comment\n".len() - 4 {
                assert_eq!(ssh(&line[..cut]), None, "{kind} cut at {cut}");
            }
        }
        assert_eq!(ssh("ssh-ed25519 AAAA"), None);
    }

    #[test]
    fn a_web_token_says_when_it_ends_and_what_only_looks_like_one_says_nothing() {
        let token = |claims: &str| format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(jwt(&token(r#"{"exp":1700,"sub":"x"}"#)), Some(Duration::from_secs(1700)));
        for claims in [r#"{"sub":"x"}"#, r#"{"exp":-5}"#, r#"{"exp":1e300}"#, r#"{"exp":"1700"}"#, "x"] {
            assert_eq!(jwt(&token(claims)), None, "{claims}");
        }
        assert_eq!(jwt("eyJ.a"), None);
        assert_eq!(jwt(&format!("{}.x.y", token(r#"{"exp":1}"#))), None);
    }

    #[test]
    fn a_date_is_read_in_utc_and_nothing_else() {
        assert_eq!(rfc3339("1970-01-01T00:30:00Z"), Some(Duration::from_secs(1800)));
        assert_eq!(rfc3339("1970-01-01T00:30:00.123456789Z"), Some(Duration::from_secs(1800)));
        for text in ["1970-01-01", "1970-01-01T00:30:00+01:00", "1970-13-01T00:30:00Z", "1970-01-01T00:30:00.xZ", ""] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
