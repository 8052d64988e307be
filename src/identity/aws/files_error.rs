//! What is wrong with the files that AWS variables name, and how the SDK reads profiles.

use std::path::{Path, PathBuf};

use aws_config::profile::{self, ProfileSet};
use aws_types::os_shim_internal::{Env, Fs};

use crate::identity::file::{self, FileError};

/// Why the files contain no usable credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilesError {
    /// A profile file is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The selected profile is in no file.
    #[error(
        "AWS_PROFILE is {0:?}, and neither ~/.aws/config (AWS_CONFIG_FILE) nor ~/.aws/credentials \
             (AWS_SHARED_CREDENTIALS_FILE) has a profile of that name"
    )]
    NoProfile(String),
    /// A section of the config file has the spelling of the credentials file.
    #[error("AWS_PROFILE is {0:?}, and ~/.aws/config (AWS_CONFIG_FILE) has [{0}]; there it is written [profile {0}]")]
    Section(String),
    /// The `source_profile` of the profile does not exist.
    #[error("profile {profile:?} has source_profile = {wanted:?}, and there is no profile of that name")]
    NoSource {
        /// The selected profile.
        profile: String,
        /// Its `source_profile`.
        wanted: String,
    },
    /// A profile names a role and nobody whose credentials assume it.
    #[error(
        "profile {0:?} has role_arn and none of source_profile, credential_source and web_identity_token_file: whose \
             credentials shall assume it?"
    )]
    NoSourceOfRole(String),
    /// The `source_profile` of a profile leads back to it.
    #[error("the source_profile of profile {0:?} leads back to it")]
    Circle(String),
    /// A profile has a `credential_source` that there is not.
    #[error(
        "profile {profile:?} has credential_source = {named:?}; expected Environment, Ec2InstanceMetadata or EcsContainer"
    )]
    NoSuchSource {
        /// The profile.
        profile: String,
        /// Its `credential_source`.
        named: String,
    },
    /// A profile has an access key ID without a secret key, or the reverse.
    #[error("profile {profile:?} has no {missing}")]
    Half {
        /// The selected profile.
        profile: String,
        /// The missing setting.
        missing: &'static str,
    },
    /// The selected profile has a way to credentials that is not supported.
    #[error("profile {profile:?} has {key}, which is not supported; put credentials into the environment or a profile")]
    Unsupported {
        /// The selected profile.
        profile: String,
        /// The setting.
        key: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {} ({variable}): {why}", path.display())]
    File {
        /// The variable that names it.
        variable: &'static str,
        /// The path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

/// Reads the profile files as the SDK does.
pub(super) async fn load() -> std::result::Result<ProfileSet, profile::ProfileFileLoadError> {
    #[expect(deprecated, reason = "the type's new home is a crate that only the SDK needs")]
    let files = profile::profile_file::ProfileFiles::default();
    profile::load(&Fs::default(), &Env::default(), &files, None).await
}

/// Why reading the file would not end soon.
pub(super) fn never_ends(path: &Path) -> Option<FileError> {
    let found = std::fs::metadata(path).ok()?;
    match () {
        () if found.is_file() => (found.len() > file::MOST_BYTES).then_some(FileError::TooLarge),
        () if found.is_dir() || file::is_null_device(&found) => None,
        () => Some(FileError::NotRegular),
    }
}
