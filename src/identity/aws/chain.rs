//! Where the selected profile has its credentials from, and what is wrong with it or with a profile whose credentials it
//! uses.

use aws_config::profile::{Profile, ProfileSet};

use crate::identity::file;

use super::files_error::{FilesError, load};

/// The settings of a profile that need a program or a browser.
const UNSUPPORTED: [&str; 4] = ["credential_process", "sso_session", "sso_start_url", "login_session"];
/// What `credential_source` may be.
const SOURCES: [&str; 3] = ["Environment", "Ec2InstanceMetadata", "EcsContainer"];
/// The setting that names the file of a web identity.
pub(super) const TOKEN_FILE: &str = "web_identity_token_file";
/// The same, with the file in which it stands.
pub(super) const TOKEN_FILE_ORIGIN: &str = "web_identity_token_file in ~/.aws/config";

/// Where a profile has its credentials from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProfileCredentials {
    /// There is no such profile, or it has none: the credentials chain goes on.
    None,
    /// STS, for the role that it names.
    Role,
    /// Something else, or its files cannot be read.
    Other,
}

/// Where the selected profile has its credentials from.
pub(super) async fn selected() -> ProfileCredentials {
    let Ok(profiles) = load().await else { return ProfileCredentials::Other };
    let Some(profile) = profiles.get_profile(profiles.selected_profile()) else { return ProfileCredentials::None };
    let has = |key: &str| profile.get(key).is_some();
    match () {
        () if has("role_arn") => ProfileCredentials::Role,
        () if has("aws_access_key_id") || UNSUPPORTED.into_iter().any(has) => ProfileCredentials::Other,
        () => ProfileCredentials::None,
    }
}

/// The profile, and those that its `source_profile` leads to. Ends before one that is repeated or does not exist.
pub(super) fn profiles<'a>(all: &'a ProfileSet, first: &'a Profile) -> Vec<&'a Profile> {
    let mut chain = vec![first];
    while let Some(next) = chain.last().and_then(|last| all.get_profile(last.get("source_profile")?)) {
        if chain.iter().any(|known| known.name() == next.name()) {
            break;
        }
        chain.push(next);
    }
    chain
}

/// The first thing that is wrong with the profile or with those that it leads to.
pub(super) fn explain(all: &ProfileSet, first: &Profile) -> Option<FilesError> {
    let chain = profiles(all, first);
    let of_one = chain.iter().find_map(|profile| explain_one(all, profile));
    of_one.or_else(|| {
        let last = *chain.last()?;
        let leads_back = last.get("source_profile").is_some_and(|next| next != last.name());
        leads_back.then(|| FilesError::Circle(last.name().to_owned()))
    })
}

/// What is wrong with one profile.
fn explain_one(all: &ProfileSet, profile: &Profile) -> Option<FilesError> {
    let name = || profile.name().to_owned();
    let has = |key: &str| profile.get(key).is_some();
    if let Some(wanted) = profile.get("source_profile").filter(|wanted| all.get_profile(wanted).is_none()) {
        return Some(FilesError::NoSource { profile: name(), wanted: wanted.to_owned() });
    }
    let missing = match (has("aws_access_key_id"), has("aws_secret_access_key")) {
        (true, false) => Some("aws_secret_access_key"),
        (false, true) => Some("aws_access_key_id"),
        (true, true) | (false, false) => None,
    };
    if let Some(missing) = missing {
        return Some(FilesError::Half { profile: name(), missing });
    }
    if let Some(key) = UNSUPPORTED.into_iter().find(|key| has(key)) {
        return Some(FilesError::Unsupported { profile: name(), key });
    }
    if let Some(path) = profile.get(TOKEN_FILE)
        && let Err(error) = file::read(path.as_ref())
    {
        return Some(FilesError::File { variable: TOKEN_FILE_ORIGIN, path: path.into(), why: error.to_string() });
    }
    if let Some(named) = profile.get("credential_source").filter(|named| !SOURCES.contains(named)) {
        return Some(FilesError::NoSuchSource { profile: name(), named: named.to_owned() });
    }
    let is_without_source = !["source_profile", "credential_source", TOKEN_FILE].into_iter().any(has);
    (has("role_arn") && is_without_source).then(|| FilesError::NoSourceOfRole(name()))
}
