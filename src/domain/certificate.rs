//! When an X.509 certificate ends. Nothing of it is verified.

use std::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, FixedTag, SliceReader, Tag};

/// The `notAfter` of a DER certificate, since 1970 (RFC 5280, 4.1).
pub fn not_after(certificate: &[u8]) -> Option<Duration> {
    read_not_after(certificate).ok()
}

fn read_not_after(certificate: &[u8]) -> der::Result<Duration> {
    let whole = AnyRef::from_der(certificate)?;
    let mut signed = SliceReader::new(whole.value())?;
    let to_be_signed = AnyRef::decode(&mut signed)?;
    let mut fields = SliceReader::new(to_be_signed.value())?;
    if Tag::peek(&fields)?.is_context_specific() {
        AnyRef::decode(&mut fields)?; // version
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        AnyRef::decode(&mut fields)?;
    }
    let validity = AnyRef::decode(&mut fields)?;
    let mut validity = SliceReader::new(validity.value())?;
    AnyRef::decode(&mut validity)?; // notBefore
    if Tag::peek(&validity)? == UtcTime::TAG {
        Ok(UtcTime::decode(&mut validity)?.to_unix_duration())
    } else {
        Ok(GeneralizedTime::decode(&mut validity)?.to_unix_duration())
    }
}
