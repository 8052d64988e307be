//! One login to Vault: the proof of identity, the request, and the time it was sent.

use std::time::Duration;

use crate::config::VaultAuth;
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, IdentityError, PreloadedFiles, Proof, ProofError};
use crate::provider::Failure;
use crate::provider::vault::{Token, Vault};
use crate::sys::clock;

/// What the proof of identity for a Vault login is built from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) auth: &'a VaultAuth,
    pub(crate) preloaded: &'a PreloadedFiles,
    pub(crate) aws: &'a AwsIdentity,
}

/// Why a login failed.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// No credentials are available, for example because a token file is missing.
    NoCredentials(IdentityError),
    /// The server refused the login or did not answer, or AWS credentials could not be obtained.
    Rejected(Failure),
}

impl Credentials<'_> {
    /// Reads or signs the proof of identity for one login (a token, JWT, certificate or signed AWS request), as of now.
    pub(crate) async fn proof(&self) -> Result<Proof, LoginError> {
        let proof = identity::proof(self.auth, self.preloaded, self.aws, clock::wall()).await;
        proof.map_err(|error| match error {
            ProofError::File(error) => LoginError::NoCredentials(error),
            ProofError::Aws(fault) => LoginError::Rejected(fault.into()),
        })
    }
}

/// Sends the login request with `proof`; the resulting token must allow `uses` more requests. Returns the token and the
/// time since boot at which the request was sent.
pub(crate) async fn log_in(vault: &Vault, proof: &Proof, uses: u64) -> Result<(Token, Duration), Failure> {
    let requested_at = clock::boottime();
    vault.login(proof, uses).await.map(|token| (token, requested_at))
}
