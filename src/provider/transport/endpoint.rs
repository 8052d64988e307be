//! Where requests go: the address, the proxy and the name that TLS verifies.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::config::{Proxies, Vault};
use crate::provider::{Class, Failure};

use super::redirect::{is_loopback, origin};

/// The server, and the way to it.
pub(super) struct Endpoint {
    /// As the operator wrote it.
    pub(super) address: String,
    /// Scheme, host and port of the requests.
    pub(super) base: String,
    /// The path in front of the API's; empty, or with a slash in front and none behind.
    pub(super) prefix: String,
    /// Where connections go instead of to a host.
    pub(super) socket: Option<PathBuf>,
    pub(super) url: Url,
    pub(super) host: String,
    /// What TLS verifies instead of the host.
    pub(super) server_name: Option<String>,
    pub(super) proxy: Option<Url>,
    pub(super) proxies: Proxies,
}

impl Endpoint {
    /// The configured server. Every failure is the configuration's.
    pub(super) fn parse(config: &Vault) -> Result<Self, Failure> {
        let malformed = |why: &str| Failure::new(Class::Malformed, why);
        let socket = config.address.strip_prefix("unix://").map(PathBuf::from);
        let text = if socket.is_some() { "http://localhost" } else { config.address.as_str() };
        let url = Url::parse(text).map_err(|_| malformed("vault.address is not a URL"))?;
        let is_plain = url.scheme() == "http";
        let Some(host) = url.host_str().filter(|_| is_plain || url.scheme() == "https").map(str::to_owned) else {
            return Err(malformed("vault.address needs http:// or https:// and a host"));
        };
        let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        if has_more || url.fragment().is_some() {
            return Err(malformed("vault.address has more than a scheme, a host, a port and a path"));
        }
        let server_name = config.tls_server_name.clone().filter(|_| !is_plain);
        if let Some(name) = &server_name {
            if name.parse::<IpAddr>().is_ok() || Url::parse(&format!("https://{name}/")).is_err() {
                return Err(malformed("vault.tlsServerName is not a DNS name"));
            }
            if config.proxy.is_some() {
                return Err(malformed("vault.tlsServerName and vault.proxy do not go together"));
            }
        }
        let proxy = config.proxy.as_deref().map(Url::parse).transpose();
        Ok(Self {
            address: config.address.clone(),
            base: origin(&url),
            prefix: url.path().trim_end_matches('/').to_owned(),
            socket,
            url,
            host,
            server_name,
            proxy: proxy.map_err(|_| malformed("vault.proxy is not a URL"))?,
            proxies: config.proxies.clone(),
        })
    }

    /// Whether requests are not encrypted.
    pub(super) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Whether nothing leaves this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// Whether the environment says through which proxy requests go.
    pub(super) fn uses_environment(&self) -> bool {
        self.proxy.is_none() && self.server_name.is_none() && self.socket.is_none() && !self.is_loopback()
    }
}
