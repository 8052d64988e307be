//! Warnings about environment variables of Vault's own clients that differ from the configuration.

use std::path::Path;

use super::model::{Ca, Vault};
use super::{net, value};

/// A warning for each inherited variable that the configuration overrides. `variable` returns a variable's value.
pub fn overruled<'a>(vault: &Vault, variable: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut lines = Vec::new();
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let is_other_proxy = ["http_proxy", "ALL_PROXY", "all_proxy"].into_iter().any(is_set);
    if vault.address.starts_with("http://")
        && is_set("HTTP_PROXY")
        && variable("REQUEST_METHOD").is_some()
        && !is_other_proxy
    {
        let text =
            "HTTP_PROXY does not count where REQUEST_METHOD is set: under CGI a client could set it; http_proxy does";
        lines.push(text.to_owned());
    }
    for prefix in ["VAULT", "BAO"] {
        let set = |name: &str| {
            let name = format!("{prefix}_{name}");
            let value = variable(&name).filter(|value| !value.is_empty())?;
            Some((name, value))
        };
        if let Some((name, value)) = set("ADDR") {
            // A value that cannot be parsed may contain credentials.
            let address = net::address(value).unwrap_or_default();
            if address != vault.address {
                let shown = if address.is_empty() { address } else { format!(" ({address})") };
                lines.push(format!("{name}{shown} does not count: vault.address is {}", vault.address));
            }
        }
        if let Some((name, value)) = set("NAMESPACE") {
            let namespace = value::namespace(value).unwrap_or_default();
            if namespace != vault.namespace.as_deref().unwrap_or_default() {
                let used = vault.namespace.as_deref().unwrap_or("not set, which is the root namespace");
                lines.push(format!("{name} ({namespace}) does not count: vault.namespace is {used}"));
            }
        }
        if let Some((name, value)) = set("CACERT") {
            let used = match &vault.ca {
                Some(Ca::File(path)) if path == Path::new(value) => continue,
                Some(Ca::File(path)) => format!("vault.caFile is {}", path.display()),
                Some(Ca::Directory(path)) => format!("vault.caPath is {}", path.display()),
                Some(Ca::Pem(_)) => "vault.ca is set".to_owned(),
                None => continue,
            };
            lines.push(format!("{name} does not count: {used}"));
        }
    }
    lines
}
