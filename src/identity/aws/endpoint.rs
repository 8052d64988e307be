//! Names the endpoint that answers a request for credentials with an error, or not in time; the SDK's errors have neither
//! its address nor the status.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};

use super::peer::NoneGiven;
use super::transport::Transport;

/// A credentials chain, and the transport of its requests.
#[derive(Debug)]
pub(super) struct NamedEndpoint<P> {
    pub(super) chain: P,
    pub(super) transport: Transport,
    /// Below the SDK's own timeout, whose error does not say what it waited for.
    pub(super) timeout: Duration,
}

impl<P: ProvideCredentials> NamedEndpoint<P> {
    /// The credentials of the chain.
    async fn credentials(&self) -> Result {
        let answer = tokio::time::timeout(self.timeout, self.chain.provide_credentials()).await;
        let none = || self.transport.none_given();
        match answer {
            // Only a status says more than the SDK's own error, as of instance metadata that is not there.
            Ok(Err(error @ CredentialsError::ProviderError(_))) => {
                let status = none().filter(|none| matches!(none, NoneGiven::Status(..)));
                Err(status.map_or(error, CredentialsError::provider_error))
            }
            Ok(answer) => answer,
            Err(_) => Err(none()
                .map_or_else(|| CredentialsError::provider_timed_out(self.timeout), CredentialsError::provider_error)),
        }
    }
}

impl<P: ProvideCredentials> ProvideCredentials for NamedEndpoint<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
