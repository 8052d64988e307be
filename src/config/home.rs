//! Expands `~/` at the beginning of a path to the home directory, as a shell does.

use super::tree::{ConfigErrors, Kind, Node};

/// The paths in which `~/` is expanded: those of the login, of trusted CAs and of the state.
const PATHS: [&str; 11] = [
    "vault.auth.path",
    "vault.auth.tokenFile",
    "vault.auth.roleIdFile",
    "vault.auth.secretIdFile",
    "vault.auth.certFile",
    "vault.auth.keyFile",
    "vault.caFile",
    "vault.caPath",
    "vault.clientCertFile",
    "vault.clientKeyFile",
    "state",
];

/// What `~` expands to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home<'a> {
    /// The value of `HOME`, if it is set.
    Variable(Option<&'a str>),
    /// Nothing, under `--pinned`: whoever sets `HOME` would choose the credentials of the login.
    Pinned,
}

/// Expands `~/` in all of [`PATHS`]. Paths in annotations are not expanded, because they are in another container.
pub(super) fn expand(tree: &mut Node, home: Home<'_>, mistakes: &mut ConfigErrors) {
    for path in PATHS {
        let Some(node) = at(tree, path).filter(|node| !node.place.is_annotation()) else { continue };
        let Kind::Text(text) = &mut node.kind else { continue };
        let Some(rest) = text.text.strip_prefix("~/") else { continue };
        let why = match home {
            Home::Variable(Some(home)) if home.starts_with('/') => {
                text.text = format!("{}/{rest}", home.trim_end_matches('/'));
                continue;
            }
            Home::Variable(_) => "begins with ~, and HOME is not set to an absolute path; write the whole path",
            Home::Pinned => "begins with ~, and under --pinned HOME does not count; write the whole path",
        };
        mistakes.about(&node.place.clone(), path, why);
        node.kind = Kind::Bad;
    }
}

/// The value under a dotted path, mutable.
fn at<'a>(tree: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    path.split('.').try_fold(tree, |node, key| match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    })
}
