//! Decodes base64.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::SecretBytes;

use super::error::ValueError;

/// Decodes RFC 4648 base64 with the standard or the URL-safe alphabet, with or without padding. White space is
/// skipped: line wrapping, and a newline at the end.
pub(super) fn base64(text: &[u8]) -> Result<SecretBytes, ValueError> {
    let packed: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let alphabet = if packed.iter().any(|byte| b"-_".contains(byte)) { URL_SAFE } else { STANDARD };
    let decoded = lenient(&alphabet).decode(&packed).map_err(|_| ValueError::Base64);
    decoded.map(SecretBytes::new)
}

/// A decoder that accepts missing padding.
fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Vec<u8>, ValueError> {
        base64(text.as_bytes()).map(|bytes| bytes.expose().to_owned())
    }

    #[test]
    fn both_alphabets_with_and_without_padding_in_lines_or_not() {
        for text in ["+/8=", "+/8", "-_8=", "-_8", " +/\n8=\r\n", "+\n/\n8\n"] {
            assert_eq!(decoded(text), Ok(vec![0xfb, 0xff]), "{text:?}");
        }
        assert_eq!(decoded(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["a", "a===", "ab=c", "+_8=", "+/9=", "ab!d", "\u{e9}"] {
            assert_eq!(decoded(text), Err(ValueError::Base64), "{text:?}");
        }
    }
}
