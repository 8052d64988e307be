//! Warns about variables that Vault's own clients obey and this program ignores: one line each, with what to
//! configure instead.

use tracing::warn;

use crate::config::{Vault, overruled};
use crate::run::ProcessContext;

/// A variable's name after `VAULT_` or `BAO_`, and why it is not read or what to configure instead.
const UNREAD: [(&str, &str); 6] = [
    (
        "SKIP_VERIFY",
        "anybody could answer in the server's place; set vault.caFile to the CA that signed its certificate",
    ),
    ("TOKEN", "an environment is no place for a token; the login is vault.auth's"),
    ("PROXY_ADDR", "set vault.proxy, or HTTPS_PROXY"),
    ("HTTP_PROXY", "set vault.proxy, or HTTPS_PROXY"),
    ("AGENT_ADDR", "set vault.address to the agent's"),
    ("SRV_LOOKUP", "set vault.address to a host and a port"),
];

/// Logs one line for each inherited variable that describes the server and is not read.
pub(super) fn warn_of_unread(vault: &Vault, caller: &ProcessContext) {
    for (rest, why) in UNREAD {
        for name in [format!("VAULT_{rest}"), format!("BAO_{rest}")] {
            let Some(value) = caller.variable(&name).filter(|value| !value.is_empty()) else { continue };
            let is_off = matches!(value, b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False");
            let is_said = match rest {
                "SKIP_VERIFY" => is_off || vault.skip_verify,
                "SRV_LOOKUP" => is_off,
                "PROXY_ADDR" | "HTTP_PROXY" => vault.proxy.is_some(),
                _ => false,
            };
            if !is_said {
                warn!("{name} is not read: {why}");
            }
        }
    }
    for line in overruled(vault, |name| str::from_utf8(caller.variable(name)?).ok()) {
        warn!("{line}");
    }
    let scheme = if vault.address.starts_with("https://") { "https" } else { "http" };
    if vault.tls_server_name.is_some()
        && vault.proxy.is_none()
        && let Some(variable) = vault.proxies.variable(scheme)
    {
        warn!(
            "{variable} is not used for {}, because vault.tlsServerName is set: the connection is direct",
            vault.address
        );
    }
}
