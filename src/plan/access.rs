//! Checks the files that a plan reads: no protected file, and no file named by an annotation.

use std::path::{Path, PathBuf};

use crate::config::{Ca, Config, Place, RoleId, VaultAuth};
use crate::domain::{Diagnostic, Exit, SecretRef, Source};
use crate::identity::protected::{ProtectedFiles, Purpose};

use super::Plan;

/// A file that an environment variable names: the variable, the path, and what is read from it.
pub(crate) type NamedFile = (&'static str, PathBuf, Purpose);

/// Whether an AWS identity is needed: for Secrets Manager, or for Vault's aws login.
pub(crate) fn needs_aws(config: &Config, plan: &Plan) -> bool {
    plan.sources.iter().any(|planned| matches!(planned.source, Source::Aws(_)))
        || config.backends.vault.as_ref().is_some_and(|vault| matches!(vault.auth, Some(VaultAuth::Aws { .. })))
}

/// The problems of references and paths that must not be read, each with its place. `variables` are the files named by
/// environment variables that are in effect.
pub(crate) fn refused(
    config: &Config,
    plan: &Plan,
    protected: &ProtectedFiles,
    variables: &[NamedFile],
) -> Vec<Diagnostic> {
    let mut problems = paths(config, protected, variables);
    for (place, what, reference) in references(config, plan) {
        let Source::File(path) = &reference.source else { continue };
        if comes_by_annotation(config, place, reference) {
            let text = format!(
                "{}: annotations may not name files ({reference}); only a config file or a flag may",
                place.of(&what)
            );
            problems.push(Diagnostic::new(Exit::Usage, text));
        } else if let Err(refusal) = protected.check(path, Purpose::Content) {
            problems.push(Diagnostic::new(
                Exit::Usage,
                format!("{}: cannot read {}: {refusal}", place.of(&what), reference.source),
            ));
        }
    }
    problems
}

/// The problems of paths of the configuration and the environment, other than references. Template files are checked
/// when they are read.
fn paths(config: &Config, protected: &ProtectedFiles, variables: &[NamedFile]) -> Vec<Diagnostic> {
    let mut named: Vec<(&str, &Path, Purpose)> =
        variables.iter().map(|(name, path, purpose)| (*name, path.as_path(), *purpose)).collect();
    if let Some(vault) = &config.backends.vault {
        match &vault.ca {
            Some(Ca::File(path)) => named.push(("vault.caFile", path, Purpose::Certificates)),
            Some(Ca::Directory(path)) => named.push(("vault.caPath", path, Purpose::Certificates)),
            Some(Ca::Pem(_)) | None => {}
        }
        if let Some(files) = &vault.client_certificate {
            named.push(("vault.clientCertFile", &files.certificate, Purpose::Identity));
            named.push(("vault.clientKeyFile", &files.key, Purpose::Identity));
        }
        if let Some(auth) = &vault.auth {
            named.extend(login_files(auth).into_iter().map(|(name, path)| (name, path, Purpose::Identity)));
        }
    }
    let refused = named.into_iter().filter_map(|(name, path, purpose)| {
        let refusal = protected.check(path, purpose).err()?;
        Some(Diagnostic::new(Exit::Usage, format!("cannot use {name} {}: {refusal}", path.display())))
    });
    refused.collect()
}

/// The files that a login reads, with the setting that names each.
fn login_files(auth: &VaultAuth) -> Vec<(&'static str, &Path)> {
    match auth {
        VaultAuth::Kubernetes { token_file, .. } | VaultAuth::Jwt { token_file, .. } => {
            vec![("vault.auth.tokenFile", token_file)]
        }
        VaultAuth::AppRole { role_id, secret_id_file, .. } => {
            let role_id = match role_id {
                RoleId::File(path) => Some(("vault.auth.roleIdFile", path.as_path())),
                RoleId::Text(_) => None,
            };
            let secret_id = secret_id_file.iter().map(|path| ("vault.auth.secretIdFile", path.as_path()));
            role_id.into_iter().chain(secret_id).collect()
        }
        VaultAuth::Aws { .. } => Vec::new(),
        VaultAuth::Cert { cert_file, key_file, .. } => {
            vec![("vault.auth.certFile", cert_file), ("vault.auth.keyFile", key_file)]
        }
        VaultAuth::TokenFile { path } => vec![("vault.auth.path", path)],
    }
}

/// Every reference of the configuration, with the place and name of what uses it.
fn references<'a>(config: &'a Config, plan: &'a Plan) -> Vec<(&'a Place, String, &'a SecretRef)> {
    let mut found = Vec::new();
    for (entry, planned) in config.files.iter().zip(&plan.files) {
        let what = format!("file {}", entry.name);
        found.extend(planned.filling.references().into_iter().map(|reference| (&entry.place, what.clone(), reference)));
    }
    for (entry, planned) in config.env.iter().zip(&plan.variables) {
        let what = format!("env {}", entry.name);
        found.extend(planned.filling.references().into_iter().map(|reference| (&entry.place, what.clone(), reference)));
    }
    found.extend(config.env_from.iter().map(|map| (&map.place, "envFrom".to_owned(), &map.reference)));
    found.extend(
        config.secrets.iter().map(|(name, secret)| (&secret.place, format!("secret {name}"), &secret.reference)),
    );
    found
}

/// Whether an annotation names this source. An annotation that uses a name of the operator's `secrets` does not.
fn comes_by_annotation(config: &Config, place: &Place, reference: &SecretRef) -> bool {
    let mut named = config.secrets.values().filter(|secret| secret.reference.source == reference.source);
    place.is_annotation() && !named.any(|secret| !secret.place.is_annotation())
}
