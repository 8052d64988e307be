//! Identity: who the workload is, as each backend wants it proven.

pub mod aws;

use crate::domain::SecretBytes;

/// A signed `GetCallerIdentity`, which Vault sends on to STS to learn who signed it.
#[derive(Debug)]
pub struct SignedRequest {
    /// `POST`.
    pub method: String,
    /// The STS endpoint signed for.
    pub url: String,
    /// The form body.
    pub body: String,
    /// A JSON object: name → list of values. Whoever holds it is us, until the signature ages.
    pub headers_json: SecretBytes,
}
