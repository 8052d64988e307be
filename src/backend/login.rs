//! What a login to Vault is made with, and why it fails.

use crate::config::VaultAuth;
use crate::identity::aws::AwsIdentity;
use crate::identity::{self, IdentityError, PreloadedFiles, Proof};
use crate::provider::Failure;
use crate::sys::clock;

/// What is sent to log in.
pub(crate) async fn proof(
    auth: &VaultAuth,
    preloaded: &PreloadedFiles,
    aws: &AwsIdentity,
) -> Result<Proof, LoginError> {
    let VaultAuth::Aws { role, mount, server_id, region } = auth else {
        return identity::prove(auth, preloaded).map_err(LoginError::NoCredentials);
    };
    let signed = aws.signed_caller_identity(server_id.as_deref(), region.as_deref(), clock::wall());
    let request = signed.await.map_err(|fault| LoginError::Rejected(fault.into()))?;
    Ok(Proof::Aws { role: role.clone(), mount: mount.clone(), request })
}

/// Why a login failed.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// There is nothing to log in with.
    NoCredentials(IdentityError),
    /// A server was asked, and refused or did not answer.
    Rejected(Failure),
}
