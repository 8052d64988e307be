//! `~/` at the beginning of a path: the home directory, as a shell has it where it expands one.

use super::tree::{ConfigErrors, Kind, Node};

/// The paths in which people write `~/`: what they log in with, and whom they trust.
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

/// Where `~` leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home<'a> {
    /// The value of `HOME`, if it is set.
    Variable(Option<&'a str>),
    /// Nowhere, under `--pinned`: whoever sets `HOME` would choose what the login is proven with.
    Pinned,
}

/// Puts the home directory in the place of `~`. What an annotation says is a path in somebody else's container.
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

/// The value under a dotted path, to be changed.
fn at<'a>(tree: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    path.split('.').try_fold(tree, |node, key| match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    })
}
