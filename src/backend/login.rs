//! One login to Vault: the proof, the request, and when it was sent.

use std::time::Duration;

use crate::config::VaultAuth;
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, IdentityError, PreloadedFiles, Proof, ProofError};
use crate::provider::Failure;
use crate::provider::vault::{Token, Vault};
use crate::sys::clock;

/// What a login to Vault is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) auth: &'a VaultAuth,
    pub(crate) preloaded: &'a PreloadedFiles,
    pub(crate) aws: &'a AwsIdentity,
}

/// Why a login failed.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// There is nothing to log in with.
    NoCredentials(IdentityError),
    /// The server refused, or did not answer.
    Rejected(Failure),
}

impl Credentials<'_> {
    /// The proof for one login, as of now.
    pub(crate) async fn proof(&self) -> Result<Proof, LoginError> {
        let proof = identity::proof(self.auth, self.preloaded, self.aws, clock::wall()).await;
        proof.map_err(|error| match error {
            ProofError::File(error) => LoginError::NoCredentials(error),
            ProofError::Aws(fault) => LoginError::Rejected(fault.into()),
        })
    }
}

/// Logs in with `proof`; the token has to be good for `uses` requests. Returns it with the time its request was sent.
pub(crate) async fn log_in(vault: &Vault, proof: &Proof, uses: u64) -> Result<(Token, Duration), Failure> {
    let requested_at = clock::boottime();
    vault.login(proof, uses).await.map(|token| (token, requested_at))
}
