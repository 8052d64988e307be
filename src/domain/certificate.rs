//! Reads subject, issuer and end from an X.509 certificate. Nothing is verified.

use std::fmt;
use std::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, FixedTag, Reader, SliceReader, Tag};

/// The `notAfter` of a DER certificate, as time since 1970 (RFC 5280, 4.1); `None` if it does not parse.
pub fn not_after(certificate: &[u8]) -> Option<Duration> {
    Some(fields(certificate).ok()?.not_after)
}

/// Whether the bytes are exactly one DER sequence (X.690, 8.1.3), as certificates, keys and revocation lists are.
pub fn is_der(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else { return false };
    if *length < 0x80 {
        return rest.len() == usize::from(*length);
    }
    let octets = usize::from(*length & 0x7f);
    let Some((octets, content)) = rest.split_at_checked(octets).filter(|_| (1..=4).contains(&octets)) else {
        return false;
    };
    octets.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet)) == content.len()
}

/// What to do with a certificate that is DER where PEM is expected, to end a message with; empty for other bytes.
pub fn der_certificate_hint(bytes: &[u8]) -> &'static str {
    if is_der(bytes) { "; this is DER: `openssl x509 -inform der -in FILE` prints it as PEM" } else { "" }
}

/// The same for a private key.
pub fn der_key_hint(bytes: &[u8]) -> &'static str {
    if is_der(bytes) { "; this is DER: `openssl pkey -inform der -in FILE` prints it as PEM" } else { "" }
}

/// Subject, issuer and end of a DER certificate, for messages; `None` if it does not parse.
pub fn certificate_summary(certificate: &[u8]) -> Option<CertificateSummary> {
    let fields = fields(certificate).ok()?;
    Some(CertificateSummary {
        subject: name(fields.subject).ok()?,
        issuer: name(fields.issuer).ok()?,
        not_after: fields.not_after,
    })
}

/// Subject, issuer and end of a certificate. The names are not trusted: control characters are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// `O=Example, CN=vault.example.com`; empty if there is no subject.
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// End of validity, as time since 1970.
    pub not_after: Duration,
}

impl fmt::Display for CertificateSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &str| if name.is_empty() { "no name".to_owned() } else { name.to_owned() };
        let end = std::time::SystemTime::UNIX_EPOCH.checked_add(self.not_after).map(super::http_date);
        let end = end.unwrap_or_else(|| "never".to_owned());
        write!(f, "{} (issued by {}, ends {end})", named(&self.subject), named(&self.issuer))
    }
}

/// The parsed fields of a certificate.
struct Fields<'a> {
    issuer: AnyRef<'a>,
    not_after: Duration,
    subject: AnyRef<'a>,
}

/// Parses the fields of a DER certificate up to its subject.
fn fields(certificate: &[u8]) -> der::Result<Fields<'_>> {
    let whole = AnyRef::from_der(certificate)?;
    let mut signed = SliceReader::new(whole.value())?;
    let to_be_signed = AnyRef::decode(&mut signed)?;
    let mut fields = SliceReader::new(to_be_signed.value())?;
    if Tag::peek(&fields)?.is_context_specific() {
        AnyRef::decode(&mut fields)?; // version
    }
    for _ in ["serialNumber", "signature"] {
        AnyRef::decode(&mut fields)?;
    }
    let issuer = AnyRef::decode(&mut fields)?;
    let validity = AnyRef::decode(&mut fields)?;
    let mut validity = SliceReader::new(validity.value())?;
    AnyRef::decode(&mut validity)?; // notBefore
    let not_after = if Tag::peek(&validity)? == UtcTime::TAG {
        UtcTime::decode(&mut validity)?.to_unix_duration()
    } else {
        GeneralizedTime::decode(&mut validity)?.to_unix_duration()
    };
    Ok(Fields { issuer, not_after, subject: AnyRef::decode(&mut fields)? })
}

/// Longer names are cut to this many characters.
const MOST_NAME_CHARS: usize = 200;

/// A distinguished name as `C=DE, O=Example, CN=vault`; attribute types not in [`ATTRIBUTES`] are left out.
fn name(name: AnyRef<'_>) -> der::Result<String> {
    let mut parts = Vec::new();
    let mut sets = SliceReader::new(name.value())?;
    while !sets.is_finished() {
        let set = AnyRef::decode(&mut sets)?;
        let mut attributes = SliceReader::new(set.value())?;
        while !attributes.is_finished() {
            let attribute = AnyRef::decode(&mut attributes)?;
            let mut pair = SliceReader::new(attribute.value())?;
            let kind = AnyRef::decode(&mut pair)?;
            let value = AnyRef::decode(&mut pair)?;
            if let Some((_, short)) = ATTRIBUTES.iter().find(|(oid, _)| *oid == kind.value()) {
                parts.push(format!("{short}={}", String::from_utf8_lossy(value.value())));
            }
        }
    }
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Ok(parts.join(", ").chars().map(printable).take(MOST_NAME_CHARS).collect())
}

/// The usual attribute types of names (RFC 4519): DER object identifier and short name.
const ATTRIBUTES: [(&[u8], &str); 7] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Version, serial number, algorithm, issuer, validity and subject of a certificate, with these names.
    fn certificate(issuer: &[u8], subject: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, inner: &[u8]| {
            let length = u8::try_from(inner.len()).unwrap();
            let head: &[u8] = if length < 128 { &[tag, length] } else { &[tag, 0x81, length] };
            [head, inner].concat()
        };
        let common_name = |text: &[u8]| {
            let pair = [wrap(6, &[0x55, 4, 3]), wrap(12, text)].concat();
            wrap(0x30, &wrap(0x31, &wrap(0x30, &pair)))
        };
        let date = wrap(23, b"300101000000Z");
        let validity = wrap(0x30, &[date.clone(), date].concat());
        let parts = [wrap(2, &[1]), wrap(0x30, &[]), common_name(issuer), validity, common_name(subject)].concat();
        wrap(0x30, &wrap(0x30, &parts))
    }

    #[test]
    fn a_certificate_is_told_by_subject_issuer_and_end() {
        let summary = certificate_summary(&certificate(b"Test CA", b"vault.test")).unwrap();
        assert_eq!(summary.to_string(), "CN=vault.test (issued by CN=Test CA, ends Tue, 01 Jan 2030 00:00:00 GMT)");
        assert_eq!(certificate_summary(b"rubbish"), None);
    }

    #[test]
    fn a_name_steers_no_terminal_and_has_an_end() {
        let summary = certificate_summary(&certificate(b"a\x1b[2J\nb", &[b'x'; 100])).unwrap();
        assert_eq!(summary.issuer, "CN=a\u{fffd}[2J\u{fffd}b");
        assert!(summary.subject.len() <= MOST_NAME_CHARS);
    }
}
