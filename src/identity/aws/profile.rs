//! What is wrong with the files that AWS variables name, said with the file: the SDK's own errors leave it out.

use std::error::Error;
use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_config::profile;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::identity::file;

/// Why the files give no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilesError {
    /// A profile file is not one.
    #[error("{0}")]
    Malformed(String),
    /// No file has the profile that is selected.
    #[error(
        "AWS_PROFILE is {0:?}, and neither ~/.aws/config (AWS_CONFIG_FILE) nor ~/.aws/credentials \
             (AWS_SHARED_CREDENTIALS_FILE) has a profile of that name"
    )]
    NoProfile(String),
    /// A token file cannot be read.
    #[error("cannot read {} ({variable}): {why}", path.display())]
    Token {
        /// What names it.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// The chain of providers. Where it has no credentials, the files it reads are looked at for the reason.
#[derive(Debug)]
pub(super) struct ExplainedFiles<P>(pub(super) P);

impl<P: ProvideCredentials> ProvideCredentials for ExplainedFiles<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl<P: ProvideCredentials> ExplainedFiles<P> {
    async fn credentials(&self) -> Result {
        let error = match self.0.provide_credentials().await {
            Err(error) => error,
            credentials => return credentials,
        };
        let reason = match &error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => profile().await,
            // On a laptop the last of the chain is the instance metadata, which nobody answers there.
            _ if names_token_file() => token_file(),
            _ => profile().await,
        };
        Err(reason.map_or(error, CredentialsError::invalid_configuration))
    }
}

async fn profile() -> Option<FilesError> {
    #[expect(deprecated, reason = "the type's new home is a crate that only the SDK needs")]
    let files = profile::profile_file::ProfileFiles::default();
    match profile::load(&Fs::default(), &Env::default(), &files, None).await {
        // `error parsing PATH on line N:` and a sentence of the parser's own; no text of the file.
        Err(error) => {
            let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Some(FilesError::Malformed(text.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
        Ok(profiles) => {
            let name = profiles.selected_profile();
            let is_missing = name != "default" && profiles.get_profile(name).is_none();
            is_missing.then(|| FilesError::NoProfile(name.to_owned()))
        }
    }
}

/// Variables that name a file with a token.
const TOKEN_FILES: [&str; 2] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];

fn names_token_file() -> bool {
    TOKEN_FILES.iter().any(|variable| Env::default().get(variable).is_ok())
}

fn token_file() -> Option<FilesError> {
    TOKEN_FILES.into_iter().find_map(|variable| {
        let path = PathBuf::from(Env::default().get(variable).ok()?);
        let why = file::read(&path).err()?.to_string();
        Some(FilesError::Token { variable, path, why })
    })
}

/// The endpoints of `services` sections. The SDK looks for `secrets-manager` there, and every AWS tool writes
/// `secrets_manager`.
#[derive(Debug)]
pub(super) struct Services(pub(super) SdkConfig);

impl LoadServiceConfig for Services {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let config = self.0.service_config()?;
        let id = key.service_id().replace(' ', "_");
        let written = ServiceConfigKey::builder().service_id(&id).env(key.env()).profile(key.profile()).build().ok()?;
        // An empty one, as compose's `${X:-}` makes, is none, as for AWS's tools; the SDK would panic.
        let value = config.load_config(written).or_else(|| config.load_config(key));
        value.filter(|value| !value.trim().is_empty())
    }
}
