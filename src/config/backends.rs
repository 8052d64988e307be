//! The sections `vault` and `aws`, and whether any reference needs them.

use super::layers::Merged;
use super::model::{AssumeRole, Aws, Ca, CertificateFiles, Config, Content, RoleId, Vault, VaultAuth};
use super::place::Place;
use super::proxies::Proxies;
use super::reader::Reader;
use super::{net, value};
use crate::domain::{SecretRef, Source};

/// The default path of a pod's service account token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Why a variable with a token is ignored.
const NO_TOKEN: &str = "an environment is no place for a token, which is read from a file";

/// Whether the configuration needs a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// No reference needs it.
    No,
    /// A template may need it; templates are parsed later.
    Perhaps,
    /// The reference at this place needs it.
    Yes(Place),
}

/// Whether the configuration contains references that `is_meant` selects.
pub(super) fn need(config: &Config, is_meant: impl Fn(&Source) -> bool) -> Need {
    let contents = || {
        let files = config.files.iter().map(|entry| (&entry.content, &entry.place));
        files.chain(config.env.iter().map(|entry| (&entry.content, &entry.place)))
    };
    let references = contents().filter_map(|(content, place)| match content {
        Content::Secret { reference, .. } => Some((reference, place)),
        Content::Template(..) => None,
    });
    let named = config.secrets.values().map(|entry| (&entry.reference, &entry.place));
    let maps = config.env_from.iter().map(|entry| (&entry.reference, &entry.place));
    let mut all: Vec<(&SecretRef, &Place)> = named.chain(maps).chain(references).collect();
    all.sort_by_key(|(_, place)| *place);
    match all.into_iter().find(|(reference, _)| is_meant(&reference.source)) {
        Some((_, place)) => Need::Yes(place.clone()),
        None if contents().any(|(content, _)| matches!(content, Content::Template(..))) => Need::Perhaps,
        None => Need::No,
    }
}

/// What answers the references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Vault and Secrets Manager.
    Backends,
    /// The file of `--local FILE`.
    LocalFile,
    /// Nothing: no request will be sent.
    Nobody,
}

impl Reader<'_> {
    /// Reads the section `vault`. A missing setting is a mistake only when a reference needs it.
    pub(super) fn vault(&mut self, need: &Need, answers: Answers, merged: &Merged<'_>) -> Option<Vault> {
        let proxies = &merged.proxies;
        let address = self.read("vault.address", net::address);
        let namespace = self.read("vault.namespace", value::namespace).filter(|name| !name.is_empty());
        let ca_text = self.read("vault.ca", value::certificates).map(Ca::Pem);
        let ca = ca_text.or(self.read("vault.caFile", value::path).map(Ca::File));
        let ca = ca.or(self.read("vault.caPath", value::path).map(Ca::Directory));
        let client_certificate = self.client_certificate();
        let tls_server_name = self.read("vault.tlsServerName", net::host);
        let proxy = self.read("vault.proxy", net::proxy);
        if let Some(address) = &address {
            self.check_connection(address, need, answers, proxies);
        }
        let redirect_hosts = self.read("vault.redirectHosts", net::hosts).unwrap_or_default();
        let skip_verify = self.is_on("vault.skipVerify");
        if skip_verify && !self.is_on("vault.allowInsecure") {
            let place = self.place("vault.skipVerify");
            let text = "refused, because anybody could answer in the server's place; if that is meant, say \
                        vault.allowInsecure: true too (a private CA goes to vault.ca or vault.caFile)";
            self.mistakes.about(&place, "vault.skipVerify", text);
        }
        let auth = self.auth();
        if let (Need::Yes(place), Answers::Backends) = (need, answers) {
            if self.is_missing("vault", "address") {
                let text = format!("vault.address is missing, and {place} needs it; set it, or VAULT_ADDR");
                self.mistakes.add(&Place::Missing, text);
            }
            if self.is_missing("vault", "auth") {
                let methods = super::form::alternatives(super::keys::METHODS);
                let seen = merged.token_variable.map(|name| format!("{name} is set, and is not read: {NO_TOKEN}; "));
                let text = format!(
                    "vault.auth is missing, and {place} needs it; {}set vault.auth.method to {methods}; after `vault login` it \
                     is vault.auth: {{ method: token-file, path: ~/.vault-token }}",
                    seen.unwrap_or_default()
                );
                self.mistakes.add(&Place::Missing, text);
            }
        }
        match need {
            Need::No => None,
            Need::Perhaps | Need::Yes(_) => Some(Vault {
                address: address?,
                namespace,
                ca,
                tls_server_name,
                client_certificate,
                proxy,
                proxies: proxies.clone(),
                redirect_hosts,
                skip_verify,
                auth,
            }),
        }
    }

    /// Reports settings that are incompatible with the address.
    fn check_connection(&mut self, address: &str, need: &Need, answers: Answers, proxies: &Proxies) {
        if address.starts_with("unix://") {
            for key in ["proxy", "tlsServerName"] {
                let path = format!("vault.{key}");
                // The variable may be meant for other addresses.
                if matches!(self.place(&path), Place::Missing | Place::Variable(_)) {
                    continue;
                }
                let place = self.place(&path);
                self.mistakes.about(&place, &path, "does not go together with a unix:// address");
            }
            return;
        }
        let has_own = self.tree.at("vault.proxy").is_some() || self.tree.at("vault.tlsServerName").is_some();
        if *need == Need::No || answers != Answers::Backends || has_own {
            return;
        }
        if let Err(error) = proxies.choose_for(address) {
            self.mistakes.add(&Place::Variable(error.variable.to_owned()), error.at_its_place());
        }
    }

    /// Reads the TLS client certificate, whose two files are required together.
    fn client_certificate(&mut self) -> Option<CertificateFiles> {
        let certificate = self.read("vault.clientCertFile", value::path);
        let key = self.read("vault.clientKeyFile", value::path);
        for (this, other, variable) in [
            ("vault.clientCertFile", "vault.clientKeyFile", "VAULT_CLIENT_KEY"),
            ("vault.clientKeyFile", "vault.clientCertFile", "VAULT_CLIENT_CERT"),
        ] {
            if self.tree.at(this).is_some() && self.tree.at(other).is_none() {
                let place = self.place(this);
                self.mistakes.about(&place, this, format!("needs {other} too (or {variable})"));
            }
        }
        Some(CertificateFiles { certificate: certificate?, key: key? })
    }

    /// Reads `vault.auth`. The method's required fields have been checked, so a missing one is already reported.
    fn auth(&mut self) -> Option<VaultAuth> {
        const PATH: &str = "vault.auth";
        let node = self.tree.at(PATH)?;
        let method = node.field("method")?.text()?;
        let role = self.field(node, PATH, "role", value::plain);
        let named = self.field(node, PATH, "mount", value::mount);
        let mount = named.unwrap_or_else(|| method.to_owned()); // the default mount is called like the method
        let token_file = self.field(node, PATH, "tokenFile", value::path);
        let audience = self.field(node, PATH, "audience", value::plain);
        match method {
            "kubernetes" => Some(VaultAuth::Kubernetes {
                role: role?,
                mount,
                token_file: token_file.unwrap_or_else(|| POD_TOKEN.into()),
                audience: audience.unwrap_or_else(|| "vault".to_owned()),
            }),
            "jwt" => Some(VaultAuth::Jwt { role: role?, mount, token_file: token_file?, audience }),
            "approle" => {
                let text = self.field(node, PATH, "roleId", value::plain).map(RoleId::Text);
                let role_id = text.or(self.field(node, PATH, "roleIdFile", value::path).map(RoleId::File));
                let secret_id_file = self.field(node, PATH, "secretIdFile", value::path);
                let secret_id_wrapped = self.is_on("vault.auth.secretIdWrapped");
                if secret_id_wrapped && node.field("secretIdFile").is_none() {
                    let place = self.place("vault.auth.secretIdWrapped");
                    let text = "needs secretIdFile, the file with the response-wrapping token";
                    self.mistakes.about(&place, "vault.auth.secretIdWrapped", text);
                }
                Some(VaultAuth::AppRole { mount, role_id: role_id?, secret_id_file, secret_id_wrapped })
            }
            "aws" => {
                let server_id = self.field(node, PATH, "serverId", value::header);
                let region = self.field(node, PATH, "region", value::region);
                Some(VaultAuth::Aws { role: role?, mount, server_id, region })
            }
            "cert" => {
                let cert_file = self.field(node, PATH, "certFile", value::path);
                let key_file = self.field(node, PATH, "keyFile", value::path);
                Some(VaultAuth::Cert { mount, role, cert_file: cert_file?, key_file: key_file? })
            }
            "token-file" => self.field(node, PATH, "path", value::path).map(|path| VaultAuth::TokenFile { path }),
            _ => None,
        }
    }

    /// Reads the section `aws`. (Whether a proxy can be used depends on the files in `~/.aws`, which are read later.)
    pub(super) fn aws(&mut self, merged: &Merged<'_>) -> Aws {
        let region = self.read("aws.region", value::region);
        let arn = self.read("aws.assumeRole.arn", value::role_arn);
        let external_id = self.read("aws.assumeRole.externalId", value::plain);
        let proxies = merged.proxies.clone();
        Aws { region, assume_role: arn.map(|arn| AssumeRole { arn, external_id }), proxies }
    }
}
