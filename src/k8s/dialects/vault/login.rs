//! Translates the annotations about the login and TLS.

use std::collections::BTreeSet;

use super::super::super::names::TLS_PATH as TLS_DIRECTORY;
use super::super::translation::TlsSecret;
use super::Reader;

/// Where the Agent Injector mounts the Secret of `tls-secret`.
const TLS_PATH: &str = "/vault/tls/";

impl Reader<'_> {
    /// Translates role, method, mount, address, namespace and the method's parameters.
    pub(super) fn login(&mut self) {
        if let Some(role) = self.filled("role") {
            self.set("role", &["vault", "auth", "role"], role);
        } else if let Some(role) = self.filled("auth-config-role") {
            self.set("auth-config-role", &["vault", "auth", "role"], role);
        }
        if let Some(method) = self.filled("auth-type") {
            match method {
                "kubernetes" | "jwt" | "aws" => self.set("auth-type", &["vault", "auth", "method"], method),
                _ => self.deny(
                    "auth-type",
                    "expected kubernetes, jwt or aws: an injected pod logs in with its own identity",
                ),
            }
        }
        if let Some(path) = self.filled("auth-path") {
            let mount = path.trim_matches('/');
            let mount = mount.strip_prefix("auth/").unwrap_or(mount).to_owned();
            self.set("auth-path", &["vault", "auth", "mount"], mount);
        }
        if let Some(address) = self.filled("service") {
            self.set("service", &["vault", "address"], address);
        }
        if let Some(namespace) = self.filled("namespace") {
            self.set("namespace", &["vault", "namespace"], namespace.trim_matches('/'));
        }
        let parameters: Vec<(&str, &str)> =
            self.pairs.iter().filter(|(key, _)| key.starts_with("auth-config-")).copied().collect();
        for (key, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key["auth-config-".len()..].replace('-', "_").as_str() {
                "role" => {}
                "region" => self.set(key, &["vault", "auth", "region"], value),
                "header_value" => self.set(key, &["vault", "auth", "serverId"], value),
                "type" if value == "iam" => {}
                "token_path" | "path" => {
                    self.warn(key, "ignored: a token with its own audience is projected into the injected container");
                }
                "type" => self.deny(key, "expected iam"),
                _ => self.warn(key, "ignored: the operator's vault.auth says the rest of the login"),
            }
        }
    }

    /// Translates the CA and the client's certificate, which must be files of the Secret in `tls-secret`.
    pub(super) fn tls(&mut self) {
        let secret = self.filled("tls-secret").map(str::to_owned);
        let has_ca = self.injector.operator_value("vault.ca").is_some()
            || self.injector.operator_value("vault.caFile").is_some();
        let mut keys = BTreeSet::new();
        for (name, field) in [("ca-cert", "caFile"), ("client-cert", "clientCertFile"), ("client-key", "clientKeyFile")]
        {
            let Some(path) = self.filled(name) else { continue };
            if name == "ca-cert" && has_ca {
                self.warn(name, "ignored: the operator's vault.ca counts");
                continue;
            }
            let file = path.strip_prefix(TLS_PATH).filter(|file| is_secret_key(file));
            match (&secret, file) {
                (Some(_), Some(file)) => {
                    keys.insert(file.to_owned());
                    let path = format!("{TLS_DIRECTORY}/{file}");
                    self.made.operator.push((format!("vault.{field}"), path));
                }
                _ if name == "ca-cert" => {
                    let text = "the injected container has no such file; the operator sets vault.ca, or it is a file below \
                                /vault/tls/ of the Secret that tls-secret names";
                    self.deny(name, text);
                }
                _ => self.deny(name, "expected a file below /vault/tls/ of the Secret that tls-secret names"),
            }
        }
        match secret {
            Some(name) if !keys.is_empty() => self.made.tls = Some(TlsSecret { name, keys }),
            Some(_) => {
                self.warn("tls-secret", "ignored: no ca-cert, client-cert or client-key that counts names a file of it")
            }
            None => {}
        }
    }
}

/// Whether the name is a valid key of a Secret (Kubernetes: letters, digits, `-`, `_` and `.`).
fn is_secret_key(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with("..")
        && name != "."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
