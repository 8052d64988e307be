//! Explains what is wrong with the files that AWS variables name, with the file's name, which the SDK's errors omit.

use std::error::Error;
use std::path::{Component, PathBuf};

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_types::os_shim_internal::Env;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::domain::with_clause;
use crate::identity::file;

use super::files_error::{FilesError, load, never_ends};
use super::{chain, environment, token_files};

/// A credentials chain; when it has no credentials, the files it reads are checked for the reason.
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
    /// The credentials, or an explained error.
    async fn credentials(&self) -> Result {
        if let Some(error) = token_files::unusable().await {
            return Err(CredentialsError::invalid_configuration(error));
        }
        let error = match self.0.provide_credentials().await {
            Err(error) => error,
            credentials => return credentials,
        };
        let is_of_settings =
            matches!(error, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_));
        // On a laptop the last provider is instance metadata, which does not answer there.
        let files =
            if is_of_settings || !token_files::are_named() { profile().await } else { token_files::unreadable() };
        if let Some(files) = files {
            return Err(CredentialsError::invalid_configuration(files));
        }
        let environment = environment::why_no_credentials(&Env::default(), is_of_settings);
        Err(environment.map_or(error, CredentialsError::invalid_configuration))
    }
}

/// Refuses a profile file whose reading would not end: the SDK reads files whole, in the thread that everything else runs in.
pub(super) fn check_files() -> std::result::Result<(), FilesError> {
    for ProfileFile { path, variable, .. } in own_files() {
        if let Some(error) = never_ends(&path) {
            return Err(FilesError::File { variable, path, why: error.to_string() });
        }
    }
    Ok(())
}

/// What is wrong with the profile files, as text.
pub(super) async fn explain_files() -> Option<String> {
    profile().await.map(|error| error.to_string())
}

/// Checks the profile files, and the selected profile with those that it names.
async fn profile() -> Option<FilesError> {
    let [config, credentials] = own_files();
    let shared = match (read(config), read(credentials)) {
        (Ok(config), Ok(_)) => config,
        (Err(error), _) | (_, Err(error)) => return Some(error),
    };
    match load().await {
        // The source's text is `error parsing PATH on line N:` and an explanation, without the file's content.
        Err(error) => {
            let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Some(FilesError::Malformed(text.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
        Ok(profiles) => {
            let name = profiles.selected_profile();
            let Some(profile) = profiles.get_profile(name) else {
                let section = format!("[{name}]");
                let is_there = shared.lines().any(|line| line.trim() == section);
                let name = Some(name).filter(|name| *name != "default").map(str::to_owned);
                return name.map(if is_there { FilesError::Section } else { FilesError::NoProfile });
            };
            chain::explain(&profiles, profile)
        }
    }
}

/// A file with profiles, which may not exist.
#[derive(Debug)]
pub(crate) struct ProfileFile {
    /// Where the SDK reads it.
    pub(crate) path: PathBuf,
    /// The variable that may name it.
    variable: &'static str,
    is_named: bool,
}

/// The config and the credentials file, as the SDK finds them: `~` at the start of a path is `HOME`, and stays where there is
/// none. `variable` returns the value of an environment variable.
pub(crate) fn profile_files(variable: impl Fn(&str) -> Option<PathBuf>) -> [ProfileFile; 2] {
    let home = variable("HOME");
    [("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")].map(
        |(name, default)| {
            let named = variable(name);
            let is_named = named.is_some();
            let path = named.unwrap_or_else(|| default.into());
            let mut parts = path.components();
            let path = match (parts.next(), &home) {
                (Some(Component::Normal(first)), Some(home)) if first == "~" => home.join(parts.collect::<PathBuf>()),
                _ => path,
            };
            ProfileFile { path, variable: name, is_named }
        },
    )
}

/// The same for the process's own environment.
fn own_files() -> [ProfileFile; 2] {
    profile_files(|name| Env::default().get(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// The content of a profile file; empty if it does not exist at its default path.
fn read(ProfileFile { path, variable, is_named }: ProfileFile) -> std::result::Result<String, FilesError> {
    let unreadable = |path: PathBuf, why: String| FilesError::File { variable, path, why };
    match file::read(&path) {
        Ok(bytes) => match bytes.expose_text() {
            Some(text) => Ok(text.to_owned()),
            None => Err(unreadable(path, "it is not UTF-8 text".to_owned())),
        },
        Err(error) if !is_named && error.kind() == Some(std::io::ErrorKind::NotFound) => Ok(String::new()),
        Err(error) => Err(unreadable(path, error.to_string())),
    }
}

/// What gives a service the address with this authority (`HOST:PORT`): a variable, or the config file.
pub(super) fn origin_of_address(authority: &str) -> Option<&'static str> {
    let is_in_file = || !authority.is_empty() && has_address(|value| environment::has_authority(value, authority));
    environment::endpoint_variable(authority).or_else(|| is_in_file().then_some(ENDPOINT_URL))
}

/// A message about Secrets Manager, with what gives it an address other than AWS's, if anything does.
pub(crate) fn with_origin(message: &str) -> String {
    let origin = match environment::secrets_manager_variable() {
        Some(name) => format!("its address is from {name}"),
        None if has_address(|_| true) => format!("its address may be from {ENDPOINT_URL}"),
        None => return message.to_owned(),
    };
    with_clause(message, &origin)
}

/// The setting of the config file with an address.
const ENDPOINT_URL: &str = "endpoint_url in ~/.aws/config (AWS_CONFIG_FILE)";

/// Whether the config file has such an address, in whatever profile or section.
fn has_address(is_meant: impl Fn(&str) -> bool) -> bool {
    let [config, _] = own_files();
    let text = if environment::ignores_addresses() { String::new() } else { read(config).unwrap_or_default() };
    let settings = text.lines().filter_map(|line| line.split_once('='));
    settings.map(|(key, value)| (key.trim(), value.trim())).any(|(key, value)| key == "endpoint_url" && is_meant(value))
}

/// The endpoints of `services` sections. The SDK looks for `secrets-manager` there, but all AWS tools write
/// `secrets_manager`.
#[derive(Debug)]
pub(super) struct Services(pub(super) SdkConfig);

impl LoadServiceConfig for Services {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let config = self.0.service_config()?;
        let id = key.service_id().replace(' ', "_");
        let written = ServiceConfigKey::builder().service_id(&id).env(key.env()).profile(key.profile()).build().ok()?;
        // An empty value, as from compose's `${X:-}`, counts as unset, as for AWS's own tools; the SDK would panic on
        // it.
        let value = config.load_config(written).or_else(|| config.load_config(key));
        value.filter(|value| !value.trim().is_empty())
    }
}
