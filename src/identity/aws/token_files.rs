//! Checks the files with tokens before the SDK reads them: it reads whole, in the thread that everything else runs in.

use std::path::{Path, PathBuf};

use aws_types::os_shim_internal::Env;

use crate::identity::file;

use super::files_error::{self, FilesError};
use super::{chain, environment};

/// The variable with the file of a web identity (IRSA).
const WEB_IDENTITY: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// The variable with the file whose content a container endpoint (EKS Pod Identity) wants.
const CONTAINER: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// Whether a variable names a token file.
pub(super) fn are_named() -> bool {
    [WEB_IDENTITY, CONTAINER].iter().any(|variable| Env::default().get(variable).is_ok())
}

/// Why a token file that a variable names cannot be read.
pub(super) fn unreadable() -> Option<FilesError> {
    [WEB_IDENTITY, CONTAINER].into_iter().find_map(|variable| {
        let path = PathBuf::from(Env::default().get(variable).ok()?);
        let why = file::read(&path).err()?.to_string();
        Some(FilesError::File { variable, path, why })
    })
}

/// What is wrong with a token file of the credentials chain: reading it would not end, or it is empty.
pub(super) async fn unusable() -> Option<FilesError> {
    if environment::has_key() {
        return None; // the chain ends there
    }
    let variable = |name: &str| Env::default().get(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    let web_identity = variable(WEB_IDENTITY).map(|path| (WEB_IDENTITY, path));
    let wrong = of_profile().await.into_iter().chain(web_identity).find_map(|(variable, path)| {
        let why = never_ends(&path).or_else(|| is_empty(&path).then(|| "it is empty".to_owned()))?;
        Some(FilesError::File { variable, path, why })
    });
    wrong.or_else(|| {
        let path = variable(CONTAINER)?;
        let why = never_ends(&path)?;
        Some(FilesError::File { variable: CONTAINER, path, why })
    })
}

/// The web identity's file in the selected profile, or in one that it leads to.
async fn of_profile() -> Option<(&'static str, PathBuf)> {
    let profiles = files_error::load().await.ok()?;
    let selected = profiles.get_profile(profiles.selected_profile())?;
    let chain = chain::profiles(&profiles, selected);
    let path = chain.into_iter().find_map(|profile| profile.get(chain::TOKEN_FILE))?;
    Some((chain::TOKEN_FILE_ORIGIN, path.into()))
}

/// Why reading the file would not end soon.
fn never_ends(path: &Path) -> Option<String> {
    files_error::never_ends(path).map(|error| error.to_string())
}

/// Whether the file has no content.
fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0 || file::is_null_device(&found))
}
