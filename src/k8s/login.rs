//! The Vault login of a pod.

use crate::config::{Injector, RequestedConfig};

use super::names::TOKEN_FILE;

/// How the pod logs in to Vault, from the operator's config and the annotations.
pub(super) struct Login {
    pub(super) method: String,
    pub(super) mount: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) lacks_role: bool,
}

impl Login {
    /// Combines both; the operator's settings take precedence.
    pub(super) fn read(requested: &RequestedConfig, injector: &Injector) -> Self {
        let say = |key| injector.operator_value(key).or_else(|| requested.text(key)).map(str::to_owned);
        let method = say("vault.auth.method").unwrap_or_else(|| "kubernetes".to_owned());
        let projects = matches!(method.as_str(), "kubernetes" | "jwt");
        let has_mount = projects || matches!(method.as_str(), "approle" | "aws" | "cert");
        Self {
            mount: has_mount.then(|| say("vault.auth.mount").unwrap_or_else(|| method.clone())),
            audience: projects.then(|| say("vault.auth.audience").unwrap_or_else(|| "vault".to_owned())),
            lacks_role: (projects || method == "aws") && say("vault.auth.role").is_none(),
            method,
        }
    }

    /// The settings of the login that later edits of annotations must not change.
    pub(super) fn pinned(&self) -> Vec<(&'static str, String)> {
        let mut pinned = vec![("vault.auth.method", self.method.clone())];
        pinned.extend(self.mount.iter().map(|mount| ("vault.auth.mount", mount.clone())));
        if let Some(audience) = &self.audience {
            pinned.push(("vault.auth.audience", audience.clone()));
            pinned.push(("vault.auth.tokenFile", TOKEN_FILE.to_owned()));
        }
        pinned
    }
}
